"""A fresh page for each sample: from navigation to the first result, and what was downloaded for it."""

from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from .browser import drive
from .models import MODELS
from .peers import PEERS, Setting, browser_job
from .results import ResultTable
from .statistics import Summary

# what only the benchmark needs; the executor of TensorFlow.js programs is part of that runtime
HARNESS = ("/page/start", "/page/case.js", "/page/runtimes/")


@dataclass
class Start:
    """Milliseconds of each sample until the first result; the peak of the memory of the page's process until then, in
    bytes (on Linux); and bytes sent: code (compressed) and weights."""

    model: str
    runtime: str
    first: list[float] = field(default_factory=list[float])
    ready: list[float] = field(default_factory=list[float])
    memory: list[float] = field(default_factory=list[float])
    code: int = 0
    weights: int = 0
    failure: str = ""


def measure(names: list[str], peers: list[str], setting: Setting, console: Console) -> list[Start]:
    """Measure the models one after the other, the peers in turns."""
    results: list[Start] = []
    for name in names:
        by_peer = {peer: Start(name, peer) for peer in peers}
        with console.status(f"{name}: first results"):
            job, failures = browser_job(MODELS[name], peers, setting)
            for peer, message in failures.items():
                by_peer[peer].failure = message
            for event in drive({**job, "mode": "start"}, setting.timeout):
                if event["event"] in ("start", "failed"):
                    _take(by_peer[event["runtime"]], event)
        # what is for quantised networks alone has neither
        results += [result for result in by_peer.values() if result.first or result.failure]
    return results


def _take(result: Start, event: dict[str, Any]) -> None:
    if event["event"] == "failed":
        result.failure = event["message"]
        return
    result.first.append(event["first"])
    result.ready.append(event["ready"])
    if "memory" in event:
        result.memory.append(event["memory"])
    sent = [item for item in event["downloads"] if not item["path"].startswith(HARNESS)]
    result.code = sum(item["sent"] for item in sent if item["code"])
    result.weights = sum(item["sent"] for item in sent if not item["code"])


def table(results: list[Start], setting: Setting) -> ResultTable:
    """One row for each model and runtime."""
    columns = ["model", "runtime", "first result: ms", "quartiles", "loaded: ms"]
    columns += ["memory: MB", "code, gzip: KB", "weights: MB"]
    out = ResultTable(
        f"From navigation to the first result: {setting}, local server",
        columns,
    )
    for result in results:
        row = [result.model, f"{result.runtime} {PEERS[result.runtime].version()}"]
        if result.first:
            row += [*Summary.of(result.first).texts(), f"{Summary.of(result.ready).median:.0f}"]
            row.append(f"{Summary.of(result.memory).median / 1e6:.0f}" if result.memory else "")
            row += [f"{result.code / 1000:.0f}", f"{result.weights / 1e6:.1f}"]
        else:
            row += ["failed", "", "", "", "", ""]
            out.notes.append(f"{result.model}, {result.runtime}: {result.failure.strip()}")
        out.rows.append(row)
    return out
