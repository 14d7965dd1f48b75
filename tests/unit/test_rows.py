"""Softmax and normalisation over rows of any length: one kernel where there are enough rows, always what numpy says."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from onnx import ModelProto
from onnx.helper import make_node

import webdnn
from tests.unit.onnx_models import model_of, tensor
from webdnn.dialects.plan import LaunchOp
from webdnn.dialects.weight_store import attach_weights
from webdnn.frontends.onnx import load
from webdnn.kernel_cache import KernelCache
from webdnn.stages import run_stages

Array = np.ndarray[Any, Any]
Target = Literal["wasm", "webgpu"]

LONG = [(2, 17, 4097), (32, 33000)]
FEW = [(3, 5000)]


def _softmax(x: Array, axis: int) -> Array:
    e = np.exp(x.astype(np.float64) - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def _softmax_model(shape: tuple[int, ...], axis: int) -> ModelProto:
    node = make_node("Softmax", ["x"], ["y"], axis=axis)
    return model_of([node], [tensor("x", list(shape))], [tensor("y", list(shape))])


def _norm_model(shape: tuple[int, ...]) -> ModelProto:
    node = make_node("LayerNormalization", ["x", "s"], ["y"], axis=-1)
    scale = {"s": np.linspace(0.5, 2, shape[-1], dtype=np.float32)}
    return model_of([node], [tensor("x", list(shape))], [tensor("y", list(shape))], scale)


def _launches(model: ModelProto, target: Target) -> int:
    imported = load(model)
    attach_weights(imported.module, imported.weights)
    run_stages(imported.module, "onnx", "kernels", target)
    return sum(isinstance(op, LaunchOp) for op in imported.module.walk())


def _run(model: ModelProto, x: Array, target: Target) -> Array:
    package = webdnn.compile(model, target=target, cache=KernelCache(enabled=False), jobs=1)
    return package.run({"x": x}, engine="wasmtime" if target == "wasm" else "wgpu")["y"]


@pytest.mark.parametrize("target", ["wasm", "webgpu"])
@pytest.mark.parametrize("shape", [*LONG, *FEW], ids=str)
def test_softmax(shape: tuple[int, ...], target: Target) -> None:
    x = 10 * np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    model = _softmax_model(shape, -1)
    np.testing.assert_allclose(_run(model, x, target), _softmax(x, -1), rtol=2e-5, atol=1e-9)
    assert (_launches(model, target) == 1) == (shape in LONG)


@pytest.mark.parametrize("target", ["wasm", "webgpu"])
def test_softmax_of_scattered_rows(target: Target) -> None:
    x = np.random.default_rng(1).standard_normal((2, 5000, 9)).astype(np.float32)
    got = _run(_softmax_model(x.shape, 1), x, target)
    np.testing.assert_allclose(got, _softmax(x, 1), rtol=2e-5, atol=1e-9)


@pytest.mark.parametrize("target", ["wasm", "webgpu"])
@pytest.mark.parametrize("shape", [*LONG, *FEW], ids=str)
def test_layer_norm(shape: tuple[int, ...], target: Target) -> None:
    x = np.random.default_rng(2).standard_normal(shape).astype(np.float32) * 3 + 5
    wide = x.astype(np.float64)
    want = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-5)
    want *= np.linspace(0.5, 2, shape[-1])
    model = _norm_model(shape)
    np.testing.assert_allclose(_run(model, x, target), want, rtol=1e-5, atol=1e-5)
    assert (_launches(model, target) == 1) == (shape in LONG)
