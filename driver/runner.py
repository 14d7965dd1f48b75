"""Packages on arrays from files, and timings in engines of this machine."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from statistics import median

import numpy as np
from rich.table import Table

from webdnn.array_files import read_array
from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError
from webdnn.engines.model_state import ModelState
from webdnn.engines.scripted import ScriptedEngineName
from webdnn.kernel_profile import COLUMNS, kernel_rows, profile_package, time_runs
from webdnn.lowering.interface.classes import values_beside
from webdnn.manifest_sizes import sizes_for, tensors_at
from webdnn.package import Engine, KernelEngine, Package, load_program
from webdnn.peaks import Peaks, measure_peaks
from webdnn.progress import Progress, no_progress


def run_files(
    package: Package, inputs: Sequence[str], engine: Engine | None, seed: int | None = None
) -> dict[str, Array]:
    """The outputs of a package for `NAME=FILE.npy`s, and a seed (see `Package.run`). States are inputs and outputs
    here: a run begins with those that are given, or else with an empty one, and what it leaves is among the outputs.

    Raises:
        WebDNNError: an input is not of this form, missing, or wrong.
    """
    arrays: dict[str, Array] = {}
    states = {state["input"]: state for state in package.manifest.get("states", ())}
    dtypes = {tensor["name"]: tensor["dtype"] for tensor in package.manifest["inputs"]}
    dtypes |= {name: state["dtype"] for name, state in states.items()}
    for value in inputs:
        name, path = _split(value, dtypes)
        if not path:
            raise WebDNNError(f"--input {value} names no file", hint="write --input NAME=FILE.npy")
        if name in arrays:
            raise WebDNNError(f"the input '{name}' is given twice")
        arrays[name] = read_array(path)
        if dtypes.get(name) == "bfloat16" and arrays[name].dtype == "V2":
            arrays[name] = arrays[name].view(np.dtype("bfloat16"))  # .npy has no name for it
    if not states:
        return package.run(arrays, engine, seed=seed)
    state = package.create_state(engine)
    if given := {name: arrays.pop(name) for name in states if name in arrays}:
        state.set(given)
    outputs = package.run(arrays, engine, seed=seed, state=state)
    return outputs | {states[name]["output"]: array for name, array in state.get().items()}


def _split(value: str, names: Collection[str]) -> tuple[str, str]:
    """The name and the path of `NAME=FILE`. Both may have equals signs in them: of the names that fit, the longest is
    meant, and where none does, the first sign ends the name."""
    fitting = [name for name in names if value.startswith(f"{name}=")]
    name = max(fitting, key=len) if fitting else value.partition("=")[0]
    return name, value[len(name) + 1 :]


def best_classes(package: Package, results: Mapping[str, Array], count: int) -> Table:
    """The labels of the classes with the greatest scores, for outputs that have labels; of numbers of classes, those of
    the first ones, with what `--top-k` gives beside them.

    Raises:
        WebDNNError: no output has labels.
    """
    table = Table()
    for title in ("output", "class", "label", "score"):
        table.add_column(title, justify="right" if title in ("class", "score") else "left")
    tensors = [tensor for tensor in package.manifest["outputs"] if "labels" in tensor]
    if not tensors:
        raise WebDNNError(
            "the package has no labels",
            hint="compile the model with --labels FILE, or leave --top out",
        )
    for tensor in tensors:
        name, labels = tensor["name"], tensor["labels"]
        if "axis" in labels:
            # of a picture or a sequence: those of its first element
            scores = np.moveaxis(results[name], labels["axis"], -1).reshape(
                -1, len(labels["names"])
            )
            best = (
                np.argsort(-scores[0].astype(np.float64), kind="stable")[:count]
                if len(scores)
                else []
            )
            rows = [(int(index), f"{scores[0][index]:.4g}") for index in best]
        else:
            indices, values = results[name].ravel(), results.get(values_beside(name))
            scores = values.ravel() if values is not None and values.size == indices.size else None
            rows = [
                (int(index), "" if scores is None else f"{scores[at]:.4g}")
                for at, index in enumerate(indices[:count])
            ]
        for index, score in rows:
            known = 0 <= index < len(labels["names"])
            table.add_row(name, str(index), labels["names"][index] if known else "", score)
    return table


def random_inputs(
    package: Package, seed: int = 0, dims: Mapping[str, int] | None = None
) -> dict[str, Array]:
    """Inputs of the right types and shapes: uniform in [0, 1) for floats, small integers, fair truth values.

    Args:
        dims: the values of symbols; by default the likely ones.

    Raises:
        WebDNNError: there is no such symbol, or it has another range.
    """
    generator = np.random.default_rng(seed)
    inputs: dict[str, Array] = {}
    for tensor in tensors_at(package.manifest, "inputs", dims or {}):
        dtype = np.dtype(tensor["dtype"])
        if dtype.kind == "f":
            inputs[tensor["name"]] = generator.random(tensor["shape"]).astype(dtype)
        else:
            high = 2 if dtype.kind == "b" else 100
            inputs[tensor["name"]] = generator.integers(0, high, tensor["shape"]).astype(dtype)
    return inputs


def time_package(
    package: Package,
    engine: Engine | ScriptedEngineName,
    repeat: int,
    dims: Mapping[str, int] | None = None,
) -> Table:
    """Times of single runs, loading apart.

    Args:
        dims: the values of symbols; by default the likely ones.
    """
    match engine:
        case "node" | "chromium":
            found = time_runs(package, engine, repeat, dims=dims)
        case _:
            found = _times_in(package, engine, repeat, dims)
    table = Table(title=f"{package.manifest['name']} in {engine}, {repeat} runs")
    names = ("best", "median", "worst")
    for name in names:
        table.add_column(f"{name} (ms)", justify="right")
    table.add_row(*(f"{found[name]:.2f}" for name in names))
    return table


def _times_in(
    package: Package, engine: Engine, repeat: int, dims: Mapping[str, int] | None
) -> dict[str, float]:
    program = load_program(package, engine)
    inputs = random_inputs(package, dims=dims)
    sizes = sizes_for(package.manifest, dims or {})
    state = ModelState(sizes)
    program.run(inputs, state=state)
    times: list[float] = []
    for _ in range(repeat):
        state.sizes = sizes
        start = time.perf_counter()
        program.run(inputs, state=state)
        times.append((time.perf_counter() - start) * 1000)
    return {"best": min(times), "median": median(times), "worst": max(times)}


def time_kernels(
    package: Package,
    engine: KernelEngine,
    rounds: int,
    *,
    peaks: Peaks | None = None,
    top: int = 30,
    progress: Progress = no_progress,
) -> Table:
    """Times and rates of the slowest kernels of the wasm back end.

    Args:
        rounds: samples of each launch.
        peaks: of the engine; measured if they are not given.
        top: how many kernels to show.
    """
    with progress(f"profile in {engine}", rounds if engine != "wasmtime" else None) as advance:
        profile = profile_package(package, engine, rounds, on_step=advance)
    if peaks is None:
        with progress(f"peaks of {engine}", None):
            peaks = measure_peaks(engine)
    table = Table(title=f"Kernels of {profile.model} in {profile.engine}", caption=f"Peak: {peaks}")
    for number, column in enumerate(COLUMNS):
        text = number in (0, len(COLUMNS) - 1)
        table.add_column(column, justify="left" if text else "right", no_wrap=True)
    for row in kernel_rows(profile, peaks, top):
        table.add_row(*row)
    return table
