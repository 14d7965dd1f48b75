"""Where each tensor lies: at an offset of one arena, or in one of several buffers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from webdnn.dialects.sizes.expression import Symbol, is_symbolic, maximum
from webdnn.dialects.sizes.substitution import likely, likely_shape
from webdnn.lowering.kernels.arena import choose_offsets, lower_bound
from webdnn.lowering.kernels.lifetimes import Lifetime
from webdnn.lowering.kernels.symbolic_arena import symbolic_offsets


@dataclass(frozen=True)
class Placement:
    """`bytes` bytes at `offset` of arena buffer `buffer`."""

    buffer: int
    offset: int
    bytes: int


@dataclass(frozen=True)
class MemoryPlan:
    """A placement for each lifetime, in their order, and the sizes of the arena buffers.

    Attributes:
        definitions: symbols that stand in them, in order.
    """

    placements: Sequence[Placement]
    buffers: Sequence[int]
    definitions: Sequence[tuple[Symbol, int]] = ()


def align_up(value: int, alignment: int) -> int:
    """The least multiple of `alignment` that is not less than `value`."""
    return -(-value // alignment) * alignment


def plan_offsets(lifetimes: Sequence[Lifetime], sizes: Sequence[int], alignment: int) -> MemoryPlan:
    """One buffer in which tensors lie at the same place where their lives do not meet."""
    aligned = [align_up(size, alignment) for size in sizes]
    if any(map(is_symbolic, aligned)):
        found = symbolic_offsets(lifetimes, aligned)
        placements = [Placement(0, o, size) for o, size in zip(found.offsets, sizes, strict=True)]
        return MemoryPlan(placements, [found.total], found.definitions)
    offsets = choose_offsets(lifetimes, aligned)
    total = max((o + size for o, size in zip(offsets, aligned, strict=True)), default=0)
    placements = [Placement(0, o, size) for o, size in zip(offsets, sizes, strict=True)]
    return MemoryPlan(placements, [total])


def bytes_alive(lifetimes: Sequence[Lifetime], sizes: Sequence[int], alignment: int) -> int:
    """The most bytes that are alive at one step, where all symbols have their likely values."""
    return lower_bound(lifetimes, likely_shape([align_up(size, alignment) for size in sizes]))


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
    """Several buffers that hold one tensor at a time, at offset 0: a launch never reads a buffer that it writes.

    The largest tensors choose first, so that a buffer is as large as the first one in it.
    """
    order = sorted(range(len(sizes)), key=lambda i: (-likely(sizes[i]), lifetimes[i].start))
    buffers: list[list[int]] = []
    ends: list[list[int]] = []  # of the lives in each buffer, in order
    starts: list[list[int]] = []
    for index in order:
        life = lifetimes[index]
        for number, ended in enumerate(ends):
            # the first one in the buffer that does not end before this one begins
            at = bisect_left(ended, life.start)
            if at == len(ended) or life.end < starts[number][at]:
                break
        else:
            number, at = len(buffers), 0
            for lists in (buffers, ends, starts):
                lists.append([])
        buffers[number].append(index)
        ends[number].insert(at, life.end)
        starts[number].insert(at, life.start)
    where = {index: number for number, tensors in enumerate(buffers) for index in tensors}
    placements = [Placement(where[i], 0, size) for i, size in enumerate(sizes)]
    return MemoryPlan(
        placements,
        [align_up(maximum(*(sizes[i] for i in tensors)), alignment) for tensors in buffers],
    )
