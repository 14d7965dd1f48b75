"""The matrices of Winograd's minimal filtering, by the Cook-Toom construction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

Matrix = tuple[tuple[Fraction, ...], ...]

POINTS = (0, 1, -1, 2, -2, Fraction(1, 2), Fraction(-1, 2))
"""Where the polynomials are evaluated, beside infinity. Small points keep rounding errors small."""


@dataclass(frozen=True)
class WinogradMatrices:
    """`F(m, r)`: m results of a filter of r taps from `m + r - 1` inputs with as many products.

    `y = output @ ((filter @ g) * (input @ d))`, elementwise product (Lavin and Gray, "Fast Algorithms for
    Convolutional Neural Networks", 2016; there A^T, G, B^T).

    Attributes:
        input: `(m + r - 1, m + r - 1)`, applied to a window of the input.
        filter: `(m + r - 1, r)`, applied to the filter.
        output: `(m, m + r - 1)`, applied to the products.
    """

    input: Matrix
    filter: Matrix
    output: Matrix


def has_matrices(m: int, r: int, points: Sequence[int | Fraction] = POINTS) -> bool:
    """Whether there are points enough for `F(m, r)`."""
    return m + r - 2 <= len(points)


def winograd_matrices(
    m: int, r: int, points: Sequence[int | Fraction] = POINTS
) -> WinogradMatrices:
    """The matrices of `F(m, r)`, where polynomials are evaluated at the first of `points`.

    A product of polynomials of degrees m - 1 and r - 1 is found from its values at `m + r - 2` points and
    its leading coefficient; the transpose of that algorithm computes a filter (Blahut, "Fast Algorithms for
    Signal Processing", 2010, chapter 5).
    """
    if not has_matrices(m, r, points):
        raise ValueError(f"F({m}, {r}) needs more than {len(points)} points")
    used = [Fraction(p) for p in points[: m + r - 2]]
    others = [[q for q in used if q != p] for p in used]
    norms = [
        prod((p - q for q in rest), start=Fraction(1)) for p, rest in zip(used, others, strict=True)
    ]
    size = m + r - 1
    return WinogradMatrices(
        input=(
            *(_row(_from_roots(rest), size) for rest in others),
            _row(_from_roots(used), size),
        ),
        filter=(
            *(tuple(p**k / norm for k in range(r)) for p, norm in zip(used, norms, strict=True)),
            _unit(r - 1, r),
        ),
        output=tuple((*(p**i for p in used), Fraction(int(i == m - 1))) for i in range(m)),
    )


def _from_roots(roots: Sequence[Fraction]) -> list[Fraction]:
    """The coefficients of the monic polynomial with these roots, the constant first."""
    result = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *result]
        scaled = [*(c * -root for c in result), Fraction(0)]
        result = [a + b for a, b in zip(shifted, scaled, strict=True)]
    return result


def _row(coefficients: Sequence[Fraction], size: int) -> tuple[Fraction, ...]:
    return (*coefficients, *([Fraction(0)] * (size - len(coefficients))))


def _unit(i: int, size: int) -> tuple[Fraction, ...]:
    return tuple(Fraction(int(k == i)) for k in range(size))
