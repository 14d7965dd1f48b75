"""Where each tensor lies: offsets in one arena, or one of several buffers.

Both planners place the largest tensors first (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net
Inference", 2020, greedy by size).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from webdnn.lowering.kernels.lifetimes import Lifetime


@dataclass(frozen=True)
class Placement:
    """`bytes` bytes at `offset` of arena buffer `buffer`."""

    buffer: int
    offset: int
    bytes: int


@dataclass(frozen=True)
class MemoryPlan:
    """A placement for each lifetime, in their order, and the sizes of the arena buffers."""

    placements: Sequence[Placement]
    buffers: Sequence[int]


def align_up(value: int, alignment: int) -> int:
    """The least multiple of `alignment` that is not less than `value`."""
    return -(-value // alignment) * alignment


def lower_bound(lifetimes: Sequence[Lifetime], sizes: Sequence[int]) -> int:
    """The greatest number of bytes alive at one step: no plan needs less."""
    steps = {t.start for t in lifetimes}
    return max(
        (
            sum(s for t, s in zip(lifetimes, sizes, strict=True) if t.start <= step <= t.end)
            for step in steps
        ),
        default=0,
    )


def plan_offsets(lifetimes: Sequence[Lifetime], sizes: Sequence[int], alignment: int) -> MemoryPlan:
    """One buffer; each tensor takes the lowest offset that is free during its whole life."""
    order = sorted(range(len(sizes)), key=lambda i: (-sizes[i], lifetimes[i].start))
    placed: dict[int, int] = {}
    total = 0
    for index in order:
        size = align_up(sizes[index], alignment)
        taken = sorted(
            (placed[j], placed[j] + align_up(sizes[j], alignment))
            for j in placed
            if lifetimes[j].overlaps(lifetimes[index])
        )
        offset = 0
        best: tuple[int, int] | None = None
        for begin, end in taken:
            gap = begin - offset
            if gap >= size and (best is None or gap < best[0]):
                best = (gap, offset)
            offset = max(offset, end)
        placed[index] = offset if best is None else best[1]
        total = max(total, placed[index] + size)
    placements = [Placement(0, placed[i], size) for i, size in enumerate(sizes)]
    return MemoryPlan(placements, [total])


def side_by_side(sizes: Sequence[int], alignment: int) -> MemoryPlan:
    """One buffer that holds all tensors at all times."""
    placements: list[Placement] = []
    end = 0
    for size in sizes:
        placements.append(Placement(0, end, size))
        end = align_up(end + size, alignment)
    return MemoryPlan(placements, [end])


def own_buffers(sizes: Sequence[int], alignment: int) -> MemoryPlan:
    """A buffer for each tensor."""
    placements = [Placement(number, 0, size) for number, size in enumerate(sizes)]
    return MemoryPlan(placements, [align_up(size, alignment) for size in sizes])


def plan_buffers(lifetimes: Sequence[Lifetime], sizes: Sequence[int], alignment: int) -> MemoryPlan:
    """Several buffers that hold one tensor at a time, at offset 0: a launch never reads a buffer that it writes."""
    order = sorted(range(len(sizes)), key=lambda i: (-sizes[i], lifetimes[i].start))
    buffers: list[list[int]] = []
    for index in order:
        for tensors in buffers:
            if not any(lifetimes[j].overlaps(lifetimes[index]) for j in tensors):
                tensors.append(index)
                break
        else:
            buffers.append([index])
    where = {index: number for number, tensors in enumerate(buffers) for index in tensors}
    placements = [Placement(where[i], 0, size) for i, size in enumerate(sizes)]
    return MemoryPlan(
        placements, [align_up(max(sizes[i] for i in tensors), alignment) for tensors in buffers]
    )
