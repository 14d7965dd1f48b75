"""Models as CNTK, Caffe2 and the first versions of PyTorch wrote them, beside the same in opset 8 in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, NodeProto
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

import webdnn
from tests.tolerances import assert_close
from webdnn.dialects.dtypes import Array

NEW = 8
"""The opset that ONNX Runtime reads."""
RNG = np.random.default_rng(0)


def _random(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32) * np.float32(0.3)


def _model(
    nodes: Sequence[NodeProto],
    given: tuple[str, Sequence[int]],
    result: tuple[str, Sequence[int]],
    weights: Mapping[str, Array],
    opset: int,
    *,
    are_inputs: bool = True,
    **fields: Any,
) -> ModelProto:
    """A model of IR version 3, in which initializers are inputs too."""
    declared = [
        make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in weights.items()
    ]
    graph = make_graph(
        nodes,
        "graph",
        [make_tensor_value_info(given[0], 1, given[1]), *(declared if are_inputs else [])],
        [make_tensor_value_info(result[0], 1, result[1])],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = make_model(graph, opset_imports=[make_opsetid("", opset)], **fields)
    model.ir_version = 3
    return model


def _broadcast(opset: int, **attributes: int) -> dict[str, Any]:
    """What says that shapes differ, before opset 7."""
    return {"broadcast": 1, **attributes} if opset < 7 else {}


def _reshape(
    opset: int, name: str, x: str, y: str, shape: list[int], weights: dict[str, Array]
) -> NodeProto:
    """The shape is an attribute before opset 5."""
    if opset < 5:
        return make_node("Reshape", [x], [y], name, shape=shape)
    weights[f"{y}_shape"] = np.array(shape, np.int64)
    return make_node("Reshape", [x, f"{y}_shape"], [y], name)


def cntk(opset: int, seed: int = 1) -> ModelProto:
    """The MNIST network of CNTK's tutorial, as CNTK 2.3 to 2.7 export it."""
    rng = np.random.default_rng(seed)

    def random(*shape: int) -> Array:
        return rng.normal(size=shape).astype(np.float32) * np.float32(0.3)

    weights = {
        "Parameter5": random(8, 1, 5, 5), "Parameter6": random(8, 1, 1), "Parameter87": random(16, 8, 5, 5),
        "Parameter88": random(16, 1, 1), "Parameter193": random(16, 4, 4, 10), "Parameter194": random(1, 10),
    }  # fmt: skip
    same: dict[str, Any] = {
        "kernel_shape": [5, 5], "strides": [1, 1], "auto_pad": "SAME_UPPER", "group": 1, "dilations": [1, 1],
    }  # fmt: skip

    def pool(size: int) -> dict[str, Any]:
        window = {"kernel_shape": [size] * 2, "strides": [size] * 2, "pads": [0] * 4}
        return {**window, "auto_pad": "NOTSET"}

    nodes = [
        _reshape(opset, "Times212_reshape1", "Parameter193", "Parameter193_reshape1", [256, 10], weights),
        make_node("Conv", ["Input3", "Parameter5"], ["Convolution28_Output_0"], "Convolution28", **same),
        make_node("Add", ["Convolution28_Output_0", "Parameter6"], ["Plus30_Output_0"], "Plus30",
                  **_broadcast(opset, axis=1)),
        make_node("Relu", ["Plus30_Output_0"], ["ReLU32_Output_0"], "ReLU32"),
        make_node("MaxPool", ["ReLU32_Output_0"], ["Pooling66_Output_0"], "Pooling66", **pool(2)),
        make_node("Conv", ["Pooling66_Output_0", "Parameter87"], ["Convolution110_Output_0"], "Convolution110", **same),
        make_node("Add", ["Convolution110_Output_0", "Parameter88"], ["Plus112_Output_0"], "Plus112",
                  **_broadcast(opset, axis=1)),
        make_node("Relu", ["Plus112_Output_0"], ["ReLU114_Output_0"], "ReLU114"),
        make_node("MaxPool", ["ReLU114_Output_0"], ["Pooling160_Output_0"], "Pooling160", **pool(3)),
        _reshape(opset, "Times212_reshape0", "Pooling160_Output_0", "Pooling160_Output_0_reshape0", [1, 256], weights),
        make_node("MatMul", ["Pooling160_Output_0_reshape0", "Parameter193_reshape1"], ["Times212_Output_0"],
                  "Times212"),
        make_node("Add", ["Times212_Output_0", "Parameter194"], ["Plus214_Output_0"], "Plus214", **_broadcast(opset)),
    ]  # fmt: skip
    fields: dict[str, Any] = {
        "producer_name": "CNTK",
        "producer_version": "2.5.1",
        "domain": "ai.cntk",
    }
    shapes = ("Input3", [1, 1, 28, 28]), ("Plus214_Output_0", [1, 10])
    return _model(nodes, *shapes, weights, opset, **fields)


