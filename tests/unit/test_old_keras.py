"""Files of Keras 1 and 2 against what these computed.

`keras_files/keras_1_2_2.zip` and `keras_2_2_4.zip` were written by these very versions, on TensorFlow's interface of
version 1: each model as `model.save` left it, and in `numbers.npz` its inputs (`NAME|in0`) and what `model.predict`
gave (`NAME|out0`). Newer files are written here, by tf_keras, which is Keras 2 as it is today.
"""

from __future__ import annotations

import importlib
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import webdnn
from tests.unit import keras2_models, theano_padding
from tests.unit.keras_conversions import check_converted, convert_all, run_script
from webdnn.dialects.dtypes import Array

FILES = Path(__file__).with_name("keras_files")
KERAS_1 = (
    "bn2", "c1d", "c3d", "cnn", "cnnth", "convlstm", "deconv", "emb", "func", "merged", "mlp", "rnncpu", "rnngpu",
    "rnnmem", "seqinseq",
)  # fmt: skip
KERAS_2 = ("cnn", "mlp", "nest", "rnn", "seqcnn")
QUICK = {"c1d", "cnnth", "func", "merged", "mlp", "rnncpu"}
"""What is compared at every change; all of it nightly."""


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _converted(tmp_path_factory.mktemp("old"), {"numbers.npz"} | {f"{n}.h5" for n in QUICK})


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _converted(tmp_path_factory.mktemp("old"), None)


def _converted(folder: Path, wanted: set[str] | None) -> Path:
    """Files of both versions, and some of them changed to what others wrote, with their conversions."""
    for version in ("keras_1_2_2", "keras_2_2_4"):
        with zipfile.ZipFile(FILES / f"{version}.zip") as archive:
            for name in archive.namelist():
                if wanted is None or name in wanted:
                    (folder / f"{version}_{name}").write_bytes(archive.read(name))
    _changed(folder / "keras_1_2_2_cnnth.h5", folder / "theano_cnnth.h5", _as_theano)
    _changed(folder / "keras_1_2_2_c1d.h5", folder / "keras_1_1_c1d.h5", _as_keras_1_1)
    convert_all(folder)
    return folder


def _changed(source: Path, target: Path, change: Callable[[Any], None]) -> None:
    h5py: Any = importlib.import_module("h5py")
    shutil.copyfile(source, target)
    with h5py.File(target, "r+") as file:
        change(file)


def _replace(group: Any, names: list[str], arrays: list[Array]) -> None:
    """Give a layer other arrays."""
    for key in list(group):
        del group[key]
    group.attrs["weight_names"] = [name.encode() for name in names]
    for name, array in zip(names, arrays, strict=True):
        group[name] = array


def _stored(group: Any) -> tuple[list[str], list[Array]]:
    raw = group.attrs["weight_names"]
    names = [name.decode() if isinstance(name, bytes) else str(name) for name in raw]
    return names, [group[name][()] for name in names]


def _as_theano(file: Any) -> None:
    """Theano convolves: its filters are turned round. Its names have no number of an output."""
    for group in file["model_weights"].values():
        names, arrays = _stored(group)
        flipped = [a[:, :, ::-1, ::-1] if a.ndim == 4 else a for a in arrays]
        _replace(group, [name.removesuffix(":0") for name in names], flipped)


def _as_keras_1_1(file: Any) -> None:
    """Filters of one dimension had their channels first."""
    for name, group in file["model_weights"].items():
        if name.startswith("convolution1d"):
            names, (filters, *others) = _stored(group)
            _replace(group, names, [filters.transpose(3, 2, 0, 1), *others])


