"""The types of ONNX values in MLIR's terms, both ways, and their numpy element types.

Tensors are builtin `tensor` types: `f32`, `f64`, `f16`, `bf16`, the small floats and `complex`; signless `i8` to `i64`
are ONNX's signed integers, `ui8` to `ui64` its unsigned ones; `i1` is bool and `!onnx.string` is string. An unknown
dimension is `?`, an unknown rank `tensor<*x...>`. Sequences, optionals, maps and sparse tensors are types of this
dialect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, TypeProto
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    BFloat16Type,
    ComplexType,
    Float4E2M1FNType,
    Float6E2M3FNType,
    Float6E3M2FNType,
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
    UnrankedTensorType,
)
from xdsl.ir import Attribute, ParametrizedAttribute, TypeAttribute
from xdsl.irdl import irdl_attr_definition, param_def

DYNAMIC = DYNAMIC_INDEX
"""The size of an unknown dimension in the shape of a tensor type."""


@irdl_attr_definition
class StringType(ParametrizedAttribute, TypeAttribute):
    """The element type of ONNX's string tensors."""

    name = "onnx.string"


@irdl_attr_definition
class UnknownType(ParametrizedAttribute, TypeAttribute):
    """The type of a value, or of the elements of a tensor, that type inference could not find."""

    name = "onnx.unknown"


@irdl_attr_definition
class SequenceType(ParametrizedAttribute, TypeAttribute):
    """A list of values of one type."""

    name = "onnx.sequence"
    element: Attribute = param_def()


@irdl_attr_definition
class OptionalType(ParametrizedAttribute, TypeAttribute):
    """A value or nothing."""

    name = "onnx.optional"
    element: Attribute = param_def()


@irdl_attr_definition
class MapType(ParametrizedAttribute, TypeAttribute):
    """A dictionary; `key` is an integer type or `!onnx.string`."""

    name = "onnx.map"
    key: Attribute = param_def()
    value: Attribute = param_def()


@irdl_attr_definition
class SparseType(ParametrizedAttribute, TypeAttribute):
    """A sparse tensor; `dense` is the type of the same tensor when it is dense."""

    name = "onnx.sparse"
    dense: Attribute = param_def()


_ELEMENT_TYPES: dict[int, Attribute] = {
    TensorProto.FLOAT: Float32Type(),
    TensorProto.DOUBLE: Float64Type(),
    TensorProto.FLOAT16: Float16Type(),
    TensorProto.BFLOAT16: BFloat16Type(),
    TensorProto.FLOAT8E4M3FN: Float8E4M3FNType(),
    TensorProto.FLOAT8E4M3FNUZ: Float8E4M3FNUZType(),
    TensorProto.FLOAT8E5M2: Float8E5M2Type(),
    TensorProto.FLOAT8E5M2FNUZ: Float8E5M2FNUZType(),
    TensorProto.FLOAT8E8M0: Float8E8M0FNUType(),
    TensorProto.FLOAT6E2M3: Float6E2M3FNType(),
    TensorProto.FLOAT6E3M2: Float6E3M2FNType(),
    TensorProto.FLOAT4E2M1: Float4E2M1FNType(),
    TensorProto.COMPLEX64: ComplexType(Float32Type()),
    TensorProto.COMPLEX128: ComplexType(Float64Type()),
    TensorProto.BOOL: IntegerType(1),
    TensorProto.INT2: IntegerType(2),
    TensorProto.INT4: IntegerType(4),
    TensorProto.INT8: IntegerType(8),
    TensorProto.INT16: IntegerType(16),
    TensorProto.INT32: IntegerType(32),
    TensorProto.INT64: IntegerType(64),
    TensorProto.UINT2: IntegerType(2, Signedness.UNSIGNED),
    TensorProto.UINT4: IntegerType(4, Signedness.UNSIGNED),
    TensorProto.UINT8: IntegerType(8, Signedness.UNSIGNED),
    TensorProto.UINT16: IntegerType(16, Signedness.UNSIGNED),
    TensorProto.UINT32: IntegerType(32, Signedness.UNSIGNED),
    TensorProto.UINT64: IntegerType(64, Signedness.UNSIGNED),
    TensorProto.STRING: StringType(),
    TensorProto.UNDEFINED: UnknownType(),
}
_ELEMENT_ENUMS: dict[Attribute, int] = {type: enum for enum, type in _ELEMENT_TYPES.items()}


def element_type(enum: int) -> Attribute:
    """The MLIR element type of a `TensorProto.DataType`.

    Raises:
        ValueError: this version of WebDNN does not know the data type.
    """
    try:
        return _ELEMENT_TYPES[enum]
    except KeyError:
        raise ValueError(f"unknown ONNX tensor data type {enum}") from None


