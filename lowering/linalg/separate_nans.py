"""`separate-nans`: a maximum over a window or a row leaves NaNs to a sum of squares.

The maximum in which a NaN wins takes engines eight instructions on x86, one in which it need not win takes one. Squares
are a NaN where an element is, and nowhere else: they are never negative, so no infinities of both signs meet in
their sum. It takes one instruction too, a multiply-add, and begins with 1, so that it is never a subnormal number.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects import arith, tensor
from xdsl.dialects.builtin import (
    AffineMapAttr,
    Float32Type,
    Float64Type,
    FloatAttr,
    ModuleOp,
)
from xdsl.dialects.linalg import ops as linalg
from xdsl.dialects.linalg.attrs import IteratorTypeAttr
from xdsl.dialects.utils.fast_math import FastMathFlag
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.ir.affine import AffineMap
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects import kernel
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.linalg.inline_producers import inline_pointwise_producers
from webdnn.lowering.linalg.structure import generics, iterator_letters
from webdnn.lowering.weights_function import entry_function


@dataclass(frozen=True)
class SeparateNans(ModulePass):
    """See the module's docstring."""

    name = "separate-nans"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for region in entry_function(op).body.block.ops:
            if not isinstance(region, kernel.RegionOp):
                continue
            found = [g for g in generics(region) if _extremum(g) is not None]
            for generic in found:
                _separate(generic)
            if found:
                inline_pointwise_producers(region.body.block)


def _extremum(op: linalg.GenericOp) -> arith.MaximumfOp | arith.MinimumfOp | None:
    """The op by which a reduction keeps the greatest or the least of its elements, or a NaN."""
    end = op.body.block.last_op
    if "r" not in iterator_letters(op) or len(op.res) != 1 or end is None:
        return None
    last = end.operands[0].owner
    if not isinstance(last, arith.MaximumfOp | arith.MinimumfOp) or not isinstance(
        element_of(op.res[0]), Float32Type | Float64Type
    ):
        return None
    accumulator = op.body.block.args[-1]
    if last.rhs is not accumulator or len(list(accumulator.uses)) != 1:
        return None
    flags = last.fastmath
    return None if FastMathFlag.NO_NANS in flags.data else last


def _separate(op: linalg.GenericOp) -> None:
    """Rewrite one reduction."""
    type = op.res[0].type
    element = element_of(op.res[0])
    assert isinstance(element, Float32Type | Float64Type)
    rank = len(shape_of(op.res[0]))
    one = arith.ConstantOp(FloatAttr(1.0, element))
    empty = tensor.EmptyOp((), type)  # pyright: ignore[reportArgumentType]
    ones = linalg.FillOp([one.result], [empty.tensor], [type])
    maps = op.indexing_maps.data
    both = linalg.GenericOp(
        op.inputs,
        [*op.outputs, ones.results[0]],
        Region(_body(op, element)),
        [*maps, maps[-1]],
        op.iterator_types,
        [type, type],
    )
    joined = linalg.GenericOp(
        list(both.res),
        [empty.tensor],
        Region(_nan_or_number(element)),
        [AffineMapAttr(AffineMap.identity(rank))] * 3,
        [IteratorTypeAttr.parallel()] * rank,
        [type],
    )
    inserted: list[Operation] = [one, empty, ones, both, joined]
    for new in inserted:
        new.location = op.location
    Rewriter.insert_op(inserted, InsertPoint.before(op))
    op.res[0].replace_all_uses_with(joined.res[0])
    Rewriter.erase_op(op)


def _body(op: linalg.GenericOp, element: Float32Type | Float64Type) -> Block:
    """The reduction's body, with a second accumulator of squares."""
    old = op.body.block
    block = Block(arg_types=[*(a.type for a in old.args), element])
    builder = Builder(InsertPoint.at_end(block))
    values: dict[SSAValue, SSAValue] = dict(zip(old.args, block.args, strict=False))
    for inner in old.ops:
        if isinstance(inner, linalg.YieldOp):
            break
        builder.insert(inner.clone(values))
    extremum = block.last_op
    assert isinstance(extremum, arith.MaximumfOp | arith.MinimumfOp)
    flags = {*extremum.fastmath.data, FastMathFlag.NO_NANS}
    extremum.fastmath = arith.FastMathFlagsAttr(list(flags))
    square = builder.insert(arith.MulfOp(extremum.lhs, extremum.lhs))
    total = builder.insert(arith.AddfOp(square.result, block.args[-1]))
    builder.insert(linalg.YieldOp(extremum.result, total.result))
    return block


def _nan_or_number(element: Float32Type | Float64Type) -> Block:
    """The sum of squares where it is a NaN, else the extremum."""
    block = Block(arg_types=[element] * 3)
    extremum, squares, _ = block.args
    builder = Builder(InsertPoint.at_end(block))
    nan = builder.insert(arith.CmpfOp(squares, squares, "uno"))
    chosen = builder.insert(arith.SelectOp(nan.result, squares, extremum))
    builder.insert(linalg.YieldOp(chosen.result))
    return block
