"""The numpy meaning of the elementwise `nn` ops."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
from xdsl.ir import Operation

from webdnn.dialects.dtypes import Array, numpy_dtype
from webdnn.dialects.nn import elementwise as ew

Meaning = Callable[..., Array]


def is_narrow_float(dtype: np.dtype[Any]) -> bool:
    """Whether arithmetic on `dtype` is better done in f32 and rounded (f16, bf16)."""
    return dtype.itemsize == 2 and dtype.kind not in "iub"


def is_float_dtype(dtype: np.dtype[Any]) -> bool:
    """Whether `dtype` is one of numpy's floats or an ml_dtypes float."""
    return dtype.kind == "f" or (dtype.kind == "V" and "float" in dtype.name)


def _in_f32(function: Callable[..., Any]) -> Callable[..., Array]:
    """`function`, computing 16-bit floats in f32: a correctly rounded result, and ufuncs that ml_dtypes lacks."""

    def run(*arrays: Array) -> Array:
        dtype = arrays[0].dtype
        if is_narrow_float(dtype):
            return np.asarray(function(*(a.astype(np.float32) for a in arrays))).astype(dtype)
        return np.asarray(function(*arrays))

    return run


_erf_of_objects = np.frompyfunc(math.erf, 1, 1)


def erf(x: Array) -> Array:
    """The error function in double precision, rounded to the type of `x`."""
    return np.asarray(_erf_of_objects(x.astype(np.float64))).astype(x.dtype)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) without overflow: exp is taken of negative numbers only."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e)).astype(x.dtype)


def relu(x: Array) -> Array:
    return np.maximum(x, x.dtype.type(0))


def _reciprocal(x: Array) -> Array:
    return (1 / x).astype(x.dtype)


def divide(a: Array, b: Array) -> Array:
    """Quotient, towards zero for integers, 0 where an integer is divided by 0."""
    if is_float_dtype(a.dtype):
        return a / b
    return (a - np.fmod(a, b)) // b


def power(a: Array, b: Array) -> Array:
    """As C's pow; for integers exact with wrap-around (a negative exponent: the truncated quotient)."""
    if is_float_dtype(a.dtype):
        return np.power(a, b)
    a, b = np.broadcast_arrays(a, b)
    result = np.power(a, np.maximum(b, b.dtype.type(0)))
    if a.dtype.kind == "u":
        return result
    odd = np.where(b % 2 == 0, 1, -1)
    truncated = np.where(a == 1, 1, np.where(a == -1, odd, 0))
    return np.where(b < 0, truncated, result).astype(a.dtype)


def cast(x: Array, dtype: np.dtype[Any]) -> Array:
    """Float to integer truncates and saturates, NaN gives 0; integer to integer wraps; to bool: x != 0."""
    if dtype == np.bool_:
        return x != 0
    if not is_float_dtype(x.dtype) or is_float_dtype(dtype) or dtype.kind == "c":
        return x.astype(dtype)
    info = ml_dtypes.iinfo(dtype)
    whole = np.trunc(np.nan_to_num(x.astype(np.float64), nan=0.0, posinf=np.inf, neginf=-np.inf))
    # The greatest 64-bit integers are no doubles: compare with the power of two above them.
    too_great, too_small = whole >= float(info.max) + 1.0, whole <= float(info.min)
    inside = np.where(too_great | too_small, 0.0, whole)
    result = inside.astype(np.uint64 if dtype == np.uint64 else np.int64).astype(dtype)
    result = np.where(too_great, dtype.type(info.max), result)
    return np.where(too_small, dtype.type(info.min), result).astype(dtype)


_UNARY: dict[type[Operation], Callable[..., Any]] = {
    ew.AbsOp: np.abs,
    ew.NegOp: np.negative,
    ew.SignOp: np.sign,
    ew.ReluOp: relu,
    ew.SigmoidOp: sigmoid,
    ew.SqrtOp: np.sqrt,
    ew.ReciprocalOp: _reciprocal,
    ew.ExpOp: np.exp,
    ew.LogOp: np.log,
    ew.ErfOp: erf,
    ew.SinOp: np.sin,
    ew.CosOp: np.cos,
    ew.TanOp: np.tan,
    ew.AsinOp: np.arcsin,
    ew.AcosOp: np.arccos,
    ew.AtanOp: np.arctan,
    ew.SinhOp: np.sinh,
    ew.CoshOp: np.cosh,
    ew.TanhOp: np.tanh,
    ew.AsinhOp: np.arcsinh,
    ew.AcoshOp: np.arccosh,
    ew.AtanhOp: np.arctanh,
    ew.FloorOp: np.floor,
    ew.CeilOp: np.ceil,
    ew.RoundOp: np.rint,
    ew.TruncOp: np.trunc,
    ew.NotOp: np.invert,
}

_PREDICATE: dict[type[Operation], Callable[..., Any]] = {
    ew.IsNanOp: np.isnan,
    ew.IsInfOp: np.isinf,
}

_BINARY: dict[type[Operation], Callable[..., Any]] = {
    ew.AddOp: np.add,
    ew.SubOp: np.subtract,
    ew.MulOp: np.multiply,
    ew.DivOp: divide,
    ew.FloorModOp: np.mod,
    ew.TruncModOp: np.fmod,
    ew.PowOp: power,
    ew.MaxOp: np.maximum,
    ew.MinOp: np.minimum,
    ew.AndOp: np.bitwise_and,
    ew.OrOp: np.bitwise_or,
    ew.XorOp: np.bitwise_xor,
    ew.ShlOp: np.left_shift,
    ew.ShrOp: np.right_shift,
}

_COMPARE: dict[type[Operation], Callable[..., Any]] = {
    ew.EqualOp: np.equal,
    ew.LessOp: np.less,
    ew.LessEqualOp: np.less_equal,
}


def _same_type(function: Callable[..., Any]) -> Meaning:
    computed = _in_f32(function)

    def run(op: Operation, *arrays: Array) -> Array:
        result = computed(*arrays)
        return result if result.dtype == arrays[0].dtype else result.astype(arrays[0].dtype)

    return run


def _truth(function: Callable[..., Any]) -> Meaning:
    def run(op: Operation, *arrays: Array) -> Array:
        return np.asarray(function(*arrays)).astype(np.bool_)

    return run


def _select(op: Operation, cond: Array, on_true: Array, on_false: Array) -> Array:
    return np.where(cond, on_true, on_false)


def _cast(op: Operation, x: Array) -> Array:
    return cast(x, numpy_dtype(op.results[0].type))


ELEMENTWISE_MEANING: dict[type[Operation], Meaning] = {
    **{op: _same_type(f) for op, f in (_UNARY | _BINARY).items()},
    **{op: _truth(f) for op, f in (_PREDICATE | _COMPARE).items()},
    ew.SelectOp: _select,
    ew.CastOp: _cast,
}
