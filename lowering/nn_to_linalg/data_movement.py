"""`nn` ops that move elements, as structured ops."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import floor, lcm

import numpy as np
from xdsl.builder import Builder
from xdsl.dialects import arith, tensor
from xdsl.dialects.builtin import (
    AnyFloat,
    DenseIntOrFPElementsAttr,
    IndexType,
    TensorType,
    f32,
    i32,
    i64,
)
from xdsl.dialects.linalg import ops as linalg
from xdsl.ir import Attribute, SSAValue
from xdsl.ir.affine import AffineExpr

from webdnn.dialects.kernel import RegionOp
from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.nn.base import int_list
from webdnn.dialects.sizes.expression import is_symbolic, maximum, undecided
from webdnn.dialects.sizes.questions import is_known
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.nn_to_linalg.region_builder import (
    RegionBuilder,
    broadcast_exprs,
    dims,
    index_constant,
    scalar_constant,
    signless,
)
from webdnn.lowering.nn_to_linalg.scalars import compare, select, to_index

INDEX = IndexType()
_MOST_PARTS = 4096
"""The greatest denominator of a position of a resize that is computed in integers."""


def _index(b: Builder, dim: int) -> SSAValue:
    return b.insert(linalg.IndexOp(dim)).result


def _add(b: Builder, x: SSAValue, value: int) -> SSAValue:
    return x if value == 0 else b.insert(arith.AddiOp(x, index_constant(b, value))).result


def _clamp(b: Builder, x: SSAValue, size: int) -> SSAValue:
    """`x` limited to [0, size - 1]."""
    low = b.insert(arith.MaxSIOp(x, scalar_constant(b, 0, INDEX))).result
    return b.insert(arith.MinSIOp(low, index_constant(b, maximum(size - 1, 0)))).result


def _copy(r: RegionBuilder, exprs: Sequence[AffineExpr], shape: Sequence[int]) -> RegionOp:
    (x,) = r.args
    out = r.empty(shape, element_of(x))
    rank = len(shape)
    (result,) = r.generic([(x, exprs)], [(out, dims(rank))], "p" * rank, lambda _, args: args[0])
    return r.finish(result)


def lower_transpose(op: dm.TransposeOp, r: RegionBuilder) -> RegionOp:
    """Result dimension i is operand dimension permutation[i]."""
    permutation = int_list(op.permutation)
    return _copy(
        r,
        [AffineExpr.dimension(permutation.index(d)) for d in range(len(permutation))],
        shape_of(op.res),
    )


def lower_broadcast(op: dm.BroadcastOp, r: RegionBuilder) -> RegionOp:
    """A copy that reads size-1 dimensions at index 0."""
    return _copy(r, broadcast_exprs(shape_of(op.x), shape_of(op.res)), shape_of(op.res))


def lower_slice(op: dm.SliceOp, r: RegionBuilder) -> RegionOp:
    """A copy that reads at start + i * step.

    A loop index alone says that the loop is as long as the operand's dimension. So an operand of which some first
    elements are taken is read by `tensor.extract`.
    """
    starts, steps, shape = int_list(op.starts), int_list(op.steps), shape_of(op.res)
    places = list(zip(starts, steps, shape, shape_of(op.x), strict=True))
    if not any(
        is_symbolic(start) or (start == 0 and step == 1 and size != whole)
        for start, step, size, whole in places
    ):
        exprs = [
            AffineExpr.dimension(i) * step + start for i, (start, step, *_) in enumerate(places)
        ]
        return _copy(r, exprs, shape)
    (x,) = r.args
    element = element_of(x)

    def body(b: Builder, _: Sequence[SSAValue]) -> SSAValue:
        indices: list[SSAValue] = []
        for dim, (start, step) in enumerate(zip(starts, steps, strict=True)):
            index = _index(b, dim)
            if step != 1:
                index = b.insert(arith.MuliOp(index, scalar_constant(b, step, INDEX))).result
            indices.append(_add(b, index, start))
        return b.insert(tensor.ExtractOp(x, indices, element)).result

    return r.finish(r.elementwise([], shape, element, body))


def lower_concat(op: dm.ConcatOp, r: RegionBuilder) -> RegionOp:
    """`tensor.concat`: a copy for each operand."""
    result = signless(op.res.type)
    assert isinstance(result, TensorType)
    return r.finish(r.builder.insert(tensor.ConcatOp(r.args, op.axis.value.data, result)).result)


def lower_iota(op: dm.IotaOp, r: RegionBuilder) -> RegionOp:
    """The loop index as a value."""
    element = signless(element_of(op.res))

    def body(b: Builder, _: Sequence[SSAValue]) -> SSAValue:
        index = _index(b, op.axis.value.data)
        if isinstance(element, AnyFloat):
            as_int = b.insert(arith.IndexCastOp(index, i32)).result
            return b.insert(arith.SIToFPOp(as_int, element)).result
        return b.insert(arith.IndexCastOp(index, element)).result

    return r.finish(r.elementwise([], shape_of(op.res), element, body))


def lower_sizes(op: dm.SizesOp, r: RegionBuilder) -> RegionOp:
    """One element a size, one behind another."""
    shape = shape_of(op.res)

    def element(size: int) -> SSAValue:
        return r.elementwise(
            [],
            [1] * len(shape),
            i64,
            lambda b, _: b.insert(arith.IndexCastOp(index_constant(b, size), i64)).result,
        )

    elements = [element(size) for size in op.sizes.data]
    if len(elements) == 1:
        return r.finish(elements[0])
    return r.finish(r.builder.insert(tensor.ConcatOp(elements, 0, op.res.type)).result)


def _is_no_pad(length: int) -> bool:
    return length <= 0


def _source_index(
    b: Builder, op: dm.PadOp, dim: int, size: int
) -> tuple[SSAValue, SSAValue | None]:
    """The operand index that a result index of `dim` reads, clamped, and whether it is inside (None: always)."""
    low, high = int_list(op.low)[dim], int_list(op.high)[dim]
    step = int_list(op.interior)[dim] + 1
    index = _add(b, _index(b, dim), -low)
    has_low, has_high = not is_known(low, _is_no_pad), not is_known(high, _is_no_pad)
    if not has_low and not has_high and step == 1:
        return index, None
    last = maximum(size - 1, 0)
    mode = op.mode.data
    if mode == "wrap":
        period = index_constant(b, size)
        shift = -(-maximum(low, 0) // maximum(size, 1)) * size
        return b.insert(arith.RemSIOp(_add(b, index, shift), period)).result, None
    if mode == "reflect":
        # mirrored at both ends with period 2 * last: distance from the nearest multiple of the period
        period = maximum(2 * last, 1)
        shift = -(-maximum(low, 0) // period) * period
        folded = b.insert(arith.RemSIOp(_add(b, index, shift), index_constant(b, period))).result
        mirrored = b.insert(arith.SubiOp(index_constant(b, period), folded)).result
        return b.insert(arith.MinSIOp(folded, mirrored)).result, None
    if mode == "edge":
        return _clamp(b, index, size), None
    zero = scalar_constant(b, 0, INDEX)
    conditions = [compare(b, "ge", index, zero, False)] if has_low else []
    if has_high or step > 1:
        bound = index_constant(b, last * step)
        conditions.append(compare(b, "le", index, bound, False))
    if step > 1:
        step_value = scalar_constant(b, step, INDEX)
        on_grid = b.insert(arith.RemSIOp(index, step_value)).result
        conditions.append(compare(b, "eq", on_grid, zero, False))
        index = b.insert(arith.DivSIOp(index, step_value)).result
    inside = conditions[0]
    for condition in conditions[1:]:
        inside = b.insert(arith.AndIOp(inside, condition)).result
    return _clamp(b, index, size), inside


def lower_pad(op: dm.PadOp, r: RegionBuilder) -> RegionOp:
    """A read at a clamped index, replaced by the pad value outside."""
    (x,) = r.args
    element = element_of(x)
    shape = shape_of(op.x)

    def body(b: Builder, _: Sequence[SSAValue]) -> SSAValue:
        indices: list[SSAValue] = []
        inside: SSAValue | None = None
        for dim, size in enumerate(shape):
            index, condition = _source_index(b, op, dim, size)
            indices.append(index)
            if condition is not None:
                inside = (
                    condition
                    if inside is None
                    else b.insert(arith.AndIOp(inside, condition)).result
                )
        value = scalar_constant(b, op.value.value.data, element)
        if 0 in shape:
            return value
        read = b.insert(tensor.ExtractOp(x, indices, element)).result
        return read if inside is None else select(b, inside, read, value)

    return r.finish(r.elementwise([], shape_of(op.res), element, body))


def _gather(
    r: RegionBuilder,
    result_shape: Sequence[int],
    index_exprs: Sequence[Sequence[AffineExpr]],
    x_indices: Sequence[int | tuple[int]],
) -> RegionOp:
    """Elements of argument 0 read at indices; an entry of `x_indices` is a loop dimension, or `(i,)` for the i-th index
    value, read from argument 1 at `index_exprs[i]`."""
    x, index_tensor = r.args[0], r.args[1]
    shape, element, rank = shape_of(x), element_of(x), len(result_shape)
    out = r.empty(result_shape, element)

    def body(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
        indices: list[SSAValue] = []
        for size, source in zip(shape, x_indices, strict=True):
            if isinstance(source, int):
                indices.append(_index(b, source))
                continue
            index = to_index(b, args[source[0]])
            negative = compare(b, "lt", index, scalar_constant(b, 0, INDEX), False)
            indices.append(_clamp(b, select(b, negative, _add(b, index, size), index), size))
        return b.insert(tensor.ExtractOp(x, indices, element)).result

    (result,) = r.generic(
        [(index_tensor, exprs) for exprs in index_exprs], [(out, dims(rank))], "p" * rank, body
    )
    return r.finish(result)


def lower_gather(op: dm.GatherOp, r: RegionBuilder) -> RegionOp:
    """`x[..., indices[...], ...]`."""
    axis, index_rank = op.axis.value.data, len(shape_of(op.indices))
    rank = len(shape_of(op.x))
    x_indices: list[int | tuple[int]] = [
        *range(axis),
        (0,),
        *range(axis + index_rank, rank - 1 + index_rank),
    ]
    exprs = [AffineExpr.dimension(axis + d) for d in range(index_rank)]
    return _gather(r, shape_of(op.res), [exprs], x_indices)


def lower_gather_elements(op: dm.GatherElementsOp, r: RegionBuilder) -> RegionOp:
    """One dimension's index comes from `indices` at the same place."""
    rank = len(shape_of(op.x))
    x_indices: list[int | tuple[int]] = [
        (0,) if d == op.axis.value.data else d for d in range(rank)
    ]
    return _gather(r, shape_of(op.res), [dims(rank)], x_indices)


