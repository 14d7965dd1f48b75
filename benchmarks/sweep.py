"""Single operators of many shapes against the peak of the engine: GEMM, convolution, depthwise convolution.

The peers are compared in whole runs; what share of the peak our kernel reaches is measured on its launch alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from rich.console import Console

from webdnn.kernel_profile import KernelTime, profile_package
from webdnn.package import Package
from webdnn.peaks import Peaks

from .browser import drive
from .cache import cached_dir, digest
from .macs import count_macs
from .models.builder import GraphBuilder
from .models.weights import RandomWeights
from .peers import Setting, browser_job
from .results import ResultTable
from .statistics import Summary, geometric_mean, paired_ratio
from .webdnn_package import output_directory

WORK = 100e6  # multiply-adds of one sample; small operators are repeated


@dataclass(frozen=True)
class Gemm:
    """[m, k] x [k, n]; the second matrix is a weight."""

    m: int
    k: int
    n: int

    @property
    def name(self) -> str:
        return f"gemm_{self.m}x{self.k}x{self.n}"

    def build(self) -> onnx.ModelProto:
        g = GraphBuilder(self.name, opset=13)
        x = g.input("x", [self.m, self.k])
        weight = g.weights.he_normal("weight", (self.k, self.n), self.k, 1.0)
        g.output(g.node("MatMul", [x, g.constant("weight", weight)], "y"), [self.m, self.n])
        return g.model()

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.m, self.k)


@dataclass(frozen=True)
class Conv:
    """A convolution of a `size` x `size` map that keeps its size, but for the stride; bias and ReLU included."""

    size: int
    channels: int
    filters: int
    kernel: int = 1
    stride: int = 1
    depthwise: bool = False

    @property
    def name(self) -> str:
        kind = "depthwise" if self.depthwise else "conv"
        stride = f"_s{self.stride}" if self.stride > 1 else ""
        return (
            f"{kind}{self.kernel}x{self.kernel}_{self.size}_{self.channels}-{self.filters}{stride}"
        )

    def build(self) -> onnx.ModelProto:
        g = GraphBuilder(self.name, opset=13)
        x = g.input("x", self.input_shape, channels=self.channels)
        y = g.conv(
            x,
            self.filters,
            self.kernel,
            "conv",
            stride=self.stride,
            pad=self.kernel // 2,
            group=self.channels if self.depthwise else 1,
        )
        size = -(-self.size // self.stride)
        g.output(g.relu(y, "y"), [1, self.filters, size, size])
        return g.model()

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (1, self.channels, self.size, self.size)


SHAPES: tuple[Gemm | Conv, ...] = (
    *(Gemm(n, n, n) for n in (64, 128, 256, 384, 512)),
    Gemm(1, 2048, 1000),
    Gemm(1, 4096, 4096),
    Gemm(49, 512, 2048),
    Gemm(196, 1024, 256),
    Gemm(3136, 64, 64),
    Gemm(128, 384, 384),
    Gemm(128, 384, 1536),
    Gemm(128, 768, 768),
    Gemm(128, 768, 3072),
    Gemm(128, 3072, 768),
    Gemm(127, 129, 131),
    Gemm(197, 768, 2304),
    Gemm(50, 500, 250),
    Conv(224, 3, 64, 7, 2),
    Conv(224, 3, 64, 3),
    Conv(112, 64, 64, 3),
    Conv(56, 64, 64, 3),
    Conv(28, 128, 128, 3),
    Conv(14, 256, 256, 3),
    Conv(7, 512, 512, 3),
    Conv(28, 128, 128, 3, 2),
    Conv(17, 192, 192, 3),
    Conv(56, 64, 256),
    Conv(14, 1024, 256),
    Conv(112, 32, 32, 3, 1, depthwise=True),
    Conv(56, 144, 144, 3, 1, depthwise=True),
    Conv(56, 144, 144, 3, 2, depthwise=True),
    Conv(14, 384, 384, 3, 1, depthwise=True),
    Conv(7, 960, 960, 3, 1, depthwise=True),
    Conv(14, 384, 384, 5, 1, depthwise=True),
)


@dataclass(frozen=True)
class OperatorModel:
    """A shape as a model that the browser's job can take."""

    shape: Gemm | Conv

    @property
    def name(self) -> str:
        return self.shape.name

    def path(self) -> Path:
        model = self.shape.build()
        key = f"{self.name}-{digest(model.SerializeToString())}"

        def write(directory: Path) -> None:
            onnx.save(model, directory / f"{self.name}.onnx")

        return cached_dir("operators", key, write) / f"{self.name}.onnx"

    def inputs(self) -> dict[str, NDArray[np.generic]]:
        return {"x": RandomWeights(1).normal("x", self.shape.input_shape, 1.0)}


