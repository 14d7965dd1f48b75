"""Logarithms: `log(x) = e log(2) + log(m)`, where x = 2^e * m and m lies in [sqrt(1/2), sqrt(2))."""

from __future__ import annotations

import math as pymath

from webdnn.lowering.target_wgsl.float_bits import INFINITY_BITS
from webdnn.lowering.target_wgsl.values import Value

_LN2 = (0.69287109375, 2.760868228506297e-4)
"""log(2) in two parts; the product of the first with any exponent is exact."""

LOG2_E = 1.0 / pymath.log(2.0)


def exponent_and_mantissa(x: Value) -> tuple[Value, Value]:
    """Of a positive, finite x: e and m, where x = 2^e * m and m lies in [sqrt(1/2), sqrt(2))."""
    subnormal = x < pymath.ldexp(1.0, -126)
    bits = subnormal.select(x * pymath.ldexp(1.0, 23), x).bits()
    # Subtracting the bits of sqrt(1/2) moves the exponent's border to there.
    shifted = bits - 0x3F3504F3
    exponent = shifted >> 23
    mantissa = (bits - (exponent << 23)).from_bits()
    e = (exponent - subnormal.select(exponent.constant(23), 0)).to_float()
    return e, mantissa


def _log_parts(x: Value) -> tuple[Value, Value]:
    """e and log(m)."""
    e, mantissa = exponent_and_mantissa(x)
    return e, _log_of_quotient(mantissa - 1.0, mantissa + 1.0)


def _log_of_quotient(difference: Value, total: Value) -> Value:
    """log(a / b) from a - b and a + b, where a / b lies in [sqrt(1/2), sqrt(2)]."""
    s = difference / total
    square = s * s
    return (s * square).fma(
        square.polynomial([0.23610519, 0.2853589, 0.40000355, 0.6666666]), s + s
    )


def _log_special_cases(x: Value, result: Value) -> Value:
    bits = x.bits()
    negative_or_not_finite = (bits < 0) | (bits >= INFINITY_BITS)
    special = bits.equals(INFINITY_BITS).select(x, pymath.nan)
    result = negative_or_not_finite.select(special, result)
    return (bits & 0x7FFFFFFF).equals(0).select(x.constant(-pymath.inf), result)


def log(x: Value) -> Value:
    e, log_m = _log_parts(x)
    result = e.fma(_LN2[0], e.fma(_LN2[1], log_m))
    return _log_special_cases(x, result)


def log2(x: Value) -> Value:
    e, log_m = _log_parts(x)
    return _log_special_cases(x, log_m.fma(LOG2_E, e))


def log10(x: Value) -> Value:
    e, log_m = _log_parts(x)
    # log10(2) in two parts, the first of 11 bits.
    result = e.fma(0.30102539, e.fma(4.605039e-6, log_m * (1.0 / pymath.log(10.0))))
    return _log_special_cases(x, result)


def log1p(x: Value) -> Value:
    # log(1 + x) = log(a / b) with a - b = x and a + b = 2 + x.
    near = _log_of_quotient(x, x + 2.0)
    return ((x > -0.29) & (x < 0.41)).select(near, log(x + 1.0))
