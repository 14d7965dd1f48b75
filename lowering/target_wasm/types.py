"""How types of level `loops` are represented in the `llvm` dialect for wasm32."""

from __future__ import annotations

from functools import cache

from xdsl.dialects.builtin import (
    BFloat16Type,
    Float16Type,
    Float32Type,
    Float64Type,
    IndexType,
    IntegerType,
    MemRefType,
    VectorType,
    i8,
    i16,
    i32,
)
from xdsl.dialects.llvm import LLVMPointerType
from xdsl.ir import Attribute

PTR = LLVMPointerType()


@cache
def convert_type(type: Attribute) -> Attribute:
    """The type of an SSA value: `index` is i32, a memref is a pointer, a 16-bit float its bits."""
    if isinstance(type, IndexType):
        return i32
    if isinstance(type, MemRefType):
        return PTR
    if isinstance(type, Float16Type | BFloat16Type):
        return i16
    if isinstance(type, VectorType):
        element = convert_type(type.element_type)
        return type if element == type.element_type else VectorType(element, type.shape)
    return type


@cache
def memory_type(type: Attribute) -> Attribute:
    """The type of an element in memory: a truth value is one byte."""
    if isinstance(type, IntegerType) and type.width.data == 1:
        return i8
    return convert_type(type)


def byte_size(type: Attribute) -> int:
    """The bytes that a scalar takes in memory, which are its alignment too."""
    if isinstance(type, IndexType | Float32Type):
        return 4
    if isinstance(type, Float64Type):
        return 8
    if isinstance(type, Float16Type | BFloat16Type):
        return 2
    assert isinstance(type, IntegerType), type
    return max(1, type.width.data // 8)


def lanes(type: Attribute) -> int | None:
    """The number of elements of a vector type; `None` for a scalar."""
    return type.get_shape()[0] if isinstance(type, VectorType) else None


@cache
@cache
def mangled(type: Attribute) -> str:
    """The type as it is spelled in the name of an overloaded LLVM intrinsic, as in `v4f32`."""
    if isinstance(type, VectorType):
        return f"v{lanes(type)}{mangled(type.element_type)}"
    if isinstance(type, Float32Type):
        return "f32"
    if isinstance(type, Float64Type):
        return "f64"
    assert isinstance(type, IntegerType), type
    return f"i{type.width.data}"
