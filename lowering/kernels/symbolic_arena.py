"""Offsets in one arena as expressions of sizes that each run sets.

A layout is an order of tensors: of two that are alive at the same time, the one that comes first lies below. For any
sizes, the offset of a tensor is the greatest end of those below it. Which order is good depends on the sizes, so a few
are tried: the one that `arena` finds for the likely sizes, and where that needs much more than is alive at one step,
those that it finds there. Of them as few as are good at all sizes are kept, and a run takes whichever needs least.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, product
from math import isqrt

from webdnn.dialects.sizes.expression import (
    Maximum,
    Symbol,
    bounds,
    is_symbolic,
    maximum,
    minimum,
    symbols_of,
    unique_symbols,
)
from webdnn.dialects.sizes.substitution import atoms_of, likely, substitute
from webdnn.lowering.kernels.arena import choose_offsets, lower_bound, rivals_of
from webdnn.lowering.kernels.lifetimes import Lifetime

_MOST_POINTS = 18
"""Values of the symbols for which layouts are made and compared."""
_GOOD = 1.02
"""An arena that is so many times as large as what is alive at one step is as good as a smaller one."""
_MOST_TRIED = 8
_MOST_LAYOUTS = 4
"""Those that are tried, and those that a run chooses from."""
_INLINE_TERMS = 2
"""An offset of more terms gets a name."""


@dataclass(frozen=True)
class Layout:
    """The tensors that lie below each one: all of them, and those on which it may rest."""

    order: Sequence[int]
    rests_on: Sequence[Sequence[int]]

    @staticmethod
    def of(offsets: Sequence[int], sizes: Sequence[int], rivals: Sequence[Sequence[int]]) -> Layout:
        """The layout that these offsets have.

        Args:
            offsets, sizes: numbers. An empty tensor lies below what begins where it does.
            rivals: the tensors with which each one is alive at some step.
        """
        order = sorted(range(len(offsets)), key=lambda i: (offsets[i], sizes[i] > 0))
        rank = {i: number for number, i in enumerate(order)}
        below = [{j for j in others if rank[j] < rank[i]} for i, others in enumerate(rivals)]
        rests_on = [
            sorted(some.difference(*(below[j] for j in some))) if some else [] for some in below
        ]
        return Layout(order, rests_on)

    def place(self, sizes: Sequence[int]) -> tuple[int, list[int]]:
        """The size of the arena and the offsets for sizes that are numbers."""
        offsets = [0] * len(sizes)
        for i in self.order:
            offsets[i] = max((offsets[j] + sizes[j] for j in self.rests_on[i]), default=0)
        return max((o + n for o, n in zip(offsets, sizes, strict=True)), default=0), offsets


@dataclass
class Definitions:
    """Symbols for sizes that are not written out again where they are used.

    Attributes:
        taken: names that they cannot have.
    """

    taken: set[str]
    found: list[tuple[Symbol, int]] = field(default_factory=list[tuple[Symbol, int]])
    _known: dict[int, int] = field(default_factory=dict[int, int])

    def named(self, size: int) -> int:
        """A symbol for a size; itself, if it is short."""
        if not is_symbolic(size) or _is_short(size):
            return size
        return self.symbol(size, bounds(size))

    def symbol(self, size: int, ends: tuple[int, int]) -> int:
        """A symbol for a size that is never below, and never above, `ends`."""
        if size not in self._known:
            low, high = (max(least, 0) for least in ends)
            symbol = Symbol(self._free_name(), low, high, likely=min(max(likely(size), low), high))
            if low < high:
                self.found.append((symbol, size))
            self._known[size] = symbol.size
        return self._known[size]

    def _free_name(self) -> str:
        number = len(self.found)
        while (name := f"o{number}") in self.taken:
            number += 1
        self.taken.add(name)
        return name


def _is_short(size: int) -> bool:
    terms = size.terms if is_symbolic(size) else ()
    return len(terms) <= _INLINE_TERMS and not any(
        isinstance(atom, Maximum) for atom in atoms_of(size)
    )


@dataclass(frozen=True)
class SymbolicPlan:
    """The offset of each tensor and the size of the arena, and the definitions that they use, in order."""

    offsets: Sequence[int]
    total: int
    definitions: Sequence[tuple[Symbol, int]]


def symbolic_offsets(lifetimes: Sequence[Lifetime], sizes: Sequence[int]) -> SymbolicPlan:
    """Offsets for all values of the symbols in `sizes`.

    Args:
        lifetimes: when each tensor is alive.
        sizes: their bytes, multiples of the alignment that the offsets shall have.
    """
    layouts = _good_layouts(lifetimes, sizes)
    definitions = Definitions({s.name for n in sizes for s in symbols_of(n)})
    first, *others = [_place_symbolic(layout, sizes, definitions) for layout in layouts]
    total, offsets = first
    for other_total, other in others:
        total, offsets = _least(definitions, (total, offsets), (other_total, other))
    return SymbolicPlan(offsets, definitions.named(total), definitions.found)


def _good_layouts(lifetimes: Sequence[Lifetime], sizes: Sequence[int]) -> list[Layout]:
    """A layout for the likely sizes, and others for those at which the ones that there are need most; of them as few as
    are good at all points."""
    rivals = rivals_of(lifetimes)
    at_points = [[_at(n, point) for n in sizes] for point in _points(unique_symbols(sizes))]
    needs = [lower_bound(lifetimes, numbers) or 1 for numbers in at_points]
    layouts: list[Layout] = []
    ratios: list[list[float]] = []
    tried: list[int] = []
    following = 0
    while following not in tried and len(tried) < _MOST_TRIED:
        tried.append(following)
        numbers = at_points[following]
        layout = Layout.of(choose_offsets(lifetimes, numbers), numbers, rivals)
        layouts.append(layout)
        ratios.append(
            [layout.place(at)[0] / need for at, need in zip(at_points, needs, strict=True)]
        )
        best = [min(found) for found in zip(*ratios, strict=True)]
        following = max(range(len(best)), key=best.__getitem__)
        if best[following] <= _GOOD:
            break
    return [layouts[i] for i in _choose(ratios)]


def _points(symbols: Sequence[Symbol]) -> Iterator[Mapping[Symbol, int]]:
    """Values of the symbols: the likely ones, all at the least and at the greatest, then others of their ranges."""

    def between(symbol: Symbol, eighths: int) -> int:
        return rounded(symbol, (symbol.low * (8 - eighths) + symbol.high * eighths) // 8)

    def few(symbol: Symbol) -> int:
        """The geometric mean of the ends."""
        return rounded(symbol, isqrt(max(symbol.low, 1) * symbol.high))

    def rounded(symbol: Symbol, value: int) -> int:
        return max(value // symbol.unit * symbol.unit, symbol.low)

    def all_points() -> Iterator[tuple[int, ...]]:
        yield tuple(s.likely for s in symbols)
        for eighths in (0, 8, 4, 1):
            yield tuple(between(s, eighths) for s in symbols)
        yield tuple(few(s) for s in symbols)
        yield from product(*((s.low, s.high, few(s)) for s in symbols))
        yield from product(*((s.low, s.high, between(s, 1), between(s, 4)) for s in symbols))

    for values in islice(dict.fromkeys(islice(all_points(), 4 * _MOST_POINTS)), _MOST_POINTS):
        yield dict(zip(symbols, values, strict=True))


def _at(size: int, point: Mapping[Symbol, int]) -> int:
    return substitute(size, lambda symbol: point[symbol])


def _choose(ratios: Sequence[Sequence[float]]) -> list[int]:
    """The layouts of which a run takes the best one: as few as are good at all points.

    Args:
        ratios: of each layout, for each point, the arena to what is needed.
    """

    def cost(chosen: Sequence[int]) -> tuple[float, float]:
        best = [max(min(found), _GOOD) for found in zip(*(ratios[i] for i in chosen), strict=True)]
        return max(best), sum(best)

    chosen: list[int] = []
    while len(chosen) < _MOST_LAYOUTS:
        following = min(range(len(ratios)), key=lambda i: cost([*chosen, i]))
        if chosen and cost([*chosen, following]) >= cost(chosen):
            break
        chosen.append(following)
    return chosen


def _place_symbolic(
    layout: Layout, sizes: Sequence[int], definitions: Definitions
) -> tuple[int, list[int]]:
    offsets: list[int] = [0] * len(sizes)
    for i in layout.order:
        ends = [offsets[j] + sizes[j] for j in layout.rests_on[i]]
        offsets[i] = definitions.named(maximum(*ends)) if ends else 0
    below = {j for some in layout.rests_on for j in some}
    tops = [offsets[i] + sizes[i] for i in range(len(sizes)) if i not in below]
    return (definitions.named(maximum(*tops)) if tops else 0), offsets


def _least(
    definitions: Definitions, one: tuple[int, Sequence[int]], other: tuple[int, Sequence[int]]
) -> tuple[int, list[int]]:
    """The arena, and the offsets, of the smaller one of two layouts."""
    (total, offsets), (other_total, other_offsets) = one, other
    takes_other = definitions.symbol(minimum(1, maximum(0, total - other_total)), (0, 1))

    def either(a: int, b: int) -> int:
        if a == b:
            return a
        (low, high), (other_low, other_high) = bounds(a), bounds(b)
        chosen = a + takes_other * (b - a)
        return definitions.symbol(chosen, (min(low, other_low), max(high, other_high)))

    least = definitions.named(minimum(total, other_total))
    return least, [either(a, b) for a, b in zip(offsets, other_offsets, strict=True)]
