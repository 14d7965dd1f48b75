"""The schedules that the compiler has chosen before: a search that is not made again when only the weights changed."""

from __future__ import annotations

from dataclasses import dataclass, field

from xdsl.context import Context
from xdsl.dialects.builtin import DenseArrayBase, ModuleOp
from xdsl.passes import ModulePass

from webdnn.dialects.kernel import PANELS, FuncOp, ScheduleAttr
from webdnn.kernel_cache import KernelCache
from webdnn.lowering.kernels.digest import kernel_digest
from webdnn.lowering.kernels.pack_weights import launches_of, weight_operands

_Choice = tuple[ScheduleAttr, DenseArrayBase | None]
"""The schedule and the panels of a kernel."""


@dataclass
class ScheduleMemory:
    """What the cost model chose for each kernel, kept in a cache under what it chose from: the kernel, which of its
    operands are weights, and the compiler.

    Attributes:
        cache: where choices are kept.
        target: which the cost model is of.
    """

    cache: KernelCache
    target: str
    _open: dict[str, str] = field(default_factory=dict[str, str])
    """The keys of the kernels that a choice is yet to be made for, by name."""

    def passes(self) -> tuple[ModulePass, ModulePass]:
        """The pass that goes before the choice, and the one that goes after it."""
        return RecallSchedules(self), KeepSchedules(self)

    def recall(self, module: ModuleOp) -> None:
        """Give kernels without schedule and panels what was chosen for them before."""
        launches = launches_of(module)
        for func in _kernels(module):
            if func.schedule is not None or PANELS in func.attributes:
                continue
            name = func.sym_name.data
            weights = weight_operands(launches.get(name, ()))
            key = self.cache.key("schedule", self.target, kernel_digest(func), repr(weights))
            choice: _Choice | None = self.cache.get(key)
            if choice is None:
                self._open[name] = key
                continue
            func.properties["schedule"], panels = choice
            if panels is not None:
                func.attributes[PANELS] = panels

    def keep(self, module: ModuleOp) -> None:
        """Keep what has been chosen for the kernels that `recall` did not know."""
        for func in _kernels(module):
            key = self._open.pop(func.sym_name.data, None)
            if key is None or func.schedule is None:
                continue
            panels = func.attributes.get(PANELS)
            assert panels is None or isinstance(panels, DenseArrayBase)
            choice: _Choice = (func.schedule, panels)
            self.cache.put(key, choice)


def _kernels(module: ModuleOp) -> list[FuncOp]:
    return [op for op in module.ops if isinstance(op, FuncOp) and not op.is_lowered]


@dataclass(frozen=True)
class RecallSchedules(ModulePass):
    """See `ScheduleMemory.recall`; for pipelines that are built in Python."""

    name = "recall-schedules"

    memory: ScheduleMemory

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        self.memory.recall(op)


@dataclass(frozen=True)
class KeepSchedules(ModulePass):
    """See `ScheduleMemory.keep`; for pipelines that are built in Python."""

    name = "keep-schedules"

    memory: ScheduleMemory

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        self.memory.keep(op)
