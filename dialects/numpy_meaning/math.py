"""The numpy meaning of `math`: on arrays of any shape, element by element, in the type of the operands."""

from __future__ import annotations

import math as scalar_math
from collections.abc import Callable
from typing import Any

import numpy as np
from xdsl.dialects import math
from xdsl.ir import Operation

from webdnn.dialects.numpy_meaning.arith import Meaning

_erf_of_objects = np.frompyfunc(scalar_math.erf, 1, 1)


def _unary(function: Callable[[Any], Any]) -> Meaning:
    def run(_: Operation, a: Any) -> Any:
        return function(a)

    return run


def _binary(function: Callable[[Any, Any], Any]) -> Meaning:
    def run(_: Operation, a: Any, b: Any) -> Any:
        return function(a, b)

    return run


def _fma(_: Operation, a: Any, b: Any, c: Any) -> Any:
    return a * b + c


def _erf(a: Any) -> Any:
    return np.asarray(_erf_of_objects(np.asarray(a, np.float64))).astype(a.dtype)


def _rsqrt(a: Any) -> Any:
    return a.dtype.type(1) / np.sqrt(a)


def _power_of_integer(a: Any, b: Any) -> Any:
    return np.power(a, b.astype(a.dtype))


def _count(a: Any, of: Callable[[Any, int], Any]) -> Any:
    """Counts bits of integers."""
    a = np.asarray(a)
    width = a.dtype.itemsize * 8
    unsigned = a.view(np.dtype(f"u{a.dtype.itemsize}"))
    bits = np.stack([(unsigned >> i) & 1 for i in range(width)], axis=-1).astype(bool)
    return of(bits, width).astype(a.dtype)


def _leading(bits: Any, width: int) -> Any:
    return np.where(bits.any(-1), np.argmax(bits[..., ::-1], -1), width)


def _trailing(bits: Any, width: int) -> Any:
    return np.where(bits.any(-1), np.argmax(bits, -1), width)


def _ones(bits: Any, _width: int) -> Any:
    return bits.sum(-1)


def _round_half_away(a: Any) -> Any:
    return np.copysign(np.floor(np.abs(a) + a.dtype.type(0.5)), a)


MATH_MEANING: dict[type[Operation], Meaning] = {
    math.AbsFOp: _unary(np.abs),
    math.AbsIOp: _unary(np.abs),
    math.AcosOp: _unary(np.arccos),
    math.AcoshOp: _unary(np.arccosh),
    math.AsinOp: _unary(np.arcsin),
    math.AsinhOp: _unary(np.arcsinh),
    math.AtanOp: _unary(np.arctan),
    math.AtanhOp: _unary(np.arctanh),
    math.Atan2Op: _binary(np.arctan2),
    math.CbrtOp: _unary(np.cbrt),
    math.CeilOp: _unary(np.ceil),
    math.CopySignOp: _binary(np.copysign),
    math.CosOp: _unary(np.cos),
    math.CoshOp: _unary(np.cosh),
    math.CountLeadingZerosOp: _unary(lambda a: _count(a, _leading)),
    math.CountTrailingZerosOp: _unary(lambda a: _count(a, _trailing)),
    math.CtPopOp: _unary(lambda a: _count(a, _ones)),
    math.ErfOp: _unary(_erf),
    math.ExpOp: _unary(np.exp),
    math.Exp2Op: _unary(np.exp2),
    math.ExpM1Op: _unary(np.expm1),
    math.FPowIOp: _binary(_power_of_integer),
    math.FloorOp: _unary(np.floor),
    math.FmaOp: _fma,
    math.IPowIOp: _binary(np.power),
    math.LogOp: _unary(np.log),
    math.Log10Op: _unary(np.log10),
    math.Log1pOp: _unary(np.log1p),
    math.Log2Op: _unary(np.log2),
    math.PowFOp: _binary(np.power),
    math.RoundEvenOp: _unary(np.rint),
    math.RoundOp: _unary(_round_half_away),
    math.RsqrtOp: _unary(_rsqrt),
    math.SinOp: _unary(np.sin),
    math.SinhOp: _unary(np.sinh),
    math.SqrtOp: _unary(np.sqrt),
    math.TanOp: _unary(np.tan),
    math.TanhOp: _unary(np.tanh),
    math.TruncOp: _unary(np.trunc),
}
