"""Powers and roots."""

from __future__ import annotations

import math

from xdsl.dialects.builtin import IntegerType, f64, i64

from webdnn.lowering.target_wasm.elementary.builder import Num, polynomial, where
from webdnn.lowering.target_wasm.elementary.exponential import exp, exp2
from webdnn.lowering.target_wasm.elementary.formats import DOUBLE, SINGLE, format_of, widened
from webdnn.lowering.target_wasm.elementary.logarithm import log2, split
from webdnn.lowering.value_notation import element_type

_TAIL = (  # (log((1 + s) / (1 - s)) - 2 s - 2/3 s^3) / s^5 in z = s^2: 2^-65.6 in the logarithm
    0.4,
    0.28571428571428376,
    0.22222222222291066,
    0.18181818169176306,
    0.15384616760184186,
    0.13333240055887988,
    0.11768686049615784,
    0.10422688598436936,
    0.11014904837688415,
)


def pow(x: Num, y: Num) -> Num:
    """x^y, with the special cases of IEEE 754. (Single precision computes in double.)"""
    size = x.abs()
    if format_of(x) is SINGLE:
        # |y log2(x)| is at most 150 where the result is a number: plain double precision is plenty.
        exponent = y.to_f64() * log2(size.to_f64())
        exponent = where(size.equals(1.0), exponent.constant(0.0), exponent)
        power = exp2(exponent).to_f32()
    else:
        power = _pow_double(size, y)
    return _signed(x, y, power)


def _signed(x: Num, y: Num, power: Num) -> Num:
    """From |x|^y to x^y."""
    fmt = format_of(x)
    half = y * 0.5
    integral = y.floor().equals(y)
    odd = integral & half.floor().differs(half)
    negative = x.bitcast(fmt.int) < 0
    result = where(negative & odd, -power, power)
    no_root = (x < 0.0) & y.floor().differs(y) & (x > -math.inf)
    result = where(no_root, result.constant(math.nan), result)
    return where(y.equals(0.0) | x.equals(1.0), result.constant(1.0), result)


def _two_sum(a: Num, b: Num) -> tuple[Num, Num]:
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _fast_two_sum(a: Num, b: Num) -> tuple[Num, Num]:
    """For |a| >= |b|."""
    total = a + b
    return total, b - (total - a)


def _halves(a: Num) -> tuple[Num, Num]:
    """The leading 26 bits and the rest."""
    mask = -(1 << 27)
    high = (a.bitcast(DOUBLE.int) & mask).bitcast(DOUBLE.float)
    return high, a - high


def _two_product(a: Num, b: Num) -> tuple[Num, Num]:
    """The rounded product, and what the rounding lost (Dekker's way: there is no fused multiply-add)."""
    product = a * b
    (ah, al), (bh, bl) = _halves(a), _halves(b)
    return product, ((ah * bh - product) + ah * bl + al * bh) + al * bl


def _log_in_two_parts(x: Num) -> tuple[Num, Num]:
    """log(x) to about 2^-66 of its size, for positive numbers."""
    e, mantissa = split(x, DOUBLE)
    f = mantissa - 1
    g, g_low = _two_sum(mantissa, f.constant(1.0))
    # s = f / g in two parts
    s = f / g
    p, p_low = _two_product(s, g)
    s_low = ((f - p) - p_low - s * g_low) / g
    # s^2, and 2/3 s^3
    z, z_low = _two_product(s, s)
    z_low = z_low + s * s_low * 2
    third, third_low = 2 / 3, 3.700743415417188e-17
    u, u_low = _two_product(z, z.constant(third))
    u_low = u_low + (z * third_low + z_low * third)
    c, c_low = _two_product(u, s)
    c_low = c_low + (u * s_low + u_low * s)
    tail = s * z * z * polynomial(z, _TAIL)
    # e log(2) + 2 s + 2/3 s^3 + tail, the greatest first
    high, low = _two_sum(e * DOUBLE.ln2[0], s * 2)
    high, more = _two_sum(high, c)
    low = low + more + (e * DOUBLE.ln2[1] + (s_low * 2 + c_low + tail))
    return _fast_two_sum(high, low)


def _pow_double(size: Num, y: Num) -> Num:
    high, low = _log_in_two_parts(size)
    # Beyond these the result is 0 or infinity in any case, and the products stay numbers.
    bounded = y.clamp(-(2.0**64), 2.0**64)
    p, p_low = _two_product(bounded, high)
    p_low = p_low + bounded * low
    result = exp(p)
    # e^(p + p_low) = e^p (1 + p_low)
    finite = (result > 0.0) & (result < math.inf)
    result = where(finite, result + result * p_low, result)
    # log(0) and log(infinity) are not what the above makes of them; NaNs must stay.
    grows = y > 0.0
    at_zero = where(grows, size.constant(0.0), math.inf)
    at_infinity = where(grows, size.constant(math.inf), 0.0)
    result = where(size.equals(0.0), at_zero, result)
    result = where(size.equals(math.inf), at_infinity, result)
    unordered = size.compare("uno", y)
    return where(unordered, size + y, result)


def float_to_integer_power(x: Num, exponent: Num) -> Num:
    """x^exponent for an integer exponent of 32 bits, which double precision holds exactly."""
    assert element_type(exponent.type) != i64, "an exponent of 64 bits"
    wide = exponent.integer_to(f64)
    return pow(x.to_f64(), wide).to_f32() if format_of(x) is SINGLE else pow(x, wide)


def cbrt(x: Num) -> Num:
    """The cube root. (Single precision computes in double.)"""
    return widened(_cbrt, x)


def _cbrt(x: Num) -> Num:
    size = x.abs()
    t = exp2(log2(size) * (1 / 3))
    better = t - (t - size / (t * t)) * (1 / 3)
    usual = (size > 0.0) & (size < math.inf)
    return where(usual, better, size).copysign(x)


def rsqrt(x: Num) -> Num:
    """1 / sqrt(x)."""
    return 1 / x.sqrt()


def integer_power(base: Num, exponent: Num) -> Num:
    """base^exponent, modulo 2^width; a negative exponent gives the inverse rounded toward zero (of 0: 0)."""
    element = element_type(base.type)
    assert isinstance(element, IntegerType)
    result, square, left = base.constant(1), base, exponent
    for _ in range(element.width.data):
        result = where((left & 1).differs(0), result * square, result)
        square = square * square
        left = left.shift_right_logical(1)
    odd = (exponent & 1).differs(0)
    unit = where(base.equals(-1), where(odd, base.constant(-1), 1), where(base.equals(1), base, 0))
    return where(exponent < 0, unit, result)
