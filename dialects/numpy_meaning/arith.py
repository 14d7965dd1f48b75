"""The numpy meaning of `arith`, and of `vector_ext`, which is `arith` on vectors: on arrays of any shape,
element by element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from xdsl.dialects import arith
from xdsl.dialects.builtin import (
    DenseIntOrFPElementsAttr,
    FloatAttr,
    IndexType,
    IntegerAttr,
    TensorType,
    VectorType,
)
from xdsl.ir import Attribute, Operation

from webdnn.dialects import arith_ext, vector_ext
from webdnn.dialects.dtypes import numpy_dtype

Meaning = Callable[..., Any]
"""From the op and the arrays of its operands to the array of its result."""


def dtype_of(type: Attribute) -> np.dtype[Any]:
    """The numpy dtype of an element type, of a vector's or a tensor's elements, or of an index."""
    if isinstance(type, VectorType | TensorType):
        type = type.element_type
    if isinstance(type, IndexType):
        return np.dtype(np.int64)
    return numpy_dtype(type)


def _binary(function: Callable[[Any, Any], Any]) -> Meaning:
    def run(_: Operation, a: Any, b: Any) -> Any:
        return function(a, b)

    return run


def _logical(on_bools: Callable[[Any, Any], Any], function: Callable[[Any, Any], Any]) -> Meaning:
    """An integer op that means something else on truth values, which are integers of one bit."""

    def run(_: Operation, a: Any, b: Any) -> Any:
        return on_bools(a, b) if a.dtype == np.bool_ else function(a, b)

    return run


def _unsigned(a: Any) -> Any:
    a = np.asarray(a)
    return a if a.dtype == np.bool_ else a.view(np.dtype(f"u{a.dtype.itemsize}"))


def _on_unsigned(function: Callable[[Any, Any], Any]) -> Meaning:
    def run(_: Operation, a: Any, b: Any) -> Any:
        result = np.asarray(function(_unsigned(a), _unsigned(b)))
        return result if result.dtype == np.bool_ else result.view(np.asarray(a).dtype)

    return run


def _nonzero(b: Any) -> Any:
    """A divisor; lanes that divide by zero are never used, so what they compute does not matter."""
    return np.where(b == 0, np.ones_like(b), b)


def _divsi(_: Operation, a: Any, b: Any) -> Any:
    b = _nonzero(b)
    quotient = a // b
    inexact = (a % b != 0) & ((a < 0) != (b < 0))
    return quotient + inexact.astype(quotient.dtype)


def _remsi(op: Operation, a: Any, b: Any) -> Any:
    b = _nonzero(b)
    return a - _divsi(op, a, b) * b


_INTEGER: dict[str, Callable[[Any, Any], Any]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "slt": np.less,
    "sle": np.less_equal,
    "sgt": np.greater,
    "sge": np.greater_equal,
    "ult": lambda a, b: np.less(_unsigned(a), _unsigned(b)),
    "ule": lambda a, b: np.less_equal(_unsigned(a), _unsigned(b)),
    "ugt": lambda a, b: np.greater(_unsigned(a), _unsigned(b)),
    "uge": lambda a, b: np.greater_equal(_unsigned(a), _unsigned(b)),
}

_ORDERED: dict[str, Callable[[Any, Any], Any]] = {
    "eq": np.equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "lt": np.less,
    "le": np.less_equal,
}


def _compare_floats(predicate: str, a: Any, b: Any) -> Any:
    unordered = np.isnan(a) | np.isnan(b)
    match predicate:
        case "false" | "true":
            return np.full_like(unordered, predicate == "true")
        case "ord":
            return ~unordered
        case "uno":
            return unordered
        case "one":
            return (a != b) & ~unordered
        case "une":
            return a != b
        case _:
            result = _ORDERED[predicate[1:]](a, b)
            return result | unordered if predicate[0] == "u" else result


def _cmpi(op: Operation, a: Any, b: Any) -> Any:
    if isinstance(op, arith.CmpiOp):
        name = vector_ext.INTEGER_PREDICATES[op.predicate.value.data]
    else:
        assert isinstance(op, vector_ext.CmpIOp)
        name = op.predicate.data
    return _INTEGER[name](a, b)


def _cmpf(op: Operation, a: Any, b: Any) -> Any:
    if isinstance(op, arith.CmpfOp):
        name = vector_ext.FLOAT_PREDICATES[op.predicate.value.data]
    else:
        assert isinstance(op, vector_ext.CmpFOp)
        name = op.predicate.data
    return _compare_floats(name, a, b)


def _select(op: Operation, cond: Any, a: Any, b: Any) -> Any:
    of_vectors = isinstance(op.results[0].type, VectorType)
    if of_vectors and not isinstance(op.operands[0].type, VectorType):
        cond = np.asarray(cond)[..., None]  # one condition for all lanes of a vector
    return np.where(cond, a, b)


def _cast(op: Operation, a: Any) -> Any:
    return np.asarray(a).astype(dtype_of(op.results[0].type))


def _cast_unsigned(op: Operation, a: Any) -> Any:
    return _unsigned(a).astype(dtype_of(op.results[0].type))


def _ext_signed(op: Operation, a: Any) -> Any:
    a = np.asarray(a)
    result = a.astype(dtype_of(op.results[0].type))
    return -result if a.dtype == np.bool_ else result  # one bit that is set is -1


def _truncate(op: Operation, a: Any) -> Any:
    a = np.asarray(a)
    dtype = dtype_of(op.results[0].type)
    return (a & 1).astype(dtype) if dtype == np.bool_ else a.astype(dtype)


def _to_integer(op: Operation, a: Any, signed: bool) -> Any:
    """Toward zero; what does not fit becomes the nearest that does, and NaN becomes 0, as WebAssembly's
    saturating casts do."""
    dtype = dtype_of(op.results[0].type)
    if dtype == np.bool_:
        return np.trunc(a) != 0
    info = np.iinfo(dtype if signed else np.dtype(f"u{dtype.itemsize}"))
    wide = np.trunc(np.nan_to_num(np.asarray(a, np.float64), nan=0.0))
    low, high = wide <= float(info.min), wide >= float(info.max)
    exact = np.where(low | high, 0.0, wide).astype(info.dtype)
    exact = np.where(low, info.dtype.type(info.min), exact)
    exact = np.where(high, info.dtype.type(info.max), exact)
    return np.asarray(exact).view(dtype)


def _to_signed(op: Operation, a: Any) -> Any:
    return _to_integer(op, a, True)


def _to_unsigned(op: Operation, a: Any) -> Any:
    return _to_integer(op, a, False)


def _from_signed(op: Operation, a: Any) -> Any:
    return _cast(op, -np.asarray(a, np.int8) if a.dtype == np.bool_ else a)


def _negate(_: Operation, a: Any) -> Any:
    return np.negative(a)


def _bitcast(op: Operation, a: Any) -> Any:
    return np.ascontiguousarray(a).view(dtype_of(op.results[0].type)).reshape(np.shape(a))


def constant(op: arith.ConstantOp) -> Any:
    """The value of a constant: an array without dimensions, or of a vector's or a tensor's shape."""
    attr = op.value
    dtype = dtype_of(op.result.type)
    if isinstance(attr, IntegerAttr):
        return np.asarray(attr.value.data).astype(dtype)
    if isinstance(attr, FloatAttr):
        return np.asarray(attr.value.data, dtype)
    assert isinstance(attr, DenseIntOrFPElementsAttr)
    values = np.asarray(list(attr.iter_values())).astype(dtype)
    shape = attr.get_shape()
    return np.broadcast_to(values, shape) if values.size == 1 else values.reshape(shape)


_ARITH: dict[type[Operation], Meaning] = {
    arith.ConstantOp: constant,
    arith.AddiOp: _logical(np.logical_xor, np.add),
    arith.SubiOp: _logical(np.logical_xor, np.subtract),
    arith.MuliOp: _logical(np.logical_and, np.multiply),
    arith.DivSIOp: _divsi,
    arith.DivUIOp: _on_unsigned(lambda a, b: a // _nonzero(b)),
    arith.FloorDivSIOp: _binary(lambda a, b: a // _nonzero(b)),
    arith.CeilDivSIOp: _binary(lambda a, b: -(-a // _nonzero(b))),
    arith.CeilDivUIOp: _on_unsigned(lambda a, b: a // _nonzero(b) + (a % _nonzero(b) != 0)),
    arith.RemSIOp: _remsi,
    arith.RemUIOp: _on_unsigned(lambda a, b: a % _nonzero(b)),
    arith.MinSIOp: _logical(np.logical_or, np.minimum),  # a set bit is -1
    arith.MaxSIOp: _logical(np.logical_and, np.maximum),
    arith.MinUIOp: _on_unsigned(np.minimum),
    arith.MaxUIOp: _on_unsigned(np.maximum),
    arith.AndIOp: _binary(np.bitwise_and),
    arith.OrIOp: _binary(np.bitwise_or),
    arith.XOrIOp: _binary(np.bitwise_xor),
    arith.ShLIOp: _binary(np.left_shift),
    arith.ShRSIOp: _binary(np.right_shift),
    arith.ShRUIOp: _on_unsigned(np.right_shift),
    arith.AddfOp: _binary(np.add),
    arith.SubfOp: _binary(np.subtract),
    arith.MulfOp: _binary(np.multiply),
    arith.DivfOp: _binary(np.divide),
    arith_ext.RemFOp: _binary(np.fmod),
    arith.NegfOp: _negate,
    arith.MaximumfOp: _binary(np.maximum),
    arith.MinimumfOp: _binary(np.minimum),
    arith.MaxnumfOp: _binary(np.fmax),
    arith.MinnumfOp: _binary(np.fmin),
    arith.CmpiOp: _cmpi,
    arith.CmpfOp: _cmpf,
    arith.SelectOp: _select,
    arith.IndexCastOp: _cast,
    arith.SIToFPOp: _from_signed,
    arith.UIToFPOp: _cast_unsigned,
    arith.FPToSIOp: _to_signed,
    arith.FPToUIOp: _to_unsigned,
    arith.ExtFOp: _cast,
    arith.TruncFOp: _cast,
    arith.ExtSIOp: _ext_signed,
    arith.ExtUIOp: _cast_unsigned,
    arith.TruncIOp: _truncate,
    arith.BitcastOp: _bitcast,
}

_VECTOR_EXT: dict[type[Operation], Meaning] = {
    vector_ext.CmpIOp: _cmpi,
    vector_ext.CmpFOp: _cmpf,
    vector_ext.SelectOp: _select,
    vector_ext.SIToFPOp: _from_signed,
    vector_ext.UIToFPOp: _cast_unsigned,
    vector_ext.FPToSIOp: _to_signed,
    vector_ext.FPToUIOp: _to_unsigned,
    vector_ext.ExtSIOp: _ext_signed,
    vector_ext.ExtUIOp: _cast_unsigned,
    vector_ext.TruncIOp: _truncate,
}

ARITH_MEANING: dict[type[Operation], Meaning] = {**_ARITH, **_VECTOR_EXT}
"""What each op computes."""
