"""`nn` ops that combine many elements, as structured ops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from xdsl.builder import Builder
from xdsl.dialects import arith, math
from xdsl.dialects.builtin import (
    AnyFloat,
    Float32Type,
    Float64Type,
    IndexType,
    f32,
    f64,
    i32,
    i64,
)
from xdsl.dialects.linalg import ops as linalg
from xdsl.dialects.utils.fast_math import FastMathFlag
from xdsl.ir import Attribute, SSAValue
from xdsl.ir.affine import AffineExpr

from webdnn.dialects.dtypes import numpy_dtype
from webdnn.dialects.kernel import RegionOp
from webdnn.dialects.nn import reduction as red
from webdnn.dialects.nn.base import int_list
from webdnn.dialects.numpy_meaning.nn_reduction import neutral
from webdnn.dialects.sizes.expression import is_symbolic, maximum
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.nn_to_linalg.region_builder import (
    Body,
    RegionBuilder,
    dims,
    index_constant,
    scalar_constant,
    signless,
)
from webdnn.lowering.nn_to_linalg.scalars import compare, emit_cast, is_unsigned, select

INDEX = IndexType()


def combine(b: Builder, kind: str, element: Attribute, acc: SSAValue, x: SSAValue) -> SSAValue:
    """One step of a reduction: the accumulator is the second operand, so that it is found by pattern."""
    is_float, unsigned = isinstance(element, AnyFloat), is_unsigned(element)
    op_type = {
        "sum": arith.AddfOp if is_float else arith.AddiOp,
        "prod": arith.MulfOp if is_float else arith.MuliOp,
        "max": arith.MaximumfOp if is_float else arith.MaxUIOp if unsigned else arith.MaxSIOp,
        "min": arith.MinimumfOp if is_float else arith.MinUIOp if unsigned else arith.MinSIOp,
        "and": arith.AndIOp,
        "or": arith.OrIOp,
    }[kind]
    return b.insert(op_type(x, acc)).result


Combine = Callable[[Builder, str, Attribute, SSAValue, SSAValue], SSAValue]
"""Builder, kind, `nn` element type, accumulator, element: one step of a reduction."""


def combine_row_maximum(
    b: Builder, kind: str, element: Attribute, acc: SSAValue, x: SSAValue
) -> SSAValue:
    """The greater of two, where a NaN need not win: that of a softmax comes through its exponential anyway."""
    return b.insert(
        arith.MaximumfOp(x, acc, arith.FastMathFlagsAttr([FastMathFlag.NO_NANS]))
    ).result


def _multiply_add(element: Attribute) -> Body:
    def body(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
        *factors, acc = args
        x, y = (emit_cast(b, v, v.type, element) for v in factors)
        if isinstance(element, AnyFloat):
            return b.insert(arith.AddfOp(b.insert(arith.MulfOp(x, y)).result, acc)).result
        return b.insert(arith.AddiOp(b.insert(arith.MuliOp(x, y)).result, acc)).result

    return body


def lower_matmul(op: red.MatmulOp, r: RegionBuilder) -> RegionOp:
    """Loops: batch..., m, n, k."""
    lhs, rhs = r.args
    result_shape = shape_of(op.res)
    batch = len(result_shape) - 2
    m, n, k = (AffineExpr.dimension(batch + i) for i in range(3))

    def batch_exprs(shape: Sequence[int]) -> list[AffineExpr]:
        lead = shape[:-2]
        return [
            AffineExpr.constant(0) if size == 1 else AffineExpr.dimension(batch - len(lead) + i)
            for i, size in enumerate(lead)
        ]

    element = signless(element_of(op.res))
    out = r.fill(0, result_shape, element)
    (result,) = r.generic(
        [
            (lhs, [*batch_exprs(shape_of(lhs)), m, k]),
            (rhs, [*batch_exprs(shape_of(rhs)), k, n]),
        ],
        [(out, [*dims(batch), m, n])],
        "p" * (batch + 2) + "r",
        _multiply_add(element),
    )
    return r.finish(result)


def lower_conv(op: red.ConvOp, r: RegionBuilder) -> RegionOp:
    """Loops: n, spatial..., m, window..., c.

    A depthwise convolution has no m and no c: n, spatial..., channel, window...; its filter comes as [window..., C].
    The filter of another grouped one comes as [window..., C / groups, groups, M / groups], and `x` as [N, spatial...,
    groups, C / groups].
    """
    x, filter = r.args
    element = signless(element_of(op.res))
    strides, dilations = int_list(op.strides), int_list(op.dilations)
    spatial = len(strides)
    groups = op.groups.value.data
    window_sizes = shape_of(op.filter)[:spatial]
    result = shape_of(op.res)

    def window_exprs(first_window: int) -> list[AffineExpr]:
        return [
            AffineExpr.dimension(1 + i) * strides[i]
            + AffineExpr.dimension(first_window + i) * dilations[i]
            for i in range(spatial)
        ]

    n = AffineExpr.dimension(0)
    outer = dims(1 + spatial)
    body = _multiply_add(element)
    if is_depthwise(op):
        channel = AffineExpr.dimension(1 + spatial)
        first = 2 + spatial
        windows = [AffineExpr.dimension(first + i) for i in range(spatial)]
        out = r.fill(0, result, element)
        (value,) = r.generic(
            [(x, [n, *window_exprs(first), channel]), (filter, [*windows, channel])],
            [(out, [*outer, channel])],
            "p" * first + "r" * spatial,
            body,
        )
        return r.finish(value)
    grouped = groups > 1
    parallel = 1 + spatial + (2 if grouped else 1)
    group = [AffineExpr.dimension(1 + spatial)] if grouped else []
    m = AffineExpr.dimension(parallel - 1)
    windows = [AffineExpr.dimension(parallel + i) for i in range(spatial)]
    c = AffineExpr.dimension(parallel + spatial)
    shape = [*result[:-1], groups, result[-1] // groups] if grouped else list(result)
    assert len(window_sizes) == spatial
    out = r.fill(0, shape, element)
    (value,) = r.generic(
        [
            (x, [n, *window_exprs(parallel), *group, c]),
            (filter, [*windows, c, *group, m]),
        ],
        [(out, [*outer, *group, m])],
        "p" * parallel + "r" * (spatial + 1),
        body,
    )
    return r.finish(value)


def is_depthwise(op: red.ConvOp) -> bool:
    """Whether every channel is convolved on its own, one filter a channel."""
    groups = op.groups.value.data
    return groups > 1 and groups == shape_of(op.x)[-1] == shape_of(op.filter)[-1]


def _reduction_exprs(
    rank: int, axes: Sequence[int], keep: bool
) -> tuple[list[AffineExpr], list[AffineExpr], str]:
    """Index expressions of operand and result where loops are the kept dimensions, then the reduced ones."""
    kept = [d for d in range(rank) if d not in axes]
    loops = {d: AffineExpr.dimension(i) for i, d in enumerate([*kept, *axes])}
    operand = [loops[d] for d in range(rank)]
    if keep:
        result = [AffineExpr.constant(0) if d in axes else loops[d] for d in range(rank)]
    else:
        result = [loops[d] for d in kept]
    return operand, result, "p" * len(kept) + "r" * len(axes)


def reduce_value(
    r: RegionBuilder,
    kind: str,
    x: SSAValue,
    axes: Sequence[int],
    element: Attribute,
    *,
    step: Combine = combine,
    keep: bool = False,
) -> SSAValue:
    """`x` combined over `axes` by `step`; `element` is the `nn` element type (with its sign)."""
    shape = shape_of(x)
    operand, result, iterators = _reduction_exprs(len(shape), axes, keep)
    if keep:
        out_shape = [1 if d in axes else n for d, n in enumerate(shape)]
    else:
        out_shape = [n for d, n in enumerate(shape) if d not in axes]
    out = r.fill(neutral(kind, numpy_dtype(element)), out_shape, element_of(x))
    (value,) = r.generic(
        [(x, operand)],
        [(out, result)],
        iterators,
        lambda b, args: step(b, kind, element, args[1], args[0]),
    )
    return value


def lower_reduce(op: red.ReduceOp, r: RegionBuilder) -> RegionOp:
    """A reduction over whole dimensions."""
    return r.finish(
        reduce_value(
            r,
            op.kind.data,
            r.args[0],
            int_list(op.axes),
            element_of(op.x),
            keep=bool(op.keep_dims.value.data),
        )
    )


def lower_arg_reduce(op: red.ArgReduceOp, r: RegionBuilder) -> RegionOp:
    """The extreme value, then the least (or greatest) index at which it stands: two reductions of one value each."""
    (x,) = r.args
    element = element_of(op.x)
    axis = op.axis.value.data
    extreme = reduce_value(r, op.kind.data, x, [axis], element)

    def is_extreme(b: Builder, value: SSAValue, best: SSAValue) -> SSAValue:
        here = compare(b, "eq", value, best, is_unsigned(element))
        if not isinstance(element, AnyFloat):
            return here
        # the extreme of values with a NaN among them is NaN, which equals nothing
        nan = b.insert(arith.CmpfOp(value, value, "uno")).result
        all_nan = b.insert(arith.CmpfOp(best, best, "uno")).result
        both = b.insert(arith.AndIOp(nan, all_nan)).result
        return b.insert(arith.OrIOp(here, both)).result

    return r.finish(first_index(r, x, extreme, axis, is_extreme, last=bool(op.last.value.data)))


def first_index(
    r: RegionBuilder,
    x: SSAValue,
    best: SSAValue,
    axis: int,
    is_best: Callable[[Builder, SSAValue, SSAValue], SSAValue],
    *,
    last: bool = False,
) -> SSAValue:
    """The first (or `last`) index (i64) along `axis` of an element of `x` of which `is_best` holds, beside that of
    `best`, which lacks this dimension; the result has it with size 1."""
    shape = shape_of(x)
    rank = len(shape)
    operand, result, iterators = _reduction_exprs(rank, [axis], keep=False)
    kept = [n for d, n in enumerate(shape) if d != axis]
    none = -1 if last else 2**31 - 1
    init = r.fill(none, kept, i32)

    def body(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
        value, best, found = args
        index = b.insert(arith.IndexCastOp(b.insert(linalg.IndexOp(rank - 1)).result, i32)).result
        candidate = select(b, is_best(b, value, best), index, scalar_constant(b, none, i32))
        pick = arith.MaxSIOp if last else arith.MinSIOp
        return b.insert(pick(candidate, found)).result

    (index,) = r.generic([(x, operand), (best, result)], [(init, result)], iterators, body)
    out = r.empty([1 if d == axis else n for d, n in enumerate(shape)], i64)
    (wide,) = r.generic(
        [(index, [AffineExpr.dimension(d) for d in range(rank) if d != axis])],
        [(out, dims(rank))],
        "p" * rank,
        lambda b, args: b.insert(arith.ExtSIOp(args[0], i64)).result,
    )
    return wide


def lower_reduce_window(op: red.ReduceWindowOp, r: RegionBuilder) -> RegionOp:
    """Loops: the result's dimensions, then those windows that are wider than 1."""
    (x,) = r.args
    element = element_of(op.x)
    window, strides, dilations = (int_list(a) for a in (op.window, op.strides, op.dilations))
    shape = shape_of(op.res)
    rank = len(shape)
    sliding = [d for d in range(rank) if window[d] > 1]
    exprs = [AffineExpr.dimension(d) * strides[d] for d in range(rank)]
    for i, d in enumerate(sliding):
        exprs[d] = exprs[d] + AffineExpr.dimension(rank + i) * dilations[d]
    if not sliding:  # a window of one element
        out = r.empty(shape, element_of(x))
        return r.finish(
            *r.generic([(x, exprs)], [(out, dims(rank))], "p" * rank, lambda b, args: args[0])
        )
    out = r.fill(neutral(op.kind.data, numpy_dtype(element)), shape, element_of(x))
    sizes = r.window([window[d] for d in sliding], element_of(x))
    (value,) = r.generic(
        [(x, exprs), (sizes, [AffineExpr.dimension(rank + i) for i in range(len(sliding))])],
        [(out, dims(rank))],
        "p" * rank + "r" * len(sliding),
        lambda b, args: combine(b, op.kind.data, element, args[2], args[0]),
    )
    return r.finish(value)


