"""x^y, within 4 ulp: the exponent of the result has up to 8 bits before its point, so log2(x) needs 32 behind it."""

from __future__ import annotations

import math as pymath

from xdsl.dialects import math

from webdnn.lowering.target_wgsl.exponential import exp2_of_fraction, two_to
from webdnn.lowering.target_wgsl.float_bits import INFINITY_BITS, absolute, is_nan, upper_bits
from webdnn.lowering.target_wgsl.logarithm import LOG2_E, exponent_and_mantissa
from webdnn.lowering.target_wgsl.values import Value

_TWO_LOG2_E = (2.884765625, 2 * LOG2_E - 2.884765625)
"""2 / log(2) in two parts, the first of 12 bits."""


def _log2_in_parts(x: Value) -> tuple[Value, tuple[Value, Value]]:
    """Of a positive, finite x: e, and log2(m) as a number of 12 bits and what is left."""
    e, m = exponent_and_mantissa(x)
    # log(m) = 2 s + s^3 (...) with s = (m - 1) / (m + 1); s in two parts, by what is left of the division
    difference = m - 1.0
    total = m + 1.0
    s = difference / total
    s_upper, m_upper = upper_bits(s), upper_bits(m)
    left = (-s_upper).fma(m - m_upper, (-s_upper).fma(m_upper, difference - s_upper))
    s_lower = left / total
    square = s * s
    cubic = (s * square) * square.polynomial([0.23610519, 0.2853589, 0.40000355, 0.6666666])
    upper = s_upper * _TWO_LOG2_E[0]
    lower = s_upper.fma(_TWO_LOG2_E[1], (s_lower * 2.0 + cubic) * LOG2_E)
    coarse = upper_bits(upper + lower)
    return e, (coarse, (upper - coarse) + lower)


def powf(x: Value, y: Value) -> Value:
    a = absolute(x)
    e, (upper_log, lower_log) = _log2_in_parts(a)
    # x^y = 2^(y e + y log2(m)), with n the nearest integer. Of both the upper 12 bits are multiplied apart: these
    # products, and their sum less n, are exact. Beyond 4e9 the result does not depend on y (but for infinities, which
    # the bound keeps out).
    bounded = y.maximum(-4e9).minimum(4e9)
    upper = upper_bits(bounded)
    rest = (bounded - upper).fma(e + upper_log, bounded * lower_log)
    n = (
        (upper * e + (upper * upper_log + rest))
        .maximum(-200.0)
        .minimum(200.0)
        .apply(math.RoundEvenOp)
    )
    fraction = ((upper * e - n) + upper * upper_log) + rest
    mantissa = exp2_of_fraction(fraction.maximum(-1.0).minimum(1.0))
    exponent = n.to_integer()
    half = exponent >> 1
    magnitude = mantissa * two_to(half) * two_to(exponent - half)
    # Magnitude 0 or infinite: 0 or infinity by the sign of y.
    zero, infinite = a.equals(0.0), a.bits().equals(INFINITY_BITS)
    grows = (zero & (y < 0.0)) | (infinite & (y > 0.0))
    limit = grows.select(a.constant(pymath.inf), 0.0)
    magnitude = (zero | infinite).select(limit, magnitude)
    magnitude = a.equals(1.0).select(a, magnitude)
    # A negative base: its sign for an odd y, NaN for a fraction.
    integral = y.apply(math.FloorOp).equals(y)
    half_y = y * 0.5
    odd = integral & half_y.apply(math.FloorOp).differs(half_y)
    signed = (odd & (x.bits() < 0)).select(-magnitude, magnitude)
    no_root = (x < 0.0) & ~integral & ~infinite
    result = no_root.select(x.constant(pymath.nan), signed)
    result = (is_nan(x) | is_nan(y)).select(x + y, result)
    return (y.equals(0.0) | x.equals(1.0)).select(x.constant(1.0), result)
