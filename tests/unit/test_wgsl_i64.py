"""64-bit integers, which WGSL lacks, against numpy: extremes, carries, signs."""

from __future__ import annotations

import numpy as np
import pytest
import wgsl_kernels
from onnx import TensorProto, helper, numpy_helper
from wgsl_kernels import Array, launch, parse, run_elementwise

from webdnn.compiler import compile
from webdnn.engines.wgpu import run_kernel
from webdnn.kernel_cache import KernelCache

wgsl_kernels.IR_TYPES.update({"int64": "i64", "uint64": "i64"})


def _pairs(*, unsigned: bool = False, zero: bool = True) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    extremes = [
        0, 1, 2, -1, -2, 7, 2**31 - 1, 2**31, 2**32 - 1, 2**32, -(2**31), -(2**32), 2**63 - 1, -(2**63), 10**12,
        -(10**12), 0x123456789ABCDEF,
    ]  # fmt: skip
    a, b = (
        m.ravel() for m in np.meshgrid(np.array(extremes, np.int64), np.array(extremes, np.int64))
    )
    scale = rng.integers(0, 63, 400)
    x = np.concatenate([a, rng.integers(-(2**63), 2**63 - 1, 400) >> scale])
    y = np.concatenate([b, rng.integers(-(2**63), 2**63 - 1, 400) >> scale[::-1]])
    if not zero:
        y[(y == 0) | ((x == -(2**63)) & (y == -1))] = 3
    return (x.view(np.uint64), y.view(np.uint64)) if unsigned else (x, y)


@pytest.mark.parametrize(
    "name", ["addi", "subi", "muli", "andi", "ori", "xori", "minsi", "maxsi", "minui", "maxui"]
)
def test_arithmetic(name: str) -> None:
    x, y = _pairs(unsigned=name.endswith("ui"))
    actual = run_elementwise(f"%r = arith.{name} %a, %b : i64", [x, y], "i64")
    with np.errstate(over="ignore"):
        expected = {
            "addi": lambda: x + y, "subi": lambda: x - y, "muli": lambda: x * y, "andi": lambda: x & y,
            "ori": lambda: x | y, "xori": lambda: x ^ y, "minsi": lambda: np.minimum(x, y),
            "maxsi": lambda: np.maximum(x, y), "minui": lambda: np.minimum(x, y), "maxui": lambda: np.maximum(x, y),
        }[name]()  # fmt: skip
    np.testing.assert_array_equal(actual.view(x.dtype), expected)


@pytest.mark.parametrize(
    "name", ["divsi", "remsi", "divui", "remui", "floordivsi", "ceildivsi", "ceildivui"]
)
def test_division(name: str) -> None:
    x, y = _pairs(unsigned=name.endswith("ui"), zero=False)
    actual = run_elementwise(f"%r = arith.{name} %a, %b : i64", [x, y], "i64").view(x.dtype)
    exact = zip(x.tolist(), y.tolist(), strict=True)
    toward_zero = [abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1) for a, b in exact]
    quotient = np.array(toward_zero, x.dtype)
    expected = {
        "divsi": lambda: quotient, "divui": lambda: quotient, "remsi": lambda: x - quotient * y,
        "remui": lambda: x - quotient * y, "floordivsi": lambda: x // y,
        "ceildivsi": lambda: x // y + (x % y != 0), "ceildivui": lambda: x // y + (x % y != 0),
    }[name]()  # fmt: skip
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("name", ["shli", "shrsi", "shrui"])
def test_shifts(name: str) -> None:
    x, _ = _pairs(unsigned=name == "shrui")
    by = (np.arange(x.size) % 64).astype(x.dtype)
    actual = run_elementwise(f"%r = arith.{name} %a, %b : i64", [x, by], "i64")
    np.testing.assert_array_equal(actual.view(x.dtype), x << by if name == "shli" else x >> by)


@pytest.mark.parametrize("predicate", ["eq", "ne", "slt", "sle", "sgt", "sge", "ult", "uge"])
def test_comparison(predicate: str) -> None:
    x, y = _pairs(unsigned=predicate.startswith("u"))
    actual = run_elementwise(f"%r = arith.cmpi {predicate}, %a, %b : i64", [x, y], "i1")
    expected = getattr(x, f"__{predicate[-2:]}__")(y)
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("signed", [True, False])
def test_to_float_rounds_to_nearest(signed: bool) -> None:
    x, y = _pairs(unsigned=not signed)
    x = np.concatenate([x, y, np.arange(2**24, 2**24 + 9).astype(x.dtype) << np.array(20, x.dtype)])
    name = "sitofp" if signed else "uitofp"
    actual = run_elementwise(f"%r = arith.{name} %a : i64 to f32", [x], "f32")
    np.testing.assert_array_equal(actual, x.astype(np.float32))


