"""Where the time of a compiled model goes: per kernel, with GFLOP/s and GB/s.

Floating-point operations and bytes come from the ONNX graph by way of each launch's label, which names the nodes that
the launch computes: two operations for a multiply-add of a Conv, Gemm or MatMul, and the bytes that must be read and
written at least, whatever the kernel really moves. A node that takes several launches counts for the longest of them.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from rich.console import Console

from .browser import drive
from .macs import NodeCost, fused_bytes, node_costs
from .models import MODELS
from .peaks import Peaks
from .peers import Setting, browser_job
from .results import ResultTable


@dataclass
class KernelTime:
    """All launches of one kernel: milliseconds of one run (medians over the samples), operations and bytes."""

    kernel: str
    launches: int = 0
    milliseconds: float = 0.0
    macs: int = 0
    moved: int = 0
    nodes: list[str] = field(default_factory=list[str])


@dataclass
class Profile:
    """Kernels of a model, the slowest first; `whole` is the median of whole runs, `method` how launches were timed."""

    model: str
    method: str
    whole: float
    kernels: list[KernelTime]


def profile(name: str, setting: Setting, console: Console) -> Profile:
    """Profile one model, compiled anew.

    Raises:
        RuntimeError: it does not compile, or does not run in the browser.
    """
    samples: list[dict[str, Any]] = []
    whole: list[float] = []
    with console.status(f"{name}: profiling"):
        job, failures = browser_job(MODELS[name], ["webdnn"], setting)
        for event in drive({**job, "mode": "profile"}, setting.timeout):
            if event["event"] == "profile":
                samples.append(event["profile"])
                whole.append(event["whole"])
            elif event["event"] == "failed":
                failures[event["runtime"]] = event["message"]
    if failures or not samples:
        raise RuntimeError(f"{name}: {failures.get('webdnn', 'no sample was taken')}")
    costs = node_costs(onnx.load(MODELS[name].path(), load_external_data=False))
    launches = samples[0]["launches"]
    times = np.array([[launch["milliseconds"] for launch in s["launches"]] for s in samples])
    kernels = attribute(launches, np.median(times, axis=0).tolist(), costs)
    return Profile(name, samples[0]["method"], float(np.median(whole)), kernels)


def attribute(
    launches: list[dict[str, Any]], times: list[float], costs: dict[str, NodeCost]
) -> list[KernelTime]:
    """Sum up launches by kernel, the slowest first; `costs` are those of the ONNX nodes in the launches' labels."""
    longest: dict[str, int] = {}
    for index, launch in enumerate(launches):
        for node in launch["label"]:
            if node not in longest or times[index] > times[longest[node]]:
                longest[node] = index
    kernels: dict[str, KernelTime] = {}
    for index, (launch, milliseconds) in enumerate(zip(launches, times, strict=True)):
        entry = kernels.setdefault(launch["kernel"], KernelTime(launch["kernel"]))
        own = [node for node in launch["label"] if node in costs and longest[node] == index]
        entry.launches += 1
        entry.milliseconds += milliseconds
        entry.macs += sum(costs[node].macs for node in own)
        entry.moved += fused_bytes(costs, own)
        entry.nodes += launch["label"]
    return sorted(kernels.values(), key=lambda kernel: -kernel.milliseconds)


def table(result: Profile, setting: Setting, peaks: Peaks | None, top: int) -> ResultTable:
    """The slowest `top` kernels, and the sum of all.

    With `peaks` there is a column for the roofline: the least time that the work of a kernel needs, over its time.
    """
    total = sum(kernel.milliseconds for kernel in result.kernels)
    columns = ["kernel", "launches", "ms", "share", "GFLOP/s", "GB/s", "of roofline", "first node"]
    out = ResultTable(f"Kernels of {result.model}: {setting}, timed by {result.method}", columns)
    for kernel in result.kernels[:top]:
        out.rows.append(
            [
                kernel.kernel,
                str(kernel.launches),
                f"{kernel.milliseconds:.2f}",
                f"{100 * kernel.milliseconds / total:.1f}%",
                _rate(2 * kernel.macs, kernel.milliseconds),
                _rate(kernel.moved, kernel.milliseconds),
                _share_of_roofline(kernel, peaks),
                kernel.nodes[0] if kernel.nodes else "",
            ]
        )
    macs = sum(kernel.macs for kernel in result.kernels)
    launches = sum(kernel.launches for kernel in result.kernels)
    speed = _rate(2 * macs, total)
    out.rows.append(["all kernels", str(launches), f"{total:.2f}", "", speed, "", "", ""])
    speed = _rate(2 * macs, result.whole)
    out.rows.append(["a whole run", "", f"{result.whole:.2f}", "", speed, "", "", ""])
    if peaks is not None:
        rates = ", ".join(
            f"{rate:.0f} up to {_size(size)}" for size, rate in peaks.bandwidth.items()
        )
        out.notes.append(f"Peak: {peaks.gflops:.1f} GFLOP/s; reading memory, GB/s: {rates}.")
    return out


def _share_of_roofline(kernel: KernelTime, peaks: Peaks | None) -> str:
    if peaks is None or kernel.moved == 0 or kernel.milliseconds == 0:
        return ""
    # the launches of a kernel are alike; each has to move its own part
    operations, moved = 2 * kernel.macs // kernel.launches, kernel.moved // kernel.launches
    least = peaks.milliseconds(operations, moved) * kernel.launches
    return f"{100 * least / kernel.milliseconds:.0f}%"


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count >> 10} KiB"


def _rate(count: float, milliseconds: float) -> str:
    """Billions a second, or nothing if there is nothing to count."""
    return f"{count / milliseconds / 1e6:.1f}" if count and milliseconds > 0 else ""
