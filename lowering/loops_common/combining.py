"""Reductions whose partial results may be combined in any order."""

from __future__ import annotations

from webdnn.lowering.combining_ops import COMBINING
from webdnn.lowering.loops_common.flatten import FlatStage
from webdnn.lowering.loops_common.stages import Acc, Apply, Node, walk


def combiner(update: Node, number: int) -> Apply | None:
    """The op that combines accumulator `number` with a value, where the update is just that."""
    if not isinstance(update, Apply) or type(update.op) not in COMBINING or len(update.args) != 2:
        return None
    accs = [a for a in update.args if isinstance(a, Acc)]
    if len(accs) != 1 or accs[0].number != number:
        return None
    other = update.args[0] if update.args[1] is accs[0] else update.args[1]
    if any(isinstance(n, Acc) for n in walk([other])):
        return None
    return update


def can_split(stage: FlatStage) -> bool:
    """Whether each accumulator may be computed as several partial results."""
    return stage.is_reduction and all(
        combiner(u, i) is not None for i, u in enumerate(stage.updates)
    )
