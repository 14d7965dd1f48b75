"""TopK: every size, type and axis, ties and NaN, as ONNX Runtime orders them, on every level and both back ends."""

from __future__ import annotations

from collections.abc import Mapping

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from xdsl.parser import Parser
from xdsl.utils.exceptions import VerifyException

import webdnn
from tests.conformance.nn_level import run_on_nn
from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.numpy_meaning.program import run_module
from webdnn.dialects.weight_store import attach_weights
from webdnn.frontends.onnx import load
from webdnn.package import Package
from webdnn.passes import context
from webdnn.stages import run_stages

TARGETS: tuple[str, ...] = ("wasm", "webgpu")
FLOATS = ("float32", "float16", "bfloat16", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def top_k_model(inputs: Mapping[str, Array], k: int, axis: int = -1) -> onnx.ModelProto:
    """The `k` greatest (`name_v` and `name_i`) and least (`name_w` and `name_j`) elements of each input."""
    nodes: list[onnx.NodeProto] = []
    values: list[onnx.ValueInfoProto] = []
    results: list[onnx.ValueInfoProto] = []
    for name, array in inputs.items():
        element = helper.np_dtype_to_tensor_dtype(array.dtype)
        values.append(helper.make_tensor_value_info(name, element, array.shape))
        for largest, (v, i) in ((1, "vi"), (0, "wj")):
            names = [f"{name}_{v}", f"{name}_{i}"]
            nodes.append(helper.make_node("TopK", [name, "k"], names, axis=axis, largest=largest))
            results.append(helper.make_tensor_value_info(names[0], element, None))
            results.append(helper.make_tensor_value_info(names[1], TensorProto.INT64, None))
    known = helper.make_tensor("k", TensorProto.INT64, [1], [k])
    graph = helper.make_graph(nodes, "top_k", values, results, [known])
    opset = 24 if any(a.dtype == ml_dtypes.bfloat16 for a in inputs.values()) else 21
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def expected(array: Array, k: int, axis: int, *, largest: bool) -> Array:
    """The indices, one element after the other: NaN above all, equal elements in their order."""
    moved = np.moveaxis(array, axis, -1)
    rows = moved.reshape(-1, moved.shape[-1]) if moved.size else np.zeros((0, 0))
    found = np.empty((len(rows), k), np.int64)
    for row, line in zip(found, rows, strict=True):
        keys = [(bool(v != v), 0 if v != v else v.item()) for v in line]
        # sorted() is stable, in reverse order too
        row[:] = sorted(range(len(keys)), key=keys.__getitem__, reverse=largest)[:k]
    return np.moveaxis(found.reshape(*moved.shape[:-1], k), -1, axis)


def check(
    results: Mapping[str, Array], inputs: Mapping[str, Array], k: int, axis: int = -1
) -> None:
    for name, array in inputs.items():
        for largest, (v, i) in ((True, "vi"), (False, "wj")):
            index = expected(array, k, axis, largest=largest)
            np.testing.assert_array_equal(results[f"{name}_{i}"], index, f"{name} {largest}")
            values = np.take_along_axis(array, index, axis)
            assert results[f"{name}_{v}"].tobytes() == values.tobytes(), f"{name} {largest}"


def with_ties(*shape: int) -> Array:
    """Few different floats, with NaNs of both signs, infinities and zeros of both signs among them."""
    rng = np.random.default_rng(sum(shape))
    x = rng.integers(-20, 20, shape).astype(np.float32)
    special = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-42, -1e-42], np.float32)
    return np.where(rng.random(shape) < 0.3, rng.choice(special, shape), x)


def extremes(dtype: str) -> Array:
    """Elements of a type, its least and greatest among them several times."""
    rng = np.random.default_rng(0)
    if dtype in INTEGERS:
        info = np.iinfo(dtype)
        x = rng.integers(info.min, info.max, (2, 150), dtype=dtype, endpoint=True)
        special = np.array([info.min, info.max, 0, 1], dtype)
    else:
        number = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
        x = (rng.standard_normal((2, 150)) * 3).astype(number)
        info = ml_dtypes.finfo(number)
        special = np.array(
            [np.nan, np.inf, -np.inf, 0, -0.0, info.max, info.min, info.smallest_subnormal], number
        )
    return np.where(rng.random(x.shape) < 0.3, rng.choice(special, x.shape), x)


