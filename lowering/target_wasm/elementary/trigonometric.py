"""sin, cos and tan, and their inverses."""

from __future__ import annotations

import math
from collections.abc import Sequence

from webdnn.lowering import elementary_constants
from webdnn.lowering.target_wasm.elementary.builder import Num, fma, polynomial, where
from webdnn.lowering.target_wasm.elementary.formats import SINGLE, Format, format_of, widened
from webdnn.lowering.target_wasm.elementary.reduction import reduce_double, reduce_single

# (sin(r) / r - 1) / z and (cos(r) - 1 + z / 2) / z^2 in z = r^2, |r| <= pi / 4
_SIN_DOUBLE = (  # 2^-57.0
    -0.16666666666666632,
    0.00833333333332237,
    -0.00019841269829771097,
    2.7557313678647987e-06,
    -2.50507559593086e-08,
    1.5896666411296703e-10,
)
_COS_DOUBLE = (  # 2^-59.7
    0.0416666666666666,
    -0.0013888888888874064,
    2.4801587289443543e-05,
    -2.7557314340677814e-07,
    2.0875721626217735e-09,
    -1.1359559456330398e-11,
)
_ATAN = (  # (atan(t) / t - 1) / z in z = t^2, t <= tan(pi / 8): 2^-58.4
    -0.33333333333333326,
    0.1999999999999767,
    -0.14285714285388154,
    0.11111111088186162,
    -0.09090908144807693,
    0.07692282764538899,
    -0.06666226838527332,
    0.058770225423458146,
    -0.052184088752764146,
    0.04503566481015619,
    -0.03347482707737314,
    0.01519550250145584,
)
_ASIN = (  # (asin(t) / t - 1) / z in z = t^2, t <= 1/2: 2^-59.5
    0.16666666666666763,
    0.07499999999970094,
    0.04464285717529004,
    0.030381942675095103,
    0.022372215910872812,
    0.017351595415637192,
    0.013981019487097531,
    0.011397285754583389,
    0.010789359442523865,
    0.003672049444032186,
    0.021790957153567287,
    -0.021117132031158472,
    0.0327024051565951,
)


def _sin_cos(x: Num) -> tuple[Num, Num, Num]:
    """sin(r), cos(r) and the number of quarter turns, as an integer of the format's width."""
    if format_of(x) is SINGLE:
        r, quarters = reduce_single(x)
        return *_of_remainder(
            r.to_f32(), elementary_constants.SIN, elementary_constants.COS
        ), quarters
    r, quarters = reduce_double(x)
    return *_of_remainder(r, _SIN_DOUBLE, _COS_DOUBLE), quarters.extend_to_i64()


def _of_remainder(r: Num, sin: Sequence[float], cos: Sequence[float]) -> tuple[Num, Num]:
    z = r * r
    sine = fma(r * z, polynomial(z, sin), r)
    cosine = fma(z * z, polynomial(z, cos), fma(z, -0.5, 1.0))
    return sine, cosine


def _turned(value: Num, quarters: Num, fmt: Format) -> Num:
    """With its sign changed in the second half of a turn."""
    sign = (quarters & 2) << (fmt.int.width.data - 2)
    return (value.bitcast(fmt.int) ^ sign).bitcast(fmt.float)


def sin(x: Num) -> Num:
    """The sine of any angle, however large."""
    sine, cosine, quarters = _sin_cos(x)
    value = where((quarters & 1).equals(0), sine, cosine)
    # r of -0 is 0, because of the sums that make it.
    return where(x.equals(0.0), x, _turned(value, quarters, format_of(x)))


def cos(x: Num) -> Num:
    """The cosine of any angle, however large."""
    sine, cosine, quarters = _sin_cos(x)
    value = where((quarters & 1).equals(0), cosine, sine)
    return _turned(value, quarters + 1, format_of(x))


def tan(x: Num) -> Num:
    """The tangent of any angle, however large."""
    if format_of(x) is SINGLE:
        # The errors of sine, cosine and r would add up: double precision up to the quotient.
        r, quarters = reduce_single(x)
        sine, cosine = _of_remainder(r, elementary_constants.SIN, elementary_constants.COS)
    else:
        sine, cosine, quarters = _sin_cos(x)
    odd = (quarters & 1).differs(0)
    value = where(odd, cosine, sine) / where(odd, -sine, cosine)
    value = value.to_f32() if format_of(x) is SINGLE else value
    return where(x.equals(0.0), x, value)


def atan(x: Num) -> Num:
    """The angle whose tangent is x. (Single precision computes in double.)"""
    return widened(_atan, x)


def _atan(x: Num) -> Num:
    size = x.abs()
    steep = size > 1.0
    t = where(steep, 1 / size, size)
    # Of tan(pi/8) < t <= 1 the angle beyond pi/4 is left.
    middle = t > math.tan(math.pi / 8)
    t = where(middle, (t - 1) / (t + 1), t)
    z = t * t
    angle = fma(t * z, polynomial(z, _ATAN), t)
    angle = where(middle, (angle + 3.061616997868383e-17) + math.pi / 4, angle)
    angle = where(steep, (6.123233995736766e-17 - angle) + math.pi / 2, angle)
    return angle.copysign(x)


def atan2(y: Num, x: Num) -> Num:
    """The angle of the point (x, y). (Single precision computes in double.)"""
    fmt = format_of(y)
    if fmt is SINGLE:
        return atan2(y.to_f64(), x.to_f64()).to_f32()
    high, wide = y.abs(), x.abs()
    both_zero = (high + wide).equals(0.0)
    both_infinite = (high.minimum(wide)).equals(float("inf"))
    slope = where(both_zero, high, high / wide)
    angle = _atan(where(both_infinite, slope.constant(1.0), slope))
    behind = x.bitcast(fmt.int) < 0
    angle = where(behind, (1.2246467991473532e-16 - angle) + math.pi, angle)
    return angle.copysign(y)


def asin(x: Num) -> Num:
    """The angle whose sine is x; NaN for |x| > 1. (Single precision computes in double.)"""
    return widened(_asin, x)


def _asin_near_zero(x: Num) -> tuple[Num, Num]:
    """Whether |x| is more than a half, and the arc sine of |x|, or else of sqrt((1 - |x|) / 2): half its complement."""
    size = x.abs()
    outer = size > 0.5
    half = (1 - size) * 0.5
    z = where(outer, half, size * size)
    t = where(outer, half.sqrt(), size)
    return outer, fma(t * z, polynomial(z, _ASIN), t)


def _asin(x: Num) -> Num:
    outer, angle = _asin_near_zero(x)
    angle = where(outer, (6.123233995736766e-17 - angle * 2) + math.pi / 2, angle)
    return angle.copysign(x)


def acos(x: Num) -> Num:
    """The angle whose cosine is x; NaN for |x| > 1. (Single precision computes in double.)"""
    return widened(_acos, x)


def _acos(x: Num) -> Num:
    outer, angle = _asin_near_zero(x)
    near = angle * 2
    near = where(x > 0.0, near, (1.2246467991473532e-16 - near) + math.pi)
    return where(outer, near, (6.123233995736766e-17 - angle.copysign(x)) + math.pi / 2)
