"""The mathematical functions of the WGSL target against numpy in double precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from wgsl_kernels import Array, relative_error, run_elementwise

SPECIAL = np.array(
    [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        np.inf,
        -np.inf,
        np.nan,
        1e-30,
        -1e-30,
        3e38,
        -3e38,
        1e4,
        88.0,
    ],
    np.float32,
)


def _spread(low: float, high: float) -> Array:
    """Numbers of both kinds of spacing between two bounds, and the special ones."""
    rng = np.random.default_rng(0)
    linear = rng.uniform(low, high, 4000)
    top = max(abs(low), abs(high))
    small = np.exp(rng.uniform(math.log(1e-6), math.log(top), 2000))
    small = np.concatenate([small, -small])
    small = small[(small >= low) & (small <= high)]
    return np.concatenate([SPECIAL, linear, small]).astype(np.float32)


_erf = np.vectorize(math.erf, otypes=[np.float64])
_round = lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5)  # noqa: E731

FUNCTIONS: list[tuple[str, Callable[[Any], Any], float, float, float]] = [
    # operation, reference, range, relative error
    ("acos", np.arccos, -1, 1, 4e-7),
    ("acosh", np.arccosh, 1, 1e20, 4e-7),
    ("asin", np.arcsin, -1, 1, 4e-7),
    ("asinh", np.arcsinh, -1e20, 1e20, 4e-7),
    ("atan", np.arctan, -100, 100, 4e-7),
    ("atanh", np.arctanh, -0.999, 0.999, 4e-7),
    ("cbrt", np.cbrt, -1e10, 1e10, 4e-7),
    ("cosh", np.cosh, -85, 85, 6e-6),
    ("erf", _erf, -5, 5, 4e-7),
    ("exp", np.exp, -87, 87, 6e-6),
    ("expm1", np.expm1, -10, 10, 2e-6),
    ("log", np.log, 1e-30, 1e30, 4e-7),
    ("log10", np.log10, 1e-30, 1e30, 4e-7),
    ("log1p", np.log1p, -0.999, 1e10, 4e-7),
    ("log2", np.log2, 1e-30, 1e30, 4e-7),
    ("rsqrt", lambda x: 1 / np.sqrt(x), 1e-30, 1e30, 4e-7),
    ("sinh", np.sinh, -85, 85, 6e-6),
    ("sqrt", np.sqrt, 0, 1e30, 4e-7),
    ("tanh", np.tanh, -12, 12, 4e-7),
    ("roundeven", np.round, -100, 100, 0),
    ("round", _round, -100, 100, 0),
    ("floor", np.floor, -100, 100, 0),
    ("ceil", np.ceil, -100, 100, 0),
    ("trunc", np.trunc, -100, 100, 0),
    ("absf", np.abs, -100, 100, 0),
]


@pytest.mark.parametrize(("name", "reference", "low", "high", "tolerance"), FUNCTIONS)
def test_function(
    name: str, reference: Callable[[Any], Any], low: float, high: float, tolerance: float
) -> None:
    x = _spread(low, high)
    actual = run_elementwise(f"%r = math.{name} %a : f32", [x], "f32")
    with np.errstate(all="ignore"):
        expected = reference(x.astype(np.float64)).astype(np.float32)
    inside = (x >= low) & (x <= high)
    assert relative_error(actual[inside], expected[inside]) <= tolerance
    # Infinities and NaN agree everywhere, as does the sign of zero results' neighbours.
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    overflowed = np.isinf(expected)
    np.testing.assert_array_equal(actual[overflowed], expected[overflowed])


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_trigonometry(name: str) -> None:
    rng = np.random.default_rng(1)
    x = np.concatenate(
        [rng.uniform(-7, 7, 4000), rng.uniform(-1e4, 1e4, 4000), [0.0, np.pi, 1e-20, 12345.0]]
    ).astype(np.float32)
    actual = run_elementwise(f"%r = math.{name} %a : f32", [x], "f32")
    expected = getattr(np, name)(x.astype(np.float64))
    # WGSL lets compilers reassociate sums, which costs the reduction by pi / 2 some 1e-7 at 1e4.
    slope = 1 + expected**2 if name == "tan" else 1.0
    assert np.max(np.abs(actual - expected) / slope) < 3e-7


def _powers() -> tuple[Array, Array]:
    rng = np.random.default_rng(2)
    base = np.exp(rng.uniform(-8, 8, 3000)) * rng.choice([-1.0, 1.0], 3000)
    exponent = np.where(base < 0, rng.integers(-6, 7, 3000), rng.uniform(-8, 8, 3000))
    special = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, np.inf, -np.inf, np.nan, 0.5, 3.0, -3.0]
    a, b = np.meshgrid(special, special)
    return (
        np.concatenate([base, a.ravel()]).astype(np.float32),
        np.concatenate([exponent, b.ravel()]).astype(np.float32),
    )


def test_power() -> None:
    x, y = _powers()
    actual = run_elementwise("%r = math.powf %a, %b : f32", [x, y], "f32")
    with np.errstate(all="ignore"):
        expected = np.power(x.astype(np.float64), y.astype(np.float64)).astype(np.float32)
    assert relative_error(actual, expected) < 5e-6
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    np.testing.assert_array_equal(actual[~np.isfinite(expected)], expected[~np.isfinite(expected)])


def test_atan2() -> None:
    rng = np.random.default_rng(3)
    special = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, 1e30, -1e30, 1e-30]
    a, b = np.meshgrid(special, special)
    y = np.concatenate([rng.normal(size=2000), a.ravel()]).astype(np.float32)
    x = np.concatenate([rng.normal(size=2000), b.ravel()]).astype(np.float32)
    actual = run_elementwise("%r = math.atan2 %a, %b : f32", [y, x], "f32")
    assert relative_error(actual, np.arctan2(y.astype(np.float64), x.astype(np.float64))) < 5e-7


def test_copysign() -> None:
    x, y = _powers()
    actual = run_elementwise("%r = math.copysign %a, %b : f32", [x, y], "f32")
    np.testing.assert_array_equal(actual, np.copysign(x, y))


def test_remainder_of_vectors() -> None:
    """Each lane takes steps of its own."""
    order = {"v": "abcd", "w": "bcda"}
    vectors = ""
    for name, (first, *others) in order.items():
        vectors += f"%{name}0 = vector.broadcast %{first} : f32 to vector<4xf32>\n"
        for lane, other in enumerate(others):
            inserted = f"vector.insert %{other}, %{name}{lane} [{lane + 1}]"
            vectors += f"%{name}{lane + 1} = {inserted} : f32 into vector<4xf32>\n"
    vectors += "%u = arith_ext.remf %v3, %w3 : vector<4xf32>\n"
    numbers = [0.75, -0.75, 3e38, 1e10, 7.0, -0.0, 1e-40, np.inf]
    lanes = [m.ravel().astype(np.float32) for m in np.meshgrid(*[numbers] * 4)]
    with np.errstate(invalid="ignore"):
        for lane in range(4):
            body = vectors + f"%r = vector.extract %u[{lane}] : f32 from vector<4xf32>"
            actual = run_elementwise(body, lanes, "f32")
            expected = np.fmod(lanes[lane], lanes[(lane + 1) % 4])
            np.testing.assert_array_equal(actual, expected)


def test_integer_power() -> None:
    base, exponent = np.meshgrid(np.arange(-5, 6, dtype=np.int32), np.arange(0, 12, dtype=np.int32))
    actual = run_elementwise(
        "%r = math.ipowi %a, %b : i32", [base.ravel(), exponent.ravel()], "i32"
    )
    np.testing.assert_array_equal(actual, (base.ravel() ** exponent.ravel()))


@pytest.mark.parametrize("predicate", ["uno", "ord", "oeq", "une", "olt", "oge", "one"])
def test_comparison_with_special_values(predicate: str) -> None:
    a, b = (m.ravel().astype(np.float32) for m in np.meshgrid(SPECIAL, SPECIAL))
    if predicate not in ("uno", "ord"):
        # Shader compilers may assume that there is no NaN, so only these two are told by bits.
        known = ~(np.isnan(a) | np.isnan(b))
        a, b = a[known], b[known]
    actual = run_elementwise(f"%r = arith.cmpf {predicate}, %a, %b : f32", [a, b], "i1")
    unordered = np.isnan(a) | np.isnan(b)
    expected = {
        "uno": unordered, "ord": ~unordered, "oeq": a == b, "une": a != b, "olt": a < b,
        "oge": a >= b, "one": a != b,
    }[predicate]  # fmt: skip
    np.testing.assert_array_equal(actual, expected)
