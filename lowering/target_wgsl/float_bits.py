"""Questions about an f32 that its bits answer, since shader compilers may assume that there is no NaN or infinity."""

from __future__ import annotations

from xdsl.dialects import math

from webdnn.lowering.target_wgsl.values import Value

INFINITY_BITS = 0x7F800000


def magnitude_bits(x: Value) -> Value:
    """All bits but the sign, as an integer."""
    return x.bits() & 0x7FFFFFFF


def is_nan(x: Value) -> Value:
    """Whether a value is NaN."""
    return magnitude_bits(x) > INFINITY_BITS


def absolute(x: Value) -> Value:
    return x.apply(math.AbsFOp)


def copy_sign(magnitude: Value, sign: Value) -> Value:
    """The magnitude of one value with the sign of the other."""
    return (magnitude_bits(magnitude) | (sign.bits() & -0x80000000)).from_bits()


def upper_bits(x: Value) -> Value:
    """The number cut to the upper 12 bits of its fraction: the product of two such is exact."""
    return (x.bits() & -0x1000).from_bits()
