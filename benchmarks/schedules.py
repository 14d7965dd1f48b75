"""Measures the schedules that ship with the compiler (`lowering/kernels/default_schedules.toml`) on the models here."""

from rich.console import Console

from webdnn.lowering.kernels.schedule_table import (
    DEFAULT_TABLE,
    ScheduleEntry,
    ScheduleTable,
    default_table,
)
from webdnn.progress import progress_bars
from webdnn.tuning import tune

from .models import MODELS
from .results import ResultTable

MODELS_TO_TUNE = ["resnet50", "vgg16", "mobilenetv2", "minilm", "bert"]


def measure(names: list[str], seconds: float, kernels: int | None, console: Console) -> ResultTable:
    """Tune each model in Chromium against the cost model alone, and write the table that ships.

    Entries of kernels that were not searched now stay.

    Args:
        seconds: for each model.
        kernels: of each model, the slowest so many.
    """
    searched: dict[str, ScheduleEntry] = {}
    gains: dict[str, ScheduleEntry] = {}
    measured: dict[str, str] = {}
    for name in names:
        console.print(f"[bold]{name}")
        with progress_bars(console) as progress:
            outcome = tune(
                MODELS[name].path(),
                seconds=seconds,
                kernels=kernels,
                default_schedules=False,
                progress=progress,
            )
        measured = dict(outcome.table.measured)
        for entry, _ in outcome.searched:
            searched.setdefault(entry.digest, entry)
        for entry in outcome.table.entries:
            gains.setdefault(entry.digest, entry)
    kept = [e for e in default_table().entries if e.digest not in searched]
    entries = sorted([*kept, *gains.values()], key=lambda e: (e.target, e.digest))
    ScheduleTable(entries, measured=measured).save(DEFAULT_TABLE)
    table = ResultTable("Schedules", ["kernel", "untuned (ms)", "tuned (ms)", "gain"])
    for entry in searched.values():
        before, after = entry.untuned_milliseconds or 0.0, entry.milliseconds or 0.0
        gain = f"{100 * (1 - after / before):.0f}%" if entry.digest in gains else ""
        table.rows.append([entry.name, f"{before:.3f}", f"{after:.3f}", gain])
    table.notes.append(f"{len(gains)} of {len(searched)} kernels gain; written: {DEFAULT_TABLE}")
    return table
