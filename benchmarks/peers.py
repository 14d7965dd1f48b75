"""The runtimes that are compared, and what the browser's driver needs to know of each."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import webdnn_package
from .browser import HERE, peer_mounts
from .models import BenchmarkModel
from .prepare import prepare


@dataclass(frozen=True)
class Peer:
    """`adapter` is the file in `page/runtimes`; `package` the npm package whose version is told, if it is one."""

    name: str
    adapter: str
    package: str = ""

    def version(self) -> str:
        if not self.package:
            return json.loads((HERE.parent / "runtime-ts" / "package.json").read_text())["version"]
        return json.loads((HERE / "package.json").read_text())["dependencies"][self.package]


PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer("webdnn", "webdnn.js"),
        Peer("onnxruntime-web", "onnxruntime.js", "onnxruntime-web"),
        Peer("tfjs", "tfjs.js", "@tensorflow/tfjs-core"),
    )
}


def browser_job(
    model: BenchmarkModel, peers: Iterable[str], backend: str, threads: int, rounds: int
) -> dict[str, Any]:
    """The job of `driver.mjs` for one model, without its mode. Compiles the model if WebDNN is among the peers."""
    names = list(peers)
    ready = prepare(model)
    url = {
        "case": "/case",
        "tfjs": "/tfjs",
        "webdnn": "/package",
        "onnx": {
            "file": f"/onnx/{ready.onnx}",
            "externalData": [{"path": name, "file": f"/onnx/{name}"} for name in ready.external],
        },
    }
    mounts = {
        **peer_mounts(),
        "/case": str(ready.case_dir),
        "/tfjs": str(ready.tfjs_dir),
        "/onnx": str(ready.onnx_dir),
    }
    if "webdnn" in names:
        mounts["/package"] = str(_package(model, backend))
        webdnn_package.ensure_runtime_built()
    runtimes = [
        {
            "name": name,
            "module": f"/page/runtimes/{PEERS[name].adapter}",
            "backend": backend,
            "threads": threads,
            "url": url,
            "warmup": 3,
        }
        for name in names
    ]
    return {
        "mounts": mounts,
        "runtimes": runtimes,
        "rounds": rounds,
        # threads of one runtime may spin for a while after its run
        "pause": 0 if threads == 1 else 50,
        "softwareGpu": backend == "webgpu",
    }


def _package(model: BenchmarkModel, backend: str) -> Path:
    directory = webdnn_package.output_directory(model.name, backend)
    webdnn_package.compile_package(model.path(), directory, backend)
    return directory
