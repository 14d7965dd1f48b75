"""`wgsl-bind-operands`: say how each operand of each kernel is bound."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import memref, vector
from xdsl.dialects.builtin import ArrayAttr, ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.wgsl import BINDINGS, Access, AccessAttr


@dataclass(frozen=True)
class WGSLBindOperandsPass(ModulePass):
    """Sets `wgsl.bindings`: `read_write` for the memory that the kernel stores to, `read` for all other. The sizes of a
    kernel are members of one uniform, which is bound behind its memory.

    An operand that the kernel does not use keeps its place, so that launches need not change; the
    host makes the layout from `wgsl.bindings`, not from what the shader happens to use.
    """

    name = "wgsl-bind-operands"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for kernel in op.ops:
            if isinstance(kernel, FuncOp) and kernel.is_lowered:
                bind_operands(kernel)


def bind_operands(kernel: FuncOp) -> None:
    """Set `wgsl.bindings` of one kernel."""
    stored: set[SSAValue] = set()
    for op in kernel.body.walk():
        if isinstance(op, memref.StoreOp):
            stored.add(op.memref)
        elif isinstance(op, vector.StoreOp):
            stored.add(op.base)
    kernel.attributes[BINDINGS] = ArrayAttr(
        AccessAttr(Access.READ_WRITE if argument in stored else Access.READ)
        for argument in kernel.memories
    )
