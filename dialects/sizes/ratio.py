"""`Ratio`: a size over a number, which is what floats are that are computed from sizes (`floor(h * 0.5)`)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import gcd, isfinite
from typing import TypeAlias

from webdnn.dialects.sizes.expression import bounds, is_symbolic, undecided
from webdnn.dialects.sizes.questions import divides

F32_BITS = 24
"""The precision of f32."""

Real: TypeAlias = "float | Ratio"
"""A float, or a fraction of a size."""


@dataclass(frozen=True)
class Ratio:
    """`numerator / denominator` in floats of `bits` bits of precision.

    Attributes:
        numerator: an expression of symbols, so small that floats hold it exactly.
        denominator: a positive number without a factor that divides the numerator.
        bits: the precision: 24 in f32.
        is_rounded: whether floats do not hold the value exactly. It was rounded once then, so its whole part is exact,
            and nothing more may be computed from it but its products with powers of two.
    """

    numerator: int
    denominator: int
    bits: int
    is_rounded: bool = False

    def __add__(self, other: Real) -> Real:
        a, b = self._exact(), _exact_fraction(other, self)
        return ratio(
            a.numerator * _den(b) + _num(b) * a.denominator, a.denominator * _den(b), self.bits
        )

    def __neg__(self) -> Real:
        return Ratio(-self.numerator, self.denominator, self.bits, self.is_rounded)

    def __sub__(self, other: Real) -> Real:
        return self + -other

    def __mul__(self, other: Real) -> Real:
        if self.is_rounded and isinstance(other, float) and is_power_of_two(Fraction(other)):
            factor = Fraction(other)
            return ratio(
                self.numerator * factor.numerator, self.denominator * factor.denominator, self.bits
            )
        a, b = self._exact(), _exact_fraction(other, self)
        return ratio(a.numerator * _num(b), a.denominator * _den(b), self.bits)

    def over(self, other: Real) -> Real:
        """The quotient of two floats."""
        a, b = self._exact(), _exact_fraction(other, self)
        if not is_symbolic(_num(b)):
            if _num(b) == 0:
                raise undecided(f"{self} is divided by 0", self.numerator)
            sign = -1 if _num(b) < 0 else 1
            return ratio(sign * a.numerator * _den(b), a.denominator * sign * _num(b), self.bits)
        return ratio_of(a.numerator * _den(b), a.denominator * _num(b), self.bits)

    def floor(self) -> int:
        return self.numerator // self.denominator

    def ceil(self) -> int:
        return -(-self.numerator // self.denominator)

    def trunc(self) -> int:
        """The whole part."""
        return self.floor() if self.numerator >= 0 else self.ceil()

    def _exact(self) -> Ratio:
        if self.is_rounded:
            raise undecided(f"{self} is rounded, and computed with", self.numerator)
        return self

    def __str__(self) -> str:
        whole = f"({self.numerator})" if " " in str(self.numerator) else str(self.numerator)
        return whole if self.denominator == 1 else f"{whole} / {self.denominator}"


def ratio(numerator: int, denominator: int, bits: int) -> Real:
    """A size over a positive number: a float where no symbols are left.

    Raises:
        UndecidedSize: floats of so many bits may round what it is made of.
    """
    if not is_symbolic(numerator):
        return float(Fraction(numerator, denominator))
    common = gcd(denominator, *(c for _, c in numerator.terms))
    numerator, denominator = numerator // common, denominator // common
    if divides(denominator, numerator):
        numerator, denominator = numerator // denominator, 1
    if max(map(abs, bounds(numerator))) > 1 << bits:
        raise undecided(f"{numerator} / {denominator} may be rounded", numerator)
    is_rounded = not is_power_of_two(Fraction(denominator))
    return Ratio(numerator, denominator, bits, is_rounded)


def ratio_of(a: int, b: int, bits: int = F32_BITS) -> Real:
    """The quotient of two sizes whose symbols cancel out in it, as far as that can be told."""
    if is_symbolic(a) and bounds(b)[0] > 0:
        up = a // b
        if not is_symbolic(up) and up * b == a:
            return float(up)
        down = b // a if bounds(a)[0] > 0 else 0
        if not is_symbolic(down) and down and down * a == b:
            return 1.0 / down
        if divides(b, a):
            return ratio(up, 1, bits)
        for size, other in ((a, b), (b, a)):
            # 3 * h over 2 * h: the quotient of their first coefficients, where it is that of all
            if not is_symbolic(size) or not is_symbolic(other):
                break
            first, second = size.terms[0][1], other.terms[0][1]
            if size * second == other * first:
                return first / second if size is a else second / first
    raise undecided(f"{a} / {b} is not one number", a, b)


def is_power_of_two(value: Fraction) -> bool:
    """Whether a number is a positive power of two, or one over one."""
    return (
        value > 0
        and value.numerator & (value.numerator - 1) == 0
        and value.denominator & (value.denominator - 1) == 0
    )


def _exact_fraction(value: Real, other: Ratio) -> Ratio | Fraction:
    if isinstance(value, Ratio):
        return value._exact()  # pyright: ignore[reportPrivateUsage]
    if not isfinite(value):
        raise undecided(f"{value} is computed with {other}", other.numerator)
    return Fraction(value)


def _num(value: Ratio | Fraction) -> int:
    return value.numerator


def _den(value: Ratio | Fraction) -> int:
    return value.denominator
