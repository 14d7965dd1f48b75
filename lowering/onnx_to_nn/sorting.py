"""TopK without a sort: each element counts those that come before it."""

from __future__ import annotations

from math import inf

import numpy as np
from xdsl.dialects.builtin import i32, i64
from xdsl.ir import SSAValue

from webdnn.dialects.dtypes import is_float
from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.nn import reduction as rd
from webdnn.dialects.nn.base import element_of, shape_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.errors import Unsupported
from webdnn.lowering.onnx_to_nn.node import Node
from webdnn.lowering.onnx_to_nn.reduction import check_extent
from webdnn.lowering.onnx_to_nn.registry import onnx_lowering

MOST_COMPARED = 1 << 14
"""The work is quadratic in the size of the dimension; a longer one is refused."""


def places(x: SSAValue, b: NNBuilder, *, largest: bool) -> SSAValue:
    """The place (i32) of each element when those along the last dimension are sorted; equal ones keep their order."""
    shape = shape_of(x)
    size = shape[-1]
    mine = b.reshape(x, [*shape, 1])
    others = b.reshape(x, [*shape[:-1], 1, size])
    pair = (mine, others) if largest else (others, mine)
    is_before = b(ew.LessOp, *pair)
    line = np.arange(size)
    earlier = b.constant(line[None, :] < line[:, None])
    tied = b(ew.AndOp, b(ew.EqualOp, mine, others), earlier)
    counted = b.cast(b(ew.OrOp, is_before, tied), i32)
    return b.reduce("sum", counted, [len(shape)], keep_dims=False)


def _ordered(x: SSAValue, b: NNBuilder) -> SSAValue:
    """`x` with infinity for NaN, which compares with nothing and so has no place."""
    return b(ew.SelectOp, b(ew.IsNanOp, x), inf, x) if is_float(element_of(x)) else x


def index_of_place(place: SSAValue, count: int, b: NNBuilder) -> SSAValue:
    """For each place below `count` the index (i64) of the element that has it."""
    shape = shape_of(place)
    size = shape[-1]
    wanted = b.constant(np.arange(count).reshape(count, 1), element_of(place))
    here = b(ew.EqualOp, b.reshape(place, [*shape[:-1], 1, size]), wanted)
    index = b.iota([1, size], 1, i64)
    return b.reduce("sum", b(ew.SelectOp, here, index, 0), [len(shape)], keep_dims=False)


@onnx_lowering("TopK", static=[1])
def top_k(node: Node, b: NNBuilder) -> list[SSAValue]:
    """`k` was an attribute before opset 10."""
    x, axis = node[0], node.axis(default=-1)
    count = node.int("k") if node.version < 10 else node.known_int(1)
    largest = bool(node.int("largest", 1))
    size, rank = node.shape()[axis], node.rank()
    check_extent(node, axis, count)
    if count == 1:
        index = b.insert(rd.ArgReduceOp("max" if largest else "min", x, axis))
        return [b.insert(dm.GatherElementsOp(x, index, axis)), index]
    if size > MOST_COMPARED:
        raise Unsupported(f"it sorts {size} elements, and at most {MOST_COMPARED} can be")
    order = [*(d for d in range(rank) if d != axis), axis]
    back = [order.index(d) for d in range(rank)]
    moved = b.transpose(x, order)
    index = index_of_place(places(_ordered(moved, b), b, largest=largest), count, b)
    values = b.insert(dm.GatherElementsOp(moved, index, rank - 1))
    return [b.transpose(values, back), b.transpose(index, back)]
