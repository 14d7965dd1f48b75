"""Caffe's files: recognised, found, read in all their versions, and refused with one error that names the layer."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf import text_format

from tests.unit.caffe_arithmetic import Net
from tests.unit.caffe_models import (
    add_blob,
    input_layer,
    layer,
    random_inputs,
    run_onnx,
    trained,
    write,
)
from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.caffe.convert import convert, is_caffemodel, is_prototxt
from webdnn.frontends.caffe.schema import NetParameter

X = input_layer(x=(1, 2, 5, 4))
CONV = X + layer("Convolution", "x", "y", "convolution_param { num_output: 3 kernel_size: 2 }")


def made(text: str) -> Net:
    """The network after a run, with its trained numbers."""
    net = Net(text)
    net.run(random_inputs(net.net))
    return net


def message(folder: Path, text: str, net: Net | None = None) -> str:
    """The error of converting a network, with the trained numbers of another one."""
    files = write(folder, text, (net or made(CONV)).weights)
    with pytest.raises(WebDNNError) as error:
        convert(*files)
    return str(error.value)


# The wire format, byte by byte


def varint(value: int) -> bytes:
    rest = b"" if value < 128 else varint(value >> 7)
    return bytes([value & 127 | 128 * bool(rest)]) + rest


def field(number: int, content: bytes | str | int) -> bytes:
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    data = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(data)) + data


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def test_bytes_of_the_new_format(tmp_path: Path) -> None:
    """Field numbers as Caffe defines them: name 1, type 2, bottom 3, top 4, blobs 7; layer 100 of a network."""
    shape = field(7, field(1, varint(2) + varint(1) + varint(1) + varint(2)))
    weights = shape + field(5, floats(1, 2, 3, 4))
    bias = field(7, field(1, varint(2))) + field(5, floats(0.5, -0.5))
    parameters = field(1, 2) + field(11, 1) + field(12, 2)
    conv = field(1, "conv") + field(2, "Convolution") + field(3, "x") + field(4, "y")
    conv += field(7, weights) + field(7, bias) + field(106, parameters)
    data = field(1, "x") + field(2, "Input") + field(4, "x")
    data += field(143, field(1, field(1, varint(1) + varint(1) + varint(1) + varint(3))))
    binary = field(1, "by hand") + field(100, data) + field(100, conv)
    assert is_caffemodel(binary)
    assert not is_prototxt(binary)
    (tmp_path / "net.caffemodel").write_bytes(binary)
    model = convert(tmp_path / "net.caffemodel")
    assert model.graph.name == "by hand"
    assert [node.name for node in model.graph.node] == ["conv"]
    x = np.array([10, 20, 30], np.float32).reshape(1, 1, 1, 3)
    y = run_onnx(model, {"x": x})["y"]
    np.testing.assert_allclose(y.ravel(), [50.5, 80.5, 109.5, 179.5])


def test_bytes_of_the_old_format(tmp_path: Path) -> None:
    """Of V1: layers 2 in a network; bottom 2, top 3, name 4, type 5 (a number), blobs 6; four sizes of a blob."""
    sizes = field(1, 1) + field(2, 1) + field(3, 2) + field(4, 3)
    weights = sizes + field(5, floats(1, 2, 3, -1, -2, -3))
    dense = field(2, "data") + field(3, "fc") + field(4, "fc") + field(5, 14) + field(6, weights)
    dense += field(17, field(1, 2) + field(2, 0))
    binary = field(2, dense) + field(3, "data") + field(4, 1) + field(4, 3) + field(4, 1) * 2
    assert is_caffemodel(binary)
    (tmp_path / "old.caffemodel").write_bytes(binary)
    y = run_onnx(
        convert(tmp_path / "old.caffemodel"),
        {"data": np.array([1, 10, 100], np.float32).reshape(1, 3, 1, 1)},
    )["fc"]
    np.testing.assert_allclose(y, [[321, -321]])


@pytest.mark.parametrize("form", ["old", "double"])
def test_forms_of_trained_numbers(tmp_path: Path, form: str) -> None:
    net = made(CONV)
    network, weights = write(tmp_path, CONV, net.weights)
    weights.write_bytes(trained(net.net, net.weights, **{form: True}).SerializeToString())
    inputs = random_inputs(net.net)
    y = run_onnx(convert(network, weights), inputs)["y"]
    np.testing.assert_allclose(y, net.run(inputs)["y"], rtol=1e-5, atol=1e-5)


V1 = """
name: "old" input: "x" input_dim: 1 input_dim: 2 input_dim: 5 input_dim: 4
layers { name: "y" type: CONVOLUTION bottom: "x" top: "y" blobs_lr: 1 weight_decay: 0
         convolution_param { num_output: 3 kernel_size: 2 weight_filler { type: "xavier" } } }
layers { name: "relu" type: RELU bottom: "y" top: "y" }
layers { name: "loss" type: SOFTMAX_LOSS bottom: "y" bottom: "label" include { phase: TRAIN } }
"""
V0 = """
input: "x" input_dim: 1 input_dim: 2 input_dim: 5 input_dim: 4
layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "x" top: "padded" }
layers { layer { name: "y" type: "conv" num_output: 3 kernelsize: 2 weight_filler { type: "gaussian" } }
         bottom: "padded" top: "y" }
layers { layer { name: "relu" type: "relu" } bottom: "y" top: "y" }
layers { layer { name: "pool" type: "pool" pool: AVE kernelsize: 3 stride: 2 } bottom: "y" top: "pool" }
"""


def test_layers_of_version_1(tmp_path: Path) -> None:
    now = CONV + layer("ReLU", "y", "y", "", "relu")
    net = made(now)
    network, weights = write(tmp_path, V1, net.weights)
    old = text_format.Parse(V1, NetParameter(), allow_unknown_field=True)
    for array in net.weights["y"]:
        add_blob(old.layers[0].blobs, array, old=True)
    weights.write_bytes(old.SerializeToString())
    inputs = random_inputs(net.net)
    for files in ((network, weights), (weights, None)):
        y = run_onnx(convert(*files), inputs)["y"]
        np.testing.assert_allclose(y, net.run(inputs)["y"], rtol=1e-5, atol=1e-5)


def test_layers_of_version_0(tmp_path: Path) -> None:
    now = (
        X
        + layer(
            "Convolution", "x", "y", "convolution_param { num_output: 3 kernel_size: 2 pad: 1 }"
        )
        + layer("ReLU", "y", "y", "", "relu")
        + layer("Pooling", "y", "pool", "pooling_param { pool: AVE kernel_size: 3 stride: 2 }")
    )
    net = made(now)
    network, weights = write(tmp_path, V0, net.weights)
    old = text_format.Parse(V0, NetParameter(), allow_unknown_field=True)
    for array in net.weights["y"]:
        add_blob(old.layers[1].layer.blobs, array, old=True)
    weights.write_bytes(old.SerializeToString())
    inputs = random_inputs(net.net)
    y = run_onnx(convert(network, weights), inputs)["pool"]
    np.testing.assert_allclose(y, net.run(inputs)["pool"], rtol=1e-5, atol=1e-5)


def test_declared_inputs(tmp_path: Path) -> None:
    text = (
        """input: "a" input_shape { dim: 2 dim: 3 } input: "b" input_shape { dim: 2 dim: 3 }"""
        + layer("Eltwise", "a b", "y")
    )
    network, _ = write(tmp_path, text, {})
    model = convert(network)
    assert [value.name for value in model.graph.input] == ["a", "b"]
    shape = (
        convert(network, shapes={"a": [5, 1], "b": [5, 1]}).graph.output[0].type.tensor_type.shape
    )
    assert [dim.dim_value for dim in shape.dim] == [5, 1]
    assert convert(network, shapes_in_order=[[5], [5]]).graph.input[0].name == "a"


# What is there at inference


TRAINING = """
layer { name: "data" type: "Data" top: "x" top: "label" include { phase: TRAIN }
        data_param { batch_size: 64 backend: LMDB } }
layer { name: "data" type: "Data" top: "x" top: "label" include { phase: TEST } data_param { batch_size: 50 } }
layer { name: "y" type: "Convolution" bottom: "x" top: "y" param { lr_mult: 1 }
        convolution_param { num_output: 3 kernel_size: 2 bias_filler { type: "constant" } engine: CAFFE } }
layer { name: "drop" type: "Dropout" bottom: "y" top: "y" dropout_param { dropout_ratio: 0.4 } }
layer { name: "extra" type: "TanH" bottom: "y" top: "extra" exclude { phase: TEST } }
layer { name: "staged" type: "TanH" bottom: "y" top: "staged" include { phase: TEST stage: "deploy" } }
layer { name: "accuracy" type: "Accuracy" bottom: "y" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "label" top: "loss" }
"""


def test_networks_for_training(tmp_path: Path) -> None:
    """The losses go, the softmax of one stays; what is read from a data base is an input."""
    network, weights = write(tmp_path, TRAINING, made(CONV).weights)
    for files in ((network, weights), (weights, network)):
        model = convert(*files, shapes={"x": [1, 2, 5, 4]})
        assert [value.name for value in model.graph.input] == ["x"]
        assert [value.name for value in model.graph.output] == ["prob"]
        assert [node.name for node in model.graph.node] == ["y", "loss"]
    with pytest.raises(WebDNNError, match="the size of an input is not known") as error:
        convert(network, weights)
    assert "--input-shape x=" in str(error.value)


def test_a_trained_network_alone_was_filtered_when_it_was_saved(tmp_path: Path) -> None:
    net = Net(TRAINING)
    del net.net.layer[1]
    (tmp_path / "m.caffemodel").write_bytes(
        trained(net.net, made(CONV).weights).SerializeToString()
    )
    model = convert(tmp_path / "m.caffemodel", shapes={"x": [1, 2, 5, 4]})
    names = {value.name for value in model.graph.output}
    assert {"prob", "extra"} <= names


def test_stages(tmp_path: Path) -> None:
    network, weights = write(tmp_path, 'state { stage: "deploy" }' + TRAINING, made(CONV).weights)
    model = convert(network, weights, shapes={"x": [1, 2, 5, 4]})
    assert [value.name for value in model.graph.output] == ["staged", "prob"]


def test_silent_blobs_are_no_outputs(tmp_path: Path) -> None:
    text = X + layer("Slice", "x", "a b") + layer("Silence", "b", "") + layer("TanH", "a", "y")
    network, _ = write(tmp_path, text, {})
    assert [value.name for value in convert(network).graph.output] == ["y"]


def test_names(tmp_path: Path) -> None:
    """Blobs that are written in place keep their name where that is last; nodes are called like their layers."""
    text = (
        CONV
        + layer("BatchNorm", "y", "y", "", "norm")
        + layer("ReLU", "y", "y", "", "relu")
        + layer("Dropout", "y", "y", "", "drop")
        + layer("Split", "y", "a b", "", "split")
        + layer("Power", "a", "a", "power_param { power: 2 scale: 3 }", "power")
    )
    net = made(text)
    model = convert(*write(tmp_path, text, net.weights))
    assert [value.name for value in model.graph.output] == ["b", "a"]
    assert [node.name for node in model.graph.node] == [
        "y",
        "norm",
        "relu",
        "power/Mul",
        "power/Pow",
        "b/Identity",
    ]
    assert model.graph.node[2].output[0] == "y"


def test_an_input_that_is_written_in_place_keeps_its_name(tmp_path: Path) -> None:
    text = X + layer("Power", "x", "x", "power_param { scale: 2 }", "twice")
    network, _ = write(tmp_path, text, {})
    model = convert(network)
    assert model.graph.input[0].name == "x"
    x = random_inputs(Net(X).net)["x"]
    (y,) = run_onnx(model, {"x": x}).values()
    np.testing.assert_allclose(y, 2 * x)


# Finding the files


def test_the_other_file_is_found(tmp_path: Path) -> None:
    network, weights = write(tmp_path, CONV, made(CONV).weights)
    assert convert(network) == convert(weights) == convert(weights, network)
    (tmp_path / "solver.prototxt").write_text('net: "train.prototxt"\nbase_lr: 0.1\ntype: "Adam"\n')
    (tmp_path / "train_val.prototxt").write_text(TRAINING)
    assert convert(weights) == convert(network)
    network.rename(tmp_path / "model.prototxt")
    assert convert(weights).graph.output[0].name == "y"


def test_several_files_that_might_be_meant(tmp_path: Path) -> None:
    network, weights = write(tmp_path, CONV, made(CONV).weights)
    (tmp_path / "second.caffemodel").write_bytes(weights.read_bytes())
    with pytest.raises(WebDNNError, match="2 trained networks beside the file") as error:
        convert(network)
    assert "--weights" in str(error.value)
    network.rename(tmp_path / "one.prototxt")
    (tmp_path / "two.prototxt").write_text(CONV)
    with pytest.raises(WebDNNError, match="2 networks beside the file"):
        convert(weights)
    with pytest.raises(WebDNNError, match="both files are networks as text"):
        convert(tmp_path / "one.prototxt", tmp_path / "two.prototxt")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'net: "train.prototxt"\nbase_lr: 0.1\n', "it is a solver"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"", "holds no layers"),
    ],
)
def test_other_files(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "m.prototxt").write_bytes(content)
    with pytest.raises(WebDNNError, match=r"not a file of Caffe[\s\S]*" + why):
        convert(tmp_path / "m.prototxt")
    with pytest.raises(WebDNNError, match="cannot be read"):
        convert(tmp_path / "none.prototxt")


def test_recognition() -> None:
    binary = trained(Net(CONV).net, made(CONV).weights).SerializeToString()
    assert is_caffemodel(binary)
    assert is_caffemodel(memoryview(binary)[:40])
    assert is_prototxt(CONV.encode())
    assert is_prototxt(memoryview(b"# layer\nlayers {\n  layer { name: 'a' type: 'conv' } }"))
    model = onnx.helper.make_model(
        onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [], [])
    )
    graph = field(1, field(1, "node") + field(2, "Conv")) * 2
    library = field(2, field(1, field(1, "function")))
    others = [
        model.SerializeToString(),
        graph + library,
        b"PK\x03\x04" + bytes(100),
        bytes(1000),
        b'{"layers": {"type": "Conv"}}',
        b'node { name: "a" op: "Conv" attr { key: "type" } }',
        b'net: "layer"',
        b"",
    ]
    for other in others:
        assert not is_caffemodel(other), other
        assert not is_prototxt(other), other


# Errors


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
    with pytest.raises(WebDNNError, match=r"the network has no weights[\s\S]*--weights"):
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
        ({"x": [1, 2, 0, 3]}, "not positive"),
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
