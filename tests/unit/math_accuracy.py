"""Errors of elementary functions in units in the last place, for the tests of `expand-math`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.unit.wasm_kernels import DTYPES, apply

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "acos": np.arccos, "acosh": np.arccosh, "asin": np.arcsin, "asinh": np.arcsinh, "atan": np.arctan,
    "atanh": np.arctanh, "cbrt": np.cbrt, "cos": np.cos, "cosh": np.cosh,
    "erf": np.vectorize(math.erf, otypes=[np.float64]), "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1,
    "log": np.log, "log10": np.log10, "log1p": np.log1p, "log2": np.log2, "rsqrt": lambda x: 1 / np.sqrt(x),
    "sin": np.sin, "sinh": np.sinh, "tan": np.tan, "tanh": np.tanh,
}  # fmt: skip
"""The op of `math` and its reference, which is called on 80-bit floats (erf: on doubles)."""


def reference(name: str, x: Any) -> Any:
    """The function in extended precision."""
    with np.errstate(all="ignore"):
        return FUNCTIONS[name](x.astype(np.float64 if name == "erf" else np.longdouble))


def ulps(got: Any, exact: Any) -> Any:
    """The distance of each result to the exact one, in units of the last place of the correctly rounded one.

    Infinity where one is a NaN or infinite and the other not, or where a zero has the wrong sign.
    """
    dtype = got.dtype
    with np.errstate(all="ignore"):
        rounded = exact.astype(dtype)
        unit = np.maximum(np.spacing(np.abs(rounded)), np.finfo(dtype).smallest_subnormal)
        error = np.abs(got.astype(np.longdouble) - exact) / unit
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    comparable = np.isfinite(got) & np.isfinite(rounded)
    error = np.where(same, 0, np.where(comparable, error, np.inf))
    wrong_zero = (got == 0) & (rounded == 0) & (np.signbit(got) != np.signbit(rounded))
    return np.where(wrong_zero, np.inf, error)


def worst(
    name: str, x: Any, type: str, lanes: int | None, *, relaxed: bool = False
) -> tuple[float, str]:
    """The greatest error of a unary function over `x`, and where it is."""
    body = f"%r = math.{name} %a : {{T}}"
    got = apply(body, [x], [type], type, lanes, relaxed=relaxed)
    return _worst(got, reference(name, x), f"{name}", x)


def worst_binary(
    name: str, meaning: Any, x: Any, y: Any, type: str, lanes: int | None, *, relaxed: bool = False
) -> tuple[float, str]:
    """The same of a binary function."""
    body = f"%r = math.{name} %a, %b : {{T}}"
    got = apply(body, [x, y], [type, type], type, lanes, relaxed=relaxed)
    with np.errstate(all="ignore"):
        exact = meaning(x.astype(np.longdouble), y.astype(np.longdouble))
    return _worst(got, exact, name, x, y)


def _worst(got: Any, exact: Any, name: str, *arguments: Any) -> tuple[float, str]:
    error = ulps(got, exact)
    i = int(np.argmax(error))
    given = ", ".join(repr(a[i]) for a in arguments)
    return float(error[i]), f"{name}({given}) = {exact[i]!r}, got {got[i]!r}"


def padded(*parts: Any, dtype: Any) -> Any:
    """All parts in one array whose length is a multiple of 16."""
    with np.errstate(all="ignore"):
        x = np.concatenate([np.asarray(p).astype(dtype).ravel() for p in parts])
    return np.concatenate([x, np.ones(-x.size % 16, dtype)])


def neighbours(x: Any, dtype: Any) -> Any:
    """Each number with the ones just below and above it."""
    x = np.asarray(x).astype(dtype)
    with np.errstate(over="ignore", under="ignore"):
        below, above = np.nextafter(x, dtype(-np.inf)), np.nextafter(x, dtype(np.inf))
    return np.concatenate([x, below, above])


def edges(type: str) -> Any:
    """Numbers at which functions have their special cases, and their neighbours."""
    dtype = DTYPES[type]
    info = np.finfo(dtype)
    multiples = np.arange(1, 3000, 7) * (math.pi / 2)
    special = [
        0.25,
        0.5,
        0.92,
        1,
        1.5,
        2,
        3,
        3.95,
        6,
        10,
        2.0**26,
        2.0**28,
        math.sqrt(0.5),
        math.sqrt(2),
    ]
    limits = [info.max, info.smallest_normal, info.smallest_subnormal, info.eps]
    overflow = [
        math.log(float(info.max)),
        math.log2(float(info.max)),
        math.log(float(info.smallest_normal)),
    ]
    finite = neighbours([*special, *limits, *overflow, *multiples], dtype)
    with np.errstate(all="ignore"):
        return np.concatenate(
            [finite, -finite, np.array([0.0, -0.0, np.inf, -np.inf, np.nan], dtype)]
        )
