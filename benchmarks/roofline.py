"""The roofline chart: kernels by how much they compute for each byte, and how fast, under what the engine can do.

Both axes are logarithmic. The area of a dot is the kernel's share of its model's time. (Williams, Waterman, Patterson,
"Roofline: an insightful visual performance model for multicore architectures", 2009.)
"""

import io
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

from webdnn.kernel_profile import KernelProfile
from webdnn.peaks import Peaks

INTENSITY = (0.05, 500.0)
"""Operations a byte, from left to right."""
RATE = (0.1, 100.0)
"""Billions of operations a second, from bottom to top."""
LEVELS = {1 << 18: "256 KiB", 1 << 28: "256 MiB"}
"""The blocks whose bandwidth is drawn."""
WHOLE_MODEL = 3000.0
"""Square points of the dot of a kernel that takes all of the time."""
LEAST_SHARE = 0.001
"""Kernels with less of the time are left out."""

STYLE: dict[RcKeyType, Any] = {"svg.fonttype": "none", "svg.hashsalt": "webdnn", "font.size": 9}
"""Text stays text, and the same measurements give the same file."""


def chart(profiles: list[KernelProfile], peaks: Peaks) -> str:
    """The chart of some models, as an SVG without scripts."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 5.2), layout="constrained")
        axes = figure.add_subplot(
            xscale="log",
            yscale="log",
            xlim=INTENSITY,
            ylim=RATE,
            xlabel="operations a byte",
            ylabel="GFLOP/s",
            title=f"Kernels under the roofline: {profiles[0].engine if profiles else ''}",
        )
        axes.grid(color="0.9")
        axes.set_axisbelow(True)
        _draw_roofs(axes, peaks)
        for profile in profiles:
            _draw_kernels(axes, profile)
        for handle in axes.legend(loc="lower right", frameon=False).legend_handles:
            if handle is not None:
                handle.set(sizes=[40])
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
        return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _draw_roofs(axes: Axes, peaks: Peaks) -> None:
    for size, rate in peaks.bandwidth.items():
        if size in LEVELS:
            ridge = peaks.gflops / rate
            axes.plot(
                [RATE[0] / rate, ridge], [RATE[0], peaks.gflops], "--", color="0.6", linewidth=1
            )
            at = max(INTENSITY[0], RATE[0] / rate) * 1.15
            label = f"{rate:.0f} GB/s ({LEVELS[size]})"
            axes.annotate(label, (at, at * rate), (0, 6), textcoords="offset points", color="0.4")
    ridge = peaks.gflops / max(peaks.bandwidth.values())
    axes.plot([ridge, INTENSITY[1]], [peaks.gflops] * 2, color="0.3", linewidth=1)
    label = f"{peaks.gflops:.0f} GFLOP/s: relaxed multiply-adds in registers"
    axes.annotate(label, (ridge, peaks.gflops), (0, 6), textcoords="offset points", color="0.3")


def _draw_kernels(axes: Axes, profile: KernelProfile) -> None:
    total = profile.milliseconds or 1.0
    shown = [
        (kernel, kernel.milliseconds / total)
        for kernel in profile.kernels
        if kernel.flops and kernel.milliseconds / total >= LEAST_SHARE
    ]
    axes.scatter(
        [kernel.intensity for kernel, _ in shown],
        [kernel.gflops for kernel, _ in shown],
        s=[WHOLE_MODEL * share for _, share in shown],
        alpha=0.5,
        label=profile.model,
        gid=profile.model,
    )
