"""Attention as one kernel: what is fused, and that it computes what numpy does, over ragged shapes and odd masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest
from onnx import ModelProto, TensorProto
from onnx.helper import make_node
from xdsl.dialects.builtin import ModuleOp

import webdnn
from tests.unit.onnx_models import model_of, tensor
from webdnn.dialects.plan import LaunchOp
from webdnn.dialects.weight_store import attach_weights
from webdnn.frontends.onnx import load
from webdnn.kernel_cache import KernelCache
from webdnn.stages import run_stages

Array = np.ndarray[Any, Any]
Engine = Literal["wasmtime", "wgpu"]


@dataclass(frozen=True)
class Sizes:
    """Batch, heads, queries, keys, size of a head, size of a value."""

    batch: int
    heads: int
    queries: int
    keys: int
    size: int
    values: int


def attention(s: Sizes, dtype: int = TensorProto.FLOAT) -> ModelProto:
    """Queries and values with heads behind the sequence, keys transposed, an additive mask [batch, 1, 1, keys]."""
    nodes = [
        make_node("Transpose", ["q"], ["q0"], perm=[0, 2, 1, 3]),
        make_node("Transpose", ["v"], ["v0"], perm=[0, 2, 1, 3]),
        make_node("MatMul", ["q0", "k"], ["a"]),
        make_node("Div", ["a", "root"], ["b"]),
        make_node("Add", ["b", "m"], ["c"]),
        make_node("Softmax", ["c"], ["p"], axis=-1),
        make_node("MatMul", ["p", "v0"], ["o"]),
        make_node("Transpose", ["o"], ["y"], perm=[0, 2, 1, 3]),
    ]
    inputs = [
        tensor("q", [s.batch, s.queries, s.heads, s.size], dtype),
        tensor("k", [s.batch, s.heads, s.size, s.keys], dtype),
        tensor("v", [s.batch, s.keys, s.heads, s.values], dtype),
        tensor("m", [s.batch, 1, 1, s.keys], dtype),
    ]
    half = dtype == TensorProto.FLOAT16
    root = np.asarray(np.sqrt(s.size), np.float16 if half else np.float32)
    result = tensor("y", [s.batch, s.queries, s.heads, s.values], dtype)
    return model_of(nodes, inputs, [result], {"root": root})


def inputs_for(s: Sizes, seed: int = 0) -> dict[str, Array]:
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> Array:
        return rng.standard_normal(shape).astype(np.float32)

    return {
        "q": normal(s.batch, s.queries, s.heads, s.size),
        "k": normal(s.batch, s.heads, s.size, s.keys),
        "v": normal(s.batch, s.keys, s.heads, s.values),
        "m": normal(s.batch, 1, 1, s.keys),
    }


def expected(x: dict[str, Array]) -> Array:
    q, k, v, m = (x[name].astype(np.float64) for name in "qkvm")
    with np.errstate(invalid="ignore"):
        scores = q.transpose(0, 2, 1, 3) @ k / np.sqrt(q.shape[-1]) + m
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        return (weights @ v.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)


def launches(model: ModelProto) -> list[str]:
    """The kernels that a model's program launches."""
    imported = load(model)
    attach_weights(imported.module, imported.weights)
    run_stages(imported.module, "onnx", "kernels", "wasm")
    return kernels_launched(imported.module)


def kernels_launched(module: ModuleOp) -> list[str]:
    return [op.kernel.string_value() for op in module.walk() if isinstance(op, LaunchOp)]


def run(model: ModelProto, x: dict[str, Array], engine: Engine = "wasmtime") -> Array:
    target = "wasm" if engine == "wasmtime" else "webgpu"
    package = webdnn.compile(model, target=target, cache=KernelCache(enabled=False), jobs=1)
    (result,) = package.run(x, engine=engine).values()
    return result


SIZES = [
    Sizes(1, 2, 13, 13, 8, 8),
    Sizes(2, 3, 5, 7, 6, 9),  # a batch, ragged everywhere
    Sizes(1, 1, 1, 33, 4, 4),  # one query: decoding
    Sizes(1, 1, 7, 1, 4, 5),  # one key
    Sizes(3, 1, 1, 1, 1, 1),
    Sizes(1, 1, 9, 1500, 16, 8),  # more scores than stay in the nearest cache for many rows
]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_attention(sizes: Sizes) -> None:
    model, x = attention(sizes), inputs_for(sizes)
    np.testing.assert_allclose(run(model, x), expected(x), rtol=2e-5, atol=2e-6)


def test_attention_is_one_launch() -> None:
    assert len(launches(attention(SIZES[0]))) == 1


