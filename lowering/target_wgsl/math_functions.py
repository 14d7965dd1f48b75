"""Mathematical functions in f32 out of arithmetic that every WebGPU device does well.

WGSL promises little of its built-in functions: an absolute error of 2^-11 for `sin`, 4096 ulp for
`atan`, 2^-21 for `log` near 1, and `tanh` overflows on some devices. What is here is accurate to
about 2e-7 relative, with the special cases of IEEE 754, and is built from addition, multiplication,
division, `sqrt`, `exp` (3 + 2|x| ulp) and operations on bits. The polynomials are minimax fits of
our own; infinities and NaN are told by their bits, since shader compilers may assume that there are
none.

Each function takes f32 values (scalars or vectors) and emits its result.
"""

from __future__ import annotations

import math as pymath
from collections.abc import Callable

from xdsl.dialects import math
from xdsl.ir import Operation

from webdnn.dialects import arith_ext
from webdnn.lowering.target_wgsl.remainder import remainder
from webdnn.lowering.target_wgsl.values import Value

_HALF_PI = (1.5703125, 4.837512969970703e-4, 7.549790126404332e-8)
"""pi / 2 in three parts; the first two have 11 bits, so that their products with small integers are exact."""

_LN2 = (0.69287109375, 2.760868228506297e-4)
_LOG2_E = 1.0 / pymath.log(2.0)
_INFINITY_BITS = 0x7F800000


def _magnitude_bits(x: Value) -> Value:
    return x.bits() & 0x7FFFFFFF


def is_nan(x: Value) -> Value:
    """Whether a value is NaN, told by its bits."""
    return _magnitude_bits(x) > _INFINITY_BITS


def absolute(x: Value) -> Value:
    return x.apply(math.AbsFOp)


def copy_sign(magnitude: Value, sign: Value) -> Value:
    """The magnitude of one value with the sign of the other."""
    return (_magnitude_bits(magnitude) | (sign.bits() & -0x80000000)).from_bits()


def _exp(x: Value) -> Value:
    return x.apply(math.ExpOp)


def _sqrt(x: Value) -> Value:
    return x.apply(math.SqrtOp)


def tanh(x: Value) -> Value:
    a = absolute(x)
    square = x * x
    small = (x * square).fma(
        square.polynomial([-0.005717086, 0.020650616, -0.053743504, 0.13331491, -0.33333284]), x
    )
    # tanh is 1 in f32 from 9.02 on; the bound keeps exp from overflowing.
    large = 1.0 - 2.0 / (_exp(a.minimum(10.0) * 2.0) + 1.0)
    return is_nan(x).select(x, (a < 0.625).select(small, copy_sign(large, x)))


def erf(x: Value) -> Value:
    a = absolute(x)
    square = x * x
    small = x * square.polynomial(
        [7.889105e-5, -8.0208364e-4, 0.0051895347, -0.026854444, 0.112836, -0.37612626, 1.1283791]
    )
    bounded = a.minimum(4.0)
    log_erfc = bounded.polynomial(
        [1.8786329e-4, -0.002963057, 0.021903113, -0.10325001, -0.6379712, -1.1271989, -3.131806e-4]
    )
    large = 1.0 - _exp(log_erfc)
    return is_nan(x).select(x, (a < 1.0).select(small, copy_sign(large, x)))


def _log_parts(x: Value) -> tuple[Value, Value]:
    """Of a positive, finite x: e and log(m), where x = 2^e * m and m lies in [sqrt(1/2), sqrt(2))."""
    subnormal = x < pymath.ldexp(1.0, -126)
    bits = subnormal.select(x * pymath.ldexp(1.0, 23), x).bits()
    # Subtracting the bits of sqrt(1/2) moves the exponent's border to there.
    shifted = bits - 0x3F3504F3
    exponent = shifted >> 23
    mantissa = (bits - (exponent << 23)).from_bits()
    e = (exponent - subnormal.select(exponent.constant(23), 0)).to_float()
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
    negative_or_not_finite = (bits < 0) | (bits >= _INFINITY_BITS)
    special = bits.equals(_INFINITY_BITS).select(x, pymath.nan)
    result = negative_or_not_finite.select(special, result)
    return (bits & 0x7FFFFFFF).equals(0).select(x.constant(-pymath.inf), result)


