"""Sizes compute as the numbers do that their symbols stand for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdsl.dialects.builtin import f32
from xdsl.parser import Parser

from webdnn.dialects.sizes.arithmetic import compute
from webdnn.dialects.sizes.expression import (
    Symbol,
    UndecidedSize,
    bounds,
    is_symbolic,
    maximum,
    minimum,
)
from webdnn.dialects.sizes.questions import divides, same_size
from webdnn.dialects.sizes.substitution import evaluate, likely
from webdnn.dialects.sizes.text import size_text
from webdnn.dialects.sizes.types import SizesAttr, shape_of, tensor_type
from webdnn.passes import context

S = Symbol("s", 1, 512, likely=128)
P = Symbol("p", 0, 2048)
H = Symbol("h", 64, 1024, unit=32)
s, p, h = S.size, P.size, H.size

Pair = tuple[int, Callable[[dict[str, int]], int]]


def _combined(children: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    def binary(name: str) -> Callable[[tuple[Pair, Pair]], Pair]:
        def make(pair: tuple[Pair, Pair]) -> Pair:
            (a, f), (b, g) = pair
            match name:
                case "+":
                    return a + b, lambda v: f(v) + g(v)
                case "-":
                    return a - b, lambda v: f(v) - g(v)
                case "*":
                    return a * b, lambda v: f(v) * g(v)
                case "max":
                    return maximum(a, b), lambda v: max(f(v), g(v))
                case _:
                    return minimum(a, b), lambda v: min(f(v), g(v))

        return make

    def divided(pair: tuple[Pair, int]) -> Pair:
        (a, f), d = pair
        return a // d, lambda v: f(v) // d

    def remainder(pair: tuple[Pair, int]) -> Pair:
        (a, f), d = pair
        return a % d, lambda v: f(v) % d

    def by_size(pair: tuple[Pair, Pair]) -> Pair:
        (a, f), (b, g) = pair
        divisor = maximum(b, 1)
        return a // divisor, lambda v: f(v) // max(g(v), 1)

    both = st.tuples(children, children)
    number = st.tuples(children, st.integers(1, 48))
    return st.one_of(
        *(both.map(binary(name)) for name in ("+", "-", "*", "max", "min")),
        number.map(divided),
        number.map(remainder),
        both.map(by_size),
    )


SIZES: st.SearchStrategy[Pair] = st.recursive(
    st.one_of(
        st.integers(-64, 64).map(lambda n: (n, lambda v: n)),
        st.sampled_from([(s, lambda v: v["s"]), (p, lambda v: v["p"]), (h, lambda v: v["h"])]),
    ),
    _combined,
    max_leaves=8,
)
VALUES = st.fixed_dictionaries(
    {
        "s": st.integers(1, 512),
        "p": st.integers(0, 2048),
        "h": st.integers(2, 32).map(lambda n: n * 32),
    }
)


@given(SIZES, VALUES)
def test_a_size_is_what_its_symbols_make_it(pair: Pair, values: dict[str, int]) -> None:
    size, meaning = pair
    assert evaluate(size, values) == meaning(values)


@given(SIZES, VALUES)
def test_bounds_hold(pair: Pair, values: dict[str, int]) -> None:
    low, high = bounds(pair[0])
    assert low <= evaluate(pair[0], values) <= high


class Numbers:
    """The arithmetic of numbers, which refuses divisions that an emitted one would not do."""

    def __init__(self, values: dict[str, int]) -> None:
        self.values = values

    def number(self, value: int) -> int:
        return value

    def symbol(self, symbol: Symbol) -> int:
        return self.values[symbol.name]

    def add(self, a: int, b: int) -> int:
        return a + b

    def subtract(self, a: int, b: int) -> int:
        return a - b

    def multiply(self, a: int, b: int) -> int:
        return a * b

    def divide(self, a: int, b: int) -> int:
        assert a >= 0 and b > 0
        return a // b

    def maximum(self, a: int, b: int) -> int:
        return max(a, b)


@given(SIZES, VALUES)
def test_sizes_by_another_arithmetic(pair: Pair, values: dict[str, int]) -> None:
    assert compute(pair[0], Numbers(values)) == evaluate(pair[0], values)


@given(SIZES)
def test_text_is_read_again_as_the_same_size(pair: Pair) -> None:
    attr = SizesAttr((pair[0], 7))
    assert Parser(context(), str(attr)).parse_attribute() == attr


@given(SIZES)
def test_equal_polynomials_are_equal(pair: Pair) -> None:
    size = pair[0]
    assert size * 2 - size == size
    assert (size + s) * (size - s) == size * size - s * s
    assert hash(size + 1 - 1) == hash(size)


def test_what_is_a_number_is_an_int() -> None:
    assert s - s + 3 == 3
    assert isinstance(s - s + 3, int)
    assert Symbol("n", 4, 4).size == 4


def test_divisions_that_leave_nothing_vanish() -> None:
    assert (s * 768) // 64 == s * 12
    assert (s * p * 12 + s * 12) // (p + 1) == s * 12
    assert (s * s * 12) // s == s * 12
    assert h // 32 * 32 == h
    assert (h - 1) // 2 + 1 == h // 2
    assert (h + 2 - 3) // 2 + 1 == h // 2
    assert ((s - 1) // 2) // 2 == (s - 1) // 4
    assert (s % 4) // 4 == 0
    assert (s + 7) // 4 == (s + 3) // 4 + 1


def test_questions_that_ranges_decide() -> None:
    assert s >= 1 and s < 513 and not s > 512
    assert s + p >= p + 1
    assert s * p >= p
    assert (s + 3) // 4 * 4 >= s
    assert maximum(s, 1) == s and maximum(s + p, s) == s + p
    assert minimum(s, 512) == s
    assert bool(s)
    assert divides(32, h * 3) and not divides(64, h) and not divides(2, s)


def test_questions_that_they_do_not_decide() -> None:
    with pytest.raises(UndecidedSize, match=r"whether s <= 4: s is 1 to 512") as error:
        _ = s <= 4
    assert error.value.hint == "bind it: --dim s=128"
    with pytest.raises(UndecidedSize, match="not a number"):
        range(s)
    with pytest.raises(UndecidedSize, match="is 0"):
        bool(p)
    with pytest.raises(UndecidedSize, match="is greater than 0"):
        _ = s // p


def test_different_sizes_are_different() -> None:
    assert s != p and s != 1 and s + 1 != s
    assert is_symbolic(s) and not is_symbolic(3)


def test_sizes_that_must_be_the_same() -> None:
    assert same_size(s + p, p + s) and same_size(3, 3)
    assert not same_size(3, 4) and not same_size(s, 513) and not same_size(s, s + 1)
    with pytest.raises(UndecidedSize, match="whether s and p are the same size") as error:
        same_size(s, p)
    assert error.value.hint == "give them one name: --dim p=s"
    with pytest.raises(UndecidedSize) as error:
        same_size(7, s)
    assert error.value.hint == "bind it: --dim s=7"
    with pytest.raises(UndecidedSize) as error:
        same_size(s + 1, 7)
    assert error.value.hint == "bind it: --dim s=128"


def test_bounds_of_several_quotients() -> None:
    """What whole tiles leave over, in smaller tiles."""
    assert bounds(s // 3 - s // 6 * 2) == (0, 1)
    assert bounds((s + p) // 4 - (s + p) // 16 * 4) == (0, 3)
    assert bounds(-(-s // 6) - s // 6) == (0, 1)
    assert bounds(s // 2 - s // 3) == (0, 86)


def test_likely() -> None:
    assert likely(s * 2 + p) == 256 + 2048


def test_types_say_their_sizes() -> None:
    type = tensor_type(f32, (1, s + p, 384))
    text = "tensor<1x?x384xf32, #nn.sizes<1, p[0 to 2048] + s[1 to 512 likely 128], 384>>"
    assert str(type) == text
    assert Parser(context(), text).parse_type() == type
    assert shape_of(type) == (1, s + p, 384)
    assert str(tensor_type(f32, (1, 384))) == "tensor<1x384xf32>"


def test_names_that_are_no_identifiers() -> None:
    odd = Symbol('batch "size"', 1, 4).size
    assert size_text(odd) == r'"batch \"size\""[1 to 4]'
    assert Parser(context(), f"#nn.sizes<{size_text(odd)}>").parse_attribute() == SizesAttr((odd,))
