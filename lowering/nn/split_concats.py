"""`split-concats`: a concatenation of more operands than a kernel of the target may have is done in several steps."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects.nn.data_movement import ConcatOp
from webdnn.lowering.target import memory_of
from webdnn.lowering.weights_function import entry_function


@dataclass(frozen=True)
class SplitConcats(ModulePass):
    """Concatenations become balanced trees whose nodes have at most `max_operands` operands.

    By default these are as many as the target allows beside the result.
    """

    name = "split-concats"

    target: str = "webgpu"
    max_operands: int | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        most = self.max_operands
        if most is None:
            limit = memory_of(self.target).max_operands
            if limit is None:
                return
            most = limit - 1
        for inner in list(entry_function(op).body.block.ops):
            if isinstance(inner, ConcatOp) and len(inner.xs) > most:
                self._split(inner, most)

    @staticmethod
    def _split(op: ConcatOp, most: int) -> None:
        values: list[SSAValue] = list(op.xs)
        axis = op.axis.value.data
        while len(values) > most:
            parts = -(-len(values) // most)
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
