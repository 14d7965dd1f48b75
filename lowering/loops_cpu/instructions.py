"""About how many instructions IR of level `loops` runs: to weigh parts of a kernel against each other."""

from __future__ import annotations

from math import prod

from xdsl.dialects import arith, memref, scf
from xdsl.dialects.builtin import IntegerAttr, VectorType
from xdsl.ir import Block, Operation, SSAValue

from webdnn.lowering.loops_cpu.schedule import VECTOR_WIDTH
from webdnn.lowering.op_weight import op_weight

_UNKNOWN_TRIPS = 8
_LOOP = 2
"""Instructions that count and test, at each iteration of a loop."""


def constant_of(value: SSAValue) -> int | None:
    """The integer that a value is known to be."""
    owner = value.owner
    if isinstance(owner, arith.ConstantOp) and isinstance(owner.value, IntegerAttr):
        return owner.value.value.data
    return None


def trip_count(lower: SSAValue, upper: SSAValue, step: SSAValue) -> int | None:
    """The iterations of a loop, where its bounds are constants."""
    lb, ub, by = constant_of(lower), constant_of(upper), constant_of(step)
    if lb is None or ub is None or not by:
        return None
    return max(0, -(-(ub - lb) // by))


def block_instructions(block: Block) -> int:
    """The instructions of one pass through a block."""
    return sum(instructions(op) for op in block.ops)


def instructions(op: Operation) -> int:
    """The instructions of an op with all that is inside of it. Branches count as their longest side."""
    if isinstance(op, scf.ForOp):
        count = trip_count(op.lb, op.ub, op.step)
        each = block_instructions(op.body.block) + _LOOP
        return (_UNKNOWN_TRIPS if count is None else count) * each
    if isinstance(op, scf.ParallelOp):
        counts = [trip_count(*b) for b in zip(op.lowerBound, op.upperBound, op.step, strict=True)]
        each = block_instructions(op.body.block) + _LOOP
        return prod(_UNKNOWN_TRIPS if c is None else c for c in counts) * each
    if isinstance(op, scf.IfOp):
        sides = [block_instructions(r.block) for r in op.regions if r.blocks]
        return 1 + max(sides, default=0)
    if isinstance(op, memref.AllocaOp | scf.YieldOp | scf.ReduceOp):
        return 0
    types = [v.type for v in (*op.results, *op.operands) if isinstance(v.type, VectorType)]
    lanes = max((prod(t.get_shape()) for t in types), default=1)
    return op_weight(op) * -(-lanes // VECTOR_WIDTH)
