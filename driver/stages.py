"""The stages of the compiler, in order: each can be printed, dumped, started from and stopped at by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.universe import Universe
from xdsl.utils.exceptions import VerifyException

from webdnn.dialects.dominance import verify_dominance
from webdnn.dialects.errors import WebDNNError
from webdnn.lowering.kernels.apply_schedules import ApplySchedules, ApplyScheduleTable
from webdnn.lowering.kernels.defer_launches_at_load import DeferLaunchesAtLoad
from webdnn.lowering.kernels.launch_at_load import LaunchAtLoad
from webdnn.lowering.kernels.outline import OutlineKernels
from webdnn.lowering.kernels.overwrite_operands import OverwriteOperands
from webdnn.lowering.kernels.pack_weights import PackWeights
from webdnn.lowering.kernels.place_parts import PlaceParts
from webdnn.lowering.kernels.plan_memory import PlanMemory
from webdnn.lowering.kernels.schedule_table import ScheduleTable
from webdnn.lowering.linalg.absorb_transposes import AbsorbTransposes
from webdnn.lowering.linalg.fuse_attention import FuseAttention
from webdnn.lowering.linalg.fuse_pads import FusePads
from webdnn.lowering.linalg.fuse_regions import FuseKernelRegions
from webdnn.lowering.linalg.merge_sort import MergeSort
from webdnn.lowering.linalg.pack_tables import PackTables
from webdnn.lowering.linalg.radix_sort import RadixSort
from webdnn.lowering.linalg.separate_nans import SeparateNans
from webdnn.lowering.linalg.split_reductions import SplitReductions
from webdnn.lowering.linalg.winograd import WinogradConvolutions
from webdnn.lowering.loops_cpu.distribute import DistributeParallelLoops
from webdnn.lowering.loops_cpu.lower import AssignCPUSchedulesPass, LowerKernelsToCPULoopsPass
from webdnn.lowering.loops_gpu.lower import LowerKernelsToGPULoopsPass
from webdnn.lowering.loops_gpu.schedules import AssignGPUSchedulesPass
from webdnn.lowering.nn.decompose_rows import DecomposeRows
from webdnn.lowering.nn.decompose_transposed_conv import DecomposeTransposedConv
from webdnn.lowering.nn.fold_channel_affine import FoldScaleIntoConv
from webdnn.lowering.nn.hoist_weights import HoistWeights
from webdnn.lowering.nn.integer_products import IntegerProducts
from webdnn.lowering.nn.join_slices import JoinSlices
from webdnn.lowering.nn.merge_matmuls import MergeMatmuls
from webdnn.lowering.nn.multiply_by_inverse import MultiplyByInverse
from webdnn.lowering.nn.narrow_integers import NarrowIntegers
from webdnn.lowering.nn.recognize_normalize import RecognizeNormalize
from webdnn.lowering.nn.sink_transposes import SinkTransposes
from webdnn.lowering.nn.split_concats import SplitConcats
from webdnn.lowering.nn.split_large_weights import SplitLargeWeights
from webdnn.lowering.nn_to_linalg.convert import ConvertNNToLinalg
from webdnn.lowering.onnx_to_nn.convert import ConvertOnnxToNN
from webdnn.lowering.target_wasm.kernels_to_llvm import LowerKernelsToLLVM
from webdnn.lowering.target_wasm.plan_to_llvm import LowerPlanToLLVM
from webdnn.lowering.target_wgsl.pipeline import LowerToWGSLPass
from webdnn.universe import WEBDNN_UNIVERSE

Target = Literal["wasm", "webgpu"]

TARGETS: tuple[Target, ...] = ("wasm", "webgpu")


@dataclass(frozen=True)
class Stage:
    """A level of the IR.

    Args:
        name: what people call it.
        passes: the passes that lead from the stage before to this one, for a target.
    """

    name: str
    passes: Callable[[Target], Sequence[ModulePass]]


def _kernels(target: Target) -> Sequence[ModulePass]:
    if target == "wasm":
        return (
            RadixSort(),
            WinogradConvolutions(),
            FuseAttention(),
            AbsorbTransposes(),
            SplitReductions(parts=16, least=1 << 15, least_wide=1 << 15, worth=4),
            SeparateNans(),
            OutlineKernels(),
            ApplySchedules(),
            PackWeights(),
            PlaceParts(),
            OverwriteOperands(),
            AssignCPUSchedulesPass(),
        )
    return (
        MergeSort(),
        SplitReductions(),
        FusePads(),
        PackTables(),
        OutlineKernels(),
        ApplySchedules(target=target),
        AssignGPUSchedulesPass(),
    )


def _loops(target: Target) -> Sequence[ModulePass]:
    plan = (LaunchAtLoad(), PlanMemory(target=target))
    if target == "wasm":
        return (
            LowerKernelsToCPULoopsPass(),
            DistributeParallelLoops(),
            *plan,
            DeferLaunchesAtLoad(),
        )
    return (LowerKernelsToGPULoopsPass(), *plan)


def _target(target: Target) -> Sequence[ModulePass]:
    if target == "wasm":
        return (LowerPlanToLLVM(), LowerKernelsToLLVM())
    return (LowerToWGSLPass(),)


STAGES: tuple[Stage, ...] = (
    Stage("onnx", lambda _: ()),
    Stage(
        "nn",
        lambda _: (
            ConvertOnnxToNN(),
            SinkTransposes(),
            JoinSlices(),
            IntegerProducts(),
            NarrowIntegers(),
            FoldScaleIntoConv(),
            DecomposeTransposedConv(),
            RecognizeNormalize(),
            DecomposeRows(),
            MultiplyByInverse(),
            MergeMatmuls(),
            SplitLargeWeights(),
            SplitConcats(),
        ),
    ),
    Stage("linalg", lambda _: (HoistWeights(), ConvertNNToLinalg(), FuseKernelRegions())),
    Stage("kernels", _kernels),
    Stage("loops", _loops),
    Stage("target", _target),
    Stage("package", lambda _: ()),
)
"""In order. `onnx` is what the front end gives; `package` is made from `target` by the code generators."""


OPTIONAL_PASSES: tuple[str, ...] = (
    "sink-transposes",
    "join-slices",
    "fold-scale-into-conv",
    "decompose-transposed-conv",
    "recognize-normalize",
    "multiply-by-inverse",
    "merge-matmuls",
    "fuse-kernel-regions",
    "winograd-convolutions",
    "fuse-attention",
    "absorb-transposes",
    "split-reductions",
    "separate-nans",
    "fuse-pads",
    "apply-schedules",
    "pack-weights",
    "place-parts",
    "overwrite-operands",
    "defer-launches-at-load",
)
"""Passes without which a model is still compiled, only to something slower."""


def check_optional(names: Sequence[str]) -> None:
    """Raises a WebDNNError where a name is not that of an optional pass."""
    for name in names:
        if name not in OPTIONAL_PASSES:
            raise WebDNNError(
                f"the pass {name!r} cannot be left out", hint="one of " + ", ".join(OPTIONAL_PASSES)
            )


def stage_index(name: str) -> int:
    """The place of a stage; a WebDNNError where there is none of that name."""
    for index, stage in enumerate(STAGES):
        if stage.name == name:
            return index
    raise WebDNNError(
        f"there is no stage {name!r}", hint="one of " + ", ".join(s.name for s in STAGES)
    )


def passes_between(
    start: str,
    stop: str,
    target: Target,
    schedules: ScheduleTable | None = None,
) -> list[tuple[str, ModulePass]]:
    """The passes that lead from stage `start` to stage `stop`, each with the stage it leads to.

    Args:
        schedules: schedules that go before those of the compiler.
    """
    first, last = stage_index(start), stage_index(stop)
    found: list[tuple[str, ModulePass]] = []
    for stage in STAGES[first + 1 : last + 1]:
        for step in stage.passes(target):
            if isinstance(step, ApplySchedules):
                given = schedules if schedules is not None else ScheduleTable()
                found.append((stage.name, ApplyScheduleTable(given, target)))
            found.append((stage.name, step))
    return found


def context() -> Context:
    """An xDSL context that knows the dialects of every stage."""
    ctx = Context()
    for name, factory in Universe.get_multiverse().all_dialects.items():
        ctx.register_dialect(name, factory)
    for name, factory in WEBDNN_UNIVERSE.all_dialects.items():
        if name not in ctx.registered_dialect_names:
            ctx.register_dialect(name, factory)
    return ctx


def run_stages(module: ModuleOp, start: str, stop: str, target: Target) -> None:
    """Lower a module in place from stage `start` to stage `stop`."""
    ctx = context()
    for _, step in passes_between(start, stop, target):
        apply_pass(step, ctx, module)


def apply_pass(step: ModulePass, ctx: Context, module: ModuleOp) -> None:
    """Apply a pass to a module in place, and check that all values are defined where they are used. (That takes a
    twentieth of the time of the passes; to verify all else takes as long as the passes.)

    Raises:
        WebDNNError: they are not; names the pass.
    """
    step.apply(ctx, module)
    try:
        verify_dominance(module)
    except VerifyException as error:
        leave = (
            f"leave it out (--without {step.name}), and " if step.name in OPTIONAL_PASSES else ""
        )
        raise WebDNNError(
            f"the pass {step.name} made a module that is not valid",
            why=str(error),
            hint=f"{leave}report it: no model should cause this",
        ) from error
