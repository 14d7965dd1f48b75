"""Winograd's minimal filtering in integers, without any error.

The matrices of `F(m, r)` hold fractions. Scaled to whole numbers, they compute `scale * y`: what is left is an exact
division. All of it is done modulo 2^32, where an odd number has an inverse, so only the power of two in `scale` costs
bits of the result: `y` is exact if it fits the bits that are left, however far the sums in between overflow.

The points are chosen for that: 0 and 2, 1 and -1, infinity and -1/2 each differ in one power of two alone, so `F(4, 3)`
has `scale = 30` along an axis, where the usual points (0, 1, -1, 2, -2) need 24. And the factors of the products, which
are not modulo anything, stay within 16 bits for activations and weights of 8 bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import lcm

from webdnn.lowering.integer_range import Range
from webdnn.lowering.linalg.winograd_matrices import (
    Matrix,
    WinogradMatrices,
    has_matrices,
    winograd_matrices,
)

POINTS = (0, 1, -1, 2, Fraction(-1, 2))

WORD = 32
"""Bits of a sum."""


@dataclass(frozen=True)
class IntegerMatrices:
    """Matrices of whole numbers that compute `scale * y`."""

    matrices: WinogradMatrices
    scale: int


def has_integer_matrices(m: int, r: int) -> bool:
    """Whether there are points enough for `F(m, r)`."""
    return has_matrices(m, r, POINTS)


@cache
def integer_matrices(m: int, r: int) -> IntegerMatrices:
    """The matrices of `F(m, r)` in whole numbers, for the least `scale`."""
    exact = winograd_matrices(m, r, POINTS)
    inputs = [_denominator(row) for row in exact.input]
    outputs = [_denominator(column) for column in zip(*exact.output, strict=True)]
    factors = [a * b for a, b in zip(inputs, outputs, strict=True)]
    scale = lcm(
        *(
            _denominator(tuple(c / n for c in row))
            for row, n in zip(exact.filter, factors, strict=True)
        )
    )
    return IntegerMatrices(
        WinogradMatrices(
            input=_scaled_rows(exact.input, inputs),
            filter=_scaled_rows(exact.filter, [Fraction(scale, n) for n in factors]),
            output=tuple(
                tuple(c * n for c, n in zip(row, outputs, strict=True)) for row in exact.output
            ),
        ),
        scale,
    )


@cache
def transformed_range(vertical: Matrix, horizontal: Matrix, elements: Range) -> Range:
    """What the elements of a transformed window can be, where those of the window are within a range."""
    low, high = 0, 0
    for first in vertical:
        for second in horizontal:
            products = [a * b for a in first for b in second]
            up = int(sum(c for c in products if c > 0))
            down = int(sum(c for c in products if c < 0))
            low = min(low, up * elements[0] + down * elements[1])
            high = max(high, up * elements[1] + down * elements[0])
    return low, high


def inverse(scale: int) -> tuple[int, int]:
    """How a word is divided by `scale` where there is no remainder: the factor, and the bits to shift right by."""
    shift = (scale & -scale).bit_length() - 1
    factor = pow(scale >> shift, -1, 1 << WORD)
    return factor - (factor >> (WORD - 1) << WORD), shift


def _denominator(row: tuple[Fraction, ...]) -> int:
    return lcm(*(c.denominator for c in row))


def _scaled_rows(matrix: Matrix, factors: list[int] | list[Fraction]) -> Matrix:
    return tuple(
        tuple(c * factor for c in row) for row, factor in zip(matrix, factors, strict=True)
    )
