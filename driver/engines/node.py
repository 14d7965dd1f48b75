"""Node.js: its engine, V8, is the one of Chromium, and differs from wasmtime's in speed."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from webdnn.dialects.errors import WebDNNError
from webdnn.engines.scripted import JAVASCRIPT, Files, ScriptedEngineName, write_job

_RELAXED_BY_DEFAULT = 22
"""Before this version relaxed SIMD must be asked for."""


class NodeEngine:
    """Runs jobs in Node.js.

    Args:
        program: its name or path.
        eager: compile with the optimising compiler at once, so that code need not run to become fast.
    """

    name: ScriptedEngineName = "node"

    def __init__(self, program: str = "node", *, eager: bool = False) -> None:
        self._program = program
        self._eager = eager

    def __enter__(self) -> NodeEngine:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def version(self) -> str:
        """Such as `Node.js 22.1.0`."""
        return f"Node.js {_version(self._program)}"

    def run(
        self,
        job: Mapping[str, Any],
        files: Files,
        *,
        on_step: Callable[[], None] = lambda: None,
        timeout: float = 600,
    ) -> Any:
        """See `ScriptedEngine`."""
        major = int(_version(self._program).split(".")[0])
        flags = ["--experimental-wasm-relaxed-simd"] if major < _RELAXED_BY_DEFAULT else []
        flags += ["--no-liftoff"] if self._eager else []
        with tempfile.TemporaryDirectory(prefix="webdnn-node-") as folder:
            write_job(Path(folder), job, files)
            command = [self._program, *flags, str(JAVASCRIPT / "node.mjs"), folder]
            with (
                tempfile.TemporaryFile("w+") as errors,
                subprocess.Popen(
                    command, stdout=subprocess.PIPE, stderr=errors, text=True
                ) as process,
            ):
                watchdog = _Watchdog(process, timeout)
                try:
                    assert process.stdout is not None
                    for line in process.stdout:
                        watchdog.news()
                        event = json.loads(line)
                        if "result" in event:
                            return event["result"]
                        on_step()
                finally:
                    watchdog.stop()
                    process.kill()
                errors.seek(0)
                why = f"no news for {timeout:.0f} s" if watchdog.barked else errors.read().strip()
                raise WebDNNError("Node.js could not run the job", why=why[-2000:])


class _Watchdog:
    """Ends a process that gives no news for a time."""

    def __init__(self, process: subprocess.Popen[str], seconds: float) -> None:
        self._process = process
        self._seconds = seconds
        self.barked = False
        self._timer = threading.Timer(seconds, self._bark)
        self._timer.start()

    def news(self) -> None:
        self._timer.cancel()
        self._timer = threading.Timer(self._seconds, self._bark)
        self._timer.start()

    def stop(self) -> None:
        self._timer.cancel()

    def _bark(self) -> None:
        self.barked = True
        self._process.kill()


@cache
def _version(program: str) -> str:
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise WebDNNError(
            "Node.js cannot be started", where=program, why=str(error), hint="install Node.js 20"
        ) from error
    return done.stdout.strip().removeprefix("v")