def pytorch(opset: int, seed: int = 2) -> ModelProto:
    """A network in the manner of AlexNet, as PyTorch 0.2 and 0.3 export it: names are numbers, nodes have none."""
    rng = np.random.default_rng(seed)
    shapes = {"1": (6, 3, 3, 3), "2": (6,), "3": (4, 2, 3, 3), "4": (4,), "5": (5, 16), "6": (5,)}
    weights = {
        name: rng.normal(size=shape).astype(np.float32) * np.float32(0.3)
        for name, shape in shapes.items()
    }
    is_old = opset < 7
    trained: dict[str, Any] = {"is_test": 1} if is_old else {}
    conv: dict[str, Any] = {"dilations": [1, 1], "strides": [1, 1], "kernel_shape": [3, 3]}
    nodes = [
        make_node("Conv", ["0", "1"], ["8"], group=1, pads=[1] * 4, **conv),
        make_node("Add", ["8", "2"], ["9"], broadcast=1, axis=1)
        if is_old
        else make_node("Add", ["8", "2u"], ["9"]),
        make_node("Relu", ["9"], ["10"]),
        make_node("MaxPool", ["10"], ["11"], kernel_shape=[2, 2], strides=[2, 2], pads=[0] * 4),
        make_node("Concat", ["11", "11"], ["12"], axis=1)
        if opset >= 4
        else make_node("Concat", ["11", "11"], ["12"]),
        make_node("Slice", ["12"], ["13"], axes=[1], starts=[2], ends=[6]),
        make_node("Conv", ["13", "3", "4"], ["14"], group=2, pads=[0] * 4, **conv),
        make_node("Dropout", ["14"], ["15", "16"] if is_old else ["15"], ratio=0.5, **trained),
        _reshape(opset, "", "15", "17", [1, -1], weights),
        make_node("Transpose", ["5"], ["18"], perm=[1, 0]),
        make_node("Gemm", ["17", "18", "6"], ["19"], alpha=1.0, beta=1.0, **_broadcast(opset)),
    ]
    if not is_old:
        weights["2u"] = weights["2"].reshape(6, 1, 1)
    shapes_of = ("0", [1, 3, 8, 8]), ("19", [1, 5])
    return _model(nodes, *shapes_of, weights, opset, producer_name="pytorch")


