"""exp and exp2: `e^x = 2^n * e^r` with an integer n and |r| <= log(2) / 2.

The built-in functions of WGSL may be off by 3 + 2 |x| ulp, and are: by 63 ulp at -85. A NaN comes through, since it
meets no minimum or maximum.
"""

from __future__ import annotations

import math as pymath

from xdsl.dialects import math

from webdnn.lowering.elementary_constants import EXP
from webdnn.lowering.target_wgsl.values import Value

_LN2 = 0.693359375
"""log(2) in 10 bits, whose product with any exponent is exact."""

_LN2_REST = (-3645473, 2.0**-34)
"""What is missing of log(2), as an integer and its unit. Of two products with one float some compilers make one."""

_EXP2 = (1.534523e-4, 0.0013399902, 0.009618491, 0.05550329, 0.24022646, 0.6931472, 1.0)
"""2^x for |x| <= 1/2, the highest degree first."""


def exp(x: Value) -> Value:
    """e^x, within 2 ulp; numbers below the normal ones may be 0, if the device has none."""
    n, y = _exponent_and_rest(x, 129)
    return (x < -104.0).select(x.constant(0.0), _scaled(y, n))


def half_exp(x: Value) -> Value:
    """e^x / 2 of a number that is not negative, where e^x may be out of range and its half not."""
    n, y = _exponent_and_rest(x, 130)
    return _scaled(y, n - 1)


def exp_or_zero(x: Value) -> Value:
    """e^x, but 0 where that is below the normal numbers, and infinity from half of the greatest number on."""
    n, y = _exponent_and_rest(x, 128)
    # 2^128 is the bits of infinity
    return (x < -87.33).select(x.constant(0.0), y * two_to(n))


def _exponent_and_rest(x: Value, most: int) -> tuple[Value, Value]:
    """n and e^r."""
    exponent = _exponent(x * (1 / pymath.log(2)), most)
    n = exponent.to_integer()
    rest, unit = _LN2_REST
    r = (n * rest).to_float().fma(-unit, exponent.fma(-_LN2, x))
    return n, (r * r).fma(r.polynomial(EXP[::-1]), r) + 1.0


def exp2(x: Value) -> Value:
    """2^x."""
    n = _exponent(x, 129)
    result = _scaled(exp2_of_fraction(x - n), n.to_integer())
    return (x < -150.0).select(x.constant(0.0), result)


def _exponent(x: Value, most: int) -> Value:
    """The nearest integer, as a float. A number beyond `most` leaves so large a remainder that the result overflows."""
    return x.apply(math.RoundEvenOp).minimum(float(most))


def exp2_of_fraction(x: Value) -> Value:
    """2^x for x in [-1, 1]; best within [-1/2, 1/2]."""
    return x.polynomial(_EXP2)


def two_to(n: Value) -> Value:
    """2^n for an integer n in [-126, 127]."""
    return ((n + 127) << 23).from_bits()


def _scaled(y: Value, n: Value) -> Value:
    """`y * 2^n` where 2^n itself may be out of range: in two steps, the last of which rounds."""
    half = n >> 1
    return y * two_to(half) * two_to(n - half)
