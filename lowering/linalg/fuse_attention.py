"""`fuse-attention`: products, the softmax of their rows and the product with the values are one region.

A CPU then computes a few rows of scores at a time, in memory that stays in the nearest cache: no tensor of all scores
exists. The quotient of the softmax moves behind the second product, whose rows are shorter than those of the scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects import arith, tensor
from xdsl.dialects.builtin import AffineMapAttr, Float32Type, Float64Type, FloatAttr, ModuleOp
from xdsl.dialects.linalg import ops as linalg
from xdsl.dialects.linalg.attrs import IteratorTypeAttr
from xdsl.ir import Block, BlockArgument, Operation, Region, SSAValue
from xdsl.ir.affine import AffineDimExpr, AffineExpr, AffineMap
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects import kernel
from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.sizes.questions import at_most
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.linalg.fuse_regions import merge_regions
from webdnn.lowering.linalg.inline_producers import inline_pointwise_producers
from webdnn.lowering.linalg.split_keys import split_keys
from webdnn.lowering.linalg.structure import (
    dims_of,
    generics,
    has_concat,
    input_maps,
    is_contraction,
    is_identity,
    is_pointwise,
    iterator_letters,
    output_maps,
    reads_elements,
)
from webdnn.lowering.uses import only_user
from webdnn.lowering.weights_function import entry_function


@dataclass(frozen=True)
class FuseAttention(ModulePass):
    """See the module's docstring. Rows of more scores than `max_keys` are cut into blocks of about `block`."""

    name = "fuse-attention"

    max_keys: int = 4096
    block: int = 2048

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for region in list(entry_function(op).body.block.ops):
            if isinstance(region, kernel.RegionOp) and (found := self._match(region)) is not None:
                keys = shape_of(found[1].outs[0])[-1]
                if is_symbolic(keys) and at_most(keys) > self.max_keys:
                    continue
                merged = _fuse(*found)
                if at_most(keys) > self.max_keys:
                    split_keys(merged, self.block)

    def _match(
        self, context: kernel.RegionOp
    ) -> tuple[kernel.RegionOp, kernel.RegionOp, kernel.RegionOp] | None:
        """The regions of the scores, of their softmax, and of the product with the values, which is `context`."""
        product = next(iter(generics(context)), None)
        if product is None or not is_contraction(product) or has_concat(context.body.block):
            return None
        for argument, weights in zip(context.body.block.args, context.ins, strict=True):
            softmax = weights.owner
            if (
                isinstance(softmax, kernel.RegionOp)
                and len(softmax.outs) == 1
                and only_user(weights) is context
                and only_user(argument) is product
                and _quotient(softmax, product, argument) is not None
                and (scores := _scores(softmax)) is not None
            ):
                return scores, softmax, context
        return None


def _scores(softmax: kernel.RegionOp) -> kernel.RegionOp | None:
    """The region with the product whose rows `softmax` normalises."""
    shape = shape_of(softmax.outs[0])
    for value in softmax.ins:
        region = value.owner
        if (
            shape_of(value) == shape
            and isinstance(region, kernel.RegionOp)
            and len(region.outs) == 1
            and only_user(value) is softmax
            and len(found := generics(region)) <= 2
            and found
            and is_contraction(found[0])
            and not has_concat(region.body.block)
            and all(is_pointwise(op) and not reads_elements(op) for op in found[1:])
        ):
            return region
    return None


@dataclass
class _Quotient:
    """`root` multiplies the exponentials, its input `place`, by what is the same for a whole row."""

    root: linalg.GenericOp
    place: int


def _quotient(
    softmax: kernel.RegionOp, product: linalg.GenericOp, weights: SSAValue
) -> _Quotient | None:
    """How `softmax` ends, if its last op scales rows that `product` sums up along."""
    end = softmax.body.block.last_op
    assert isinstance(end, kernel.YieldOp)
    root = end.arguments[0].owner
    if not isinstance(root, linalg.GenericOp) or not is_pointwise(root) or reads_elements(root):
        return None
    if sum("r" in iterator_letters(op) for op in generics(softmax)) != 2:
        return None
    if not isinstance(element_of(root.res[0]), Float32Type | Float64Type):
        return None  # sums of exponentials times values may overflow a half
    axis = len(shape_of(root.res[0])) - 1
    full = [i for i, m in enumerate(input_maps(root)) if any(axis in dims_of(e) for e in m.results)]
    if len(full) != 1 or not is_identity(input_maps(root)[full[0]]):
        return None
    if not is_pointwise(_owner(root.inputs[full[0]])):
        return None
    if not _is_scaled(_yielded(root), root.body.block.args[full[0]]):
        return None
    # the product reads each row of weights along a sum, and puts its rows where they were
    (map,) = [m for v, m in zip(product.inputs, input_maps(product), strict=True) if v is weights]
    letters = iterator_letters(product)
    *rows, column = map.results
    if not isinstance(column, AffineDimExpr) or letters[column.position] != "r":
        return None
    if letters.count("r") != 1 or not all(len(dims_of(e)) <= 1 for e in rows):
        return None
    written = {e.position for e in output_maps(product)[0].results if isinstance(e, AffineDimExpr)}
    used = {d for e in rows for d in dims_of(e)}
    return _Quotient(root, full[0]) if used <= written and column.position not in used else None


