"""`absorb-transposes`: transposes and slices that keep rows whole cost a CPU nothing, as other strides of an operand.

A product reads what such a region moves where it lies, and what such a region does to the result of a product is done
as the product is stored. The last dimension stays the last one, so vectors are loaded and stored as before.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
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
from webdnn.dialects.nn.base import shape_of
from webdnn.lowering.linalg.fuse_regions import merge_regions
from webdnn.lowering.linalg.structure import (
    generics,
    has_concat,
    input_maps,
    is_contraction,
    only_user,
    pointwise_root,
    reads_elements,
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
                        or (_moves_rows(region) and _ends_with_product(producer))
                    )
                ):
                    region = merge_regions(producer, region)


def _moves_rows(region: kernel.RegionOp) -> bool:
    """Whether a region only moves elements, and those along the last dimension together."""
    root = pointwise_root(region)
    if root is None or len(region.ins) != 1 or len(root.inputs) != 1 or reads_elements(root):
        return False
    end = root.body.block.last_op
    assert isinstance(end, linalg.YieldOp)
    rank = len(shape_of(region.outs[0]))
    if end.operands[0] is not root.body.block.args[0] or rank == 0:
        return False
    *outer, last = input_maps(root)[0].results or (AffineExpr.constant(0),)
    return all(_is_shifted(e) for e in outer) and _dim(last) == rank - 1


def _is_shifted(expr: AffineExpr) -> bool:
    return isinstance(expr, AffineConstantExpr) or _dim(expr) is not None


def _dim(expr: AffineExpr) -> int | None:
    """The dimension that an index is, but for a constant that is added."""
    if isinstance(expr, AffineBinaryOpExpr) and expr.kind is AffineBinaryOpKind.Add:
        return _dim(expr.lhs) if isinstance(expr.rhs, AffineConstantExpr) else None
    return expr.position if isinstance(expr, AffineDimExpr) else None


def _is_factor(value: SSAValue, region: kernel.RegionOp) -> bool:
    """Whether only products read an operand of a region, and nothing that they compute first depends on it."""
    (argument,) = [a for a, v in zip(region.body.block.args, region.ins, strict=True) if v is value]
    if has_concat(region.body.block):
        return False
    readers = [use.operation for use in argument.uses]
    return bool(readers) and all(
        isinstance(r, linalg.GenericOp) and is_contraction(r) and argument in r.inputs
        for r in readers
    )


def _ends_with_product(region: kernel.RegionOp) -> bool:
    """Whether the result of a region is that of a product, or of what is computed from its elements."""
    if has_concat(region.body.block):
        return False
    found = generics(region)
    return any(is_contraction(op) for op in found[-2:])
