"""ONNX's node tests: those of the lists must pass."""

from __future__ import annotations

import pytest
from _pytest.mark.structures import ParameterSet

from tests.conformance.batches import batches, run_batch
from tests.conformance.cases import Case, must_pass, node_cases
from tests.conformance.levels import LEVELS, verdicts
from tests.conformance.table import TABLE, table
from tests.conformance.targets import run_wasm, run_webgpu


def _listed(level: str) -> list[Case]:
    cases = node_cases()
    return [cases[name] for name in must_pass(level)]


def _batches(level: str) -> list[ParameterSet]:
    return [pytest.param(b, id=b[0].name) for b in batches(_listed(level))]


@pytest.mark.parametrize("level", LEVELS)
def test_list_is_sorted_and_names_tests(level: str) -> None:
    names = must_pass(level)
    assert names == sorted(set(names))
    assert set(names) <= node_cases().keys()


@pytest.mark.parametrize("batch", _batches("nn"))
def test_nn(batch: list[Case]) -> None:
    found = [v for some in verdicts("nn", batch) for v in some.items()]
    assert not [f"{name}: {wrong}" for name, wrong in found if wrong]


@pytest.mark.parametrize("batch", _batches("wasm"))
def test_wasm(batch: list[Case]) -> None:
    assert not {n: wrong for n, wrong in run_batch(batch, run_wasm).items() if wrong}


@pytest.mark.parametrize("batch", _batches("webgpu"))
def test_webgpu(batch: list[Case]) -> None:
    assert not {n: wrong for n, wrong in run_batch(batch, run_webgpu).items() if wrong}


def test_table_of_operators_is_up_to_date() -> None:
    assert TABLE.read_text() == table(), "run python -m tests.conformance.update docs"
