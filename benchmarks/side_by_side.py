"""All runtimes in one page, in turns: the time of a run."""

from dataclasses import dataclass, field
from typing import Any

import onnxruntime
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .browser import drive
from .models import MODELS, BenchmarkModel
from .native import native_times
from .peers import PEERS, Setting, browser_job
from .results import ResultTable
from .statistics import Summary, geometric_mean, paired_ratio

NATIVE = f"native onnxruntime {onnxruntime.__version__}"


@dataclass
class Comparison:
    """What one model's page told: milliseconds of each round, errors, failures."""

    model: BenchmarkModel
    times: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    errors: dict[str, float] = field(default_factory=dict[str, float])
    failures: dict[str, str] = field(default_factory=dict[str, str])
    browser: str = ""


def compare(
    names: list[str], peers: list[str], setting: Setting, *, native: bool, console: Console
) -> list[Comparison]:
    """Measure the models one after the other."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    results: list[Comparison] = []
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        for name in names:
            task = progress.add_task(f"{name}: preparing", total=setting.rounds)
            result = Comparison(MODELS[name])
            job, result.failures = browser_job(MODELS[name], peers, setting)
            for event in drive({**job, "mode": "interleaved"}, setting.timeout):
                _take(result, event)
                if event["event"] == "loaded":
                    progress.update(task, description=f"{name}: {event['runtime']} loaded")
                elif event["event"] == "round":
                    progress.update(task, advance=1, description=name)
            if native:
                progress.update(task, description=f"{name}: native")
                result.times[NATIVE] = native_times(MODELS[name], setting.threads, setting.rounds)
            results.append(result)
            progress.remove_task(task)
    return results


def _take(result: Comparison, event: dict[str, Any]) -> None:
    match event["event"]:
        case "browser":
            result.browser = event["version"]
        case "loaded":
            result.errors[event["runtime"]] = event["error"]
        case "failed":
            result.failures[event["runtime"]] = event["message"]
            result.times.pop(event["runtime"], None)
        case "round":
            for runtime, milliseconds in event["times"].items():
                result.times.setdefault(runtime, []).append(milliseconds)
        case _:  # messages of the page: what matters of them comes as a failure
            pass


def table(results: list[Comparison], peers: list[str], setting: Setting) -> ResultTable:
    """One row for each model and runtime. `ratio` is the time of a runtime over that of the first peer."""
    subject = peers[0]
    browser = results[0].browser if results else ""
    columns = ["model", "runtime", "ms", "quartiles", "GFLOP/s", f"/ {subject}", "largest error"]
    out = ResultTable(f"Time of a run: {setting}, Chromium {browser}", columns)
    ratios: dict[str, list[float]] = {}
    for result in results:
        shown = [*peers, *([NATIVE] if NATIVE in result.times else [])]
        for number, runtime in enumerate(shown):
            model = f"{result.model.name}, {result.model.gmacs:.2f} GMAC" if number == 0 else ""
            label = f"{runtime} {PEERS[runtime].version()}" if runtime in PEERS else runtime
            times = result.times.get(runtime)
            if not times and runtime not in result.failures:
                continue  # it has no part in this one
            if not times:
                message = result.failures.get(runtime, "no round was run")
                out.notes.append(f"{result.model.name}, {runtime}: {message.strip()}")
                out.rows.append([model, label, "failed", "", "", "", ""])
                continue
            summary = Summary.of(times)
            ratio = ""
            if runtime != subject and (ours := result.times.get(subject)):
                ratios.setdefault(runtime, []).append(paired_ratio(times, ours))
                ratio = f"{ratios[runtime][-1]:.2f}"
            speed = f"{2 * result.model.gmacs * 1000 / summary.median:.1f}"
            error = f"{result.errors[runtime]:.1e}" if runtime in result.errors else ""
            out.rows.append([model, label, *summary.texts(), speed, ratio, error])
    if len(results) > 1:
        for runtime, values in ratios.items():
            mean = f"{geometric_mean(values):.2f}"
            out.rows.append([f"geometric mean of {len(values)}", runtime, "", "", "", mean, ""])
    return out
