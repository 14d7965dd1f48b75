"""Where the time of a package goes: for each kernel the time, its rates, and its share of the roofline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.wasm_memory import PAGE
from webdnn.engines.scripted import ScriptedEngine, ScriptedEngineName, scripted_engine
from webdnn.manifest_sizes import manifest_at, sizes_for
from webdnn.package import KernelEngine, Package
from webdnn.peaks import Peaks

WARMUP = 1500.0
"""Milliseconds that a package runs before whole runs are timed: V8's optimising compiler takes over meanwhile."""

EAGER_WARMUP = 100.0
"""The same where V8 uses its optimising compiler from the start."""


@dataclass
class KernelTime:
    """All launches of one kernel in one run.

    Attributes:
        milliseconds: their sum; of each launch the mean of the fastest quarter of the samples.
        flops: operations of all launches.
        bytes: compulsory traffic of all launches.
        nodes: the model's nodes that the launches compute.
    """

    kernel: str
    launches: int = 0
    milliseconds: float = 0.0
    flops: int = 0
    bytes: int = 0
    nodes: list[str] = field(default_factory=list[str])

    @property
    def gflops(self) -> float:
        """Billions of operations a second."""
        return self.flops / self.milliseconds / 1e6 if self.milliseconds else 0.0

    @property
    def gigabytes(self) -> float:
        """Billions of bytes a second."""
        return self.bytes / self.milliseconds / 1e6 if self.milliseconds else 0.0

    @property
    def intensity(self) -> float:
        """Operations a byte."""
        return self.flops / self.bytes if self.bytes else 0.0

    def share_of_roofline(self, peaks: Peaks) -> float:
        """The least time that the work of the launches needs, over the time that was taken."""
        if not self.milliseconds:
            return 0.0
        each = peaks.milliseconds(self.flops // self.launches, self.bytes // self.launches)
        return each * self.launches / self.milliseconds


@dataclass
class KernelProfile:
    """Kernels of a package, the slowest first; `whole` is the time of a run, in milliseconds."""

    model: str
    engine: str
    whole: float
    kernels: list[KernelTime]

    @property
    def flops(self) -> int:
        return sum(k.flops for k in self.kernels)

    @property
    def milliseconds(self) -> float:
        """The sum over all kernels."""
        return sum(k.milliseconds for k in self.kernels)


def profile_package(
    package: Package,
    engine: KernelEngine | ScriptedEngine,
    rounds: int = 30,
    *,
    on_step: Callable[[], None] = lambda: None,
    warmup: float = EAGER_WARMUP,
) -> KernelProfile:
    """Time each launch of a package's wasm back end, one after the other, in rounds.

    Args:
        rounds: samples of each launch.
        on_step: called after each round (browsers and Node.js).
        warmup: milliseconds of runs before.

    Raises:
        WebDNNError: the package has no wasm back end or does not say what its kernels do, or the engine is missing.
    """
    section = _section_at(package)
    work = {kernel["name"]: kernel for kernel in section.get("kernels", ())}
    launches = section["launches"][section.get("prepare", 0) :]
    if unknown := {launch["kernel"] for launch in launches} - work.keys():
        raise WebDNNError(
            "the package does not say what each kernel does",
            where=min(unknown),
            hint="compile the model again",
        )
    if engine == "wasmtime":
        version, whole, times = _in_wasmtime(package, rounds)
    else:
        # a launch that is short needs many runs until V8 optimises it: here it does so at once
        scripted = scripted_engine(engine, eager=True) if isinstance(engine, str) else engine
        job, files = _job(package, section, rounds, warmup)
        result = scripted.run(job, files, on_step=on_step)
        version = scripted.version()
        whole = result["whole"]["fast"]
        times = [launch["fast"] for launch in result["launches"]]
    name = package.manifest["name"]
    return KernelProfile(name, version, whole, by_kernel(launches, times, work))


def time_runs(
    package: Package,
    engine: ScriptedEngineName,
    rounds: int,
    *,
    on_step: Callable[[], None] = lambda: None,
    warmup: float = WARMUP,
    dims: Mapping[str, int] | None = None,
) -> dict[str, float]:
    """Milliseconds of whole runs in a browser or Node.js: `best`, `median`, `worst` and `fast` (see
    `webdnn.engines.scripted`).

    Args:
        dims: the values of symbols; by default the likely ones.

    Raises:
        WebDNNError: the package has no wasm back end, or the engine is missing.
    """
    section = _section_at(package, dims)
    job, files = _job(package, {**section, "launches": []}, rounds, warmup)
    return scripted_engine(engine).run(job, files, on_step=on_step)["whole"]


def by_kernel(
    launches: Sequence[Mapping[str, Any]],
    times: Sequence[float],
    work: Mapping[str, Mapping[str, Any]],
) -> list[KernelTime]:
    """Sum up launches by kernel, the slowest first.

    Args:
        launches: of each its kernel's name and its label.
        times: of each its milliseconds.
        work: the manifest's entry of each kernel, by name.
    """
    found: dict[str, KernelTime] = {}
    for launch, milliseconds in zip(launches, times, strict=True):
        name = launch["kernel"]
        entry = found.setdefault(name, KernelTime(name))
        entry.launches += 1
        entry.milliseconds += milliseconds
        entry.flops += work[name]["flops"]
        entry.bytes += work[name]["bytes"]
        entry.nodes += launch["label"]
    return sorted(found.values(), key=lambda k: -k.milliseconds)


def fastest_quarter(samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The mean of the fastest quarter of the samples along the first axis."""
    return np.sort(samples, axis=0)[: (len(samples) + 3) // 4].mean(axis=0)


def _in_wasmtime(package: Package, rounds: int) -> tuple[str, float, list[float]]:
    from importlib.metadata import version

    from webdnn.engines.wasmtime import WasmModel
    from webdnn.runner import random_inputs

    model = WasmModel(package.folder())
    samples = np.array(model.time_launches(random_inputs(package), rounds))
    *times, whole = fastest_quarter(samples).tolist()
    return f"wasmtime {version('wasmtime')}", whole, times


def _section_at(package: Package, dims: Mapping[str, int] | None = None) -> dict[str, Any]:
    """The section of the wasm back end with numbers for sizes: those that are given, else the likely ones."""
    package.section("wasm")
    sizes = sizes_for(package.manifest, dims or {})
    return manifest_at(package.manifest, sizes)["backends"]["wasm"]


def _job(
    package: Package, section: Mapping[str, Any], rounds: int, warmup: float
) -> tuple[dict[str, Any], dict[str, bytes | memoryview]]:
    module = next(m["file"] for m in section["modules"] if "threads" not in m["features"])
    files = {module: package.files[module]}
    weights: list[dict[str, Any]] = []
    offset = section["weights"]["offset"]
    for shard in section["weights"]["shards"]:
        files[shard["file"]] = package.files[shard["file"]]
        weights.append({"file": shard["file"], "offset": offset})
        offset += shard["bytes"]
    floats = [
        place
        for tensor, place in zip(package.manifest["inputs"], section["inputs"], strict=True)
        if tensor["dtype"] == "float32"
    ]
    arena_end = section["arena"]["offset"] + section["arena"]["bytes"]
    job = {
        "kind": "package",
        "module": module,
        "pages": max(section["memory"]["pages"], -(-arena_end // PAGE)),
        "table": section.get("table"),
        "weights": weights,
        "floats": floats,
        "prepare": section.get("prepare", 0),
        "launches": len(section["launches"]),
        "warmup": warmup,
        "rounds": rounds,
    }
    return job, files


COLUMNS = ("kernel", "launches", "ms", "share", "GFLOP/s", "GB/s", "op/B", "of roofline", "nodes")


def kernel_rows(profile: KernelProfile, peaks: Peaks | None, top: int) -> list[list[str]]:
    """The slowest `top` kernels as rows of `COLUMNS`, then the sum of all and a whole run."""
    total = profile.milliseconds
    rows: list[list[str]] = []
    for kernel in profile.kernels[:top]:
        share = f"{100 * kernel.milliseconds / total:.1f}%" if total else ""
        roofline = f"{100 * kernel.share_of_roofline(peaks):.0f}%" if peaks is not None else ""
        nodes = ", ".join(kernel.nodes[:1]) + (" ..." if len(kernel.nodes) > 1 else "")
        rows.append(
            [
                kernel.kernel,
                str(kernel.launches),
                f"{kernel.milliseconds:.3f}",
                share,
                f"{kernel.gflops:.1f}",
                f"{kernel.gigabytes:.1f}",
                f"{kernel.intensity:.1f}",
                roofline,
                nodes,
            ]
        )
    launches = str(sum(k.launches for k in profile.kernels))
    for name, count, milliseconds in (
        (f"all {len(profile.kernels)} kernels", launches, total),
        ("a whole run", "", profile.whole),
    ):
        speed = f"{profile.flops / milliseconds / 1e6:.1f}" if milliseconds else ""
        rows.append([name, count, f"{milliseconds:.3f}", "", speed, "", "", "", ""])
    return rows
