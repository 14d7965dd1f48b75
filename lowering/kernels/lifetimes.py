"""When each tensor of the host program is alive, and which tensors are one piece of memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects import func
from xdsl.dialects.builtin import TensorType
from xdsl.ir import Attribute, Block, SSAValue

from webdnn.dialects import plan


@dataclass(frozen=True)
class Lifetime:
    """A tensor that needs memory: written at step `start`, last read at step `end` (both included).

    Steps number the launches; the inputs are written at step -1 and the outputs are read at the step after the last."""

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


def storage_of(value: SSAValue) -> SSAValue:
    """The value whose memory `value` is: itself, or what it is a view of."""
    while isinstance(value.owner, plan.ViewOp):
        value = value.owner.source
    return value


def tensor_lifetimes(block: Block) -> list[Lifetime]:
    """The lifetimes of all tensors of a host program that are not weights, in the order in which they are written."""
    start: dict[SSAValue, int] = dict.fromkeys(block.args, -1)
    end: dict[SSAValue, int] = dict.fromkeys(block.args, -1)
    step = 0
    for op in block.ops:
        if isinstance(op, plan.LaunchOp):
            _extend(end, op.arguments, step)
            for out in op.outs:
                start[out] = end[out] = step
            step += 1
        elif isinstance(op, func.ReturnOp):
            _extend(end, op.arguments, step)
    return [Lifetime(value, first, end[value]) for value, first in start.items()]


def _extend(end: dict[SSAValue, int], values: Sequence[SSAValue], step: int) -> None:
    for value in values:
        storage = storage_of(value)
        if storage in end:
            end[storage] = step
