"""`scf` to branches between blocks, built directly and in linear time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.dialects import llvm, scf
from xdsl.ir import BlockArgument, Operation, SSAValue

from webdnn.dialects.errors import WebDNNError
from webdnn.lowering.target_wasm import ops
from webdnn.lowering.target_wasm.emitter import Emitter, Handler
from webdnn.lowering.target_wasm.index_arithmetic import is_index
from webdnn.lowering.target_wasm.intervals import FULL, INT_MAX, Interval
from webdnn.lowering.target_wasm.types import convert_type

Body = Callable[[Sequence[SSAValue]], Sequence[SSAValue]]


def _loop(
    emitter: Emitter,
    induction: BlockArgument,
    bounds: tuple[SSAValue, SSAValue, SSAValue],
    carried: Sequence[SSAValue],
    body: Body,
) -> Sequence[SSAValue]:
    """A counted loop; `body` gets the carried values, emits one iteration and gives them back.

    Where the bounds are constants and there is at least one iteration, the test comes at the end only.
    """
    low, high, step = (emitter.interval(v) for v in bounds)
    lower, upper, stride = (emitter.get(v) for v in bounds)
    types = [convert_type(induction.type), *(v.type for v in carried)]
    interval = _range_of(low, high)
    runs_once = is_index(bounds[0]) and low.high < high.low
    # The sum is tested against the bound, so it must not wrap; all but absurd loops are far from that.
    safe = low.is_natural and step.low > 0 and high.high + step.high <= INT_MAX
    overflow = ops.SIGNED_AND_UNSIGNED if safe and is_index(bounds[0]) else ops.NO_WRAP

    if runs_once:
        start = emitter.new_block(types)
        emitter.branch(start, [lower, *carried])
        emitter.block = start
        emitter.bind_index(induction, start.args[0], interval)
        results = body(start.args[1:])
        following = emitter.binary(llvm.AddOp, start.args[0], stride, overflow)
        after = emitter.new_block([v.type for v in carried])
        more = emitter.icmp("slt", following, upper)
        emitter.cond_branch(more, start, [following, *results], after, results)
        emitter.block = after
        return after.args

    header = emitter.new_block(types)
    emitter.branch(header, [lower, *carried])
    emitter.block = header
    more = emitter.icmp("slt", header.args[0], upper)
    inside = emitter.new_block()
    header_block = header
    emitter.block = inside
    emitter.bind_index(induction, header.args[0], interval)
    results = body(header.args[1:])
    following = emitter.binary(llvm.AddOp, header.args[0], stride, overflow)
    emitter.branch(header, [following, *results])
    after = emitter.new_block()
    emitter.block = header_block
    emitter.cond_branch(more, inside, [], after, [])
    emitter.block = after
    return header.args[1:]


def _range_of(low: Interval, high: Interval) -> Interval:
    """What an induction variable can be inside its loop."""
    return Interval(low.low, max(low.low, high.high - 1)) if low != FULL or high != FULL else FULL


def _for(emitter: Emitter, op: Operation) -> None:
    assert isinstance(op, scf.ForOp)
    block = op.body.block
    induction, *carried = block.args

    def body(values: Sequence[SSAValue]) -> Sequence[SSAValue]:
        for arg, value in zip(carried, values, strict=True):
            emitter.set(arg, value)
        emitter.emit_ops(block)
        last = block.last_op
        assert last is not None
        return [emitter.get(v) for v in last.operands]

    initial = [emitter.get(v) for v in op.iter_args]
    results = _loop(emitter, induction, (op.lb, op.ub, op.step), initial, body)
    for result, value in zip(op.res, results, strict=True):
        emitter.set(result, value)


def _parallel(emitter: Emitter, op: Operation) -> None:
    """One loop for each dimension, the last one innermost."""
    assert isinstance(op, scf.ParallelOp)
    if op.res:
        raise WebDNNError("the wasm back end has no lowering of scf.parallel with a reduction")
    block = op.body.block
    dimensions = list(zip(block.args, op.lowerBound, op.upperBound, op.step, strict=True))

    def nest(depth: int) -> None:
        if depth == len(dimensions):
            emitter.emit_ops(block)
            return
        induction, *bounds = dimensions[depth]

        def body(values: Sequence[SSAValue]) -> Sequence[SSAValue]:
            nest(depth + 1)
            return values

        _loop(emitter, induction, (bounds[0], bounds[1], bounds[2]), [], body)

    nest(0)


def _if(emitter: Emitter, op: Operation) -> None:
    assert isinstance(op, scf.IfOp)
    types = [convert_type(r.type) for r in op.output]
    origin, has_else = emitter.block, bool(op.false_region.blocks)

    then = emitter.new_block()
    emitter.block = then
    emitter.emit_ops(op.true_region.block)
    then_end, then_last = emitter.block, op.true_region.block.last_op
    then_values = [emitter.get(v) for v in then_last.operands] if then_last else []
    orelse, else_end, else_values = None, None, []
    if has_else:
        orelse = emitter.new_block()
        emitter.block = orelse
        emitter.emit_ops(op.false_region.block)
        else_end, else_last = emitter.block, op.false_region.block.last_op
        else_values = [emitter.get(v) for v in else_last.operands] if else_last else []

    after = emitter.new_block(types)
    emitter.block = then_end
    emitter.branch(after, then_values)
    if else_end is not None:
        emitter.block = else_end
        emitter.branch(after, else_values)
    emitter.block = origin
    emitter.cond_branch(emitter.get(op.cond), then, [], orelse or after, [])
    emitter.block = after
    for result, value in zip(op.output, after.args, strict=True):
        emitter.set(result, value)


HANDLERS: dict[type[Operation], Handler] = {
    scf.ForOp: _for,
    scf.ParallelOp: _parallel,
    scf.IfOp: _if,
}
