"""Kernels whose sizes are symbols as GPU loops: lowered once, they are right at every size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from xdsl.builder import Builder
from xdsl.dialects import arith, tensor, vector
from xdsl.dialects.builtin import IntegerType, ModuleOp, TensorType, f32, i32
from xdsl.ir import Attribute, SSAValue

from tests.unit.gpu_kernels import (
    RNG,
    Array,
    Scalars,
    assert_close,
    binary,
    check,
    count,
    dim,
    floats,
    make_kernel,
)
from tests.unit.test_loops_gpu_contraction import build_conv, conv2d, matmul, multiply_add
from tests.unit.test_loops_gpu_reduction import softmax, with_rows
from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.sizes.expression import Symbol, bounds
from webdnn.dialects.sizes.substitution import evaluate
from webdnn.dialects.sizes.types import shape_of, tensor_type
from webdnn.engines.wgpu import run_kernel
from webdnn.lowering.loops_gpu.lower import lower_kernel
from webdnn.lowering.loops_gpu.read_kernel import read_kernel
from webdnn.lowering.loops_gpu.schedules import schedule_for
from webdnn.lowering.nn_to_linalg.reduction import reduce_value
from webdnn.lowering.nn_to_linalg.region_builder import RegionBuilder, dims

s = Symbol("s", 1, 70, likely=33).size
p = Symbol("p", 0, 40).size
h = Symbol("h", 4, 64, unit=4).size
"""Any length, one that may be 0, and one that is a multiple of four."""

LENGTHS = ({"s": 1}, {"s": 13}, {"s": 33}, {"s": 70})
EVEN_LENGTHS = ({"h": 4}, {"h": 28}, {"h": 64})
PASTS = ({"s": 1, "p": 0}, {"s": 7, "p": 5}, {"s": 70, "p": 40})

Build = Callable[[RegionBuilder], SSAValue | Sequence[SSAValue]]
Values = Mapping[str, int]


def typed(*shape: int, element: Attribute = f32) -> TensorType[Attribute]:
    return tensor_type(element, shape)


def run(
    func: FuncOp,
    sizes: Sequence[Values],
    expected: Callable[..., Array | Sequence[Array]],
    tolerance: float = 1e-5,
) -> FuncOp:
    """Compare a kernel with numpy at some sizes; `expected` gets its inputs, and the sizes by name."""
    lowered = func
    for values in sizes:
        arrays = [
            floats(*(evaluate(size, values) for size in shape_of(type)))
            for type in func.function_type.inputs
        ]
        wanted = expected(*arrays, **values)
        wanted = [wanted] if isinstance(wanted, np.ndarray) else list(wanted)
        lowered = check(func, arrays, wanted, tolerance, values)
    return lowered


# Pointwise


@pytest.mark.parametrize(
    "shape,sizes", [((s, 8), LENGTHS), ((s, 7), LENGTHS), ((3, h), EVEN_LENGTHS), ((p, s), PASTS)]
)
def test_add(shape: tuple[int, ...], sizes: Sequence[Values]) -> None:
    kernel = make_kernel(
        [typed(*shape)] * 2, lambda r: r.elementwise(r.args, shape, f32, binary(arith.AddfOp))
    )
    lowered = run(kernel, sizes, lambda x, y, **_: x + y)
    assert count(lowered, arith.DivUIOp) == (h in shape)  # one loop over everything
    assert (count(lowered, vector.LoadOp) == 2) == (shape in ((s, 8), (3, h)))


@pytest.mark.parametrize("permutation", [(0, 2, 1), (2, 1, 0), (1, 0, 2)])
@pytest.mark.parametrize("shape", [(3, s, 4), (p, 2, s), (s, p + 1, 4)], ids=str)
def test_transpose(shape: tuple[int, ...], permutation: tuple[int, ...]) -> None:
    result = tuple(shape[i] for i in permutation)

    def build(r: RegionBuilder) -> SSAValue:
        exprs = [dim(permutation.index(i)) for i in range(3)]
        out = (r.empty(result, f32), dims(3))
        return r.generic([(r.args[0], exprs)], [out], "ppp", lambda _, a: a[0])[0]

    run(make_kernel([typed(*shape)], build), PASTS, lambda x, **_: x.transpose(permutation))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_concat(axis: int) -> None:
    shapes = [[2, 3, 8] for _ in range(3)]
    for shape, size in zip(shapes, (p, s, p * 2), strict=True):
        shape[axis] = size
    result = [2, 3, 8]
    result[axis] = p * 3 + s

    def build(r: RegionBuilder) -> SSAValue:
        return r.builder.insert(tensor.ConcatOp(r.args, axis, typed(*result))).result

    kernel = make_kernel([typed(*shape) for shape in shapes], build)
    run(kernel, PASTS, lambda *arrays, **_: np.concatenate(arrays, axis))


def test_gather_rows_stays_vectorised() -> None:
    def build(r: RegionBuilder) -> SSAValue:
        def body(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
            e = Scalars(b)
            row = e(arith.IndexCastOp, args[0], e.constant_index(0).type)
            return e.extract(r.args[0], [row, e.index(1)])

        out = (r.empty((s, 8), f32), dims(2))
        return r.generic([(r.args[1], [dim(0)])], [out], "pp", body)[0]

    kernel = make_kernel([typed(10, 8), typed(s, element=i32)], build)
    for values in LENGTHS:
        table, ids = floats(10, 8), RNG.integers(0, 10, values["s"]).astype(np.int32)
        lowered = check(kernel, [table, ids], [table[ids]], sizes=values)
        assert count(lowered, vector.LoadOp) == 1


@pytest.mark.parametrize("dtype", ["int64", "int8", "bool"])
def test_element_types(dtype: str) -> None:
    element = IntegerType({"int64": 64, "int8": 8, "bool": 1}[dtype])
    kernel = make_kernel(
        [typed(s, 4, element=element)] * 2,
        lambda r: r.elementwise(r.args, (s, 4), element, binary(arith.OrIOp)),
    )
    for values in LENGTHS:
        x, y = (RNG.integers(0, 2, (values["s"], 4)).astype(dtype) for _ in range(2))
        check(kernel, [x, y], [x | y], sizes=values)


def test_results_of_different_lengths() -> None:
    def build(r: RegionBuilder) -> Sequence[SSAValue]:
        return [
            r.elementwise([v], shape, f32, lambda b, a: b.insert(arith.NegfOp(a[0])).result)
            for v, shape in zip(r.args, ((4, s), (p,)), strict=True)
        ]

    run(make_kernel([typed(4, s), typed(p)], build), PASTS, lambda x, y, **_: [-x, -y])


def padded(r: RegionBuilder, height: int, width: int, channels: int) -> SSAValue:
    """The image with a border of one zero, as an expression of its elements."""

    def pad(b: Builder, _: Sequence[SSAValue]) -> SSAValue:
        e = Scalars(b)
        indices = [e.index(i) for i in range(4)]
        inside = e.constant(1, IntegerType(1))
        for axis, size in ((1, height), (2, width)):
            at = e(arith.SubiOp, indices[axis], e.constant_index(1))
            last = e.size(size - 1)
            inside = e(arith.AndIOp, inside, e(arith.CmpiOp, at, e.constant_index(0), "sge"))
            inside = e(arith.AndIOp, inside, e(arith.CmpiOp, at, last, "sle"))
            low = e(arith.MaxSIOp, at, e.constant_index(0))
            indices[axis] = e(arith.MinSIOp, low, last)
        return e(arith.SelectOp, inside, e.extract(r.args[0], indices), e.constant(0.0))

    return r.elementwise([], [1, height + 2, width + 2, channels], f32, pad)


BORDER = ((0, 0), (1, 1), (1, 1), (0, 0))


def test_max_pool_with_pads() -> None:
    rows, columns = (s - 1) // 2 + 1, (p + 1) // 2 + 1

    def build(r: RegionBuilder) -> SSAValue:
        exprs = [dim(0), dim(1) * 2 + dim(4), dim(2) * 2 + dim(5), dim(3)]
        return r.generic(
            [
                (padded(r, s, p + 2, 8), exprs),
                (r.window([3, 3], f32), [dim(4), dim(5)]),
            ],
            [(r.fill(-np.inf, (1, rows, columns, 8), f32), dims(4))],
            "pppprr",
            lambda b, a: b.insert(arith.MaximumfOp(a[0], a[2])).result,
        )[0]

    def expected(x: Array, **_: int) -> Array:
        views = np.lib.stride_tricks.sliding_window_view(np.pad(x, BORDER), (3, 3), (1, 2))
        return views[:, ::2, ::2].max((-1, -2))

    run(make_kernel([typed(1, s, p + 2, 8)], build), PASTS, expected)


# Rows


@pytest.mark.parametrize(
    "schedule",
    [
        None,
        *({"strategy": "rows", "threads": 16, "rows": 3, "along": a} for a in ("reduced", "kept")),
    ],
)
@pytest.mark.parametrize("kind", ["sum", "max"])
@pytest.mark.parametrize(
    "shape,axis", [((5, s), 1), ((s, 8), 0), ((p, s, 3), 1), ((s, h), 1)], ids=str
)
def test_reduce(shape: tuple[int, ...], axis: int, kind: str, schedule: Any) -> None:
    def build(r: RegionBuilder) -> SSAValue:
        return reduce_value(r, kind, r.args[0], [axis], f32)

    sizes = [{**a, **b} for a, b in zip(PASTS, EVEN_LENGTHS, strict=True)]
    numpy = {"sum": np.sum, "max": np.max}[kind]
    run(make_kernel([typed(*shape)], build, schedule), sizes, lambda x, **_: numpy(x, axis))


def test_sum_of_nothing() -> None:
    def build(r: RegionBuilder) -> SSAValue:
        return reduce_value(r, "sum", r.args[0], [1], f32)

    run(make_kernel([typed(s, p)], build), PASTS, lambda x, **_: x.sum(1))


@pytest.mark.parametrize(
    "shape,axis", [((s, 33), 1), ((2, s, s), 2), ((s, h), 1), ((2, s, 12), 1)], ids=str
)
def test_softmax(shape: tuple[int, ...], axis: int) -> None:
    def expected(x: Array, **_: int) -> Array:
        powers = np.exp(x.astype(np.float64) - x.max(axis, keepdims=True))
        return (powers / powers.sum(axis, keepdims=True)).astype(np.float32)

    sizes = [{**a, **b} for a, b in zip(LENGTHS, EVEN_LENGTHS, strict=False)]
    run(make_kernel([typed(*shape)], lambda r: softmax(r, shape, axis)), sizes, expected)


def test_normalisation() -> None:
    """Rows of known length, of which there are any number."""
    shape = (s, 24)

    def build(r: RegionBuilder) -> SSAValue:
        total = reduce_value(r, "sum", r.args[0], [1], f32)
        centred = with_rows(
            r, r.args[0], total, shape, [1],
            lambda e, a, b: e(arith.SubfOp, a, e(arith.MulfOp, b, e.constant(1 / 24))),
        )  # fmt: skip
        squares = r.elementwise([centred] * 2, shape, f32, binary(arith.MulfOp))
        variance = reduce_value(r, "sum", squares, [1], f32)
        return with_rows(
            r, centred, variance, shape, [1], lambda e, a, b: e(arith.DivfOp, a, b)
        )  # fmt: skip

    def expected(x: Array, **_: int) -> Array:
        centred = x - x.mean(1, keepdims=True, dtype=np.float64)
        return (centred / (centred**2).sum(1, keepdims=True)).astype(np.float32)

    run(make_kernel([typed(*shape)], build), LENGTHS, expected, 1e-4)


# Products


@pytest.mark.parametrize(
    "schedule",
    [
        None,
        {"memory": "none"},
        {"memory": "none", "unroll": 6},
        {"k": 8, "tile": [2, 4]},
        {"split": 4, "k": 8},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "m,n,k",
    [(s, 12, 16), (s, 9, 7), (5, s, 8), (4, 8, s), (s, p, h), (p, h, s), (s, s, p)],
    ids=str,
)
def test_matmul(m: int, n: int, k: int, schedule: dict[str, Any] | None) -> None:
    if schedule is not None:
        schedule = {"strategy": "contraction", **schedule}
    sizes = [{**a, **b} for a, b in zip(PASTS, EVEN_LENGTHS, strict=True)]
    kernel = make_kernel([typed(m, k), typed(k, n)], lambda r: matmul(r, m, n), schedule)
    run(kernel, sizes, lambda a, b, **_: a @ b)


@pytest.mark.parametrize("memory", ["workgroup", "none"])
def test_attention_scores(memory: str) -> None:
    """A batch of heads, both lengths symbols, scaled."""

    def build(r: RegionBuilder) -> SSAValue:
        out = r.fill(0, [3, s, s + p], f32)
        (scores,) = r.generic(
            [(r.args[0], [dim(1), dim(0), dim(3)]), (r.args[1], [dim(2), dim(0), dim(3)])],
            [(out, dims(3))],
            "pppr",
            multiply_add,
        )
        return r.elementwise(
            [scores],
            [3, s, s + p],
            f32,
            lambda b, a: Scalars(b)(arith.MulfOp, a[0], Scalars(b).constant(0.5)),
        )

    schedule = {"strategy": "contraction", "memory": memory, "k": 8}
    kernel = make_kernel([typed(s, 3, 8), typed(s + p, 3, 8)], build, schedule)
    run(kernel, PASTS, lambda q, k, **_: np.einsum("shd,thd->hst", q, k) / 2)


@pytest.mark.parametrize("memory", ["workgroup", "none"])
@pytest.mark.parametrize("height,width", [(s + 2, p + 3), (h, h)], ids=str)
@pytest.mark.parametrize("stride", [1, 2])
def test_conv(height: int, width: int, stride: int, memory: str) -> None:
    result = (1, (height - 3) // stride + 1, (width - 3) // stride + 1, 12)
    schedule = {"strategy": "contraction", "memory": memory, "unroll": 6 if memory == "none" else 1}
    kernel = make_kernel(
        [typed(1, height, width, 8), typed(3, 3, 8, 12)], build_conv(result, stride, 1), schedule
    )
    sizes = [{**a, **b} for a, b in zip(PASTS, EVEN_LENGTHS, strict=True)]
    run(kernel, sizes, lambda x, w, **_: conv2d(x, w, stride, 1))


@pytest.mark.parametrize("memory", ["workgroup", "none"])
def test_conv_with_pads(memory: str) -> None:
    def build(r: RegionBuilder) -> SSAValue:
        (result,) = r.generic(
            [
                (padded(r, s, p + 1, 8), [dim(0), dim(1) + dim(4), dim(2) + dim(5), dim(6)]),
                (r.args[1], [dim(4), dim(5), dim(6), dim(3)]),
            ],
            [(r.fill(0, (1, s, p + 1, 12), f32), dims(4))],
            "pppprrr",
            multiply_add,
        )
        return result

    schedule = {"strategy": "contraction", "memory": memory}
    kernel = make_kernel([typed(1, s, p + 1, 8), typed(3, 3, 8, 12)], build, schedule)
    run(kernel, PASTS, lambda x, w, **_: conv2d(np.pad(x, BORDER), w, 1, 1))


# Grids and schedules


def test_grid_is_an_expression() -> None:
    """It folds where its bound is more than a dimension holds, and runs."""
    long = Symbol("n", 0, 5_000_000, unit=4, likely=400).size
    kernel = make_kernel(
        [typed(long)],
        lambda r: r.elementwise([*r.args] * 2, (long,), f32, binary(arith.AddfOp)),
        {"strategy": "pointwise", "workgroup": 4},
    )
    for n in (0, 4, 4000, 4_500_000):
        x = floats(n)
        lowered = check(kernel, [x], [x + x], sizes={"n": n})
        assert bounds(lowered.grid_sizes[0]) == (0, 312_500)


def test_dimension_that_is_too_long_beside_a_symbol() -> None:
    schedule = {"strategy": "contraction", "memory": "none", "workgroup": [1, 1], "tile": [1, 4]}
    kernel = make_kernel([typed(70_000, 2), typed(2, p)], lambda r: matmul(r, 70_000, p), schedule)
    (a, b) = floats(70_000, 2), floats(2, 3)
    module = ModuleOp([lower_kernel(kernel)])
    (found,) = run_kernel(module, "k", [a, b], sizes={"p": 3})
    assert_close(found.reshape(70_000, 3), a @ b)


def test_schedule_is_that_of_the_likely_size() -> None:
    for rows, likely in ((Symbol("s", 1, 512, likely=128).size, 128), (s, 33)):
        schedules = [
            schedule_for(
                read_kernel(
                    make_kernel([typed(n, 64), typed(64, 64)], lambda r, n=n: matmul(r, n, 64))
                )
            )
            for n in (rows, likely)
        ]
        assert schedules[0] == schedules[1]
