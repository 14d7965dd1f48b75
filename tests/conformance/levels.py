"""The levels that node tests are run on, and how one is run on each."""

from __future__ import annotations

from collections.abc import Iterator

from tests.conformance.batches import batches, run_batch, verdict
from tests.conformance.cases import Case
from tests.conformance.nn_level import run_on_nn
from tests.conformance.targets import run_wasm, run_webgpu

LEVELS = ("nn", "wasm", "webgpu")
"""`nn`: the lowering of ONNX's operators, run in numpy. The others: compiled, and run in wasmtime and wgpu."""


def verdicts(level: str, cases: list[Case]) -> Iterator[dict[str, str]]:
    """What went wrong with each case by name, `""` where nothing did; some of them at a time."""
    if level == "nn":
        for case in cases:
            yield {case.name: _verdict_on_nn(case)}
        return
    run = run_wasm if level == "wasm" else run_webgpu
    for batch in batches(cases):
        yield run_batch(batch, run)


def _verdict_on_nn(case: Case) -> str:
    """All data sets of a case."""
    for inputs, _ in case.data_sets:
        try:
            results = run_on_nn(case.model, inputs)
        except Exception as error:
            return f"{type(error).__name__}: {' '.join(str(error).split())}"
        if wrong := verdict(case, results):
            return wrong
    return ""
