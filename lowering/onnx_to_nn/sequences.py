"""Sequences and optionals: which tensors a sequence holds is known at compile time, so they cost nothing."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import i1, i64
from xdsl.ir import SSAValue

from webdnn.dialects.sizes.types import shape_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.control_flow import stacked
from webdnn.lowering.onnx_to_nn.errors import Invalid
from webdnn.lowering.onnx_to_nn.node import Node, Value
from webdnn.lowering.onnx_to_nn.registry import onnx_lowering
from webdnn.lowering.onnx_to_nn.shape import split_into


@onnx_lowering("SequenceEmpty")
def sequence_empty(node: Node, b: NNBuilder) -> Sequence[Value]:
    return [[]]


@onnx_lowering("SequenceConstruct")
def sequence_construct(node: Node, b: NNBuilder) -> Sequence[Value]:
    return [node.tensors]


def _position(node: Node, index: int, size: int, default: int) -> int:
    at = node.known_int(index) if node.has(index) else default
    if not -size <= at <= size:
        raise Invalid(f"position {at} is outside a sequence of {size}")
    return at + size if at < 0 else at


@onnx_lowering("SequenceAt", static=[1])
def sequence_at(node: Node, b: NNBuilder) -> SSAValue:
    values = node.sequence(0)
    return values[_position(node, 1, len(values), 0)]


@onnx_lowering("SequenceInsert", static=[2])
def sequence_insert(node: Node, b: NNBuilder) -> Sequence[Value]:
    values = list(node.sequence(0))
    values.insert(_position(node, 2, len(values), len(values)), node[1])
    return [values]


@onnx_lowering("SequenceErase", static=[1])
def sequence_erase(node: Node, b: NNBuilder) -> Sequence[Value]:
    values = list(node.sequence(0))
    values.pop(_position(node, 1, len(values), len(values) - 1))
    return [values]


@onnx_lowering("SequenceLength")
def sequence_length(node: Node, b: NNBuilder) -> SSAValue:
    return b.constant(len(node.sequence(0)), i64)


@onnx_lowering("ConcatFromSequence")
def concat_from_sequence(node: Node, b: NNBuilder) -> SSAValue:
    values, axis = node.sequence(0), node.int("axis")
    if not values:
        raise Invalid("its sequence is empty")
    is_new = bool(node.int("new_axis"))
    rank = len(shape_of(values[0])) + is_new
    if not -rank <= axis < rank:
        raise Invalid(f"its axis {axis} is outside {rank} dimensions")
    if is_new:
        return stacked(values, axis % rank, b)
    return b.concat(values, axis % rank)


@onnx_lowering("SplitToSequence", static=[1])
def split_to_sequence(node: Node, b: NNBuilder) -> Sequence[Value]:
    axis = node.axis()
    size = node.shape()[axis]
    if not node.has(1):
        parts = split_into(node[0], axis, [1] * size, b)
        if not node.int("keepdims", 1):
            shape = [n for d, n in enumerate(node.shape()) if d != axis]
            parts = [b.reshape(p, shape) for p in parts]
        return [parts]
    sizes = node.known_ints(1)
    if node.shape(1) == ():
        each = sizes[0]
        if each < 1:
            raise Invalid(f"it splits into parts of {each} elements")
        sizes = [min(each, size - at) for at in range(0, size, each)]
    return [split_into(node[0], axis, sizes, b)]


@onnx_lowering("Optional", "OptionalGetElement")
def optional(node: Node, b: NNBuilder) -> Sequence[Value]:
    return [node.operands[0] if node.operands else None]


@onnx_lowering("OptionalHasElement")
def optional_has_element(node: Node, b: NNBuilder) -> SSAValue:
    return b.constant(node.has(0), i1)
