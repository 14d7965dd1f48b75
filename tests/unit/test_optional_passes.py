"""Without the passes that are optional a model gives the same results, only later."""

from __future__ import annotations

import numpy as np
import pytest

import webdnn
from tests.models import all_models, model_case
from tests.tolerances import assert_close
from tests.unit.random_models import random_model
from tests.unit.test_random_models import TOLERANCE, random_inputs, run_reference
from webdnn.package import Engine
from webdnn.passes import OPTIONAL_PASSES
from webdnn.targets import TARGETS

QUICK = ("magika", "rapidocr_cls")
"""Models that are run here at every change. The others take minutes without these passes, and are run nightly."""

ENGINES: dict[str, Engine] = {"wasm": "wasmtime", "webgpu": "wgpu"}


@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.nightly) for n in all_models()],
)
def test_models(name: str) -> None:
    case = model_case(name)
    results: list[dict[str, np.ndarray]] = []
    for without in ((), OPTIONAL_PASSES):
        package = webdnn.compile(
            case.path, shapes=case.shapes, target="wasm", without=without, threads=False
        )
        results.append(package.run(case.inputs(), engine="wasmtime"))
    expected, actual = results
    assert list(actual) == list(expected)
    for output, array in actual.items():
        assert_close(array, expected[output], name, output)


def _check(seed: int, target: str, without: tuple[str, ...]) -> None:
    model = random_model(seed)
    inputs = random_inputs(model, seed)
    package = webdnn.compile(model, target=target, without=without, jobs=1, threads=False)
    results = package.run(inputs, engine=ENGINES[target])
    for name, array in run_reference(model, inputs).items():
        assert_close(results[name], array, f"seed {seed}", name, TOLERANCE)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "seed", [*range(2), *(pytest.param(s, marks=pytest.mark.nightly) for s in range(2, 40))]
)
def test_random_models_without_all(seed: int, target: str) -> None:
    _check(seed, target, OPTIONAL_PASSES)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("without", OPTIONAL_PASSES)
@pytest.mark.parametrize(
    "seed", [pytest.param(s, marks=pytest.mark.nightly) for s in range(100, 106)]
)
def test_random_models_without_one(seed: int, without: str, target: str) -> None:
    """Any of them may be missing, whatever the others count on."""
    _check(seed, target, (without,))
