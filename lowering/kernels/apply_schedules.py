"""`apply-schedules`: write the schedules of a table on the kernels that it knows."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import DenseArrayBase, ModuleOp, StringAttr, i64
from xdsl.passes import ModulePass

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import DIGEST, PANELS, FuncOp, panels_of
from webdnn.dialects.locations import location_names
from webdnn.dialects.plan import ENTRY
from webdnn.lowering.kernels.digest import kernel_digest
from webdnn.lowering.kernels.launches import launches_of, weight_operands
from webdnn.lowering.kernels.schedule_table import (
    ScheduleEntry,
    ScheduleTable,
    default_table,
)
from webdnn.lowering.target import lowering_target
from webdnn.lowering.weights_function import find_function


@dataclass(frozen=True)
class ApplySchedules(ModulePass):
    """Gives the kernels that a table of schedules knows their entry's schedule and panels.

    A kernel that has a schedule or panels keeps them. Every kernel gets its digest as an attribute.

    Attributes:
        file: the table (see `schedule_table`); without it, the one that ships with the compiler, whose entries are
            left out where they do not fit, or where the cost model has changed since they were measured.
        target: whose entries are taken.
    """

    name = "apply-schedules"

    file: str = ""
    target: str = "wasm"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        table = ScheduleTable.load(self.file) if self.file else default_table()
        apply_table(op, table, self.target)


@dataclass(frozen=True)
class ApplyScheduleTable(ModulePass):
    """`ApplySchedules` with a table in memory; for pipelines that are built in Python."""

    name = "apply-schedule-table"

    table: ScheduleTable
    target: str

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        apply_table(op, self.table, self.target)


def apply_table(module: ModuleOp, table: ScheduleTable, target: str) -> None:
    """See `ApplySchedules`.

    Raises:
        WebDNNError: an entry does not fit its kernel, and the table is strict.
    """
    launches = launches_of(module) if find_function(module, ENTRY) is not None else {}
    for func in module.ops:
        if not isinstance(func, FuncOp) or func.is_lowered:
            continue
        digest = kernel_digest(func)
        func.attributes[DIGEST] = StringAttr(digest)
        entry = table.find(target, digest)
        if entry is None or func.schedule is not None or PANELS in func.attributes:
            continue
        weights = weight_operands(launches.get(func.sym_name.data, ()))
        if not table.strict and _is_outdated(func, entry, weights):
            continue
        try:
            check_entry(func, entry, weights)
        except WebDNNError as error:
            if not table.strict:
                continue
            name = f" ({entry.name})" if entry.name else ""
            raise WebDNNError(
                "a schedule does not fit its kernel",
                where=f"kernel {digest}{name}",
                why=error.why or error.what,
                hint="remove or correct the entry; webdnn compile --dump-schedule writes ones that fit",
            ) from error
        write_entry(func, entry)


def _is_outdated(func: FuncOp, entry: ScheduleEntry, weights: list[int]) -> bool:
    """Whether the cost model chooses something else today than what an entry was found to be better than."""
    if entry.untuned_schedule is None:
        return False
    target = lowering_target(entry.target)
    trial = func.clone()
    target.pack(trial, weights)
    target.choose_schedule(trial)
    return (trial.schedule, panels_of(trial)) != (entry.untuned_schedule, entry.untuned_panels)


def write_entry(func: FuncOp, entry: ScheduleEntry) -> None:
    """Give a kernel the schedule and the panels of an entry."""
    if entry.schedule is not None:
        func.properties["schedule"] = entry.schedule
    if entry.panels is not None:
        func.attributes[PANELS] = DenseArrayBase.from_list(i64, entry.panels)


def check_entry(func: FuncOp, entry: ScheduleEntry, weights: list[int]) -> None:
    """Check that an entry fits a kernel whose operands `weights` are weights.

    Raises:
        WebDNNError: it does not.
    """
    trial = func.clone()
    write_entry(trial, entry)
    lowering_target(entry.target).check_schedule(trial, weights)


def table_of(module: ModuleOp, target: str) -> ScheduleTable:
    """The schedules of the kernels of a module on level `kernels`, in their order."""
    launches = launches_of(module)
    entries: dict[str, ScheduleEntry] = {}
    for func in module.ops:
        if not isinstance(func, FuncOp) or func.is_lowered or func.schedule is None:
            continue
        name = func.sym_name.data
        users = launches.get(name, [])
        entry = ScheduleEntry(
            kernel_digest(func),
            target,
            func.schedule,
            panels_of(func),
            name,
            tuple(dict.fromkeys(location_names(users[0].location))) if users else (),
        )
        entries.setdefault(entry.digest, entry)
    return ScheduleTable(list(entries.values()))
