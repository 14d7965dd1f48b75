"""When each tensor of the host program is alive, and which tensors are one piece of memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects import func
from xdsl.dialects.builtin import TensorType
from xdsl.ir import Attribute, Block, SSAValue

from webdnn.dialects import plan
from webdnn.dialects.plan import storage_of


@dataclass(frozen=True)
class Lifetime:
    """A tensor that needs memory: written at step `start`, last read at step `end` (both included).

    Steps number the launches of a run; the inputs are written at step -1 and the outputs are read at the step after the
    last. What runs at load has the steps before -1."""

    value: SSAValue
    start: int
    end: int

    @property
    def type(self) -> TensorType[Attribute]:
        assert isinstance(self.value.type, TensorType)
        return self.value.type

    def overlaps(self, other: Lifetime) -> bool:
        """Whether both are alive at some step."""
        return self.start <= other.end and other.start <= self.end


def prepared_tensors(block: Block) -> list[SSAValue]:
    """The results of launches at load that runs read, or that are outputs: their memory is theirs alone."""
    read: set[SSAValue] = set()
    for op in block.ops:
        if isinstance(op, func.ReturnOp) or (isinstance(op, plan.LaunchOp) and op.at_load is None):
            read.update(storage_of(v) for v in op.operands)
    return [
        out
        for op in block.ops
        if isinstance(op, plan.LaunchOp) and op.at_load is not None
        for out in op.outs
        if out in read
    ]


def tensor_lifetimes(block: Block) -> list[Lifetime]:
    """The lifetimes of all tensors of a host program but weights and prepared ones, in the order in which they are
    written."""
    start: dict[SSAValue, int] = dict.fromkeys(block.args, -1)
    end: dict[SSAValue, int] = dict.fromkeys(block.args, -1)
    launches = [op for op in block.ops if isinstance(op, plan.LaunchOp)]
    load_step = -1 - sum(op.at_load is not None for op in launches)
    step = 0
    for launch in launches:
        if launch.at_load is not None:
            now, load_step = load_step, load_step + 1
        else:
            now, step = step, step + 1
        _extend(end, launch.arguments, now)
        for out in launch.outs:
            start[out] = end[out] = now
    if isinstance(block.last_op, func.ReturnOp):
        _extend(end, block.last_op.arguments, step)
    for value in prepared_tensors(block):
        del start[value]
    return [Lifetime(value, first, end[value]) for value, first in start.items()]


def _extend(end: dict[SSAValue, int], values: Sequence[SSAValue], step: int) -> None:
    for value in values:
        storage = storage_of(value)
        if storage in end:
            end[storage] = step
