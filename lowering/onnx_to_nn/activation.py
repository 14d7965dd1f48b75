"""Activation functions, softmax among them."""

from __future__ import annotations

import math

from xdsl.dialects.builtin import i64
from xdsl.ir import SSAValue

from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.nn import reduction as rd
from webdnn.dialects.sizes.types import element_of, shape_of, size_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.node import Node
from webdnn.lowering.onnx_to_nn.registry import onnx_lowering


def where_negative(x: SSAValue, negative: SSAValue, b: NNBuilder) -> SSAValue:
    """`negative` where x < 0, else x (NaN stays NaN)."""
    return b(ew.SelectOp, b(ew.LessOp, x, 0.0), negative, x)


def softplus_of(x: SSAValue, b: NNBuilder) -> SSAValue:
    """log(1 + exp(x)) without overflow."""
    e = b(ew.ExpOp, b(ew.NegOp, b(ew.AbsOp, x)))
    return b(ew.AddOp, b(ew.ReluOp, x), b(ew.LogOp, b(ew.AddOp, e, 1.0)))


def hard_sigmoid_of(x: SSAValue, alpha: float, beta: float, b: NNBuilder) -> SSAValue:
    """alpha * x + beta, held between 0 and 1."""
    y = b(ew.AddOp, b(ew.MulOp, x, alpha), beta)
    return b(ew.MinOp, b(ew.MaxOp, y, 0.0), 1.0)


def elu_of(x: SSAValue, alpha: float, b: NNBuilder) -> SSAValue:
    """x, or alpha * (exp(x) - 1) where it is negative."""
    return where_negative(x, b(ew.MulOp, b(ew.SubOp, b(ew.ExpOp, x), 1.0), alpha), b)


@onnx_lowering("LeakyRelu")
def leaky_relu(node: Node, b: NNBuilder) -> SSAValue:
    return where_negative(node[0], b(ew.MulOp, node[0], node.float("alpha", 0.01)), b)


@onnx_lowering("PRelu")
def prelu(node: Node, b: NNBuilder) -> SSAValue:
    """A slope for each channel is the rule before opset 7, and what models upgraded from there still mean."""
    x, slope, shape = node[0], node[1], node.shape()
    is_channel = node.rank() > 1 and shape_of(slope) == (shape[1],) and shape[1] > 1
    if is_channel and (node.version < 7 or shape[-1] != shape[1]):
        slope = b.reshape(slope, [shape[1], *[1] * (node.rank() - 2)])
    return where_negative(x, b(ew.MulOp, x, slope), b)


@onnx_lowering("ThresholdedRelu")
def thresholded_relu(node: Node, b: NNBuilder) -> SSAValue:
    x = node[0]
    above = b(ew.LessOp, b.constant(node.float("alpha", 1.0), element_of(x)), x)
    return b(ew.SelectOp, above, x, 0.0)


@onnx_lowering("Elu")
def elu(node: Node, b: NNBuilder) -> SSAValue:
    return elu_of(node[0], node.float("alpha", 1.0), b)


@onnx_lowering("Celu")
def celu(node: Node, b: NNBuilder) -> SSAValue:
    x, alpha = node[0], node.float("alpha", 1.0)
    e = b(ew.SubOp, b(ew.ExpOp, b(ew.MulOp, x, 1.0 / alpha)), 1.0)
    return where_negative(x, b(ew.MulOp, e, alpha), b)


@onnx_lowering("Selu")
def selu(node: Node, b: NNBuilder) -> SSAValue:
    alpha, gamma = node.float("alpha"), node.float("gamma")
    return b(ew.MulOp, elu_of(node[0], alpha, b), gamma)


@onnx_lowering("HardSigmoid")
def hard_sigmoid(node: Node, b: NNBuilder) -> SSAValue:
    return hard_sigmoid_of(node[0], node.float("alpha", 0.2), node.float("beta", 0.5), b)


@onnx_lowering("HardSwish")
def hard_swish(node: Node, b: NNBuilder) -> SSAValue:
    return b(ew.MulOp, node[0], hard_sigmoid_of(node[0], 1.0 / 6.0, 0.5, b))


