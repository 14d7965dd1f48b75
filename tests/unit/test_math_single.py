"""Elementary functions in single precision: at most 4 ulp off, over the whole range, with all edge cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.unit.math_accuracy import FUNCTIONS, edges, padded, reference, worst, worst_binary
from tests.unit.wasm_kernels import DTYPES, apply

LIMIT = {
    "exp": 1.1, "exp2": 1.2, "expm1": 1.8, "log": 1.0, "log2": 1.8, "log10": 2.0, "log1p": 1.7, "tanh": 2.6,
    "erf": 1.3, "sin": 1.8, "cos": 1.8, "tan": 0.7, "asin": 0.51, "acos": 0.51, "atan": 0.51, "cbrt": 0.51,
    "rsqrt": 1.6, "sinh": 2.6, "cosh": 2.6, "asinh": 3.5, "acosh": 3.5, "atanh": 3.5,
}  # fmt: skip
"""Measured maxima in ulp over these samples, rounded up; all are below 4."""


def _samples() -> Any:
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 2**32, 2**17, dtype=np.uint64).astype(np.uint32).view(np.float32)
    linear = [np.linspace(-a, a, 2**14) for a in (1e-3, 1, 5, 20, 110, 1e4, 1e6)]
    logarithmic = np.exp(rng.uniform(-103, 88, 2**15))
    return padded(bits, *linear, logarithmic, -logarithmic, edges("f32"), dtype=np.float32)


SAMPLES = _samples()


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("lanes", "relaxed"), [(None, False), (4, False), (4, True), (8, True)])
def test_unary(name: str, lanes: int | None, relaxed: bool) -> None:
    assert LIMIT[name] < 4
    error, where = worst(name, SAMPLES, "f32", lanes, relaxed=relaxed)
    assert error <= LIMIT[name], where


def _pairs() -> tuple[Any, Any]:
    special = np.array(
        [0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 2, -2, 3, -3, 0.5, -0.5, 1.5, -1.5, 1e-40, -1e-40, 1e30,
         -1e30, 2**24 + 1, 2**25, -(2**24) - 1, 1 - 2**-24, 1 + 2**-23, 33, 0.1], np.float32)  # fmt: skip
    a, b = np.meshgrid(special, special)
    rng, n = np.random.default_rng(3), 2**14
    x = [
        np.exp(rng.uniform(-80, 80, n)),
        rng.uniform(0, 10, n),
        rng.uniform(0.9, 1.1, n),
        rng.uniform(-30, 30, n),
    ]
    y = [
        rng.uniform(-4, 4, n),
        rng.uniform(-30, 30, n),
        rng.uniform(-900, 900, n),
        rng.integers(-20, 20, n),
    ]
    return padded(a, *x, dtype=np.float32), padded(b, *y, dtype=np.float32)


@pytest.mark.parametrize(("lanes", "relaxed"), [(None, False), (4, False), (8, True)])
@pytest.mark.parametrize(("name", "meaning"), [("powf", np.power), ("atan2", np.arctan2)])
def test_binary(name: str, meaning: Any, lanes: int | None, relaxed: bool) -> None:
    x, y = _pairs()
    error, where = worst_binary(name, meaning, x, y, "f32", lanes, relaxed=relaxed)
    assert error <= 0.51, where


@pytest.mark.parametrize("type", ["f32", "f64"])
def test_integer_exponents(type: str) -> None:
    x, n = np.meshgrid(
        np.array([0.0, -0.0, 1.5, -1.5, np.inf, -0.99, 3e38], DTYPES[type]), np.arange(-40, 41)
    )
    x, n = x.ravel(), n.ravel().astype(np.int32)
    got = apply("%r = math.fpowi %a, %b : {T}, i32", [x, n], [type, "i32"], type)
    with np.errstate(all="ignore"):
        want = np.power(x.astype(np.longdouble), n).astype(x.dtype)
    np.testing.assert_allclose(got, want, rtol=4 * np.finfo(x.dtype).eps)


@pytest.mark.parametrize("type", ["f32", "f64"])
@pytest.mark.parametrize("lanes", [None, 4])
@np.errstate(invalid="ignore")
def test_remainder(type: str, lanes: int | None) -> None:
    x, y = np.meshgrid(*[edges(type)[::3]] * 2)
    x, y = padded(x, dtype=DTYPES[type]), padded(y, dtype=DTYPES[type])
    got = apply("%r = arith_ext.remf %a, %b : {T}", [x, y], [type, type], type, lanes)
    want = np.fmod(x, y)
    np.testing.assert_array_equal(got, want)
    known = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(want[known]))


@pytest.mark.parametrize("type", ["f32", "f64"])
@pytest.mark.parametrize("lanes", [None, 4])
@np.errstate(invalid="ignore")
def test_rounding(type: str, lanes: int | None) -> None:
    ties = [np.arange(-20, 20) / 4, [2**22 + 0.5, 2**23 - 0.5, 2**23 + 1]]
    x = padded(edges(type), *ties, dtype=DTYPES[type])
    away = np.trunc(x) + np.where(np.abs(x - np.trunc(x)) >= 0.5, np.sign(x), 0)
    away = np.where(np.isfinite(x), away, x).astype(x.dtype)
    meanings = {
        "floor": np.floor(x), "ceil": np.ceil(x), "trunc": np.trunc(x), "roundeven": np.rint(x),
        "round": np.copysign(away, x), "absf": np.abs(x), "sqrt": np.sqrt(x),
    }  # fmt: skip
    for name, want in meanings.items():
        got = apply(f"%r = math.{name} %a : {{T}}", [x], [type], type, lanes)
        np.testing.assert_array_equal(got, want, err_msg=name)
        known = ~np.isnan(want)
        np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(want[known]), name)


@pytest.mark.parametrize("type", ["i32", "i64", "i8"])
@pytest.mark.parametrize("lanes", [None, 4])
def test_integer_math(type: str, lanes: int | None) -> None:
    dtype = np.dtype(type.replace("i", "int"))
    info = np.iinfo(dtype)
    values = np.array([0, 1, -1, 2, -2, 3, 5, -7, info.max, info.min], dtype)
    powers = np.array([0, 1, 2, 3, 5, 31, 7, -1, -2, 100], dtype)
    x, y = (v.ravel() for v in np.meshgrid(values, powers))

    def power(base: int, exponent: int) -> int:
        if exponent < 0:
            return 0 if abs(base) != 1 else base ** (-exponent)
        return (base**exponent + 2 ** (info.bits - 1)) % 2**info.bits - 2 ** (info.bits - 1)

    got = apply("%r = math.ipowi %a, %b : {T}", [x, y], [type, type], type, lanes)
    want = [power(b, e) for b, e in zip(x.tolist(), y.tolist(), strict=True)]
    np.testing.assert_array_equal(got, np.array(want, dtype))

    bits = x.view(np.dtype(type.replace("i", "uint"))).tolist()
    meanings = {
        "absi": [abs(v) if v != info.min else v for v in x.tolist()],
        "ctpop": [v.bit_count() for v in bits],
        "ctlz": [info.bits - v.bit_length() for v in bits],
        "cttz": [info.bits if v == 0 else (v & -v).bit_length() - 1 for v in bits],
    }
    for name, expected in meanings.items():
        got = apply(f"%r = math.{name} %a : {{T}}", [x], [type], type, lanes)
        np.testing.assert_array_equal(got, np.array(expected, dtype), err_msg=name)


@pytest.mark.parametrize("relaxed", [False, True])
def test_erf_beside_one(relaxed: bool) -> None:
    """Where 1 is added to it, the error function may be off by 3e-7: that is 3 ulp of their sum."""
    body = "%one = arith.constant dense<1.0> : {T}\n%e = math.erf %a : {T}\n%r = arith.addf %e, %one : {T}"
    got = apply(body, [SAMPLES], ["f32"], "f32", 4, relaxed=relaxed)
    exact = 1 + reference("erf", SAMPLES)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(exact))
    valid = ~np.isnan(exact)
    assert np.abs(got[valid] - exact[valid]).max() < 4.2e-7
    assert got[valid].min() >= 0 and got[valid].max() <= 2


@pytest.mark.parametrize("relaxed", [False, True])
def test_approximate_exp(relaxed: bool) -> None:
    """With the flag `afn`, what is below the normal numbers is 0; elsewhere nothing changes."""
    got = apply("%r = math.exp %a fastmath<afn> : {T}", [SAMPLES], ["f32"], "f32", 4, relaxed=relaxed)  # fmt: skip
    exact = reference("exp", SAMPLES)
    tiny = exact < np.finfo(np.float32).tiny * 2
    assert np.all(got[tiny] <= exact[tiny] * 1.01)
    assert np.all(got[np.isneginf(SAMPLES)] == 0)
    usual = ~tiny & ~(exact > 1e38)
    np.testing.assert_allclose(got[usual], exact[usual].astype(np.float32), rtol=1.5e-7)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(exact))