def element_enum(type: Attribute) -> int:
    """The `TensorProto.DataType` of an MLIR element type.

    Raises:
        ValueError: ONNX has no such element type.
    """
    try:
        return _ELEMENT_ENUMS[type]
    except KeyError:
        raise ValueError(f"{type} is not the type of an element of an ONNX tensor") from None


def numpy_dtype(type: Attribute) -> np.dtype[Any]:
    """The numpy dtype that holds elements of this type (`ml_dtypes` ones for what numpy lacks, object for strings)."""
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(element_enum(type)))


def dtype_name(type: Attribute) -> str:
    """ONNX's name of an element type in lower case, as packages spell it: `float32`, `int64`, `bool`, `string`."""
    name = TensorProto.DataType.Name(element_enum(type)).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def element_type_of_numpy(dtype: np.dtype[Any]) -> Attribute:
    """The MLIR element type of a numpy dtype; all string and object dtypes are `!onnx.string`.

    Raises:
        ValueError: ONNX has no such element type.
    """
    if dtype.kind in "OSUT":
        return StringType()
    try:
        return element_type(onnx.helper.np_dtype_to_tensor_dtype(dtype))
    except (KeyError, ValueError):
        raise ValueError(
            f"numpy's {dtype} is not the type of an element of an ONNX tensor"
        ) from None


def tensor_type(element: Attribute, shape: Sequence[int | None] | None) -> Attribute:
    """`tensor<shape x element>`; `None` as a size is `?`, `None` as the shape is an unknown rank."""
    if shape is None:
        return UnrankedTensorType(element)
    return TensorType(element, [DYNAMIC if size is None else size for size in shape])


def type_of_array(array: np.ndarray[Any, Any]) -> TensorType[Attribute]:
    """The tensor type of a numpy array."""
    return TensorType(element_type_of_numpy(array.dtype), array.shape)


def type_from_proto(proto: TypeProto | None) -> Attribute:
    """The MLIR type of an ONNX value; symbolic dimensions become `?`."""
    kind = None if proto is None else proto.WhichOneof("value")
    if proto is None or kind is None:
        return UnknownType()
    if kind == "tensor_type":
        return _tensor_from_proto(proto.tensor_type)
    if kind == "sequence_type":
        return SequenceType(type_from_proto(proto.sequence_type.elem_type))
    if kind == "optional_type":
        return OptionalType(type_from_proto(proto.optional_type.elem_type))
    if kind == "map_type":
        key = element_type(proto.map_type.key_type)
        return MapType(key, type_from_proto(proto.map_type.value_type))
    if kind == "sparse_tensor_type":
        return SparseType(_tensor_from_proto(proto.sparse_tensor_type))
    raise ValueError(f"unknown kind of ONNX type {kind}")


def _tensor_from_proto(proto: TypeProto.Tensor | TypeProto.SparseTensor) -> Attribute:
    element = element_type(proto.elem_type)
    if not proto.HasField("shape"):
        return UnrankedTensorType(element)
    # A negative size is how some exporters spell an unknown one.
    sizes = [
        d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else DYNAMIC
        for d in proto.shape.dim
    ]
    return TensorType(element, sizes)


def type_to_proto(type: Attribute, symbols: Sequence[str | None] | None = None) -> TypeProto:
    """The inverse of `type_from_proto`; `symbols` names the unknown dimensions of a tensor, by position."""
    proto = TypeProto()
    if isinstance(type, TensorType | UnrankedTensorType):
        _tensor_to_proto(type, proto.tensor_type, symbols)
    elif isinstance(type, SequenceType):
        proto.sequence_type.elem_type.CopyFrom(type_to_proto(type.element))
        proto.sequence_type.SetInParent()
    elif isinstance(type, OptionalType):
        proto.optional_type.elem_type.CopyFrom(type_to_proto(type.element))
    elif isinstance(type, MapType):
        proto.map_type.key_type = element_enum(type.key)
        proto.map_type.value_type.CopyFrom(type_to_proto(type.value))
    elif isinstance(type, SparseType):
        _tensor_to_proto(type.dense, proto.sparse_tensor_type, symbols)
    elif not isinstance(type, UnknownType):
        raise ValueError(f"{type} is not the type of an ONNX value")
    return proto


def _tensor_to_proto(
    type: Attribute,
    proto: TypeProto.Tensor | TypeProto.SparseTensor,
    symbols: Sequence[str | None] | None,
) -> None:
    assert isinstance(type, TensorType | UnrankedTensorType)
    proto.elem_type = element_enum(type.element_type)
    if isinstance(type, UnrankedTensorType):
        return
    proto.shape.SetInParent()
    for axis, size in enumerate(type.get_shape()):
        dim = proto.shape.dim.add()
        if size != DYNAMIC:
            dim.dim_value = size
        elif symbols is not None and (symbol := symbols[axis]):
            dim.dim_param = symbol
