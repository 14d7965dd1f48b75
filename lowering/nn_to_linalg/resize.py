"""Resizing, as structured ops: positions from tables where sizes are known, else computed in integers."""

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
)
from xdsl.ir import Attribute, SSAValue
from xdsl.ir.affine import AffineExpr

from webdnn.dialects.kernel import RegionOp
from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.sizes.expression import is_symbolic, maximum, undecided
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.nn_to_linalg.region_builder import (
    RegionBuilder,
    add_size,
    clamp_index,
    dims,
    index_constant,
    loop_index,
    scalar_constant,
)
from webdnn.lowering.nn_to_linalg.scalars import to_index

INDEX = IndexType()
_MOST_PARTS = 4096
"""The greatest denominator of a position of a resize that is computed in integers."""


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
        base = [loop_index(b, d) for d in range(rank)]
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
            upper[dim] = add_size(b, indices[dim], 1)
            if is_symbolic(shape[dim]):
                upper[dim] = clamp_index(b, upper[dim], shape[dim])
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
    index = loop_index(b, dim)
    if step != 1:
        index = b.insert(arith.MuliOp(index, scalar_constant(b, step, INDEX))).result
    numerator = add_size(b, index, first)
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
    position = _divided(b, add_size(b, numerator, more), parts * factor)
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
