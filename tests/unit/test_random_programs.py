"""Random programs on both back ends against ONNX Runtime; see `random_programs`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from onnx import ModelProto

import webdnn
from tests.tolerances import assert_close
from tests.unit import random_layers, random_steps
from tests.unit.random_programs import RandomProgram
from webdnn.dialects.dtypes import Array

TOLERANCES = {"float32": 1e-4, "float16": 1e-2}
"""Of the range of a result of floats; others must be equal. A sum in 16 bits depends on its order."""


Grow = Callable[[int], tuple[ModelProto, dict[str, Array], dict[str, Array]]]


def random_program(
    seed: int, steps: int = 10
) -> tuple[ModelProto, dict[str, Array], dict[str, Array]]:
    """The model of a seed, its inputs, and what its results must be."""
    program = RandomProgram(seed)
    model = program.model({**random_steps.STEPS, **random_layers.STEPS}, steps)
    return model, program.inputs, {o.name: program.values[o.name] for o in model.graph.output}


def non_finite_program(seed: int) -> tuple[ModelProto, dict[str, Array], dict[str, Array]]:
    """The same, with NaNs and infinities among the numbers."""
    program = RandomProgram(seed, non_finite=True)
    model = program.model(random_steps.KEEP_NON_FINITE, 8)
    return model, program.inputs, {o.name: program.values[o.name] for o in model.graph.output}


def _seeds(quick: int, nightly: int) -> list[object]:
    late = [pytest.param(seed, marks=pytest.mark.nightly) for seed in range(quick, nightly)]
    return [*range(quick), *late]


def _check(seed: int, target: str, grow: Grow = random_program) -> None:
    model, inputs, expected = grow(seed)
    package = webdnn.compile(model, target=target, jobs=1)
    for _ in range(2):  # memory is used again
        results = package.run(inputs)
        for name, array in expected.items():
            tolerance = TOLERANCES.get(array.dtype.name, 0.0)
            assert_close(results[name], array, f"seed {seed}", name, tolerance)


@pytest.mark.parametrize("seed", _seeds(12, 300))
def test_wasm(seed: int) -> None:
    _check(seed, "wasm")


@pytest.mark.parametrize("seed", _seeds(6, 150))
def test_webgpu(seed: int) -> None:
    _check(seed, "webgpu")


@pytest.mark.parametrize("seed", _seeds(8, 200))
def test_non_finite_numbers(seed: int) -> None:
    """In wasm only: a shader compiler may assume that there are none."""
    _check(seed, "wasm", non_finite_program)
