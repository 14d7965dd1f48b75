"""Starts the browser's driver (`driver.mjs`) with a job and yields its reports."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from webdnn.engines.chromium import find_chromium

HERE = Path(__file__).parent


def ensure_node_modules() -> None:
    """Install the peers from `package-lock.json` unless that has been done."""
    lock = HERE / "package-lock.json"
    installed = HERE / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=HERE, check=True)


def peer_mounts() -> dict[str, str]:
    """Where the server finds the pages and the code of the peers."""
    modules = HERE / "node_modules"
    mounts = {"/page": HERE / "page", "/ort": modules / "onnxruntime-web" / "dist"}
    for name in ("tfjs-core", "tfjs-backend-wasm", "tfjs-backend-webgpu"):
        mounts[f"/{name}"] = modules / "@tensorflow" / name / "dist"
    mounts["/litert"] = modules / "@litertjs" / "core"
    mounts["/litert-wasm-utils"] = modules / "@litertjs" / "wasm-utils"
    mounts["/webdnn"] = HERE.parent / "runtime-ts" / "dist"
    return {prefix: str(path) for prefix, path in mounts.items()}


def drive(job: dict[str, Any], timeout: float) -> Iterator[dict[str, Any]]:
    """Run a job and yield its events as they come; see `driver.mjs` for both.

    Raises:
        RuntimeError: the driver ended with an error.
    """
    ensure_node_modules()
    with tempfile.TemporaryDirectory(prefix="webdnn-bench-") as directory:
        file = Path(directory) / "job.json"
        file.write_text(json.dumps({**job, "chromium": find_chromium(), "timeout": timeout}))
        command = ["node", str(HERE / "driver.mjs"), str(file)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=HERE
        ) as process:
            assert process.stdout is not None and process.stderr is not None
            try:
                for line in process.stdout:
                    yield json.loads(line)
            finally:
                if process.poll() is None and process.stdout.closed:
                    process.terminate()
            errors = process.stderr.read()
            if process.wait() != 0:
                raise RuntimeError(f"the browser's driver failed:\n{errors.strip()}")
