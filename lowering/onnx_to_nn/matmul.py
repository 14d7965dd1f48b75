"""Matrix products and determinants."""

from __future__ import annotations

from xdsl.ir import SSAValue

from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.sizes.types import shape_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.errors import Unsupported
from webdnn.lowering.onnx_to_nn.node import Node
from webdnn.lowering.onnx_to_nn.registry import onnx_lowering


def numpy_matmul(x: SSAValue, y: SSAValue, b: NNBuilder) -> SSAValue:
    """`x @ y` by numpy's rules: a vector gains a dimension that the result loses."""
    a_shape, b_shape = shape_of(x), shape_of(y)
    if len(a_shape) == 1:
        x = b.reshape(x, [1, *a_shape])
    if len(b_shape) == 1:
        y = b.reshape(y, [*b_shape, 1])
    result = b.matmul(x, y)
    shape = list(shape_of(result))
    if len(b_shape) == 1:
        shape.pop(-1)
    if len(a_shape) == 1:
        shape.pop(-1 if len(b_shape) == 1 else -2)
    return b.reshape(result, shape)


@onnx_lowering("MatMul")
def matmul(node: Node, b: NNBuilder) -> SSAValue:
    return numpy_matmul(node[0], node[1], b)


@onnx_lowering("Gemm")
def gemm(node: Node, b: NNBuilder) -> SSAValue:
    x, y, c = node[0], node[1], node.optional(2)
    alpha, beta = node.float("alpha", 1.0), node.float("beta", 1.0)
    x = b.transpose(x, [1, 0]) if node.int("transA") else x
    y = b.transpose(y, [1, 0]) if node.int("transB") else y
    result = b.matmul(x, y)
    if alpha != 1.0:
        result = b(ew.MulOp, result, alpha)
    if c is None or beta == 0.0:
        return result
    return b(ew.AddOp, result, c if beta == 1.0 else b(ew.MulOp, c, beta))


@onnx_lowering("Det")
def det(node: Node, b: NNBuilder) -> SSAValue:
    """By expansion along the first row (Laplace), for the small matrices that models have."""
    size = node.shape()[-1]
    if size > 5:
        raise Unsupported(f"the determinant of a matrix of size {size} (5 is the most)")
    rank = node.rank()

    def minor(rows: tuple[int, ...], columns: tuple[int, ...]) -> SSAValue:
        first = b.slice_axis(b.slice_axis(node[0], rank - 2, rows[0], 1), rank - 1, columns[0], 1)
        entry = b.reshape(first, node.shape()[:-2])
        return entry if len(rows) == 1 else b(ew.MulOp, entry, expansion(rows[1:], columns[1:]))

    def expansion(rows: tuple[int, ...], columns: tuple[int, ...]) -> SSAValue:
        total: SSAValue | None = None
        for i, column in enumerate(columns):
            rest = columns[:i] + columns[i + 1 :]
            term = minor(rows, (column, *rest))
            sign = ew.SubOp if i % 2 else ew.AddOp
            total = term if total is None else b(sign, total, term)
        assert total is not None
        return total

    return expansion(tuple(range(size)), tuple(range(size)))
