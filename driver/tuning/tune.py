"""`tune`: a model in, a table of schedules out."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Unpack

from rich.table import Table
from xdsl.dialects.builtin import ModuleOp

from webdnn.compile_arguments import CompileArguments
from webdnn.compiler import Model
from webdnn.compiler import compile as compile_model
from webdnn.dialects.kernel import FuncOp
from webdnn.engines.scripted import ScriptedEngine, ScriptedEngineName, scripted_engine
from webdnn.kernel_profile import profile_package
from webdnn.lowering.kernels.apply_schedules import ApplyScheduleTable
from webdnn.lowering.kernels.digest import kernel_digest
from webdnn.lowering.kernels.launches import launches_of, weight_operands
from webdnn.lowering.kernels.schedule_table import ScheduleEntry, ScheduleTable
from webdnn.passes import context
from webdnn.progress import Progress, no_progress
from webdnn.schedules import ScheduleDump
from webdnn.stages import passes_between
from webdnn.tuning.cache import TuningCache, is_gain
from webdnn.tuning.candidates import Candidate
from webdnn.tuning.search import Budget, Found, search

_LEAST_SECONDS = 5.0
"""Of a search: with less nothing is learnt."""


@dataclass
class Tuned:
    """The outcome.

    Attributes:
        table: the schedules that are faster than the compiler's own.
        searched: of each kernel that was searched its entry and how many schedules were tried (0: known before).
    """

    table: ScheduleTable
    searched: list[tuple[ScheduleEntry, int]] = field(
        default_factory=list[tuple[ScheduleEntry, int]]
    )


@dataclass
class _Kernel:
    """A kernel as it was outlined, what the compiler chose for it, and the milliseconds of all its launches."""

    func: FuncOp
    weights: list[int]
    chosen: ScheduleEntry
    milliseconds: float


def tune(
    model: Model,
    *,
    engine: ScriptedEngineName | ScriptedEngine = "chromium",
    seconds: float = 300.0,
    kernels: int | None = None,
    budget: Budget | None = None,
    cache: TuningCache | None = None,
    default_schedules: bool = True,
    progress: Progress | None = None,
    **how: Unpack[CompileArguments],
) -> Tuned:
    """Search schedules for the kernels of a model's wasm back end.

    The kernels that take longest come first; each gets a part of the time that is its part of the model's run.

    Args:
        model: a path, the bytes of a file, or a ModelProto.
        engine: `chromium` or `node`.
        seconds: about how long the search may take; that for one kernel is ended properly.
        kernels: how many kernels are searched at most; by default all for which there is time.
        budget: how much is tried for each kernel.
        cache: where outcomes are looked for and kept; by default in the user's cache folder.
        default_schedules: whether the schedules that ship with the compiler are what must be beaten, or those of its
            cost model alone.
        progress: shows how far it is.
        how: what to know beside the model, and what its packages take and give: see `webdnn.compile`.

    Raises:
        WebDNNError: the model is bad, or the engine is missing or fails.
    """
    runs_in = scripted_engine(engine, eager=True) if isinstance(engine, str) else engine
    cache = cache or TuningCache()
    show = progress or no_progress
    plan = budget or Budget()
    measured = _measured(runs_in)
    outcome = Tuned(ScheduleTable(measured=measured))
    with runs_in:
        found = _kernels(model, runs_in, default_schedules, show, how)[:kernels]
        whole = sum(k.milliseconds for k in found) or 1.0
        start = time.monotonic()
        with show(f"tune in {runs_in.name}", len(found)) as advance:
            for kernel in found:
                left = seconds - (time.monotonic() - start)
                entry = cache.find("wasm", runs_in.version(), kernel.chosen.digest)
                tried = 0
                if entry is None and left > 0:
                    share = max(left * kernel.milliseconds / whole, _LEAST_SECONDS)
                    result = search(
                        kernel.func,
                        kernel.weights,
                        _candidate(kernel.chosen),
                        runs_in,
                        budget=plan,
                        seconds=min(share, left),
                    )
                    entry, tried = _entry(kernel.chosen, result), result.tried
                    cache.put(entry, runs_in.version(), measured)
                whole -= kernel.milliseconds
                if entry is not None:
                    named = replace(entry, name=kernel.chosen.name, nodes=kernel.chosen.nodes)
                    outcome.searched.append((named, tried))
                advance()
    outcome.table = ScheduleTable(
        sorted(
            (entry for entry, _ in outcome.searched if is_gain(entry)),
            key=lambda e: (e.target, e.digest),
        ),
        measured=measured,
    )
    return outcome


def _kernels(
    model: Model,
    engine: ScriptedEngine,
    default_schedules: bool,
    show: Progress,
    how: CompileArguments,
) -> list[_Kernel]:
    """The kernels of a model, those that take longest first."""
    dump = ScheduleDump()
    outlined: dict[str, tuple[FuncOp, list[int]]] = {}

    def hook(stage: str, target: str | None, module: ModuleOp) -> None:
        dump(stage, target, module)
        if stage == "linalg":
            outlined.update(_outlined(module.clone()))

    package = compile_model(
        model,
        target="wasm",
        hook=hook,
        without=() if default_schedules else ("apply-schedules",),
        progress=show,
        **how,
    )
    with show(f"profile in {engine.name}", 10) as advance:
        profile = profile_package(package, engine, 10, on_step=advance)
    times = {k.kernel: k.milliseconds for k in profile.kernels}
    found = [
        _Kernel(*outlined[entry.digest], entry, times.get(entry.name, 0.0))
        for entry in dump.entries
        if entry.digest in outlined
    ]
    return sorted(found, key=lambda k: -k.milliseconds)


def _outlined(module: ModuleOp) -> dict[str, tuple[FuncOp, list[int]]]:
    """The kernels of a module of level `linalg` before anything is decided on them, by digest, with the operands that
    are weights."""
    ctx = context()
    for _, step in passes_between("linalg", "kernels", "wasm"):
        if isinstance(step, ApplyScheduleTable):
            break
        step.apply(ctx, module)
    launches = launches_of(module)
    return {
        kernel_digest(op): (op, weight_operands(launches.get(op.sym_name.data, ())))
        for op in module.ops
        if isinstance(op, FuncOp)
    }


def _candidate(entry: ScheduleEntry) -> Candidate:
    assert entry.schedule is not None
    return Candidate(entry.schedule, entry.panels)


def _entry(chosen: ScheduleEntry, found: Found) -> ScheduleEntry:
    return replace(
        chosen,
        schedule=found.winner.schedule,
        panels=found.winner.panels,
        milliseconds=found.milliseconds,
        untuned_milliseconds=found.untuned_milliseconds,
        untuned_schedule=chosen.schedule,
        untuned_panels=chosen.panels,
    )


def _measured(engine: ScriptedEngine) -> dict[str, str]:
    cores = os.cpu_count()
    return {
        "engine": engine.version(),
        "machine": f"{_processor()}, {cores} cores",
        "date": datetime.now(UTC).date().isoformat(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def describe(outcome: Tuned) -> Table:
    """A table for people: each kernel that was searched, before and after."""
    table = Table(title=f"Schedules measured in {outcome.table.measured['engine']}")
    for name, right in (
        ("kernel", False),
        ("tried", True),
        ("untuned (ms)", True),
        ("tuned (ms)", True),
        ("gain", True),
    ):
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    for entry, tried in outcome.searched:
        before, after = entry.untuned_milliseconds or 0.0, entry.milliseconds or 0.0
        gain = f"{100 * (1 - after / before):.0f}%" if is_gain(entry) else ""
        table.add_row(
            entry.name, str(tried) if tried else "known", f"{before:.3f}", f"{after:.3f}", gain
        )
    return table
