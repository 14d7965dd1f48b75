"""`assign-gpu-schedules`: a heuristic writes how each kernel is cut into workgroups and invocations.

The schedule is an attribute that a person or a tuner can edit before the lowering obeys it. A kernel
that has one keeps it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from webdnn.dialects.kernel import FuncOp
from webdnn.lowering.loops_gpu.expression import Output
from webdnn.lowering.loops_gpu.read_kernel import read_kernel
from webdnn.lowering.loops_gpu.strategy import Pointwise, Strategy, to_attribute


def schedule_for(outputs: Sequence[Output]) -> Strategy:
    """The schedule that the heuristic gives a kernel."""
    return Pointwise()


@dataclass(frozen=True)
class AssignGPUSchedulesPass(ModulePass):
    """Gives each kernel of level `kernels` that has no schedule one."""

    name = "assign-gpu-schedules"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for func in op.walk():
            if isinstance(func, FuncOp) and not func.is_lowered and func.schedule is None:
                func.schedule = to_attribute(schedule_for(read_kernel(func)))
