"""Reductions whose partial results may be combined in any order."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects import arith
from xdsl.dialects.vector import CombiningKindFlag
from xdsl.ir import Operation

from webdnn.lowering.loops_common.expression import Accumulator, Apply, Node, walk

COMBINING: dict[type[Operation], tuple[CombiningKindFlag, float | None]] = {
    arith.AddfOp: (CombiningKindFlag.ADD, 0),
    arith.AddiOp: (CombiningKindFlag.ADD, 0),
    arith.MulfOp: (CombiningKindFlag.MUL, 1),
    arith.MuliOp: (CombiningKindFlag.MUL, 1),
    arith.MaximumfOp: (CombiningKindFlag.MAXIMUMF, None),
    arith.MinimumfOp: (CombiningKindFlag.MINIMUMF, None),
    arith.MaxnumfOp: (CombiningKindFlag.MAXNUMF, None),
    arith.MinnumfOp: (CombiningKindFlag.MINNUMF, None),
    arith.MaxSIOp: (CombiningKindFlag.MAXSI, None),
    arith.MinSIOp: (CombiningKindFlag.MINSI, None),
    arith.MaxUIOp: (CombiningKindFlag.MAXUI, None),
    arith.MinUIOp: (CombiningKindFlag.MINUI, None),
    arith.AndIOp: (CombiningKindFlag.AND, None),
    arith.OrIOp: (CombiningKindFlag.OR, None),
    arith.XOrIOp: (CombiningKindFlag.XOR, 0),
}
"""Ops that combine partial results in any order: the kind, and the neutral element (None where combining
the initial value twice does no harm, so that each partial result may start with it)."""


def combiners(accumulators: Sequence[Accumulator], updates: Sequence[Node]) -> list[Apply] | None:
    """For each accumulator the op that combines it with a value; None where an update is more than that."""
    found: list[Apply] = []
    for accumulator, update in zip(accumulators, updates, strict=True):
        if not isinstance(update, Apply) or type(update.op) not in COMBINING:
            return None
        others = [n for n in update.operands if n is not accumulator]
        if len(others) != 1 or len(update.operands) != 2:
            return None
        if any(n in accumulators for n in walk(others)):
            return None
        found.append(update)
    return found
