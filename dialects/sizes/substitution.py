"""Other sizes, or numbers, in the place of symbols."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from webdnn.dialects.sizes.expression import (
    Atom,
    Maximum,
    Quotient,
    Size,
    Symbol,
    is_symbolic,
    maximum,
)


def substitute(value: int, values: Callable[[Symbol], int]) -> int:
    """A size with others in the place of its symbols; those of a symbol with a unit must be multiples of it."""
    return _substitute(value, values) if is_symbolic(value) else value


def _substitute(size: Size, values: Callable[[Symbol], int]) -> int:
    total: int = 0
    for monomial, c in size.terms:
        product: int = c
        for atom in monomial:
            match atom:
                case Symbol():
                    new = values(atom)
                    if not is_symbolic(new) and new % atom.unit:
                        raise ValueError(
                            f"{atom.name} is {new}, which is no multiple of {atom.unit}"
                        )
                    factor = new // atom.unit
                case Quotient():
                    factor = substitute(atom.dividend, values) // substitute(atom.divisor, values)
                case Maximum():
                    factor = maximum(*(substitute(n, values) for n in atom.sizes))
            product = product * factor
        total = total + product
    return total


def atoms_of(value: int) -> Iterator[Atom]:
    """The atoms of a size, each as often as it stands there; what stands inside of quotients and maxima is none."""
    if is_symbolic(value):
        for monomial, _ in value.terms:
            yield from monomial


def replace_atoms(value: int, sizes: Mapping[Atom, int]) -> int:
    """A size with others in the place of whole atoms; symbols that have no other one stay."""
    if not is_symbolic(value):
        return value
    total: int = 0
    for monomial, c in value.terms:
        product: int = c
        for atom in monomial:
            match atom:
                case Symbol():
                    factor = sizes.get(atom, atom.size) // atom.unit
                case Quotient() if atom not in sizes:
                    dividend = replace_atoms(atom.dividend, sizes)
                    factor = dividend // replace_atoms(atom.divisor, sizes)
                case Maximum() if atom not in sizes:
                    factor = maximum(*(replace_atoms(n, sizes) for n in atom.sizes))
                case _:
                    factor = sizes[atom]
            product = product * factor
        total = total + product
    return total


def evaluate(value: int, values: Mapping[str, int]) -> int:
    """The number that a size is for the values of its symbols.

    Raises:
        KeyError: a symbol has no value.
    """
    return substitute(value, lambda symbol: values[symbol.name])


def likely(value: int) -> int:
    """The number that a size is where all symbols have the values that schedules are chosen for."""
    return substitute(value, lambda symbol: symbol.likely)


def likely_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """The likely number of each size of a shape."""
    return tuple(likely(size) for size in shape)
