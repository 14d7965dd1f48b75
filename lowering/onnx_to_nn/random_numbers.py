"""Operators that draw random numbers.

Uniform numbers are made of random bits by exact arithmetic, so that they are the same on every engine, and so is what
compares them with a probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import pi

import numpy as np
from onnx import TensorProto
from xdsl.dialects.builtin import Float64Type, f32, f64, i32
from xdsl.ir import Attribute, SSAValue

from webdnn.dialects.dtypes import element_of_onnx, is_computable
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.nn import reduction as rd
from webdnn.dialects.onnx.types import element_enum
from webdnn.dialects.sizes.types import element_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.errors import Invalid, Unsupported
from webdnn.lowering.onnx_to_nn.node import Node
from webdnn.lowering.onnx_to_nn.reduction import check_extent
from webdnn.lowering.onnx_to_nn.registry import onnx_lowering

_SINGLE_BITS = 24
"""The bits of a uniform number of type f32: all multiples of 2^-24 below 1 are floats."""
_HIGH_BITS, _LOW_BITS = 27, 26
"""The bits that the two words give to a uniform number of type f64."""
_SEEDED = 0xFFFFFFFF
"""The high word of the key of a node with a seed of its own; that of a seed that is given for a run is less."""


class _Source:
    """Draws for one node, under the seed of the run or the node's own."""

    def __init__(self, node: Node, b: NNBuilder) -> None:
        self._b = b
        self._seed: SSAValue | None = None
        if node.attr("seed") is not None:
            bits = int(np.float32(node.float("seed")).view(np.uint32))
            self._seed = b.constant(np.array([bits, _SEEDED], np.uint32))

    def uniforms(self, shape: Sequence[int], element: Attribute, count: int) -> list[SSAValue]:
        """So many tensors of numbers in [0, 1), of type f32 (multiples of 2^-24) or f64 (of 2^-53)."""
        b = self._b
        numbers: list[SSAValue] = []
        while len(numbers) < count:
            stream = b.next_stream()
            high, low = (b.random_bits(shape, stream, word, self._seed) for word in (0, 1))
            if element == f64:
                numbers.append(_double(high, low, b))
            else:
                numbers += [_single(high, b), _single(low, b)]
        return numbers[:count]

    def uniform(self, shape: Sequence[int], element: Attribute) -> SSAValue:
        """Numbers in [0, 1), of type f32 or f64."""
        return self.uniforms(shape, element, 1)[0]

    def normal(self, shape: Sequence[int], element: Attribute) -> SSAValue:
        """Numbers of the standard normal distribution, of type f32 or f64, by the method of Box and Muller.

        The angle is from a half-circle: to the sine alone that makes no difference, and near 0 it loses no digits.
        """
        b = self._b
        first, second = self.uniforms(shape, element, 2)
        log = b(ew.LogOp, b(ew.SubOp, 1.0, first))
        radius = b(ew.SqrtOp, b(ew.MulOp, b(ew.AbsOp, log), 2.0))
        angle = b(ew.MulOp, b(ew.SubOp, second, 0.5), pi)
        return b(ew.MulOp, radius, b(ew.SinOp, angle))


def _single(word: SSAValue, b: NNBuilder) -> SSAValue:
    whole = b.cast(b(ew.ShrOp, word, 32 - _SINGLE_BITS), f32)
    return b(ew.MulOp, whole, 2.0**-_SINGLE_BITS)


def _double(high: SSAValue, low: SSAValue, b: NNBuilder) -> SSAValue:
    upper = b.cast(b(ew.ShrOp, high, 32 - _HIGH_BITS), f64)
    lower = b.cast(b(ew.ShrOp, low, 32 - _LOW_BITS), f64)
    whole = b(ew.AddOp, b(ew.MulOp, upper, 2.0**_LOW_BITS), lower)
    return b(ew.MulOp, whole, 2.0 ** -(_HIGH_BITS + _LOW_BITS))


def _drawn_as(element: Attribute) -> Attribute:
    """The type in which numbers that are rounded to `element` are drawn."""
    return f64 if isinstance(element, Float64Type) else f32


