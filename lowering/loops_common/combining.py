"""Reductions whose partial results may be combined in any order."""

from __future__ import annotations

from collections.abc import Sequence

from webdnn.lowering.combining_ops import COMBINING
from webdnn.lowering.loops_common.expression import Accumulator, Apply, Node, walk


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
