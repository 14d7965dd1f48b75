"""Element types in their three spellings: MLIR's (`f32`), numpy's (`float32`) and ONNX's (`TensorProto.FLOAT`)."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx
from xdsl.dialects.builtin import (
    BFloat16Type,
    BytesAttr,
    ComplexType,
    DenseIntOrFPElementsAttr,
    Float4E2M1FNType,
    Float8E4M3FNType,
    Float8E4M3FNUZType,
    Float8E5M2FNUZType,
    Float8E5M2Type,
    Float8E8M0FNUType,
    Float16Type,
    Float32Type,
    Float64Type,
    IntegerType,
    Signedness,
    TensorType,
    bf16,
    f16,
    f32,
    f64,
)
from xdsl.ir import Attribute

from webdnn.dialects.errors import WebDNNError

Array = npt.NDArray[Any]
"""A numpy array of any of the element types here."""


def _ui(width: int) -> IntegerType:
    return IntegerType(width, Signedness.UNSIGNED)


_TABLE: tuple[tuple[Attribute, np.dtype[Any], int, str], ...] = tuple(
    (mlir, np.dtype(numpy), int(number), name)
    for mlir, numpy, number, name in (
        (IntegerType(1), np.bool_, onnx.TensorProto.BOOL, "bool"),
        (IntegerType(8), np.int8, onnx.TensorProto.INT8, "int8"),
        (IntegerType(16), np.int16, onnx.TensorProto.INT16, "int16"),
        (IntegerType(32), np.int32, onnx.TensorProto.INT32, "int32"),
        (IntegerType(64), np.int64, onnx.TensorProto.INT64, "int64"),
        (_ui(8), np.uint8, onnx.TensorProto.UINT8, "uint8"),
        (_ui(16), np.uint16, onnx.TensorProto.UINT16, "uint16"),
        (_ui(32), np.uint32, onnx.TensorProto.UINT32, "uint32"),
        (_ui(64), np.uint64, onnx.TensorProto.UINT64, "uint64"),
        (f16, np.float16, onnx.TensorProto.FLOAT16, "float16"),
        (bf16, ml_dtypes.bfloat16, onnx.TensorProto.BFLOAT16, "bfloat16"),
        (f32, np.float32, onnx.TensorProto.FLOAT, "float32"),
        (f64, np.float64, onnx.TensorProto.DOUBLE, "float64"),
        (IntegerType(4), ml_dtypes.int4, onnx.TensorProto.INT4, "int4"),
        (_ui(4), ml_dtypes.uint4, onnx.TensorProto.UINT4, "uint4"),
        (IntegerType(2), ml_dtypes.int2, onnx.TensorProto.INT2, "int2"),
        (_ui(2), ml_dtypes.uint2, onnx.TensorProto.UINT2, "uint2"),
        (Float4E2M1FNType(), ml_dtypes.float4_e2m1fn, onnx.TensorProto.FLOAT4E2M1, "float4e2m1"),
        (
            Float8E4M3FNType(),
            ml_dtypes.float8_e4m3fn,
            onnx.TensorProto.FLOAT8E4M3FN,
            "float8e4m3fn",
        ),
        (
            Float8E4M3FNUZType(),
            ml_dtypes.float8_e4m3fnuz,
            onnx.TensorProto.FLOAT8E4M3FNUZ,
            "float8e4m3fnuz",
        ),
        (Float8E5M2Type(), ml_dtypes.float8_e5m2, onnx.TensorProto.FLOAT8E5M2, "float8e5m2"),
        (
            Float8E5M2FNUZType(),
            ml_dtypes.float8_e5m2fnuz,
            onnx.TensorProto.FLOAT8E5M2FNUZ,
            "float8e5m2fnuz",
        ),
        (Float8E8M0FNUType(), ml_dtypes.float8_e8m0fnu, onnx.TensorProto.FLOAT8E8M0, "float8e8m0"),
        (ComplexType(f32), np.complex64, onnx.TensorProto.COMPLEX64, "complex64"),
        (ComplexType(f64), np.complex128, onnx.TensorProto.COMPLEX128, "complex128"),
    )
)

_NUMPY_OF_MLIR: dict[Attribute, np.dtype[Any]] = {mlir: numpy for mlir, numpy, _, _ in _TABLE}
_MLIR_OF_NUMPY: dict[np.dtype[Any], Attribute] = {numpy: mlir for mlir, numpy, _, _ in _TABLE}
_MLIR_OF_ONNX: dict[int, Attribute] = {number: mlir for mlir, _, number, _ in _TABLE}
_MLIR_OF_NAME: dict[str, Attribute] = {name: mlir for mlir, _, _, name in _TABLE}


def numpy_dtype(element: Attribute) -> np.dtype[Any]:
    """The numpy dtype of an MLIR element type (or of a tensor type's elements)."""
    if isinstance(element, TensorType):
        element = element.element_type
    try:
        return _NUMPY_OF_MLIR[element]
    except KeyError:
        raise WebDNNError(f"elements of type {element} are not supported") from None


def mlir_element(dtype: npt.DTypeLike) -> Attribute:
    """The MLIR element type of a numpy dtype."""
    try:
        return _MLIR_OF_NUMPY[np.dtype(dtype)]
    except KeyError:
        raise WebDNNError(f"elements of type {np.dtype(dtype)} are not supported") from None


def element_of_onnx(number: int) -> Attribute:
    """The MLIR element type of a `TensorProto.DataType`."""
    try:
        return _MLIR_OF_ONNX[number]
    except KeyError:
        name = (
            onnx.TensorProto.DataType.Name(number)
            if number in onnx.TensorProto.DataType.values()
            else str(number)
        )
        raise WebDNNError(f"elements of ONNX's type {name} are not supported") from None


def element_of_name(name: str) -> Attribute:
    """The MLIR element type with ONNX's name `name`."""
    return _MLIR_OF_NAME[name]


def is_float(element: Attribute) -> bool:
    """Whether it is one of the floating-point types that arithmetic is done in (f16, bf16, f32, f64)."""
    return isinstance(element, Float16Type | BFloat16Type | Float32Type | Float64Type)


def is_integer(element: Attribute) -> bool:
    """Whether it is an integer of more than one bit."""
    return isinstance(element, IntegerType) and element.width.data > 1


def is_bool(element: Attribute) -> bool:
    """Whether it is a truth value."""
    return isinstance(element, IntegerType) and element.width.data == 1


def is_unsigned(element: Attribute) -> bool:
    """Whether it is an unsigned integer."""
    return isinstance(element, IntegerType) and element.signedness.data == Signedness.UNSIGNED


def is_computable(element: Attribute) -> bool:
    """Whether kernels compute with it: truth values, integers of 8 to 64 bits, f16 to f64.

    The others are storage formats, in which weights may be kept, or are no numbers.
    """
    if is_float(element) or is_bool(element):
        return True
    return isinstance(element, IntegerType) and element.width.data in (8, 16, 32, 64)


def tensor_type_of(array: Array) -> TensorType[Attribute]:
    """The static tensor type of an array."""
    return TensorType(mlir_element(array.dtype), array.shape)


def dense_attr(array: Array) -> DenseIntOrFPElementsAttr:
    """An array as a dense attribute. For small ones: the bytes go into the IR."""
    type: Any = TensorType(mlir_element(array.dtype), array.shape)
    # The only bit of an i1 is its sign, so upstream's bytes of `true` are all ones.
    data = array.astype(np.int8) * -1 if array.dtype == np.bool_ else array
    return DenseIntOrFPElementsAttr(type, BytesAttr(data.tobytes()))


def is_splat(attr: DenseIntOrFPElementsAttr) -> bool:
    """Whether a dense attribute repeats one element. Upstream's method fails where there is none."""
    return 0 not in attr.get_shape() and attr.is_splat()


def array_of_dense(attr: DenseIntOrFPElementsAttr) -> Array:
    """The array that a dense attribute holds."""
    dtype = numpy_dtype(attr.get_element_type())
    if dtype == np.bool_:
        return np.frombuffer(attr.data.data, np.int8).reshape(attr.get_shape()) != 0
    return np.frombuffer(attr.data.data, dtype).reshape(attr.get_shape())
