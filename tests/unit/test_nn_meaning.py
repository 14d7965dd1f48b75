"""The numpy meaning of `nn` ops against plain loops and numpy's own functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import Builtin, ModuleOp, TensorType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.interpreter import Interpreter
from xdsl.interpreters.func import FuncFunctions
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.parser import Parser
from xdsl.utils.test_value import create_ssa_value

from webdnn.dialects.dtypes import (
    Array,
    array_of_dense,
    dense_attr,
    element_of_name,
    mlir_element,
    numpy_dtype,
    tensor_type_of,
)
from webdnn.dialects.nn import NN
from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.nn import reduction as rd
from webdnn.dialects.numpy_meaning.nn import NN_MEANING, NNFunctions, run_nn_block, run_nn_op

RNG = np.random.default_rng(0)
INT64 = np.iinfo(np.int64)


def run(make: Callable[..., Operation], *arrays: Array) -> Array:
    """Verify and run one op on arrays."""
    op = make(*(create_ssa_value(tensor_type_of(a)) for a in arrays))
    op.verify()
    return run_nn_op(op, arrays, {})


def test_every_op_has_a_meaning() -> None:
    assert set(NN.operations) == {dm.WeightOp, *NN_MEANING}


@pytest.mark.parametrize(
    "dtype",
    ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16",
     "bfloat16", "float32", "float64"],
)  # fmt: skip
def test_element_types_in_three_spellings(dtype: str) -> None:
    element = element_of_name(dtype)
    assert dtype == numpy_dtype(element).name
    assert mlir_element(numpy_dtype(element)) == element
    array = np.array([[0, 1, 1]]).astype(numpy_dtype(element))
    again = array_of_dense(dense_attr(array))
    assert again.dtype == array.dtype and (again == array).all()


def naive_conv(
    x: Array, w: Array, strides: Sequence[int], dilations: Sequence[int], groups: int
) -> Array:
    """A convolution by its definition, channels last, two dimensions."""
    n, height, width, _ = x.shape
    kh, kw, per_group, m = w.shape
    oh = (height - (kh - 1) * dilations[0] - 1) // strides[0] + 1
    ow = (width - (kw - 1) * dilations[1] - 1) // strides[1] + 1
    y = np.zeros((n, oh, ow, m))
    for i, j, o in np.ndindex(oh, ow, m):
        group = o // (m // groups)
        channels = slice(group * per_group, (group + 1) * per_group)
        for a, b in np.ndindex(kh, kw):
            row, column = i * strides[0] + a * dilations[0], j * strides[1] + b * dilations[1]
            y[:, i, j, o] += x[:, row, column, channels] @ w[a, b, :, o]
    return y


@pytest.mark.parametrize(
    ("shape", "filter", "strides", "dilations", "groups"),
    [
        ((1, 5, 7, 3), (3, 3, 3, 4), (1, 1), (1, 1), 1),  # few channels
        ((2, 9, 6, 20), (3, 2, 20, 5), (2, 1), (1, 2), 1),  # one product a place
        ((1, 6, 6, 6), (3, 3, 1, 6), (1, 1), (1, 1), 6),  # depthwise
        ((2, 5, 5, 6), (2, 2, 1, 12), (2, 2), (1, 1), 6),  # depthwise with a multiplier
        ((1, 4, 4, 8), (1, 1, 4, 6), (1, 1), (1, 1), 2),  # groups
        ((1, 1, 1, 1), (1, 1, 1, 1), (1, 1), (1, 1), 1),
        ((0, 4, 4, 2), (3, 3, 2, 2), (1, 1), (1, 1), 1),  # empty
    ],
)
def test_conv(
    shape: tuple[int, ...],
    filter: tuple[int, ...],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    groups: int,
) -> None:
    x = RNG.normal(size=shape).astype(np.float32)
    w = RNG.normal(size=filter).astype(np.float32)
    got = run(lambda a, b: rd.ConvOp(a, b, strides, dilations, groups), x, w)
    want = naive_conv(x.astype(float), w.astype(float), strides, dilations, groups)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_conv_of_integers_and_of_one_dimension() -> None:
    x = RNG.integers(-9, 9, (1, 8, 2)).astype(np.int32)
    w = RNG.integers(-9, 9, (3, 2, 4)).astype(np.int32)
    got = run(lambda a, b: rd.ConvOp(a, b, [2], [1]), x, w)
    want = naive_conv(x[:, :, None], w[:, None], (2, 1), (1, 1), 1)[:, :, 0]
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("kind", ["sum", "prod", "max", "min"])
def test_reduce_window(kind: str) -> None:
    x = RNG.normal(size=(2, 7, 6, 3)).astype(np.float32)
    make = lambda v: rd.ReduceWindowOp(kind, v, [1, 3, 2, 1], [1, 2, 1, 1], [1, 1, 2, 1])  # noqa: E731
    got = run(make, x)
    combine: Any = {"sum": np.sum, "prod": np.prod, "max": np.max, "min": np.min}[kind]
    assert got.shape == (2, 3, 4, 3)
    for i, j in np.ndindex(3, 4):
        seen = x[:, 2 * i : 2 * i + 3, j : j + 3 : 2]
        np.testing.assert_allclose(got[:, i, j], combine(seen, axis=(1, 2)), rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "dtype", "value"),
    [
        ("sum", np.float32, 0), ("prod", np.int64, 1), ("max", np.float32, -np.inf),
        ("min", np.float16, np.inf), ("max", np.int64, INT64.min), ("min", np.uint8, 255),
        ("and", np.bool_, True), ("or", np.bool_, False),
    ],
)  # fmt: skip
def test_reduction_over_nothing(kind: str, dtype: Any, value: Any) -> None:
    got = run(lambda v: rd.ReduceOp(kind, v, [1]), np.zeros((2, 0), dtype))
    assert got.shape == (2, 1) and got.dtype == dtype
    assert (got == value).all()


def test_sums_do_not_lose_what_is_added_late() -> None:
    x = np.full((1 << 20, 2), 0.1, np.float32)
    got = run(lambda v: rd.ReduceOp("sum", v, [0], keep_dims=False), x)
    np.testing.assert_allclose(got, x.astype(float).sum(0), rtol=1e-7)


@pytest.mark.parametrize("mode", ["edge", "reflect", "wrap", "constant"])
@pytest.mark.parametrize("pads", [(0, 0), (2, 1), (5, 7)])
def test_pad(mode: str, pads: tuple[int, int]) -> None:
    x = RNG.normal(size=(2, 4)).astype(np.float32)
    low, high = [0, pads[0]], [1, pads[1]]
    got = run(lambda v: dm.PadOp(v, low, high, mode=mode), x)
    pad: Any = np.pad
    np.testing.assert_array_equal(got, pad(x, [(0, 1), pads], mode=mode))


def test_pad_between_and_away() -> None:
    x = np.array([1, 2, 3], np.int64)
    got = run(lambda v: dm.PadOp(v, [1], [-2], interior=[2], value=9), x)
    assert got.tolist() == [9, 1, 9, 9, 2, 9]


def test_slices() -> None:
    x = np.arange(20).reshape(4, 5)
    got = run(lambda v: dm.SliceOp(v, [3, 1], [4, 2], [-1, 2]), x)
    np.testing.assert_array_equal(got, x[::-1, 1:4:2])
    assert run(lambda v: dm.SliceOp(v, [0, 0], [0, 5], [1, 1]), x).shape == (0, 5)


def test_gathers() -> None:
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    index = np.array([[0, -1], [2, 9]])
    got = run(lambda a, b: dm.GatherOp(a, b, 0), x, index)
    np.testing.assert_array_equal(got, x[[[0, 2], [2, 2]]])
    rows = np.array([[1, 0, -1, 2]])
    got = run(lambda a, b: dm.GatherElementsOp(a, b, 0), x, rows)
    np.testing.assert_array_equal(got, np.take_along_axis(x, rows % 3, 0))
    got = run(lambda a, b: dm.GatherNDOp(a, b, 1), x, np.array([[3], [0], [-2]]))
    np.testing.assert_array_equal(got, [3, 4, 10])


def test_integer_division_and_remainders() -> None:
    a = np.array([7, -7, 7, -7, 5, INT64.min], np.int64)
    b = np.array([2, 2, -2, -2, 0, -1], np.int64)
    assert run(ew.DivOp, a, b).tolist() == [3, -3, -3, 3, 0, INT64.min]
    assert run(ew.FloorModOp, a, b)[:5].tolist() == [1, 1, -1, -1, 0]
    assert run(ew.TruncModOp, a, b)[:5].tolist() == [1, -1, 1, -1, 0]


def test_powers() -> None:
    a, b = np.array([2, -1, 3, 0], np.int64), np.array([10, -3, -1, 0], np.int64)
    assert run(ew.PowOp, a, b).tolist() == [1024, -1, 0, 1]
    x = np.array([-8.0, 4.0, 0.0], np.float32)
    np.testing.assert_array_equal(
        run(ew.PowOp, x, np.array([3, 0.5, -1], np.float32)), np.array([-512, 2, np.inf])
    )


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32", "int64", "uint64"])
def test_float_to_integer_saturates(dtype: str) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 3.9, -3.9], np.float32)
    got = run(lambda v: ew.CastOp(v, element_of_name(dtype)), x)
    info = np.iinfo(dtype)
    low = max(info.min, -3)
    assert got.tolist() == [0, info.max, info.min, info.max, info.min, 3, low]


def test_other_casts() -> None:
    wide = np.array([300, -1, 128], np.int64)
    assert run(lambda v: ew.CastOp(v, element_of_name("uint8")), wide).tolist() == [44, 255, 128]
    assert run(lambda v: ew.CastOp(v, element_of_name("bool")), wide).all()
    half = run(lambda v: ew.CastOp(v, element_of_name("bfloat16")), np.array([1.00390625], "f4"))
    assert half.dtype == ml_dtypes.bfloat16


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_functions_keep_the_type_and_propagate_nan(dtype: str) -> None:
    x = np.array([-2.0, 0.0, 0.5, np.nan, np.inf, -np.inf]).astype(
        numpy_dtype(element_of_name(dtype))
    )
    for op in (ew.ReluOp, ew.SigmoidOp, ew.ErfOp, ew.TanhOp, ew.ExpOp):
        got = run(op, x)
        assert got.dtype == x.dtype
        assert np.isnan(got.astype(float)).tolist() == [False] * 3 + [True] + [False] * 2
    np.testing.assert_array_equal(run(ew.SigmoidOp, x).astype(float)[4:], [1, 0])
    assert np.isnan(run(ew.MaxOp, x, np.zeros_like(x)).astype(float))[3]


def test_arg_reduce_takes_the_first_or_the_last() -> None:
    x = np.array([[1.0, 3.0, 3.0], [np.nan, 1.0, 0.0]], np.float32)
    first = run(lambda v: rd.ArgReduceOp("max", v, 1), x)
    last = run(lambda v: rd.ArgReduceOp("max", v, 1, last=True), x)
    assert first.tolist() == [[1], [0]] and last.tolist() == [[2], [0]]


def test_softmax_and_normalize() -> None:
    x = (RNG.normal(size=(3, 5)) * 100).astype(np.float32)
    e = np.exp(x.astype(float) - x.max(1, keepdims=True))
    soft = e / e.sum(1, keepdims=True)
    np.testing.assert_allclose(run(lambda v: rd.SoftmaxOp(v, 1), x), soft, rtol=1e-5, atol=1e-30)
    log = run(lambda v: rd.SoftmaxOp(v, 1, log=True), x)
    np.testing.assert_allclose(
        log, x - x.max(1, keepdims=True) - np.log(e.sum(1, keepdims=True)), rtol=1e-5, atol=1e-6
    )
    wide = x.astype(float)
    centered = wide - wide.mean(1, keepdims=True)
    want = centered / np.sqrt((centered**2).mean(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(run(lambda v: rd.NormalizeOp(v, [1], 1e-5), x), want, rtol=1e-5)
    rms = wide / np.sqrt((wide**2).mean(1, keepdims=True) + 1e-5)
    got = run(lambda v: rd.NormalizeOp(v, [1], 1e-5, centered=False), x)
    np.testing.assert_allclose(got, rms, rtol=1e-5)


def test_linear_resize_clamps_at_the_edges() -> None:
    x = np.array([0.0, 10.0], np.float32)
    got = run(
        lambda v: dm.ResizeOp(
            v, [4], scale=[0.5], offset_in=[0.5], offset_out=[-0.5], mode="linear"
        ),
        x,
    )
    np.testing.assert_allclose(got, [0, 2.5, 7.5, 10])


def _module() -> tuple[ModuleOp, FuncOp]:
    type = TensorType(mlir_element(np.float32), [3])
    block = Block(arg_types=[type])
    weight = dm.WeightOp("w", type)
    added = ew.AddOp(SSAValue.get(block.args[0]), weight.res)
    block.add_ops([weight, added, ReturnOp(added.res)])
    function = FuncOp("main", ([type], [type]), Region(block))
    return ModuleOp([function]), function


def test_blocks_and_xdsl_interpreter_read_weights_from_a_store() -> None:
    module, function = _module()
    x, w = np.ones(3, np.float32), np.arange(3, dtype=np.float32)
    (got,) = run_nn_block(function.body.block, (x,), {"w": w})
    np.testing.assert_array_equal(got, x + w)
    interpreter = Interpreter(module)
    interpreter.register_implementations(FuncFunctions())
    interpreter.register_implementations(NNFunctions({"w": w}))
    (got,) = interpreter.call_op("main", (x,))
    np.testing.assert_array_equal(got, x + w)


@pytest.mark.parametrize(
    "values", [[np.nan, 1.0, -np.inf], [1.0, 2.0], [np.inf] * 3, [True, False], [True], [[-1], [5]]]
)
def test_constants_survive_being_printed(values: list[Any]) -> None:
    module = ModuleOp([dm.ConstantOp(dense_attr(np.array(values)))])
    ctx = Context()
    ctx.load_dialect(Builtin)
    ctx.load_dialect(NN)
    assert Parser(ctx, str(module)).parse_module().is_structurally_equivalent(module)
