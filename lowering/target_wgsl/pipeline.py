"""`lower-to-wgsl`: a GPU kernel of level `loops` to level `target`, by the passes of this folder in order."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from webdnn.dialects.webgpu_limits import WebGPULimits
from webdnn.lowering.target_wgsl.bind_operands import WGSLBindOperandsPass
from webdnn.lowering.target_wgsl.compose_vectors import WGSLComposeVectorsPass
from webdnn.lowering.target_wgsl.emulate_i64 import WGSLEmulateI64Pass
from webdnn.lowering.target_wgsl.erase_unused import WGSLEraseUnusedPass
from webdnn.lowering.target_wgsl.expand_math import WGSLExpandMathPass
from webdnn.lowering.target_wgsl.fold_grid import WGSLFoldGridPass
from webdnn.lowering.target_wgsl.narrow_i64 import WGSLNarrowI64Pass
from webdnn.lowering.target_wgsl.scalarize_accesses import WGSLScalarizeAccessesPass
from webdnn.lowering.target_wgsl.split_bindings import WGSLSplitBindingsPass
from webdnn.lowering.target_wgsl.split_vectors import WGSLSplitVectorsPass
from webdnn.lowering.target_wgsl.vectorize_memory import WGSLVectorizeMemoryPass
from webdnn.lowering.target_wgsl.verify_limits import VerifyWGSLLimitsPass
from webdnn.lowering.target_wgsl.widen_types import WGSLWidenTypesPass

_LARGEST_BINDING = 2**31 - 4


def wgsl_passes(
    *, shader_f16: bool = False, binding_bytes: int | None = None
) -> tuple[ModulePass, ...]:
    """The passes from GPU `loops` to `target`, in order.

    What is larger than the bindings of every device is bound in parts. Where these are too many, parts are larger than
    that, since a package says what limits it needs; no device allows more than 2 GiB.
    """
    return (
        WGSLNarrowI64Pass(),
        WGSLEmulateI64Pass(),
        WGSLWidenTypesPass(shader_f16),
        WGSLSplitVectorsPass(),
        WGSLVectorizeMemoryPass(),
        WGSLScalarizeAccessesPass(),
        WGSLExpandMathPass(),
        WGSLComposeVectorsPass(),
        WGSLFoldGridPass(),
        WGSLEraseUnusedPass(),
        WGSLSplitBindingsPass(binding_bytes or WebGPULimits.binding_bytes),
        WGSLBindOperandsPass(),
        VerifyWGSLLimitsPass(binding_bytes=_LARGEST_BINDING),
    )


@dataclass(frozen=True)
class LowerToWGSLPass(ModulePass):
    """All passes of `wgsl_passes`.

    Args:
        shader_f16: keep `f16`, for devices with the WebGPU feature `shader-f16`.
        binding_bytes: what a binding holds; by default what every device guarantees.
    """

    name = "lower-to-wgsl"
    shader_f16: bool = False
    binding_bytes: int | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for step in wgsl_passes(shader_f16=self.shader_f16, binding_bytes=self.binding_bytes):
            step.apply(ctx, op)
