"""Compiles a model with WebDNN in a process of its own, and measures what that costs."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .browser import HERE
from .cache import cache_dir

RUNTIME = HERE.parent / "runtime-ts"
SAMPLE_SECONDS = 0.1


@dataclass(frozen=True)
class CompileCost:
    """Wall-clock seconds, and the largest sum of memory of all processes that took part, in bytes."""

    seconds: float
    peak_bytes: int


@cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    """Of this process alone, so that several may measure at once; it is removed at exit."""
    parent = cache_dir() / "compiled"
    parent.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=parent)


def output_directory(name: str, target: str) -> Path:
    """Where the package of a model is written."""
    return Path(_scratch().name) / f"{name}-{target}"


def compile_package(
    model: Path, directory: Path, target: str, compiler_cache: Path | None = None
) -> CompileCost:
    """`webdnn compile model --target target -o directory`; an old package there is replaced.

    Args:
        compiler_cache: where the compiler keeps compiled kernels, in place of its usual directory

    Raises:
        RuntimeError: the compiler ended with an error, which is quoted.
    """
    shutil.rmtree(directory, ignore_errors=True)
    directory.parent.mkdir(parents=True, exist_ok=True)
    entry = "from webdnn.tools.webdnn import main; main()"
    command = [sys.executable, "-c", entry, "compile", str(model)]
    command += ["--target", target, "-o", str(directory)]
    environment = dict(os.environ)
    if compiler_cache is not None:
        environment["WEBDNN_CACHE_DIR"] = str(compiler_cache)
    started = time.perf_counter()
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=environment) as process,
    ):
        memory = _PeakMemory(process.pid)
        process.wait()
        seconds = time.perf_counter() - started
        memory.stop()
        if process.returncode != 0:
            log.seek(0)
            lines = log.read().decode(errors="replace").strip().splitlines()
            shown = f"webdnn {' '.join(command[3:])}"
            raise RuntimeError(f"`{shown}` failed:\n{chr(10).join(lines[-8:])}")
    return CompileCost(seconds, memory.peak)


def ensure_runtime_built() -> None:
    """Build the runtime's bundle unless it is newer than its sources."""
    bundle = RUNTIME / "dist" / "index.js"
    newest = max(file.stat().st_mtime for file in (RUNTIME / "src").rglob("*.ts"))
    if bundle.exists() and bundle.stat().st_mtime >= newest:
        return
    if not (RUNTIME / "node_modules").exists():
        subprocess.run(
            ["npm", "install", "--no-save", "--no-audit", "--no-fund"], cwd=RUNTIME, check=True
        )
    subprocess.run(["node", "build.mjs"], cwd=RUNTIME, check=True)


class _PeakMemory:
    """Samples the memory of a process and its descendants.

    On Linux a page that several processes share counts once (the proportional set size).
    Elsewhere `peak` is the resident memory of the largest single process so far.
    """

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._pid = pid
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        if not Path("/proc/self/smaps_rollup").exists() and sys.platform != "win32":
            import resource

            unit = 1 if sys.platform == "darwin" else 1024
            self.peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit

    def _sample(self) -> None:
        while not self._stopped.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, sum(_proportional(pid) for pid in _tree(self._pid)))


def _tree(pid: int) -> list[int]:
    """A process and its descendants; those that end meanwhile are left out."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in task.read_text().split()]
            except OSError:
                continue
    return found


def _proportional(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
