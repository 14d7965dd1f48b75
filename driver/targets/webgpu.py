"""WebGPU: kernels become WGSL, and the host program data that the runtime interprets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp as HostFunction
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from webdnn.codegen.wgsl.module import Shader, print_shaders, print_wgsl
from webdnn.dialects import kernel
from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.ir_parser import IRParser
from webdnn.dialects.webgpu_limits import MOST_BUFFER_BYTES
from webdnn.dialects.wgsl import BINDINGS
from webdnn.kernel_cache import CacheEntry
from webdnn.lowering.kernels.apply_schedules import ApplySchedules
from webdnn.lowering.kernels.launch_at_load import LaunchAtLoad
from webdnn.lowering.kernels.outline import OutlineKernels
from webdnn.lowering.kernels.plan_memory import PlanMemory
from webdnn.lowering.linalg.fuse_pads import FusePads
from webdnn.lowering.linalg.merge_sort import MergeSort
from webdnn.lowering.linalg.pack_tables import PackTables
from webdnn.lowering.linalg.split_reductions import SplitReductions
from webdnn.lowering.loops_gpu.lower import LowerKernelsToGPULoopsPass
from webdnn.lowering.loops_gpu.schedules import AssignGPUSchedulesPass
from webdnn.lowering.loops_gpu.target import WEBGPU
from webdnn.lowering.nn.split_concats import SplitConcats
from webdnn.lowering.nn.split_large_weights import SplitLargeWeights
from webdnn.lowering.target_wgsl.pipeline import LowerToWGSLPass
from webdnn.packaging.program import Files, Program
from webdnn.packaging.shader import from_entry, to_entry
from webdnn.packaging.webgpu import check_element_types, webgpu_section
from webdnn.passes import apply_pass, context
from webdnn.targets.target import PackageOptions, Target, UserPasses


@dataclass(frozen=True)
class WebGPUTarget(Target[Shader]):
    """See the module's docstring."""

    lowering = WEBGPU
    emissions = ("wgsl",)

    def passes(self, stage: str) -> Sequence[ModulePass]:
        match stage:
            case "linalg":
                return (
                    SplitLargeWeights(target=self.name),
                    SplitConcats(target=self.name),
                    *self.structured(),
                )
            case "kernels":
                return (
                    MergeSort(),
                    SplitReductions(),
                    FusePads(),
                    PackTables(target=self.name),
                    OutlineKernels(),
                    ApplySchedules(target=self.name),
                    AssignGPUSchedulesPass(),
                )
            case "loops":
                return (
                    LowerKernelsToGPULoopsPass(),
                    LaunchAtLoad(),
                    PlanMemory(target=self.name),
                )
            case _:
                return (LowerToWGSLPass(),)

    def check_interface(self, main: HostFunction) -> None:
        check_element_types(main)

    def check_tensor(self, bytes: int) -> None:
        if bytes > MOST_BUFFER_BYTES:
            raise WebDNNError(
                f"the model has a tensor of {bytes / 2**30:.1f} GiB",
                why="indices in WGSL have 32 bits, which reach 4 GiB",
                hint="a smaller input, batch or model",
            )

    def compile_kernel(self, text: str, extra: UserPasses = ()) -> Shader:
        ctx = context()
        module = IRParser(ctx, text).parse_module()
        for stage in ("loops", "target"):
            added = [step for at, step in extra if at == stage]
            for step in (*self.passes(stage), *added):
                apply_pass(step, ctx, module)
        (shader,) = print_shaders(module)
        return shader

    def to_entry(self, compiled: Shader) -> CacheEntry:
        return to_entry(compiled)

    def from_entry(self, entry: CacheEntry, func: kernel.FuncOp) -> Shader | None:
        return from_entry(entry, func)

    def section(
        self,
        program: Program,
        kernels: Mapping[str, Shader],
        arrays: Sequence[Array],
        options: PackageOptions,
    ) -> tuple[dict[str, Any], Files]:
        return webgpu_section(program, kernels, arrays)

    def stage_of(self, op: Operation) -> Literal["loops", "target"] | None:
        if not isinstance(op, kernel.FuncOp):
            return None
        if BINDINGS in op.attributes:
            return "target"
        return "loops" if op.grid is not None else None

    def emit(self, module: ModuleOp, kind: str) -> bytes:
        return print_wgsl(module).encode()