def _row_exprs(rank: int, axes: Sequence[int]) -> list[AffineExpr]:
    """Index expressions of a row statistic in the iteration space of the whole tensor."""
    return [AffineExpr.dimension(d) for d in range(rank) if d not in axes]


def _with_statistics(
    r: RegionBuilder, x: SSAValue, statistics: Sequence[SSAValue], axes: Sequence[int], body: Body
) -> SSAValue:
    shape = shape_of(x)
    rank = len(shape)
    out = r.empty(shape, element_of(x))
    return r.generic(
        [(x, dims(rank)), *((s, _row_exprs(rank, axes)) for s in statistics)],
        [(out, dims(rank))],
        "p" * rank,
        body,
    )[0]


def lower_softmax(op: red.SoftmaxOp, r: RegionBuilder) -> RegionOp:
    """Maximum, exponentials, their sum, quotient: rows that share their outer dimensions."""
    (x,) = r.args
    element, axes = element_of(x), [op.axis.value.data]
    maximum = reduce_value(r, "max", x, axes, element, step=combine_row_maximum)

    def shifted(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
        return b.insert(arith.SubfOp(args[0], args[1])).result

    def exponential(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
        # what is below the normal numbers adds nothing to a sum that is 1 at least
        return b.insert(
            math.ExpOp(shifted(b, args), arith.FastMathFlagsAttr([FastMathFlag.APPROX_FUNC]))
        ).result

    exponentials = _with_statistics(r, x, [maximum], axes, exponential)
    total = reduce_value(r, "sum", exponentials, axes, element)
    if op.log.value.data:

        def log_softmax(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
            log_total = b.insert(math.LogOp(args[2])).result
            return b.insert(arith.SubfOp(shifted(b, args), log_total)).result

        return r.finish(_with_statistics(r, x, [maximum, total], axes, log_softmax))

    def quotient(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
        if not isinstance(element, Float32Type | Float64Type):
            return b.insert(arith.DivfOp(args[0], args[1])).result  # one rounding more would show
        inverse = b.insert(arith.DivfOp(scalar_constant(b, 1, element), args[1])).result
        return b.insert(arith.MulfOp(args[0], inverse)).result

    return r.finish(_with_statistics(r, exponentials, [total], axes, quotient))


def lower_normalize(op: red.NormalizeOp, r: RegionBuilder) -> RegionOp:
    """Mean, centred values, variance, quotient: rows that share their outer dimensions."""
    (x,) = r.args
    element, axes = element_of(x), int_list(op.axes)
    count = prod(shape_of(x)[a] for a in axes)

    def inverse_count(b: Builder) -> SSAValue:
        if not is_symbolic(count):
            return scalar_constant(b, 1.0 / max(count, 1), element)
        number = b.insert(arith.IndexCastOp(index_constant(b, maximum(count, 1)), i32)).result
        wide = f64 if isinstance(element, Float64Type) else f32
        divisor = b.insert(arith.SIToFPOp(number, wide)).result
        inverse = b.insert(arith.DivfOp(scalar_constant(b, 1, wide), divisor)).result
        return emit_cast(b, inverse, wide, element)

    centered = x
    if op.centered.value.data:
        total = reduce_value(r, "sum", x, axes, element)

        def center(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
            mean = b.insert(arith.MulfOp(args[1], inverse_count(b))).result
            return b.insert(arith.SubfOp(args[0], mean)).result

        centered = _with_statistics(r, x, [total], axes, center)
    squares = _sum_of_squares(r, centered, axes)

    def scale(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
        variance = b.insert(arith.MulfOp(args[1], inverse_count(b))).result
        epsilon = scalar_constant(b, op.epsilon.value.data, element)
        deviation = b.insert(math.SqrtOp(b.insert(arith.AddfOp(variance, epsilon)).result)).result
        return b.insert(arith.DivfOp(args[0], deviation)).result

    return r.finish(_with_statistics(r, centered, [squares], axes, scale))


def _sum_of_squares(r: RegionBuilder, x: SSAValue, axes: Sequence[int]) -> SSAValue:
    shape = shape_of(x)
    operand, result, iterators = _reduction_exprs(len(shape), axes, keep=False)
    out = r.fill(0, [n for d, n in enumerate(shape) if d not in axes], signless(element_of(x)))

    def body(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
        return b.insert(
            arith.AddfOp(b.insert(arith.MulfOp(args[0], args[0])).result, args[1])
        ).result

    return r.generic([(x, operand)], [(out, result)], iterators, body)[0]
