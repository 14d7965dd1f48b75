"""Integer operations that WGSL lacks, in those that it has. Each takes values and emits its result."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.dialects import arith, math
from xdsl.ir import Operation

from webdnn.lowering.target_wgsl.values import Value


def floor_divide(x: Value, y: Value) -> Value:
    """Signed division that rounds down: one less than the truncated quotient where that was rounded up."""
    remainder = x % y
    rounded_up = remainder.differs(0) & (remainder ^ y).compare("slt", 0)
    return rounded_up.select(x // y - 1, x // y)


def ceil_divide(x: Value, y: Value) -> Value:
    """Signed division that rounds up."""
    remainder = x % y
    rounded_down = remainder.differs(0) & (remainder ^ y).compare("sge", 0)
    return rounded_down.select(x // y + 1, x // y)


def ceil_divide_unsigned(x: Value, y: Value) -> Value:
    """Unsigned division that rounds up."""
    quotient = x.divide_unsigned(y)
    return (quotient * y).differs(x).select(quotient + 1, quotient)


def integer_power(x: Value, y: Value) -> Value:
    """x^y by repeated squaring; a negative y gives 0 unless x is 1 or -1, as integer division would."""
    result = x.constant(1)
    square = x
    for bit in range(31):
        is_set = (y & (1 << bit)).differs(0)
        result = is_set.select(result * square, result)
        if bit < 30:
            square = square * square
    odd = (y & 1).differs(0)
    unit = x.equals(1).select(x.constant(1), x.equals(-1).select(odd.select(x, 1), 0))
    return (y < 0).select(unit, result)


def divide(x: Value, y: Value) -> Value:
    """Signed division; 0 where the divisor is 0."""
    return y.equals(0).select(x.constant(0), x // y)


def divide_unsigned(x: Value, y: Value) -> Value:
    """Unsigned division; 0 where the divisor is 0."""
    return y.equals(0).select(x.constant(0), x.divide_unsigned(y))


def remainder(x: Value, y: Value) -> Value:
    """The remainder with the sign of the dividend; 0 where the divisor is 0."""
    return y.equals(0).select(x.constant(0), x % y)


def remainder_unsigned(x: Value, y: Value) -> Value:
    """The remainder of unsigned division; 0 where the divisor is 0."""
    return y.equals(0).select(x.constant(0), x.remainder_unsigned(y))


DIVISIONS: dict[type[Operation], Callable[[Value, Value], Value]] = {
    arith.DivSIOp: divide,
    arith.DivUIOp: divide_unsigned,
    arith.RemSIOp: remainder,
    arith.RemUIOp: remainder_unsigned,
}
"""Operations that WGSL has, but in which the dividend divided by 0 is itself."""

INLINE: dict[type[Operation], Callable[..., Value]] = {
    arith.FloorDivSIOp: floor_divide,
    arith.CeilDivSIOp: ceil_divide,
    arith.CeilDivUIOp: ceil_divide_unsigned,
}
"""Operations that are expanded where they stand."""

CALLED: dict[type[Operation], Callable[..., Value]] = {math.IPowIOp: integer_power}
"""Operations that become calls of helper functions."""
