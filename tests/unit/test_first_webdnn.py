"""The program of the first WebDNN's users, in headless Chromium, on a network of Keras that one command compiled."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.unit import keras_network

PROGRAM = Path(__file__).parents[1] / "e2e" / "run_first_program.mjs"
WEBDNN = Path(sys.executable).with_name("webdnn")

NETWORKS = {"small": 48, "ResNet50": 224}
"""The sizes of their pictures. The second is the one of the first WebDNN's README."""

TOLERANCE = 1e-4


def _run(command: list[str | Path], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A folder with what the network's script writes, and with the package. It may be large, so it goes afterwards."""
    name: str = request.param
    size = NETWORKS[name]
    made = tmp_path_factory.mktemp(name)
    _run([sys.executable, keras_network.__file__, name, str(size), made], made)
    shape = f"(1,{size},{size},3)"
    # The arguments are those of the first WebDNN's bin/convert_keras.py.
    _run([WEBDNN, "compile", "network.h5", "--input_shape", shape, "--out", "output"], made)
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize("backend", ["wasm", "webgpu"])
@pytest.mark.parametrize(
    "folder",
    [
        pytest.param(name, marks=[] if name == "small" else [pytest.mark.nightly])
        for name in NETWORKS
    ],
    indirect=True,
)
def test_program(folder: Path, backend: str) -> None:
    node = shutil.which("node")
    assert node is not None, "Node.js is not installed"
    printed = _run([node, PROGRAM, folder, "--backend", backend, "--timeout", "1800"], folder)
    expected = np.load(folder / "probabilities.npy")
    for result in json.loads(printed):
        assert result["backend"] == {"wasm": "webassembly"}.get(backend, backend)
        probabilities = np.array(result["probabilities"], np.float32)
        np.testing.assert_allclose(
            probabilities, expected, rtol=0, atol=TOLERANCE * float(np.ptp(expected))
        )
        assert result["printed"] == [["Output", [int(np.argmax(probabilities))]]]
