"""Constants of 16-bit float types as the integers that hold their bits."""

from __future__ import annotations

import struct
from typing import cast

import numpy as np
from xdsl.dialects.builtin import (
    BFloat16Type,
    DenseIntOrFPElementsAttr,
    FloatAttr,
    IntegerAttr,
    VectorType,
    i16,
)
from xdsl.ir import Attribute

from webdnn.lowering.target_wasm.types import convert_type
from webdnn.lowering.value_notation import element_type


def _bits(value: float, type: Attribute) -> int:
    if isinstance(type, BFloat16Type):
        (wide,) = struct.unpack("<i", struct.pack("<f", value))
        rounded = wide + 0x7FFF + ((wide >> 16) & 1) if value == value else wide | 0x400000
        return (rounded >> 16) & 0xFFFF
    with np.errstate(over="ignore"):
        return int(np.float16(value).view(np.uint16))


def bits_of(value: Attribute) -> Attribute:
    """A constant of a 16-bit float type, as the integers that hold its bits."""
    if isinstance(value, FloatAttr):
        return IntegerAttr(_bits(value.value.data, value.type), i16, truncate_bits=True)
    assert isinstance(value, DenseIntOrFPElementsAttr)
    type = convert_type(value.type)
    assert isinstance(type, VectorType)
    element = element_type(value.type)
    bits = [_bits(cast(float, v), element) for v in value.iter_values()]
    signed = [b - 0x10000 if b & 0x8000 else b for b in bits]
    return DenseIntOrFPElementsAttr.from_list(type, signed)
