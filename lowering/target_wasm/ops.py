"""The `llvm` ops that kernels are full of, made directly.

The general constructors look up and check what is known here; these take a fifth of their time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from xdsl.dialects import llvm
from xdsl.dialects.builtin import (
    DenseArrayBase,
    IntegerAttr,
    StringAttr,
    UnitAttr,
    VectorType,
    i32,
    i64,
)
from xdsl.ir import Attribute, Operation, SSAValue

from webdnn.lowering.target_wasm.types import PTR

NO_WRAP, SIGNED, SIGNED_AND_UNSIGNED = 0, 1, 3
"""Values of `overflowFlags`: nothing known, no signed overflow, no overflow at all."""

_OVERFLOW = [IntegerAttr(n, 32) for n in range(4)]
_NO_FAST_MATH = llvm.FastMathAttr(None)
_NO_BUNDLES = DenseArrayBase.from_list(i32, ())
_UNORDERED = IntegerAttr(0, i64)
_UNIT = UnitAttr()
_WRAPPING = (llvm.AddOp, llvm.SubOp, llvm.MulOp, llvm.ShlOp)
_FLOATING = (llvm.FAddOp, llvm.FSubOp, llvm.FMulOp, llvm.FDivOp)

_string = cache(StringAttr)


@cache
def _alignment(size: int) -> IntegerAttr[Any]:
    return IntegerAttr(size, i64)


@cache
def _indices(*values: int) -> DenseArrayBase[Any]:
    return DenseArrayBase.from_list(i32, values)


@cache
def vector_type(element: Attribute, lanes: int) -> VectorType[Any]:
    """The type of a vector; there are few of them."""
    return VectorType(element, [lanes])


def binary(make: type[Operation], x: SSAValue, y: SSAValue, overflow: int = NO_WRAP) -> Operation:
    """An op of two values of one type, which is the result's too."""
    properties: dict[str, Attribute] = {}
    if make in _WRAPPING:
        properties["overflowFlags"] = _OVERFLOW[overflow]
    elif make in _FLOATING:
        properties["fastmathFlags"] = _NO_FAST_MATH
    return make.create(operands=(x, y), result_types=(x.type,), properties=properties)


def address(
    base: SSAValue, index: SSAValue | int, element: Attribute, *, inbounds: bool
) -> Operation:
    """The address `index` elements behind `base`."""
    constant = isinstance(index, int)
    properties: dict[str, Attribute] = {
        "rawConstantIndices": _indices(index if constant else llvm.GEP_USE_SSA_VAL),
        "elem_type": element,
        "noWrapFlags": _OVERFLOW[0],
    }
    if inbounds:
        properties["inbounds"] = _UNIT
    return llvm.GEPOp.create(
        operands=(base,) if constant else (base, index), result_types=(PTR,), properties=properties
    )


def load(address: SSAValue, type: Attribute, alignment: int) -> Operation:
    """The value at an address."""
    return llvm.LoadOp.create(
        operands=(address,),
        result_types=(type,),
        properties={"alignment": _alignment(alignment), "ordering": _UNORDERED},
    )


def store(value: SSAValue, address: SSAValue, alignment: int) -> Operation:
    """Puts a value at an address."""
    return llvm.StoreOp.create(
        operands=(value, address),
        properties={"alignment": _alignment(alignment), "ordering": _UNORDERED},
    )


def shuffle(x: SSAValue, y: SSAValue, mask: Sequence[int], type: Attribute) -> Operation:
    """The lanes of two vectors that the mask names."""
    return llvm.ShuffleVectorOp.create(
        operands=(x, y), result_types=(type,), properties={"mask": _indices(*mask)}
    )


def insert_element(vector: SSAValue, value: SSAValue, index: SSAValue) -> Operation:
    """A vector with one lane replaced."""
    return llvm.InsertElementOp.create(operands=(vector, value, index), result_types=(vector.type,))


def intrinsic(name: str, args: Sequence[SSAValue], type: Attribute) -> Operation:
    """A call of an LLVM intrinsic by its full name."""
    return llvm.CallIntrinsicOp.create(
        operands=args,
        result_types=(type,),
        properties={
            "intrin": _string(name),
            "op_bundle_sizes": _NO_BUNDLES,
            "fastmathFlags": _NO_FAST_MATH,
            "operandSegmentSizes": _indices(len(args), 0),
        },
    )
