"""Scatters, turned around: each result element looks for the update that writes it."""

from __future__ import annotations

from math import prod

import numpy as np
from xdsl.dialects.builtin import i1, i8, i64
from xdsl.ir import SSAValue

from webdnn.dialects.dtypes import numpy_dtype
from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.numpy_meaning.nn_reduction import neutral
from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.sizes.questions import same_shape
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.errors import Invalid, Unsupported
from webdnn.lowering.onnx_to_nn.indices import check_corner, check_index_tuples, check_indices
from webdnn.lowering.onnx_to_nn.node import Node
from webdnn.lowering.onnx_to_nn.registry import onnx_lowering

_COMBINE: dict[str, tuple[str, type[ew.ElementwiseOp]]] = {
    "add": ("sum", ew.AddOp),
    "mul": ("prod", ew.MulOp),
    "max": ("max", ew.MaxOp),
    "min": ("min", ew.MinOp),
}


def from_front(indices: SSAValue, size: int, b: NNBuilder) -> SSAValue:
    """Negative indices counted from the end."""
    wide = b.cast(indices, i64)
    return b(ew.SelectOp, b(ew.LessOp, wide, 0), b(ew.AddOp, wide, size), wide)


def scatter_along(
    data: SSAValue, axis: int, indices: SSAValue, updates: SSAValue, reduction: str, b: NNBuilder
) -> SSAValue:
    """`data` with `updates` written at `indices` along `axis`; all have the same other dimensions.

    Of several updates of one element the last one wins, or they are combined as `reduction` says. Each element compares
    its own index with all of them.
    """
    shape, count = shape_of(data), shape_of(indices)[axis]
    if 0 in shape or count == 0:
        return data
    size, rank = shape[axis], len(shape)
    apart = [*shape_of(indices)[:axis], 1, *shape_of(indices)[axis:]]
    own = [1] * (rank + 1)
    own[axis] = size
    here = b(ew.EqualOp, b.reshape(indices, apart), b.iota(own, axis, i64))
    if reduction == "none":
        number = [1] * (rank + 1)
        number[axis + 1] = count
        which = b(ew.SelectOp, here, b.iota(number, axis + 1, i64), -1)
        last = b.reduce("max", which, [axis + 1], keep_dims=False)
        written = b.insert(dm.GatherElementsOp(updates, b(ew.MaxOp, last, 0), axis))
        return b(ew.SelectOp, b(ew.LessOp, last, 0), data, written)
    kind, op = _COMBINE[reduction]
    nothing = b.constant(np.asarray(neutral(kind, numpy_dtype(element_of(data)))))
    spread = b(ew.SelectOp, here, b.reshape(updates, apart), nothing)
    return b(op, data, b.reduce(kind, spread, [axis + 1], keep_dims=False))


@onnx_lowering("ScatterElements", "Scatter")
def scatter_elements(node: Node, b: NNBuilder) -> SSAValue:
    data, axis = node[0], node.axis()
    shape, inner = node.shape(), list(node.shape(1))
    if not same_shape(node.shape(2), node.shape(1)):
        raise Invalid(
            f"its indices have the shape {inner} and its updates {list(node.shape(2))}, which must be the same"
        )
    check_corner(node, axis)
    check_indices(node, 1, axis)
    inner[axis] = shape[axis]
    indices = from_front(node[1], shape[axis], b)
    reduction = node.str("reduction", "none")
    start = [0] * len(shape)
    # Where the indices are smaller than the data in other dimensions, only that corner is written.
    corner = b.slice(data, start, inner)
    written = scatter_along(corner, axis, indices, node[2], reduction, b)
    if tuple(inner) == shape:
        return written
    high = [n - m for n, m in zip(shape, inner, strict=True)]
    if any(map(is_symbolic, (*shape, *inner))):
        mask = b.cast(b.pad(b.filled(1, inner, i8), start, high), i1)
    else:
        inside = np.zeros(shape, bool)
        inside[tuple(slice(0, n) for n in inner)] = True
        mask = b.constant(inside)
    return b(ew.SelectOp, mask, b.pad(written, start, high), data)


@onnx_lowering("ScatterND")
def scatter_nd(node: Node, b: NNBuilder) -> SSAValue:
    """The dimensions that are indexed become one, and so do those that are not."""
    data, indices, updates = node[0], node[1], node[2]
    shape, depth = node.shape(), node.shape(1)[-1]
    if depth > len(shape) or not same_shape(node.shape(2), (*node.shape(1)[:-1], *shape[depth:])):
        raise Invalid(
            f"its updates have the shape {list(node.shape(2))}, which does not fit indices of "
            f"{list(node.shape(1))} into {list(shape)}"
        )
    check_index_tuples(node, 1, range(depth))
    count, places, width = prod(node.shape(1)[:-1]), prod(shape[:depth]), prod(shape[depth:])
    zeros = b.filled(0, [count, 1], i64) if is_symbolic(count) else None
    flat = b.constant(np.zeros((count, 1), np.int64)) if zeros is None else zeros
    rows = b.reshape(indices, [count, depth])
    for d in range(depth):
        at = from_front(b.slice_axis(rows, 1, d, 1), shape[d], b)
        flat = b(ew.AddOp, b(ew.MulOp, flat, shape[d]), at)
    if width != 1:
        flat = b.broadcast(flat, [count, width])
    result = scatter_along(
        b.reshape(data, [places, width]),
        0,
        flat,
        b.reshape(updates, [count, width]),
        node.str("reduction", "none"),
        b,
    )
    return b.reshape(result, shape)


@onnx_lowering("TensorScatter")
def tensor_scatter(node: Node, b: NNBuilder) -> SSAValue:
    """A block written into a cache at one place for each sample: each cache element knows which update it gets."""
    cache, update = node[0], node[1]
    shape, axis = node.shape(), node.axis(default=-2)
    size, count, rank = shape[axis], node.shape(1)[axis], node.rank()
    line = [1] * rank
    line[axis] = size
    at = b.iota(line, axis, i64)
    if node.has(2):
        at = b(ew.SubOp, at, b.reshape(b.cast(node[2], i64), [shape[0], *[1] * (rank - 1)]))
    mode = node.str("mode", "linear")
    if mode == "circular":
        at = b(ew.FloorModOp, at, size)
    elif mode != "linear":
        raise Unsupported(f"its mode is '{mode}'")
    inside = b(ew.AndOp, b(ew.LessEqualOp, 0, at), b(ew.LessOp, at, count))
    index = b(ew.MinOp, b(ew.MaxOp, at, 0), count - 1)
    written = b.insert(dm.GatherElementsOp(update, b.broadcast(index, shape), axis))
    return b(ew.SelectOp, inside, written, cache)
