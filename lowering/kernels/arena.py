"""Offsets in one arena: how tensors whose lives do not meet share memory.

To place tensors so that the arena is smallest is hard (dynamic storage allocation), but to place them one after the
other, each at the lowest free offset, is quick, and some order of doing so is the best. So a few orders are tried (by
size: Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020), then changes of the best
one: what lies below a tensor at the top of the arena is placed after it. The search ends where the arena is as small as
the tensors alive at one step, or after a bounded amount of work; the same tensors always get the same offsets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from random import Random

from webdnn.lowering.kernels.lifetimes import Lifetime

_RESTARTS = 8
_CHANGES = 250
"""Of an order, before the search starts again from the best of the first ones."""
_WORK = 5_000_000
"""Of all changes together, counting for each one the tensors and the pairs of them that are alive together: some
seconds. With more than a thousand tensors, fewer changes are tried."""
_SLACK = 1.01
"""A change is kept although the arena grows by so much: else the search ends in the first valley."""


def lower_bound(lifetimes: Sequence[Lifetime], sizes: Sequence[int]) -> int:
    """The greatest number of bytes alive at one step: no plan needs less."""
    changes: dict[int, int] = {}
    for lifetime, size in zip(lifetimes, sizes, strict=True):
        changes[lifetime.start] = changes.get(lifetime.start, 0) + size
        changes[lifetime.end + 1] = changes.get(lifetime.end + 1, 0) - size
    alive = most = 0
    for step in sorted(changes):
        alive += changes[step]
        most = max(most, alive)
    return most


def choose_offsets(lifetimes: Sequence[Lifetime], sizes: Sequence[int]) -> list[int]:
    """The offset of each tensor in an arena that is as small as a search of bounded length finds.

    Args:
        lifetimes: when each tensor is alive.
        sizes: their bytes, multiples of the alignment that the offsets shall have.
    """
    search = _Search(lifetimes, sizes)
    bound = lower_bound(lifetimes, sizes)
    first = min((search.place(order) for order in search.orders()), key=_top)
    best = first
    random = Random(0)
    work = _WORK
    for _ in range(_RESTARTS):
        current = first
        for _ in range(_CHANGES):
            work -= search.work
            if best[0] <= bound or work < 0:
                return best[2]
            candidate = search.place(search.changed(current, random), current)
            if candidate[0] <= current[0] * _SLACK:
                current = candidate
            if candidate[0] < best[0]:
                best = candidate
    return best[2]


def rivals_of(lifetimes: Sequence[Lifetime]) -> list[list[int]]:
    """For each tensor those that are alive at some step of its life, in their order."""
    rivals: list[list[int]] = [[] for _ in lifetimes]
    alive: list[int] = []
    for i in sorted(range(len(lifetimes)), key=lambda i: lifetimes[i].start):
        alive = [j for j in alive if lifetimes[j].end >= lifetimes[i].start]
        rivals[i].extend(alive)
        for j in alive:
            rivals[j].append(i)
        alive.append(i)
    for found in rivals:
        found.sort()
    return rivals


_Placed = tuple[int, list[int], list[int]]
"""The size of the arena, the order of placement, and the offsets."""


def _top(placed: _Placed) -> int:
    return placed[0]


class _Search:
    def __init__(self, lifetimes: Sequence[Lifetime], sizes: Sequence[int]) -> None:
        self.sizes = sizes
        self.lifetimes = lifetimes
        self.rivals = rivals_of(lifetimes)
        self.work = len(sizes) + sum(map(len, self.rivals)) // 2
        """How much there is to do for one order."""

    def orders(self) -> Iterator[list[int]]:
        """Where to start: the largest, the largest for longest, the longest, the earliest first."""
        sizes, lifetimes = self.sizes, self.lifetimes

        def steps(i: int) -> int:
            return lifetimes[i].end - lifetimes[i].start + 1

        everything = range(len(sizes))
        yield sorted(everything, key=lambda i: (-sizes[i], lifetimes[i].start))
        yield sorted(everything, key=lambda i: (-sizes[i] * steps(i), lifetimes[i].start))
        yield sorted(everything, key=lambda i: (-steps(i), -sizes[i]))
        yield sorted(everything, key=lambda i: (lifetimes[i].start, -sizes[i]))

    def place(self, order: list[int], before: _Placed | None = None) -> _Placed:
        """Each tensor in turn at the lowest offset that is free during its life.

        Args:
            before: tensors that come in the same order from the first one on stay where this has them.
        """
        sizes = self.sizes
        offsets = [-1] * len(sizes)
        top = start = 0
        if before is not None:
            _, old_order, old_offsets = before
            for index, old in zip(order, old_order, strict=True):
                if index != old:
                    break
                offsets[index] = old_offsets[index]
                top = max(top, offsets[index] + sizes[index])
                start += 1
        for index in islice(order, start, None):
            size = sizes[index]
            taken = sorted((offsets[j], sizes[j]) for j in self.rivals[index] if offsets[j] >= 0)
            offset = 0
            for begin, length in taken:
                if begin - offset >= size:
                    break
                offset = max(offset, begin + length)
            offsets[index] = offset
            top = max(top, offset + size)
        return top, order, offsets

    def changed(self, placed: _Placed, random: Random) -> list[int]:
        """The order in which one of those below a tensor at the top comes after it."""
        top, order, offsets = placed
        highest = random.choice([i for i in order if offsets[i] + self.sizes[i] == top])
        below = [j for j in self.rivals[highest] if offsets[j] < offsets[highest]]
        if not below:
            return order
        moved = random.choice(below)
        new = [i for i in order if i != moved]
        new.insert(new.index(highest) + 1, moved)
        return new