@dataclass
class Rate:
    """Milliseconds of the samples of each runtime, its messages, and the work; on one thread of WebAssembly also the
    kernel that does most of it."""

    name: str
    macs: int
    kernel: KernelTime | None = None
    times: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    failures: dict[str, str] = field(default_factory=dict[str, str])


def gemm(text: str) -> Gemm:
    """A product from its sizes: `127x129x131` is [127, 129] x [129, 131].

    Raises:
        ValueError: these are not three numbers.
    """
    m, k, n = (int(part) for part in text.split("x"))
    return Gemm(m, k, n)


def sweep(
    peers: list[str], setting: Setting, console: Console, shapes: Sequence[Gemm | Conv]
) -> list[Rate]:
    """Measure operators of these shapes, the peers in turns."""
    results: list[Rate] = []
    for shape in shapes:
        model = OperatorModel(shape)
        result = Rate(shape.name, count_macs(shape.build()))
        with console.status(shape.name):
            repeats = max(1, round(WORK / result.macs))
            job, result.failures = browser_job(model, peers, setting, repeats)
            for event in drive({**job, "mode": "interleaved"}, setting.timeout):
                if event["event"] == "failed":
                    result.failures[event["runtime"]] = event["message"]
                elif event["event"] == "round":
                    for runtime, milliseconds in event["times"].items():
                        result.times.setdefault(runtime, []).append(milliseconds)
            if (
                setting.backend == "wasm"
                and setting.threads == 1
                and not result.failures.get("webdnn")
            ):
                package = Package.load(output_directory(model.name, setting.backend))
                kernels = profile_package(package, "chromium").kernels
                result.kernel = max(kernels, key=lambda kernel: kernel.flops)
        results.append(result)
    return results


def table(results: list[Rate], peers: list[str], setting: Setting, peaks: Peaks) -> ResultTable:
    """GFLOP/s of each shape and runtime, the time of each runtime over that of the first, and the rate and the share of
    the peak of our kernel."""
    subject, *others = peers
    columns = ["operator", "MMAC", *(f"{peer}: GFLOP/s" for peer in peers)]
    columns += [*(f"{peer} / {subject}" for peer in others), "kernel: GFLOP/s", "of peak"]
    out = ResultTable(f"Single operators: {setting}", columns)
    ratios: dict[str, list[float]] = {peer: [] for peer in others}
    for result in results:
        rates = [
            2 * result.macs / Summary.of(result.times[peer]).median / 1e6
            if result.times.get(peer)
            else None
            for peer in peers
        ]
        shown = [f"{rate:.1f}" if rate is not None else "failed" for rate in rates]
        for peer in others:
            times, ours = result.times.get(peer), result.times.get(subject)
            if times and ours:
                ratios[peer].append(paired_ratio(times, ours))
            shown.append(f"{ratios[peer][-1]:.2f}" if times and ours else "")
        out.rows.append(
            [result.name, f"{result.macs / 1e6:.1f}", *shown, *_kernel(result.kernel, peaks)]
        )
        for runtime, message in result.failures.items():
            out.notes.append(f"{result.name}, {runtime}: {message.strip()}")
    means = [f"{geometric_mean(ratios[p]):.2f}" if ratios[p] else "" for p in others]
    if len(results) > 1 and others:
        out.rows.append(["geometric mean", "", *("" for _ in peers), *means, "", ""])
    out.notes.append(
        f"Peak: {peaks.gflops:.1f} GFLOP/s. Times are of whole runs, inputs and outputs copied; the rate of the "
        "kernel is that of its launch alone, with the products that it computes: Winograd's are fewer than MMAC."
    )
    return out


def _kernel(kernel: KernelTime | None, peaks: Peaks) -> tuple[str, str]:
    """The rate of a kernel, and its share of the peak."""
    if kernel is None:
        return "", ""
    return f"{kernel.gflops:.1f}", f"{100 * kernel.gflops / peaks.gflops:.0f}%"
