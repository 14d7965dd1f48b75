"""Mathematical functions in f32 out of arithmetic that every WebGPU device does well.

WGSL promises little of its built-in functions: an absolute error of 2^-11 for `sin`, 4096 ulp for
`atan`, 2^-21 for `log` near 1, and `tanh` overflows on some devices. What is here is accurate to
about 2e-7 relative, with the special cases of IEEE 754, and is built from addition, multiplication,
division, `sqrt` and operations on bits. The polynomials are minimax fits of
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
from webdnn.lowering.target_wgsl.exponential import exp, exp2, half_exp
from webdnn.lowering.target_wgsl.float_bits import (
    INFINITY_BITS,
    absolute,
    copy_sign,
    is_nan,
)
from webdnn.lowering.target_wgsl.logarithm import log, log1p, log2, log10
from webdnn.lowering.target_wgsl.power import powf
from webdnn.lowering.target_wgsl.remainder import remainder
from webdnn.lowering.target_wgsl.trigonometric import cos, sin, tan
from webdnn.lowering.target_wgsl.values import Value


def _sqrt(x: Value) -> Value:
    return x.apply(math.SqrtOp)


def tanh(x: Value) -> Value:
    a = absolute(x)
    square = x * x
    small = (x * square).fma(
        square.polynomial([-0.005717086, 0.020650616, -0.053743504, 0.13331491, -0.33333284]), x
    )
    # tanh is 1 in f32 from 9.02 on; the bound keeps exp from overflowing.
    large = 1.0 - 2.0 / (exp(a.minimum(10.0) * 2.0) + 1.0)
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
    large = 1.0 - exp(log_erfc)
    return is_nan(x).select(x, (a < 1.0).select(small, copy_sign(large, x)))


def expm1(x: Value) -> Value:
    near = (x * x).fma(
        x.polynomial(
            [1.9991277e-4, 0.0013997483, 0.0083330795, 0.041665316, 0.16666669, 0.50000006]
        ),
        x,
    )
    return (absolute(x) < 0.5).select(near, exp(x) - 1.0)


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
    infinite = largest.bits().equals(INFINITY_BITS)
    scaled_a = infinite.select(a.bits().equals(INFINITY_BITS).select(a.constant(1.0), 0.0), a)
    scaled_b = infinite.select(b.bits().equals(INFINITY_BITS).select(b.constant(1.0), 0.0), b)
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
    half = half_exp(a)
    large = half - 0.25 / half
    return (a < 1.0).select(small, copy_sign(large, x))


def cosh(x: Value) -> Value:
    half = half_exp(absolute(x))
    return half + 0.25 / half


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


def cbrt(x: Value) -> Value:
    a = absolute(x)
    # A third of the exponent is a guess within 6 %; each Newton step squares the error.
    guess = ((a.bits() // 3) + 0x2A5137A0).from_bits()
    for _ in range(3):
        guess = guess - (guess - a / (guess * guess)) * (1.0 / 3.0)
    special = a.equals(0.0) | (a.bits() >= INFINITY_BITS)
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
    rounded = (magnitude >= 0x477FF000).select(rounded.constant(INFINITY_BITS), rounded)
    rounded = (magnitude > INFINITY_BITS).select(magnitude, rounded)
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
    math.Exp2Op: exp2,
    math.ExpM1Op: expm1,
    math.ExpOp: exp,
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
"""The operations that become calls; `sqrt`, `rsqrt` and the roundings are built in."""

BRANCHING: tuple[type[Operation], ...] = (math.CosOp, math.SinOp, math.TanOp)
"""Those that branch, and so take one number at a time."""
