"""Tensors above what a WebGPU device binds at once, and kernels of more operands than it binds, with ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx.reference import ReferenceEvaluator

import webdnn
from tests.tolerances import assert_close
from webdnn.dialects.dtypes import Array
from webdnn.dialects.webgpu_limits import WebGPULimits
from webdnn.kernel_cache import KernelCache
from webdnn.package import Package

_RANDOM = np.random.default_rng(0)


def _weight(name: str, *shape: int, dtype: Any = np.float32) -> onnx.TensorProto:
    return onnx.numpy_helper.from_array((_RANDOM.standard_normal(shape) * 9).astype(dtype), name)


def _parsed(text: str, *weights: onnx.TensorProto) -> onnx.ModelProto:
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> test {text}')
    model.graph.initializer.extend(weights)
    return model


def _compiled(model: onnx.ModelProto, inputs: dict[str, Array]) -> Package:
    """The package for WebGPU, which gives what ONNX Runtime does."""
    package = webdnn.compile(model, target="webgpu", jobs=1, cache=KernelCache(enabled=False))
    results = package.run(inputs)
    expected = ort.InferenceSession(model.SerializeToString()).run(None, inputs)
    for output, wanted in zip(model.graph.output, expected, strict=True):
        assert_close(results[output.name], np.asarray(wanted), "large", output.name)
    return package


def _bindings(package: Package) -> list[list[dict[str, int]]]:
    return [launch["bindings"] for launch in package.manifest["backends"]["webgpu"]["launches"]]


@pytest.fixture
def small_bindings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that binds 4 KiB at once, and has buffers of 8 KiB."""
    monkeypatch.setattr(WebGPULimits, "binding_bytes", 4096)
    monkeypatch.setattr(WebGPULimits, "buffer_bytes", 8192)


_ROWS = np.array([[0, 1, -1], [599, -600, 350], [85, 86, -515]], np.int64)

MODELS: dict[str, tuple[str, list[onnx.TensorProto]]] = {
    "a table is gathered from": (
        "(int64[3, 3] at) => (float[3, 3, 6] y) { y = Gather(w, at) }",
        [_weight("w", 700, 6)],
    ),
    "a table of 64-bit integers": (
        "(int64[3, 3] at) => (int64[3, 3, 3] y) { y = Gather(w, at) }",
        [_weight("w", 700, 3, dtype=np.int64)],
    ),
    "a table of bytes, which WebGPU widens": (
        "(int64[3, 3] at) => (uint8[3, 3, 5] y) { y = Gather(w, at) }",
        [_weight("w", 700, 5, dtype=np.uint8)],
    ),
    "a table is gathered from along its last axis": (
        "(int64[3, 3] at) => (float[5, 3, 3] y) { y = Gather <axis = 1> (w, at) }",
        [_weight("w", 5, 700)],
    ),
    "elements and slices": (
        """(int64[3, 3] at) => (float[3, 3] y, float[5, 233] z)
        <int64[1] start = {1}, int64[1] end = {700}, int64[1] axis = {1}, int64[1] step = {3}> {
            y = GatherElements <axis = 1> (w, at) p = Cast <to = 1> (at) s = Slice(w, start, end, axis, step)
            m = ReduceMean <keepdims = 0> (p) z = Mul(s, m) }""",
        [_weight("w", 5, 700)],
    ),
    "a sum of large tensors": (
        "(int64[3, 3] at) => (float[3, 600] y) "
        "{ p = Cast <to = 1> (at) m = MatMul(p, w) a = Sin(m) b = Relu(m) y = Add(a, b) }",
        [_weight("w", 3, 600)],
    ),
    "a table is a projection too": (
        """(int64[3, 3] at) => (float[3, 600] y) <int64 row = {1}> {
            r = Gather(at, row) rows = Gather(w, r) columns = Transpose <perm = [1, 0]> (w)
            y = MatMul(rows, columns) }""",
        [_weight("w", 600, 4)],
    ),
    "a picture in parts": (
        """(int64[3, 3] at) => (float[1, 2, 18, 18] y) {
            p = Cast <to = 1> (at) m = ReduceMean <keepdims = 0> (p) s = Mul(w, m)
            c = Conv <pads = [1, 1, 1, 1]> (s, f) y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (c) }""",
        [_weight("w", 1, 2, 36, 36), _weight("f", 2, 2, 3, 3)],
    ),
}


@pytest.mark.usefixtures("small_bindings")
@pytest.mark.parametrize("name", MODELS)
def test_what_is_larger_than_a_binding(name: str) -> None:
    model = _parsed(MODELS[name][0], *MODELS[name][1])
    package = _compiled(model, {"at": _ROWS})
    bound = [b["bytes"] for launch in _bindings(package) for b in launch]
    limits = package.manifest["backends"]["webgpu"]["limits"]
    assert max(bound) <= 4096
    assert limits == {}
    assert max(map(len, _bindings(package))) <= WebGPULimits.storage_buffers


