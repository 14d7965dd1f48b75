"""Elementary functions in double precision: at most 4 ulp off 80-bit references; and in 16 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.unit.math_accuracy import FUNCTIONS, edges, padded, reference, worst, worst_binary
from tests.unit.wasm_kernels import DTYPES, apply

pytestmark = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 63, reason="the reference needs 80-bit floats"
)


def _samples() -> Any:
    rng = np.random.default_rng(2)
    bits = rng.integers(0, 2**64, 2**15, dtype=np.uint64).view(np.float64)
    linear = [rng.uniform(-a, a, 2**12) for a in (1e-5, 1, 5, 20, 700, 1e4, 1e8, 1e15)]
    logarithmic = np.exp(rng.uniform(-740, 709, 2**13))
    # The double closest to a multiple of pi/2: the hardest case for the reduction of angles.
    hard = [6381956970095103 * 2.0**797, *2.0 ** np.arange(20, 1023)]
    return padded(bits, *linear, logarithmic, -logarithmic, edges("f64"), hard, dtype=np.float64)


SAMPLES = _samples()


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("lanes", "relaxed"), [(None, False), (2, True), (4, False)])
def test_unary(name: str, lanes: int | None, relaxed: bool) -> None:
    error, where = worst(name, SAMPLES, "f64", lanes, relaxed=relaxed)
    assert error <= 4, where


@pytest.mark.parametrize(("lanes", "relaxed"), [(None, False), (2, True)])
@pytest.mark.parametrize(("name", "meaning"), [("powf", np.power), ("atan2", np.arctan2)])
def test_binary(name: str, meaning: Any, lanes: int | None, relaxed: bool) -> None:
    special = [0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 2, -2, 3, -3, 0.5, -0.5, 1e-310, -1e-310, 1e300,
               2.0**53 + 2, 2.0**53 - 1, 1 - 2**-53, 1 + 2**-52, 33, 0.1]  # fmt: skip
    a, b = np.meshgrid(special, special)
    rng, n = np.random.default_rng(3), 2**14
    x = [
        np.exp(rng.uniform(-700, 700, n)),
        rng.uniform(0, 10, n),
        rng.uniform(0.9, 1.1, n),
        rng.uniform(-30, 30, n),
    ]
    y = [
        rng.uniform(-4, 4, n),
        rng.uniform(-300, 300, n),
        rng.uniform(-6000, 6000, n),
        rng.integers(-99, 99, n),
    ]
    left, right = padded(a, *x, dtype=np.float64), padded(b, *y, dtype=np.float64)
    error, where = worst_binary(name, meaning, left, right, "f64", lanes, relaxed=relaxed)
    assert error <= 4, where


@pytest.mark.parametrize("type", ["f16", "bf16"])
@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sin", "erf", "rsqrt"])
def test_sixteen_bits(name: str, type: str) -> None:
    """Every number there is. Computed in single precision, rounded once more: within 0.51 ulp."""
    x = np.arange(65536, dtype=np.uint32).astype(np.uint16).view(DTYPES[type])
    got = apply(f"%r = math.{name} %a : {{T}}", [x], [type], type, 8)
    with np.errstate(all="ignore"):
        exact = reference(name, x.astype(np.float64)).astype(np.float64)
        want = exact.astype(DTYPES[type])
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    assert same.mean() > 0.999
    with np.errstate(all="ignore"):
        near = np.abs(got.astype(np.float64) - exact) <= np.abs(exact) * (
            2.0**-10 if type == "f16" else 2.0**-7
        )
    assert (same | near).all()
