"""Caffe models that cannot be converted: one error that names the layer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.unit.caffe_arithmetic import Net
from tests.unit.caffe_models import (
    CONV,
    X,
    input_layer,
    layer,
    made,
    trained,
    write,
)
from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.caffe.convert import convert
from webdnn.frontends.caffe.schema import NetParameter


def message(folder: Path, text: str, net: Net | None = None) -> str:
    """The error of converting a network, with the trained numbers of another one."""
    files = write(folder, text, (net or made(CONV)).weights)
    with pytest.raises(WebDNNError) as error:
        convert(*files)
    return str(error.value)


def test_unknown_layers_are_listed_at_once(tmp_path: Path) -> None:
    text = (
        CONV
        + layer("Warp", "y", "a", "warp_param { depth: 3 }")
        + layer("Python", "a", "b", 'python_param { module: "m" layer: "L" }')
        + layer("Fold", "b", "c")
    )
    error = message(tmp_path, text)
    assert "3 layers of unknown type" in error
    assert "a (Warp), b (Python), c (Fold)" in error
    assert "m.L" in error


def test_unknown_types_of_old_layers(tmp_path: Path) -> None:
    text = 'layers { name: "a" type: WARP bottom: "x" top: "y" }'
    (tmp_path / "deploy.prototxt").write_text(text)
    with pytest.raises(WebDNNError, match=r"unknown types[\s\S]*WARP"):
        convert(tmp_path / "deploy.prototxt")


def test_text_that_cannot_be_read(tmp_path: Path) -> None:
    error = message_of_text(tmp_path, X + 'layer { name: "y" type: TanH }')
    assert "line 2, column" in error
    error = message_of_text(tmp_path, CONV[:-10])
    assert "the network cannot be read" in error


def message_of_text(folder: Path, text: str) -> str:
    (folder / "deploy.prototxt").write_text(text)
    with pytest.raises(WebDNNError) as error:
        convert(folder / "deploy.prototxt")
    return str(error.value)


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.99])
def test_truncated_files(tmp_path: Path, keep: float) -> None:
    network, weights = write(tmp_path, CONV, made(CONV).weights)
    data = weights.read_bytes()
    weights.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(WebDNNError, match="damaged or truncated"):
        convert(network, weights)


def test_missing_weights(tmp_path: Path) -> None:
    network, weights = write(tmp_path, CONV, {"other": [np.zeros(3, np.float32)]})
    with pytest.raises(WebDNNError, match=r"no weights for layers of the network[\s\S]*where: y"):
        convert(network, weights)
    weights.unlink()
    with pytest.raises(WebDNNError, match=r"the network has no weights[\s\S]*--caffe-weights"):
        convert(network)


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    net = made(CONV)
    net.weights["y"][0] = np.zeros((3, 2, 2, 3), np.float32)
    error = message(tmp_path, CONV, net)
    assert (
        "layer 'y' (Convolution): its weights 0 have the shape (3, 2, 2, 3), not (3, 2, 2, 2)"
        in error
    )
    del net.weights["y"][1]
    assert "has 1 blobs of weights for it, not 2" in message(tmp_path, CONV, net)


def test_weights_with_too_few_numbers(tmp_path: Path) -> None:
    network, weights = write(tmp_path, CONV, made(CONV).weights)
    net = NetParameter.FromString(weights.read_bytes())
    net.layer[1].blobs[0].data[0] = bytes(8)
    weights.write_bytes(net.SerializeToString())
    with pytest.raises(WebDNNError, match=r"layer 'y'.*damaged") as error:
        convert(network, weights)
    assert "2 numbers, and its shape 24" in str(error.value)


BAD: dict[str, tuple[str, str]] = {
    "missing bottom": (X + layer("TanH", "z", "y"), "layer 'y' reads a blob that no layer before"),
    "blob made twice": (X + layer("TanH", "x", "y") * 2, "makes a blob that is there already"),
    "nothing": (X, "computes nothing"),
    "axis": (X + layer("Softmax", "x", "y", "softmax_param { axis: 4 }"), "no axis 4"),
    "groups": (
        X
        + layer(
            "Convolution", "x", "y", "convolution_param { num_output: 3 kernel_size: 1 group: 2 }"
        ),
        "2 groups do not divide",
    ),
    "kernel": (
        X + layer("Convolution", "x", "y", "convolution_param { num_output: 3 kernel_size: 9 }"),
        "nothing is left of 5",
    ),
    "no kernel": (X + layer("Pooling", "x", "y"), "a kernel or stride is 0"),
    "padding": (
        X + layer("Pooling", "x", "y", "pooling_param { kernel_size: 2 pad: 2 }"),
        "the padding is not less than the kernel",
    ),
    "stochastic": (
        X + layer("Pooling", "x", "y", "pooling_param { kernel_size: 2 pool: STOCHASTIC }"),
        "for training",
    ),
    "shapes": (
        X + input_layer(z=(1, 2, 5, 3)) + layer("Eltwise", "x z", "y"),
        "inputs are of different shapes",
    ),
    "concat": (
        X + input_layer(z=(1, 2, 5, 3)) + layer("Concat", "x z", "y"),
        "differ in more than axis 1",
    ),
    "slice": (X + layer("Slice", "x", "a b c"), "3 slices do not divide 2 elements"),
    "reshape": (
        X + layer("Reshape", "x", "y", "reshape_param { shape { dim: 3 dim: -1 } }"),
        "40 elements do not fit the shape",
    ),
    "crop": (
        X + input_layer(z=(1, 2, 6, 3)) + layer("Crop", "x z", "y"),
        "is larger than what it reads",
    ),
    "tops": (X + layer("TanH", "x", "y z"), "it makes 2 blobs, and must make 1"),
    "bottoms": (X + layer("TanH", "x x", "y"), "it reads 2 blobs, and must read 1"),
    "no bottoms": (X + layer("TanH", "", "y") + layer("TanH", "x", "z"), "it reads nothing"),
    "even LRN": (X + layer("LRN", "x", "y", "lrn_param { local_size: 4 }"), "must be odd"),
    "constant": (
        layer("DummyData", "", "y", "dummy_data_param { shape { dim: 2 dim: -2 } }")
        + layer("TanH", "y", "z"),
        "a blob cannot have the shape (2, -2)",
    ),
    "too large": (
        X + layer("Tile", "x", "y", "tile_param { tiles: 2000000000 }"),
        "a blob cannot have the shape",
    ),
    "ratio": (
        X + layer("PriorBox", "x x", "y", "prior_box_param { min_size: 2 aspect_ratio: -1 }"),
        "an aspect ratio is not positive",
    ),
    "unknown size": (
        X
        + input_layer(l=(1, 8), c=(1, 4), p=(1, 2, 8))
        + layer("DetectionOutput", "l c p", "d", "detection_output_param { num_classes: 2 }")
        + layer("TanH", "d", "y"),
        "known only when the model runs",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_networks(tmp_path: Path, name: str) -> None:
    text, expected = BAD[name]
    assert expected in message(tmp_path, text)


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ({"z": [1]}, "the network has no such input"),
        ({"x": [1, 2, 0, 3]}, "cannot have the shape"),
    ],
)
def test_bad_shapes(tmp_path: Path, shapes: dict[str, list[int]], expected: str) -> None:
    files = write(tmp_path, CONV, made(CONV).weights)
    with pytest.raises(WebDNNError, match=expected):
        convert(*files, shapes=shapes)
    with pytest.raises(WebDNNError, match="2 shapes were given"):
        convert(*files, shapes_in_order=[[1], [1]])


CHANGES: list[Callable[[bytes, int], bytes]] = [
    lambda data, at: data[:at],
    lambda data, at: data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :],
    lambda data, at: data[:at] + data[at + 1 :],
]


@pytest.mark.parametrize("change", range(len(CHANGES)))
def test_damage_anywhere_is_one_error_or_none(tmp_path: Path, change: int) -> None:
    net = made(CONV)
    network, weights = write(tmp_path, CONV, net.weights)
    data = trained(net.net, net.weights).SerializeToString()
    alone = tmp_path / "alone" / "net.caffemodel"
    alone.parent.mkdir()
    for at in range(0, len(data), 3):
        damaged = CHANGES[change](data, at)
        for path, files in ((weights, (network, weights)), (alone, (alone, None))):
            path.write_bytes(damaged)
            with contextlib.suppress(WebDNNError):
                convert(*files)
