"""Models in headless Chromium, on both back ends, through the runtime: what ONNX Runtime gives."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import webdnn
from tests.models import all_models, model_case, reference
from tests.tolerances import assert_close

SCRIPT = Path(__file__).parents[1] / "e2e" / "run_package.mjs"
QUICK = ("magika", "rapidocr_cls", "light_shufflenet")
"""Models that are run here at every change. WebGPU on a CPU takes minutes for the others: they are run nightly."""

MAX_CODE_BYTES = 150_000
"""Runtime, manifest and wasm module or shaders, as a server sends them (with gzip)."""

CASES = [
    pytest.param(
        name, backend, marks=[] if name in QUICK else [pytest.mark.nightly], id=f"{name}-{backend}"
    )
    for name in all_models()
    for backend in ("wasm", "webgpu")
]


@pytest.mark.parametrize(("name", "backend"), CASES)
def test_model(name: str, backend: str, tmp_path: Path) -> None:
    case = model_case(name)
    expected = reference(case)
    package = webdnn.compile(case.path, shapes=case.shapes)
    package.save(tmp_path / "package")
    (tmp_path / "in").mkdir()
    inputs = case.inputs()
    for number, tensor in enumerate(package.manifest["inputs"]):
        inputs[tensor["name"]].tofile(tmp_path / "in" / f"{number}.bin")
    node = shutil.which("node")
    assert node is not None, "Node.js is not installed"
    command = [node, str(SCRIPT), str(tmp_path / "package"), "--backend", backend]
    folders = ["--inputs", str(tmp_path / "in"), "--outputs", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, *folders, "--timeout", "1800"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["backend"] == backend
    assert report["downloadBytes"]["code"] < MAX_CODE_BYTES
    for number, tensor in enumerate(package.manifest["outputs"]):
        raw = np.fromfile(tmp_path / "out" / f"{number}.bin", np.dtype(tensor["dtype"]))
        result = raw.reshape(tensor["shape"])
        wanted = np.asarray(expected[tensor["name"]])
        assert_close(result, wanted, name, f"{tensor['name']} on {backend} in Chromium")
