"""Schedules of kernels that come from outside of the compiler, and go out of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

from xdsl.dialects.builtin import ModuleOp

from webdnn.lowering.kernels.apply_schedules import table_of
from webdnn.lowering.kernels.schedule_table import ScheduleEntry, ScheduleTable

AUTO = "auto"
"""Asks for what was learnt by tuning on this machine."""


def find_schedules(given: ScheduleTable | str | Path | None) -> ScheduleTable | None:
    """The table that an option names.

    Raises:
        WebDNNError: the file is missing or bad.
    """
    if given is None or isinstance(given, ScheduleTable):
        return given
    if given == AUTO:
        from webdnn.tuning.cache import TuningCache

        return TuningCache().table()
    return ScheduleTable.load(given)


def warn_of_unused(
    table: ScheduleTable, targets: Iterable[str], kernels: set[tuple[str, str]]
) -> None:
    """Warn, once, of entries that fit no kernel, by target and digest, that was compiled. A lenient table is not meant
    for one model alone: of it nothing is told."""
    wanted = set(targets)
    unused = [
        entry
        for entry in table.entries
        if entry.target in wanted and (entry.target, entry.digest) not in kernels
    ]
    if table.strict and unused:
        shown = ", ".join(f"{e.digest} ({e.name})" if e.name else e.digest for e in unused[:8])
        more = f" and {len(unused) - 8} more" if len(unused) > 8 else ""
        count = f"{len(unused)} of {len(table.entries)} schedules"
        warnings.warn(f"{count} fit no kernel of this model: {shown}{more}", stacklevel=3)


class ScheduleDump:
    """A hook for `webdnn.compile` that keeps the schedule of each kernel.

    Args:
        path: the file that `save` writes; None for none.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.entries: list[ScheduleEntry] = []

    def __call__(self, stage: str, target: str | None, module: ModuleOp) -> None:
        if stage == "kernels" and target is not None:
            self.entries += table_of(module, target).entries

    @property
    def table(self) -> ScheduleTable:
        """What was seen so far."""
        return ScheduleTable(self.entries)

    def save(self) -> None:
        """Write the file, if there is to be one."""
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.table.save(self.path)


def all_hooks(
    *hooks: Callable[[str, str | None, ModuleOp], None],
) -> Callable[[str, str | None, ModuleOp], None]:
    """A hook that calls each of several."""

    def hook(stage: str, target: str | None, module: ModuleOp) -> None:
        for each in hooks:
            each(stage, target, module)

    return hook