def _as_cudnn(file: Any) -> None:
    """The recurrent layers as those of CuDNN, whose filters are transposed and whose biases are two."""
    config = json.loads(file.attrs["model_config"])
    for layer in config["config"]["layers"]:
        settings = layer["config"]
        if layer["class_name"] not in ("LSTM", "GRU"):
            continue
        gates = 4 if layer["class_name"] == "LSTM" else 3
        kept = (
            "name",
            "trainable",
            "return_sequences",
            "return_state",
            "go_backwards",
            "stateful",
            "units",
        )
        layer["config"] = {key: settings[key] for key in kept}
        layer["class_name"] = f"CuDNN{layer['class_name']}"
        group = file["model_weights"][settings["name"]]
        names, (kernel, recurrent, bias) = _stored(group)
        # of each gate the transposed filter, read row by row
        kernels = [part.T.reshape(part.shape) for part in np.split(kernel, gates, 1)]
        recurrents = [part.T for part in np.split(recurrent, gates, 1)]
        both = np.concatenate([0.25 * bias, 0.75 * bias]) if gates == 4 else bias.reshape(-1)
        arrays = [np.concatenate(kernels, 1), np.concatenate(recurrents, 1), both]
        _replace(group, names, arrays)
    file.attrs["model_config"] = json.dumps(config).encode()


def _check(folder: Path, version: str, name: str, file: str | None = None) -> None:
    with np.load(folder / f"{version}_numbers.npz") as arrays:
        inputs = [arrays[key] for key in sorted(arrays) if key.startswith(f"{name}|in")]
        expected = [arrays[key] for key in sorted(arrays) if key.startswith(f"{name}|out")]
    check_converted(folder / f"{file or f'{version}_{name}'}.h5", inputs, expected)


@pytest.mark.parametrize("name", [name for name in KERAS_1 if name in QUICK])
def test_keras_1(quick: Path, name: str) -> None:
    _check(quick, "keras_1_2_2", name)


@pytest.mark.parametrize("name", [name for name in KERAS_2 if name in QUICK])
def test_keras_2(quick: Path, name: str) -> None:
    _check(quick, "keras_2_2_4", name)


@pytest.mark.nightly
@pytest.mark.parametrize("name", KERAS_1)
def test_all_of_keras_1(every: Path, name: str) -> None:
    _check(every, "keras_1_2_2", name)


@pytest.mark.nightly
@pytest.mark.parametrize("name", KERAS_2)
def test_all_of_keras_2(every: Path, name: str) -> None:
    _check(every, "keras_2_2_4", name)


def test_filters_of_theano(quick: Path) -> None:
    _check(quick, "keras_1_2_2", "cnnth", "theano_cnnth")


def test_padding_of_theano() -> None:
    run_script(theano_padding.__name__)


def test_filters_of_keras_1_1(quick: Path) -> None:
    _check(quick, "keras_1_2_2", "c1d", "keras_1_1_c1d")


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keras2")
    run_script(keras2_models.__name__, str(folder))
    _changed(folder / "cudnn.h5", folder / "changed.h5", _as_cudnn)
    convert_all(folder)
    return folder


@pytest.mark.parametrize("suffix", ["h5", pytest.param("keras", marks=pytest.mark.nightly)])
@pytest.mark.parametrize("name", keras2_models.MAKERS)
def test_newest_keras_2(newest: Path, name: str, suffix: str) -> None:
    with np.load(newest / "numbers.npz") as arrays:
        inputs = [arrays[key] for key in sorted(arrays) if key.startswith(f"{name}|in")]
        expected = [arrays[key] for key in sorted(arrays) if key.startswith(f"{name}|out")]
    check_converted(newest / f"{name}.{suffix}", inputs, expected)


def test_layers_of_cudnn(newest: Path) -> None:
    with np.load(newest / "numbers.npz") as arrays:
        inputs, expected = [arrays["cudnn|in0"]], [arrays["cudnn|out0"]]
    check_converted(newest / "changed.h5", inputs, expected)


def test_code_in_a_file_is_not_run(newest: Path) -> None:
    said = (newest / "code.h5.txt").read_text()
    assert "where: doubled" in said
    assert "--custom-objects" in said


def test_an_argument_that_is_gone(newest: Path) -> None:
    said = (newest / "major.h5.txt").read_text()
    assert "where: steps" in said
    assert "time" in said


def test_an_unknown_layer_is_named(newest: Path, tmp_path: Path) -> None:
    said = (newest / "unknown.h5.txt").read_text()
    assert "Keras has no layer Strange" in said
    assert "where: oddity" in said
    with pytest.raises(webdnn.WebDNNError, match="Keras has no layer Strange"):
        webdnn.convert(newest / "unknown.h5", tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []
