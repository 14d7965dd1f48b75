"""Caffe's files: read in all their versions, found, and recognised."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf import text_format

from tests.unit.caffe_arithmetic import Net
from tests.unit.caffe_models import (
    CONV,
    TRAINING,
    X,
    add_blob,
    layer,
    made,
    random_inputs,
    run_onnx,
    trained,
    write,
)
from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.caffe.convert import convert, is_caffemodel, is_prototxt
from webdnn.frontends.caffe.schema import NetParameter

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
    assert "--caffe-weights" in str(error.value)
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
