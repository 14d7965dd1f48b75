"""Index arithmetic: what an index or an address is made of.

A `Lin` is `sum(coefficient * atom) + const + lane * l`. Its atoms are loop dimensions (`Dim`), quotients and remainders
of other forms (`Quotient`, `Remainder`), and indices that are computed from data (`IndexNode`); while ops are emitted,
SSA values of type index. Coefficients, constants, extents and divisors are sizes: numbers, or expressions of the
symbols that a kernel's shapes depend on. As all memory is flat, one `Lin` is a whole address, and questions such as
"is this access contiguous along d" or "may these two loops be one" are questions about its coefficients. What follows
from the range of an index is decided here alone, while expressions are built; `emitter` does the same for values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod

from xdsl.ir import SSAValue
from xdsl.ir.affine import (
    AffineBinaryOpExpr,
    AffineBinaryOpKind,
    AffineConstantExpr,
    AffineDimExpr,
    AffineExpr,
)

from webdnn.dialects.sizes.expression import UndecidedSize, bounds, is_symbolic
from webdnn.dialects.sizes.questions import is_known


@dataclass(eq=False, frozen=True)
class Dim:
    """A loop dimension of a kernel: counts from 0 to `size - 1`. Two dims are the same only if they are one object."""

    name: str
    size: int


class IndexNode:
    """Base of the index-valued expressions that may be atoms of a `Lin`.

    Attributes:
        dims: the loop dimensions that the value depends on.
    """

    dims: frozenset[Dim]


@dataclass(frozen=True)
class Division:
    """A form divided by a positive size; `dims` are those of the form."""

    form: Lin
    divisor: int
    dims: frozenset[Dim] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dims", self.form.dims)


class Quotient(Division):
    """The quotient, rounded down."""


class Remainder(Division):
    """What the quotient leaves: 0 to `divisor - 1`."""


Atom = Dim | Division | IndexNode | SSAValue


@dataclass(frozen=True, slots=True)
class Lin:
    """`sum(coefficient * atom) + const + lane * l`, where `l` counts the lanes of a vector: 0, 1, 2, ...

    No coefficient is the number 0 and no atom comes twice.
    """

    terms: tuple[tuple[Atom, int], ...] = ()
    const: int = 0
    lane: int = 0

    @staticmethod
    def of(value: Atom | int | Lin) -> Lin:
        """A linear form of one atom or of a size; a dimension of one point is always at 0."""
        if isinstance(value, Lin):
            return value
        if isinstance(value, int) or is_symbolic(value):
            return Lin((), value)
        if isinstance(value, Dim) and value.size == 1:
            return Lin()
        return Lin(((value, 1),))

    def __add__(self, other: Lin | int) -> Lin:
        if not isinstance(other, Lin):
            return Lin(self.terms, self.const + other, self.lane)
        if not other.terms:
            terms = self.terms
        elif not self.terms:
            terms = other.terms
        else:
            merged = dict(self.terms)
            for atom, c in other.terms:
                merged[atom] = merged.get(atom, 0) + c
            terms = tuple((atom, c) for atom, c in merged.items() if c != 0)
        return Lin(terms, self.const + other.const, self.lane + other.lane)

    def __mul__(self, factor: int) -> Lin:
        if factor == 0:
            return Lin()
        if factor == 1:
            return self
        terms = tuple((atom, c * factor) for atom, c in self.terms)
        return Lin(terms, self.const * factor, self.lane * factor)

    def __sub__(self, other: Lin | int) -> Lin:
        return self + (other * -1 if isinstance(other, Lin) else -other)

    @property
    def is_const(self) -> bool:
        """Whether it is a size, the same in all lanes."""
        return not self.terms and self.lane == 0

    @property
    def is_uniform(self) -> bool:
        """Whether it is the same in all lanes."""
        return self.lane == 0

    def at_lane(self, lane: int) -> Lin:
        """The form in one lane."""
        return Lin(self.terms, self.const + self.lane * lane) if self.lane != 0 else self

    def coefficient(self, atom: Atom) -> int:
        """The coefficient of an atom, 0 if it is absent."""
        for a, c in self.terms:
            if a is atom:
                return c
        return 0

    @property
    def atom(self) -> Atom | None:
        """The atom that the form is, if it is just one."""
        if len(self.terms) != 1 or self.terms[0][1] != 1 or self.const != 0 or self.lane != 0:
            return None
        return self.terms[0][0]

    @property
    def dim(self) -> Dim | None:
        """The dimension that the form is, if it is just one."""
        return atom if isinstance(atom := self.atom, Dim) else None

    @property
    def divisions(self) -> list[tuple[Division, int]]:
        """The quotients and remainders among the atoms, with their coefficients."""
        return [(atom, c) for atom, c in self.terms if isinstance(atom, Division)]

    @property
    def dims(self) -> frozenset[Dim]:
        """The dimensions that the form depends on."""
        return self._dims(linear=True)

    @property
    def nonlinear_dims(self) -> frozenset[Dim]:
        """The dimensions that its divisions and the indices from data depend on."""
        return self._dims(linear=False)

    def _dims(self, *, linear: bool) -> frozenset[Dim]:
        found: set[Dim] = set()
        for atom, _ in self.terms:
            if isinstance(atom, Dim):
                if linear:
                    found.add(atom)
            elif isinstance(atom, Division | IndexNode):
                found |= atom.dims
        return frozenset(found)

    @property
    def op_count(self) -> int:
        """About how many ops compute the form."""
        inner = sum(1 + division.form.op_count for division, _ in self.divisions)
        return inner + max(0, len(self.terms) + (self.const != 0) - 1)

    def depends(self, dim: Dim) -> bool:
        """Whether the form depends on a dimension."""
        return any(
            atom is dim or (isinstance(atom, Division | IndexNode) and dim in atom.dims)
            for atom, _ in self.terms
        )

    def is_contiguous_along(self, dim: Dim) -> bool:
        """Whether each step along a dimension is a step of one, wherever the others stand."""
        return self.coefficient(dim) == 1 and dim not in self.nonlinear_dims

    def nodes(self) -> Iterator[IndexNode]:
        """The indices from data among the atoms, those inside of divisions included."""
        for atom, _ in self.terms:
            if isinstance(atom, IndexNode):
                yield atom
            elif isinstance(atom, Division):
                yield from atom.form.nodes()

    def forms(self) -> Iterator[Lin]:
        """The form and those inside of its divisions."""
        yield self
        for division, _ in self.divisions:
            yield from division.form.forms()

    def map(self, substitute: Callable[[Dim | IndexNode | SSAValue], Lin]) -> Lin:
        """Put a form in the place of every atom that is no division; divisions that this makes easy vanish."""
        result = Lin((), self.const, self.lane)
        for atom, c in self.terms:
            if not isinstance(atom, Division):
                new = substitute(atom)
            else:
                divide = floor_div if isinstance(atom, Quotient) else modulo
                new = divide(atom.form.map(substitute), atom.divisor)
            result = result + new * c
        return result

    def range(self) -> tuple[int, int] | None:
        """Sizes that the form is never below and never above in lane 0; None where they are not known of an atom."""
        low = high = self.const
        for atom, c in self.terms:
            ends, negative = _range(atom), is_negative(c)
            if ends is None or negative is None:
                return None
            low += c * ends[negative]
            high += c * ends[not negative]
        return low, high

    def split(self, divisor: int) -> tuple[Lin, Lin]:
        """`q` and `r` with `self == q * divisor + r`: `q` holds every term that divides evenly, `r` the lanes."""
        quotient: list[tuple[Atom, int]] = []
        rest: list[tuple[Atom, int]] = []
        for atom, c in self.terms:
            times = _exact_quotient(c, divisor)
            if times is None:
                rest.append((atom, c))
            else:
                quotient.append((atom, times))
        if is_symbolic(self.const) or is_symbolic(divisor):
            q, r = _constant_parts(self.const, divisor)
        else:
            q, r = divmod(self.const, divisor)
        return Lin(tuple(quotient), q), Lin(tuple(rest), r, self.lane)

    def divide(self, divisor: int, width: int = 1) -> tuple[Lin, Lin] | None:
        """Quotient (rounded down) and remainder in vectors of `width` lanes.

        None where they are not linear: a coefficient is no multiple of the divisor, or the lanes straddle a multiple.
        """
        quotient, rest = self.split(divisor)
        last = rest.const + self.lane * (width - 1)
        if rest.terms or not is_known(last, lambda n: 0 <= n < divisor):
            return None
        return quotient, rest


def _range(atom: Atom) -> tuple[int, int] | None:
    match atom:
        case Dim():
            # a dimension without points has no point where this is asked
            return 0, atom.size - 1 if is_symbolic(atom.size) else max(0, atom.size - 1)
        case Remainder():
            return 0, atom.divisor - 1
        case Quotient():
            ends = atom.form.range()
            try:
                return ends and (ends[0] // atom.divisor, ends[1] // atom.divisor)
            except UndecidedSize:
                return None
        case _:
            return None


def is_negative(size: int) -> bool | None:
    """Whether a size is at most 0 rather than at least 0; None where neither is known."""
    if not is_symbolic(size):
        return size < 0
    low, high = bounds(size)
    return False if low >= 0 else True if high <= 0 else None


def _exact_quotient(size: int, divisor: int) -> int | None:
    """The quotient, where there is no remainder.

    The divisor may be a symbol that can be 0: it is the extent of something that has a point where this is asked.
    """
    if not is_symbolic(size) and not is_symbolic(divisor):
        return None if size % divisor else size // divisor
    try:
        quotient = size // divisor
    except UndecidedSize:
        return None
    return quotient if quotient * divisor == size else None


def _constant_parts(size: int, divisor: int) -> tuple[int, int]:
    """`q` and `r` with `size == q * divisor + r`: `q` holds what divides evenly."""
    times = _exact_quotient(size, divisor)
    if times is not None:
        return times, 0
    if is_symbolic(size) and not is_symbolic(divisor):
        number = dict(size.terms).get((), 0)
        times = _exact_quotient(size - number, divisor)
        if times is not None:
            return times + number // divisor, number % divisor
    return 0, size


def is_positive_const(form: Lin) -> bool:
    """Whether a form is a size greater than zero."""
    return form.is_const and is_known(form.const, lambda n: n > 0)


def is_never_negative(form: Lin) -> bool:
    """Whether a form is known to be at least zero."""
    ends = form.range()
    return ends is not None and bounds(ends[0])[0] >= 0


def _constant_quotient(form: Lin, divisor: int) -> int | None:
    """The quotient, rounded down, where it is the same number all over the range of the form."""
    ends = form.range()
    if ends is None:
        return None
    if is_symbolic(divisor):
        low, high = ends
        in_range = bounds(low)[0] >= 0 and is_known(high, lambda n: n < divisor)
        return 0 if in_range else None
    least, most = bounds(ends[0])[0] // divisor, bounds(ends[1])[1] // divisor
    return least if least == most else None


def floor_div(form: Lin, divisor: int) -> Lin:
    """`form floordiv divisor`, without a division where the range of the form allows."""
    quotient, rest = form.split(divisor)
    constant = _constant_quotient(rest, divisor)
    return quotient + (Lin.of(Quotient(rest, divisor)) if constant is None else constant)


def modulo(form: Lin, divisor: int) -> Lin:
    """`form mod divisor`, without a division where the range of the form allows."""
    _, rest = form.split(divisor)
    constant = _constant_quotient(rest, divisor)
    return Lin.of(Remainder(rest, divisor)) if constant is None else rest - constant * divisor


def from_affine(expr: AffineExpr, dims: Sequence[Lin]) -> Lin:
    """An affine expression at a point.

    Args:
        dims: what each dimension of the expression stands for.

    Raises:
        ValueError: the expression has symbols, or products or divisions by what is no constant.
    """
    match expr:
        case AffineConstantExpr():
            return Lin.of(expr.value)
        case AffineDimExpr():
            return dims[expr.position]
        case AffineBinaryOpExpr():
            lhs, rhs = from_affine(expr.lhs, dims), from_affine(expr.rhs, dims)
            match expr.kind:
                case AffineBinaryOpKind.Add:
                    return lhs + rhs
                case AffineBinaryOpKind.Mul if rhs.is_const:
                    return lhs * rhs.const
                case AffineBinaryOpKind.Mul if lhs.is_const:
                    return rhs * lhs.const
                case AffineBinaryOpKind.FloorDiv if is_positive_const(rhs):
                    return floor_div(lhs, rhs.const)
                case AffineBinaryOpKind.CeilDiv if is_positive_const(rhs):
                    return floor_div(lhs + (rhs.const - 1), rhs.const)
                case AffineBinaryOpKind.Mod if is_positive_const(rhs):
                    return modulo(lhs, rhs.const)
                case _:
                    pass
        case _:
            pass
    raise ValueError(f"an access is not understood: {expr}")


def address(index: Sequence[Lin], strides: Sequence[int]) -> Lin:
    """The position in memory of the element at `index`."""
    total = Lin()
    for form, stride in zip(index, strides, strict=True):
        total = total + form * stride
    return total


def row_major(index: Sequence[Lin], shape: Sequence[int]) -> Lin:
    """The position of an element of a tensor in row-major order."""
    return address(index, row_major_strides(shape))


def row_major_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """The distance in elements between neighbours along each axis of a tensor in row-major order."""
    return tuple(prod(shape[i + 1 :]) for i in range(len(shape)))


def span(shape: Sequence[int], strides: Sequence[int] = ()) -> int:
    """The number of elements from the first to the last one of a tensor, in row-major order or at strides."""
    count = prod(shape)
    if not strides or count == 0:
        return count
    return 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))


def volume(dims: Iterable[Dim]) -> int:
    """The number of points of an iteration space."""
    return prod(dim.size for dim in dims)


def collapse(dims: Sequence[Dim], forms: Iterable[Lin]) -> list[list[Dim]]:
    """Group adjacent dims that may be walked as one loop.

    Dims `a, b` may be one loop of `a.size * b.size` steps if in every form, also inside of divisions, the coefficient
    of `a` is `b.size` times that of `b`. Dims of size 1 vanish.
    """
    groups: list[list[Dim]] = []
    coefficients = [dict(inner.terms) for form in forms for inner in form.forms()]
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


def merge_dims(
    form: Lin, outer: Dim, inner: Dim, merged: Dim, other: Callable[[IndexNode], Lin]
) -> Lin:
    """A form with one dimension in the place of two adjacent ones; where it tells them apart it gets divisions.

    Args:
        other: what comes in the place of an index from data.
    """
    if form.coefficient(outer) == form.coefficient(inner) * inner.size:
        places = {outer: Lin(), inner: Lin.of(merged)}
    else:
        whole = Lin.of(merged)
        places = {outer: floor_div(whole, inner.size), inner: modulo(whole, inner.size)}
    result = Lin((), form.const)
    for atom, c in form.terms:
        match atom:
            case Dim():
                new = places.get(atom, Lin.of(atom))
            case Division():
                divide = floor_div if isinstance(atom, Quotient) else modulo
                new = divide(merge_dims(atom.form, outer, inner, merged, other), atom.divisor)
            case IndexNode():
                new = other(atom)
            case _:
                new = Lin.of(atom)
        result = result + new * c
    return result
