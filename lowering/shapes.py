"""Arithmetic on shapes that several levels need."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.sizes.questions import divides

Group = tuple[tuple[int, ...], tuple[int, ...]]
"""Dimensions of one shape and dimensions of another that hold the same elements."""


def reassociation(shape: Sequence[int], other: Sequence[int]) -> list[Group] | None:
    """The smallest groups of adjacent dimensions of two shapes with equal products; None for shapes with zeros, and
    where groups would depend on the values of symbols.

    >>> reassociation([2, 12], [2, 3, 4])
    [((0,), (0,)), ((1,), (1, 2))]
    """
    if 0 in shape or 0 in other or prod(shape) != prod(other):
        return None
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
            is_left = _is_part(size_i, size_j)
            if is_left is None:
                return None
            if is_left and i < len(shape):
                size_i, i = size_i * shape[i], i + 1
            elif not is_left and j < len(other):
                size_j, j = size_j * other[j], j + 1
            else:
                return None
        groups.append((tuple(range(start_i, i)), tuple(range(start_j, j))))
    return groups


def _is_part(size: int, other: int) -> bool | None:
    """Whether the first one of two different products is the one that lacks a factor; None if it is not known."""
    if not is_symbolic(size) and not is_symbolic(other):
        return size < other
    if divides(size, other):
        return True
    return False if divides(other, size) else None
