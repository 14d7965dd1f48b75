"""Pointwise kernels, reductions, rows and data movement as GPU loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from xdsl.builder import Builder
from xdsl.dialects import arith, math, tensor, vector
from xdsl.dialects.builtin import IntegerType, TensorType, f32, i1, i32
from xdsl.ir import SSAValue
from xdsl.ir.affine import AffineExpr

from tests.unit.gpu_kernels import Array, Scalars, check, make_kernel
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp, ScheduleAttr
from webdnn.lowering.loops_gpu.lower import lower_kernel
from webdnn.lowering.loops_gpu.read_kernel import read_kernel
from webdnn.lowering.loops_gpu.schedules import schedule_for
from webdnn.lowering.loops_gpu.strategy import Contraction, Pointwise, Rows
from webdnn.lowering.nn_to_linalg.reduction import reduce_value
from webdnn.lowering.nn_to_linalg.region_builder import RegionBuilder, dims

RNG = np.random.default_rng(5)
Build = Callable[[RegionBuilder], SSAValue | Sequence[SSAValue]]


def floats(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def d(position: int) -> AffineExpr:
    return AffineExpr.dimension(position)


def c(value: int) -> AffineExpr:
    return AffineExpr.constant(value)


def binary(op: Any) -> Callable[[Builder, Sequence[SSAValue]], SSAValue]:
    return lambda b, args: b.insert(op(*args)).results[0]


def count(func: FuncOp, op: type) -> int:
    return sum(isinstance(o, op) for o in func.walk())


# Pointwise


@pytest.mark.parametrize("shape", [(3, 4, 8), (1,), (5, 7), (1, 1, 4), (130, 4), ()])
def test_add(shape: tuple[int, ...]) -> None:
    x, y = floats(*shape), floats(*shape)
    kernel = make_kernel([x, y], lambda r: r.elementwise(r.args, shape, f32, binary(arith.AddfOp)))
    lowered = check(kernel, [x, y], [x + y])
    assert count(lowered, arith.DivUIOp) == 0  # one loop over everything
    assert (count(lowered, vector.LoadOp) == 2) == (x.size % 4 == 0)


def test_broadcast_along_the_innermost_dim_stays_vectorised() -> None:
    x, row, column = floats(6, 5, 12), floats(12), floats(6, 5, 1)

    def build(r: RegionBuilder) -> SSAValue:
        total = r.elementwise(r.args[:2], x.shape, f32, binary(arith.AddfOp))
        return r.elementwise([total, r.args[2]], x.shape, f32, binary(arith.MulfOp))

    lowered = check(make_kernel([x, row, column], build), [x, row, column], [(x + row) * column])
    assert count(lowered, vector.LoadOp) == 2
    assert count(lowered, vector.StoreOp) == 1


def test_compare_and_select_in_vectors() -> None:
    x = floats(9, 8)

    def body(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
        s = Scalars(b)
        condition = s(arith.CmpfOp, args[0], s.constant(0), "ogt")
        return s(arith.SelectOp, condition, args[0], s(math.ExpOp, args[0]))

    kernel = make_kernel([x], lambda r: r.elementwise(r.args, x.shape, f32, body))
    check(kernel, [x], [np.where(x > 0, x, np.exp(x))])


@pytest.mark.parametrize("permutation", [(0, 2, 1), (2, 1, 0), (1, 0, 2), (2, 0, 1)])
def test_transpose(permutation: tuple[int, ...]) -> None:
    x = floats(3, 4, 8)
    shape = tuple(x.shape[p] for p in permutation)

    def build(r: RegionBuilder) -> SSAValue:
        exprs = [d(permutation.index(i)) for i in range(3)]
        return r.generic(
            [(r.args[0], exprs)], [(r.empty(shape, f32), dims(3))], "ppp", lambda _, a: a[0]
        )[0]

    check(make_kernel([x], build), [x], [x.transpose(permutation)])


def test_slice_with_step_and_reversal() -> None:
    x = floats(9, 8)

    def build(r: RegionBuilder) -> SSAValue:
        exprs = [d(0) * 2 + 1, d(1) * -1 + 7]
        return r.generic(
            [(r.args[0], exprs)], [(r.empty((4, 8), f32), dims(2))], "pp", lambda _, a: a[0]
        )[0]

    check(make_kernel([x], build), [x], [x[1::2, ::-1]])


@pytest.mark.parametrize("axis,channels", [(0, 4), (1, 8), (1, 3)])
def test_pad(axis: int, channels: int) -> None:
    x = floats(5, channels)
    low, high = 2, 1
    shape = [n + (low + high if i == axis else 0) for i, n in enumerate(x.shape)]

    def body(r: RegionBuilder, b: Builder) -> SSAValue:
        s = Scalars(b)
        indices = [s.index(i) for i in range(2)]
        at = s(arith.SubiOp, indices[axis], s.constant_index(low))
        last = s.constant_index(x.shape[axis] - 1)
        inside = s(
            arith.AndIOp,
            s(arith.CmpiOp, at, s.constant_index(0), "sge"),
            s(arith.CmpiOp, at, last, "sle"),
        )
        indices[axis] = s(arith.MinSIOp, s(arith.MaxSIOp, at, s.constant_index(0)), last)
        return s(arith.SelectOp, inside, s.extract(r.args[0], indices), s.constant(7.0))

    kernel = make_kernel([x], lambda r: r.elementwise([], shape, f32, lambda b, _: body(r, b)))
    padding = [(low, high) if i == axis else (0, 0) for i in range(2)]
    lowered = check(kernel, [x], [np.pad(x, padding, constant_values=7.0)])
    assert (count(lowered, vector.LoadOp) > 0) == (axis == 0)


def test_gather_rows_stays_vectorised() -> None:
    table, ids = floats(10, 8), RNG.integers(0, 10, (5, 3)).astype(np.int32)

    def build(r: RegionBuilder) -> SSAValue:
        def body(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
            s = Scalars(b)
            row = s(arith.IndexCastOp, args[0], s.constant_index(0).type)
            return s.extract(r.args[0], [row, s.index(2)])

        return r.generic(
            [(r.args[1], [d(0), d(1)])], [(r.empty((5, 3, 8), f32), dims(3))], "ppp", body
        )[0]

    lowered = check(make_kernel([table, ids], build), [table, ids], [table[ids]])
    assert count(lowered, vector.LoadOp) == 1


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_concat(axis: int) -> None:
    shapes = [[2, 3, 8] for _ in range(3)]
    for i, shape in enumerate(shapes):
        shape[axis] = (4, 1, 8)[i]
    arrays = [floats(*shape) for shape in shapes]
    expected = np.concatenate(arrays, axis)

    def build(r: RegionBuilder) -> SSAValue:
        return r.builder.insert(
            tensor.ConcatOp(r.args, axis, TensorType(f32, expected.shape))
        ).result

    check(make_kernel(arrays, build), arrays, [expected])


@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.int16, np.int32])
def test_narrow_types(dtype: Any) -> None:
    x = RNG.integers(0, 2, (3, 8)).astype(dtype)
    y = RNG.integers(0, 2, (3, 8)).astype(dtype)
    element = i1 if dtype == np.bool_ else IntegerType(np.dtype(dtype).itemsize * 8)
    kernel = make_kernel(
        [x, y], lambda r: r.elementwise(r.args, (3, 8), element, binary(arith.OrIOp))
    )
    check(kernel, [x, y], [x | y])


def test_truth_values_from_floats() -> None:
    x, y = floats(5, 8), floats(5, 8)

    def body(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
        return b.insert(arith.CmpfOp(args[0], args[1], "olt")).result

    kernel = make_kernel([x, y], lambda r: r.elementwise(r.args, (5, 8), i1, body))
    check(kernel, [x, y], [x < y])


def test_two_results() -> None:
    x = floats(4, 12)

    def build(r: RegionBuilder) -> Sequence[SSAValue]:
        outs = [(r.empty(x.shape, f32), dims(2)) for _ in range(2)]

        def body(b: Builder, args: Sequence[SSAValue]) -> Sequence[SSAValue]:
            s = Scalars(b)
            return s(arith.NegfOp, args[0]), s(arith.MulfOp, args[0], args[0])

        return r.generic([(r.args[0], dims(2))], outs, "pp", body)

    lowered = check(make_kernel([x], build), [x], [-x, x * x])
    assert count(lowered, vector.LoadOp) == 1


def test_results_of_different_shapes() -> None:
    x, y = floats(4, 6), floats(50)

    def build(r: RegionBuilder) -> Sequence[SSAValue]:
        return [
            r.elementwise([v], shape, f32, lambda b, a: b.insert(arith.NegfOp(a[0])).result)
            for v, shape in zip(r.args, ((4, 6), (50,)), strict=True)
        ]

    check(make_kernel([x, y], build), [x, y], [-x, -y])


def test_nothing_to_do() -> None:
    x = floats(0, 4)
    kernel = make_kernel([x], lambda r: r.elementwise(r.args, (0, 4), f32, lambda b, a: a[0]))
    grid = lower_kernel(kernel).grid
    assert grid is not None
    assert grid.data[0].value.data == 0


def test_more_workgroups_than_a_dimension_of_the_grid_holds() -> None:
    size = 65536 * 64 + 64
    kernel = make_kernel(
        [np.zeros(size, np.float32)],
        lambda r: r.elementwise(r.args, (size,), f32, lambda b, a: a[0]),
        {"strategy": "pointwise", "vector": 1},
    )
    lowered = lower_kernel(kernel)
    assert lowered.grid is not None
    x, y, z = (n.value.data for n in lowered.grid)
    assert max(x, y, z) <= 65535
    assert x * y * z * 64 >= size


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
    check(kernel, [x], [x.any(1)])


def test_arg_max() -> None:
    x = floats(6, 40)

    def build(r: RegionBuilder) -> SSAValue:
        outs = [(r.fill(-np.inf, [6], f32), [d(0)]), (r.fill(0, [6], i32), [d(0)])]

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
        exprs = [d(0), d(1) * 2 + d(4), d(2) * 2 + d(5), d(3)]
        return r.generic(
            [(r.args[0], exprs), (r.window([3, 3], f32), [d(4), d(5)])],
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
        exprs = [d(0), d(1) * stride + d(4), d(2) * stride + d(5), d(3)]

        def body(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
            s = Scalars(b)
            return s(arith.AddfOp, s(arith.MulfOp, args[0], args[1]), args[2])

        return r.generic(
            [(r.args[0], exprs), (r.args[1], [d(4), d(5), d(3)])],
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
    kept = [d(i) for i in range(len(shape)) if i not in axes]
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
    assert shape[axis] == 1 or isinstance(schedule_for(kernel, read_kernel(kernel)), Rows)
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


# Schedules


def product_kernel(m: int, n: int, k: int) -> FuncOp:
    def build(r: RegionBuilder) -> SSAValue:
        def body(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
            s = Scalars(b)
            return s(arith.AddfOp, s(arith.MulfOp, args[0], args[1]), args[2])

        return r.generic(
            [(r.args[0], [d(0), d(2)]), (r.args[1], [d(2), d(1)])],
            [(r.fill(0, [m, n], f32), [d(0), d(1)])],
            "ppr",
            body,
        )[0]

    return make_kernel([np.zeros((m, k), np.float32), np.zeros((k, n), np.float32)], build)


@pytest.mark.parametrize(
    "m,n,k,expected",
    [
        (256, 256, 256, Contraction((8, 8), (4, 4), 32)),
        (2048, 1024, 256, Contraction((8, 8), (8, 8), 16)),
        (49, 512, 4608, Contraction((8, 8), (4, 4), 32, split=2)),
        (1, 1000, 2048, Rows(64, 4, "kept", 4)),
        (4096, 3, 64, Contraction((64, 1), (1, 4), memory="none")),
        (64, 64, 2, Pointwise()),
    ],
)
def test_schedules_of_products(m: int, n: int, k: int, expected: Any) -> None:
    func = product_kernel(m, n, k)
    assert schedule_for(func, read_kernel(func)) == expected


def test_matrix_times_vector() -> None:
    x, w = floats(1, 130), floats(130, 44)
    check(product_kernel(1, 44, 130), [x, w], [x @ w])


@pytest.mark.parametrize(
    "schedule,message",
    [
        ({"strategy": "magic"}, "no strategy 'magic'"),
        ({"strategy": "pointwise", "size": 3}, "no entry 'size'"),
        ({"strategy": "pointwise", "vector": [4]}, "expected something like 4"),
        ({"strategy": "pointwise", "vector": 3}, "vector is 1 or 4"),
        ({"strategy": "pointwise", "tile": 3}, "does not divide"),
        ({"strategy": "pointwise", "workgroup": 512}, "512 invocations"),
        ({"strategy": "contraction", "tile": [16, 16], "k": 64}, "bytes of workgroup memory"),
        ({"strategy": "contraction", "k": 6}, "k is a multiple of 4"),
    ],
)
def test_impossible_schedules(schedule: dict[str, Any], message: str) -> None:
    func = product_kernel(8, 8, 8)
    func.schedule = ScheduleAttr.of(schedule)
    with pytest.raises(WebDNNError, match=message):
        lower_kernel(func)


def test_strategies_that_do_not_fit_the_kernel() -> None:
    for strategy, message in (("contraction", "sum of products"), ("rows", "reductions")):
        kernel = make_kernel([floats(4)], lambda r: r.args[0], {"strategy": strategy})
        with pytest.raises(WebDNNError, match=message):
            lower_kernel(kernel)
