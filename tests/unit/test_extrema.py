"""The greatest and the least of windows and rows: a NaN wins wherever it stands, and nothing else becomes one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto
from onnx.helper import make_node

import webdnn
from tests.unit.onnx_models import model_of, tensor
from webdnn.kernel_cache import KernelCache

Array = np.ndarray[Any, Any]


def _values(shape: tuple[int, ...], seed: int, dtype: type = np.float32) -> Array:
    """Numbers whose squares overflow or vanish among ordinary ones, infinities of both signs, and few NaNs."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape).astype(dtype)
    least = np.finfo(dtype).smallest_subnormal
    odd = [np.inf, -np.inf, np.nan, -np.nan, 3e38, -3e38, 1e-30, least, 0.0]
    for value, share in zip(
        odd, [0.05, 0.05, 0.01, 0.01, 0.05, 0.05, 0.05, 0.05, 0.05], strict=True
    ):
        x[rng.random(shape) < share] = value
    return x


def _run(model: ModelProto, x: Array) -> Array:
    package = webdnn.compile(model, target="wasm", cache=KernelCache(enabled=False), jobs=1)
    return package.run({"x": x}, engine="wasmtime")["y"]


@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMin"])
@pytest.mark.parametrize("shape", [(3, 1), (7, 3), (6, 5), (5, 17), (3, 4, 100), (2, 1100), (0, 4)])
@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows(op: str, shape: tuple[int, ...], axis: int, dtype: type) -> None:
    if shape[axis] == 0:
        shape = shape[
            ::-1
        ]  # of a row without elements ONNX gives the neutral element, numpy an error
    x = _values(shape, 1, dtype)
    kind = TensorProto.FLOAT if dtype == np.float32 else TensorProto.DOUBLE
    node = make_node(op, ["x", "axes"], ["y"], keepdims=0)
    axes = {"axes": np.asarray([axis], np.int64)}
    model = model_of([node], [tensor("x", list(shape), kind)], [tensor("y", None, kind)], axes)
    reduce = np.maximum.reduce if op == "ReduceMax" else np.minimum.reduce
    np.testing.assert_array_equal(_run(model, x), reduce(x, axis=axis))


@pytest.mark.parametrize("channels", [1, 5, 8])
@pytest.mark.parametrize(
    ("size", "window", "stride", "pad"), [(9, 3, 2, 0), (8, 2, 2, 0), (7, 3, 1, 1)]
)
def test_windows(channels: int, size: int, window: int, stride: int, pad: int) -> None:
    x = _values((2, channels, size, size + 1), 2)
    node = make_node(
        "MaxPool", ["x"], ["y"], kernel_shape=[window] * 2, strides=[stride] * 2, pads=[pad] * 4
    )
    model = model_of([node], [tensor("x", list(x.shape))], [tensor("y", None)])
    padded = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)], constant_values=-np.inf)
    views = np.lib.stride_tricks.sliding_window_view(padded, (window, window), axis=(2, 3))
    expected = np.max(views[:, :, ::stride, ::stride], axis=(-1, -2))
    np.testing.assert_array_equal(_run(model, x), expected)


def test_indices_of_extrema() -> None:
    x = _values((9, 40), 3)
    node = make_node("ArgMax", ["x"], ["y"], axis=1, keepdims=0)
    model = model_of([node], [tensor("x", [9, 40])], [tensor("y", None, TensorProto.INT64)])
    np.testing.assert_array_equal(_run(model, x), np.argmax(x, axis=1))
