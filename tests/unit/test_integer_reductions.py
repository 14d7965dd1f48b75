"""Reductions of integers on both back ends: what ONNX defines, where ONNX Runtime has no kernel of the type too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import exp, isqrt, log, prod

import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto, NodeProto
from onnx.helper import make_node, np_dtype_to_tensor_dtype

import webdnn
from tests.unit.onnx_models import model_of, tensor
from webdnn.dialects.dtypes import Array
from webdnn.targets import TARGETS

Row = Sequence[int]


def _logarithm(total: int, least: int) -> int:
    return int(log(total)) if total > 0 else least


def _log_sum_exp(row: Row, least: int) -> int:
    if len(row) < 2:
        return row[0] if row else least
    greatest = max(row)
    floor = greatest + int(log(sum(exp(v - greatest) for v in row)))
    return floor + (floor < 0)


KINDS: dict[str, Callable[[Row, np.iinfo], int]] = {
    "ReduceSum": lambda row, info: sum(row),
    "ReduceProd": lambda row, info: prod(row),
    "ReduceMean": lambda row, info: int(Fraction(sum(row), len(row))) if row else 0,
    "ReduceL1": lambda row, info: sum(map(abs, row)),
    "ReduceL2": lambda row, info: isqrt(sum(v * v for v in row)),
    "ReduceSumSquare": lambda row, info: sum(v * v for v in row),
    "ReduceLogSum": lambda row, info: _logarithm(sum(row), info.min),
    "ReduceLogSumExp": lambda row, info: _log_sum_exp(row, info.min),
    "ReduceMax": lambda row, info: max(row, default=info.min),
    "ReduceMin": lambda row, info: min(row, default=info.max),
}
"""What each makes of the elements it combines, before that wraps around."""

WIDE = (np.int32, np.int64, np.uint32, np.uint64)
TYPES = (np.int8, np.int16, *WIDE, np.uint8, np.uint16)


def _expected(kind: str, x: Array, axes: Sequence[int], keep: bool) -> Array:
    axes = [a % x.ndim for a in axes]
    info = np.iinfo(x.dtype)
    kept = [d for d in range(x.ndim) if d not in axes]
    shape = [x.shape[d] for d in kept]
    rows = x.transpose([*kept, *axes]).reshape(prod(shape), prod(x.shape[a] for a in axes))
    mask = 2 ** (8 * x.dtype.itemsize) - 1
    values = [KINDS[kind]([int(v) for v in row], info) & mask for row in rows]
    unsigned = np.array(values, f"u{x.dtype.itemsize}")
    if keep:
        shape = [1 if d in axes else n for d, n in enumerate(x.shape)]
    return unsigned.view(x.dtype).reshape(shape)


def _inputs(dtype: type) -> dict[str, Array]:
    """Ragged, with one element along an axis, with none, of one number; and where sums do not fit 32 bits."""
    rng = np.random.default_rng(5)
    info = np.iinfo(dtype)
    low = 0 if info.min == 0 else -9
    many = rng.integers(low, 30, (3, 4, 5))
    many[0] = rng.integers(0, 3, (4, 5))
    # 2^62 is the sum of these squares, and 2^24 + 1 is no 32-bit float
    large = [[46340, 46341, 3], [info.max, 0, 1], [2**24 + 1, 1, 5], [4999, 1, 0], [20, 0, 0]]
    if info.bits == 64:
        large[1] = [2**31 - 1, 2**31 - 1, 7]
    return {
        "many": many.astype(dtype),
        "one": rng.integers(low, 30, (4, 1)).astype(dtype),
        "none": np.zeros((2, 0, 3), dtype),
        "number": np.array(7, dtype),
        "large": np.array(large).astype(dtype),
    }


CASES: list[tuple[str, list[int] | None, bool, bool]] = [
    ("many", [1], False, False),
    ("many", [-1, 0], True, False),
    ("many", None, False, False),
    ("many", None, False, True),
    ("one", [1], True, False),
    ("none", [1], False, False),
    ("none", [1, 2], True, False),
    ("number", None, False, False),
    ("large", [1], False, False),
]
"""An input, axes, `keepdims` and `noop_with_empty_axes`."""


def _model(kinds: Sequence[str], inputs: dict[str, Array]) -> tuple[ModelProto, dict[str, Array]]:
    nodes: list[NodeProto] = []
    weights: dict[str, Array] = {}
    expected: dict[str, Array] = {}
    for kind in kinds:
        for number, (name, axes, keep, noop) in enumerate(CASES):
            x = inputs[name]
            operands = [name]
            if axes is not None:
                weights[f"axes{number}"] = np.array(axes, np.int64)
                operands.append(f"axes{number}")
            result = f"{kind}{number}"
            node = make_node(
                kind, operands, [result], keepdims=int(keep), noop_with_empty_axes=int(noop)
            )
            nodes.append(node)
            over = axes if axes is not None else [] if noop else list(range(x.ndim))
            expected[result] = _expected(kind, x, over, keep)
    element = np_dtype_to_tensor_dtype(inputs["many"].dtype)
    declared = [tensor(name, x.shape, element) for name, x in inputs.items()]
    outputs = [tensor(name, y.shape, element) for name, y in expected.items()]
    return model_of(nodes, declared, outputs, weights), expected


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [*WIDE, np.int8, np.uint8])
def test_reductions(dtype: type, target: str) -> None:
    kinds = list(KINDS) if dtype in WIDE else ["ReduceMax", "ReduceMin"]
    inputs = _inputs(dtype)
    model, expected = _model(kinds, inputs)
    results = webdnn.compile(model, target=target).run(inputs)
    for name, array in expected.items():
        assert results[name].dtype == array.dtype
        np.testing.assert_array_equal(results[name], array, name)


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "ReduceLogSumExp"])
def test_references_agree(kind: str) -> None:
    """What is expected here is what ONNX Runtime gives, where it has a kernel. Its integer log(sum(exp)) cuts off each
    exponential, against ONNX's definition of the operator by others."""
    inputs = {name: x for name, x in _inputs(np.int32).items() if name != "large"}
    inputs["large"] = np.array([[5, 12, 0], [99, 0, 1], [4999, 1, 0]], np.int32)
    model, expected = _model([kind], inputs)
    session = ort.InferenceSession(model.SerializeToString())
    for name, result in zip(expected, session.run(None, inputs), strict=True):
        if kind != "ReduceProd" or not name.endswith("2"):  # it does not fit
            np.testing.assert_array_equal(result, expected[name], name)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", TYPES)
def test_indices_of_extrema(dtype: type, target: str) -> None:
    info = np.iinfo(dtype)
    x = np.random.default_rng(3).integers(0, 4, (3, 5, 2)).astype(dtype)
    x[0, 1], x[0, 3], x[1, 2], x[1, 4] = info.max, info.max, info.min, info.min
    nodes: list[NodeProto] = []
    expected: dict[str, Array] = {}
    for kind, find in (("ArgMax", np.argmax), ("ArgMin", np.argmin)):
        for last in (0, 1):
            name = f"{kind}{last}"
            nodes.append(
                make_node(kind, ["x"], [name], axis=1, keepdims=last, select_last_index=last)
            )
            index = 4 - find(x[:, ::-1], axis=1) if last else find(x, axis=1)
            expected[name] = index[:, None] if last else index
    inputs = [tensor("x", x.shape, np_dtype_to_tensor_dtype(np.dtype(dtype)))]
    outputs = [tensor(n, y.shape, np_dtype_to_tensor_dtype(y.dtype)) for n, y in expected.items()]
    results = webdnn.compile(model_of(nodes, inputs, outputs), target=target).run({"x": x})
    for name, array in expected.items():
        np.testing.assert_array_equal(results[name], array, name)
