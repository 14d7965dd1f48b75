"""Runs a converter in a process of its own: its framework may be large or fall over, and the caller stays as it is."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.termination import closing_when_terminated
from webdnn.dialects.time_limit import Wait, time_limit
from webdnn.frontends.conversion.installation import install_command


@dataclass(frozen=True)
class Converter:
    """What makes ONNX models of one framework's files.

    Attributes:
        framework: its name, for messages.
        module: the module of this package that does it; it is run with `python -m` and calls `main`.
        extra: the optional dependencies of the distribution that it needs.
        needs: the top-level modules that these bring.
    """

    framework: str
    module: str
    extra: str
    needs: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """What a converter is to do.

    Attributes:
        model: the file or folder.
        output: where the ONNX model goes.
        shapes: the shapes of the inputs by their names; those that are not named keep what the model says.
        shapes_in_order: the same for the inputs in their order.
        custom_objects: a Python file of the user's that defines what the model's file only names.
    """

    model: str
    output: str
    shapes: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    shapes_in_order: list[list[int]] = field(default_factory=list[list[int]])
    custom_objects: str | None = None


def check_installed(converter: Converter) -> None:
    """Check that what a converter needs is there.

    Raises:
        WebDNNError: something is missing; the message is the command that installs it.
    """
    missing = [name for name in converter.needs if importlib.util.find_spec(name) is None]
    if missing:
        raise WebDNNError(
            f"models of {converter.framework} need {', '.join(missing)}, which {_are(missing)} not installed",
            hint=install_command(converter.extra),
        )


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def run(converter: Converter, job: Job) -> None:
    """Do a job; afterwards the ONNX model stands at `job.output`.

    What the process leaves in folders for temporary files is removed with them, however it ends, and so are processes
    that it started where it is ended from here.

    Raises:
        WebDNNError: a dependency is missing, the model cannot be converted, or the process died, or has not ended in
            time (see `time_limit`).
    """
    check_installed(converter)
    with tempfile.TemporaryDirectory(prefix="webdnn-convert-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        said = folder / "error.json"
        description = folder / "job.json"
        description.write_text(json.dumps(asdict(job)))
        command = _command(converter, description, said)
        code, stderr = _ended(
            command, folder, f"{converter.framework}, which converts the model,", job
        )
        if said.exists():
            raise WebDNNError(**json.loads(said.read_text()))
        if code or not Path(job.output).exists():
            raise _died(converter, job, code, stderr)


def _ended(command: Sequence[str], folder: Path, what: str, job: Job) -> tuple[int, str]:
    """Wait for a process; gives its exit code and what it wrote to standard error."""
    temporary = folder / "tmp"
    temporary.mkdir()
    with closing_when_terminated(), (folder / "stderr").open("w+b") as stderr:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # it ends with this process, see `main`
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env={**os.environ, "TMPDIR": str(temporary)},
            start_new_session=True,
        )
        try:
            step, wait = "", Wait(what, [job.model], first_word=_FIRST_WORD)
            while child.poll() is None:
                if (now := _step(folder)) != step:
                    patience = None if now else _FIRST_WORD
                    step, wait = now, Wait(now or what, [job.model], first_word=patience)
                with suppress(subprocess.TimeoutExpired):
                    child.wait(min(wait.left, _POLL))
                if child.poll() is None and wait.is_over():
                    raise wait.error()
        finally:
            _end(child)
        stderr.seek(0)
        return child.returncode, stderr.read().decode(errors="replace")


_FIRST_WORD = 60.0
"""Seconds until it is said that a framework still converts; of large models all take as long."""

_POLL = 0.5
"""Seconds between two looks at what a process is at."""


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a process that still runs, and those that it started."""
    if child.poll() is None:
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
        child.wait()
    assert child.stdin is not None
    child.stdin.close()


_STEP = "step"
"""The file, beside the job, that says which code of the user's runs; it is there as long as that does."""


def _step(folder: Path) -> str:
    try:
        return (folder / _STEP).read_text()
    except OSError:
        return ""


_folder: ContextVar[Path | None] = ContextVar("folder of the job", default=None)


@contextmanager
def user_code(what: str) -> Generator[None, None, None]:
    """Within this a converter runs code of the user's; who waits for it says so.

    Args:
        what: what runs, as the beginning of a sentence.
    """
    if (folder := _folder.get()) is None:
        yield
        return
    file = folder / _STEP
    aside = file.with_suffix(".part")
    aside.write_text(what)
    os.replace(aside, file)
    try:
        yield
    finally:
        file.unlink()


def _command(converter: Converter, job: Path, said: Path) -> list[str]:
    return [sys.executable, "-m", converter.module, str(job), str(said)]


def _died(converter: Converter, job: Job, code: int, stderr: str) -> WebDNNError:
    if code < 0:
        name = signal.Signals(-code).name
        why = f"its process was ended by {name}"
        if code == -signal.SIGKILL:
            why += ", as the system does where memory runs out"
    else:
        why = _exception(stderr) or f"its process ended with exit code {code}"
    return WebDNNError(
        f"{converter.framework} could not convert the model",
        where=job.model,
        why=why,
        hint="export it to ONNX in the program that made it, and give that file",
    )


def _exception(stderr: str) -> str:
    """The exception that a process ended with, `""` where it shows none: frameworks write much else."""
    _, shown, after = stderr.rpartition("Traceback (most recent call last):")
    lines = after.splitlines() if shown else []
    return next((line for line in lines if re.match(r"[A-Za-z_][\w.]*(: |$)", line)), "")


def main(convert: Callable[[Job], None]) -> None:
    """The entry point of a converter's module: reads the job, and leaves what a user is to read in a file."""
    description, said = Path(sys.argv[1]), Path(sys.argv[2])
    _end_with_parent()
    _folder.set(description.parent)
    job = Job(**json.loads(description.read_text()))
    aside = f"{job.output}.part"
    try:
        with time_limit(0):  # who waits has an eye on the time
            convert(replace(job, output=aside))
        os.replace(aside, job.output)
    except WebDNNError as error:
        said.write_text(
            json.dumps(
                {"what": error.what, "where": error.where, "why": error.why, "hint": error.hint}
            )
        )
        sys.exit(1)
    finally:
        Path(aside).unlink(missing_ok=True)


def _end_with_parent() -> None:
    """End this process, and those that it starts, when the one that waits for it is gone, however that ended: it holds
    the other end of standard input, from which nothing comes."""
    if not hasattr(os, "killpg") or os.getpgrp() != os.getpid():
        return
    other = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def watch() -> None:
        os.read(other, 1)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
