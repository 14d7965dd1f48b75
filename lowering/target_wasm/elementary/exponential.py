"""exp and its kin, in both precisions: `e^x = 2^k * e^r` with an integer k and |r| <= log(2) / 2."""

from __future__ import annotations

import math

from webdnn.lowering.target_wasm.elementary.builder import Num, fma, polynomial, where
from webdnn.lowering.target_wasm.elementary.formats import Format, format_of

_LOG2_E = 1 / math.log(2)


def _reduce(x: Num, fmt: Format) -> tuple[Num, Num]:
    """The exponent k (an integer) and `e^r - 1`, for x in the range of exp."""
    shifted = fma(x, _LOG2_E, fmt.shifter)
    k = shifted - fmt.shifter
    r = fma(k, -fmt.ln2[1], fma(k, -fmt.ln2[0], x))
    return shifted.bitcast(fmt.int) - fmt.shifter_bits, _expm1_of_remainder(r, fmt)


def _expm1_of_remainder(r: Num, fmt: Format) -> Num:
    return fma(r * r, polynomial(r, fmt.exp), r)


def _scaled(y: Num, k: Num, fmt: Format) -> Num:
    """`y * 2^k` where 2^k itself may be out of range: in two steps, the last of which rounds."""
    half = k >> 1
    return y * fmt.scale(half) * fmt.scale(k - half)


def exp(x: Num) -> Num:
    """e^x."""
    fmt = format_of(x)
    k, p = _reduce(x.clamp(*fmt.exp_range), fmt)
    return _scaled(p + 1, k, fmt)


def exp_or_zero(x: Num) -> Num:
    """e^x, but 0 where that is below the normal numbers, and infinity from half of the greatest number on."""
    fmt = format_of(x)
    # rounded so that the low bits are the exponent's field: that of 0 at the lower end, of infinity at the upper
    shifter = fmt.shifter + fmt.bias
    low, high = -(fmt.bias - 0.1) * math.log(2), (fmt.bias + 1.2) * math.log(2)
    x = x.clamp(low, high)
    shifted = fma(x, _LOG2_E, shifter)
    k = shifted - shifter
    r = fma(k, -fmt.ln2[1], fma(k, -fmt.ln2[0], x))
    scale = (shifted.bitcast(fmt.int) << fmt.mantissa).bitcast(fmt.float)
    return (_expm1_of_remainder(r, fmt) + 1) * scale


def exp_of_moderate(x: Num) -> Num:
    """e^x where the result is a normal number."""
    fmt = format_of(x)
    k, p = _reduce(x, fmt)
    return (p + 1) * fmt.scale(k)


def exp2(x: Num) -> Num:
    """2^x."""
    fmt = format_of(x)
    x = x.clamp(-fmt.bias - fmt.mantissa - 2, fmt.bias + 2)
    shifted = x + fmt.shifter
    r = (x - (shifted - fmt.shifter)) * math.log(2)
    k = shifted.bitcast(fmt.int) - fmt.shifter_bits
    return _scaled(_expm1_of_remainder(r, fmt) + 1, k, fmt)


def expm1(x: Num) -> Num:
    """e^x - 1, accurate near 0."""
    fmt = format_of(x)
    low = -(fmt.mantissa + 3) * math.log(2)  # below it the result is -1
    k, p = _reduce(x.clamp(low, fmt.exp_range[1]), fmt)
    # Half of 2^k, which is a number even where 2^k is not.
    half = fmt.scale(k - 1)
    result = fma(half, p, half - 0.5)
    return (result + result).copysign(x)


def tanh(x: Num) -> Num:
    """tanh(x) = (e^2x - 1) / (e^2x + 1)."""
    fmt = format_of(x)
    bound = (fmt.mantissa + 3) * math.log(2) / 2  # beyond it the result is 1
    t = expm1(x.clamp(-bound, bound) * 2)
    return t / (t + 2)


def sinh(x: Num) -> Num:
    """(e^x - e^-x) / 2."""
    size = x.abs()
    t = expm1(size)
    usual = (t + t / (t + 1)) * 0.5
    return where(size < _half_overflow(x), usual, _half_exp(size)).copysign(x)


def cosh(x: Num) -> Num:
    """(e^x + e^-x) / 2."""
    size = x.abs()
    e = exp(size)
    usual = e * 0.5 + 0.5 / e
    return where(size < _half_overflow(x), usual, _half_exp(size))


def _half_overflow(x: Num) -> float:
    return format_of(x).exp_range[1] - 3


def _half_exp(size: Num) -> Num:
    """e^x / 2, where e^x may be out of range and its half not."""
    root = exp(size * 0.5)
    return root * 0.5 * root
