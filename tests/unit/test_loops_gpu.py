"""Pointwise kernels, data movement and schedules as GPU loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from xdsl.builder import Builder
from xdsl.dialects import arith, math, tensor, vector
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, IntegerType, TensorType, f32, i1
from xdsl.ir import SSAValue

from tests.unit.gpu_kernels import (
    RNG,
    Scalars,
    binary,
    check,
    count,
    dim,
    floats,
    make_kernel,
)
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp, ScheduleAttr
from webdnn.lowering.loops_gpu.lower import lower_kernel
from webdnn.lowering.loops_gpu.read_kernel import read_kernel
from webdnn.lowering.loops_gpu.schedules import schedule_for
from webdnn.lowering.loops_gpu.strategy import Contraction, Pointwise, Rows
from webdnn.lowering.nn_to_linalg.region_builder import RegionBuilder, dims

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
        exprs = [dim(permutation.index(i)) for i in range(3)]
        return r.generic(
            [(r.args[0], exprs)], [(r.empty(shape, f32), dims(3))], "ppp", lambda _, a: a[0]
        )[0]

    check(make_kernel([x], build), [x], [x.transpose(permutation)])


def test_slice_with_step_and_reversal() -> None:
    x = floats(9, 8)

    def build(r: RegionBuilder) -> SSAValue:
        exprs = [dim(0) * 2 + 1, dim(1) * -1 + 7]
        return r.generic(
            [(r.args[0], exprs)], [(r.empty((4, 8), f32), dims(2))], "pp", lambda _, a: a[0]
        )[0]

    check(make_kernel([x], build), [x], [x[1::2, ::-1]])


def test_table_of_constants() -> None:
    x, table = floats(5, 8), np.array([[1, 2, 0.5, -1], [0, 3, 1, 4]], np.float32)
    times = np.tile(table, (3, 2))[:5]

    def build(r: RegionBuilder) -> SSAValue:
        type = TensorType(f32, table.shape)
        values = DenseIntOrFPElementsAttr.from_list(type, table.flatten().tolist())
        factors = r.builder.insert(arith.ConstantOp(values)).result
        return r.generic(
            [(r.args[0], dims(2)), (factors, [dim(0) % 2, dim(1) % 4])],
            [(r.empty((5, 8), f32), dims(2))],
            "pp",
            lambda b, a: Scalars(b)(arith.MulfOp, a[0], a[1]),
        )[0]

    check(make_kernel([x], build), [x], [x * times])


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
            [(r.args[1], [dim(0), dim(1)])], [(r.empty((5, 3, 8), f32), dims(3))], "ppp", body
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
    assert lower_kernel(kernel).grid_sizes[0] == 0


def test_more_workgroups_than_a_dimension_of_the_grid_holds() -> None:
    size = 65536 * 64 + 64
    kernel = make_kernel(
        [np.zeros(size, np.float32)],
        lambda r: r.elementwise(r.args, (size,), f32, lambda b, a: a[0]),
        {"strategy": "pointwise", "vector": 1},
    )
    lowered = lower_kernel(kernel)
    x, y, z = lowered.grid_sizes
    assert max(x, y, z) <= 65535
    assert x * y * z * 64 >= size


# Schedules


def product_kernel(m: int, n: int, k: int) -> FuncOp:
    def build(r: RegionBuilder) -> SSAValue:
        def body(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
            s = Scalars(b)
            return s(arith.AddfOp, s(arith.MulfOp, args[0], args[1]), args[2])

        return r.generic(
            [(r.args[0], [dim(0), dim(2)]), (r.args[1], [dim(2), dim(1)])],
            [(r.fill(0, [m, n], f32), [dim(0), dim(1)])],
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
    assert schedule_for(read_kernel(func)) == expected


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
