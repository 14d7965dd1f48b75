"""Linear forms over loop dimensions: what an index or an address is made of.

A `Lin` is `sum(coefficient * atom) + constant`. Its atoms are loop dimensions (`Dim`), index-valued expressions of a
kernel (`webdnn.lowering.loops_gpu.expression.Node`), or, while ops are emitted, SSA values of type index. Because all
memory is flat, one `Lin` is a whole address, and questions such as "is this access contiguous along d"
or "may these two loops be one" are questions about its coefficients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from xdsl.ir import SSAValue


@dataclass(eq=False, frozen=True)
class Dim:
    """A loop dimension of a kernel: counts from 0 to `size - 1`. Two dims are the same only if they are one object."""

    name: str
    size: int


class IndexNode:
    """Base of the index-valued expressions that may be atoms of a `Lin`."""


Atom = Dim | IndexNode | SSAValue


@dataclass(frozen=True, slots=True)
class Lin:
    """`sum(coefficient * atom) + const`; no coefficient is zero and no atom comes twice."""

    terms: tuple[tuple[Atom, int], ...] = ()
    const: int = 0

    @staticmethod
    def of(value: Atom | int | Lin) -> Lin:
        """A linear form of one atom or of a constant."""
        if isinstance(value, Lin):
            return value
        if isinstance(value, int):
            return Lin((), value)
        if isinstance(value, Dim) and value.size <= 1:
            return Lin()
        return Lin(((value, 1),))

    def __add__(self, other: Lin | int) -> Lin:
        if isinstance(other, int):
            return Lin(self.terms, self.const + other)
        if not other.terms:
            return Lin(self.terms, self.const + other.const)
        if not self.terms:
            return Lin(other.terms, self.const + other.const)
        merged = dict(self.terms)
        for atom, coefficient in other.terms:
            merged[atom] = merged.get(atom, 0) + coefficient
        return Lin(tuple((atom, c) for atom, c in merged.items() if c), self.const + other.const)

    def __mul__(self, factor: int) -> Lin:
        if factor == 0:
            return Lin()
        if factor == 1:
            return self
        return Lin(tuple((atom, c * factor) for atom, c in self.terms), self.const * factor)

    def __sub__(self, other: Lin | int) -> Lin:
        return self + (other * -1 if isinstance(other, Lin) else -other)

    @property
    def is_const(self) -> bool:
        return not self.terms

    def coefficient(self, atom: Atom) -> int:
        """The coefficient of an atom, 0 if it is absent."""
        for a, c in self.terms:
            if a is atom:
                return c
        return 0

    def map(self, substitute: Callable[[Atom], Lin]) -> Lin:
        """Put a linear form in the place of every atom."""
        result = Lin((), self.const)
        for atom, coefficient in self.terms:
            result = result + substitute(atom) * coefficient
        return result

    def range(self) -> tuple[int, int] | None:
        """The least and the greatest value, or None if an atom's range is unknown (all but dims are)."""
        low = high = self.const
        for atom, coefficient in self.terms:
            if not isinstance(atom, Dim):
                return None
            extent = coefficient * (atom.size - 1)
            if extent < 0:
                low += extent
            else:
                high += extent
        return low, high

    def divide(self, divisor: int) -> tuple[Lin, Lin]:
        """Split into `q` and `r` with `self == q * divisor + r`, `q` holding every term that divides evenly."""
        quotient: list[tuple[Atom, int]] = []
        rest: list[tuple[Atom, int]] = []
        for atom, coefficient in self.terms:
            if coefficient % divisor:
                rest.append((atom, coefficient))
            else:
                quotient.append((atom, coefficient // divisor))
        q, r = divmod(self.const, divisor)
        return Lin(tuple(quotient), q), Lin(tuple(rest), r)


def row_major(indices: Sequence[Lin], shape: Sequence[int]) -> Lin:
    """The flat position of an element of a tensor."""
    flat = Lin()
    for index, size in zip(indices, shape, strict=True):
        flat = flat * size + index
    return flat


def volume(dims: Iterable[Dim]) -> int:
    """The number of points of an iteration space."""
    count = 1
    for dim in dims:
        count *= dim.size
    return count


def collapse(dims: Sequence[Dim], forms: Iterable[Lin]) -> list[list[Dim]]:
    """Group adjacent dims that may be walked as one loop.

    Dims `a, b` may be one loop of `a.size * b.size` steps if in every form the coefficient of `a` is
    `b.size` times that of `b`.
    Dims of size 1 vanish.
    """
    groups: list[list[Dim]] = []
    coefficients = [dict(form.terms) for form in forms]
    for dim in dims:
        if dim.size == 1:
            continue
        if groups and all(
            c.get(groups[-1][-1], 0) == c.get(dim, 0) * dim.size for c in coefficients
        ):
            groups[-1].append(dim)
        else:
            groups.append([dim])
    return groups
