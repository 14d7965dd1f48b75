"""Quantised models: computed in integers, and equal to ONNX Runtime's results but for the last step of a rounding."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto
from onnx.helper import make_node
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from xdsl.dialects.builtin import ModuleOp

import webdnn
from tests.unit.onnx_models import model_of, tensor

Arrays = dict[str, np.ndarray[Any, Any]]
SHAPE = (1, 3, 17, 15)
STEP = 1 / 255


def network() -> onnx.ModelProto:
    """Convolutions (first, padded, strided, pointwise, depthwise), a residual sum, both poolings, a dense layer."""
    rng = np.random.default_rng(0)
    weights: Arrays = {}
    nodes: list[onnx.NodeProto] = []

    def add(op: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        nodes.append(make_node(op, inputs, [name], name=name, **attributes))
        return name

    def conv(x: str, name: str, c: int, m: int, k: int, stride: int = 1, group: int = 1) -> str:
        filter = rng.standard_normal((m, c // group, k, k)) * np.sqrt(2 / (c // group * k * k))
        weights[name + "_w"] = filter.astype(np.float32)
        weights[name + "_b"] = (rng.standard_normal(m) / 10).astype(np.float32)
        inputs = [x, name + "_w", name + "_b"]
        pads = [k // 2] * 4
        return add("Conv", inputs, name, pads=pads, strides=[stride] * 2, group=group)

    x = add("Relu", [conv("x", "first", 3, 16, 5, stride=2)], "first_relu")
    x = add("MaxPool", [x], "pool", kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2])
    y = add("Relu", [conv(x, "square", 16, 16, 3)], "square_relu")
    y = conv(y, "point", 16, 20, 1)
    x = add("Relu", [add("Add", [y, conv(x, "shortcut", 16, 20, 1)], "sum")], "sum_relu")
    x = add("Relu", [conv(x, "depth", 20, 20, 3, group=20)], "depth_relu")
    x = add("Flatten", [add("GlobalAveragePool", [x], "mean")], "flat")
    weights["dense_w"] = 0.5 * rng.standard_normal((10, 20), np.float32)
    weights["dense_b"] = rng.standard_normal(10, np.float32)
    add("Gemm", [x, "dense_w", "dense_b"], "y", transB=1)
    return model_of(nodes, [tensor("x", SHAPE)], [tensor("y", [1, 10])], weights, 13)


def mlp() -> onnx.ModelProto:
    """Two dense layers with one input, as attention has three."""
    rng = np.random.default_rng(1)
    shapes = {"a": (30, 50), "b": (30, 50), "c": (50,)}
    weights = {n: (rng.standard_normal(s) / 5).astype(np.float32) for n, s in shapes.items()}
    nodes = [
        make_node("MatMul", ["x", "a"], ["p"], name="p"),
        make_node("MatMul", ["x", "b"], ["q"], name="q"),
        make_node("Add", ["q", "c"], ["r"], name="r"),
        make_node("Mul", ["p", "r"], ["y"], name="y"),
    ]
    return model_of(nodes, [tensor("x", [1, 7, 30])], [tensor("y", [1, 7, 50])], weights, 13)


def samples(shape: Sequence[int], count: int = 4) -> Iterator[Arrays]:
    rng = np.random.default_rng(2)
    return iter([{"x": rng.standard_normal(shape).astype(np.float32)} for _ in range(count)])


class Reader(CalibrationDataReader):
    def __init__(self) -> None:
        self.samples = samples(SHAPE)

    def get_next(self) -> Any:
        return next(self.samples, None)


def in_onnxruntime(model: onnx.ModelProto, feeds: Arrays) -> Arrays:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [output.name for output in session.get_outputs()]
    results = [np.asarray(result) for result in session.run(names, feeds)]
    return dict(zip(names, results, strict=True))


def in_webdnn(model: onnx.ModelProto, feeds: Arrays, target: str = "wasm") -> tuple[Arrays, str]:
    """The results in wasmtime, which WebGPU has to give too if it is a target, and the module on level `nn`."""
    seen: dict[str, str] = {}

    def keep(stage: str, target: str | None, module: ModuleOp) -> None:
        seen.setdefault(stage, str(module))

    package = webdnn.compile(model, target=target, hook=keep)
    found = dict(package.run(feeds, engine="wasmtime"))
    if target == "both":
        for name, array in package.run(feeds, engine="wgpu").items():
            scale = np.abs(found[name]).max()
            np.testing.assert_allclose(array, found[name], rtol=0, atol=1e-5 * scale)
    return found, seen["nn"]


def products(nn: str) -> list[str]:
    """The types of the factors of each convolution and matrix product."""
    types: list[str] = []
    for line in nn.splitlines():
        if " = nn.conv " in line or " = nn.matmul " in line:
            _, _, factors = line.split(" -> ")[0].rpartition(" : ")
            types.append(" ".join(t.split("x")[-1].rstrip(">") for t in factors.split(", ")))
    return types


@pytest.mark.parametrize(
    ("weights", "activations", "per_channel"),
    [
        (QuantType.QInt8, QuantType.QUInt8, True),
        (QuantType.QInt8, QuantType.QInt8, False),
        (QuantType.QUInt8, QuantType.QUInt8, False),
    ],
)
def test_static(
    tmp_path: Path, weights: QuantType, activations: QuantType, per_channel: bool
) -> None:
    """QuantizeLinear and DequantizeLinear around floats: every product is one of integers."""
    logging.getLogger().setLevel(logging.ERROR)
    onnx.save(network(), tmp_path / "float.onnx")
    quantize_static(
        tmp_path / "float.onnx",
        tmp_path / "int8.onnx",
        Reader(),
        per_channel=per_channel,
        activation_type=activations,
        weight_type=weights,
    )
    model = onnx.load(tmp_path / "int8.onnx")
    (feeds,) = samples(SHAPE, 1)
    wanted = in_onnxruntime(model, feeds)["y"]
    found, nn = in_webdnn(model, feeds, "both" if per_channel else "wasm")
    # what is left of ui8 less its zero point may need 9 bits
    fitting = {"i16 i8"} if weights == QuantType.QInt8 else {"i16 i8", "i16 i16"}
    assert len(products(nn)) == 6 and set(products(nn)) <= fitting
    assert "nn.max" in nn and "ui8" not in nn.split("func.return")[0].split("nn.conv", 1)[1]
    # the output is quantised: one step is 1 / 255 of its range
    step = np.diff(np.unique(wanted)).min()
    assert np.abs(found["y"] - wanted).max() <= 1.001 * step
    assert (np.abs(found["y"] - wanted) > 0.5 * step).mean() <= 0.2


@pytest.mark.parametrize("weights", [QuantType.QInt8, QuantType.QUInt8])
def test_dynamic(tmp_path: Path, weights: QuantType) -> None:
    """DynamicQuantizeLinear and MatMulInteger: one quantised input for two products."""
    logging.getLogger().setLevel(logging.ERROR)
    onnx.save(mlp(), tmp_path / "float.onnx")
    quantize_dynamic(tmp_path / "float.onnx", tmp_path / "int8.onnx", weight_type=weights)
    model = onnx.load(tmp_path / "int8.onnx")
    (feeds,) = samples([1, 7, 30], 1)
    wanted = in_onnxruntime(model, feeds)["y"]
    found, nn = in_webdnn(model, feeds, "both")
    fitting = {"i16 i8"} if weights == QuantType.QInt8 else {"i16 i8", "i16 i16"}
    assert len(products(nn)) == 2 and set(products(nn)) <= fitting
    assert nn.count("-> tensor<1x7x30xi16>") == 1
    np.testing.assert_allclose(found["y"], wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def _integers(rng: np.random.Generator, shape: Sequence[int], dtype: Any) -> Any:
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_integer_operators(dtype: Any) -> None:
    """Exact: ConvInteger and MatMulInteger with zero points of both factors, padded, at the ends of the range."""
    rng = np.random.default_rng(3)
    weights = {
        "w": _integers(rng, (10, 6, 3, 3), np.uint8),
        "wz": np.array(131, np.uint8),
        "xz": np.array(3, dtype),
        "m": _integers(rng, (9, 11), np.int8),
    }
    nodes = [
        make_node("ConvInteger", ["x", "w", "xz", "wz"], ["c"], pads=[1, 1, 1, 1]),
        make_node("MatMulInteger", ["x", "m", "xz"], ["p"]),
    ]
    if dtype == np.int8:
        nodes = nodes[1:]  # ONNX Runtime has no convolution of i8 with ui8
        weights = {n: weights[n] for n in ("m", "xz")}
    kind = TensorProto.UINT8 if dtype == np.uint8 else TensorProto.INT8
    outputs = [tensor("c", [2, 10, 7, 9], TensorProto.INT32)] if len(nodes) == 2 else []
    outputs.append(tensor("p", [2, 6, 7, 11], TensorProto.INT32))
    model = model_of(nodes, [tensor("x", [2, 6, 7, 9], kind)], outputs, weights)
    feeds = {"x": _integers(rng, (2, 6, 7, 9), dtype)}
    found, nn = in_webdnn(model, feeds)
    for name, wanted in in_onnxruntime(model, feeds).items():
        np.testing.assert_array_equal(found[name], wanted)
    assert products(nn)[-1] == "i16 i8"


def test_quantised_operators() -> None:
    """QLinearConv and QLinearMatMul, with a bias and a scale for each channel: within one step of the result."""
    rng = np.random.default_rng(4)
    f32 = np.float32
    weights = {
        "xs": np.array(0.03, f32), "xz": np.array(120, np.uint8),
        "w": _integers(rng, (7, 5, 3, 3), np.int8),
        "ws": rng.uniform(0.001, 0.01, 7).astype(f32), "wz": np.zeros(7, np.int8),
        "ys": np.array(0.05, f32), "yz": np.array(100, np.uint8),
        "b": rng.integers(-2000, 2000, 7).astype(np.int32),
        "m": _integers(rng, (9, 13), np.int8), "ms": np.array(0.01, f32), "mz": np.array(0, np.int8),
    }  # fmt: skip
    nodes = [
        make_node("QLinearConv", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"], ["c"]),
        make_node("QLinearMatMul", ["x", "xs", "xz", "m", "ms", "mz", "ys", "yz"], ["p"]),
    ]
    u8 = TensorProto.UINT8
    outputs = [tensor("c", [1, 7, 6, 7], u8), tensor("p", [1, 5, 8, 13], u8)]
    model = model_of(nodes, [tensor("x", [1, 5, 8, 9], u8)], outputs, weights)
    feeds = {"x": _integers(rng, (1, 5, 8, 9), np.uint8)}
    found, nn = in_webdnn(model, feeds)
    assert products(nn) == ["i16 i8"] * 2
    for name, wanted in in_onnxruntime(model, feeds).items():
        difference = np.abs(found[name].astype(int) - wanted.astype(int))
        assert len(np.unique(wanted)) > 50
        assert difference.max() <= 1 and (difference > 0).mean() < 0.01
