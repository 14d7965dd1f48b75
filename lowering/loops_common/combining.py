"""Reductions whose partial results may be combined in any order."""

from __future__ import annotations

from xdsl.dialects import arith
from xdsl.dialects.vector import CombiningKindFlag
from xdsl.ir import Operation

from webdnn.lowering.loops_common.expression import Accumulator, Apply, Node, walk
from webdnn.lowering.loops_common.flatten import FlatStage

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


def combiner(update: Node, number: int) -> Apply | None:
    """The op that combines accumulator `number` with a value, where the update is just that."""
    if (
        not isinstance(update, Apply)
        or type(update.op) not in COMBINING
        or len(update.operands) != 2
    ):
        return None
    accs = [a for a in update.operands if isinstance(a, Accumulator)]
    if len(accs) != 1 or accs[0].number != number:
        return None
    other = update.operands[0] if update.operands[1] is accs[0] else update.operands[1]
    if any(isinstance(n, Accumulator) for n in walk([other])):
        return None
    return update


def can_split(stage: FlatStage) -> bool:
    """Whether each accumulator may be computed as several partial results."""
    return stage.is_reduction and all(
        combiner(u, i) is not None for i, u in enumerate(stage.updates)
    )