def log(x: Value) -> Value:
    e, log_m = _log_parts(x)
    result = e.fma(_LN2[0], e.fma(_LN2[1], log_m))
    return _log_special_cases(x, result)


def log2(x: Value) -> Value:
    e, log_m = _log_parts(x)
    return _log_special_cases(x, log_m.fma(_LOG2_E, e))


def log10(x: Value) -> Value:
    e, log_m = _log_parts(x)
    # log10(2) in two parts, the first of 11 bits.
    result = e.fma(0.30102539, e.fma(4.605039e-6, log_m * (1.0 / pymath.log(10.0))))
    return _log_special_cases(x, result)


def log1p(x: Value) -> Value:
    # log(1 + x) = log(a / b) with a - b = x and a + b = 2 + x.
    near = _log_of_quotient(x, x + 2.0)
    return ((x > -0.29) & (x < 0.41)).select(near, log(x + 1.0))


def expm1(x: Value) -> Value:
    near = (x * x).fma(
        x.polynomial(
            [1.9991277e-4, 0.0013997483, 0.0083330795, 0.041665316, 0.16666669, 0.50000006]
        ),
        x,
    )
    return (absolute(x) < 0.5).select(near, _exp(x) - 1.0)


def _reduce_by_half_pi(x: Value) -> tuple[Value, Value]:
    """r in [-pi/4, pi/4] and the integer n where x = r + n * pi / 2."""
    n = (x * (2.0 / pymath.pi)).apply(math.RoundEvenOp)
    r = x
    for part in _HALF_PI:
        r = n.fma(-part, r)
    return r, n.to_integer()


def _sin_cos(r: Value) -> tuple[Value, Value]:
    """sin and cos of r in [-pi/4, pi/4]."""
    square = r * r
    sine = (r * square).fma(square.polynomial([-1.9514031e-4, 0.008332155, -0.16666655]), r)
    cosine = (square * square).fma(
        square.polynomial([2.4434843e-5, -0.0013887337, 0.041666646]), square.fma(-0.5, 1.0)
    )
    return sine, cosine


def _quadrant(r: Value, n: Value) -> Value:
    sine, cosine = _sin_cos(r)
    value = (n & 1).equals(0).select(sine, cosine)
    return (value.bits() ^ ((n & 2) << 30)).from_bits()


def sin(x: Value) -> Value:
    r, n = _reduce_by_half_pi(x)
    return _quadrant(r, n)


def cos(x: Value) -> Value:
    r, n = _reduce_by_half_pi(x)
    return _quadrant(r, n + 1)


def tan(x: Value) -> Value:
    r, n = _reduce_by_half_pi(x)
    sine, cosine = _sin_cos(r)
    return (n & 1).equals(0).select(sine / cosine, -cosine / sine)


def _asin_near(x: Value) -> Value:
    """asin of x in [-1/2, 1/2]."""
    square = x * x
    return (x * square).fma(
        square.polynomial([0.042216357, 0.024148794, 0.045476895, 0.07495243, 0.16666754]), x
    )


def asin(x: Value) -> Value:
    a = absolute(x)
    far = pymath.pi / 2 - 2.0 * _asin_near(_sqrt((1.0 - a) * 0.5))
    return (a < 0.5).select(_asin_near(x), copy_sign(far, x))


def acos(x: Value) -> Value:
    a = absolute(x)
    near = pymath.pi / 2 - _asin_near(x)
    far = 2.0 * _asin_near(_sqrt((1.0 - a) * 0.5))
    return (a < 0.5).select(near, (x < 0.0).select(pymath.pi - far, far))


