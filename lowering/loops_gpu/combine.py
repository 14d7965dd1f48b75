"""Reductions that may be cut into parts: the op that combines two partial results, and its neutral element."""

from __future__ import annotations

from xdsl.dialects import arith
from xdsl.dialects.builtin import AnyFloat, FloatAttr, IntegerAttr, IntegerType
from xdsl.ir import Attribute, Operation

from webdnn.lowering.loops_common.expression import Apply, Constant, Node, Reduction, walk
from webdnn.lowering.loops_gpu.evaluate import is_word

CombineOp = type[arith.SignlessIntegerBinaryOperation | arith.FloatingPointLikeBinaryOperation]

_ADDITIVE: dict[type[Operation], float] = {
    arith.AddfOp: 0,
    arith.AddiOp: 0,
    arith.MulfOp: 1,
    arith.MuliOp: 1,
}
"""Associative ops that count every operand, with their neutral elements."""

_IDEMPOTENT: tuple[type[Operation], ...] = (
    arith.MaximumfOp,
    arith.MinimumfOp,
    arith.MaxnumfOp,
    arith.MinnumfOp,
    arith.MaxSIOp,
    arith.MinSIOp,
    arith.MaxUIOp,
    arith.MinUIOp,
    arith.AndIOp,
    arith.OrIOp,
)
"""Associative ops that do not count: every part may start with the initial value."""


def combiner(reduction: Reduction) -> list[CombineOp] | None:
    """For each accumulator the op that combines two parts of the reduction; None where it cannot be cut.

    A reduction can be cut if each update is `op(accumulator, x)` with an associative op and an `x`
    without accumulators.
    """
    ops: list[CombineOp] = []
    for accumulator, update in zip(reduction.accumulators, reduction.updates, strict=True):
        if not isinstance(update, Apply) or not is_word(update.type):
            return None
        op = type(update.op)
        if op not in _ADDITIVE and op not in _IDEMPOTENT:
            return None
        others = [n for n in update.operands if n is not accumulator]
        if len(others) != 1 or any(n in reduction.accumulators for n in walk(others)):
            return None
        ops.append(op)  # pyright: ignore[reportArgumentType]
    return ops


def start_value(op: CombineOp, init: Node) -> Node:
    """What each part of a reduction starts with."""
    neutral = _ADDITIVE.get(op)
    return init if neutral is None else _constant(neutral, init.type)


def needs_init(op: CombineOp, init: Node) -> bool:
    """Whether the initial value must still be combined with the sum of parts that began with the neutral element."""
    neutral = _ADDITIVE.get(op)
    if neutral is None:
        return False
    if not isinstance(init, Constant):
        return True
    value = init.value.value.data
    return value != neutral


def _constant(value: float, type: Attribute) -> Constant:
    if isinstance(type, AnyFloat):
        return Constant(type, FloatAttr(float(value), type))
    assert isinstance(type, IntegerType)
    return Constant(type, IntegerAttr(int(value), type))
