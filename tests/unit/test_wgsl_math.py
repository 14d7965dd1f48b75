"""The mathematical functions of the WGSL target against numpy in double precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from wgsl_kernels import Array, relative_error, run_elementwise

from tests.unit.math_accuracy import ulps

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
    # operation, reference, range, units in the last place
    ("acos", np.arccos, -1, 1, 4),
    ("acosh", np.arccosh, 1, 1e20, 4),
    ("asin", np.arcsin, -1, 1, 4),
    ("asinh", np.arcsinh, -1e20, 1e20, 4),
    ("atan", np.arctan, -100, 100, 4),
    ("atanh", np.arctanh, -0.999, 0.999, 4),
    ("cbrt", np.cbrt, -1e10, 1e10, 4),
    ("cos", np.cos, -3e38, 3e38, 4),
    ("cosh", np.cosh, -89.4, 89.4, 4),
    ("erf", _erf, -5, 5, 4),
    ("exp", np.exp, -87, 89, 4),
    ("exp2", np.exp2, -126, 128, 4),
    ("expm1", np.expm1, -10, 88, 4),
    ("log", np.log, 1e-30, 1e30, 4),
    ("log10", np.log10, 1e-30, 1e30, 4),
    ("log1p", np.log1p, -0.999, 1e10, 4),
    ("log2", np.log2, 1e-30, 1e30, 4),
    ("rsqrt", lambda x: 1 / np.sqrt(x), 1e-30, 1e30, 4),
    ("sin", np.sin, -3e38, 3e38, 4),
    ("sinh", np.sinh, -89.4, 89.4, 4),
    ("sqrt", np.sqrt, 0, 1e30, 4),
    ("tan", np.tan, -3e38, 3e38, 4),
    ("tanh", np.tanh, -12, 12, 4),
    ("roundeven", np.round, -100, 100, 0),
    ("round", _round, -100, 100, 0),
    ("floor", np.floor, -100, 100, 0),
    ("ceil", np.ceil, -100, 100, 0),
    ("trunc", np.trunc, -100, 100, 0),
    ("absf", np.abs, -100, 100, 0),
]


def _worst(actual: Array, exact: Any, counted: Any, *arguments: Array) -> tuple[float, str]:
    """The greatest error in units of the last place, where it is. Devices may flush subnormal numbers to 0."""
    error = np.where(counted, ulps(actual, exact), 0)
    error[(np.abs(exact) < 1.2e-38) & (np.abs(actual) < 1.2e-38)] = 0
    i = int(np.argmax(error))
    return float(error[i]), f"of {[a[i] for a in arguments]}: {actual[i]!r}, not {exact[i]!r}"


@pytest.mark.parametrize(("name", "reference", "low", "high", "most"), FUNCTIONS)
def test_function(
    name: str, reference: Callable[[Any], Any], low: float, high: float, most: float
) -> None:
    x = _spread(low, high)
    actual = run_elementwise(f"%r = math.{name} %a : f32", [x], "f32")
    with np.errstate(all="ignore"):
        exact = reference(x.astype(np.float64 if name == "erf" else np.longdouble))
        expected = exact.astype(np.float32)
    error, place = _worst(actual, exact, (x >= low) & (x <= high), x)
    assert error <= most, place
    # Infinities and NaN agree everywhere, as does the sign of zero results' neighbours.
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    overflowed = np.isinf(expected)
    np.testing.assert_array_equal(actual[overflowed], expected[overflowed])


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_trigonometry(name: str) -> None:
    """Near multiples of pi / 2, where reductions lose what they have, and where they change."""
    rng = np.random.default_rng(1)
    turns = np.concatenate([np.arange(1, 9000), rng.integers(9000, 10**9, 2000)]) * (np.pi / 2)
    x = np.concatenate(
        [turns, rng.uniform(-100, 100, 4000), rng.uniform(11_990, 12_010, 500), [1e-20, 12345.0]]
    ).astype(np.float32)
    x = np.concatenate([x, -x])
    actual = run_elementwise(f"%r = math.{name} %a : f32", [x], "f32")
    error, place = _worst(actual, getattr(np, name)(x.astype(np.longdouble)), True, x)
    assert error <= 4, place


def test_trigonometry_of_vectors() -> None:
    x = np.array([0.5, 100.0, 1e6, -3e38], np.float32)
    body = """%v = vector.broadcast %a : f32 to vector<4xf32>
    %u = math.sin %v : vector<4xf32>
    %r = vector.extract %u[3] : f32 from vector<4xf32>"""
    exact = np.sin(x.astype(np.longdouble))
    assert np.max(ulps(run_elementwise(body, [x], "f32"), exact)) <= 4


def test_approximate_exponential() -> None:
    """As softmax uses it: 0 below the normal numbers. A NaN comes through."""
    x = np.concatenate([SPECIAL, np.linspace(-90, 88, 5000)]).astype(np.float32)
    actual = run_elementwise("%r = math.exp %a fastmath<afn> : f32", [x], "f32")
    with np.errstate(all="ignore"):
        exact = np.exp(x.astype(np.longdouble))
    error, place = _worst(actual, exact, True, x)
    assert error <= 4, place


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
        exact = np.power(x.astype(np.longdouble), y.astype(np.longdouble))
        expected = exact.astype(np.float32)
    error, place = _worst(actual, exact, np.isfinite(expected), x, y)
    assert error <= 4, place
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
