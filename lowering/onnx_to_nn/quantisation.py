"""Quantised arithmetic: between floats and small integers, and products of small integers in 32 bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from xdsl.dialects.builtin import Float64Type, f32, i32
from xdsl.ir import Attribute, SSAValue

from webdnn.dialects.dtypes import element_of_name, element_of_onnx, is_integer, numpy_dtype
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.sizes.types import element_of, shape_of, size_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.convolution import convolve, filter_last
from webdnn.lowering.onnx_to_nn.elementwise import cast_to
from webdnn.lowering.onnx_to_nn.errors import Invalid, Unsupported
from webdnn.lowering.onnx_to_nn.matmul import numpy_matmul
from webdnn.lowering.onnx_to_nn.node import Node
from webdnn.lowering.onnx_to_nn.registry import onnx_lowering
from webdnn.lowering.onnx_to_nn.window import window_of

UINT8 = element_of_name("uint8")


def along(parameter: SSAValue, x: SSAValue, axis: int, block: int, b: NNBuilder) -> SSAValue:
    """A scale or zero point in a shape that broadcasts against `x`: of the whole tensor, per axis, or per block.

    Raises:
        Invalid: its shape is none of these.
    """
    shape, own = shape_of(x), shape_of(parameter)
    if size_of(parameter) == 1:
        return b.reshape(parameter, [])
    if not 0 <= axis < len(shape):
        raise Invalid(f"its attribute 'axis' is {axis}, and its input has the shape {list(shape)}")
    if len(own) == 1 and not block:
        return b.reshape(parameter, [own[0] if d == axis else 1 for d in range(len(shape))])
    if len(own) != len(shape) or block < 1:
        raise Invalid(
            f"a scale or zero point of the shape {list(own)} does not fit {list(shape)} in blocks of {block}"
        )
    # Each entry stands for `block` elements along the axis; the last block may be shorter.
    wide = b.reshape(parameter, [*own[: axis + 1], 1, *own[axis + 1 :]])
    wide = b.broadcast(wide, [*own[: axis + 1], block, *own[axis + 1 :]])
    wide = b.reshape(wide, [*own[:axis], own[axis] * block, *own[axis + 1 :]])
    return b.slice_axis(wide, axis, 0, shape[axis])


def saturated(
    x: SSAValue, zero_point: SSAValue | None, element: Attribute, b: NNBuilder
) -> SSAValue:
    """A float rounded (halves to even), moved by the zero point and held within the range of `element`."""
    if numpy_dtype(element).kind not in "iu":
        raise Unsupported(f"quantisation to {element} at run time")
    limits = np.iinfo(numpy_dtype(element))
    x = b(ew.RoundOp, x)
    if zero_point is not None:
        x = b(ew.AddOp, x, b.cast(zero_point, element_of(x)))
    x = b(ew.MinOp, b(ew.MaxOp, x, float(limits.min)), float(limits.max))
    return b.cast(x, element)


@onnx_lowering("QuantizeLinear", since=10)
def quantize_linear(node: Node, b: NNBuilder) -> SSAValue:
    x, axis, block = node[0], node.axis(default=1), node.int("block_size")
    given = node.int("output_dtype")
    element = element_of(node[2]) if node.has(2) else element_of_onnx(given) if given else UINT8
    known = node.constant(1)
    if known is not None and not np.all(np.abs(known.astype(np.float64)) > 0):
        raise Invalid("its scale is 0 or NaN, by which nothing can be divided")
    scale = along(node[1], x, axis, block, b)
    zero_point = along(node[2], x, axis, block, b) if node.has(2) else None
    wide = f32 if not isinstance(node.element(), Float64Type) else node.element()
    quotient = b(ew.DivOp, b.cast(x, wide), b.cast(scale, wide))
    return saturated(quotient, zero_point, element, b)


@onnx_lowering("DequantizeLinear", since=10)
def dequantize_linear(node: Node, b: NNBuilder) -> SSAValue:
    x, axis, block = node[0], node.axis(default=1), node.int("block_size")
    given = node.int("output_dtype")
    element = element_of_onnx(given) if given else node.element(1)
    scale = along(node[1], x, axis, block, b)
    if not is_integer(node.element()):
        value = cast_to(x, element_of(scale), node, b)
    else:
        whole = shifted(x, along(node[2], x, axis, block, b) if node.has(2) else None, b)
        value = b.cast(whole, element_of(scale))
    return b.cast(b(ew.MulOp, value, scale), element)


def shifted(x: SSAValue, zero_point: SSAValue | None, b: NNBuilder) -> SSAValue:
    """`x` less the zero point, in 32 bits."""
    wide = b.cast(x, i32)
    return wide if zero_point is None else b(ew.SubOp, wide, b.cast(zero_point, i32))


@onnx_lowering("DynamicQuantizeLinear")
def dynamic_quantize_linear(node: Node, b: NNBuilder) -> Sequence[SSAValue]:
    """The scale and zero point come from the greatest and least element, and 0. Of zeros alone the scale is 1."""
    x, axes = node[0], list(range(node.rank()))
    greatest = b(ew.MaxOp, b.reduce("max", x, axes, keep_dims=False), 0.0)
    least = b(ew.MinOp, b.reduce("min", x, axes, keep_dims=False), 0.0)
    scale = b(ew.DivOp, b(ew.SubOp, greatest, least), 255.0)
    scale = b(ew.SelectOp, b(ew.EqualOp, scale, 0.0), 1.0, scale)
    zero_point = saturated(b(ew.DivOp, b(ew.NegOp, least), scale), None, UINT8, b)
    return [saturated(b(ew.DivOp, x, scale), zero_point, UINT8, b), scale, zero_point]


def _per_row(vector: SSAValue | None, b: NNBuilder) -> SSAValue | None:
    """A zero point per row of a matrix, as a column."""
    if vector is None or size_of(vector) == 1:
        return None if vector is None else b.reshape(vector, [])
    shape = shape_of(vector)
    return b.reshape(vector, [*shape, 1]) if len(shape) == 1 else vector


def _per_column(vector: SSAValue | None, b: NNBuilder) -> SSAValue | None:
    if vector is not None and size_of(vector) == 1:
        return b.reshape(vector, [])
    return vector


@onnx_lowering("MatMulInteger")
def matmul_integer(node: Node, b: NNBuilder) -> SSAValue:
    x = shifted(node[0], _per_row(node.optional(2), b), b)
    y = shifted(node[1], _per_column(node.optional(3), b), b)
    return numpy_matmul(x, y, b)


def _requantized(
    product: SSAValue,
    scales: tuple[SSAValue, SSAValue, SSAValue],
    zero_point: SSAValue,
    b: NNBuilder,
) -> SSAValue:
    """A product in 32 bits in the scale of the result: (scale of x) * (scale of y) / (scale of the result)."""
    x, y, result = (b.cast(s, f32) for s in scales)
    factor = b(ew.DivOp, b(ew.MulOp, x, y), result)
    value = b(ew.MulOp, b.cast(product, f32), factor)
    return saturated(value, zero_point, element_of(zero_point), b)


@onnx_lowering("QLinearMatMul")
def qlinear_matmul(node: Node, b: NNBuilder) -> SSAValue:
    x = shifted(node[0], _per_row(node[2], b), b)
    y = shifted(node[3], _per_column(node[5], b), b)
    scales = _per_row(node[1], b), _per_column(node[4], b), _per_row(node[6], b)
    assert all(s is not None for s in scales)
    zero_point = _per_row(node[7], b)
    assert zero_point is not None
    x_scale, y_scale, scale = (s for s in scales if s is not None)
    return _requantized(numpy_matmul(x, y, b), (x_scale, y_scale, scale), zero_point, b)


def _integer_conv(
    node: Node,
    x: SSAValue,
    weight: SSAValue,
    bias: SSAValue | None,
    b: NNBuilder,
) -> SSAValue:
    """A convolution in 32 bits; padding is 0 because the zero points are taken off before."""
    window = window_of(node, shape_of(x)[2:], shape_of(weight)[2:])
    return convolve(
        x,
        filter_last(weight, b),
        bias,
        b,
        low=window.low,
        high=window.high,
        strides=window.strides,
        dilations=window.dilations,
        groups=node.int("group", 1),
    )


def _per_filter(vector: SSAValue | None, rank: int, b: NNBuilder) -> SSAValue | None:
    """A zero point per output channel, against a filter `M, C, spatial...`."""
    if vector is None or size_of(vector) == 1:
        return None if vector is None else b.reshape(vector, [])
    return b.reshape(vector, [*shape_of(vector), *[1] * (rank - 1)])


@onnx_lowering("ConvInteger")
def conv_integer(node: Node, b: NNBuilder) -> SSAValue:
    rank = node.rank()
    x = shifted(node[0], _per_column(node.optional(2), b), b)
    weight = shifted(node[1], _per_filter(node.optional(3), rank, b), b)
    return _integer_conv(node, x, weight, None, b)


@onnx_lowering("QLinearConv")
def qlinear_conv(node: Node, b: NNBuilder) -> SSAValue:
    rank = node.rank()
    x = shifted(node[0], b.reshape(node[2], []), b)
    weight = shifted(node[3], _per_filter(node[5], rank, b), b)
    product = _integer_conv(node, x, weight, node.optional(8), b)
    weight_scale = node[4]
    if size_of(weight_scale) > 1:
        weight_scale = b.reshape(weight_scale, [size_of(weight_scale), *[1] * (rank - 2)])
    else:
        weight_scale = b.reshape(weight_scale, [])
    scales = (b.reshape(node[1], []), weight_scale, b.reshape(node[6], []))
    return _requantized(product, scales, b.reshape(node[7], []), b)
