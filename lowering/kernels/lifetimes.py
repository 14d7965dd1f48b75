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
    last."""

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
    """The results of launches at load.

    Their memory is theirs alone, so that each such launch may run at any time before the first one that reads what it
    gives: the first run need not wait for all weights.
    """
    return [
        out
        for op in block.ops
        if isinstance(op, plan.LaunchOp) and op.at_load is not None
        for out in op.outs
    ]


def launch_order(block: Block) -> list[tuple[plan.LaunchOp, int]]:
    """The launches in the order in which they run, each with the number of a run's launch.

    Those at load come first, each with the number of the first launch of a run that needs it (and in the order of these
    numbers); those of a run have their own numbers. What nothing needs comes with the number after the last.
    """
    launches = [op for op in block.ops if isinstance(op, plan.LaunchOp)]
    of_a_run = [op for op in launches if op.at_load is None]
    needed = {op: number for number, op in enumerate(of_a_run)}
    at_load = [op for op in launches if op.at_load is not None]
    for launch in [*reversed(of_a_run), *reversed(at_load)]:
        needed.setdefault(launch, len(of_a_run))
        for value in launch.arguments:
            source = storage_of(value).owner
            if isinstance(source, plan.LaunchOp) and source.at_load is not None:
                needed[source] = min(needed.get(source, len(of_a_run)), needed[launch])
    at_load.sort(key=lambda launch: needed[launch])
    return [(launch, needed[launch]) for launch in (*at_load, *of_a_run)]


def tensor_lifetimes(block: Block) -> list[Lifetime]:
    """The lifetimes of all tensors of a host program but weights and prepared ones, in the order in which they are
    written.

    A tensor and all of its parts are one piece of memory, which is alive from when the first part is written. So are an
    operand and the result that is written over it.
    """
    wholes = _wholes(block)
    start: dict[SSAValue, int] = dict.fromkeys(block.args, -1)
    end: dict[SSAValue, int] = dict.fromkeys(block.args, -1)

    def extend(values: Sequence[SSAValue], step: int) -> None:
        for value in values:
            storage = storage_of(value)
            storage = wholes.get(storage, storage)
            if storage in end:
                end[storage] = step

    step = 0
    for op in block.ops:
        if isinstance(op, plan.LaunchOp) and op.at_load is None:
            extend(op.arguments, step)
            for out in op.outs:
                if op.over is not None:
                    below = storage_of(op.arguments[op.over.value.data])
                    wholes[out] = wholes.get(below, below)
                whole = wholes.get(out, out)
                start.setdefault(whole, step)
                end[whole] = step
            step += 1
        elif isinstance(op, func.ReturnOp):
            extend(op.arguments, step)
    return [Lifetime(value, first, end[value]) for value, first in start.items()]


def _wholes(block: Block) -> dict[SSAValue, SSAValue]:
    """The tensor of which each one that is a part of another is a part in the end."""
    wholes: dict[SSAValue, SSAValue] = {}
    for op in reversed(block.ops):
        if isinstance(op, plan.ConcatOp):
            whole = wholes.get(op.res, op.res)
            wholes.update((storage_of(part), whole) for part in op.parts)
    return wholes
