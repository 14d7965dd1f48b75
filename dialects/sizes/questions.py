"""Questions about sizes that the ranges of their symbols answer, or leave open."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from webdnn.dialects.sizes.expression import (
    UndecidedSize,
    as_symbol,
    bounds,
    is_symbolic,
    undecided,
)


def is_known(value: int, relation: Callable[[int], bool]) -> bool:
    """Whether a relation is known to hold: `is_known(n, lambda n: n > 0)`; False where it depends on symbols."""
    try:
        return relation(value)
    except UndecidedSize:
        return False


def same_size(a: int, b: int) -> bool:
    """Whether two sizes are the same for all values of the symbols.

    Raises:
        UndecidedSize: they are the same for some values alone, as far as is known.
    """
    if a == b:
        return True
    low, high = bounds(a - b)
    if low > 0 or high < 0:
        return False
    hint = ""
    symbol, other = (a, b) if as_symbol(a) is not None else (b, a)
    if (name := as_symbol(symbol)) is not None and as_symbol(other) is not None:
        hint = f"give them one name: --dim {as_symbol(other)}={name}"
    elif name is not None and not is_symbolic(other):
        hint = f"bind it: --dim {name}={other}"
    raise undecided(f"whether {a} and {b} are the same size", a, b, hint=hint)


def same_shape(a: Sequence[int], b: Sequence[int]) -> bool:
    """Whether two shapes are the same for all values of the symbols.

    Raises:
        UndecidedSize: they are the same for some values alone, as far as is known.
    """
    return len(a) == len(b) and all(map(same_size, a, b))


def divides(divisor: int, value: int) -> bool:
    """Whether a size is known to be a multiple of another one."""
    remainder = is_known(divisor, lambda n: n > 0) and value % divisor
    return not is_symbolic(remainder) and remainder is not False and remainder == 0


def at_least(value: int) -> int:
    """A number that a size is never below."""
    return bounds(value)[0]


def at_most(value: int) -> int:
    """The greatest number that a size may be."""
    return bounds(value)[1]
