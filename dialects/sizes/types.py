"""Tensor types whose sizes are expressions: `tensor<1x?x384xf32, #nn.sizes<1, s[1 to 512], 384>>`.

A type whose sizes are all numbers has no `#nn.sizes`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from math import prod
from typing import TypeAlias

from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    ArrayAttr,
    IntegerAttr,
    NoneAttr,
    TensorType,
    i64,
)
from xdsl.ir import Attribute, Data, Operation, SSAValue
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.sizes.substitution import evaluate
from webdnn.dialects.sizes.text import parse_size, size_text

Tensor: TypeAlias = TensorType[Attribute]


@irdl_attr_definition
class SizesAttr(Data[tuple[int, ...]]):
    """Sizes: `#nn.sizes<1, s[1 to 512], 384>`. Of a tensor type it says the size of each dimension."""

    name = "nn.sizes"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> tuple[int, ...]:
        return tuple(
            parser.parse_comma_separated_list(parser.Delimiter.ANGLE, lambda: parse_size(parser))
        )

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(", ".join(size_text(size) for size in self.data))


SizeLike: TypeAlias = IntegerAttr | SizesAttr
"""The attribute for one size: a number, or `#nn.sizes` of one expression."""
SizesLike: TypeAlias = ArrayAttr[IntegerAttr] | SizesAttr
"""The attribute for several sizes: numbers, or `#nn.sizes` where one of them is an expression."""


def size_attr(size: int) -> SizeLike:
    """The attribute for a size."""
    return SizesAttr((size,)) if is_symbolic(size) else IntegerAttr(size, i64)


def size_in(attr: Attribute) -> int:
    """The size that an attribute for one says."""
    if isinstance(attr, SizesAttr):
        (size,) = attr.data
        return size
    assert isinstance(attr, IntegerAttr)
    return attr.value.data


def sizes_attr(sizes: Sequence[int]) -> SizesLike:
    """The attribute for several sizes."""
    if any(is_symbolic(size) for size in sizes):
        return SizesAttr(tuple(sizes))
    return ArrayAttr([IntegerAttr(size, i64) for size in sizes])


def sizes_in(attr: Attribute) -> tuple[int, ...]:
    """The sizes that an attribute for several says."""
    if isinstance(attr, SizesAttr):
        return attr.data
    assert isinstance(attr, ArrayAttr)
    return tuple(size_in(size) for size in attr.data)


def tensor_type(element: Attribute, shape: Sequence[int]) -> Tensor:
    """The tensor type of a shape whose sizes may be expressions."""
    if not any(is_symbolic(size) for size in shape):
        return TensorType(element, [int(size) for size in shape])
    dims = [DYNAMIC_INDEX if is_symbolic(size) else int(size) for size in shape]
    return TensorType(element, dims, SizesAttr(tuple(shape)))


def type_of(value: SSAValue | Operation | Attribute) -> Tensor:
    """The ranked tensor type of a value; a VerifyException where it has none."""
    type = value if isinstance(value, Attribute) else SSAValue.get(value).type
    if not isinstance(type, TensorType):
        raise VerifyException(f"expected a tensor, got {type}")
    return type


def shape_of(value: SSAValue | Operation | Attribute) -> tuple[int, ...]:
    """The shape of a tensor: numbers, or sizes that compute as numbers do.

    Raises:
        VerifyException: it is no tensor, or has an unknown size.
    """
    type = type_of(value)
    dims = type.get_shape()
    if isinstance(type.encoding, NoneAttr):
        if DYNAMIC_INDEX in dims:
            raise VerifyException(f"a dimension of {type} is not known")
        return dims
    if not isinstance(type.encoding, SizesAttr):
        raise VerifyException(f"{type.encoding} does not say the sizes of a tensor")
    sizes = type.encoding.data
    expected = [DYNAMIC_INDEX if is_symbolic(size) else size for size in sizes]
    if list(dims) != expected:
        raise VerifyException(f"the sizes of {type} contradict its dimensions")
    return sizes


def element_of(value: SSAValue | Operation | Attribute) -> Attribute:
    """The element type of a tensor."""
    return type_of(value).element_type


def size_of(value: SSAValue | Operation | Attribute) -> int:
    """The number of elements of a tensor."""
    return prod(shape_of(value))


# The values of symbols while a program is run in numpy

_VALUES: ContextVar[Mapping[str, int]] = ContextVar("_VALUES")


@contextmanager
def symbols_bound(values: Mapping[str, int]) -> Generator[None]:
    """While this holds, symbols have these values for `concrete_shape`."""
    token = _VALUES.set({**_VALUES.get({}), **values})
    try:
        yield
    finally:
        _VALUES.reset(token)


def concrete_size(value: int) -> int:
    """The number that a size is in the run that is under way.

    Raises:
        KeyError: a symbol has no value.
    """
    return evaluate(value, _VALUES.get({})) if is_symbolic(value) else value


def concrete_shape(value: SSAValue | Operation | Attribute) -> tuple[int, ...]:
    """The numbers that the sizes of a tensor are in the run that is under way."""
    return tuple(concrete_size(size) for size in shape_of(value))
