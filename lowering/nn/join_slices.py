"""`join-slices`: slices of a tensor that a concatenation puts side by side again are one slice, or the tensor itself.

    concat(x[..., :a], x[..., a:], y)   becomes   concat(x, y)

as in YOLO's C2f blocks, of which one half goes on and both are kept. So `x` can be written where it shall lie, and
nothing of it is copied.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects.nn.base import int_list
from webdnn.dialects.nn.data_movement import ConcatOp, SliceOp
from webdnn.dialects.sizes.types import shape_of
from webdnn.lowering.weights_function import entry_function


@dataclass(frozen=True)
class JoinSlices(ModulePass):
    """See the module's docstring."""

    name = "join-slices"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        block = entry_function(op).body.block
        for inner in list(block.ops):
            if isinstance(inner, ConcatOp):
                _join(inner)
        for inner in reversed(list(block.ops)):
            if isinstance(inner, SliceOp) and not inner.res.uses:
                Rewriter.erase_op(inner)


def _join(op: ConcatOp) -> None:
    axis = op.axis.value.data
    operands: list[SSAValue] = []
    for value in op.xs:
        joined = _joined(operands[-1], value, axis, op) if operands else None
        if joined is not None:
            operands[-1] = joined
        else:
            operands.append(value)
    if len(operands) == len(op.xs):
        return
    operands = [_whole(v) for v in operands]
    if len(operands) == 1:
        op.res.replace_all_uses_with(operands[0])
    else:
        new = ConcatOp(operands, axis)
        new.location, new.res.name_hint = op.location, op.res.name_hint
        Rewriter.insert_op(new, InsertPoint.before(op))
        op.res.replace_all_uses_with(new.res)
    Rewriter.erase_op(op)


def _joined(first: SSAValue, second: SSAValue, axis: int, before: ConcatOp) -> SSAValue | None:
    """The slice that two slices are side by side; None where there is none."""
    a, b = first.owner, second.owner
    if not (isinstance(a, SliceOp) and isinstance(b, SliceOp) and a.x is b.x):
        return None
    starts, steps, size = int_list(a.starts), int_list(a.steps), shape_of(first)[axis]
    following = [*starts]
    following[axis] += size * steps[axis]
    if int_list(b.starts) != following or int_list(b.steps) != steps:
        return None
    sizes = [*shape_of(first)]
    sizes[axis] += shape_of(second)[axis]
    new = SliceOp(a.x, starts, sizes, steps)
    new.location = before.location
    Rewriter.insert_op(new, InsertPoint.before(before))
    return new.res


def _whole(value: SSAValue) -> SSAValue:
    """What a slice is a slice of, if it is all of that."""
    match value.owner:
        case SliceOp() as op if shape_of(op.x) == shape_of(value) and set(int_list(op.steps)) == {
            1
        }:
            return op.x
        case _:
            return value