def lower_gather_nd(op: dm.GatherNDOp, r: RegionBuilder) -> RegionOp:
    """The last dimension of `indices` holds the leading indices (after the batch dimensions)."""
    index_shape, rank = shape_of(op.indices), len(shape_of(op.x))
    batch, depth, lead = op.batch_dims.value.data, index_shape[-1], len(index_shape) - 1
    exprs = [[*dims(lead), AffineExpr.constant(k)] for k in range(depth)]
    x_indices: list[int | tuple[int]] = [
        *range(batch),
        *((k,) for k in range(depth)),
        *(lead + k for k in range(rank - batch - depth)),
    ]
    return _gather(r, shape_of(op.res), exprs, x_indices)


def resize_positions(op: dm.ResizeOp, dim: int) -> np.ndarray:
    """Where each result index of `dim` reads, clamped to the operand (float64)."""
    size, result = shape_of(op.x)[dim], shape_of(op.res)[dim]
    scale, before, after = (
        attr.data[dim].value.data for attr in (op.scale, op.offset_in, op.offset_out)
    )
    positions = (np.arange(result, dtype=np.float64) + before) * scale + after
    return np.clip(positions, 0, max(size - 1, 0))


def nearest_indices(op: dm.ResizeOp, dim: int) -> np.ndarray:
    """The operand index (int32) for each result index of `dim` in mode `nearest`."""
    positions = resize_positions(op, dim)
    # positions are computed in floating point: what is meant to be a half or a whole number must stay one
    rounded = np.round(positions * 2) / 2
    positions = np.where(np.abs(positions - rounded) < 1e-6, rounded, positions)
    match op.rounding.data:
        case "floor":
            rounded = np.floor(positions)
        case "ceil":
            rounded = np.ceil(positions)
        case "round_prefer_floor":
            rounded = np.ceil(positions - 0.5)
        case _:
            rounded = np.floor(positions + 0.5)
    return np.clip(rounded, 0, shape_of(op.x)[dim] - 1).astype(np.int32)


