"""Transposes in registers: all shapes, whole squares and what is left over, and other element types lane by lane."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto
from onnx.helper import make_node, np_dtype_to_tensor_dtype

import webdnn
from tests.unit.onnx_models import model_of, tensor
from webdnn.kernel_cache import KernelCache

CASES = [
    ((4, 4), (1, 0)),
    ((5, 7), (1, 0)),
    ((3, 50), (1, 0)),
    ((50, 1), (1, 0)),
    ((6, 9, 11), (2, 0, 1)),
    ((6, 9, 11), (2, 1, 0)),
    ((2, 5, 6, 7), (0, 2, 3, 1)),
    ((2, 17, 19, 6), (0, 3, 1, 2)),
    ((0, 5), (1, 0)),
]


@pytest.mark.parametrize(("shape", "perm"), CASES)
def test_transpose(shape: tuple[int, ...], perm: tuple[int, ...]) -> None:
    """The operand that lies as the result does is read as before, beside the one that lies across."""
    result = [shape[p] for p in perm]
    nodes = [
        make_node("Transpose", ["x"], ["t"], perm=perm),
        make_node("Add", ["t", "z"], ["y"]),
    ]
    model = model_of(nodes, [tensor("x", shape), tensor("z", result)], [tensor("y", result)])
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape).astype(np.float32)
    z = rng.standard_normal(result).astype(np.float32)
    package = webdnn.compile(model, target="wasm", cache=KernelCache(enabled=False), jobs=1)
    got = package.run({"x": x, "z": z}, engine="wasmtime")["y"]
    np.testing.assert_array_equal(got, x.transpose(perm) + z)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "bool", "float16", "float64"])
def test_element_types(dtype: str) -> None:
    kind = np_dtype_to_tensor_dtype(np.dtype(dtype))
    assert kind != TensorProto.UNDEFINED
    node = make_node("Transpose", ["x"], ["y"], perm=[1, 0])
    model = model_of([node], [tensor("x", [9, 6], kind)], [tensor("y", [6, 9], kind)])
    x = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 100, (9, 6)).astype(dtype)
    package = webdnn.compile(model, target="wasm", cache=KernelCache(enabled=False), jobs=1)
    np.testing.assert_array_equal(package.run({"x": x}, engine="wasmtime")["y"], x.T)