def _type(node: Node, default: Attribute) -> Attribute:
    """The element type that the attribute `dtype` names, one that the operator gives."""
    given = node.attr("dtype")
    number = element_enum(default) if given is None else int(given)
    if number not in TensorProto.DataType.values():
        raise Invalid(f"its attribute 'dtype' is {number}, which is the number of no type")
    formal = node.op.schema.outputs[0].type_str
    constraint = next(c for c in node.op.schema.type_constraints if c.type_param_str == formal)
    allowed = [
        name.removeprefix("tensor(").removesuffix(")") for name in constraint.allowed_type_strs
    ]
    name = TensorProto.DataType.Name(number).lower()
    if name not in allowed:
        raise Invalid(f"its result would be of type {name}, and must be of {', '.join(allowed)}")
    element = element_of_onnx(number)
    if not is_computable(element):
        raise Unsupported(f"its result is of type {name}")
    return element


def _shape(node: Node) -> Sequence[int]:
    shape = node.ints("shape") or []
    if any(n < 0 for n in shape):
        raise Invalid(f"its attribute 'shape' is {shape}, and sizes are not negative")
    return shape


def _normal(node: Node, b: NNBuilder, shape: Sequence[int], element: Attribute) -> SSAValue:
    mean, scale = node.float("mean"), node.float("scale", 1.0)
    x = _Source(node, b).normal(shape, _drawn_as(element))
    if scale != 1:
        x = b(ew.MulOp, x, scale)
    if mean:
        x = b(ew.AddOp, x, mean)
    return b.cast(x, element)


def _uniform(node: Node, b: NNBuilder, shape: Sequence[int], element: Attribute) -> SSAValue:
    low, high = node.float("low"), node.float("high", 1.0)
    drawn = _drawn_as(element)
    span = high - low
    if not 0 <= span <= float(np.finfo(np.float32).max):
        raise Invalid(f"its numbers would be from {low} to {high}")
    x = _Source(node, b).uniform(shape, drawn)
    if span != 1:
        x = b(ew.MulOp, x, span)
    if low:
        # no engine makes one instruction of the product and the sum, rounded once, with a minimum between them
        x = b(ew.MinOp, b(ew.AddOp, b(ew.MinOp, x, span), low), high)
    return b.cast(x, element)


@onnx_lowering("RandomNormal")
def random_normal(node: Node, b: NNBuilder) -> SSAValue:
    return _normal(node, b, _shape(node), _type(node, f32))


@onnx_lowering("RandomUniform")
def random_uniform(node: Node, b: NNBuilder) -> SSAValue:
    return _uniform(node, b, _shape(node), _type(node, f32))


@onnx_lowering("RandomNormalLike")
def random_normal_like(node: Node, b: NNBuilder) -> SSAValue:
    return _normal(node, b, node.shape(), _type(node, node.element()))


@onnx_lowering("RandomUniformLike")
def random_uniform_like(node: Node, b: NNBuilder) -> SSAValue:
    return _uniform(node, b, node.shape(), _type(node, node.element()))


@onnx_lowering("Bernoulli")
def bernoulli(node: Node, b: NNBuilder) -> SSAValue:
    """1 where a uniform number is less than the probability: at 0 never, at 1 always."""
    drawn = _drawn_as(node.element())
    element = _type(node, node.element())
    x = _Source(node, b).uniform(node.shape(), drawn)
    return b.cast(b(ew.LessOp, x, b.cast(node[0], drawn)), element)


@onnx_lowering("Multinomial")
def multinomial(node: Node, b: NNBuilder) -> SSAValue:
    """The class with the greatest sum of its logarithm and a number of Gumbel's distribution.

    That is finite, so a class of probability 0 (a logarithm of minus infinity) is never taken. A running sum of the
    probabilities would take fewer random numbers, but by rounding such a class could be hit.
    """
    logits = node[0]
    batch, classes = node.shape()
    samples = node.int("sample_size", 1)
    element = _type(node, i32)
    check_extent(node, 1, 1)
    if batch == 0:
        return b.filled(0, [batch, samples], element)
    drawn = _drawn_as(element_of(logits))
    x = _Source(node, b).uniform([batch, samples, classes], drawn)
    above_zero = b(ew.MaxOp, x, 2.0 ** -(_SINGLE_BITS + 1))
    gumbel = b(ew.NegOp, b(ew.LogOp, b(ew.NegOp, b(ew.LogOp, above_zero))))
    scores = b(ew.AddOp, b.reshape(b.cast(logits, drawn), [batch, 1, classes]), gumbel)
    best = b.insert(rd.ArgReduceOp("max", scores, 2))
    return b.cast(b.reshape(best, [batch, samples]), element)
