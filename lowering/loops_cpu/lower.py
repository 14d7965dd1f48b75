"""The passes `assign-cpu-schedules` and `lower-kernels-to-cpu-loops`."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.linalg_ext import ordering_op
from webdnn.lowering.loops_common.emitter import Emitter
from webdnn.lowering.loops_common.function import begin_function, end_function
from webdnn.lowering.loops_cpu.groups import read_groups
from webdnn.lowering.loops_cpu.heuristics import choose
from webdnn.lowering.loops_cpu.loops import emit_group
from webdnn.lowering.loops_cpu.ordering import lower_ordering
from webdnn.lowering.loops_cpu.schedule import from_attr, to_attr

SCRATCH_ELEMENTS = 1 << 15
"""Elements of scratch memory that one row of a kernel may need; the stack is as large as the kernels want it."""


def assign_schedule(func: FuncOp) -> None:
    """Give a kernel a schedule, unless it has one."""
    if func.schedule is None and ordering_op(func.body.block) is None:
        groups = read_groups(func, scratch_elements=SCRATCH_ELEMENTS)
        func.properties["schedule"] = to_attr(choose(groups))


def check_schedule(func: FuncOp) -> None:
    """Check the schedule of a kernel, if it has one, without lowering the kernel.

    Raises:
        WebDNNError: it does not fit.
    """
    if func.schedule is not None:
        groups = read_groups(func, scratch_elements=SCRATCH_ELEMENTS)
        from_attr(func.schedule, groups, func.sym_name.data)


def lower_kernel(func: FuncOp) -> FuncOp:
    """A kernel on level `kernels` as loops for one CPU thread, cut as its schedule says.

    Raises:
        WebDNNError: the kernel cannot be lowered, or its schedule does not fit it.
    """
    if (op := ordering_op(func.body.block)) is not None:
        return lower_ordering(func, op)
    groups = read_groups(func, scratch_elements=SCRATCH_ELEMENTS)
    given = func.schedule
    schedules = from_attr(given, groups, func.sym_name.data) if given else choose(groups)
    stages = [stage for group in groups for stage in group.stages]
    accesses = [access for stage in stages for access in (*stage.stores, *stage.loads())]
    emitter = Emitter(begin_function(func, accesses), func.symbols)
    for group, schedule in zip(groups, schedules, strict=True):
        emit_group(emitter, group, schedule)
    return end_function(func, emitter.block, to_attr(schedules))


def _kernels(module: ModuleOp) -> list[FuncOp]:
    return [op for op in module.ops if isinstance(op, FuncOp) and not op.is_lowered]


@dataclass(frozen=True)
class AssignCPUSchedulesPass(ModulePass):
    """Write a schedule for one CPU thread on every kernel that has none."""

    name = "assign-cpu-schedules"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for func in _kernels(op):
            assign_schedule(func)


@dataclass(frozen=True)
class LowerKernelsToCPULoopsPass(ModulePass):
    """Lower every kernel from structured ops on tensors to loops over flat memory for one CPU thread."""

    name = "lower-kernels-to-cpu-loops"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for func in _kernels(op):
            Rewriter.replace_op(func, lower_kernel(func), [])