def _owner(value: SSAValue) -> Operation:
    assert isinstance(value.owner, Operation)
    return value.owner


def _yielded(op: linalg.GenericOp) -> SSAValue:
    end = op.body.block.last_op
    assert isinstance(end, linalg.YieldOp)
    return end.operands[0]


def _depends(value: SSAValue, on: BlockArgument) -> bool:
    if value is on:
        return True
    return isinstance(value.owner, Operation) and any(_depends(v, on) for v in value.owner.operands)


def _is_scaled(value: SSAValue, row: BlockArgument) -> bool:
    """Whether a value is an element of `row` times what does not depend on it."""
    if value is row:
        return True
    match value.owner:
        case arith.MulfOp(lhs=lhs, rhs=rhs):
            return any(
                _is_scaled(a, row) and not _depends(b, row) for a, b in ((lhs, rhs), (rhs, lhs))
            )
        case arith.DivfOp(lhs=lhs, rhs=rhs):
            return _is_scaled(lhs, row) and not _depends(rhs, row)
        case arith.SelectOp(cond=cond, lhs=lhs, rhs=rhs):
            # a row without keys is 0, whatever its exponentials are
            return not _depends(cond, row) and _is_scaled(lhs, row) and _is_zero(rhs)
        case _:
            return False


def _is_zero(value: SSAValue) -> bool:
    op = value.owner
    return (
        isinstance(op, arith.ConstantOp)
        and isinstance(op.value, FloatAttr)
        and op.value.value.data == 0
    )


def _fuse(
    scores: kernel.RegionOp, softmax: kernel.RegionOp, context: kernel.RegionOp
) -> kernel.RegionOp:
    softmax = merge_regions(scores, softmax)
    merged = merge_regions(softmax, context, inline=False)
    block = merged.body.block
    for product in generics(merged):
        for weights in product.inputs:
            root = weights.owner
            if is_contraction(product) and isinstance(root, linalg.GenericOp):
                _scale_behind(root, product)
                break
    inline_pointwise_producers(block)
    return merged


def _scale_behind(root: linalg.GenericOp, product: linalg.GenericOp) -> None:
    """`product(root(e, rows))` becomes `scale(product(e), rows)`."""
    axis = len(shape_of(root.res[0])) - 1
    place = next(
        i for i, m in enumerate(input_maps(root)) if any(axis in dims_of(e) for e in m.results)
    )
    number = list(product.inputs).index(root.res[0])
    at = input_maps(product)[number].results
    (out,) = output_maps(product)
    position = {e.position: i for i, e in enumerate(out.results) if isinstance(e, AffineDimExpr)}
    rank = len(out.results)
    moved = [
        AffineExpr.dimension(position[e.position]) if isinstance(e, AffineDimExpr) else e
        for e in at[:axis]
    ] + [AffineExpr.constant(0)]
    inputs: list[SSAValue] = [product.res[0]]
    maps = [AffineMap.identity(rank)]
    for i, (value, map) in enumerate(zip(root.inputs, input_maps(root), strict=True)):
        if i != place:
            inputs.append(value)
            exprs = tuple(e.replace_dims_and_symbols(moved, []) for e in map.results)
            maps.append(AffineMap(rank, 0, exprs))
    result = product.res[0]
    empty = tensor.EmptyOp((), result.type)  # pyright: ignore[reportArgumentType]
    scale = linalg.GenericOp(
        inputs,
        [empty.tensor],
        Region(_scaling(root, place, inputs)),
        [*map_attrs(maps), AffineMapAttr(AffineMap.identity(rank))],
        [IteratorTypeAttr.parallel()] * rank,
        [result.type],
    )
    product.operands[number] = root.inputs[place]
    Rewriter.insert_op([empty, scale], InsertPoint.after(product))
    result.replace_uses_with_if(scale.res[0], lambda use: use.operation is not scale)
    Rewriter.erase_op(root)


def map_attrs(maps: Sequence[AffineMap]) -> list[AffineMapAttr]:
    """Maps as attributes."""
    return [AffineMapAttr(m) for m in maps]


def _scaling(root: linalg.GenericOp, place: int, inputs: Sequence[SSAValue]) -> Block:
    """The body of `root`, on an element of the product in the place of an element of its row."""
    old = root.body.block
    block = Block(arg_types=[*(element_of(v) for v in inputs), old.args[-1].type])
    builder = Builder(InsertPoint.at_end(block))
    rest = iter(block.args[1:])
    values: dict[SSAValue, SSAValue] = {}
    for i, argument in enumerate(old.args):
        values[argument] = block.args[0] if i == place else next(rest)
    for op in old.ops:
        builder.insert(op.clone(values))
    return block
