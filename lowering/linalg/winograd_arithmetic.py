"""What the regions of a convolution by minimal filtering compute with: floats, or integers without any error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from xdsl.builder import Builder
from xdsl.dialects import arith
from xdsl.dialects.builtin import (
    IntegerType,
    f32,
    i8,
    i16,
    i32,
)
from xdsl.ir import Attribute, SSAValue

from webdnn.dialects.dtypes import dense_attr, numpy_dtype
from webdnn.dialects.sizes.types import element_of
from webdnn.lowering.fast_math import NO_SPECIALS
from webdnn.lowering.integer_range import FACTOR, fits
from webdnn.lowering.linalg.convolution import Convolution
from webdnn.lowering.linalg.integer_ranges import range_of, type_range
from webdnn.lowering.linalg.winograd_integers import (
    WORD,
    has_integer_matrices,
    integer_matrices,
    inverse,
    transformed_range,
)
from webdnn.lowering.linalg.winograd_matrices import (
    Matrix,
    WinogradMatrices,
    has_matrices,
    winograd_matrices,
)
from webdnn.lowering.nn_to_linalg.region_builder import RegionBuilder, scalar_constant
from webdnn.lowering.packing import PAIR


@dataclass(frozen=True)
class Arithmetic:
    """How `F(m, r)` along both axes is computed.

    Attributes:
        matrices: of the vertical and the horizontal axis.
        factor: the type of transformed windows and filters.
        sum: the type of their products.
        scale: how many times too large the results are.
    """

    matrices: tuple[WinogradMatrices, WinogradMatrices]
    factor: Attribute
    sum: Attribute
    scale: int = 1

    @property
    def pairs(self) -> int:
        """Neighbouring channels that lie together in a panel of the filter."""
        return 1 if self.factor == f32 else PAIR

    def table(self, b: Builder, matrix: Matrix, type: Attribute) -> SSAValue:
        """A matrix of constants as a tensor of a kernel."""
        values = [[float(c) for c in row] for row in matrix]
        table = np.array(values).astype(numpy_dtype(type))
        return b.insert(arith.ConstantOp(dense_attr(table))).result

    def linear_combination(self, b: Builder, args: Sequence[SSAValue]) -> SSAValue:
        """`acc + coefficient * x`. The flags let a lowering leave out products with 0 and 1."""
        coefficient, x, acc = args
        if isinstance(acc.type, IntegerType):
            if x.type != acc.type:
                x = b.insert(arith.ExtSIOp(x, acc.type)).result
            return b.insert(arith.AddiOp(acc, b.insert(arith.MuliOp(coefficient, x)).result)).result
        flags = arith.FastMathFlagsAttr(list(NO_SPECIALS))
        term = b.insert(arith.MulfOp(coefficient, x, flags)).result
        return b.insert(arith.AddfOp(acc, term, flags)).result

    def product(self, b: Builder, args: Sequence[SSAValue]) -> SSAValue:
        """`acc + x * w`."""
        x, w, acc = args
        if isinstance(acc.type, IntegerType):
            x, w = (b.insert(arith.ExtSIOp(v, acc.type)).result for v in (x, w))
            return b.insert(arith.AddiOp(b.insert(arith.MuliOp(x, w)).result, acc)).result
        return b.insert(arith.AddfOp(b.insert(arith.MulfOp(x, w)).result, acc)).result

    def unscaled(self, r: RegionBuilder, result: SSAValue, shape: Sequence[int]) -> SSAValue:
        """The results without the factor `scale`: division without a remainder, modulo 2^32."""
        if self.scale == 1:
            return result
        factor, shift = inverse(self.scale)

        def divided(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
            (value,) = args
            if factor != 1:
                odd = scalar_constant(b, factor, self.sum)
                value = b.insert(arith.MuliOp(value, odd)).result
            bits = scalar_constant(b, shift, self.sum)
            return b.insert(arith.ShRSIOp(value, bits)).result

        return r.elementwise([result], shape, self.sum, divided)


def arithmetic(conv: Convolution, windows: tuple[int, int]) -> Arithmetic | None:
    """How a convolution with windows of `windows` results is computed; None where it cannot be."""
    pairs = list(zip(windows, conv.taps, strict=True))
    if conv.element_type == f32:
        if not all(has_matrices(m, r) for m, r in pairs):
            return None
        vertical, horizontal = (winograd_matrices(m, r) for m, r in pairs)
        return Arithmetic((vertical, horizontal), f32, f32)
    if conv.element_type == i32 and all(has_integer_matrices(m, r) for m, r in pairs):
        return _in_integers(conv, pairs)
    return None


def _in_integers(conv: Convolution, pairs: Sequence[tuple[int, int]]) -> Arithmetic | None:
    x, filter = conv.input_operand, conv.filter_operand
    if element_of(x) not in (i8, i16) or element_of(filter) not in (i8, i16):
        return None
    if conv.in_channels % PAIR:
        return None
    inputs, weights = range_of(x), type_range(element_of(filter))
    vertical, horizontal = (integer_matrices(m, r) for m, r in pairs)
    scale = vertical.scale * horizontal.scale
    most = prod(conv.taps) * conv.in_channels * max(map(abs, inputs)) * max(map(abs, weights))
    _, shift = inverse(scale)
    factors = (
        transformed_range(vertical.matrices.input, horizontal.matrices.input, inputs),
        transformed_range(vertical.matrices.filter, horizontal.matrices.filter, weights),
    )
    if most >= 1 << (WORD - 1 - shift):
        return None
    if not all(fits(f, FACTOR) for f in factors):
        return None
    return Arithmetic((vertical.matrices, horizontal.matrices), i16, i32, scale)
