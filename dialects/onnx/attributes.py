"""ONNX attributes in MLIR's terms, both ways, and as plain Python values.

============  ==========================================  =======================
ONNX          MLIR                                        Python (`python_value`)
============  ==========================================  =======================
int           `2 : i64`                                   int
float         `1.0 : f32`                                 float
string        `"SAME"`, or `#onnx.bytes<"...">` in hex     str, or bytes
ints, floats  `array<i64: 1, 2>`, `array<f32: 1.0>`;      list of int, float
              `[0x7fc00000 : f32]` with NaN or infinity
strings       `["a", "b"]`                                list of str
tensor        `dense<...> : tensor<...>` when small,      ndarray, or WeightAttr
              and finite, else
              `#onnx.weight<"key", tensor<...>>`
type          the type                                    Attribute
============  ==========================================  =======================

Graphs are regions of the op and not attributes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
from onnx import AttributeProto, TensorProto
from xdsl.dialects.builtin import (
    ArrayAttr,
    ComplexType,
    DenseArrayBase,
    DenseIntOrFPElementsAttr,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    StringAttr,
    TensorType,
    f32,
    i64,
)
from xdsl.ir import Attribute, Data, ParametrizedAttribute, TypeAttribute
from xdsl.irdl import irdl_attr_definition, param_def
from xdsl.parser import AttrParser
from xdsl.printer import Printer

from webdnn.dialects.onnx.types import (
    StringType,
    numpy_dtype,
    type_from_proto,
    type_of_array,
    type_to_proto,
)

INLINE_ELEMENTS = 16
"""A tensor attribute of more elements than this becomes a handle."""


@irdl_attr_definition
class BytesValueAttr(Data[bytes]):
    """A string attribute that is not UTF-8."""

    name = "onnx.bytes"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> bytes:
        with parser.in_angle_brackets():
            return bytes.fromhex(parser.parse_str_literal())

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string_literal(self.data.hex())


@irdl_attr_definition
class WeightAttr(ParametrizedAttribute):
    """A handle to a tensor of the weight store, as an attribute: `#onnx.weight<"key", tensor<4xf32>>`."""

    name = "onnx.weight"
    key: StringAttr = param_def()
    type: Attribute = param_def()


def dense_attr(array: npt.NDArray[Any]) -> Attribute:
    """`dense<...>` of an array of numbers, or a list of strings for an array of strings."""
    type = type_of_array(array)
    element = type.element_type
    if isinstance(element, StringType):
        raise ValueError("an array of strings has no dense attribute")
    if isinstance(element, ComplexType):
        values: list[Any] = [(v.real, v.imag) for v in array.ravel().tolist()]
    elif isinstance(element, IntegerType):
        values = [int(v) for v in array.ravel()]
    else:
        values = [float(v) for v in array.ravel()]
    return DenseIntOrFPElementsAttr.from_list(cast("TensorType[Any]", type), values)


def dense_array(attr: DenseIntOrFPElementsAttr[Any]) -> npt.NDArray[Any]:
    """The numpy array of a `dense<...>`, of the dtype that its element type says."""
    dtype = numpy_dtype(attr.get_element_type())
    shape = attr.get_shape()
    raw: list[Any] = list(attr.get_values())
    if isinstance(attr.get_element_type(), ComplexType):
        raw = [complex(*v) for v in raw]
    values = np.array(raw, dtype=dtype) if raw else np.empty((0,), dtype)
    if values.size == 1 and int(np.prod(shape)) != 1:
        values = np.broadcast_to(values, shape)
    return values.reshape(shape)


def _string(value: bytes) -> Attribute:
    try:
        return StringAttr(value.decode("utf-8"))
    except UnicodeDecodeError:
        return BytesValueAttr(value)


def _is_finite(array: npt.NDArray[Any]) -> bool:
    """Whether xDSL can read what it prints of an array: it takes the hexadecimal NaN or infinity for an integer."""
    return bool(np.isfinite(array).all()) if array.dtype.kind in "fc" else True


def attribute_from_proto(
    proto: AttributeProto, add_weight: Callable[[str, npt.NDArray[Any]], str]
) -> Attribute:
    """The MLIR attribute of an ONNX one that is not a graph.

    Args:
        proto: the ONNX attribute.
        add_weight: puts a tensor that is too big for the IR into the weight store under a name, and gives its key.

    Raises:
        ValueError: the kind of the attribute is unknown, or it is a graph.
    """
    kind = proto.type
    if kind == AttributeProto.INT:
        return IntegerAttr(proto.i, i64)
    if kind == AttributeProto.FLOAT:
        return FloatAttr(proto.f, f32)
    if kind == AttributeProto.STRING:
        return _string(proto.s)
    if kind == AttributeProto.INTS:
        return DenseArrayBase.from_list(i64, list(proto.ints))
    if kind == AttributeProto.FLOATS:
        if not _is_finite(np.array(proto.floats, np.float32)):
            return ArrayAttr([FloatAttr(value, f32) for value in proto.floats])
        return DenseArrayBase.from_list(f32, list(proto.floats))
    if kind == AttributeProto.STRINGS:
        return ArrayAttr([_string(s) for s in proto.strings])
    if kind == AttributeProto.TENSOR:
        array = onnx.numpy_helper.to_array(proto.t)
        if array.size > INLINE_ELEMENTS or array.dtype.kind in "OSUT" or not _is_finite(array):
            return WeightAttr(StringAttr(add_weight(proto.name, array)), type_of_array(array))
        return dense_attr(array)
    if kind == AttributeProto.TYPE_PROTO:
        return type_from_proto(proto.tp)
    kind_name = AttributeProto.AttributeType.Name(kind)
    raise ValueError(f"attribute '{proto.name}' of the kind {kind_name} has no MLIR attribute")


def attribute_to_proto(
    name: str, attr: Attribute, get_weight: Callable[[str], npt.NDArray[Any]]
) -> AttributeProto:
    """The inverse of `attribute_from_proto`."""
    proto = AttributeProto(name=name)
    if isinstance(attr, IntegerAttr):
        proto.type, proto.i = AttributeProto.INT, attr.value.data
    elif isinstance(attr, FloatAttr):
        proto.type, proto.f = AttributeProto.FLOAT, attr.value.data
    elif isinstance(attr, StringAttr | BytesValueAttr):
        proto.type, proto.s = AttributeProto.STRING, _bytes(attr)
    elif isinstance(attr, DenseArrayBase):
        values = cast("list[Any]", list(attr.get_values()))
        if isinstance(attr.elt_type, IntegerType):
            proto.type = AttributeProto.INTS
            proto.ints.extend(values)
        else:
            proto.type = AttributeProto.FLOATS
            proto.floats.extend(values)
    elif isinstance(attr, ArrayAttr) and kind_of(attr) == AttributeProto.FLOATS:
        proto.type = AttributeProto.FLOATS
        proto.floats.extend(cast("list[float]", python_value(attr)))
    elif isinstance(attr, ArrayAttr):
        proto.type = AttributeProto.STRINGS
        proto.strings.extend(_bytes(value) for value in attr.data)
    elif isinstance(attr, DenseIntOrFPElementsAttr):
        proto.type = AttributeProto.TENSOR
        proto.t.CopyFrom(tensor_to_proto(dense_array(attr)))
    elif isinstance(attr, WeightAttr):
        proto.type = AttributeProto.TENSOR
        proto.t.CopyFrom(tensor_to_proto(get_weight(attr.key.data)))
    elif isinstance(attr, TypeAttribute):
        proto.type = AttributeProto.TYPE_PROTO
        proto.tp.CopyFrom(type_to_proto(attr))
    else:
        raise ValueError(f"'{name}': {attr} is not an ONNX attribute")
    return proto


def _bytes(attr: Attribute) -> bytes:
    if isinstance(attr, BytesValueAttr):
        return attr.data
    assert isinstance(attr, StringAttr)
    return attr.data.encode("utf-8")


def tensor_to_proto(array: npt.NDArray[Any], name: str = "") -> TensorProto:
    """A `TensorProto` of an array, which may be of strings."""
    array = np.asarray(array)
    if array.dtype.kind in "SUT":
        array = array.astype(object)
    return onnx.numpy_helper.from_array(array, name)


def python_value(attr: Attribute) -> Any:
    """An attribute as a plain Python value; see the table of this module."""
    if isinstance(attr, IntegerAttr | FloatAttr):
        return attr.value.data
    if isinstance(attr, StringAttr | BytesValueAttr):
        return attr.data
    if isinstance(attr, DenseArrayBase):
        return list(attr.get_values())
    if isinstance(attr, ArrayAttr):
        return [python_value(value) for value in attr.data]
    if isinstance(attr, DenseIntOrFPElementsAttr):
        return dense_array(attr)
    return attr


def kind_of(attr: Attribute) -> int:
    """The `AttributeProto.AttributeType` of an attribute, `UNDEFINED` where it is none."""
    if isinstance(attr, IntegerAttr):
        return AttributeProto.INT
    if isinstance(attr, FloatAttr):
        return AttributeProto.FLOAT
    if isinstance(attr, StringAttr | BytesValueAttr):
        return AttributeProto.STRING
    if isinstance(attr, DenseArrayBase):
        is_ints = isinstance(attr.elt_type, IntegerType)
        return AttributeProto.INTS if is_ints else AttributeProto.FLOATS
    if isinstance(attr, ArrayAttr):
        is_floats = bool(attr.data) and all(isinstance(value, FloatAttr) for value in attr.data)
        return AttributeProto.FLOATS if is_floats else AttributeProto.STRINGS
    if isinstance(attr, DenseIntOrFPElementsAttr | WeightAttr):
        return AttributeProto.TENSOR
    return (
        AttributeProto.TYPE_PROTO if isinstance(attr, TypeAttribute) else AttributeProto.UNDEFINED
    )


__all__ = [
    "INLINE_ELEMENTS",
    "BytesValueAttr",
    "WeightAttr",
    "attribute_from_proto",
    "attribute_to_proto",
    "dense_array",
    "dense_attr",
    "kind_of",
    "python_value",
    "tensor_to_proto",
]
