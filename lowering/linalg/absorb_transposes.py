"""`absorb-transposes`: transposes and slices that keep rows whole cost a CPU nothing, as other strides of an operand.

A product reads what such a region moves where it lies, and what such a region does to the result of a product is done
as the product is stored. The last dimension stays the last one, so vectors are loaded and stored as before.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import arith, tensor
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.linalg import ops as linalg
from xdsl.ir import SSAValue
from xdsl.ir.affine import (
    AffineBinaryOpExpr,
    AffineBinaryOpKind,
    AffineConstantExpr,
    AffineDimExpr,
    AffineExpr,
)
from xdsl.passes import ModulePass

from webdnn.dialects import kernel
from webdnn.dialects.nn.base import shape_of, size_of
from webdnn.lowering.linalg.fuse_regions import merge_regions
from webdnn.lowering.linalg.structure import (
    argument_of,
    generics,
    has_concat,
    input_maps,
    is_contraction,
    only_user,
    pointwise_root,
)
from webdnn.lowering.weights_function import entry_function


@dataclass(frozen=True)
class AbsorbTransposes(ModulePass):
    """See the module's docstring."""

    name = "absorb-transposes"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for region in list(entry_function(op).body.block.ops):
            if not isinstance(region, kernel.RegionOp):
                continue
            for operand in region.ins:
                producer = operand.owner
                if (
                    isinstance(producer, kernel.RegionOp)
                    and len(producer.outs) == 1
                    and only_user(operand) is region
                    and (
                        (_moves_rows(producer) and _is_factor(operand, region))
                        or (_moves_rows(region) and _stores_all(operand, region, producer))
                    )
                ):
                    region = merge_regions(producer, region)


def _moves_rows(region: kernel.RegionOp) -> bool:
    """Whether a region only moves elements, and those along the last dimension together."""
    root = pointwise_root(region)
    if root is None or len(region.ins) != 1:
        return False
    places = _places(root)
    last = len(shape_of(region.outs[0])) - 1
    return bool(places) and None not in places and places[-1] == last


CONSTANT = -1
"""The place of an index that is a constant."""


def _places(root: linalg.GenericOp) -> list[int | None]:
    """The loops that the indices are of which a pointwise generic reads its only operand, but for constants that are
    added; None for an index that is anything else, nothing if the generic does more than to move elements."""
    end = root.body.block.last_op
    assert isinstance(end, linalg.YieldOp)
    element = end.operands[0]
    if len(root.inputs) == 1 and element is root.body.block.args[0]:
        return [_dim(e) for e in input_maps(root)[0].results]
    # some first elements of a dimension are read at computed indices
    if isinstance(element.owner, tensor.ExtractOp):
        return [_loop(v) for v in element.owner.indices]
    return []


def _dim(expr: AffineExpr) -> int | None:
    match expr:
        case AffineDimExpr():
            return expr.position
        case AffineConstantExpr():
            return CONSTANT
        case AffineBinaryOpExpr(kind=AffineBinaryOpKind.Add, rhs=AffineConstantExpr()):
            return _dim(expr.lhs)
        case _:
            return None


def _loop(index: SSAValue) -> int | None:
    match index.owner:
        case linalg.IndexOp():
            return index.owner.dim.value.data
        case arith.ConstantOp():
            return CONSTANT
        case arith.AddiOp(lhs=lhs, rhs=rhs) if isinstance(rhs.owner, arith.ConstantOp):
            return _loop(lhs)
        case _:
            return None


def _is_factor(value: SSAValue, region: kernel.RegionOp) -> bool:
    """Whether only products read an operand of a region, and nothing that they compute first depends on it."""
    argument = argument_of(value, region)
    if argument is None or has_concat(region.body.block):
        return False
    readers = [use.operation for use in argument.uses]
    return bool(readers) and all(
        isinstance(r, linalg.GenericOp) and is_contraction(r) and argument in r.inputs
        for r in readers
    )


def _stores_all(value: SSAValue, region: kernel.RegionOp, producer: kernel.RegionOp) -> bool:
    """Whether all of what a product gives, or what is computed from its elements, is moved by `region`."""
    if has_concat(producer.body.block) or size_of(value) != size_of(region.outs[0]):
        return False
    return any(is_contraction(op) for op in generics(producer)[-2:])
