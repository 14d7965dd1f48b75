"""Types that WGSL lacks, against numpy: truth values, integers of 8 and 16 bits, halves."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from wgsl_kernels import IR_TYPES, Array, run_elementwise

SIGNED = ["int8", "int16", "int32"]
UNSIGNED = ["uint8", "uint16", "uint32"]


def _pairs(dtype: str, *, zero: bool = True) -> tuple[Array, Array]:
    """Pairs of integers: extremes with extremes, and random ones."""
    info = np.iinfo(dtype)
    rng = np.random.default_rng(0)
    extremes = [info.min, info.min + 1, 0, 1, 2, 7, info.max // 2, info.max - 1, info.max]
    a, b = (m.ravel() for m in np.meshgrid(extremes, extremes))
    x = np.concatenate([a, rng.integers(info.min, info.max, 500, endpoint=True)])
    y = np.concatenate([b, rng.integers(info.min, info.max, 500, endpoint=True)])
    if not zero:
        y = np.where(y == 0, 3, y)
        y = np.where((x == info.min) & (y == -1), 5, y)
    return x.astype(dtype), y.astype(dtype)


def _c_division(x: Array, y: Array) -> tuple[Array, Array]:
    """Quotient toward zero and its remainder, as C and MLIR define them."""
    wide_x, wide_y = x.astype(np.int64), y.astype(np.int64)
    quotient = np.abs(wide_x) // np.abs(wide_y) * np.sign(wide_x) * np.sign(wide_y)
    return quotient.astype(x.dtype), (wide_x - quotient * wide_y).astype(x.dtype)


@pytest.mark.parametrize("dtype", SIGNED + UNSIGNED)
@pytest.mark.parametrize(
    "name", ["addi", "subi", "muli", "andi", "ori", "xori", "min", "max", "div", "rem"]
)
def test_integer_arithmetic_wraps(dtype: str, name: str) -> None:
    x, y = _pairs(dtype, zero=name not in ("div", "rem"))
    suffix = "" if name[-1] == "i" else "si" if dtype in SIGNED else "ui"
    type = IR_TYPES[dtype]
    actual = run_elementwise(f"%r = arith.{name}{suffix} %a, %b : {type}", [x, y], type)
    with np.errstate(over="ignore"):
        expected = {
            "addi": lambda: x + y, "subi": lambda: x - y, "muli": lambda: x * y, "andi": lambda: x & y,
            "ori": lambda: x | y, "xori": lambda: x ^ y, "min": lambda: np.minimum(x, y),
            "max": lambda: np.maximum(x, y), "div": lambda: _c_division(x, y)[0],
            "rem": lambda: _c_division(x, y)[1],
        }[name]()  # fmt: skip
    np.testing.assert_array_equal(actual.view(dtype), expected)


@pytest.mark.parametrize("dtype", SIGNED)
@pytest.mark.parametrize("name", ["floordivsi", "ceildivsi"])
def test_rounded_division(dtype: str, name: str) -> None:
    x, y = _pairs(dtype, zero=False)
    type = IR_TYPES[dtype]
    actual = run_elementwise(f"%r = arith.{name} %a, %b : {type}", [x, y], type)
    wide_x, wide_y = x.astype(np.int64), y.astype(np.int64)
    expected = wide_x // wide_y if name == "floordivsi" else -(-wide_x // wide_y)
    np.testing.assert_array_equal(actual, expected.astype(dtype))


@pytest.mark.parametrize("dtype", SIGNED + UNSIGNED)
@pytest.mark.parametrize("shift", [1, 3, 7])
def test_shifts(dtype: str, shift: int) -> None:
    x, _ = _pairs(dtype)
    type = IR_TYPES[dtype]
    right = "shrsi" if dtype in SIGNED else "shrui"
    body = f"%n = arith.constant {shift} : {type}\n %r = arith.{{}} %a, %n : {type}"
    actual = run_elementwise(body.format(right), [x], type)
    np.testing.assert_array_equal(actual.view(dtype), x >> np.array(shift, dtype))
    actual = run_elementwise(body.format("shli"), [x], type)
    np.testing.assert_array_equal(actual.view(dtype), x << np.array(shift, dtype))


@pytest.mark.parametrize("dtype", SIGNED + UNSIGNED)
@pytest.mark.parametrize("predicate", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_integer_comparison(dtype: str, predicate: str) -> None:
    x, y = _pairs(dtype)
    sign = "" if predicate in ("eq", "ne") else "s" if dtype in SIGNED else "u"
    type = IR_TYPES[dtype]
    actual = run_elementwise(f"%r = arith.cmpi {sign}{predicate}, %a, %b : {type}", [x, y], "i1")
    np.testing.assert_array_equal(actual, getattr(x, f"__{predicate}__")(y))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32"])
def test_integers_to_and_from_float(dtype: str) -> None:
    x, _ = _pairs(dtype)
    type = IR_TYPES[dtype]
    sign = "s" if dtype in SIGNED else "u"
    actual = run_elementwise(f"%r = arith.{sign}itofp %a : {type} to f32", [x], "f32")
    np.testing.assert_array_equal(actual, x.astype(np.float32))
    top = min(np.iinfo(dtype).max, 2**31 - 128)
    low = max(np.iinfo(dtype).min, -top)
    values = np.random.default_rng(1).uniform(low, top, 300).astype(np.float32)
    actual = run_elementwise(f"%r = arith.fpto{sign}i %a : f32 to {type}", [values], type)
    np.testing.assert_array_equal(actual.view(dtype), values.astype(dtype))


@pytest.mark.parametrize("narrow", ["int8", "uint8", "int16", "uint16"])
def test_extension_and_truncation(narrow: str) -> None:
    x, _ = _pairs(narrow)
    type = IR_TYPES[narrow]
    sign = "s" if narrow in SIGNED else "u"
    actual = run_elementwise(f"%r = arith.ext{sign}i %a : {type} to i32", [x], "i32")
    np.testing.assert_array_equal(actual, x.astype(np.int32))
    wide, _ = _pairs("int32")
    actual = run_elementwise(f"%r = arith.trunci %a : i32 to {type}", [wide], type)
    np.testing.assert_array_equal(actual.view(narrow), wide.astype(narrow))


def test_products_of_bytes_are_exact() -> None:
    x, y = _pairs("uint8")
    body = """%s = arith.addi %a, %b : i8
    %p = arith.muli %s, %s : i8
    %q = arith.extui %p : i8 to i32
    %r = arith.uitofp %q : i32 to f32"""
    actual = run_elementwise(body, [x, y], "f32")
    total = x + y
    np.testing.assert_array_equal(actual, (total * total).astype(np.float32))


@pytest.mark.parametrize("name", ["andi", "ori", "xori"])
def test_logic(name: str) -> None:
    x = np.array([False, False, True, True] * 5)
    y = np.array([False, True, False, True] * 5)
    actual = run_elementwise(f"%r = arith.{name} %a, %b : i1", [x, y], "i1")
    assert actual.dtype == np.bool_
    expected = {"andi": x & y, "ori": x | y, "xori": x ^ y}[name]
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("predicate", ["eq", "ult", "sge"])
def test_order_of_truth_values(predicate: str) -> None:
    x = np.array([False, False, True, True] * 5)
    y = np.array([False, True, False, True] * 5)
    actual = run_elementwise(f"%r = arith.cmpi {predicate}, %a, %b : i1", [x, y], "i1")
    expected = {"eq": x == y, "ult": x < y, "sge": x <= y}[predicate]  # a true bit is -1 if signed
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize(("to", "dtype"), [("i8", "uint8"), ("i32", "int32")])
def test_truth_values_as_numbers(to: str, dtype: str) -> None:
    x = np.array([False, True, True])
    actual = run_elementwise(f"%r = arith.extui %a : i1 to {to}", [x], to)
    np.testing.assert_array_equal(actual, x.astype(dtype))
    as_float = run_elementwise("%r = arith.uitofp %a : i1 to f32", [x], "f32")
    np.testing.assert_array_equal(as_float, x.astype(np.float32))
    back = run_elementwise(f"%r = arith.trunci %a : {to} to i1", [np.arange(6).astype(dtype)], "i1")
    np.testing.assert_array_equal(back, np.arange(6) % 2 == 1)


def test_select_and_not() -> None:
    x = np.array([False, True, True, False, True])
    a = np.arange(5, dtype=np.float32)
    body = """%true = arith.constant true
    %not = arith.xori %a, %true : i1
    %zero = arith.constant 0.0 : f32
    %r = arith.select %not, %b, %zero : f32"""
    actual = run_elementwise(body, [x, a], "f32")
    np.testing.assert_array_equal(actual, np.where(~x, a, 0))


def _halves() -> tuple[Array, Array]:
    rng = np.random.default_rng(4)
    special = [0.0, -0.0, 1.0, 65504.0, -65504.0, 6e-8, 6.1e-5, 1e-4, np.inf, 3.0]
    a, b = (m.ravel() for m in np.meshgrid(special, special))
    x = np.concatenate([a, rng.normal(size=500), np.exp(rng.uniform(-16, 11, 500))])
    y = np.concatenate([b, rng.normal(size=500), np.exp(rng.uniform(-16, 11, 500))])
    return x.astype(np.float16), y.astype(np.float16)


@pytest.mark.parametrize("name", ["addf", "subf", "mulf", "divf", "maximumf", "minimumf"])
def test_halves_round_as_numpy_does(name: str) -> None:
    x, y = _halves()
    actual = run_elementwise(f"%r = arith.{name} %a, %b : f16", [x, y], "f16")
    with np.errstate(all="ignore"):
        expected = {
            "addf": x + y, "subf": x - y, "mulf": x * y, "divf": x / y,
            "maximumf": np.maximum(x, y), "minimumf": np.minimum(x, y),
        }[name]  # fmt: skip
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(actual[known], expected[known])


def test_conversion_to_half() -> None:
    rng = np.random.default_rng(5)
    x = np.concatenate(
        [np.exp(rng.uniform(-20, 12, 2000)), [0, 65519.9, 65520, 2.0**-25, 2.0**-24, 1e30, np.inf]]
    ).astype(np.float32)
    x = np.concatenate([x, -x])
    actual = run_elementwise("%r = arith.truncf %a : f32 to f16", [x], "f16")
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(actual, x.astype(np.float16))


def test_conversion_to_bfloat16() -> None:
    rng = np.random.default_rng(6)
    x = (rng.normal(size=1000) * np.exp(rng.uniform(-50, 50, 1000))).astype(np.float32)
    x = np.concatenate(
        [x, np.array([0.0, -0.0, np.inf, 3.4e38, 1.00390625, 1.01171875], np.float32)]
    )
    body = "%n = arith.truncf %a : f32 to bf16\n %r = arith.extf %n : bf16 to f32"
    actual = run_elementwise(body, [x], "f32")
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(actual, x.astype(ml_dtypes.bfloat16).astype(np.float32))