def test_from_float() -> None:
    rng = np.random.default_rng(1)
    x = np.concatenate(
        [rng.normal(size=300) * np.exp(rng.uniform(0, 40, 300)), [0, -0.5, 2**31, -(2.0**40)]]
    )
    x = x.astype(np.float32)
    actual = run_elementwise("%r = arith.fptosi %a : f32 to i64", [x], "i64")
    np.testing.assert_array_equal(actual, x.astype(np.int64))


@pytest.mark.parametrize("narrow", ["int8", "uint8", "int32", "uint32", "bool"])
def test_to_and_from_narrower_integers(narrow: str) -> None:
    type = wgsl_kernels.IR_TYPES[narrow]
    values = np.array([0, 1, 1, 0, 1]) if narrow == "bool" else np.array([0, 1, 127, -1, -128])
    x = values.astype(narrow)
    extend = "extui" if narrow == "bool" or narrow.startswith("u") else "extsi"
    actual = run_elementwise(f"%r = arith.{extend} %a : {type} to i64", [x], "i64")
    np.testing.assert_array_equal(actual, x.astype(np.int64))
    wide, _ = _pairs()
    back = run_elementwise(f"%r = arith.trunci %a : i64 to {type}", [wide], type)
    expected = wide % 2 == 1 if narrow == "bool" else wide.astype(narrow)
    np.testing.assert_array_equal(back if narrow == "bool" else back.view(narrow), expected)


def test_sums_in_loops_and_indices() -> None:
    """A gather by 64-bit indices, and a sum that exceeds 32 bits."""
    text = f"""
kernel.func @k(%x: memref<50xi64>, %at: memref<64xi64>, %out: memref<64xi64>) {launch()} {{
  %i = "gpu.thread_id"() {{dimension = #gpu<dim x>}} : () -> index
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c50 = arith.constant 50 : index
  %zero = arith.constant 0 : i64
  %fifty = arith.constant 50 : i64
  %k = memref.load %at[%i] : memref<64xi64>
  %negative = arith.cmpi slt, %k, %zero : i64
  %wrapped = arith.addi %k, %fifty : i64
  %p = arith.select %negative, %wrapped, %k : i64
  %j = arith.index_cast %p : i64 to index
  %v = memref.load %x[%j] : memref<50xi64>
  %sum = scf.for %n = %c0 to %c50 step %c1 iter_args(%acc = %v) -> (i64) {{
    %w = memref.load %x[%n] : memref<50xi64>
    %m = arith.addi %acc, %w : i64
    scf.yield %m : i64
  }}
  memref.store %sum, %out[%i] : memref<64xi64>
  kernel.return
}}"""
    rng = np.random.default_rng(2)
    x = rng.integers(-(2**40), 2**40, 50)
    at = rng.integers(-50, 50, 64)
    (actual,) = run_kernel(parse(text), "k", [x, at])
    np.testing.assert_array_equal(actual, x[at] + x.sum())


def test_model_with_64_bit_inputs_and_outputs() -> None:
    """From ONNX to a package and back: gather by int64, arg-max, and products beyond 32 bits."""
    rng = np.random.default_rng(3)
    table = rng.normal(size=(30, 12)).astype(np.float32)
    big = np.array([10**12 + 7], np.int64)
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "ids"], ["rows"], axis=0),
            helper.make_node("ArgMax", ["rows"], ["best"], axis=-1, keepdims=0),
            helper.make_node("Mul", ["ids", "big"], ["scaled"]),
            helper.make_node("Add", ["scaled", "best"], ["sum"]),
            helper.make_node("Cast", ["sum"], ["number"], to=TensorProto.FLOAT),
        ],
        "int64",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, [2, 7])],
        [
            helper.make_tensor_value_info("sum", TensorProto.INT64, [2, 7]),
            helper.make_tensor_value_info("number", TensorProto.FLOAT, [2, 7]),
            helper.make_tensor_value_info("rows", TensorProto.FLOAT, [2, 7, 12]),
        ],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(big, "big")],
    )
    opsets = [helper.make_opsetid("", 17)]
    package = compile(
        helper.make_model(graph, opset_imports=opsets, ir_version=9),
        target="webgpu",
        cache=KernelCache(enabled=False),
        jobs=1,
    )
    ids = rng.integers(-30, 30, (2, 7))
    outputs = package.run({"ids": ids}, engine="wgpu")
    np.testing.assert_array_equal(outputs["rows"], table[ids])
    expected = ids * big + table[ids].argmax(axis=-1)
    np.testing.assert_array_equal(outputs["sum"], expected)
    np.testing.assert_array_equal(outputs["number"], expected.astype(np.float32))
