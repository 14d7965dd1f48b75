"""Schedules of CPU kernels: what the attribute says, and how it is read.

A kernel is a list of groups, a group a list of stages (`webdnn.lowering.loops_cpu.groups`). The keys of
`#kernel.schedule` are

- `strategy = "tiles"`;
- `shared_G = [...]`: the tile of the dimensions that the stages of group G share, where there are any, in points
  of the stage where a dimension is finest;
- for stage S of group G, with `_G_S` behind the key unless both are 0:
  `merge = [...]`: dimensions each of which is made one loop with the next one, in this order, at the cost
  of divisions in some addresses (after all dimensions that no address tells apart have been merged);
  `tile = [...]`: for each dimension then left, parallel ones first, the points of a register tile, or,
  along a reduced dimension, the points that are unrolled;
  `vector = d`: the dimension whose neighbours fill the lanes of vectors, -1 for none;
  `order = [...]`: the parallel dimensions, the outermost loop first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import ScheduleAttr, ScheduleValue
from webdnn.lowering.loops_cpu.flatten import FlatStage, flatten
from webdnn.lowering.loops_cpu.stages import Group, Stage
from webdnn.lowering.loops_cpu.tiling import Tiling

VECTOR_WIDTH = 4
"""Lanes of a vector: four 32-bit elements fill a register of WebAssembly."""


@dataclass
class StageSchedule:
    """How one stage is cut: the tiling, and the dimensions to merge before."""

    tiling: Tiling
    merge: list[int] = field(default_factory=list[int])


@dataclass
class GroupSchedule:
    """How one group is cut: the tile of the shared dimensions, and each stage."""

    tile: list[int]
    stages: list[StageSchedule]


def flat_stage(group: Group, stage: Stage, number: int, merge: Sequence[int] = ()) -> FlatStage:
    """Stage `number` of a group over flat memory."""
    flat = flatten(stage, [shared.dims[number] for shared in group.outer])
    for d in merge:
        flat.merge(d)
    return flat


def prepare(
    group: Group, stage: Stage, number: int, schedule: GroupSchedule
) -> tuple[FlatStage, Tiling]:
    """Stage `number` of a group as its schedule wants it, and its tiling."""
    mine = schedule.stages[number]
    return flat_stage(group, stage, number, mine.merge), mine.tiling


def _suffix(group: int, stage: int) -> str:
    return f"_{group}_{stage}" if group or stage else ""


def to_attr(schedules: Sequence[GroupSchedule]) -> ScheduleAttr:
    """The schedule of a kernel as an attribute."""
    entries: dict[str, ScheduleValue] = {"strategy": "tiles"}
    for g, group in enumerate(schedules):
        if group.tile:
            entries[f"shared_{g}"] = group.tile
        for s, stage in enumerate(group.stages):
            suffix = _suffix(g, s)
            if stage.merge:
                entries["merge" + suffix] = stage.merge
            entries["tile" + suffix] = stage.tiling.tile
            entries["vector" + suffix] = stage.tiling.vector
            entries["order" + suffix] = stage.tiling.order
    return ScheduleAttr.of(entries)


def from_attr(attr: ScheduleAttr, groups: Sequence[Group], kernel: str) -> list[GroupSchedule]:
    """Read the schedule of a kernel.

    Raises:
        WebDNNError: a key is missing or does not fit the kernel.
    """
    entries = attr.to_dict()
    if (strategy := entries.get("strategy")) != "tiles":
        raise _misfit(kernel, f'strategy = "{strategy}" is not known on a CPU')
    return [
        GroupSchedule(
            _shared(entries, group, g, kernel) if group.outer else [],
            [
                _stage_from(entries, group, stage, g, s, kernel)
                for s, stage in enumerate(group.stages)
            ],
        )
        for g, group in enumerate(groups)
    ]


def _shared(
    entries: Mapping[str, int | str | list[int]], group: Group, g: int, kernel: str
) -> list[int]:
    tile = _ints(entries, f"shared_{g}", len(group.outer), kernel)
    for size, shared in zip(tile, group.outer, strict=True):
        if size < 1 or (size % shared.step and size < shared.size):
            raise _misfit(kernel, f"a tile of a shared dimension is a multiple of {shared.step}")
    return tile


def _stage_from(
    entries: Mapping[str, int | str | list[int]],
    group: Group,
    stage: Stage,
    g: int,
    s: int,
    kernel: str,
) -> StageSchedule:
    suffix = _suffix(g, s)
    merge = entries.get("merge" + suffix, [])
    vector = entries.get("vector" + suffix, -1)
    if not isinstance(merge, list) or not isinstance(vector, int):
        raise _misfit(kernel, "merge is a list and vector is a number")
    flat = flat_stage(group, stage, s, merge)
    rank = len(flat.sizes)
    tile = _ints(entries, "tile" + suffix, rank, kernel)
    order = _ints(entries, "order" + suffix, flat.num_parallel, kernel)
    if sorted(order) != list(range(flat.num_parallel)) or not -1 <= vector < rank:
        raise _misfit(kernel, "order names each parallel dimension once, and vector names one")
    if vector >= flat.num_parallel and not flat.can_split:
        raise _misfit(kernel, "the reduction cannot be split into partial results")
    if any(t < 1 for t in tile):
        raise _misfit(kernel, "tiles have at least one point")
    return StageSchedule(Tiling(tile, vector, VECTOR_WIDTH, order), merge)


def _ints(
    entries: Mapping[str, int | str | list[int]], key: str, count: int, kernel: str
) -> list[int]:
    value = entries.get(key)
    if not isinstance(value, list) or len(value) != count:
        raise _misfit(kernel, f"{key} must be a list of {count} numbers")
    return value


def _misfit(kernel: str, why: str) -> WebDNNError:
    return WebDNNError(
        "the schedule does not fit the kernel",
        where=kernel,
        why=why,
        hint="remove the attribute, and assign-cpu-schedules writes one that fits",
    )