@onnx_lowering("Softplus")
def softplus(node: Node, b: NNBuilder) -> SSAValue:
    return softplus_of(node[0], b)


@onnx_lowering("Softsign")
def softsign(node: Node, b: NNBuilder) -> SSAValue:
    return b(ew.DivOp, node[0], b(ew.AddOp, b(ew.AbsOp, node[0]), 1.0))


@onnx_lowering("Mish")
def mish(node: Node, b: NNBuilder) -> SSAValue:
    return b(ew.MulOp, node[0], b(ew.TanhOp, softplus_of(node[0], b)))


@onnx_lowering("Swish")
def swish(node: Node, b: NNBuilder) -> SSAValue:
    alpha = node.float("alpha", 1.0)
    x = node[0] if alpha == 1.0 else b(ew.MulOp, node[0], alpha)
    return b(ew.MulOp, node[0], b(ew.SigmoidOp, x))


@onnx_lowering("Gelu")
def gelu(node: Node, b: NNBuilder) -> SSAValue:
    x = node[0]
    if node.str("approximate", "none") == "tanh":
        cubic = b(ew.MulOp, b(ew.MulOp, b(ew.MulOp, x, x), x), 0.044715)
        inner = b(ew.MulOp, b(ew.AddOp, x, cubic), math.sqrt(2.0 / math.pi))
        phi = b(ew.TanhOp, inner)
    else:
        phi = b(ew.ErfOp, b(ew.MulOp, x, math.sqrt(0.5)))
    return b(ew.MulOp, b(ew.MulOp, x, 0.5), b(ew.AddOp, phi, 1.0))


@onnx_lowering("Shrink")
def shrink(node: Node, b: NNBuilder) -> SSAValue:
    x, bias, bound = node[0], node.float("bias"), node.float("lambd", 0.5)
    low = b(ew.LessOp, x, -bound)
    high = b(ew.LessOp, b.constant(bound, element_of(x)), x)
    above = b(ew.SelectOp, high, b(ew.SubOp, x, bias), b.constant(0, element_of(x)))
    return b(ew.SelectOp, low, b(ew.AddOp, x, bias), above)


def flattened_at(x: SSAValue, axis: int, b: NNBuilder) -> SSAValue:
    """As a matrix: the dimensions before `axis` are its rows."""
    rows = math.prod(shape_of(x)[:axis])
    columns = math.prod(shape_of(x)[axis:])
    return b.reshape(x, [rows, columns])


@onnx_lowering("Softmax", "LogSoftmax", since=13)
def softmax(node: Node, b: NNBuilder) -> SSAValue:
    is_log = node.op.op_type == "LogSoftmax"
    return b.insert(rd.SoftmaxOp(node[0], node.axis(default=-1), is_log))


@onnx_lowering("Softmax", "LogSoftmax")
def flattening_softmax(node: Node, b: NNBuilder) -> SSAValue:
    """Before opset 13 it was over all dimensions from `axis` on."""
    x = node[0]
    is_log = node.op.op_type == "LogSoftmax"
    flat = flattened_at(x, node.axis(default=1), b)
    return b.reshape(b.insert(rd.SoftmaxOp(flat, 1, is_log)), shape_of(x))


def hardmax_of(x: SSAValue, axis: int, b: NNBuilder) -> SSAValue:
    """1 at the first greatest element along `axis`, else 0."""
    if not size_of(x):
        return x
    at = b.insert(rd.ArgReduceOp("max", x, axis))
    return b.cast(b(ew.EqualOp, at, b.iota(shape_of(x), axis, i64)), element_of(x))


@onnx_lowering("Hardmax", since=13)
def hardmax(node: Node, b: NNBuilder) -> SSAValue:
    return hardmax_of(node[0], node.axis(default=-1), b)


@onnx_lowering("Hardmax")
def flattening_hardmax(node: Node, b: NNBuilder) -> SSAValue:
    flat = flattened_at(node[0], node.axis(default=1), b)
    return b.reshape(hardmax_of(flat, 1, b), node.shape())
