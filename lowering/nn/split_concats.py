"""`split-concats`: a concatenation of more operands than a WebGPU shader may bind is done in several steps."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects.nn.data_movement import ConcatOp
from webdnn.dialects.webgpu_limits import WebGPULimits
from webdnn.lowering.weights_function import entry_function


@dataclass(frozen=True)
class SplitConcats(ModulePass):
    """Concatenations become balanced trees whose nodes have at most `max_operands` operands.

    WebGPU's default limit is eight storage buffers a shader, one of which is the result.
    """

    name = "split-concats"

    max_operands: int = WebGPULimits.storage_buffers - 1

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for inner in list(entry_function(op).body.block.ops):
            if isinstance(inner, ConcatOp) and len(inner.xs) > self.max_operands:
                self._split(inner)

    def _split(self, op: ConcatOp) -> None:
        values: list[SSAValue] = list(op.xs)
        axis = op.axis.value.data
        while len(values) > self.max_operands:
            parts = -(-len(values) // self.max_operands)
            size = -(-len(values) // parts)
            joined: list[SSAValue] = []
            for start in range(0, len(values), size):
                group = values[start : start + size]
                if len(group) == 1:
                    joined.extend(group)
                    continue
                part = ConcatOp(group, axis)
                part.location = op.location
                Rewriter.insert_op(part, InsertPoint.before(op))
                joined.append(part.res)
            values = joined
        last = ConcatOp(values, axis)
        last.location = op.location
        Rewriter.replace_op(op, last)
