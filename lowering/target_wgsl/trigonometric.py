"""sin, cos and tan of any angle: what is left after whole quarter turns, then polynomials.

WGSL's own promise nothing outside of [-pi, pi], and an absolute error of 2^-11 inside.
"""

from __future__ import annotations

import math as pymath
from collections.abc import Callable

from xdsl.dialects import math, scf
from xdsl.dialects.builtin import f32, i32
from xdsl.ir import Block, Region

from webdnn.lowering.elementary_constants import COS, SIN, TWO_OVER_PI
from webdnn.lowering.target_wgsl.float_bits import INFINITY_BITS, absolute, magnitude_bits
from webdnn.lowering.target_wgsl.values import Emitter, Value

_HALF_PI = 1.5703125
"""pi / 2 in 11 bits, whose product with a number of 13 bits is exact."""

_HALF_PI_REST = (
    (2029, 2.0**-22),
    (1297, 2.0**-34),
    (1443, 2.0**-49),
    (1129, 2.0**-64),
)
"""What is missing of pi / 2, as integers of 11 bits and their units. Of several products with one float some compilers
make one."""

_LARGE = 12_000.0
"""From here on the number of quarter turns has more than 13 bits."""


def sin(x: Value) -> Value:
    r, n = _reduce(x)
    return _quadrant(r, n)


def cos(x: Value) -> Value:
    r, n = _reduce(x)
    return _quadrant(r, n + 1)


def tan(x: Value) -> Value:
    r, n = _reduce(x)
    sine, cosine = _sin_cos(r)
    return (n & 1).equals(0).select(sine / cosine, -cosine / sine)


def _sin_cos(r: Value) -> tuple[Value, Value]:
    """sin and cos of r in [-pi/4, pi/4]."""
    square = r * r
    sine = (r * square).fma(square.polynomial(SIN[::-1]), r)
    cosine = (square * square).fma(square.polynomial(COS[::-1]), square.fma(-0.5, 1.0))
    return sine, cosine


def _quadrant(r: Value, n: Value) -> Value:
    sine, cosine = _sin_cos(r)
    value = (n & 1).equals(0).select(sine, cosine)
    return (value.bits() ^ ((n & 2) << 30)).from_bits()


def _reduce(x: Value) -> tuple[Value, Value]:
    """r in [-pi/4, pi/4] and the integer n (whose last two bits count) where x = r + n * pi / 2; NaN of an infinity."""

    def branch(reduce: Callable[[Value], tuple[Value, Value]]) -> Region:
        block = Block()
        r, n = reduce(Emitter(block).value(x.ssa))
        block.add_op(scf.YieldOp(r.ssa, n.ssa))
        return Region(block)

    is_small = absolute(x) < _LARGE
    chosen = scf.IfOp(is_small.ssa, [f32, i32], branch(_reduce_small), branch(_reduce_large))
    x.emitter.insert(chosen)
    return x.emitter.value(chosen.output[0]), x.emitter.value(chosen.output[1])


def _reduce_small(x: Value) -> tuple[Value, Value]:
    nearest = (x * (2.0 / pymath.pi)).apply(math.RoundEvenOp)
    n = nearest.to_integer()
    r = nearest.fma(-_HALF_PI, x)
    for part, unit in _HALF_PI_REST:
        r = (n * part).to_float().fma(-unit, r)
    return r, n


def _reduce_large(x: Value) -> tuple[Value, Value]:
    """The same for large angles: the product with as many bits of 2 / pi as the exponent asks for (Payne and Hanek)."""
    bits = magnitude_bits(x)
    mantissa = (bits & 0x7FFFFF) | 0x800000
    # |x| = mantissa * 2^(exponent - 150): of 2 / pi, whose words begin 32 bits before the point, the bits before this
    # place make multiples of 4
    place = bits.shift_right_logical(23) - (150 + 2 - 32)
    word, shift = place >> 5, place & 31
    words = [_word(word, i) for i in range(4)]
    window = [
        (words[i] << shift) | words[i + 1].shift_right_logical(1).shift_right_logical(31 - shift)
        for i in range(3)
    ]
    # two bits of quarters, and 62 of a fraction
    middle, carried = _multiply(mantissa, window[1])
    low = middle + _multiply(mantissa, window[2])[1]
    carry = low.compare("ult", middle).select(low.constant(1), 0)
    high = mantissa * window[0] + carried + carry
    fraction, rest = (high << 2) | low.shift_right_logical(30), low << 2
    # the nearest quarter: a fraction of more than a half is one less, and negative
    over = fraction < 0
    n = high.shift_right_logical(30) + over.select(high.constant(1), 0)
    fraction, rest = over.select(~fraction, fraction), over.select(~rest, rest)
    size = fraction.to_float().fma(2.0**-32, _unsigned_to_float(rest) * 2.0**-64)
    r = size * (pymath.pi / 2)
    r = (
        r.bits() ^ ((over.select(bits.constant(-0x80000000), 0)) ^ (x.bits() & -0x80000000))
    ).from_bits()
    n = (x.bits() < 0).select(-n, n)
    r = (bits >= INFINITY_BITS).select(x.constant(pymath.nan), r)
    return r, n


def _word(number: Value, after: int) -> Value:
    """The word of 2 / pi at `number + after`."""
    # exponents from 140 (12,000) to 255 begin in words 0 to 4
    result = number.constant(_as_signed(TWO_OVER_PI[after]))
    for i in range(1, 5):
        result = number.equals(i).select(
            number.constant(_as_signed(TWO_OVER_PI[i + after])), result
        )
    return result


def _as_signed(word: int) -> int:
    return word - (word >> 31 << 32)


def _unsigned_to_float(x: Value) -> Value:
    """The float near a word without sign: its upper 31 bits are enough."""
    return x.shift_right_logical(1).to_float() * 2.0


def _multiply(a: Value, b: Value) -> tuple[Value, Value]:
    """The low and the high word of the product of a number of 24 bits and a word without sign."""
    upper, lower = b.shift_right_logical(16), b & 0xFFFF
    a_upper, a_lower = a.shift_right_logical(16), a & 0xFFFF
    first, second = a_lower * upper, a_upper * lower
    # added by halves, so that no sum overflows
    carry = (a_lower * lower).shift_right_logical(16) + (first & 0xFFFF) + (second & 0xFFFF)
    high = (
        a_upper * upper
        + first.shift_right_logical(16)
        + second.shift_right_logical(16)
        + carry.shift_right_logical(16)
    )
    return a * b, high
