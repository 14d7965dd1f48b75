"""Random models with symbolic sizes, compiled once and run at several sizes, on both back ends against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest

import webdnn
from tests.tolerances import assert_close
from tests.unit.random_sizes import SizedModel, random_matrix_model, random_picture_model
from tests.unit.test_random_models import run_reference

TOLERANCE = 2e-4
"""Of the range of a result."""

Make = Callable[[int], SizedModel]


def _cases(quick: int, nightly: int) -> list[object]:
    return [
        pytest.param(
            make, seed, marks=[pytest.mark.nightly] if seed >= quick else [], id=f"{name}-{seed}"
        )
        for name, make in (("matrices", random_matrix_model), ("pictures", random_picture_model))
        for seed in range(nightly)
    ]


def _check(sized: SizedModel, seed: int, target: Literal["wasm", "webgpu"]) -> None:
    package = webdnn.compile(sized.model, target=target, dims=dict(sized.dims), jobs=1)
    for values in sized.runs:
        inputs = {"x": sized.input(values, seed)}
        expected = run_reference(sized.model, inputs)["y"]
        found = package.run(inputs, engine="wasmtime" if target == "wasm" else "wgpu")["y"]
        assert found.shape == expected.shape, values
        assert_close(found, expected, f"seed {seed} at {values}", "y", TOLERANCE)


@pytest.mark.parametrize("make,seed", _cases(25, 500))
def test_wasm(make: Make, seed: int) -> None:
    _check(make(seed), seed, "wasm")


@pytest.mark.parametrize("make,seed", _cases(25, 500))
def test_webgpu(make: Make, seed: int) -> None:
    _check(make(seed), seed, "webgpu")