@pytest.mark.parametrize("size", [1, 2, 3, 17, 1000])
def test_order_is_that_of_onnx_runtime(size: int) -> None:
    x = with_ties(3, size)
    for k in {1, size // 3, size}:
        model = top_k_model({"x": x}, k)
        session = onnxruntime.InferenceSession(model.SerializeToString())
        for result, wanted in zip(run_on_nn(model, [x]), session.run(None, {"x": x}), strict=True):
            np.testing.assert_array_equal(result, np.asarray(wanted))


SIZES: dict[str, tuple[tuple[int, ...], int, int]] = {
    "nothing": ((0,), 0, 0),
    "no rows": ((0, 3), 5, 1),
    "none of three": ((2, 3), 0, 1),
    "one": ((1,), 1, 0),
    "one of many": ((2, 70), 1, 1),
    "two of two": ((3, 2), 2, -1),
    "less than a block": ((3, 17, 2), 5, 1),
    "blocks, and a ragged one": ((2, 3, 700), 170, -1),
    "along the first dimension": ((1000, 2), 1000, 0),
    "anchors": ((1, 8400), 300, -1),
    "few of many": ((20000,), 3, 0),
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", SIZES)
def test_sizes(name: str, target: str) -> None:
    shape, k, axis = SIZES[name]
    inputs = {"x": with_ties(*shape)}
    package = webdnn.compile(top_k_model(inputs, k, axis), target=target, jobs=1)
    results = package.run(inputs)
    if 0 in shape:
        wanted = [k if d == axis % len(shape) else n for d, n in enumerate(shape)]
        assert all(list(a.shape) == wanted for a in results.values())
    else:
        check(results, inputs, k, axis)


@pytest.mark.nightly
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("k", [1, 100, 100_000])
def test_many_elements(k: int, target: str) -> None:
    inputs = {"x": with_ties(1, 100_000)}
    check(webdnn.compile(top_k_model(inputs, k), target=target).run(inputs), inputs, k)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "k", [pytest.param(k, marks=pytest.mark.nightly) for k in (1, 4, 150)] + [70]
)
def test_types(k: int, target: str) -> None:
    absent = ("bfloat16", "float64") if target == "webgpu" else ()
    inputs = {t: extremes(t) for t in (*FLOATS, *INTEGERS) if t not in absent}
    check(webdnn.compile(top_k_model(inputs, k), target=target).run(inputs), inputs, k)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("size", "k"), [(70, 20), (70, 70), (5, 1), (5, 3)])
def test_every_level_means_the_same(size: int, k: int, target: str) -> None:
    inputs = {"x": with_ties(2, size)}
    imported = load(top_k_model(inputs, k))
    attach_weights(imported.module, imported.weights)
    before = "onnx"
    for stage in ("nn", "linalg", "kernels", "loops"):
        run_stages(imported.module, before, stage, target)
        imported.module.verify()
        check(run_module(imported.module, imported.weights, inputs), inputs, k)
        before = stage


def test_a_package_holds_no_table() -> None:
    """And its code does not grow with the number of elements: WebGPU has one kernel more when that is doubled."""

    def compiled(size: int, k: int) -> Package:
        return webdnn.compile(top_k_model({"x": np.zeros((1, size), np.float32)}, k), jobs=1)

    few, many = compiled(8400, 300), compiled(1 << 20, 1 << 17)
    for package in (few, many):
        assert not any("weights" in name for name in package.files)
    code = [sum(len(f) for f in package.files.values()) for package in (few, many)]
    assert code[1] < 1.5 * code[0] < 200_000


@pytest.mark.parametrize(
    ("op", "message"),
    [
        ("linalg_ext.top_k %k : tensor<2x5xi32> -> tensor<2x6xi32>", "has no 6 positions"),
        ("linalg_ext.select %k : tensor<2x5xi32> -> tensor<3x5xi32>", "are not the same rows"),
        ("linalg_ext.select %k : tensor<2x5xi32> -> tensor<2x5xi64>", "positions are i32"),
        (
            "linalg_ext.counting_sort %k shift 0 : i64 : tensor<2x5xi32> -> tensor<2x4xi32>",
            "without an order all positions",
        ),
        (
            "linalg_ext.counting_sort %k shift 32 : i64 : tensor<2x5xi32> -> tensor<2x5xi32>",
            "no digit at bit 32",
        ),
        ("linalg_ext.counting_sort %k shift 8 : i64 : tensor<2x5xi32> -> tensor<2x5xi32>", ""),
    ],
)
def test_verifiers(op: str, message: str) -> None:
    result = op.rpartition(" ")[2]
    text = f"""
    kernel.func @k(%k: tensor<2x5xi32>) -> {result} {{
      %r = {op}
      kernel.return %r : {result}
    }}"""
    module = Parser(context(), text).parse_module()
    if message:
        with pytest.raises(VerifyException, match=message):
            module.verify()
        return
    module.verify()
    again = Parser(context(), str(module)).parse_module()
    assert again.is_structurally_equivalent(module)


def test_fewer_than_none() -> None:
    model = top_k_model({"x": np.zeros(3, np.float32)}, -1)
    with pytest.raises(WebDNNError, match="TopK") as error:
        run_on_nn(model, [np.zeros(3, np.float32)])
    assert "its k is -1, which is less than 0" in str(error.value)
