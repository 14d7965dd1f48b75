"""Linear index expressions over SSA values: what an address is made of while loops are emitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xdsl.ir import SSAValue


@dataclass(frozen=True, slots=True)
class Lin:
    """`sum(coefficient * value) + lane * l + const`, where `l` counts the lanes of a vector: 0, 1, 2, ...

    Coefficients are never zero. Values are of type `index`.
    """

    terms: Mapping[SSAValue, int] = field(default_factory=dict[SSAValue, int])
    const: int = 0
    lane: int = 0

    @staticmethod
    def of(value: SSAValue | int) -> Lin:
        """The expression of one value or of a constant."""
        return Lin({}, value) if isinstance(value, int) else Lin({value: 1})

    def __add__(self, other: Lin | int) -> Lin:
        if isinstance(other, int):
            return Lin(self.terms, self.const + other, self.lane)
        if not other.terms:
            terms = self.terms
        elif not self.terms:
            terms = other.terms
        else:
            merged = dict(self.terms)
            for value, c in other.terms.items():
                if total := merged.get(value, 0) + c:
                    merged[value] = total
                else:
                    del merged[value]
            terms = merged
        return Lin(terms, self.const + other.const, self.lane + other.lane)

    def __mul__(self, factor: int) -> Lin:
        if factor == 1:
            return self
        if factor == 0:
            return Lin()
        terms = {v: c * factor for v, c in self.terms.items()}
        return Lin(terms, self.const * factor, self.lane * factor)

    @property
    def is_const(self) -> bool:
        """Whether it is a number, the same in all lanes."""
        return not self.terms and not self.lane

    @property
    def is_uniform(self) -> bool:
        """Whether it is the same in all lanes."""
        return not self.lane

    def at_lane(self, lane: int) -> Lin:
        """The expression in one lane."""
        return Lin(self.terms, self.const + self.lane * lane) if self.lane else self

    def divide(self, divisor: int, width: int) -> tuple[Lin, Lin] | None:
        """Quotient (rounded down) and remainder by a positive constant in vectors of `width` lanes.

        None where they are not linear: a coefficient is not a multiple of the divisor, or the lanes
        straddle a multiple.
        """
        if any(c % divisor for c in self.terms.values()):
            return None
        quotient, rest = divmod(self.const, divisor)
        if not 0 <= rest + self.lane * (width - 1) < divisor:
            return None
        terms = {v: c // divisor for v, c in self.terms.items()}
        return Lin(terms, quotient), Lin({}, rest, self.lane)
