"""Reductions of integers whose value is not a sum or a product of them: means, roots and logarithms.

The result is that of real numbers without its fraction, wherever the result fits its type: what is summed up on the way
has 64 bits, so only sums of 64-bit integers wrap around. Nothing here needs a float of more than 32 bits, which WebGPU
lacks.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal, localcontext
from math import prod

import numpy as np
from xdsl.dialects.builtin import IntegerType, Signedness, f32, i64
from xdsl.ir import Attribute, SSAValue

from webdnn.dialects.dtypes import is_integer, numpy_dtype
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder

UI64 = IntegerType(64, Signedness.UNSIGNED)


def is_of_integers(x: SSAValue) -> bool:
    """Whether a tensor holds integers (truth values are none)."""
    return is_integer(element_of(x))


def integer_mean(x: SSAValue, axes: list[int], keep: bool, b: NNBuilder) -> SSAValue:
    """The mean, rounded towards zero; 0 of no elements, as in ONNX Runtime."""
    element = element_of(x)
    count = prod(shape_of(x)[a] for a in axes)
    total = b.reduce("sum", _wide(x, b), axes, keep)
    return b.cast(b(ew.DivOp, total, count), element)


def integer_norm(x: SSAValue, axes: list[int], keep: bool, b: NNBuilder) -> SSAValue:
    """The greatest integer whose square is not above the sum of squares."""
    element = element_of(x)
    wide = _wide(x, b)
    squares = b.cast(b(ew.MulOp, wide, wide), UI64)
    return b.cast(_root(b.reduce("sum", squares, axes, keep), b), element)


def integer_log_sum(x: SSAValue, axes: list[int], keep: bool, b: NNBuilder) -> SSAValue:
    """The logarithm of the sum, rounded towards zero; where there is none (of 0 and below) the least integer of the
    type, as in ONNX Runtime."""
    element = element_of(x)
    total = b.reduce("sum", _wide(x, b), axes, keep)
    return b.cast(_logarithm(total, element, b), element)


def integer_log_sum_exp(x: SSAValue, axes: list[int], keep: bool, b: NNBuilder) -> SSAValue:
    """log(sum(exp(x))), rounded towards zero; of no elements the least integer of the type.

    It is the greatest element plus the logarithm of a sum of 1 and more, whose whole part is exact in 32 bits. With
    two elements or more it is never an integer itself, so below zero one more than the next integer below.
    """
    element = element_of(x)
    shape = shape_of(x)
    count = prod(shape[a] for a in axes)
    greatest = b.reduce("max", x, axes, True)
    if not is_symbolic(count) and count <= 1:
        return greatest if keep else b.reduce("max", x, axes, False)
    below = b.cast(b(ew.SubOp, greatest, x), _unsigned(element))  # it may not fit with a sign
    total = b.reduce("sum", b(ew.ExpOp, b(ew.NegOp, b.cast(below, f32))), axes, keep)
    greatest = greatest if keep else b.reshape(greatest, shape_of(total))
    floor = b(ew.AddOp, greatest, b.cast(b(ew.LogOp, total), element))
    return b(ew.AddOp, floor, b.cast(b(ew.LessOp, floor, 0), element))


def _wide(x: SSAValue, b: NNBuilder) -> SSAValue:
    """Integers of up to 32 bits in 64, with a sign; those of 64 bits as they are."""
    return x if numpy_dtype(element_of(x)).itemsize == 8 else b.cast(x, i64)


def _unsigned(element: Attribute) -> IntegerType:
    return IntegerType(numpy_dtype(element).itemsize * 8, Signedness.UNSIGNED)


def _root(x: SSAValue, b: NNBuilder) -> SSAValue:
    """The integer square root of unsigned 64-bit integers.

    The root in 32-bit floats is off by 2^-23 of itself; a step of Newton's method gives the root or one more.
    """
    near = b(ew.MaxOp, b.cast(b(ew.SqrtOp, b.cast(x, f32)), UI64), 1)
    near = b(ew.DivOp, b(ew.AddOp, near, b(ew.DivOp, x, near)), 2)
    is_above = b(ew.LessOp, b(ew.DivOp, x, near), near)
    return b(ew.SubOp, near, b.cast(is_above, UI64))


def _logarithm(x: SSAValue, element: Attribute, b: NNBuilder) -> SSAValue:
    """The whole part of the natural logarithm of 64-bit integers, as `i64`: how many powers of e are not above."""
    dtype = numpy_dtype(element_of(x))
    powers = b.constant(np.array(_powers_of_e(int(np.iinfo(dtype).max)), dtype))
    reached = b(ew.LessEqualOp, powers, b.reshape(x, [*shape_of(x), 1]))
    result = b.reduce("sum", b.cast(reached, i64), [len(shape_of(x))], keep_dims=False)
    least = int(np.iinfo(numpy_dtype(element)).min)
    return b(ew.SelectOp, b(ew.LessOp, x, 1), least, result)


def _powers_of_e(limit: int) -> list[int]:
    """e, e^2, e^3 ... up to `limit`, each rounded up to an integer."""
    powers: list[int] = []
    with localcontext() as exact:
        exact.prec = 60
        while (power := int(Decimal(len(powers) + 1).exp().to_integral(ROUND_CEILING))) <= limit:
            powers.append(power)
    return powers
