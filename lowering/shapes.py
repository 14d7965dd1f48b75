"""Arithmetic on shapes that several levels need."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd, prod

from webdnn.dialects.sizes.expression import evaluate, is_symbolic, unique_symbols

Group = tuple[tuple[int, ...], tuple[int, ...]]
"""Dimensions of one shape and dimensions of another that hold the same elements."""


def reassociation(shape: Sequence[int], other: Sequence[int]) -> list[Group] | None:
    """The smallest groups of adjacent dimensions of two shapes with equal products; None for shapes with zeros.

    >>> reassociation([2, 12], [2, 3, 4])
    [((0,), (0,)), ((1,), (1, 2))]
    """
    if 0 in shape or 0 in other or prod(shape) != prod(other):
        return None
    if any(map(is_symbolic, (*shape, *other))):
        groups = _groups(*_numbers(shape, other))
        is_right = groups is not None and all(
            prod(shape[d] for d in own) == prod(other[d] for d in others) for own, others in groups
        )
        return groups if is_right else None
    return _groups(shape, other)


_FIRST = 10_007
"""Greater than what symbols are multiplied by, so that different expressions become different numbers."""


def _numbers(*shapes: Sequence[int]) -> list[list[int]]:
    """Shapes with large numbers that have no common factor in the place of symbols."""
    values: dict[str, int] = {}
    for shape in shapes:
        for symbol in unique_symbols(shape):
            number = max(values.values(), default=_FIRST - 2) + 2
            while any(gcd(number, other) > 1 for other in values.values()):
                number += 2
            values.setdefault(symbol.name, number)
    units = {symbol.name: symbol.unit for shape in shapes for symbol in unique_symbols(shape)}
    scaled = {name: value * units[name] for name, value in values.items()}
    return [[evaluate(size, scaled) for size in shape] for shape in shapes]


def _groups(shape: Sequence[int], other: Sequence[int]) -> list[Group] | None:
    groups: list[Group] = []
    i = j = 0
    while i < len(shape) or j < len(other):
        start_i, start_j = i, j
        size_i = size_j = 1
        if i < len(shape):
            size_i, i = shape[i], i + 1
        if j < len(other):
            size_j, j = other[j], j + 1
        while size_i != size_j:
            if (i if size_i < size_j else j) == (len(shape) if size_i < size_j else len(other)):
                return None
            if size_i < size_j:
                size_i, i = size_i * shape[i], i + 1
            else:
                size_j, j = size_j * other[j], j + 1
        groups.append((tuple(range(start_i, i)), tuple(range(start_j, j))))
    return groups
