"""The remainder of floats (`arith_ext.remf`), exactly, in arithmetic on the integers that their bits are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from xdsl.dialects import math
from xdsl.dialects.builtin import IntegerType

from webdnn.lowering.value_notation import Value

V = TypeVar("V", bound=Value[Any])
Repeat = Callable[[V, V, Callable[[V], V]], V]
"""Applies a function to a value (the second) as often as an integer (the first) says, in a loop; to lanes of vectors as
often as the lanes of the first say."""


def remainder_bits(x: V, y: V, *, mantissa: int, exponent: int, repeat: Repeat[V]) -> V:
    """The bits of the remainder of two floats, from theirs.

    Long division of the mantissas by as many bits at a time as the integers have to spare: an integer of 32 bits and
    floats of 32 bits take up to 35 steps, integers of 64 bits 7 steps, and 191 where the floats have 64 bits too.

    Args:
        x, y: integers, or vectors of them, in whose low bits the floats are.
        mantissa, exponent: bits of the floats' fields.
    """
    assert isinstance(x.element, IntegerType)
    sign = 1 << (mantissa + exponent)
    infinity = sign - (1 << mantissa)
    spare = x.element.width.data - mantissa - 1
    a, b = x & (sign - 1), y & (sign - 1)
    # the mantissa of a number below the normal ones is the same whole number of the least unit
    a_exponent = a.shift_right_logical(mantissa).maximum(1)
    b_exponent = b.shift_right_logical(mantissa).maximum(1)
    a_mantissa = a - ((a_exponent - 1) << mantissa)
    divisor = (b - ((b_exponent - 1) << mantissa)).maximum(1)

    def reduced(value: V, shift: V | int) -> V:
        return (value << shift).remainder_unsigned(divisor)

    places = (a_exponent - b_exponent).maximum(0)
    times = places.divide_unsigned(spare)
    rest = reduced(a_mantissa, places - times * spare)
    rest = repeat(times, rest, lambda value: reduced(value, spare))
    zeros = rest.apply(math.CountLeadingZerosOp) - spare
    shift = (zeros < b_exponent - 1).select(zeros, b_exponent - 1)
    bits = (rest << shift) + ((b_exponent - shift - 1) << mantissa)
    bits = rest.equals(0).select(rest, bits)
    bits = (a < b).select(a, bits) | (x & sign)
    undefined = (a >= infinity) | (b > infinity) | b.equals(0)
    return undefined.select(bits.constant(infinity | (1 << (mantissa - 1))), bits)
