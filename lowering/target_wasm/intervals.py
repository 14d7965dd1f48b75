"""What is known about the range of an `index`: the least and the greatest value, in 32 bits."""

from __future__ import annotations

from dataclasses import dataclass

INT_MIN, INT_MAX = -(2**31), 2**31 - 1


@dataclass(frozen=True, slots=True)
class Interval:
    """All values from `low` to `high`, both included."""

    low: int
    high: int

    @property
    def is_natural(self) -> bool:
        """Whether no value is negative."""
        return self.low >= 0

    @property
    def fits(self) -> bool:
        """Whether 32 bits with a sign hold every value."""
        return self.low >= INT_MIN and self.high <= INT_MAX

    def clamped(self) -> Interval:
        """Itself, or everything where 32 bits do not hold every value (the arithmetic may wrap)."""
        return self if self.fits else FULL

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.low + other.low, self.high + other.high)

    def __sub__(self, other: Interval) -> Interval:
        return Interval(self.low - other.high, self.high - other.low)

    def __mul__(self, other: Interval) -> Interval:
        products = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return Interval(min(products), max(products))

    def union(self, other: Interval) -> Interval:
        return Interval(min(self.low, other.low), max(self.high, other.high))

    def minimum(self, other: Interval) -> Interval:
        return Interval(min(self.low, other.low), min(self.high, other.high))

    def maximum(self, other: Interval) -> Interval:
        return Interval(max(self.low, other.low), max(self.high, other.high))


FULL = Interval(INT_MIN, INT_MAX)
