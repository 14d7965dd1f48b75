"""Index arithmetic of the lowerings to loops: what forms are at every point, and where divisions vanish."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from itertools import product

import pytest
from xdsl.ir.affine import AffineExpr

from webdnn.dialects.sizes.expression import Symbol
from webdnn.lowering.loops_common.linear import (
    Atom,
    Dim,
    Lin,
    Quotient,
    Remainder,
    address,
    collapse,
    floor_div,
    from_affine,
    merge_dims,
    modulo,
    row_major,
    span,
)

Point = Mapping[Dim, int]

A, B, C = Dim("a", 5), Dim("b", 3), Dim("c", 4)


def points(*dims: Dim) -> Iterator[Point]:
    """Every point of an iteration space."""
    for at in product(*(range(dim.size) for dim in dims)):
        yield dict(zip(dims, at, strict=True))


def value(form: Lin, point: Point) -> int:
    """The value of a form without lanes."""

    def value_of(atom: Atom) -> int:
        match atom:
            case Dim():
                return point[atom]
            case Quotient():
                return value(atom.form, point) // atom.divisor
            case Remainder():
                return value(atom.form, point) % atom.divisor
            case _:
                raise TypeError

    return form.const + sum(c * value_of(atom) for atom, c in form.terms)


def random_form(rng: random.Random, depth: int = 2) -> Lin:
    form = Lin.of(rng.randint(-9, 9))
    for dim in (A, B, C):
        form = form + Lin.of(dim) * rng.choice((-6, -1, 0, 0, 1, 2, 4, 12))
    if depth and rng.random() < 0.6:
        divide = rng.choice((floor_div, modulo))
        form = form + divide(random_form(rng, depth - 1), rng.choice((1, 2, 3, 4))) * 2
    return form


@pytest.mark.parametrize("seed", range(40))
def test_divisions(seed: int) -> None:
    rng = random.Random(seed)
    form, divisor = random_form(rng), rng.choice((1, 2, 3, 4, 7, 12))
    quotient, remainder = floor_div(form, divisor), modulo(form, divisor)
    bounds = [f.range() for f in (form, quotient, remainder)]
    for point in points(A, B, C):
        expected = value(form, point)
        values = (expected, expected // divisor, expected % divisor)
        assert (value(quotient, point), value(remainder, point)) == values[1:]
        for limits, found in zip(bounds, values, strict=True):
            assert limits is not None
            assert limits[0] <= found <= limits[1]


@pytest.mark.parametrize("seed", range(40))
def test_one_dim_in_the_place_of_two(seed: int) -> None:
    form = random_form(random.Random(seed))
    merged = Dim("ab", A.size * B.size)
    new = merge_dims(form, A, B, merged, lambda _: Lin())
    for point in points(A, B, C):
        at = {merged: point[A] * B.size + point[B], C: point[C]}
        assert value(new, at) == value(form, point)


def test_no_division_where_the_range_shows_the_result() -> None:
    a, b = Lin.of(A), Lin.of(B)
    assert floor_div(a * 3 + b, 3) == a
    assert modulo(a * 3 + b, 3) == b
    assert floor_div(a, 5) == Lin()
    assert modulo(a + 5, 5) == a
    assert floor_div(b - 3, 3) == Lin.of(-1)
    assert floor_div(a, 2) == Lin.of(Quotient(a, 2))


def test_a_dim_of_one_point_is_zero() -> None:
    assert Lin.of(Dim("one", 1)) == Lin()
    assert Lin.of(Dim("none", 0)) != Lin()


def test_lanes() -> None:
    form = Lin.of(A) * 8 + Lin(lane=1) + 4
    assert form.divide(4, 4) == (Lin.of(A) * 2 + 1, Lin(lane=1))
    assert form.divide(4, 5) is None  # the lanes straddle a multiple
    assert (Lin.of(A) + Lin(lane=1)).divide(4, 4) is None
    assert form.at_lane(3) == Lin.of(A) * 8 + 7


def test_affine_expressions() -> None:
    x, y = AffineExpr.dimension(0), AffineExpr.dimension(1)
    expr = (x * 4 + y) // 3 * 2 + (x + 1) % 2 + x.ceil_div(4)
    form = from_affine(expr, [Lin.of(A), Lin.of(C)])
    for point in points(A, C):
        assert value(form, point) == expr.eval([point[A], point[C]], [])
    with pytest.raises(ValueError, match="not understood"):
        from_affine(AffineExpr.symbol(0), [])


def test_loops_that_may_be_one() -> None:
    a, b, c = (Lin.of(dim) for dim in (A, B, C))
    dims = (A, B, C)
    assert collapse(dims, [row_major((a, b, c), (5, 3, 4))]) == [[A, B, C]]
    assert collapse(dims, [address((a, b, c), (24, 8, 1))]) == [[A, B], [C]]
    # what is inside of a division counts too, and may be walked as one as well
    assert collapse((B, C), [Lin.of(Quotient(c, 3))]) == [[B], [C]]
    assert collapse((B, C), [Lin.of(Quotient(b * 4 + c, 3))]) == [[B, C]]


def test_span() -> None:
    assert span((3, 4)) == 12
    assert span((3, 4), (10, 1)) == 24
    assert span((0, 4), (10, 1)) == 0


def test_split_of_a_symbolic_constant() -> None:
    """Where the last window begins is a multiple of its length, so a place in it is a number."""
    n = Symbol("n", 1, 64).size
    last = Lin.of(n // 4 * 4 + 7)
    assert last.divide(4) == (Lin.of(n // 4 + 1), Lin.of(3))
    assert modulo(last, 4) == Lin.of(3)
    assert Lin.of(n + 1).split(4) == (Lin(), Lin.of(n + 1))
