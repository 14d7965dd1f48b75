"""Packages on arrays from files, and timings in engines of this machine."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from rich.table import Table

from webdnn.dialects.errors import WebDNNError
from webdnn.package import Engine, Package

Array = npt.NDArray[Any]


def run_files(
    package: Package, inputs: Sequence[str], output: Path, engine: Engine | None
) -> list[Path]:
    """Run a package on `NAME=FILE.npy`s; writes `NAME.npy` of each output to a folder and gives their paths.

    Raises:
        WebDNNError: an input is not of this form, missing, or wrong.
    """
    arrays: dict[str, Array] = {}
    for value in inputs:
        name, separator, path = value.partition("=")
        if not separator:
            raise WebDNNError(f"--input {value} names no file", hint="write --input NAME=FILE.npy")
        try:
            arrays[name] = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise WebDNNError("an input cannot be read", where=path, why=str(error)) from error
    results = package.run(arrays, engine)
    output.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, array in results.items():
        safe = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)
        written.append(output / f"{safe}.npy")
        np.save(written[-1], array)
    return written


def random_inputs(package: Package, seed: int = 0) -> dict[str, Array]:
    """Inputs of the right types and shapes: uniform in [0, 1) for floats, small integers, fair truth values."""
    generator = np.random.default_rng(seed)
    inputs: dict[str, Array] = {}
    for tensor in package.manifest["inputs"]:
        dtype = np.dtype(tensor["dtype"])
        if dtype.kind == "f":
            inputs[tensor["name"]] = generator.random(tensor["shape"]).astype(dtype)
        else:
            high = 2 if dtype.kind == "b" else 100
            inputs[tensor["name"]] = generator.integers(0, high, tensor["shape"]).astype(dtype)
    return inputs


def time_package(package: Package, engine: Engine, repeat: int) -> Table:
    """Times of single runs, loading apart."""
    program = load_program(package, engine)
    inputs = random_inputs(package)
    program.run(inputs)
    times: list[float] = []
    for _ in range(repeat):
        start = time.perf_counter()
        program.run(inputs)
        times.append((time.perf_counter() - start) * 1000)
    table = Table(title=f"{package.manifest['name']} in {engine}, {repeat} runs")
    for name, value in (("best", min(times)), ("median", median(times)), ("worst", max(times))):
        table.add_column(f"{name} (ms)", footer=f"{value:.2f}", justify="right")
    table.add_row(f"{min(times):.2f}", f"{median(times):.2f}", f"{max(times):.2f}")
    return table


class Program(Protocol):
    """What an engine loads from a package."""

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """One inference."""
        ...


def load_program(package: Package, engine: Engine) -> Program:
    """The package loaded into an engine: an object with `run(inputs)`."""
    if engine == "wasmtime":
        from webdnn.engines.wasmtime import WasmModel

        return WasmModel(package.folder())
    from webdnn.engines.wgpu import WebGPUProgram

    return WebGPUProgram(package.folder(), package.manifest)
