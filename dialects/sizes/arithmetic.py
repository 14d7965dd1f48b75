"""Sizes by the arithmetic of another domain: SSA values, texts, numbers of a manifest."""

from __future__ import annotations

from typing import Protocol, TypeVar

from webdnn.dialects.sizes.expression import (
    Atom,
    Maximum,
    Monomial,
    Quotient,
    Symbol,
    bounds,
    is_symbolic,
)

_T = TypeVar("_T")


class Arithmetic(Protocol[_T]):
    """What computes sizes from the values of their symbols, or writes down how: each method gives one value."""

    def number(self, value: int) -> _T: ...

    def symbol(self, symbol: Symbol) -> _T: ...

    def add(self, a: _T, b: _T) -> _T: ...

    def subtract(self, a: _T, b: _T) -> _T: ...

    def multiply(self, a: _T, b: _T) -> _T: ...

    def divide(self, a: _T, b: _T) -> _T:
        """The quotient of `a`, which is not negative, and `b`, which is positive; rounded down."""
        ...

    def maximum(self, a: _T, b: _T) -> _T: ...


def compute(value: int, arithmetic: Arithmetic[_T]) -> _T:
    """A size by the arithmetic of another domain: SSA values, texts. Differences and maxima may be negative."""
    if not is_symbolic(value):
        return arithmetic.number(int(value))
    positive = [term for term in value.terms if term[1] > 0]
    negative = [term for term in value.terms if term[1] < 0]
    total: _T | None = None
    for monomial, c in positive:
        term = _computed_term(monomial, c, arithmetic)
        total = term if total is None else arithmetic.add(total, term)
    if total is None:
        total = arithmetic.number(0)
    for monomial, c in negative:
        total = arithmetic.subtract(total, _computed_term(monomial, -c, arithmetic))
    return total


def _computed_term(monomial: Monomial, c: int, arithmetic: Arithmetic[_T]) -> _T:
    product: _T | None = None
    for atom in monomial:
        factor = _computed_atom(atom, arithmetic)
        if isinstance(atom, Symbol) and atom.unit > 1:
            if c % atom.unit:
                factor = arithmetic.divide(factor, arithmetic.number(atom.unit))
            else:
                c //= atom.unit
        product = factor if product is None else arithmetic.multiply(product, factor)
    if product is None or c != 1:
        number = arithmetic.number(c)
        product = number if product is None else arithmetic.multiply(product, number)
    return product


def _computed_atom(atom: Atom, arithmetic: Arithmetic[_T]) -> _T:
    match atom:
        case Symbol():
            return arithmetic.symbol(atom)
        case Quotient():
            dividend, divisor = atom.dividend, compute(atom.divisor, arithmetic)
            least, most = bounds(dividend)
            if least < 0 and most <= 0:
                # Rounded down, it is what is left of rounding up.
                rounded = compute(atom.divisor - 1 - dividend, arithmetic)
                quotient = arithmetic.divide(rounded, divisor)
                return arithmetic.subtract(arithmetic.number(0), quotient)
            # What is added so that no dividend is negative is a multiple of the divisor.
            shift = 0 if least >= 0 else -(least // bounds(atom.divisor)[0])
            shifted = compute(dividend + atom.divisor * shift, arithmetic)
            quotient = arithmetic.divide(shifted, divisor)
            return arithmetic.subtract(quotient, arithmetic.number(shift)) if shift else quotient
        case Maximum():
            first, *rest = (compute(size, arithmetic) for size in atom.sizes)
            for other in rest:
                first = arithmetic.maximum(first, other)
            return first
