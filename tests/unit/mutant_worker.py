"""Compiles models in a process of its own, so that one that hangs or dies is seen, and is not the end of the tests."""

from __future__ import annotations

import itertools
import multiprocessing
import resource
import shutil
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Literal

MEMORY = 8 << 30
"""The address space that a worker may take, in bytes: code and libraries included."""
GROWTH = 1 << 30
"""The resident memory that one small model may take, in bytes."""
SECONDS = 60.0
"""How long one small model may take: some are unrolled to large kernels, and a busy machine is slow."""

Kind = Literal["compiled", "refused", "bug", "raised", "partial", "memory", "died", "hung"]


@dataclass(frozen=True)
class Outcome:
    """What became of one model, and how long it took.

    `compiled` and `refused` (with one message) are how it should be. `bug` is an InternalError: one message, but not
    that of a check. The others are failures: another exception than a WebDNNError, part of a package on disk, more
    memory than GROWTH, the death of the process, more time than SECONDS.
    """

    kind: Kind
    text: str
    seconds: float


def compile_in_worker(files: Sequence[bytes]) -> Iterator[Outcome]:
    """Compile each model, for the back ends in turns, and save its package; gives the outcomes in the same order."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        worker, connection = _start(context, folder)
        for data in files:
            begin = time.monotonic()
            outcome: Outcome | None = None
            try:
                connection.send_bytes(data)
                if connection.poll(SECONDS):
                    kind, text = connection.recv()
                    outcome = Outcome(kind, text, time.monotonic() - begin)
            except (EOFError, OSError):
                worker.join(10)
                outcome = Outcome("died", f"exit code {worker.exitcode}", time.monotonic() - begin)
            yield outcome or Outcome("hung", f"more than {SECONDS} s", SECONDS)
            if outcome is None or outcome.kind in ("died", "memory"):
                worker.kill()
                worker.join()
                worker, connection = _start(context, folder)
        worker.kill()
        worker.join()


def _start(context: SpawnContext, folder: str) -> tuple[SpawnProcess, Connection]:
    ours, theirs = context.Pipe()
    worker = context.Process(target=_serve, args=(theirs, folder), daemon=True)
    worker.start()
    theirs.close()
    if not ours.poll(120) or ours.recv() != "ready":
        raise RuntimeError("the worker does not start")
    return worker, ours


def _serve(connection: Connection, folder: str) -> None:
    import warnings

    import webdnn
    from webdnn.dialects.errors import InternalError, WebDNNError
    from webdnn.kernel_cache import KernelCache

    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    cache = KernelCache(Path(folder) / "cache")
    path = Path(folder) / "package"
    connection.send("ready")
    for target in itertools.cycle(("wasm", "webgpu")):
        data = connection.recv_bytes()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            webdnn.compile(data, target=target, cache=cache, jobs=1).save(path)
            kind, text = "compiled", ""
        except WebDNNError as error:
            kind, text = "refused", str(error)
            if isinstance(error, InternalError):
                cause = error.__cause__ or error
                kind = "bug"
                text += "\n" + "".join(traceback.format_exception(cause)[-6:])
        except Exception:
            kind, text = "raised", traceback.format_exc()
        if kind != "compiled" and path.exists():
            kind, text = "partial", f"{sorted(p.name for p in path.iterdir())} after: {text}"
        shutil.rmtree(path, ignore_errors=True)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
        if grown > GROWTH:
            kind, text = "memory", f"{grown >> 20} MiB; {kind}: {text}"
        connection.send((kind, text))
