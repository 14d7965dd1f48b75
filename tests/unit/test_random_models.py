"""Random models on both back ends against ONNX Runtime; see `random_models`."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto

import webdnn
from tests.tolerances import assert_close
from tests.unit.random_models import random_model
from webdnn.dialects.dtypes import Array
from webdnn.lowering.linalg.winograd import WinogradConvolutions
from webdnn.package import Engine

TOLERANCE = 1e-4
"""Of the range of a result."""


def run_reference(model: ModelProto, inputs: dict[str, Array]) -> dict[str, Array]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    names = [o.name for o in model.graph.output]
    return {n: np.asarray(a) for n, a in zip(names, session.run(None, inputs), strict=True)}


def random_inputs(model: ModelProto, seed: int) -> dict[str, Array]:
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    return {"x": np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)}


def _seeds(quick: int, nightly: int) -> list[object]:
    late = [pytest.param(seed, marks=pytest.mark.nightly) for seed in range(quick, nightly)]
    return [*range(quick), *late]


def _check(seed: int, target: str, engine: Engine) -> None:
    model = random_model(seed)
    inputs = random_inputs(model, seed)
    expected = run_reference(model, inputs)
    # small maps would hardly ever be worth a transform
    forced = target == "wasm" and seed % 3 == 0
    passes = {"linalg": [WinogradConvolutions(window=2)]} if forced else {}
    package = webdnn.compile(model, target=target, passes=passes, jobs=1)
    for _ in range(2):  # memory is used again
        results = package.run(inputs, engine=engine)
        for name, array in expected.items():
            assert_close(results[name], array, f"seed {seed}", name, TOLERANCE)


@pytest.mark.parametrize("seed", _seeds(12, 400))
def test_wasm(seed: int) -> None:
    _check(seed, "wasm", "wasmtime")


@pytest.mark.parametrize("seed", _seeds(6, 100))
def test_webgpu(seed: int) -> None:
    _check(seed, "webgpu", "wgpu")
