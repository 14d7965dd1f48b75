"""The networks of `keras.applications`, as Keras saved them, against what Keras computes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import webdnn
from tests.tolerances import MODEL_TOLERANCE
from tests.unit import keras_networks
from webdnn.dialects.dtypes import Array

SIZES = {
    "MobileNetV3Small": 96,
    **dict.fromkeys(("ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtXLarge", "NASNetLarge"), 128),
}
"""Pictures of other sizes than 224: in CI, and where the network is large. Of 128 EfficientNetV2L has maps of 4 by 4,
and of statistics from so few places it becomes chaotic: a millionth of the picture changes its scores by 0.4."""

QUICK = ("MobileNetV3Small",)
NETWORKS = (
    "ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtSmall", "ConvNeXtTiny", "ConvNeXtXLarge", "DenseNet121",
    "DenseNet169", "DenseNet201", "EfficientNetB0", "EfficientNetB1", "EfficientNetB2", "EfficientNetB3",
    "EfficientNetB4", "EfficientNetB5", "EfficientNetB6", "EfficientNetB7", "EfficientNetV2B0", "EfficientNetV2B1",
    "EfficientNetV2B2", "EfficientNetV2B3", "EfficientNetV2L", "EfficientNetV2M", "EfficientNetV2S",
    "InceptionResNetV2", "InceptionV3", "MobileNet", "MobileNetV2", "MobileNetV3Large", "MobileNetV3Small",
    "NASNetLarge", "NASNetMobile", "ResNet101", "ResNet101V2", "ResNet152", "ResNet152V2", "ResNet50", "ResNet50V2",
    "VGG16", "VGG19", "Xception",
)  # fmt: skip


def _script(*arguments: str) -> str:
    command = [sys.executable, "-m", keras_networks.__name__, *arguments]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _made(name: str, size: int, folder: Path) -> tuple[Array, Array]:
    """Make a network; gives a picture, and what Keras computes of it."""
    _script(name, str(size), str(folder))
    with np.load(folder / "data.npz") as arrays:
        return arrays["image"], arrays["result"]


def _error(result: Array, expected: Array) -> float:
    """The greatest difference, relative to the greatest score."""
    return float(np.abs(result - expected).max() / np.abs(expected).max())


@pytest.mark.nightly
def test_all_constructors_are_compared() -> None:
    assert sorted(_script("list").split()) == sorted(NETWORKS)


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.nightly) for n in NETWORKS]
)
def test_network(name: str, tmp_path: Path) -> None:
    image, expected = _made(name, SIZES.get(name, 224), tmp_path)
    package = webdnn.compile(tmp_path / "net.h5", target="wasm", shapes=[image.shape])
    (entry,) = package.manifest["inputs"]
    (result,) = package.run({entry["name"]: image}).values()
    assert np.ptp(expected) > 1e-3
    assert _error(result, expected) <= MODEL_TOLERANCE


@pytest.mark.nightly
@pytest.mark.parametrize("backend", ["wasm", "webgpu"])
@pytest.mark.parametrize("name", ["ResNet50", "VGG16", "InceptionV3"])
def test_from_h5_to_a_browser(name: str, backend: str, tmp_path: Path) -> None:
    """One command makes the package, and Chromium computes what Keras does."""
    image, expected = _made(name, 224, tmp_path)
    command = [str(Path(sys.executable).with_name("webdnn")), "compile", str(tmp_path / "net.h5")]
    options = ["--input-shape", "(1,224,224,3)", "-o", str(tmp_path / "out")]
    subprocess.run([*command, *options], check=True)
    (tmp_path / "in").mkdir()
    image.tofile(tmp_path / "in" / "0.bin")
    node = shutil.which("node")
    assert node is not None, "Node.js is not installed"
    script = Path(__file__).parents[1] / "e2e" / "run_package.mjs"
    run = [node, str(script), str(tmp_path / "out"), "--backend", backend, "--repeat", "0"]
    folders = ["--inputs", str(tmp_path / "in"), "--outputs", str(tmp_path / "result")]
    done = subprocess.run(
        [*run, *folders, "--timeout", "3600"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result = np.fromfile(tmp_path / "result" / "0.bin", np.float32).reshape(expected.shape)
    assert _error(result, expected) <= MODEL_TOLERANCE
