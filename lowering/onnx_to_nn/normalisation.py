"""Normalisations."""

from __future__ import annotations

from math import prod

from xdsl.dialects.builtin import f32
from xdsl.ir import Attribute, SSAValue

from webdnn.dialects.dtypes import element_of_onnx
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.nn import reduction as rd
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.errors import Unsupported
from webdnn.lowering.onnx_to_nn.node import Node
from webdnn.lowering.onnx_to_nn.registry import onnx_lowering


def per_channel(vector: SSAValue, rank: int, b: NNBuilder) -> SSAValue:
    """A vector over the channels in a shape that broadcasts against a channels-first tensor."""
    return b.reshape(vector, [*shape_of(vector), *[1] * max(rank - 2, 0)])


@onnx_lowering("BatchNormalization", since=7)
def batch_normalization(node: Node, b: NNBuilder) -> SSAValue:
    """A multiplication and an addition per channel, whose factors are computed from the weights."""
    if node.int("training_mode") or node.result_count > 1:
        what = "training_mode is on" if node.int("training_mode") else "it has more than one output"
        raise Unsupported(f"it is for training: {what}", "export the model for inference")
    x, scale, bias, mean, variance = (node[i] for i in range(5))
    element = element_of(x)
    root = b(ew.SqrtOp, b(ew.AddOp, variance, node.float("epsilon", 1e-5)))
    factor = b(ew.DivOp, b.cast(scale, element_of(root)), root)
    shift = b(ew.SubOp, b.cast(bias, element_of(root)), b(ew.MulOp, mean, factor))
    rank = node.rank()
    scaled = b(ew.MulOp, x, per_channel(b.cast(factor, element), rank, b))
    return b(ew.AddOp, scaled, per_channel(b.cast(shift, element), rank, b))


def normalize(
    x: SSAValue, axes: list[int], epsilon: float, b: NNBuilder, *, centered: bool = True
) -> SSAValue:
    return b.insert(rd.NormalizeOp(x, axes, epsilon, centered))


def scaled(x: SSAValue, scale: SSAValue | None, bias: SSAValue | None, b: NNBuilder) -> SSAValue:
    """`x * scale + bias`, where they are there."""
    if scale is not None:
        x = b(ew.MulOp, x, scale)
    return x if bias is None else b(ew.AddOp, x, bias)


def _stash_element(node: Node) -> Attribute:
    """The element type that the statistics are computed in."""
    stash = element_of_onnx(node.int("stash_type", 1))
    return stash if stash == f32 else node.element()


@onnx_lowering("LayerNormalization")
def layer_normalization(node: Node, b: NNBuilder) -> list[SSAValue]:
    x, element = node[0], node.element()
    axes = list(range(node.axis(default=-1), node.rank()))
    epsilon = node.float("epsilon", 1e-5)
    wide = b.cast(x, _stash_element(node)) if element != f32 else x
    y = b.cast(normalize(wide, axes, epsilon, b), element)
    y = scaled(y, node[1], node.optional(2), b)
    if not node.wants(1) and not node.wants(2):
        return [y]
    mean = b.mean(wide, axes)
    centered = b(ew.SubOp, wide, mean)
    variance = b.mean(b(ew.MulOp, centered, centered), axes)
    inverse = b(ew.ReciprocalOp, b(ew.SqrtOp, b(ew.AddOp, variance, epsilon)))
    return [y, mean, inverse]


@onnx_lowering("RMSNormalization")
def rms_normalization(node: Node, b: NNBuilder) -> SSAValue:
    x, element = node[0], node.element()
    axes = list(range(node.axis(default=-1), node.rank()))
    wide = b.cast(x, _stash_element(node)) if element != f32 else x
    y = normalize(wide, axes, node.float("epsilon", 1e-5), b, centered=False)
    return scaled(b.cast(y, element), node[1], None, b)


@onnx_lowering("InstanceNormalization", since=6)
def instance_normalization(node: Node, b: NNBuilder) -> SSAValue:
    rank = node.rank()
    y = normalize(node[0], list(range(2, rank)), node.float("epsilon", 1e-5), b)
    return scaled(y, per_channel(node[1], rank, b), per_channel(node[2], rank, b), b)


@onnx_lowering("GroupNormalization")
def group_normalization(node: Node, b: NNBuilder) -> SSAValue:
    """Scale and bias are given per group before opset 21, per channel from then on."""
    x, groups = node[0], node.int("num_groups")
    n, c, *spatial = node.shape()
    split = b.reshape(x, [n, groups, c // groups, prod(spatial)])
    y = normalize(split, [2, 3], node.float("epsilon", 1e-5), b)
    inner = 1 if node.version < 21 else c // groups
    scale, bias = (b.reshape(node[i], [groups, inner, 1]) for i in (1, 2))
    return b.reshape(scaled(y, scale, bias, b), node.shape())


@onnx_lowering("LRN")
def lrn(node: Node, b: NNBuilder) -> SSAValue:
    """x / (bias + alpha / size * (sum of squares of the channels around))^beta."""
    x, size, rank = node[0], node.int("size"), node.rank()
    low, high, window = [0] * rank, [0] * rank, [1] * rank
    low[1], high[1], window[1] = (size - 1) // 2, size // 2, size
    padded = b.pad(b(ew.MulOp, x, x), low, high)
    total = b.insert(rd.ReduceWindowOp("sum", padded, window, [1] * rank))
    inner = b(ew.MulOp, total, node.float("alpha", 1e-4) / size)
    inner = b(ew.AddOp, inner, node.float("bias", 1.0))
    return b(ew.DivOp, x, b(ew.PowOp, inner, node.float("beta", 0.75)))


@onnx_lowering("LpNormalization")
def lp_normalization(node: Node, b: NNBuilder) -> SSAValue:
    """A zero norm gives zeros."""
    x, axis = node[0], node.axis(default=-1)
    if node.int("p", 2) == 1:
        norm = b.reduce("sum", b(ew.AbsOp, x), [axis])
    else:
        norm = b(ew.SqrtOp, b.reduce("sum", b(ew.MulOp, x, x), [axis]))
    is_zero = b(ew.EqualOp, norm, 0.0)
    return b(ew.DivOp, x, b(ew.SelectOp, is_zero, 1.0, norm))


@onnx_lowering("MeanVarianceNormalization")
def mean_variance_normalization(node: Node, b: NNBuilder) -> SSAValue:
    """Over all dimensions but the channels, whatever the rank; or over the axes that the node names."""
    x, rank = node[0], node.rank()
    named = node.ints("axes", [0, 2, 3]) or []
    usual = (
        named == [0, 2, 3] and rank < 4
    )  # the default, of which ONNX Runtime takes those that are there
    axes = sorted(set(node.dimensions([a for a in named if a < rank] if usual else named)))
    centered = b(ew.SubOp, x, b.mean(x, axes))
    variance = b.mean(b(ew.MulOp, centered, centered), axes)
    return b(ew.DivOp, centered, b(ew.AddOp, b(ew.SqrtOp, variance), 1e-9))
