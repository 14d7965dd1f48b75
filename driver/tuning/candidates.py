"""The schedules of a kernel that are worth trying: those that the cost model weighs, and neighbours of good ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp, ScheduleAttr, ScheduleValue
from webdnn.lowering.kernels.apply_schedules import check_entry
from webdnn.lowering.kernels.schedule_table import ScheduleEntry
from webdnn.lowering.loops_cpu.groups import read_groups
from webdnn.lowering.loops_cpu.heuristics import choose, stage_candidates
from webdnn.lowering.loops_cpu.lower import SCRATCH_ELEMENTS
from webdnn.lowering.loops_cpu.pack import packable, widths
from webdnn.lowering.loops_cpu.schedule import VECTOR_WIDTH, GroupSchedule, to_attr
from webdnn.lowering.packing import pack_operand

MOST_POINTS = 64
"""Vectors that a step of a loop may compute, with those that are unrolled: more makes code long."""


@dataclass(frozen=True)
class Candidate:
    """A schedule for a kernel, with the panels of its operands (None: no operand is packed)."""

    schedule: ScheduleAttr
    panels: tuple[int, ...] | None = None

    def entry(self, digest: str = "") -> ScheduleEntry:
        """As an entry of a table."""
        return ScheduleEntry(digest, "wasm", self.schedule, self.panels)


def candidates(func: FuncOp, weights: Sequence[int], count: int) -> list[Candidate]:
    """Up to `count` schedules of a kernel that is not packed yet, the most promising first by the cost model.

    Args:
        weights: the operands that may be packed.
    """
    ranked: dict[Candidate, float] = {}
    for panels, packed in _packed(func, weights):
        mine: dict[Candidate, float] = {}
        for cost, schedule in _scheduled(packed):
            mine.setdefault(Candidate(schedule, panels), cost)
        # not all of one width of panels: the cost model may be wrong about it
        best = sorted(mine, key=lambda c: mine[c])[: max(2, count // 2)]
        ranked.update((c, mine[c]) for c in best)
    return sorted(ranked, key=lambda c: ranked[c])[:count]


def _packed(
    func: FuncOp, weights: Sequence[int]
) -> Iterator[tuple[tuple[int, ...] | None, FuncOp]]:
    """The kernel with one operand packed in panels of each width, and as it is."""
    yield None, func
    count = len(func.function_type.inputs)
    for whole, _, _ in packable(func, weights, SCRATCH_ELEMENTS):
        for width in widths(whole):
            packed = func.clone()
            pack_operand(packed, replace(whole, block=width))
            yield tuple(width if i == whole.operand else 0 for i in range(count)), packed


def _scheduled(func: FuncOp) -> Iterator[tuple[float, ScheduleAttr]]:
    """Schedules that differ from the cost model's choice in one stage, with their predicted costs."""
    groups = read_groups(func, scratch_elements=SCRATCH_ELEMENTS)
    chosen = choose(groups)
    for g, group in enumerate(groups):
        for s, stage in enumerate(group.stages):
            found = stage_candidates(group, stage, s, chosen[g].tile)
            least = min((cost for cost, _ in found), default=0.0)
            for cost, schedule in found:
                stages = [*chosen[g].stages]
                stages[s] = schedule
                whole = [*chosen]
                whole[g] = GroupSchedule(chosen[g].tile, stages)
                yield cost - least if len(group.stages) > 1 else cost, to_attr(whole)


def neighbours(candidate: Candidate) -> Iterator[Candidate]:
    """Schedules that differ from a candidate in one number of a tile, or in the order of two loops.

    They need not fit the kernel.
    """
    entries = candidate.schedule.to_dict()
    for key, value in entries.items():
        if not isinstance(value, list):
            continue
        kind, _, suffix = key.partition("_")
        if kind in ("tile", "shared"):
            vector = entries.get(f"vector_{suffix}" if suffix else "vector", -1)
            for i, size in enumerate(value):
                step = VECTOR_WIDTH if kind == "shared" or i == vector else 1
                for new in sorted({size + step, size - step, size * 2, size // 2}):
                    if new >= step and new % step == 0:
                        yield _changed(candidate, entries, key, [*value[:i], new, *value[i + 1 :]])
        elif kind == "order":
            for i in range(len(value) - 1):
                swapped = [*value[:i], value[i + 1], value[i], *value[i + 2 :]]
                yield _changed(candidate, entries, key, swapped)


def _changed(
    candidate: Candidate, entries: Mapping[str, ScheduleValue], key: str, value: list[int]
) -> Candidate:
    return Candidate(ScheduleAttr.of({**entries, key: value}), candidate.panels)


def fits(func: FuncOp, weights: Sequence[int], candidate: Candidate) -> bool:
    """Whether a candidate fits a kernel, with a register tile that is not absurdly large."""
    for key, value in candidate.schedule.to_dict().items():
        points = prod(value) if isinstance(value, list) and key.startswith("tile") else 0
        if points > MOST_POINTS * VECTOR_WIDTH:
            return False
    try:
        check_entry(func, candidate.entry(), list(weights))
    except WebDNNError:
        return False
    return True
