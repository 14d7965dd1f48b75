"""The stages of the compiler, in order: each can be printed, dumped, started from and stopped at by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from webdnn.dialects.errors import WebDNNError
from webdnn.lowering.kernels.apply_schedules import ApplySchedules, ApplyScheduleTable
from webdnn.lowering.kernels.schedule_table import ScheduleTable
from webdnn.lowering.nn.decompose_rows import DecomposeRows
from webdnn.lowering.nn.decompose_transposed_conv import DecomposeTransposedConv
from webdnn.lowering.nn.fold_channel_affine import FoldScaleIntoConv
from webdnn.lowering.nn.integer_products import IntegerProducts
from webdnn.lowering.nn.join_slices import JoinSlices
from webdnn.lowering.nn.merge_matmuls import MergeMatmuls
from webdnn.lowering.nn.multiply_by_inverse import MultiplyByInverse
from webdnn.lowering.nn.narrow_integers import NarrowIntegers
from webdnn.lowering.nn.recognize_normalize import RecognizeNormalize
from webdnn.lowering.nn.sink_transposes import SinkTransposes
from webdnn.lowering.onnx_to_nn.convert import ConvertOnnxToNN
from webdnn.passes import apply_pass, context
from webdnn.targets import find_target
from webdnn.targets.target import AnyTarget


@dataclass(frozen=True)
class Stage:
    """A level of the IR.

    Args:
        name: what people call it.
        passes: the passes that lead from the stage before to this one, for a target.
    """

    name: str
    passes: Callable[[AnyTarget], Sequence[ModulePass]]


def _of_target(stage: str) -> Stage:
    return Stage(stage, lambda target: target.passes(stage))


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
        ),
    ),
    _of_target("linalg"),
    _of_target("kernels"),
    _of_target("loops"),
    _of_target("target"),
    Stage("package", lambda _: ()),
)
"""In order. `onnx` is what the front end gives; `package` is made from `target` by the code generators."""

LAST_COMMON_STAGE = "nn"
"""Up to here the IR is the same for all targets."""


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
    target: str | AnyTarget,
    schedules: ScheduleTable | None = None,
) -> list[tuple[str, ModulePass]]:
    """The passes that lead from stage `start` to stage `stop`, each with the stage it leads to.

    Args:
        target: one of `TARGETS`, or its name; up to stage `nn` it makes no difference which.
        schedules: schedules that go before those of the compiler.
    """
    first, last = stage_index(start), stage_index(stop)
    chosen = find_target(target) if isinstance(target, str) else target
    found: list[tuple[str, ModulePass]] = []
    for stage in STAGES[first + 1 : last + 1]:
        for step in stage.passes(chosen):
            if isinstance(step, ApplySchedules):
                given = schedules if schedules is not None else ScheduleTable()
                found.append((stage.name, ApplyScheduleTable(given, chosen.name)))
            found.append((stage.name, step))
    return found


def run_stages(module: ModuleOp, start: str, stop: str, target: str) -> None:
    """Lower a module in place from stage `start` to stage `stop`."""
    ctx = context()
    for _, step in passes_between(start, stop, target):
        apply_pass(step, ctx, module)
