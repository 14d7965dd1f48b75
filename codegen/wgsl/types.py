"""Types and literals of WGSL.

Signless integers of the IR are `i32` in WGSL, and so is `index`; an operation that reads them as
unsigned says so where it is printed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    DenseIntOrFPElementsAttr,
    Float16Type,
    Float32Type,
    FloatAttr,
    IndexType,
    IntegerAttr,
    IntegerType,
    MemRefType,
    VectorType,
)
from xdsl.ir import Attribute

from webdnn.dialects.errors import WebDNNError

_VECTOR_ALIAS = {"f32": "f", "i32": "i", "f16": "h", "u32": "u"}


def scalar_type(type: Attribute) -> str:
    """The WGSL name of a scalar type; an error for types that WGSL lacks."""
    match type:
        case IntegerType() if type.width.data == 1:
            return "bool"
        case IntegerType() if type.width.data == 32:
            return "i32"
        case IndexType():
            return "i32"
        case Float32Type():
            return "f32"
        case Float16Type():
            return "f16"
        case _:
            raise WebDNNError(f"WGSL has no type {type}", hint="run `lower-to-wgsl` first")


def wgsl_type(type: Attribute, *, integer: str = "i32") -> str:
    """The WGSL type of a value; `integer` names the integer type that stands for `i32` (`u32` for unsigned casts)."""
    if isinstance(type, VectorType):
        shape = type.get_shape()
        if len(shape) != 1 or not 2 <= shape[0] <= 4:
            raise WebDNNError(f"WGSL has no type {type}", hint="run `lower-to-wgsl` first")
        return vector_type(wgsl_type(type.element_type, integer=integer), shape[0])
    if isinstance(type, MemRefType):
        shape = type.get_shape()
        if len(shape) != 1:
            raise WebDNNError(f"a WGSL array has one size, unlike {type}")
        if shape[0] == DYNAMIC_INDEX:
            return f"array<{wgsl_type(type.element_type)}>"
        # There are no empty arrays; of an empty operand nothing is accessed.
        return f"array<{wgsl_type(type.element_type)}, {max(shape[0], 1)}>"
    scalar = scalar_type(type)
    return integer if scalar == "i32" else scalar


def vector_type(element: str, size: int) -> str:
    """`vec4f` and its like; there is no short name for vectors of `bool`."""
    alias = _VECTOR_ALIAS.get(element)
    return f"vec{size}{alias}" if alias else f"vec{size}<{element}>"


def float_literal(value: float, type: Attribute) -> str:
    """The shortest decimal literal that reads back as exactly `value` of the (finite) float type."""
    assert math.isfinite(value)
    scalar = np.float16 if isinstance(type, Float16Type) else np.float32
    text = str(scalar(value))
    if scalar(float(text)) != scalar(value):
        text = repr(float(scalar(value)))
    if not any(c in text for c in ".e"):
        text += ".0"
    return text


def float_bits(value: float) -> int:
    """The bits of a float32."""
    return int(np.float32(value).view(np.uint32))


def constant_elements(value: Attribute) -> Sequence[int | float]:
    """The elements of an `arith.constant`: one for a scalar or a splat."""
    if isinstance(value, IntegerAttr):
        return [value.value.data]
    if isinstance(value, FloatAttr):
        return [value.value.data]
    assert isinstance(value, DenseIntOrFPElementsAttr), f"a constant {value}"
    elements = list(value.get_values())
    if value.is_splat():
        return elements[:1]
    return elements
