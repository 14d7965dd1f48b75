"""Damaged models: each compiles or is one error, and nothing is half-written, hangs, or takes the process down."""

from __future__ import annotations

import pytest

from tests.unit.mutant_worker import compile_in_worker
from tests.unit.mutated_models import mutants


def check(count: int, seed: int) -> None:
    made = list(mutants(count, seed))
    outcomes = compile_in_worker([mutant.data for mutant in made])
    bad = {
        f"{mutant.name}: {outcome.kind}": outcome.text
        for mutant, outcome in zip(made, outcomes, strict=True)
        if outcome.kind not in ("compiled", "refused")
    }
    assert not bad, "\n\n".join(f"{name}\n{text}" for name, text in bad.items())


def test_damaged_models_are_one_error() -> None:
    check(300, seed=0)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(1, 4))
def test_many_damaged_models_are_one_error(seed: int) -> None:
    check(1000, seed)