@pytest.mark.usefixtures("small_bindings")
def test_too_many_parts_are_larger_ones() -> None:
    model = _parsed(
        "(float[700] a, float[3, 700] b, float[3, 700] c) => (float[3, 700] y) {"
        " ab = Mul(a, b) y = Add(ab, c) }"
    )
    inputs = {
        i.name: np.ones([d.dim_value for d in i.type.tensor_type.shape.dim], np.float32)
        for i in model.graph.input
    }
    with pytest.warns(
        UserWarning, match="asks for a maxStorageBufferBindingSize of 8192 and .*because of ab, y;"
    ):
        package = _compiled(model, inputs)
    limits = package.manifest["backends"]["webgpu"]["limits"]
    # inputs are copied as one, so their buffers are whole
    assert limits == {"maxStorageBufferBindingSize": 8192, "maxBufferSize": 8448}


@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("rank", [4, 5, 6])
def test_resize_along_many_axes(mode: str, rank: int) -> None:
    shape, sizes = [2, 3, 1, 4, 2, 3][:rank], [3, 2, 2, 7, 5, 4][:rank]
    x, y = (", ".join(map(str, s)) for s in (shape, sizes))
    model = _parsed(
        f"(float[{x}] x) => (float[{y}] y) <int64[{rank}] sizes = {{{y}}}> "
        f'{{ y = Resize <mode = "{mode}"> (x, , , sizes) }}'
    )
    data = {"x": _RANDOM.standard_normal(shape).astype(np.float32)}
    package = webdnn.compile(model, target="both", jobs=1)
    (expected,) = cast("list[Array]", ReferenceEvaluator(model).run(None, data))
    for engine in ("wasmtime", "wgpu"):
        assert_close(package.run(data, engine=engine)["y"], expected, "resize", engine)
    assert max(map(len, _bindings(package))) <= WebGPULimits.storage_buffers


_MANY = [f"x{i}" for i in range(12)]

WIDE: dict[str, str] = {
    "Sum": f"y = Sum({', '.join(_MANY)})",
    "Max": f"y = Max({', '.join(_MANY)})",
    "Mean": f"y = Mean({', '.join(_MANY)})",
    "Concat": f"y = Concat <axis = 0> ({', '.join(_MANY)})",
    "Einsum": f'y = Einsum <equation = "{",".join("ij" for _ in _MANY)}->ij"> ({", ".join(_MANY)})',
    "a fused expression": "s0 = Exp(x0) "
    + " ".join(f"t{i} = Mul(s{i - 1}, x{i}) s{i} = Sin(t{i})" for i in range(1, 12))
    + " y = Neg(s11)",
    "a sum that is not commutative": "a0 = Sub(x0, x1) "
    + " ".join(f"a{i - 1} = Sub(x{i}, a{i - 2})" for i in range(2, 12))
    + " y = Relu(a10)",
}


@pytest.mark.parametrize("name", WIDE)
def test_operators_of_many_operands(name: str) -> None:
    operands = ", ".join(f"float[2, 3] {x}" for x in _MANY)
    rows = 24 if name == "Concat" else 2
    model = _parsed(f"({operands}) => (float[{rows}, 3] y) {{ {WIDE[name]} }}")
    inputs = {x: _RANDOM.standard_normal((2, 3)).astype(np.float32) for x in _MANY}
    package = _compiled(model, inputs)
    assert max(map(len, _bindings(package))) <= WebGPULimits.storage_buffers


@pytest.mark.nightly
def test_a_table_larger_than_any_buffer() -> None:
    weight = np.arange(70_000 * 1000, dtype=np.float32).reshape(70_000, 1000)
    model = _parsed(
        "(int64[4] at) => (float[4, 1000] y) { y = Gather(w, at) }",
        onnx.numpy_helper.from_array(weight, "w"),
    )
    package = webdnn.compile(model, target="webgpu", jobs=1)
    at = np.array([0, 33_555, -1, 69_000], np.int64)
    np.testing.assert_array_equal(package.run({"at": at})["y"], weight[at])
    assert package.manifest["backends"]["webgpu"]["limits"] == {}


@pytest.mark.usefixtures("small_bindings")
def test_a_kernel_that_binds_in_parts_comes_back_from_the_cache(tmp_path: Path) -> None:
    text, weights = MODELS["a table is gathered from"]
    model = _parsed(text, *weights)
    compiled = [
        webdnn.compile(model, target="webgpu", jobs=1, cache=KernelCache(tmp_path)) for _ in "ab"
    ]
    first, again = [_bindings(package) for package in compiled]
    assert first == again
    assert max(map(len, again)) > 3  # the table, in parts, the rows and the result
