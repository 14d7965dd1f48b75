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

from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.sizes.questions import same_size
from webdnn.dialects.sizes.types import SizesAttr


def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """Numpy's broadcasting rule, for zero-sized dimensions too.

    A size that is an expression is broadcast against itself and 1 alone, also where it may be 1.

    Raises:
        VerifyException: shapes do not fit.
        UndecidedSize: whether they fit depends on symbols.
    """
    rank = max((len(s) for s in shapes), default=0)
    result: list[int] = []
    for axis in range(-rank, 0):
        sizes = list(dict.fromkeys(s[axis] for s in shapes if len(s) >= -axis and s[axis] != 1))
        if any(not same_size(sizes[0], size) for size in sizes[1:]):
            raise VerifyException(f"shapes {[tuple(s) for s in shapes]} do not broadcast")
        result.append(sizes[0] if sizes else 1)
    return tuple(result)


def normalize_axis(axis: int, rank: int) -> int:
    """`axis` counted from the front; a VerifyException where it is outside the rank."""
    if not -rank <= axis < max(rank, 1):
        raise VerifyException(f"axis {axis} is outside a tensor of rank {rank}")
    return axis + rank if axis < 0 else axis


IntsAttr: TypeAlias = ArrayAttr[IntegerAttr] | SizesAttr
"""Integers, some of which may be sizes that depend on symbols: `#nn.sizes<0, s[1 to 512] - 1>` then."""


def ints(values: Sequence[int]) -> ArrayAttr[IntegerAttr]:
    """Integers as an attribute."""
    return ArrayAttr([IntegerAttr(int(v), i64) for v in values])


def sizes_or_ints(values: Sequence[int]) -> IntsAttr:
    """Integers, or sizes, as an attribute."""
    return SizesAttr(tuple(values)) if any(map(is_symbolic, values)) else ints(values)


def int_list(attr: IntsAttr) -> list[int]:
    """The integers of an attribute, or its sizes."""
    if isinstance(attr, SizesAttr):
        return list(attr.data)
    return [v.value.data for v in attr.data]


def int_attr(value: int) -> IntegerAttr[IntegerType]:
    """An integer as an attribute."""
    return IntegerAttr(int(value), i64)


def float_attr(value: float) -> FloatAttr[Float64Type]:
    """A float as an attribute (double precision: the attribute must not round)."""
    return FloatAttr(float(value), f64)


FloatLike: TypeAlias = Float32Type | Float64Type
