"""Operators that read elements at computed indices."""

from __future__ import annotations

import numpy as np
from xdsl.dialects.builtin import IntegerType, i32, i64
from xdsl.ir import SSAValue

from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.sizes.expression import bounds, is_symbolic
from webdnn.dialects.sizes.types import shape_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.errors import Invalid
from webdnn.lowering.onnx_to_nn.indices import check_corner, check_index_tuples, check_indices
from webdnn.lowering.onnx_to_nn.node import Node
from webdnn.lowering.onnx_to_nn.registry import onnx_lowering


@onnx_lowering("Gather")
def gather(node: Node, b: NNBuilder) -> SSAValue:
    """One known index is a slice, which costs nothing when it is fused."""
    axis, indices = node.axis(), node.sizes(1)
    shape = node.shape()
    check_indices(node, 1, axis)
    at = None if indices is None or indices.size != 1 else _place(indices.item(), shape[axis])
    if indices is not None and at is not None:
        one = b.slice_axis(node[0], axis, at, 1)
        return b.reshape(one, [*shape[:axis], *indices.shape, *shape[axis + 1 :]])
    return b.insert(dm.GatherOp(node[0], node[1], axis))


def _place(index: int, size: int) -> int | None:
    """An index counted from the front; None where it is not known to be inside, or from which end it counts."""
    low, high = bounds(index)
    at = index if low >= 0 else index + size if high < 0 else -1
    return at if bounds(at)[0] >= 0 and bounds(size - at)[0] > 0 else None


@onnx_lowering("GatherElements")
def gather_elements(node: Node, b: NNBuilder) -> SSAValue:
    check_corner(node, node.axis())
    check_indices(node, 1, node.axis())
    return b.insert(dm.GatherElementsOp(node[0], node[1], node.axis()))


@onnx_lowering("GatherND")
def gather_nd(node: Node, b: NNBuilder) -> SSAValue:
    batch, depth = node.int("batch_dims"), node.shape(1)[-1]
    if batch + depth > node.rank():
        raise Invalid(f"it takes {depth} indices for an operand of rank {node.rank()}")
    check_index_tuples(node, 1, range(batch, batch + depth))
    return b.insert(dm.GatherNDOp(node[0], node[1], batch))


@onnx_lowering("OneHot", static=[1])
def one_hot(node: Node, b: NNBuilder) -> SSAValue:
    """`depth` classes; an index outside -depth to depth - 1 has none of them on."""
    depth = node.known_int(1)
    if bounds(depth)[1] < 1:
        raise Invalid(f"its depth is {depth}, and must be positive")
    if node.shape(2) != (2,):
        raise Invalid(
            f"its values have the shape {list(node.shape(2))}, and are two numbers: off and on"
        )
    indices, values = node[0], node[2]
    axis = node.axis(default=-1, rank=node.rank() + 1)
    shape = list(shape_of(indices))
    element = node.element()
    if isinstance(element, IntegerType) and element.width.data < 32:  # too narrow for all classes
        indices, element = b.cast(indices, i32), i32
    x = b.reshape(indices, [*shape[:axis], 1, *shape[axis:]])
    x = b(ew.SelectOp, b(ew.LessOp, x, 0), b(ew.AddOp, x, depth), x)
    line = [1] * (len(shape) + 1)
    line[axis] = depth
    if is_symbolic(depth):
        classes = b.iota(line, axis, element)
    else:
        b.reserve(line)
        classes = b.constant(np.arange(depth).reshape(line), element)
    off, on = (b.reshape(b.slice_axis(values, 0, i, 1), []) for i in (0, 1))
    return b(ew.SelectOp, b(ew.EqualOp, x, classes), on, off)


@onnx_lowering("ReverseSequence")
def reverse_sequence(node: Node, b: NNBuilder) -> SSAValue:
    """The first `length` elements of each sequence in reverse; lengths may be known at run time only."""
    time, batch = node.int("time_axis"), node.int("batch_axis", 1)
    shape, rank = node.shape(), node.rank()
    if {time, batch} != {0, 1}:
        raise Invalid(
            f"its time_axis is {time} and its batch_axis {batch}, and they must be 0 and 1"
        )
    lengths = node.constant(1)
    if lengths is not None and not np.all((lengths >= 0) & (lengths <= bounds(shape[time])[1])):
        raise Invalid(
            f"its sequences have the lengths {lengths.tolist()}, of {shape[time]} elements"
        )
    along, across = [1] * rank, [1] * rank
    along[time], across[batch] = shape[time], shape[batch]
    at = b.iota(along, time, i64)
    length = b.reshape(node[1], across)
    turned = b(ew.SubOp, b(ew.SubOp, length, 1), at)
    index = b(ew.SelectOp, b(ew.LessOp, at, length), turned, at)
    return b.insert(dm.GatherElementsOp(node[0], b.broadcast(index, shape), time))


@onnx_lowering("Compress", static=[1])
def compress(node: Node, b: NNBuilder) -> SSAValue:
    chosen = np.flatnonzero(node.known(1)).astype(np.int64)
    x = node[0]
    if node.attr("axis") is None:
        x, axis = b.reshape(x, [-1]), 0
    else:
        axis = node.axis()
    if len(chosen) and chosen[-1] >= bounds(shape_of(x)[axis])[1]:
        raise Invalid(f"its condition chooses element {chosen[-1]} of {shape_of(x)[axis]}")
    return b.insert(dm.GatherOp(x, b.constant(chosen), axis))
