"""Conversions between 16-bit floats and single precision, by arithmetic on their bits."""

from __future__ import annotations

from xdsl.dialects.builtin import BFloat16Type, f32, i16, i32
from xdsl.ir import Attribute

from webdnn.lowering.target_wasm.elementary.builder import Num, where

_INFINITY = 0x7F800000


def widen(x: Num) -> Num:
    """A 16-bit float in single precision (exact)."""
    bits = x.bitcast(i16).extend_to_i32()
    if isinstance(x.element, BFloat16Type):
        return (bits << 16).bitcast(f32)
    # The exponent is off by 112 then; the product puts it right, for subnormal numbers too.
    size = (bits & 0x7FFF) << 13
    value = (size.bitcast(f32) * 2.0**112).bitcast(i32)
    value = where(size >= 0x7C00 << 13, size | _INFINITY, value)
    return (value | ((bits & 0x8000) << 16)).bitcast(f32)


def narrow(x: Num, element: Attribute) -> Num:
    """A single-precision float to the nearest 16-bit one, ties to even."""
    bits = x.bitcast(i32)
    if isinstance(element, BFloat16Type):
        rounded = bits + 0x7FFF + (bits.shift_right_logical(16) & 1)
        rounded = where(x.differs(x), bits | 0x400000, rounded)
        return rounded.shift_right_logical(16).truncate_to_i16().bitcast(element)
    sign = bits.shift_right_logical(16) & 0x8000
    size = bits & 0x7FFFFFFF
    # Numbers that become normal: take 112 from the exponent and round (up to infinity, if need be).
    normal = (size - ((112 << 23) - 0xFFF) + ((size >> 13) & 1)) >> 13
    # Smaller ones: the addition of 1/2 shifts them to their place, and rounds.
    subnormal = (size.bitcast(f32) + 0.5).bitcast(i32) - (126 << 23)
    result = where(size < 113 << 23, subnormal, normal)
    result = where(
        size >= 143 << 23, where(size > _INFINITY, size.constant(0x7E00), 0x7C00), result
    )
    return (result | sign).truncate_to_i16().bitcast(element)


def to_f32_rounding_to_odd(x: Num) -> Num:
    """A double-precision float in single precision, such that rounding it again rounds `x` itself.

    Where the result is not exact, its last bit is 1: no later rounding then sees a tie that is none.
    """
    near = x.to_f32()
    bits = near.bitcast(i32)
    back = near.to_f64()
    below = back.abs() < x.abs()
    neighbour = bits + where(below, bits.constant(1), -1)
    inexact = (back < x) | (back > x)
    return where(inexact & (bits & 1).equals(0), neighbour, bits).bitcast(f32)
