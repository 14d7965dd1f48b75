"""Products with coefficients that are known while loops are emitted: those with 0 and 1 cost nothing."""

from __future__ import annotations

from xdsl.dialects import arith, vector
from xdsl.dialects.builtin import FloatAttr, IntegerAttr, IntegerType, VectorType
from xdsl.ir import SSAValue

from webdnn.lowering.fast_math import NO_SPECIALS
from webdnn.lowering.loops_common.expression import Accumulator, Apply
from webdnn.lowering.loops_cpu.evaluate import PointEvaluator


def add_multiple(
    evaluator: PointEvaluator, add: Apply, mul: Apply, acc: Accumulator
) -> SSAValue | None:
    """`acc + number * x` with no more ops than it takes.

    None where no factor is a known number, or the flags of the ops do not allow it.
    """
    is_integer = isinstance(add.type, IntegerType)
    if not (is_integer or (_ignores_specials(add) and _ignores_specials(mul))):
        return None
    for factor, x in (mul.operands, mul.operands[::-1]):
        number = evaluator.number(factor)
        if number is not None:
            start = evaluator.vector(acc)
            if number == 0:
                return start
            value = evaluator.vector(x)
            if _is_zero(start):
                return (
                    value
                    if number == 1
                    else _binary(evaluator, mul, value, evaluator.vector(factor))
                )
            if number == 1:
                return _binary(evaluator, add, start, value)
            if number == -1:
                return _difference(evaluator, start, value)
            if is_integer:
                multiple = _binary(evaluator, mul, value, evaluator.vector(factor))
                return _binary(evaluator, add, start, multiple)
            return evaluator.fma(value, evaluator.vector(factor), start)
    return None


def _binary(evaluator: PointEvaluator, node: Apply, a: SSAValue, b: SSAValue) -> SSAValue:
    return evaluator.emitter.like(node.op, [a, b], a.type)


def _difference(evaluator: PointEvaluator, a: SSAValue, b: SSAValue) -> SSAValue:
    element = a.type.element_type if isinstance(a.type, VectorType) else a.type
    subtract = arith.SubiOp if isinstance(element, IntegerType) else arith.SubfOp
    return evaluator.emitter.pure(subtract, (a, b), lambda: subtract(a, b))


def _ignores_specials(node: Apply) -> bool:
    return isinstance(node.op, arith.AddfOp | arith.MulfOp) and node.op.fastmath.data >= NO_SPECIALS


def _is_zero(value: SSAValue) -> bool:
    """Whether a value is the constant 0, or a vector of it."""
    owner = value.owner
    if isinstance(owner, vector.BroadcastOp):
        owner = owner.source.owner
    return (
        isinstance(owner, arith.ConstantOp)
        and isinstance(owner.value, FloatAttr | IntegerAttr)
        and owner.value.value.data == 0
    )
