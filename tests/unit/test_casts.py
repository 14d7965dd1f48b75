"""Floats as integers on both back ends: cut off, and where they do not fit the nearest integer that does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx.helper import make_node, np_dtype_to_tensor_dtype

import webdnn
from tests.unit.onnx_models import model_of, tensor
from webdnn.dialects.numpy_meaning.nn_elementwise import cast
from webdnn.targets import TARGETS

INTEGERS = [np.dtype(f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_saturates(dtype: Any, target: str) -> None:
    if dtype is np.float64 and target == "webgpu":
        return  # which has no such type
    numbers = [-0.5, 0.99, -1, -1.7, 1, 300.7, 65504, 2**15, 2**16, 3e9, 1e10, np.nan, np.inf]
    numbers += [sign * 2.0**power for sign in (1, -1) for power in (7, 8, 31, 32, 63, 64)]
    with np.errstate(over="ignore"):
        x = np.array([*numbers, *np.negative(numbers)]).astype(dtype)
    nodes = [
        make_node("Cast", ["x"], [f"y{i}"], to=np_dtype_to_tensor_dtype(to))
        for i, to in enumerate(INTEGERS)
    ]
    outputs = [
        tensor(f"y{i}", x.shape, np_dtype_to_tensor_dtype(to)) for i, to in enumerate(INTEGERS)
    ]
    inputs = [tensor("x", x.shape, np_dtype_to_tensor_dtype(x.dtype))]
    results = webdnn.compile(model_of(nodes, inputs, outputs), target=target).run({"x": x})
    for i, to in enumerate(INTEGERS):
        np.testing.assert_array_equal(results[f"y{i}"], cast(x, to), str(to))
