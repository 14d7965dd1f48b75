"""Operations by which WGSL may lose a NaN or an infinity, in forms that keep them.

A shader compiler may assume that there are none, and drivers do where it pays: the maximum of a NaN and a number is
the number; `x - x`, `x * 0`, `0 / x`, `x / inf` and even `x / 0` are 0. What operations on bits say is exact
everywhere. All other arithmetic gives on all devices what the hardware gives, which is a NaN of a NaN.
"""

from __future__ import annotations

import math as pymath
from collections.abc import Callable

from xdsl.dialects import arith, vector
from xdsl.dialects.builtin import (
    DenseIntOrFPElementsAttr,
    Float16Type,
    FloatAttr,
    f32,
)
from xdsl.dialects.utils.fast_math import FastMathFlag
from xdsl.ir import Operation, SSAValue

from webdnn.lowering.target_wgsl.float_bits import INFINITY_BITS, is_nan, magnitude_bits
from webdnn.lowering.target_wgsl.values import Emitter, Value
from webdnn.lowering.value_notation import element_type, with_element

_RISKY = (arith.MaximumfOp, arith.MinimumfOp, arith.SubfOp, arith.MulfOp, arith.DivfOp)


def keep_nans(op: Operation, emitter: Callable[[], Emitter]) -> Value | None:
    """What an operation becomes, at the place that `emitter` gives; None where it stays."""
    if not isinstance(op, _RISKY):
        return None
    if FastMathFlag.NO_NANS in op.fastmath.data:
        return None
    match op:
        case arith.MaximumfOp() | arith.MinimumfOp():
            return _extremum(op, emitter())
        case arith.SubfOp() if op.lhs is op.rhs:
            return _zero_of_finite(emitter().value(op.lhs))
        case arith.MulfOp():
            for factor, other in ((op.lhs, op.rhs), (op.rhs, op.lhs)):
                if _constants(factor) == {0.0}:
                    return _unless_not_finite(op, other, emitter())
            return None
        case arith.DivfOp() if _constants(op.rhs) == {0.0}:
            return _over_zero(op, emitter())
        case arith.DivfOp() if {abs(v) for v in _constants(op.rhs)} == {pymath.inf}:
            return _unless_not_finite(op, op.lhs, emitter())
        case arith.DivfOp() if _constants(op.lhs) == {0.0}:
            return _zero_over(op, emitter())
        case _:
            return None


def _extremum(op: arith.MaximumfOp | arith.MinimumfOp, emitter: Emitter) -> Value:
    make = arith.MaxnumfOp if isinstance(op, arith.MaximumfOp) else arith.MinnumfOp
    usual = emitter.value(emitter.add(make(op.lhs, op.rhs, op.fastmath)))
    lhs, rhs = emitter.value(op.lhs), emitter.value(op.rhs)
    for known, other in ((op.lhs, rhs), (op.rhs, lhs)):
        if _constants(known):
            return is_nan(in_f32(other)).select(other, usual)
    a, b = magnitude_bits(in_f32(lhs)), magnitude_bits(in_f32(rhs))
    return (a.maximum(b) > INFINITY_BITS).select(lhs + rhs, usual)


def _zero_of_finite(x: Value) -> Value:
    """0, or NaN of an infinity or a NaN."""
    finite = magnitude_bits(in_f32(x)) < INFINITY_BITS
    return finite.select(x.constant(0.0), pymath.nan)


def _unless_not_finite(op: arith.MulfOp | arith.DivfOp, other: SSAValue, emitter: Emitter) -> Value:
    """The result of an operation with a 0 or an infinity, or NaN where the other operand is an infinity or a NaN."""
    usual = emitter.value(emitter.add(type(op)(op.lhs, op.rhs, op.fastmath)))
    finite = magnitude_bits(in_f32(emitter.value(other))) < INFINITY_BITS
    return finite.select(usual, pymath.nan)


def _over_zero(op: arith.DivfOp, emitter: Emitter) -> Value:
    """An infinity with the sign of the quotient, or NaN of 0 and NaN."""
    dividend = emitter.value(op.lhs)
    (zero,) = _constants(op.rhs)
    infinity = pymath.copysign(pymath.inf, zero)
    negative = in_f32(dividend).bits() < 0
    quotient = negative.select(dividend.constant(-infinity), infinity)
    size = magnitude_bits(in_f32(dividend))
    return (size.equals(0) | (size > INFINITY_BITS)).select(dividend.constant(pymath.nan), quotient)


def _zero_over(op: arith.DivfOp, emitter: Emitter) -> Value:
    """The quotient, or NaN of 0 and NaN."""
    quotient = emitter.value(emitter.add(arith.DivfOp(op.lhs, op.rhs, op.fastmath)))
    size = magnitude_bits(in_f32(emitter.value(op.rhs)))
    return (size.equals(0) | (size > INFINITY_BITS)).select(quotient.constant(pymath.nan), quotient)


def _constants(value: SSAValue) -> set[float]:
    """The numbers of a constant, if it is one without NaNs."""
    op = value.owner
    if isinstance(op, vector.BroadcastOp):
        op = op.source.owner
    if not isinstance(op, arith.ConstantOp):
        return set()
    numbers: set[float] = set()
    if isinstance(op.value, FloatAttr):
        numbers = {op.value.value.data}
    elif isinstance(op.value, DenseIntOrFPElementsAttr):
        numbers = {v for v in op.value.iter_values() if isinstance(v, float)}
    return set() if any(map(pymath.isnan, numbers)) else numbers


def in_f32(x: Value) -> Value:
    """A half as an f32, whose bits the questions are about."""
    if isinstance(element_type(x.type), Float16Type):
        return Value(x.emitter, x.emitter.add(arith.ExtFOp(x.ssa, with_element(x.type, f32))))
    return x
