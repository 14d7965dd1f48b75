"""The runtimes that are compared, and what the browser's driver needs to know of each."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import webdnn_package
from .browser import HERE, peer_mounts
from .models import MODELS
from .prepare import Network, prepare, tflite_directory


@dataclass(frozen=True)
class Peer:
    """A runtime.

    Attributes:
        adapter: the file in `page/runtimes`
        package: the npm package whose version is told, if it is one
        modules: what the adapter imports, and `scripts` what it loads; `{backend}` is the back end's name. The head of
            a page that starts fast names them, as bundlers do: they are asked for at once, not one for another
    """

    name: str
    adapter: str
    package: str = ""
    modules: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()

    def preloads(self, backend: str) -> list[dict[str, str]]:
        """The attributes of the `link` elements that a page has for this runtime."""
        modules = ("/page/case.js", f"/page/runtimes/{self.adapter}", *self.modules)
        links = [{"rel": "modulepreload", "href": module} for module in modules]
        links += [{"rel": "preload", "as": "script", "href": script} for script in self.scripts]
        return [{**link, "href": link["href"].format(backend=backend)} for link in links]

    def version(self) -> str:
        if not self.package:
            return json.loads((HERE.parent / "runtime-ts" / "package.json").read_text())["version"]
        return json.loads((HERE / "package.json").read_text())["dependencies"][self.package]


FLOATS = "webdnn-float"
"""WebDNN with the floats that a quantised network was made from."""

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer("webdnn", "webdnn.js", modules=("/webdnn/index.js",)),
        Peer(FLOATS, "webdnn.js", modules=("/webdnn/index.js",)),
        Peer(
            "onnxruntime-web",
            "onnxruntime.js",
            "onnxruntime-web",
            modules=("/ort/ort.{backend}.bundle.min.mjs",),
        ),
        Peer(
            "tfjs",
            "tfjs.js",
            "@tensorflow/tfjs-core",
            modules=("/page/tfjs_program.js",),
            scripts=(
                "/tfjs-core/tf-core.min.js",
                "/tfjs-backend-{backend}/tf-backend-{backend}.min.js",
            ),
        ),
        Peer(
            "litert",
            "litert.js",
            "@litertjs/core",
            modules=("/litert/dist/index.js", "/litert-wasm-utils/dist/bundle.js"),
        ),
    )
}


TOLERANCE = 1e-4
"""The largest error, relative to the output's range, with which a time counts."""

QUANTISED_TOLERANCE = 0.1
"""The same for quantised networks: where one rounds up, another one rounds down, and the difference goes through all
that follows. ONNX Runtime differs from itself by 0.06 when its graph optimisations are off."""


@dataclass(frozen=True)
class Setting:
    """What is the same for all peers of one measurement.

    Attributes:
        backend: `wasm` or `webgpu`
        threads: of the wasm back ends
        gpu: `software` or `hardware`: the adapter that WebGPU gets
        rounds: samples of each peer
        timeout: seconds that one step in the browser may take
    """

    backend: str
    threads: int
    gpu: str
    rounds: int
    timeout: float

    def __str__(self) -> str:
        if self.backend == "wasm":
            return f"wasm, {self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"{self.backend}, {self.gpu} GPU"


def browser_job(
    model: Network, peers: Iterable[str], setting: Setting, repeats: int = 1
) -> tuple[dict[str, Any], dict[str, str]]:
    """The job of `driver.mjs` for one model, without its mode, and what went wrong with peers that cannot take part.

    Compiles the model if WebDNN is among the peers. A sample is the mean of `repeats` runs.
    """
    names = list(peers)
    source: str = getattr(model, "source", "")
    skipped = ("tfjs",) if source else (FLOATS,)
    names = [name for name in names if name not in skipped]
    failures: dict[str, str] = {}
    ready = prepare(model)
    url = {
        "case": "/case",
        "tfjs": "/tfjs",
        "litert": "/litert-model",
        "webdnn": "/package",
        "onnx": {
            "file": f"/onnx/{ready.onnx}",
            "externalData": [{"path": name, "file": f"/onnx/{name}"} for name in ready.external],
        },
    }
    mounts = {
        **peer_mounts(),
        "/case": str(ready.case_dir),
        "/onnx": str(ready.onnx_dir),
    }
    if ready.tfjs_dir is not None:
        mounts["/tfjs"] = str(ready.tfjs_dir)
    if "litert" in names:
        try:
            mounts["/litert-model"] = str(tflite_directory(model))
        except RuntimeError as error:
            names.remove("litert")
            failures["litert"] = str(error)
    for name, prefix in (("webdnn", "/package"), (FLOATS, "/package-float")):
        if name not in names:
            continue
        webdnn_package.ensure_runtime_built()
        try:
            network = MODELS[source] if name == FLOATS else model
            mounts[prefix] = str(_package(network, setting.backend))
        except RuntimeError as error:
            names.remove(name)
            failures[name] = str(error)
    fast = setting.backend == "wasm" or setting.gpu == "hardware"
    runtimes = [
        {
            "name": name,
            "module": f"/page/runtimes/{PEERS[name].adapter}",
            "preloads": PEERS[name].preloads(setting.backend),
            "backend": setting.backend,
            "threads": setting.threads,
            "url": {**url, "webdnn": "/package-float"} if name == FLOATS else url,
            "tolerance": QUANTISED_TOLERANCE if source else TOLERANCE,
            "warmup": 3 if fast else 1,
            # V8 runs code that it has compiled in haste until its optimising compiler has caught up
            "warmupMs": 1000 if fast else 0,
        }
        for name in names
    ]
    job = {
        "mounts": mounts,
        "runtimes": runtimes,
        "rounds": setting.rounds,
        "repeats": repeats,
        # threads of one runtime may spin for a while after its run
        "pause": 50 if setting.backend == "wasm" and setting.threads > 1 else 0,
        "gpu": "none" if setting.backend == "wasm" else setting.gpu,
    }
    return job, failures


def _package(model: Network, backend: str) -> Path:
    directory = webdnn_package.output_directory(model.name, backend)
    webdnn_package.compile_package(model.path(), directory, backend)
    return directory
