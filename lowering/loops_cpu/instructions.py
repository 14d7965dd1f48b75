"""About how many instructions IR of level `loops` runs: to weigh parts of a kernel against each other.

Numbers of instructions are sizes, where loops run to sizes with symbols."""

from __future__ import annotations

import operator
from collections.abc import Callable
from math import prod

from xdsl.dialects import arith, memref, scf
from xdsl.dialects.builtin import IntegerAttr, VectorType
from xdsl.ir import Block, BlockArgument, Operation, SSAValue

from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.sizes.expression import UndecidedSize, is_symbolic, maximum
from webdnn.dialects.sizes.questions import at_most
from webdnn.dialects.sizes.substitution import likely
from webdnn.lowering.loops_cpu.schedule import VECTOR_WIDTH
from webdnn.lowering.op_weight import op_weight

_UNKNOWN_TRIPS = 8
_FEW = 16
"""A loop over a size with symbols that never has more iterations is one over what is left over by another one."""
_TERMS = 3
"""Numbers of instructions that are longer sums than this are computed by kernels for longer than they are worth."""
_LOOP = 2
"""Instructions that count and test, at each iteration of a loop."""


def size_of(value: SSAValue) -> int | None:
    """The size that an index is known to be: a number, or an expression of the symbols of its kernel."""
    owner = value.owner
    if isinstance(owner, Block):
        func = owner.parent_op()
        number = value.index if isinstance(value, BlockArgument) else 0
        if isinstance(func, FuncOp) and number < len(func.symbols):
            return func.symbols[number].size
        return None
    if isinstance(owner, arith.ConstantOp) and isinstance(owner.value, IntegerAttr):
        return owner.value.value.data
    combine = _COMBINE.get(type(owner))
    if combine is None:
        return None
    sizes = [size_of(operand) for operand in owner.operands]
    if sizes[0] is None or sizes[1] is None:
        return None
    try:
        return combine(sizes[0], sizes[1])
    except UndecidedSize:
        return None


_COMBINE: dict[type[Operation], Callable[[int, int], int]] = {
    arith.AddiOp: operator.add,
    arith.SubiOp: operator.sub,
    arith.MuliOp: operator.mul,
    arith.DivUIOp: operator.floordiv,
    arith.MaxSIOp: maximum,
}
"""What the emitter computes sizes with."""


def trip_count(lower: SSAValue, upper: SSAValue, step: SSAValue) -> int | None:
    """The iterations of a loop, where its bounds are sizes."""
    lb, ub, by = size_of(lower), size_of(upper), size_of(step)
    if lb is None or ub is None or by is None or is_symbolic(by) or not by:
        return None
    return maximum(0, -(-(ub - lb) // by))


def _trips(lower: SSAValue, upper: SSAValue, step: SSAValue) -> int:
    """About as many iterations as a loop has. What is left over by a loop in larger steps is a number, whatever the
    symbols are, so that sums of these stay short."""
    count = trip_count(lower, upper, step)
    if count is None:
        return _UNKNOWN_TRIPS
    is_rest = is_symbolic(count) and at_most(count) <= _FEW
    return (at_most(count) + 1) // 2 if is_rest else count


def block_instructions(block: Block) -> int:
    """The instructions of one pass through a block; the likely number where it would be a long expression."""
    total = sum(instructions(op) for op in block.ops)
    return likely(total) if is_symbolic(total) and len(total.terms) > _TERMS else total


def instructions(op: Operation) -> int:
    """The instructions of an op with all that is inside of it. Branches count as their longest side."""
    if isinstance(op, scf.ForOp):
        return _trips(op.lb, op.ub, op.step) * (block_instructions(op.body.block) + _LOOP)
    if isinstance(op, scf.ParallelOp):
        counts = [_trips(*b) for b in zip(op.lowerBound, op.upperBound, op.step, strict=True)]
        return prod(counts) * (block_instructions(op.body.block) + _LOOP)
    if isinstance(op, scf.IfOp):
        sides = [block_instructions(r.block) for r in op.regions if r.blocks]
        return 1 + (maximum(*sides) if sides else 0)
    if isinstance(op, memref.AllocaOp | scf.YieldOp | scf.ReduceOp):
        return 0
    types = [v.type for v in (*op.results, *op.operands) if isinstance(v.type, VectorType)]
    lanes = max((prod(t.get_shape()) for t in types), default=1)
    return op_weight(op) * -(-lanes // VECTOR_WIDTH)
