"""`Size`: a polynomial of symbols, quotients and maxima with integer coefficients, in one normal form.

A size that is a number is an `int`, and every operation that gives a number gives an `int`; so whatever computes with
ints computes with sizes, and a model without symbols goes the way that it always went. Like torch's `SymInt`, a `Size`
is annotated as `int` where shapes are passed around. What it cannot do is be a number: `range(n)` and `np.zeros(n)`
raise `UndecidedSize`, as do comparisons that some values of the symbols answer otherwise than others.

Equal expressions are equal sizes, and sizes of different expressions are different ones: `s == 1` is False although `s`
may be 1. So no decision may rest on two sizes being different, but for this: dimensions of different sizes are never
broadcast against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from math import gcd, lcm
from typing import TYPE_CHECKING, NoReturn, TypeGuard

from webdnn.dialects.errors import WebDNNError


class UndecidedSize(WebDNNError):
    """A question about a size that its symbols' values answer differently; or a number is needed."""


@dataclass(frozen=True)
class Symbol:
    """A size that each run sets.

    Attributes:
        name: one symbol of a program has one name.
        low, high: its least and its greatest value, which are multiples of `unit`.
        unit: what it is a multiple of.
        likely: the value that schedules are chosen for.
    """

    name: str
    low: int
    high: int
    unit: int = 1
    likely: int = -1

    def __post_init__(self) -> None:
        if self.unit < 1:
            raise ValueError(f"{self.name} cannot be a multiple of {self.unit}")
        object.__setattr__(self, "low", -(-self.low // self.unit) * self.unit)
        object.__setattr__(self, "high", self.high // self.unit * self.unit)
        if not 0 <= self.low <= self.high:
            raise ValueError(f"{self.name} has no value in its range")
        if self.likely < 0:
            object.__setattr__(self, "likely", self.high)
        if not self.low <= self.likely <= self.high or self.likely % self.unit:
            raise ValueError(f"{self.name} is never {self.likely}")

    @property
    def size(self) -> int:
        """The symbol as a size: a number where it has one value. The polynomial counts units, so that a size which is
        a multiple of 32 is divided by 32 without a remainder."""
        if self.low == self.high:
            return self.low
        return _value({(self,): self.unit})

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Quotient:
    """`dividend floordiv divisor`."""

    dividend: int
    divisor: int

    def __str__(self) -> str:
        return str(Size.of((((self,), 1),)))


@dataclass(frozen=True)
class Maximum:
    """The greatest of two or more sizes, in the order of their texts."""

    sizes: tuple[int, ...]

    def __str__(self) -> str:
        return str(Size.of((((self,), 1),)))


Atom = Symbol | Quotient | Maximum
Monomial = tuple[Atom, ...]
"""A product of atoms, ordered by their texts; the empty one is 1."""
Terms = dict[Monomial, int]


@cache
def _order(atom: Atom) -> str:
    return str(atom)


if TYPE_CHECKING:
    _Number = int
else:
    _Number = object


class Size(_Number):
    """A size that depends on symbols. Made by arithmetic on `Symbol.size` alone."""

    __slots__ = ("_hash", "terms")

    terms: tuple[tuple[Monomial, int], ...]
    """Monomials and their coefficients, none of them 0, from the highest degree to the constant."""
    _hash: int

    @classmethod
    def of(cls, terms: tuple[tuple[Monomial, int], ...]) -> Size:
        size = cls.__new__(cls)
        size.terms, size._hash = terms, hash(terms)
        return size

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Size) and self.terms == other.terms)

    def __add__(self, other: int) -> int:
        if not is_size(other):
            return NotImplemented
        terms = dict(self.terms)
        for monomial, c in _terms(other).items():
            terms[monomial] = terms.get(monomial, 0) + c
        return _value(terms)

    __radd__ = __add__

    def __neg__(self) -> int:
        return self * -1

    def __pos__(self) -> int:
        return self

    def __sub__(self, other: int) -> int:
        return self + other * -1 if is_size(other) else NotImplemented

    def __rsub__(self, other: int) -> int:
        return self * -1 + other if is_size(other) else NotImplemented

    def __mul__(self, other: int) -> int:
        if not is_size(other):
            return NotImplemented
        terms: Terms = {}
        for a, c in self.terms:
            for b, d in _terms(other).items():
                product = tuple(sorted((*a, *b), key=_order))
                terms[product] = terms.get(product, 0) + c * d
        return _value(terms)

    __rmul__ = __mul__

    def __floordiv__(self, other: int) -> int:
        return _floor_div(self, other) if is_size(other) else NotImplemented

    def __rfloordiv__(self, other: int) -> int:
        return _floor_div(other, self) if is_size(other) else NotImplemented

    def __mod__(self, other: int) -> int:
        return self - other * (self // other) if is_size(other) else NotImplemented

    def __rmod__(self, other: int) -> int:
        return other - self * (other // self) if is_size(other) else NotImplemented

    def __divmod__(self, other: int) -> tuple[int, int]:
        return self // other, self % other

    def __rdivmod__(self, other: int) -> tuple[int, int]:
        return other // self, other % self

    def __lt__(self, other: int) -> bool:
        return not self >= other

    def __le__(self, other: int) -> bool:
        return _is_never_negative(other - self, self, "<=", other)

    def __gt__(self, other: int) -> bool:
        return not self <= other

    def __ge__(self, other: int) -> bool:
        return _is_never_negative(self - other, self, ">=", other)

    def __bool__(self) -> bool:
        low, high = bounds(self)
        if low > 0 or high < 0:
            return True
        raise undecided(f"whether {self} is 0", self)

    def __index__(self) -> NoReturn:
        raise undecided(f"{self} is not a number", self)

    __int__ = __index__
    __float__ = __index__
    __trunc__ = __index__

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return written(self, str)


def is_size(value: object) -> TypeGuard[int]:
    """Whether a value is a size: an int (numpy's included), or an expression of symbols."""
    return isinstance(value, Size | int) or hasattr(value, "__index__")


def is_symbolic(value: object) -> TypeGuard[Size]:
    """Whether a value is an expression of symbols, and no number."""
    return isinstance(value, Size)


def undecided(what: str, *sizes: int, hint: str = "") -> UndecidedSize:
    """The error that something about sizes is not decided by the ranges of their symbols."""
    symbols = list(dict.fromkeys(symbol for size in sizes for symbol in symbols_of(size)))
    ranges = ", ".join(f"{s.name} is {s.low} to {s.high}" for s in symbols)
    options = " ".join(f"--dim {s.name}={s.likely}" for s in symbols)
    return UndecidedSize(f"{what}: {ranges}", hint=hint or f"bind it: {options}")


def _is_never_negative(difference: int, left: object, sign: str, right: object) -> bool:
    low, high = bounds(difference)
    if low >= 0:
        return True
    if high < 0:
        return False
    raise undecided(f"whether {left} {sign} {right}", difference)


# The normal form


def _terms(value: int) -> Terms:
    if is_symbolic(value):
        return dict(value.terms)
    number = int(value)
    return {(): number} if number else {}


def _value(terms: Mapping[Monomial, int]) -> int:
    kept = [(monomial, c) for monomial, c in terms.items() if c]
    if not kept:
        return 0
    if len(kept) == 1 and not kept[0][0]:
        return kept[0][1]
    kept.sort(key=lambda term: (-len(term[0]), [_order(atom) for atom in term[0]]))
    return Size.of(tuple(kept))


def written(value: int, name: Callable[[Symbol], str]) -> str:
    """The text of a size, in which symbols are called as `name` says."""

    def operand(size: int) -> str:
        text = written(size, name)
        is_plain = not is_symbolic(size) or as_symbol(size) is not None
        return text if is_plain and text[0] != "-" else f"({text})"

    def factor(atom: Atom) -> str:
        match atom:
            case Symbol():
                return name(atom)
            case Quotient():
                return f"{operand(atom.dividend)} floordiv {operand(atom.divisor)}"
            case Maximum():
                return f"max({', '.join(written(size, name) for size in atom.sizes)})"

    def term(monomial: Monomial, c: int) -> str:
        factors: list[tuple[str, bool]] = []
        for atom in monomial:
            text, is_quotient = factor(atom), isinstance(atom, Quotient)
            if isinstance(atom, Symbol) and c % atom.unit == 0:
                c //= atom.unit
            elif isinstance(atom, Symbol):
                text, is_quotient = f"{text} floordiv {atom.unit}", True
            factors.append((text, is_quotient))
        if c != 1 or not factors:
            factors.append((str(c), False))
        is_product = len(factors) > 1
        return " * ".join(f"({f})" if is_product and quotient else f for f, quotient in factors)

    if not is_symbolic(value):
        return str(value)
    text = ""
    for monomial, c in value.terms:
        sign, part = ("-" if c < 0 else "+"), term(monomial, abs(c))
        text += f" {sign} {part}" if text else ("0 - " if c < 0 else "") + part
    return text


def _floor_div(a: int, b: int) -> int:
    """`a floordiv b` for a positive `b`."""
    if not is_symbolic(a) and not is_symbolic(b):
        return a // b
    quotient, rest = _polynomial_division(_terms(a), _terms(b))
    if not rest:
        return _value(quotient)
    if bounds(b)[0] <= 0:
        raise undecided(f"whether {b}, by which {a} is divided, is greater than 0", a, b)
    return _value(quotient) + _rest_quotient(_value(rest), b)


def _rest_quotient(rest: int, b: int) -> int:
    """The quotient of what polynomial division leaves."""
    if bounds(rest)[0] >= 0 and bounds(b - rest - 1)[0] >= 0:
        return 0
    if not is_symbolic(b):
        low, high = bounds(rest)
        if low // b == high // b:
            return low // b
        terms = _terms(rest)
        constant = terms.pop((), 0)
        common = gcd(b, *terms.values())
        if common > 1:
            scaled = _value({m: c // common for m, c in terms.items()})
            return _floor_div(scaled + constant // common, b // common)
        if len(terms) == 1:
            ((monomial, c),) = terms.items()
            inner = monomial[0]
            if (
                c == 1
                and len(monomial) == 1
                and isinstance(inner, Quotient)
                and not is_symbolic(inner.divisor)
            ):
                return _floor_div(inner.dividend + constant * inner.divisor, inner.divisor * b)
        shift, constant = divmod(constant, b)
        return (
            _value({**terms, (): constant}) // b + shift
            if shift
            else _value({(Quotient(rest, b),): 1})
        )
    return _value({(Quotient(rest, b),): 1})


def _polynomial_division(a: Terms, b: Terms) -> tuple[Terms, Terms]:
    """`q` and `r` with `a == q * b + r`: of `a` all terms are divided that the leading term of `b` divides evenly. A
    constant is divided with a remainder."""
    leading = max(b, key=lambda m: (len(m), [_order(atom) for atom in m]), default=())
    c = b.get(leading, 0)
    if not c:
        raise ZeroDivisionError("a size is divided by 0")
    quotient: Terms = {}
    rest: Terms = {}
    left = dict(a)
    while left:
        monomial = max(left, key=lambda m: (len(m), [_order(atom) for atom in m]))
        coefficient = left.pop(monomial)
        factors = _without(monomial, leading)
        is_number = not monomial and not leading
        if factors is None or (coefficient % c and not is_number):
            rest[monomial] = coefficient
            continue
        times, remainder = divmod(coefficient, c)
        if remainder:
            rest[monomial] = remainder
        if not times:
            continue
        quotient[factors] = times
        for other, d in b.items():
            if other != leading:
                product = tuple(sorted((*factors, *other), key=_order))
                left[product] = left.get(product, 0) - times * d
                if not left[product]:
                    del left[product]
    if len(b) > 1 and rest and quotient and bounds(_value(rest))[0] < 0:
        return {}, a
    return quotient, rest


def _without(monomial: Monomial, factors: Monomial) -> Monomial | None:
    left = list(monomial)
    for atom in factors:
        if atom not in left:
            return None
        left.remove(atom)
    return tuple(left)


def maximum(*values: int) -> int:
    """The greatest of some sizes; those that are never greater than another one are left out."""
    flat: list[int] = []
    for value in values:
        atom = _single_atom(value)
        flat.extend(atom.sizes if isinstance(atom, Maximum) else (value,))
    kept: list[int] = []
    for value in dict.fromkeys(flat):
        if any(bounds(other - value)[0] >= 0 for other in kept):
            continue
        kept = [other for other in kept if bounds(value - other)[0] < 0]
        kept.append(value)
    if len(kept) == 1:
        return kept[0]
    return _value({(Maximum(tuple(sorted(kept, key=str))),): 1})


def minimum(*values: int) -> int:
    """The least of some sizes."""
    return -maximum(*(-value for value in values))


def _single_atom(value: int) -> Atom | None:
    if is_symbolic(value) and len(value.terms) == 1:
        ((monomial, c),) = value.terms
        return monomial[0] if c == 1 and len(monomial) == 1 else None
    return None


# What is known of a size


def bounds(value: int) -> tuple[int, int]:
    """Numbers that a size is never below and never above, as far as they follow from the symbols' ranges."""
    return _bounds(value) if is_symbolic(value) else (int(value), int(value))


@lru_cache(maxsize=65536)
def _bounds(size: Size) -> tuple[int, int]:
    low, high = _interval(size.terms)
    if any(len(monomial) > 1 for monomial, _ in size.terms):
        shifted = _interval(_shifted(size).items())
        low, high = max(low, shifted[0]), min(high, shifted[1])
    terms = dict(size.terms)
    for monomial, c in size.terms:
        atom = monomial[0] if len(monomial) == 1 else None
        if not isinstance(atom, Quotient) or is_symbolic(atom.divisor) or c % atom.divisor:
            continue
        # c * quotient is -times * dividend + times * remainder, with a remainder that is less than the divisor
        times = -c // atom.divisor
        others = {m: k for m, k in terms.items() if m != monomial}
        rest = bounds(_value(others) - atom.dividend * times)
        remainder = times * (atom.divisor - 1)
        low = max(low, rest[0] + min(remainder, 0))
        high = min(high, rest[1] + max(remainder, 0))
    if (together := _quotient_bounds(size)) is not None:
        low, high = max(low, together[0]), min(high, together[1])
    return low, high


def _quotient_bounds(size: Size) -> tuple[int, int] | None:
    """The bounds that follow from `q / d - (d - 1) / d <= q floordiv d <= q / d` for all quotients by numbers at once;
    None where there are fewer than two."""
    quotients = [
        (monomial, c, atom)
        for monomial, c in size.terms
        if len(monomial) == 1
        and isinstance(atom := monomial[0], Quotient)
        and not is_symbolic(atom.divisor)
    ]
    if len(quotients) < 2:
        return None
    common = lcm(*(atom.divisor for _, _, atom in quotients))
    rest = dict(size.terms)
    for monomial, _, _ in quotients:
        del rest[monomial]
    scaled = _value(rest) * common
    less = more = 0
    for _, c, atom in quotients:
        times = c * (common // atom.divisor)
        scaled = scaled + atom.dividend * times
        slack = times * (atom.divisor - 1)
        less, more = less + max(slack, 0), more + max(-slack, 0)
    low, high = bounds(scaled)
    return -(-(low - less) // common), (high + more) // common


def _shifted(size: Size) -> Terms:
    """The polynomial with `low + x` in the place of each symbol, `x` being the symbol of the rest of the range."""
    total: int = 0
    for monomial, c in size.terms:
        product: int = c
        for atom in monomial:
            if isinstance(atom, Symbol):
                unit = atom.unit
                rest = Symbol(f"{atom.name}'", 0, (atom.high - atom.low) // unit)
                product = product * (rest.size + atom.low // unit)
            else:
                product = product * _value({(atom,): 1})
        total = total + product
    return _terms(total)


def _interval(terms: Iterable[tuple[Monomial, int]]) -> tuple[int, int]:
    low = high = 0
    for monomial, c in terms:
        ends = (c, c)
        for atom in monomial:
            a, b = _atom_bounds(atom)
            products = (ends[0] * a, ends[0] * b, ends[1] * a, ends[1] * b)
            ends = (min(products), max(products))
        low, high = low + ends[0], high + ends[1]
    return low, high


def _atom_bounds(atom: Atom) -> tuple[int, int]:
    match atom:
        case Symbol():
            return atom.low // atom.unit, atom.high // atom.unit
        case Quotient():
            (a, b), (c, d) = bounds(atom.dividend), bounds(atom.divisor)
            quotients = [n // max(m, 1) for n in (a, b) for m in (c, d)]
            return min(quotients), max(quotients)
        case Maximum():
            lows, highs = zip(*(bounds(size) for size in atom.sizes), strict=True)
            return max(lows), max(highs)


def symbols_of(value: int) -> Iterator[Symbol]:
    """The symbols of a size, in order, each as often as it stands there."""
    if is_symbolic(value):
        for monomial, _ in value.terms:
            for atom in monomial:
                yield from _atom_symbols(atom)


def _atom_symbols(atom: Atom) -> Iterator[Symbol]:
    match atom:
        case Symbol():
            yield atom
        case Quotient():
            yield from symbols_of(atom.dividend)
            yield from symbols_of(atom.divisor)
        case Maximum():
            for size in atom.sizes:
                yield from symbols_of(size)


def unique_symbols(sizes: Iterable[int]) -> list[Symbol]:
    """The symbols of sizes, each once, in the order in which they come."""
    return list(dict.fromkeys(symbol for size in sizes for symbol in symbols_of(size)))


def as_symbol(value: int) -> Symbol | None:
    """The symbol that a size is, if it is just one."""
    if is_symbolic(value) and len(value.terms) == 1:
        ((monomial, c),) = value.terms
        if len(monomial) == 1 and isinstance(monomial[0], Symbol) and c == monomial[0].unit:
            return monomial[0]
    return None


def atom_size(atom: Atom) -> int:
    """What an atom is as a size."""
    return atom.size if isinstance(atom, Symbol) else _value({(atom,): 1})
