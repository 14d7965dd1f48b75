"""Pointwise generics that only move elements: slices, transposes and their like."""

from __future__ import annotations

from xdsl.dialects import arith, tensor
from xdsl.dialects.linalg import ops as linalg
from xdsl.ir import SSAValue
from xdsl.ir.affine import (
    AffineBinaryOpExpr,
    AffineBinaryOpKind,
    AffineConstantExpr,
    AffineDimExpr,
    AffineExpr,
)

from webdnn.dialects.kernel import SizeOp
from webdnn.dialects.sizes.types import shape_of
from webdnn.lowering.linalg.structure import input_maps


def moves_rows(root: linalg.GenericOp) -> bool:
    """Whether a pointwise generic only moves elements, and those along the last dimension together."""
    places = _places(root)
    last = len(shape_of(root.res[0])) - 1
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
        case arith.ConstantOp() | SizeOp():
            return CONSTANT
        case arith.AddiOp(lhs=lhs, rhs=rhs) if isinstance(rhs.owner, arith.ConstantOp | SizeOp):
            return _loop(lhs)
        case _:
            return None
