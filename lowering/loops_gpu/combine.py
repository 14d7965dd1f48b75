"""Reductions that may be cut into parts: the op that combines two partial results, and its neutral element."""

from __future__ import annotations

from xdsl.dialects import arith
from xdsl.dialects.builtin import FloatAttr, IntegerAttr

from webdnn.lowering.combining_ops import COMBINING
from webdnn.lowering.loops_common.combining import combiners
from webdnn.lowering.loops_common.expression import Constant, Node, Reduction
from webdnn.lowering.loops_gpu.evaluate import is_word
from webdnn.lowering.value_notation import constant_attribute

CombineOp = type[arith.SignlessIntegerBinaryOperation | arith.FloatingPointLikeBinaryOperation]


def combining_ops(reduction: Reduction) -> list[CombineOp] | None:
    """For each accumulator the op that combines two parts of the reduction; None where it cannot be cut."""
    found = combiners(reduction.accumulators, reduction.updates)
    if found is None or not all(is_word(n.type) for n in found):
        return None
    return [type(n.op) for n in found]  # pyright: ignore[reportReturnType]


def start_value(op: CombineOp, init: Node) -> Node:
    """What each part of a reduction starts with."""
    neutral = COMBINING[op][1]
    if neutral is None:
        return init
    value = constant_attribute(neutral, init.type)
    assert isinstance(value, IntegerAttr | FloatAttr)
    return Constant(init.type, value)


def needs_init(op: CombineOp, init: Node) -> bool:
    """Whether the initial value must still be combined with the sum of parts that began with the neutral element."""
    neutral = COMBINING[op][1]
    if neutral is None:
        return False
    if not isinstance(init, Constant):
        return True
    value = init.value.value.data
    return value != neutral
