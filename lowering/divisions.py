"""Integer divisions: a divisor of 0 is undefined, so what is under a condition stays there."""

from __future__ import annotations

from xdsl.dialects import arith

DIVISIONS = (
    arith.DivSIOp,
    arith.DivUIOp,
    arith.RemSIOp,
    arith.RemUIOp,
    arith.FloorDivSIOp,
    arith.CeilDivSIOp,
    arith.CeilDivUIOp,
)
"""The ops of `arith` that must not run where the program would not run them."""
