"""The numpy meaning of `math`: on arrays of any shape, element by element, in the type of the operands."""

from __future__ import annotations

import math as scalar_math
from typing import Any

import numpy as np
from xdsl.dialects import math
from xdsl.ir import Operation

from webdnn.dialects.numpy_meaning.arith import Meaning

_erf = np.frompyfunc(scalar_math.erf, 1, 1)


def _unary(function: Any) -> Meaning:
    return lambda _, a: function(a)


def _count(a: Any, of: Any) -> Any:
    """Bits of integers counted one by one."""
    a = np.asarray(a)
    width = a.dtype.itemsize * 8
    unsigned = a.view(np.dtype(f"u{a.dtype.itemsize}"))
    bits = np.stack([(unsigned >> i) & 1 for i in range(width)], axis=-1).astype(bool)
    return of(bits, width).astype(a.dtype)


def _leading(bits: Any, width: int) -> Any:
    return np.where(bits.any(-1), np.argmax(bits[..., ::-1], -1), width)


def _trailing(bits: Any, width: int) -> Any:
    return np.where(bits.any(-1), np.argmax(bits, -1), width)


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
    math.Atan2Op: lambda _, a, b: np.arctan2(a, b),
    math.CbrtOp: _unary(np.cbrt),
    math.CeilOp: _unary(np.ceil),
    math.CopySignOp: lambda _, a, b: np.copysign(a, b),
    math.CosOp: _unary(np.cos),
    math.CoshOp: _unary(np.cosh),
    math.CountLeadingZerosOp: lambda _, a: _count(a, _leading),
    math.CountTrailingZerosOp: lambda _, a: _count(a, _trailing),
    math.CtPopOp: lambda _, a: _count(a, lambda bits, _width: bits.sum(-1)),
    math.ErfOp: lambda _, a: np.asarray(_erf(np.asarray(a, np.float64))).astype(a.dtype),
    math.ExpOp: _unary(np.exp),
    math.Exp2Op: _unary(np.exp2),
    math.ExpM1Op: _unary(np.expm1),
    math.FPowIOp: lambda _, a, b: np.power(a, b.astype(a.dtype)),
    math.FloorOp: _unary(np.floor),
    math.FmaOp: lambda _, a, b, c: a * b + c,
    math.IPowIOp: lambda _, a, b: np.power(a, b),
    math.LogOp: _unary(np.log),
    math.Log10Op: _unary(np.log10),
    math.Log1pOp: _unary(np.log1p),
    math.Log2Op: _unary(np.log2),
    math.PowFOp: lambda _, a, b: np.power(a, b),
    math.RoundEvenOp: _unary(np.rint),
    math.RoundOp: _unary(_round_half_away),
    math.RsqrtOp: lambda _, a: a.dtype.type(1) / np.sqrt(a),
    math.SinOp: _unary(np.sin),
    math.SinhOp: _unary(np.sinh),
    math.SqrtOp: _unary(np.sqrt),
    math.TanOp: _unary(np.tan),
    math.TanhOp: _unary(np.tanh),
    math.TruncOp: _unary(np.trunc),
}
