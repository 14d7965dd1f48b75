"""WebAssembly: kernels become object files, which are linked with the host program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from xdsl.dialects import llvm, vector
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from webdnn.codegen.wasm.compile import TRIPLE, compile_assembly, compile_object
from webdnn.codegen.wasm.link import link
from webdnn.codegen.wasm.llvm_ir import to_llvmlite
from webdnn.dialects import kernel
from webdnn.dialects.dtypes import Array
from webdnn.dialects.ir_parser import IRParser
from webdnn.dialects.wasm_memory import PAGE, check_pages
from webdnn.dialects.wgsl import BINDINGS
from webdnn.kernel_cache import CacheEntry
from webdnn.lowering.kernels.apply_schedules import ApplySchedules
from webdnn.lowering.kernels.defer_launches_at_load import DeferLaunchesAtLoad
from webdnn.lowering.kernels.launch_at_load import LaunchAtLoad
from webdnn.lowering.kernels.outline import OutlineKernels
from webdnn.lowering.kernels.overwrite_operands import OverwriteOperands
from webdnn.lowering.kernels.pack_weights import PackWeights
from webdnn.lowering.kernels.place_parts import PlaceParts
from webdnn.lowering.kernels.plan_memory import PlanMemory
from webdnn.lowering.linalg.absorb_transposes import AbsorbTransposes
from webdnn.lowering.linalg.fuse_attention import FuseAttention
from webdnn.lowering.linalg.radix_sort import RadixSort
from webdnn.lowering.linalg.separate_nans import SeparateNans
from webdnn.lowering.linalg.split_reductions import SplitReductions
from webdnn.lowering.linalg.winograd import WinogradConvolutions
from webdnn.lowering.loops_cpu.distribute import DistributeParallelLoops
from webdnn.lowering.loops_cpu.lower import AssignCPUSchedulesPass, LowerKernelsToCPULoopsPass
from webdnn.lowering.loops_cpu.target import WASM
from webdnn.lowering.target_wasm.expand_half import ExpandHalf
from webdnn.lowering.target_wasm.expand_math import ExpandMath
from webdnn.lowering.target_wasm.kernels_to_llvm import LowerKernelsToLLVM
from webdnn.lowering.target_wasm.launch_calls import PREPARE, RUN, RUN_RANGE, KernelWork
from webdnn.lowering.target_wasm.layout import kernel_stack_bytes
from webdnn.lowering.target_wasm.plan_to_llvm import LowerPlanToLLVM
from webdnn.lowering.target_wasm.warm_up import WARM_UP
from webdnn.packaging.program import Files, Program
from webdnn.packaging.wasm import wasm_section
from webdnn.packaging.wasm_kernel import WASM_VARIANTS, WasmKernel, from_entry, to_entry
from webdnn.passes import apply_pass, context
from webdnn.targets.target import PackageOptions, Target, UserPasses


@dataclass(frozen=True)
class WasmTarget(Target[WasmKernel]):
    """See the module's docstring.

    Args:
        relaxed: whether a module that is emitted alone uses relaxed simd.
        variants: which of WASM_VARIANTS a kernel is compiled to.
    """

    relaxed: bool = False
    variants: Sequence[tuple[str, tuple[str, ...]]] = WASM_VARIANTS

    lowering = WASM
    search_pass = AssignCPUSchedulesPass.name
    emissions = ("llvm-ir", "wasm-assembly", "wasm-object", "wasm-module")

    def passes(self, stage: str) -> Sequence[ModulePass]:
        match stage:
            case "linalg":
                return self.structured()
            case "kernels":
                return (
                    RadixSort(),
                    WinogradConvolutions(),
                    FuseAttention(),
                    AbsorbTransposes(),
                    SplitReductions(parts=16, least=1 << 15, least_wide=1 << 15, worth=4),
                    SeparateNans(),
                    OutlineKernels(),
                    ApplySchedules(target=self.name),
                    PackWeights(target=self.name),
                    PlaceParts(target=self.name),
                    OverwriteOperands(target=self.name),
                    AssignCPUSchedulesPass(),
                )
            case "loops":
                return (
                    LowerKernelsToCPULoopsPass(),
                    DistributeParallelLoops(),
                    LaunchAtLoad(),
                    PlanMemory(target=self.name),
                    DeferLaunchesAtLoad(target=self.name),
                )
            case _:
                return (LowerPlanToLLVM(), LowerKernelsToLLVM(relaxed=self.relaxed))

    def check_tensor(self, bytes: int) -> None:
        check_pages(-(-bytes // PAGE))

    def compile_kernel(self, text: str, extra: UserPasses = ()) -> WasmKernel:
        ctx = context()
        module = IRParser(ctx, text).parse_module()
        at_loops = [step for stage, step in extra if stage == "loops"]
        for step in (*self.passes("loops"), *at_loops):
            apply_pass(step, ctx, module)
        (func,) = [op for op in module.ops if isinstance(op, kernel.FuncOp)]
        apply_pass(ExpandHalf(), ctx, module)
        apply_pass(ExpandMath(), ctx, module)
        stack = kernel_stack_bytes(func)
        # The variants differ in how vectors are multiplied and added; without that they are one.
        differ = bool(extra) or any(isinstance(op, vector.FMAOp) for op in func.walk())
        objects: list[bytes] = []
        for _, features in self.variants if differ else self.variants[-1:]:
            variant = module.clone()
            apply_pass(LowerKernelsToLLVM(relaxed="relaxed-simd" in features), ctx, variant)
            for stage, step in extra:
                if stage == "target":
                    apply_pass(step, ctx, variant)
            objects.append(compile_object(variant, features))
        if not differ:
            objects *= len(self.variants)
        return WasmKernel(tuple(objects), stack, KernelWork.of(func))

    def to_entry(self, compiled: WasmKernel) -> CacheEntry:
        return to_entry(compiled)

    def from_entry(self, entry: CacheEntry, func: kernel.FuncOp) -> WasmKernel | None:
        return from_entry(entry)

    def section(
        self,
        program: Program,
        kernels: Mapping[str, WasmKernel],
        arrays: Sequence[Array],
        options: PackageOptions,
    ) -> tuple[dict[str, Any], Files]:
        return wasm_section(program, kernels, arrays, threads=options.threads)

    def stage_of(self, op: Operation) -> Literal["loops", "target"] | None:
        if isinstance(op, llvm.FuncOp):
            return "target"
        if isinstance(op, kernel.FuncOp) and op.is_lowered:
            return "loops" if BINDINGS not in op.attributes and op.grid is None else None
        return None

    def emit(self, module: ModuleOp, kind: str) -> bytes:
        code = ModuleOp([op.clone() for op in module.ops if isinstance(op, llvm.FuncOp)])
        _, features = WASM_VARIANTS[0 if self.relaxed else 1]
        match kind:
            case "llvm-ir":
                return str(to_llvmlite(code, triple=TRIPLE)).encode()
            case "wasm-assembly":
                return compile_assembly(code, features).encode()
            case "wasm-object":
                return compile_object(code, features)
            case _:
                return link([compile_object(code, features)], exports=_exports(code))


def _exports(code: ModuleOp) -> list[str]:
    """The entry points of a host program; of kernels alone, all functions that others may call."""
    names = [
        op.sym_name.data
        for op in code.ops
        if isinstance(op, llvm.FuncOp)
        and op.body.blocks
        and op.linkage.linkage.data not in ("internal", "private")
    ]
    return [n for n in (RUN, RUN_RANGE, WARM_UP, PREPARE) if n in names] or names
