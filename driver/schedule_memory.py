"""The schedules that the compiler has chosen before: a search that is not made again when only the weights changed."""

from __future__ import annotations

from dataclasses import dataclass, field

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import PANELS, FuncOp, ScheduleAttr, panels_of
from webdnn.kernel_cache import CacheEntry, KernelCache, are_integers
from webdnn.lowering.kernels.apply_schedules import check_entry, write_entry
from webdnn.lowering.kernels.digest import kernel_digest
from webdnn.lowering.kernels.launches import launches_of, weight_operands
from webdnn.lowering.kernels.schedule_table import ScheduleEntry


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
            digest = kernel_digest(func)
            key = self.cache.key("schedule", self.target, digest, repr(weights))
            choice = _from_entry(self.cache.get(key), digest, self.target)
            if choice is None or not _fits(func, choice, weights):
                self._open[name] = key
            else:
                write_entry(func, choice)

    def keep(self, module: ModuleOp) -> None:
        """Keep what has been chosen for the kernels that `recall` did not know."""
        for func in _kernels(module):
            key = self._open.pop(func.sym_name.data, None)
            if key is not None and func.schedule is not None:
                panels = panels_of(func)
                fields = {
                    "schedule": func.schedule.to_dict(),
                    "panels": None if panels is None else list(panels),
                }
                self.cache.put(key, CacheEntry(fields))


def _from_entry(entry: CacheEntry | None, digest: str, target: str) -> ScheduleEntry | None:
    """The choice that an entry of the cache says; None if it says none."""
    match entry:
        case CacheEntry(fields={"schedule": dict(values), "panels": panels}):
            pass
        case _:
            return None
    known = (isinstance(v, str) or are_integers([v]) or are_integers(v) for v in values.values())
    if not all(known) or not (panels is None or are_integers(panels)):
        return None
    schedule = ScheduleAttr.of(values)
    return ScheduleEntry(digest, target, schedule, None if panels is None else tuple(panels))


def _fits(func: FuncOp, choice: ScheduleEntry, weights: list[int]) -> bool:
    try:
        check_entry(func, choice, weights)
    except WebDNNError:
        return False
    return True


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
