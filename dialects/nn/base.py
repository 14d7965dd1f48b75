"""What the `nn` ops share: attributes, and the shape rules of numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from xdsl.dialects.builtin import (
    ArrayAttr,
    Float32Type,
    Float64Type,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    f64,
    i64,
)
from xdsl.utils.exceptions import VerifyException


def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """Numpy's broadcasting rule, for zero-sized dimensions too; a VerifyException where shapes do not fit."""
    rank = max((len(s) for s in shapes), default=0)
    result: list[int] = []
    for axis in range(-rank, 0):
        sizes = {s[axis] for s in shapes if len(s) >= -axis} - {1}
        if len(sizes) > 1:
            raise VerifyException(f"shapes {[tuple(s) for s in shapes]} do not broadcast")
        result.append(sizes.pop() if sizes else 1)
    return tuple(result)


def normalize_axis(axis: int, rank: int) -> int:
    """`axis` counted from the front; a VerifyException where it is outside the rank."""
    if not -rank <= axis < max(rank, 1):
        raise VerifyException(f"axis {axis} is outside a tensor of rank {rank}")
    return axis + rank if axis < 0 else axis


def ints(values: Sequence[int]) -> ArrayAttr[IntegerAttr]:
    """Integers as an attribute."""
    return ArrayAttr([IntegerAttr(int(v), i64) for v in values])


def int_list(attr: ArrayAttr[IntegerAttr]) -> list[int]:
    """The integers of an attribute."""
    return [v.value.data for v in attr.data]


def int_attr(value: int) -> IntegerAttr[IntegerType]:
    """An integer as an attribute."""
    return IntegerAttr(int(value), i64)


def float_attr(value: float) -> FloatAttr[Float64Type]:
    """A float as an attribute (double precision: the attribute must not round)."""
    return FloatAttr(float(value), f64)


FloatLike: TypeAlias = Float32Type | Float64Type
