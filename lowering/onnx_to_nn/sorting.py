"""TopK."""

from __future__ import annotations

import numpy as np
from xdsl.dialects.builtin import i64
from xdsl.ir import SSAValue

from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.nn.ordering import TopKOp
from webdnn.dialects.sizes.expression import bounds
from webdnn.dialects.sizes.types import element_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.errors import Invalid
from webdnn.lowering.onnx_to_nn.node import Node
from webdnn.lowering.onnx_to_nn.reduction import check_extent
from webdnn.lowering.onnx_to_nn.registry import onnx_lowering


@onnx_lowering("TopK", static=[1])
def top_k(node: Node, b: NNBuilder) -> list[SSAValue]:
    """`k` was an attribute before opset 10. With `sorted` = 0 any order will do: the sorted one is given then too."""
    x, axis, rank = node[0], node.axis(default=-1), node.rank()
    count = node.int("k") if node.version < 10 else node.known_int(1)
    if bounds(count)[1] < 0:
        raise Invalid(f"its k is {count}, which is less than 0")
    check_extent(node, axis, count)
    shape = [count if d == axis else n for d, n in enumerate(node.shape())]
    if 0 in shape:
        empty = np.zeros(shape)
        return [b.constant(empty, element_of(x)), b.constant(empty, i64)]
    order = [*(d for d in range(rank) if d != axis), axis]
    back = [order.index(d) for d in range(rank)]
    moved = b.transpose(x, order)
    index = b.insert(TopKOp(moved, count, bool(node.int("largest", 1))))
    values = b.insert(dm.GatherElementsOp(moved, index, rank - 1))
    return [b.transpose(values, back), b.transpose(index, back)]