def resized_dims(op: dm.ResizeOp) -> list[int]:
    """The dimensions that a resize changes."""
    return [d for d in range(len(shape_of(op.x))) if _is_resized(op, d)]


def _is_resized(op: dm.ResizeOp, dim: int) -> bool:
    size, result = shape_of(op.x)[dim], shape_of(op.res)[dim]
    if size != result:
        return True
    if is_symbolic(size):
        scale, before, after = _transform(op, dim)
        return scale != 1 or before + after != 0
    return not np.array_equal(resize_positions(op, dim), np.arange(size))


def _has_table(op: dm.ResizeOp, dim: int) -> bool:
    """Whether the positions along a resized dimension are known when the model is compiled."""
    return not is_symbolic(shape_of(op.x)[dim]) and not is_symbolic(shape_of(op.res)[dim])


def resize_tables(op: dm.ResizeOp) -> list[DenseIntOrFPElementsAttr]:
    """The tables that a resize reads: for each resized dimension of known sizes the lower index and, if linear, the
    fraction."""
    tables: list[DenseIntOrFPElementsAttr] = []
    for dim in resized_dims(op):
        if not _has_table(op, dim):
            continue
        n = shape_of(op.res)[dim]
        if op.mode.data == "nearest":
            tables.append(
                DenseIntOrFPElementsAttr.from_list(
                    TensorType(i32, [n]), nearest_indices(op, dim).tolist()
                )
            )
            continue
        positions = resize_positions(op, dim)
        lower = np.minimum(np.floor(positions), max(shape_of(op.x)[dim] - 2, 0))
        tables.append(
            DenseIntOrFPElementsAttr.from_list(TensorType(i32, [n]), [floor(v) for v in lower])
        )
        fraction = (positions - lower).astype(np.float32)
        tables.append(DenseIntOrFPElementsAttr.from_list(TensorType(f32, [n]), fraction.tolist()))
    return tables


