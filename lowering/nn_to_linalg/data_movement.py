"""`nn` ops that move elements, as structured ops."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.builder import Builder
from xdsl.dialects import arith, tensor
from xdsl.dialects.builtin import (
    AnyFloat,
    IndexType,
    TensorType,
    i32,
    i64,
)
from xdsl.ir import SSAValue
from xdsl.ir.affine import AffineExpr

from webdnn.dialects.kernel import RegionOp
from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.nn.base import int_list
from webdnn.dialects.sizes.expression import is_symbolic, maximum
from webdnn.dialects.sizes.questions import is_known
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.nn_to_linalg.region_builder import (
    RegionBuilder,
    add_size,
    broadcast_exprs,
    clamp_index,
    dims,
    index_constant,
    loop_index,
    scalar_constant,
    signless,
)
from webdnn.lowering.nn_to_linalg.scalars import compare, select, to_index

INDEX = IndexType()


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
            index = loop_index(b, dim)
            if step != 1:
                index = b.insert(arith.MuliOp(index, scalar_constant(b, step, INDEX))).result
            indices.append(add_size(b, index, start))
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
        index = loop_index(b, op.axis.value.data)
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
    index = add_size(b, loop_index(b, dim), -low)
    has_low, has_high = not is_known(low, _is_no_pad), not is_known(high, _is_no_pad)
    if not has_low and not has_high and step == 1:
        return index, None
    last = maximum(size - 1, 0)
    mode = op.mode.data
    if mode == "wrap":
        period = index_constant(b, size)
        shift = -(-maximum(low, 0) // maximum(size, 1)) * size
        return b.insert(arith.RemSIOp(add_size(b, index, shift), period)).result, None
    if mode == "reflect":
        # mirrored at both ends with period 2 * last: distance from the nearest multiple of the period
        period = maximum(2 * last, 1)
        shift = -(-maximum(low, 0) // period) * period
        folded = b.insert(
            arith.RemSIOp(add_size(b, index, shift), index_constant(b, period))
        ).result
        mirrored = b.insert(arith.SubiOp(index_constant(b, period), folded)).result
        return b.insert(arith.MinSIOp(folded, mirrored)).result, None
    if mode == "edge":
        return clamp_index(b, index, size), None
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
    return clamp_index(b, index, size), inside


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
                indices.append(loop_index(b, source))
                continue
            index = to_index(b, args[source[0]])
            negative = compare(b, "lt", index, scalar_constant(b, 0, INDEX), False)
            indices.append(
                clamp_index(b, select(b, negative, add_size(b, index, size), index), size)
            )
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
