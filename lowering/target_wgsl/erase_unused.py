"""`wgsl-erase-unused`: erase operations whose results nothing uses."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import gpu, memref, vector
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation
from xdsl.passes import ModulePass
from xdsl.traits import Pure

from webdnn.dialects.kernel import FuncOp

_REMOVABLE = (
    gpu.BlockIdOp, gpu.ThreadIdOp, gpu.GlobalIdOp, gpu.BlockDimOp, gpu.GridDimOp,
    memref.LoadOp, memref.AllocaOp, vector.LoadOp, vector.ShuffleOp,
)  # fmt: skip
"""Operations that only give a value, though upstream does not say that they are pure."""


@dataclass(frozen=True)
class WGSLEraseUnusedPass(ModulePass):
    """One walk from the end to the beginning, so that whole chains of unused values go."""

    name = "wgsl-erase-unused"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for kernel in op.ops:
            if isinstance(kernel, FuncOp) and kernel.is_lowered:
                _erase_in(kernel.body.block)


def _erase_in(block: Block) -> None:
    op = block.last_op
    while op is not None:
        previous = op.prev_op
        for region in op.regions:
            for inner in region.blocks:
                _erase_in(inner)
        if _is_unused(op):
            op.detach()
            op.erase()
        op = previous


def _is_unused(op: Operation) -> bool:
    if not op.results or any(r.first_use is not None for r in op.results):
        return False
    return isinstance(op, _REMOVABLE) or (not op.regions and op.has_trait(Pure))
