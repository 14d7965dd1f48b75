"""Ranges of integers, and what instructions for integers take."""

from __future__ import annotations

Range = tuple[int, int]
"""The least and the greatest integer, both included."""

FACTOR: Range = (-(1 << 15), (1 << 15) - 1)
"""What the factors of a product may be, so that a CPU has an instruction for it."""


def fits(inner: Range, outer: Range) -> bool:
    """Whether all integers of one range are in the other."""
    return outer[0] <= inner[0] and inner[1] <= outer[1]
