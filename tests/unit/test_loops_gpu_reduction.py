"""Reductions, windows and rows as GPU loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from xdsl.builder import Builder
from xdsl.dialects import arith, math, vector
from xdsl.dialects.builtin import f32, i1, i32
from xdsl.ir import SSAValue

from tests.unit.gpu_kernels import (
    RNG,
    Array,
    Scalars,
    binary,
    check,
    count,
    dim,
    floats,
    make_kernel,
)
from webdnn.lowering.loops_gpu.read_kernel import read_kernel
from webdnn.lowering.loops_gpu.schedules import schedule_for
from webdnn.lowering.loops_gpu.strategy import Rows
from webdnn.lowering.nn_to_linalg.reduction import reduce_value
from webdnn.lowering.nn_to_linalg.region_builder import RegionBuilder, dims

Build = Callable[[RegionBuilder], SSAValue | Sequence[SSAValue]]


# Reductions


REDUCE: dict[str, Any] = {
    "sum": np.sum,
    "prod": np.prod,
    "max": np.max,
    "min": np.min,
}


def reduce_build(kind: str, axes: Sequence[int], keep: bool = False) -> Build:
    return lambda r: reduce_value(r, kind, r.args[0], axes, f32, keep=keep)


@pytest.mark.parametrize("kind", list(REDUCE))
@pytest.mark.parametrize(
    "shape,axes",
    [
        ((6, 64), [1]),
        ((64, 6), [0]),
        ((64, 8), [0]),
        ((3, 50, 12), [1]),
        ((3, 50, 12), [0, 2]),
        ((2, 9, 300), [2]),
        ((100, 7), [0, 1]),
        ((4, 3), [1]),
    ],
)
def test_reduce(kind: str, shape: tuple[int, ...], axes: list[int]) -> None:
    x = floats(*shape)
    if kind == "prod":
        x = np.exp(x / 100).astype(np.float32)
    expected = REDUCE[kind](x.astype(np.float64), axis=tuple(axes)).astype(np.float32)
    check(make_kernel([x], reduce_build(kind, axes)), [x], [expected])


@pytest.mark.parametrize("along", ["reduced", "kept"])
@pytest.mark.parametrize("vector_", [1, 4])
@pytest.mark.parametrize("threads,rows", [(1, 8), (4, 3), (64, 1), (256, 1), (16, 16)])
def test_row_schedules(along: str, vector_: int, threads: int, rows: int) -> None:
    x = floats(10, 36, 8)
    schedule = dict(strategy="rows", threads=threads, rows=rows, along=along, vector=vector_)
    kernel = make_kernel([x], reduce_build("sum", [1]), schedule)
    check(kernel, [x], [x.astype(np.float64).sum(1).astype(np.float32)])
    kernel = make_kernel([x], reduce_build("max", [2]), schedule)
    check(kernel, [x], [x.max(2)])


def test_truth_values_reduced() -> None:
    x = RNG.random((5, 70)) < 0.01
    kernel = make_kernel([x], lambda r: reduce_value(r, "or", r.args[0], [1], i1))
    check(kernel, [x], [np.asarray(x.any(1))])


def test_arg_max() -> None:
    x = floats(6, 40)

    def build(r: RegionBuilder) -> SSAValue:
        outs = [(r.fill(-np.inf, [6], f32), [dim(0)]), (r.fill(0, [6], i32), [dim(0)])]

        def body(b: Builder, args: Sequence[SSAValue]) -> Sequence[SSAValue]:
            s = Scalars(b)
            better = s(arith.CmpfOp, args[0], args[1], "ogt")
            index = s(arith.IndexCastOp, s.index(1), i32)
            return (
                s(arith.SelectOp, better, args[0], args[1]),
                s(arith.SelectOp, better, index, args[2]),
            )

        return r.generic([(r.args[0], dims(2))], outs, "pr", body)[1]

    check(make_kernel([x], build), [x], [x.argmax(1).astype(np.int32)])


def window(x: Array, size: int, stride: int) -> Array:
    views = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))
    return views[:, ::stride, ::stride]


@pytest.mark.parametrize("channels", [8, 3])
def test_max_pool(channels: int) -> None:
    x = floats(2, 9, 11, channels)
    expected = window(x, 3, 2).max((-1, -2))

    def build(r: RegionBuilder) -> SSAValue:
        exprs = [dim(0), dim(1) * 2 + dim(4), dim(2) * 2 + dim(5), dim(3)]
        return r.generic(
            [(r.args[0], exprs), (r.window([3, 3], f32), [dim(4), dim(5)])],
            [(r.fill(-np.inf, expected.shape, f32), dims(4))],
            "pppprr",
            lambda b, a: b.insert(arith.MaximumfOp(a[0], a[2])).result,
        )[0]

    lowered = check(make_kernel([x], build), [x], [expected])
    assert (count(lowered, vector.LoadOp) > 0) == (channels == 8)


@pytest.mark.parametrize(
    "size,stride,tile", [(3, 1, 1), (3, 1, 2), (3, 2, 3), (5, 1, 4), (7, 1, 2)]
)
def test_depthwise(size: int, stride: int, tile: int) -> None:
    """Side by side, the windows share what they load."""
    x, w = floats(1, size + 3, size + 11, 12), floats(size, size, 12)
    expected = np.einsum("nyxcij,ijc->nyxc", window(x, size, stride), w)

    def build(r: RegionBuilder) -> SSAValue:
        exprs = [dim(0), dim(1) * stride + dim(4), dim(2) * stride + dim(5), dim(3)]

        def body(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
            s = Scalars(b)
            return s(arith.AddfOp, s(arith.MulfOp, args[0], args[1]), args[2])

        return r.generic(
            [(r.args[0], exprs), (r.args[1], [dim(4), dim(5), dim(3)])],
            [(r.fill(0, expected.shape, f32), dims(4))],
            "pppprr",
            body,
        )[0]

    schedule = {"strategy": "pointwise", "tile": tile}
    lowered = check(make_kernel([x, w], build, schedule), [x, w], [expected])
    if (size, tile) == (3, 2):
        assert count(lowered, vector.LoadOp) == 9 + 3 * 4
    if tile == 1:
        assert count(lowered, vector.LoadOp) == 2


# Rows


def with_rows(
    r: RegionBuilder,
    x: SSAValue,
    rows: SSAValue,
    shape: Sequence[int],
    axes: Sequence[int],
    op: Any,
) -> SSAValue:
    kept = [dim(i) for i in range(len(shape)) if i not in axes]
    return r.generic(
        [(x, dims(len(shape))), (rows, kept)],
        [(r.empty(shape, f32), dims(len(shape)))],
        "p" * len(shape),
        lambda b, args: op(Scalars(b), args[0], args[1]),
    )[0]


def softmax(r: RegionBuilder, shape: Sequence[int], axis: int) -> SSAValue:
    x = r.args[0]
    largest = reduce_value(r, "max", x, [axis], f32)
    powers = with_rows(
        r, x, largest, shape, [axis], lambda s, a, b: s(math.ExpOp, s(arith.SubfOp, a, b))
    )
    total = reduce_value(r, "sum", powers, [axis], f32)
    return with_rows(r, powers, total, shape, [axis], lambda s, a, b: s(arith.DivfOp, a, b))


@pytest.mark.parametrize(
    "shape,axis",
    [((6, 64), 1), ((3, 10), 1), ((2, 7, 1001), 2), ((2, 40, 12), 1), ((5, 3, 6), 0), ((1, 1), 1)],
)
def test_softmax(shape: tuple[int, ...], axis: int) -> None:
    x = floats(*shape) * 4
    powers = np.exp(x.astype(np.float64) - x.max(axis, keepdims=True))
    expected = (powers / powers.sum(axis, keepdims=True)).astype(np.float32)
    kernel = make_kernel([x], lambda r: softmax(r, shape, axis))
    lowered = check(kernel, [x], [expected])
    assert shape[axis] == 1 or isinstance(schedule_for(read_kernel(kernel)), Rows)
    assert count(lowered, math.ExpOp) <= 2


@pytest.mark.parametrize(
    "shape,axes", [((4, 96), [1]), ((2, 5, 7, 16), [1, 2]), ((2, 4, 36), [2]), ((3, 6, 5), [1, 2])]
)
def test_normalisation(shape: tuple[int, ...], axes: list[int]) -> None:
    """Mean, variance, scale and offset in one kernel."""
    x, scale, offset = floats(*shape), floats(shape[-1]), floats(shape[-1])
    size = np.prod([shape[a] for a in axes])

    def build(r: RegionBuilder) -> SSAValue:
        total = reduce_value(r, "sum", r.args[0], axes, f32)
        centred = with_rows(
            r,
            r.args[0],
            total,
            shape,
            axes,
            lambda s, a, b: s(arith.SubfOp, a, s(arith.MulfOp, b, s.constant(1 / size))),
        )
        squares = r.elementwise(
            [centred], shape, f32, lambda b, a: b.insert(arith.MulfOp(a[0], a[0])).result
        )
        variance = reduce_value(r, "sum", squares, axes, f32)

        def divide(s: Scalars, a: SSAValue, b: SSAValue) -> SSAValue:
            mean = s(arith.MulfOp, b, s.constant(1 / size))
            return s(arith.DivfOp, a, s(math.SqrtOp, s(arith.AddfOp, mean, s.constant(1e-5))))

        normal = with_rows(r, centred, variance, shape, axes, divide)
        scaled = r.elementwise([normal, r.args[1]], shape, f32, binary(arith.MulfOp))
        return r.elementwise([scaled, r.args[2]], shape, f32, binary(arith.AddfOp))

    wide = x.astype(np.float64)
    mean = wide.mean(tuple(axes), keepdims=True)
    variance = wide.var(tuple(axes), keepdims=True)
    expected = ((wide - mean) / np.sqrt(variance + 1e-5) * scale + offset).astype(np.float32)
    arrays = [x, scale, offset]
    check(make_kernel(arrays, build), arrays, [expected], tolerance=2e-5)
