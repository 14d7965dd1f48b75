"""Every layer of Keras that computes, converted and compiled, against Keras itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.unit import keras_layers
from tests.unit.keras_conversions import check_converted, run_script

QUICK = (
    "Bidirectional_masked", "CategoryEncoding_count", "Conv1D_groups", "Conv2DTranspose_first", "ConvLSTM2D",
    "Dense", "DepthwiseConv2D", "Discretization_int", "GRU_state", "GroupQueryAttention", "IntegerLookup_int",
    "LSTM_masked", "LayerNormalization_of_axes", "MelSpectrogram", "MultiHeadAttention_masked", "RNN",
    "Resizing_bilinear", "Resizing_nearest", "SeparableConv2D", "UpSampling2D_bicubic", "activation_celu",
    "activation_gelu", "softmax_masked",
)  # fmt: skip
"""What is compared at every change; all of it nightly."""


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layers")
    run_script(keras_layers.__name__, str(folder), *QUICK)
    return folder


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layers")
    run_script(keras_layers.__name__, str(folder))
    return folder


def _check(folder: Path, name: str) -> None:
    error = folder / f"{name}.txt"
    assert not error.exists(), error.read_text()
    with np.load(folder / f"{name}.npz") as arrays:
        inputs = [arrays[key] for key in arrays if key.startswith("in")]
        expected = [arrays[key] for key in arrays if key.startswith("out")]
    check_converted(folder / name, inputs, expected)


@pytest.mark.parametrize("name", QUICK)
def test_layer(quick: Path, name: str) -> None:
    _check(quick, name)


@pytest.mark.nightly
@pytest.mark.parametrize("name", [name for name in keras_layers.CASES if name not in QUICK])
def test_all_layers(every: Path, name: str) -> None:
    _check(every, name)


def test_no_layer_is_forgotten() -> None:
    command = [sys.executable, "-m", keras_layers.__name__, "classes"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    found = json.loads(done.stdout.splitlines()[-1])
    assert sorted(set(found["all"]) - set(found["used"])) == sorted(keras_layers.LEFT_OUT)
