"""`lower-to-wgsl`: a GPU kernel of level `loops` to level `target`, by the passes of this folder in order."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from webdnn.lowering.target_wgsl.bind_operands import WGSLBindOperandsPass
from webdnn.lowering.target_wgsl.expand_math import WGSLExpandMathPass
from webdnn.lowering.target_wgsl.widen_types import WGSLWidenTypesPass

WGSL_PASSES: tuple[type[ModulePass], ...] = (
    WGSLWidenTypesPass,
    WGSLExpandMathPass,
    WGSLBindOperandsPass,
)
"""The passes from GPU `loops` to `target`, in order."""


@dataclass(frozen=True)
class LowerToWGSLPass(ModulePass):
    """All of `WGSL_PASSES`."""

    name = "lower-to-wgsl"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for step in WGSL_PASSES:
            step().apply(ctx, op)
