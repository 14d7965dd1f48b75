"""log and its kin, in both precisions: `x = 2^e * (1 + f)` with sqrt(1/2) <= 1 + f < sqrt(2)."""

from __future__ import annotations

import math

from webdnn.lowering.target_wasm.elementary.builder import Num, fma, polynomial, where
from webdnn.lowering.target_wasm.elementary.formats import DOUBLE, SINGLE, Format, format_of

_ROOT_HALF_BITS = {SINGLE: 0x3F3504F3, DOUBLE: 0x3FE6A09E667F3BCD}

_SINGLE = (  # (log(1 + f) - f + f^2 / 2) / f^3: 2^-26.8
    0.3333333134651184,
    -0.250008225440979,
    0.20001254975795746,
    -0.16623207926750183,
    0.14201156795024872,
    -0.1316232830286026,
    0.12767209112644196,
    -0.07632671296596527,
)
_DOUBLE = (  # (log((1 + s) / (1 - s)) - 2 s) / s^3 in z = s^2: 2^-58.1
    0.6666666666666735,
    0.3999999999941111,
    0.2857142874325962,
    0.22222198476211436,
    0.18183569731450014,
    0.1531390339625954,
    0.14797506715509984,
)


def split(x: Num, fmt: Format) -> tuple[Num, Num]:
    """The exponent e (as a float) and 1 + f of a positive number; subnormal numbers too."""
    subnormal = x < fmt.least_normal
    normal = where(subnormal, x * 2.0**fmt.mantissa, x)
    bits = normal.bitcast(fmt.int)
    exponent = (bits - _ROOT_HALF_BITS[fmt]) >> fmt.mantissa
    mantissa = (bits - (exponent << fmt.mantissa)).bitcast(fmt.float)
    # An integer to a float, the inverse of what exp does.
    as_float = (exponent + fmt.shifter_bits).bitcast(fmt.float) - fmt.shifter
    return where(subnormal, as_float - fmt.mantissa, as_float), mantissa


def _log_parts(f: Num, fmt: Format) -> tuple[Num, Num]:
    """`log(1 + f) = f + y`, as f and y."""
    if fmt is SINGLE:
        square = f * f
        y = f * square * polynomial(f, _SINGLE)
        return f, fma(square, -0.5, y)
    s = f / (f + 2)
    z = s * s
    half_square = f * f * 0.5
    return f, s * (half_square + z * polynomial(z, _DOUBLE)) - half_square


def _with_special_cases(x: Num, result: Num) -> Num:
    """Of infinity infinity, of 0 minus infinity, of all that is not positive NaN."""
    infinity = float("inf")
    result = where(x < infinity, result, x)
    other = where(x.equals(0.0), x.constant(-infinity), float("nan"))
    return where(x > 0.0, result, other)


def log(x: Num) -> Num:
    """The natural logarithm."""
    fmt = format_of(x)
    e, mantissa = split(x, fmt)
    f, y = _log_parts(mantissa - 1, fmt)
    result = fma(e, fmt.ln2[0], fma(e, fmt.ln2[1], y) + f)
    return _with_special_cases(x, result)


def log2(x: Num) -> Num:
    """The logarithm to base 2."""
    fmt = format_of(x)
    e, mantissa = split(x, fmt)
    f, y = _log_parts(mantissa - 1, fmt)
    return _with_special_cases(x, fma(f + y, 1 / math.log(2), e))


def log10(x: Num) -> Num:
    """The logarithm to base 10."""
    fmt = format_of(x)
    e, mantissa = split(x, fmt)
    f, y = _log_parts(mantissa - 1, fmt)
    small = fma(f + y, 1 / math.log(10), e * fmt.log10_2[1])
    return _with_special_cases(x, fma(e, fmt.log10_2[0], small))


def log1p(x: Num) -> Num:
    """log(1 + x), accurate near 0: what the rounding of 1 + x loses is added."""
    total = x + 1
    lost = (x - (total - 1)) / total
    result = log(total) + lost
    # There is nothing to add at the ends (and 0 / 0 or infinity / infinity would be).
    usual = (x > -1.0) & (x < float("inf"))
    return where(usual, result, log(total)).copysign(x)


def asinh(x: Num) -> Num:
    """log(x + sqrt(x^2 + 1))."""
    size = x.abs()
    square = size * size
    usual = log1p(size + square / ((square + 1).sqrt() + 1))
    return where(size < 2.0**28, usual, log(size) + math.log(2)).copysign(x)


def acosh(x: Num) -> Num:
    """log(x + sqrt(x^2 - 1)); NaN for x < 1."""
    t = x - 1
    usual = log1p(t + t.sqrt() * (t + 2).sqrt())
    return where(x < 2.0**28, usual, log(x) + math.log(2))


def atanh(x: Num) -> Num:
    """log((1 + x) / (1 - x)) / 2; NaN for |x| > 1."""
    size = x.abs()
    return (log1p((size + size) / (1 - size)) * 0.5).copysign(x)
