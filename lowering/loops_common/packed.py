"""Operands that are packed in panels: contiguous along a dimension in blocks of whole vectors."""

from __future__ import annotations

from xdsl.ir.affine import AffineBinaryOpKind, AffineConstantExpr, AffineDimExpr

from webdnn.lowering.loops_common.affine import Flat, used_dims
from webdnn.lowering.loops_common.flatten import FlatStage, Load, Pick, Position
from webdnn.lowering.loops_common.stages import Gather, walk
from webdnn.lowering.packing import PAIR


def pair_dim(at: Flat) -> int | None:
    """The dimension k of an address that ends with `... + k mod 2`: its neighbours lie together in pairs."""
    found = [
        e.lhs.position
        for e, c in at.others
        if e.kind is AffineBinaryOpKind.Mod
        and e.rhs == AffineConstantExpr(PAIR)
        and c == 1
        and isinstance(e.lhs, AffineDimExpr)
    ]
    return found[0] if len(found) == 1 else None


def is_packed(at: Flat, d: int, width: int) -> bool:
    """Whether an address is contiguous in blocks of whole vectors along d: `(d floordiv n) * c + d mod n`, or is so but
    for pairs of another dimension in each place."""
    if d in at.coefficients:
        return False
    pairs = pair_dim(at)
    if pairs == d:
        return False
    step = 1 if pairs is None else PAIR
    mine = [(e, c) for e, c in at.others if d in used_dims(e)]
    if len(mine) != 2:
        return False
    for expr, c in mine:
        block = expr.rhs
        if expr.lhs != AffineDimExpr(d) or not isinstance(block, AffineConstantExpr):
            return False
        if block.value % width or (expr.kind is AffineBinaryOpKind.Mod and c != step):
            return False
    return {e.kind for e, _ in mine} == {AffineBinaryOpKind.Mod, AffineBinaryOpKind.FloorDiv}


def packed_block(at: Flat, d: int) -> int:
    """The size of the blocks of an address that `is_packed` along d."""
    (block,) = {
        e.rhs.value
        for e, _ in at.others
        if d in used_dims(e) and isinstance(e.rhs, AffineConstantExpr)
    }
    return block


def padded_loads(stage: FlatStage, d: int, width: int) -> list[Load] | None:
    """The loads of a reduction that depend on d, if all of them are packed along d, so that lanes beyond
    its end may be computed."""
    if not stage.is_reduction or not 0 <= d < stage.num_parallel:
        return None
    found: list[Load] = []
    for node in walk(stage.updates):
        if isinstance(node, Gather | Position | Pick):
            return None
        if isinstance(node, Load):
            if is_packed(node.at, d, width):
                found.append(node)
            elif d in node.at.coefficients or d in node.at.nonlinear_dims:
                return None
    return found or None