def _atan_positive(numerator: Value, denominator: Value) -> Value:
    """atan(numerator / denominator), both positive (or one of them 0)."""
    # Three ranges: below tan(pi/8), up to tan(3 pi/8), above.
    above = numerator > denominator * 2.4142135
    middle = numerator > denominator * 0.41421357
    top = above.select(-denominator, middle.select(numerator - denominator, numerator))
    bottom = above.select(numerator, middle.select(numerator + denominator, denominator))
    start = above.select(
        top.constant(pymath.pi / 2), middle.select(top.constant(pymath.pi / 4), 0.0)
    )
    t = top / bottom
    square = t * t
    polynomial = square.polynomial([0.08060181, -0.13879806, 0.19977921, -0.33332956])
    return start + (t * square).fma(polynomial, t)


def atan(x: Value) -> Value:
    a = absolute(x)
    # Beyond 1e10 the result is pi / 2 in f32; the bound keeps infinities out of the quotient.
    result = _atan_positive(a.minimum(1e10), x.constant(1.0))
    return is_nan(x).select(x, copy_sign(result, x))


def atan2(y: Value, x: Value) -> Value:
    a, b = absolute(y), absolute(x)
    # Both scaled alike, so that neither overflows, and infinities become 1.
    largest = a.maximum(b)
    infinite = largest.bits().equals(_INFINITY_BITS)
    scaled_a = infinite.select(a.bits().equals(_INFINITY_BITS).select(a.constant(1.0), 0.0), a)
    scaled_b = infinite.select(b.bits().equals(_INFINITY_BITS).select(b.constant(1.0), 0.0), b)
    both_zero = largest.equals(0.0)
    angle = _atan_positive(scaled_a, both_zero.select(b.constant(1.0), scaled_b))
    mirrored = (x.bits() < 0).select(pymath.pi - angle, angle)
    return (is_nan(x) | is_nan(y)).select(x + y, copy_sign(mirrored, y))


def sinh(x: Value) -> Value:
    a = absolute(x)
    square = x * x
    small = (x * square).fma(
        square.polynomial([2.8174393e-6, 1.9836066e-4, 0.0083333505, 0.16666667]), x
    )
    # exp(a / 2) twice, because exp(a) overflows before sinh(a) does.
    root = _exp(a * 0.5)
    large = (root * 0.5) * root - (0.5 / root) / root
    return (a < 1.0).select(small, copy_sign(large, x))


def cosh(x: Value) -> Value:
    root = _exp(absolute(x) * 0.5)
    return (root * 0.5) * root + (0.5 / root) / root


def asinh(x: Value) -> Value:
    a = absolute(x)
    bounded = a.minimum(1e10)
    square = bounded * bounded
    near = log1p(bounded + square / (_sqrt(square + 1.0) + 1.0))
    far = log(a) + pymath.log(2.0)
    return copy_sign((a < 1e10).select(near, far), x)


def acosh(x: Value) -> Value:
    t = x.minimum(1e10) - 1.0
    near = log1p(t + _sqrt(t * (t + 2.0)))
    far = log(x) + pymath.log(2.0)
    result = (x < 1e10).select(near, far)
    return (x < 1.0).select(x.constant(pymath.nan), result)


def atanh(x: Value) -> Value:
    a = absolute(x)
    return copy_sign(0.5 * log1p((a + a) / (1.0 - a)), x)


def _two_to(n: Value) -> Value:
    """2^n for an integer n in [-126, 127]."""
    return ((n + 127) << 23).from_bits()


