"""Ops that combine partial results of a reduction."""

from __future__ import annotations

from xdsl.dialects import arith
from xdsl.dialects.vector import CombiningKindFlag
from xdsl.ir import Operation

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