def test_masks() -> None:
    """Keys masked by -inf weigh nothing; a row without keys, and NaN, give NaN as in ONNX Runtime."""
    sizes = Sizes(3, 2, 5, 11, 8, 8)
    x = inputs_for(sizes)
    x["m"][0, :, :, 4:] = -np.inf
    x["m"][1] = -np.inf
    x["q"][2, 3, 1, 0] = np.nan
    got, want = run(attention(sizes), x), expected(x)
    assert np.isnan(want).any() and not np.isnan(want[0]).any()
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-6)


def test_large_scores() -> None:
    sizes = SIZES[1]
    x = inputs_for(sizes)
    x["q"] *= 1e4
    np.testing.assert_allclose(run(attention(sizes), x), expected(x), rtol=2e-3, atol=2e-3)


def test_halves_are_not_fused() -> None:
    """Sums of exponentials times values could overflow."""
    assert len(launches(attention(SIZES[0], TensorProto.FLOAT16))) > 1


LONG = [
    Sizes(1, 3, 13, 4104, 8, 8),  # blocks of one length
    Sizes(2, 1, 17, 5001, 6, 9),  # and a shorter one
    Sizes(3, 12, 1, 9000, 4, 4),  # one query
]


@pytest.mark.parametrize("sizes", LONG, ids=str)
def test_long_rows(sizes: Sizes) -> None:
    model, x = attention(sizes), inputs_for(sizes)
    np.testing.assert_allclose(run(model, x), expected(x), rtol=2e-5, atol=2e-6)


def test_long_rows_are_never_whole_in_memory() -> None:
    model = attention(Sizes(1, 1, 600, 8192, 4, 4))
    _, join = launches(model)
    assert join.startswith("join")
    package = webdnn.compile(model, target="wasm", cache=KernelCache(enabled=False), jobs=1)
    assert package.manifest["backends"]["wasm"]["arena"]["bytes"] < 600 * 8192 * 4 / 16


def test_masks_of_long_rows() -> None:
    """Blocks without keys beside others weigh nothing; rows without keys, and NaN, are NaN."""
    sizes = Sizes(4, 2, 5, 4500, 8, 8)
    x = inputs_for(sizes)
    x["m"][0, :, :, 1000:] = -np.inf
    x["m"][1, :, :, :4400] = np.finfo(np.float32).min
    x["m"][2] = -np.inf
    x["q"][3, 3, 1, 0] = np.nan
    got, want = run(attention(sizes), x), expected(x)
    assert np.isnan(want[2]).all() and not np.isnan(want[:2]).any()
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("engine", ["wasmtime", "wgpu"])
def test_projections(engine: Engine) -> None:
    """Queries, keys and values of the same activations: on a CPU their product, a transpose, and the attention."""
    rng = np.random.default_rng(1)
    hidden, heads, sequence = 24, 3, 10
    weights: dict[str, Array] = {"root": np.asarray(np.sqrt(hidden // heads), np.float32)}
    weights["split"] = np.array([1, sequence, heads, hidden // heads])
    nodes = []
    for name, perm in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        weights[f"w{name}"] = rng.standard_normal((hidden, hidden)).astype(np.float32) / 5
        weights[f"b{name}"] = rng.standard_normal(hidden).astype(np.float32)
        nodes += [
            make_node("MatMul", ["x", f"w{name}"], [f"{name}0"]),
            make_node("Add", [f"{name}0", f"b{name}"], [f"{name}1"]),
            make_node("Reshape", [f"{name}1", "split"], [f"{name}2"]),
            make_node("Transpose", [f"{name}2"], [name], perm=perm),
        ]
    nodes += [
        make_node("MatMul", ["q", "k"], ["a"]),
        make_node("Div", ["a", "root"], ["b"]),
        make_node("Softmax", ["b"], ["p"], axis=-1),
        make_node("MatMul", ["p", "v"], ["y"]),
    ]
    shape = [1, heads, sequence, hidden // heads]
    model = model_of(nodes, [tensor("x", [1, sequence, hidden])], [tensor("y", shape)], weights)
    x = rng.standard_normal((1, sequence, hidden)).astype(np.float32)

    def split(name: str) -> Array:
        return (x @ weights[f"w{name}"] + weights[f"b{name}"]).reshape(weights["split"])

    parts = {"q": split("q"), "k": split("k").transpose(0, 2, 3, 1), "v": split("v")}
    parts["m"] = np.zeros((1, 1, 1, sequence), np.float32)
    want = expected(parts).transpose(0, 2, 1, 3)
    np.testing.assert_allclose(run(model, {"x": x}, engine), want, rtol=2e-5, atol=2e-6)
    assert len(launches(model)) == 3