def powf(x: Value, y: Value) -> Value:
    a = absolute(x)
    e, log_m = _log_parts(a)
    log2_m = log_m * _LOG2_E
    # x^y = 2^(y e + y log2(m)). The upper 12 bits of y times e is exact, and so is its difference to the integer n.
    # Beyond 4e9 the result does not depend on y (but for infinities, which the bound keeps out).
    bounded = y.maximum(-4e9).minimum(4e9)
    upper = (bounded.bits() & -0x1000).from_bits()
    rest = (bounded - upper).fma(e, bounded * log2_m)
    n = (upper * e + rest).maximum(-200.0).minimum(200.0).apply(math.RoundEvenOp)
    fraction = (upper * e - n) + rest
    fraction = fraction.maximum(-1.0).minimum(1.0)
    mantissa = fraction.polynomial(
        [1.534523e-4, 0.0013399902, 0.009618491, 0.05550329, 0.24022646, 0.6931472, 1.0]
    )
    exponent = n.to_integer()
    half = exponent >> 1
    magnitude = mantissa * _two_to(half) * _two_to(exponent - half)
    # Magnitude 0 or infinite: 0 or infinity by the sign of y.
    zero, infinite = a.equals(0.0), a.bits().equals(_INFINITY_BITS)
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


def cbrt(x: Value) -> Value:
    a = absolute(x)
    # A third of the exponent is a guess within 6 %; each Newton step squares the error.
    guess = ((a.bits() // 3) + 0x2A5137A0).from_bits()
    for _ in range(3):
        guess = guess - (guess - a / (guess * guess)) * (1.0 / 3.0)
    special = a.equals(0.0) | (a.bits() >= _INFINITY_BITS)
    return special.select(x, copy_sign(guess, x))


def round_half_away(x: Value) -> Value:
    """`math.round`: halves away from zero."""
    whole = x.apply(math.TruncOp)
    away = absolute(x - whole) >= 0.5
    return away.select(whole + copy_sign(x.constant(1.0), x), whole)


def round_to_f16(x: Value) -> Value:
    """The nearest value of f16 (ties to even), as an f32."""
    bits = x.bits()
    magnitude = bits & 0x7FFFFFFF
    # Ten bits of the fraction stay: round the other 13 away, ties to even.
    rounded = (magnitude + 0xFFF + ((magnitude >> 13) & 1)) & -0x2000
    # From 65520 on the nearest f16 is infinity.
    rounded = (magnitude >= 0x477FF000).select(rounded.constant(_INFINITY_BITS), rounded)
    rounded = (magnitude > _INFINITY_BITS).select(magnitude, rounded)
    # Below 2^-14 the f16 numbers are the multiples of 2^-24.
    tiny = (absolute(x) * pymath.ldexp(1.0, 24)).apply(math.RoundEvenOp) * pymath.ldexp(1.0, -24)
    rounded = (magnitude < 0x38800000).select(tiny.bits(), rounded)
    return (rounded | (bits & -0x80000000)).from_bits()


def round_to_bf16(x: Value) -> Value:
    """The nearest value of bf16 (ties to even), as an f32."""
    bits = x.bits()
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & -0x10000
    return is_nan(x).select(x, rounded.from_bits())


FUNCTIONS: dict[type[Operation], Callable[..., Value]] = {
    arith_ext.RemFOp: remainder,
    math.AcosOp: acos,
    math.AcoshOp: acosh,
    math.AsinOp: asin,
    math.AsinhOp: asinh,
    math.Atan2Op: atan2,
    math.AtanOp: atan,
    math.AtanhOp: atanh,
    math.CbrtOp: cbrt,
    math.CopySignOp: copy_sign,
    math.CosOp: cos,
    math.CoshOp: cosh,
    math.ErfOp: erf,
    math.ExpM1Op: expm1,
    math.Log10Op: log10,
    math.Log1pOp: log1p,
    math.Log2Op: log2,
    math.LogOp: log,
    math.PowFOp: powf,
    math.RoundOp: round_half_away,
    math.SinOp: sin,
    math.SinhOp: sinh,
    math.TanOp: tan,
    math.TanhOp: tanh,
}
"""The operations that become calls; `exp`, `exp2`, `sqrt`, `rsqrt` and the roundings are built in."""