def caffe2(opset: int, seed: int = 3) -> ModelProto:
    """A residual block as caffe2's `caffe2_net_to_onnx_model` exports it; SpatialBN has what memory it takes."""
    rng = np.random.default_rng(seed)
    shapes = {
        "gpu_0/conv1_w_0": (4, 3, 3, 3), "gpu_0/spatbn_s_0": (4,), "gpu_0/spatbn_b_0": (4,), "gpu_0/spatbn_rm_0": (4,),
        "gpu_0/pred_w_0": (5, 4), "gpu_0/pred_b_0": (5,),
    }  # fmt: skip
    weights = {
        name: rng.normal(size=shape).astype(np.float32) * np.float32(0.5)
        for name, shape in shapes.items()
    }
    weights["gpu_0/spatbn_riv_0"] = rng.random(4).astype(np.float32) + np.float32(0.5)
    is_old = opset < 6
    norm: dict[str, Any] = (
        {"is_test": 1, "consumed_inputs": [0, 0, 0, 1, 1], "spatial": 1} if is_old else {}
    )
    in_place: dict[str, Any] = {"consumed_inputs": [1]} if is_old else {}
    summed: dict[str, Any] = {"consumed_inputs": [1, 0]} if is_old else {}
    statistics = [f"gpu_0/spatbn_{part}_0" for part in ("s", "b", "rm", "riv")]
    nodes = [
        make_node("Conv", ["gpu_0/data_0", "gpu_0/conv1_w_0"], ["gpu_0/conv1_1"], pads=[1] * 4, strides=[1, 1],
                  kernel_shape=[3, 3]),
        make_node("BatchNormalization", ["gpu_0/conv1_1", *statistics], ["gpu_0/spatbn_1"], epsilon=1e-5, momentum=0.9,
                  **norm),
        make_node("Relu", ["gpu_0/spatbn_1"], ["gpu_0/spatbn_2"], **in_place),
        make_node("LRN", ["gpu_0/spatbn_2"], ["gpu_0/norm_1"], size=3, alpha=1e-4, beta=0.75, bias=1.0),
        make_node("Sum", ["gpu_0/spatbn_1", "gpu_0/norm_1"], ["gpu_0/sum_1"],
                  **summed),
        make_node("AveragePool", ["gpu_0/sum_1"], ["gpu_0/pool_1"], kernel_shape=[6, 6], strides=[1, 1], pads=[0] * 4),
        _reshape(opset, "", "gpu_0/pool_1", "OC2_DUMMY_0", [1, 4], weights),
        make_node("Gemm", ["OC2_DUMMY_0", "gpu_0/pred_w_0", "gpu_0/pred_b_0"], ["gpu_0/pred_1"], transB=1,
                  **_broadcast(opset)),
        make_node("Softmax", ["gpu_0/pred_1"], ["gpu_0/softmax_1"], axis=1),
    ]  # fmt: skip
    shapes_of = ("gpu_0/data_0", [1, 3, 6, 6]), ("gpu_0/softmax_1", [1, 5])
    return _model(
        nodes, *shapes_of, weights, opset, are_inputs=not is_old, producer_name="onnx-caffe2"
    )


def _expected(new: ModelProto) -> tuple[dict[str, Array], Array]:
    value = new.graph.input[0]
    x = _random(*(d.dim_value for d in value.type.tensor_type.shape.dim))
    session = onnxruntime.InferenceSession(new.SerializeToString())
    return {value.name: x}, np.asarray(session.run(None, {value.name: x})[0])


@pytest.mark.parametrize("opset", [1, 5, 6])
@pytest.mark.parametrize("make", [cntk, pytorch, caffe2])
def test_old_exporters(make: Any, opset: int) -> None:
    feeds, expected = _expected(make(NEW))
    target: Any = "both" if opset == 1 else "wasm"
    package = webdnn.compile(make(opset), target=target)
    assert [tensor["name"] for tensor in package.manifest["inputs"]] == [*feeds]
    for engine in ("wasmtime", "wgpu") if target == "both" else ("wasmtime",):
        (found,) = package.run(feeds, engine=engine).values()
        assert_close(found, expected, make.__name__, engine)


@pytest.mark.parametrize("version", [1, 2])
def test_before_opsets(version: int) -> None:
    """Files of 2017 name no opset: theirs is 1."""
    feeds, expected = _expected(pytorch(NEW))
    model = pytorch(1)
    del model.opset_import[:]
    model.ir_version = version
    (found,) = webdnn.compile(model, target="wasm").run(feeds).values()
    assert_close(found, expected, "pytorch", str(version))


@pytest.mark.parametrize(
    ("domain", "name"), [("", "ai.onnx.ATen"), ("org.pytorch.aten", "org.pytorch.aten.ATen")]
)
def test_operators_of_pytorch_itself(domain: str, name: str) -> None:
    node = make_node("ATen", ["0"], ["1"], domain=domain, operator="embedding_renorm")
    model = _model([node], ("0", [2]), ("1", [2]), {}, 9)
    with pytest.raises(webdnn.WebDNNError) as raised:
        webdnn.compile(model)
    assert f"{name}" in str(raised.value) and "ONNX_ATEN_FALLBACK" in str(raised.value)