def lower_resize(op: dm.ResizeOp, r: RegionBuilder) -> RegionOp:
    """Reads (nearest) or weighted sums of reads (linear) at indices from tables (arguments 1.. are `resize_tables`), or
    computed where a size is a symbol."""
    x, tables = r.args[0], r.args[1:]
    element, shape = element_of(x), shape_of(x)
    changed = resized_dims(op)
    linear = op.mode.data == "linear"
    table_dims = [d for d in changed if _has_table(op, d) for _ in range(2 if linear else 1)]
    rank = len(shape)
    out = r.empty(shape_of(op.res), element)

    def body(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
        base = [_index(b, d) for d in range(rank)]
        fractions: dict[int, SSAValue] = {}
        entries = iter(args[: len(tables)])
        for dim in changed:
            if _has_table(op, dim):
                base[dim] = to_index(b, next(entries))
                if linear:
                    fractions[dim] = next(entries)
            elif linear:
                base[dim], fractions[dim] = _linear_position(b, op, dim)
            else:
                base[dim] = _nearest_position(b, op, dim)

        def read(indices: Sequence[SSAValue]) -> SSAValue:
            return b.insert(tensor.ExtractOp(x, indices, element)).result

        if not linear:
            return read(base)

        def interpolate(position: int, indices: list[SSAValue]) -> SSAValue:
            if position == len(changed):
                return read(indices)
            dim = changed[position]
            low = interpolate(position + 1, indices)
            if shape[dim] == 1:
                return low
            upper = [*indices]
            upper[dim] = _add(b, indices[dim], 1)
            if is_symbolic(shape[dim]):
                upper[dim] = _clamp(b, upper[dim], shape[dim])
            high = interpolate(position + 1, upper)
            fraction = _as_element(b, fractions[dim], element)
            rise = b.insert(arith.SubfOp(high, low)).result
            return b.insert(arith.AddfOp(low, b.insert(arith.MulfOp(rise, fraction)).result)).result

        return interpolate(0, base)

    (result,) = r.generic(
        [(t, [AffineExpr.dimension(d)]) for t, d in zip(tables, table_dims, strict=True)],
        [(out, dims(rank))],
        "p" * rank,
        body,
    )
    return r.finish(result)


def _transform(op: dm.ResizeOp, dim: int) -> tuple[Fraction, Fraction, Fraction]:
    """`scale`, `before` and `after` of `(index + before) * scale + after` as the rational numbers that they round.

    Raises:
        WebDNNError: they are none with small denominators.
    """
    numbers = [attr.data[dim].value.data for attr in (op.scale, op.offset_in, op.offset_out)]
    rational = [Fraction(n).limit_denominator(_MOST_PARTS) for n in numbers]
    if any(
        abs(float(q) - n) > 1e-9 * max(abs(n), 1) for q, n in zip(rational, numbers, strict=True)
    ):
        raise undecided(f"the positions that a resize by {numbers[0]} reads", shape_of(op.x)[dim])
    scale, before, after = rational
    return scale, before, after


def _numerator(b: Builder, op: dm.ResizeOp, dim: int, factor: int = 1) -> tuple[SSAValue, int]:
    """`n` and `d`, where `n / (factor * d)` is the position that an index reads; `n` is not below 0."""
    scale, before, after = _transform(op, dim)
    start = before * scale + after
    parts = lcm(scale.denominator, start.denominator)
    step, first = int(scale * parts) * factor, int(start * parts) * factor
    index = _index(b, dim)
    if step != 1:
        index = b.insert(arith.MuliOp(index, scalar_constant(b, step, INDEX))).result
    numerator = _add(b, index, first)
    if first < 0:
        zero = scalar_constant(b, 0, INDEX)
        numerator = b.insert(arith.MaxSIOp(numerator, zero)).result
    return numerator, parts


def _divided(b: Builder, x: SSAValue, divisor: int) -> SSAValue:
    if divisor == 1:
        return x
    return b.insert(arith.DivSIOp(x, scalar_constant(b, divisor, INDEX))).result


def _nearest_position(b: Builder, op: dm.ResizeOp, dim: int) -> SSAValue:
    """`nearest_indices` of one element, in integers."""
    rounding = op.rounding.data
    # floor(p), floor(p + (d - 1) / d), floor(p + (d - 1) / 2d) and floor(p + 1 / 2), with n / d for p
    factor = 1 if rounding in ("floor", "ceil") else 2
    numerator, parts = _numerator(b, op, dim, factor)
    more = {"floor": 0, "ceil": parts - 1, "round_prefer_floor": parts - 1}.get(rounding, parts)
    position = _divided(b, _add(b, numerator, more), parts * factor)
    return b.insert(
        arith.MinSIOp(position, index_constant(b, maximum(shape_of(op.x)[dim] - 1, 0)))
    ).result


def _linear_position(b: Builder, op: dm.ResizeOp, dim: int) -> tuple[SSAValue, SSAValue]:
    """The lower index of one element, and the fraction (f32)."""
    size = shape_of(op.x)[dim]
    numerator, parts = _numerator(b, op, dim)
    last = index_constant(b, maximum(size - 1, 0) * parts)
    numerator = b.insert(arith.MinSIOp(numerator, last)).result
    lower = _divided(b, numerator, parts)
    if parts == 1:
        return lower, scalar_constant(b, 0, f32)
    whole = b.insert(arith.MuliOp(lower, scalar_constant(b, parts, INDEX))).result
    rest = b.insert(arith.IndexCastOp(b.insert(arith.SubiOp(numerator, whole)).result, i32)).result
    fraction = b.insert(arith.SIToFPOp(rest, f32)).result
    inverse = scalar_constant(b, 1 / parts, f32)
    return lower, b.insert(arith.MulfOp(fraction, inverse)).result


def _as_element(b: Builder, x: SSAValue, element: Attribute) -> SSAValue:
    assert isinstance(element, AnyFloat)
    if element.bitwidth == 32:
        return x
    op_type = arith.ExtFOp if element.bitwidth > 32 else arith.TruncFOp
    return b.insert(op_type(x, element)).result
