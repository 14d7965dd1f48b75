"""`Mod` on both back ends: exact remainders of floats of any size, and integers whose quotient is not defined."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx.helper import make_node, np_dtype_to_tensor_dtype

import webdnn
from tests.unit.onnx_models import model_of, tensor
from webdnn.dialects.dtypes import Array
from webdnn.targets import TARGETS

FLOATS = {
    "f16": np.dtype(np.float16),
    "bf16": np.dtype(ml_dtypes.bfloat16),
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
}
INTEGERS = [np.dtype(f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)]


def _on_targets(types: dict[str, np.dtype[Any]]) -> list[object]:
    return [
        pytest.param(dtype, target, id=f"{name}-{target}")
        for name, dtype in types.items()
        for target in TARGETS
        if target == "wasm" or name in ("f16", "f32")  # WebGPU has no others
    ]


def _all_pairs(numbers: Array) -> tuple[Array, Array]:
    a, b = np.meshgrid(numbers, numbers)
    return a.ravel(), b.ravel()


def _floats(dtype: np.dtype[Any]) -> Array:
    """Zeros, infinities, NaN, the greatest and the least numbers, some known for trouble, and any bits at all."""
    limits = ml_dtypes.finfo(dtype)
    least = float(limits.smallest_subnormal)
    known = [0, 0.5, 0.7, 0.75, 1, 1.1, 3, 1e3, 1e4, 1e10, 1e20, 3e38, 1e300, np.inf, np.nan]
    known += [float(limits.max), float(limits.tiny), 1.5 * float(limits.tiny), least, 3 * least]
    with np.errstate(over="ignore"):
        numbers = np.array(known).astype(dtype)
    word = np.dtype(f"u{dtype.itemsize}")
    random = np.random.default_rng(0)
    bits = random.integers(0, 2 ** (8 * dtype.itemsize - 1), 40, dtype=np.uint64).astype(word)
    return np.concatenate([numbers, -numbers, bits.view(dtype), -bits[:13].view(dtype)])


def _truncated(x: Array, y: Array) -> Array:
    """C's fmod; of 16 bits in 32, where it is exact too."""
    wide = x.dtype if x.dtype.itemsize > 2 else np.float32
    with np.errstate(invalid="ignore"):
        return np.fmod(x.astype(wide), y.astype(wide)).astype(x.dtype)


def _assert_same_bits(result: Array, expected: Array) -> None:
    """Signs of zeros are compared too; a NaN is a NaN."""
    bits = f"u{expected.dtype.itemsize}"
    nan = np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(result), nan)
    np.testing.assert_array_equal(result.view(bits)[~nan], expected.view(bits)[~nan])


@pytest.mark.parametrize(("dtype", "target"), _on_targets(FLOATS))
def test_floats(dtype: np.dtype[Any], target: str) -> None:
    x, y = _all_pairs(_floats(dtype))
    element = np_dtype_to_tensor_dtype(dtype)
    inputs = [tensor(name, x.shape, element) for name in "xy"]
    nodes = [make_node("Mod", ["x", "y"], ["r"], fmod=1)]
    model = model_of(nodes, inputs, [tensor("r", x.shape, element)])
    results = webdnn.compile(model, target=target).run({"x": x, "y": y})
    _assert_same_bits(results["r"], _truncated(x, y))


@pytest.mark.parametrize("target", TARGETS)
def test_in_a_kernel_with_others(target: str) -> None:
    """Behind a product and before a sum, where rows are ragged and divisors are broadcast."""
    random = np.random.default_rng(1)
    x = random.integers(-40, 40, (5, 7)).astype(np.float32)
    w = random.integers(-4, 5, (7, 9)).astype(np.float32)
    by = np.array([3, -7, 0.75, 1e10, np.inf, 0.5, 11, -2, 1], np.float32)
    nodes = [
        make_node("MatMul", ["x", "w"], ["p"]),
        make_node("Mod", ["p", "by"], ["m"], fmod=1),
        make_node("Add", ["m", "m"], ["y"]),
        make_node("Mod", ["p", "last"], ["z"], fmod=1),
        make_node("ReduceSum", ["z"], ["s"], keepdims=0),
    ]
    weights = {"w": w, "by": by, "last": np.array(-6, np.float32)}
    outputs = [tensor("y", (5, 9)), tensor("s", ())]
    model = model_of(nodes, [tensor("x", x.shape)], outputs, weights)
    results = webdnn.compile(model, target=target).run({"x": x})
    np.testing.assert_array_equal(results["y"], 2 * np.fmod(x @ w, by))
    np.testing.assert_array_equal(results["s"], np.fmod(x @ w, -6).sum())


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_integers(dtype: np.dtype[Any], target: str) -> None:
    """The sign is that of the divisor, or of the dividend with `fmod`; nothing traps. What ONNX leaves undefined is 0
    for a divisor of 0; the least integer divided by -1 wraps around."""
    limits = np.iinfo(dtype.name)
    random = np.random.default_rng(2)
    some = random.integers(limits.min, limits.max, 12, dtype, endpoint=True)
    ends = [limits.max, limits.max - 1, limits.min, limits.min + 1]
    known = [0, 1, 2, 3, 7, *ends, *((-1, -2, -3, -7) if limits.min else ())]
    x, y = _all_pairs(np.concatenate([np.array(known, dtype), some]))
    element = np_dtype_to_tensor_dtype(dtype)
    nodes = [
        make_node("Mod", ["x", "y"], ["python"]),
        make_node("Mod", ["x", "y"], ["c"], fmod=1),
        make_node("Div", ["x", "y"], ["quotient"]),
    ]
    inputs = [tensor(name, x.shape, element) for name in "xy"]
    outputs = [tensor(node.output[0], x.shape, element) for node in nodes]
    model = model_of(nodes, inputs, outputs)
    results = webdnn.compile(model, target=target).run({"x": x, "y": y})
    with np.errstate(divide="ignore", over="ignore"):
        expected = {"python": np.mod(x, y), "c": np.fmod(x, y)}
        whole = np.where(y == 0, dtype.type(1), y)
        quotients = (x - np.fmod(x, whole)) // whole
    expected["quotient"] = np.where(y == 0, dtype.type(0), quotients)
    for name, array in expected.items():
        np.testing.assert_array_equal(results[name], array, name)


@pytest.mark.parametrize(("dtype", "target"), _on_targets(FLOATS))
def test_floats_by_floor(dtype: np.dtype[Any], target: str) -> None:
    """The sign of the divisor, also of zeros: what Python's `%` gives, and opset 28 has."""
    x, y = _all_pairs(_floats(dtype)[:34])
    element = np_dtype_to_tensor_dtype(dtype)
    inputs = [tensor(name, x.shape, element) for name in "xy"]
    nodes = [make_node("Mod", ["x", "y"], ["r"])]
    model = model_of(nodes, inputs, [tensor("r", x.shape, element)], opset=28)
    results = webdnn.compile(model, target=target).run({"x": x, "y": y})
    with np.errstate(invalid="ignore"):
        wide = dtype if dtype.itemsize > 2 else np.dtype(np.float32)
        expected = np.mod(x.astype(wide), y.astype(wide)).astype(dtype)
    _assert_same_bits(results["r"], expected)
