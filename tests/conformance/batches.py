"""Many node tests as one model: compiling and starting an engine once for all of them is what makes them affordable."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import onnx
from onnx.compose import add_prefix

from tests.conformance.cases import Case, bound, compare
from webdnn.dialects.dtypes import Array

Run = Callable[[onnx.ModelProto, dict[str, Array]], dict[str, Array]]
"""Compiles a model whose shapes are all known, and runs it once."""

BATCH = 40


def batches(cases: Sequence[Case], size: int = BATCH) -> Iterator[list[Case]]:
    """Cases of the same opsets together, so many at a time; cases with sequences stay out (see `is_batchable`)."""
    groups: dict[tuple[tuple[str, int], ...], list[Case]] = defaultdict(list)
    for case in cases:
        opsets = sorted((i.domain, i.version) for i in case.model.opset_import)
        groups[tuple(opsets)].append(case)
    for group in groups.values():
        for at in range(0, len(group), size):
            yield group[at : at + size]


def merged(cases: Sequence[Case]) -> tuple[onnx.ModelProto, dict[str, Array], list[list[str]]]:
    """One model of all cases, its inputs, and for each case the names of its outputs."""
    model = onnx.ModelProto()
    inputs: dict[str, Array] = {}
    outputs: list[list[str]] = []
    for number, case in enumerate(cases):
        part, values = bound(case.model, case.data_sets[0][0])
        if any(not hasattr(v, "shape") for v in values):
            raise TypeError(f"{case.name} has an input that is not a tensor")
        if len(cases) > 1:  # (it forgets what subgraphs read from outside)
            part = add_prefix(part, f"t{number}/")
        if not number:
            model.CopyFrom(part)
        else:
            for field in ("node", "initializer", "input", "output", "value_info"):
                getattr(model.graph, field).extend(getattr(part.graph, field))
            model.ir_version = max(model.ir_version, part.ir_version)
        for info, value in zip(part.graph.input, values, strict=True):
            inputs[info.name] = value
        outputs.append([info.name for info in part.graph.output])
    for info in model.graph.input:
        shape = info.type.tensor_type.shape
        shape.Clear()
        for size in inputs[info.name].shape:
            shape.dim.add().dim_value = size
        shape.SetInParent()
    return model, inputs, outputs


def run_batch(cases: Sequence[Case], run: Run) -> dict[str, str]:
    """For each case by name what went wrong, `""` where nothing did. A batch that fails as a whole is halved."""
    try:
        model, inputs, outputs = merged(cases)
        results = run(model, inputs)
    except Exception as error:
        if len(cases) == 1:
            return {cases[0].name: f"{type(error).__name__}: {' '.join(str(error).split())}"}
        half = len(cases) // 2
        return {**run_batch(cases[:half], run), **run_batch(cases[half:], run)}
    verdicts: dict[str, str] = {}
    for case, names in zip(cases, outputs, strict=True):
        verdicts[case.name] = verdict(case, [results.get(n) for n in names])
    return verdicts


def verdict(case: Case, results: Sequence[Any]) -> str:
    """What is wrong with the results of a case; `""` where nothing is."""
    try:
        compare(case, results, case.data_sets[0][1])
    except AssertionError as error:
        return f"AssertionError: {' '.join(str(error).split())}"
    return ""
