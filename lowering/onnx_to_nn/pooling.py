"""Pooling: windows and whole images."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from xdsl.dialects.builtin import i64
from xdsl.ir import Attribute, SSAValue

from webdnn.dialects.dtypes import Array, numpy_dtype
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.nn import reduction as rd
from webdnn.dialects.numpy_meaning.nn_reduction import neutral
from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.sizes.questions import is_known
from webdnn.dialects.sizes.types import element_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.indices import check_range
from webdnn.lowering.onnx_to_nn.node import Node
from webdnn.lowering.onnx_to_nn.registry import onnx_lowering
from webdnn.lowering.onnx_to_nn.window import Window, window_of


def _window(node: Node) -> Window:
    return window_of(node, node.shape()[2:], node.ints("kernel_shape") or [], may_be_empty=True)


def pool(kind: str, x: SSAValue, window: Window, padding: float, b: NNBuilder) -> SSAValue:
    """Combine the elements of each window of a channels-first tensor; the result is channels-last."""
    x = b.channels_last(x)
    x = b.pad(x, [0, *window.low, 0], [0, *window.high, 0], value=padding)
    return b.insert(
        rd.ReduceWindowOp(
            kind, x, [1, *window.kernel, 1], [1, *window.strides, 1], [1, *window.dilations, 1]
        )
    )


def _least(element: Attribute) -> float:
    """What no element is below."""
    return float(neutral("max", numpy_dtype(element)))


@onnx_lowering("MaxPool")
def max_pool(node: Node, b: NNBuilder) -> Sequence[SSAValue]:
    window = _window(node)
    pooled = b.channels_first(pool("max", node[0], window, _least(node.element()), b))
    if not node.wants(1):
        return [pooled]
    return [pooled, _max_indices(node, window, pooled, b)]


def _max_indices(node: Node, window: Window, pooled: SSAValue, b: NNBuilder) -> SSAValue:
    """Where in the flattened operand each maximum stands: the first place of the window that holds it.

    Going through the places from the last to the first, a place that holds the maximum takes over.
    """
    x = node[0]
    rank = len(window.kernel)
    b.reserve([*window.kernel, *window.outputs])
    padded = b.pad(x, [0, 0, *window.low], [0, 0, *window.high], value=_least(node.element()))
    result = b.constant(np.zeros((), np.int64))
    for place in reversed(list(np.ndindex(*window.kernel))):
        starts = [p * d for p, d in zip(place, window.dilations, strict=True)]
        seen = b.slice(
            padded,
            [0, 0, *starts],
            [*node.shape()[:2], *window.outputs],
            [1, 1, *window.strides],
        )
        at = _flat_positions(node, window, place)
        here = b(ew.EqualOp, seen, pooled)
        inside = _is_inside(window, place)
        if not inside.all():  # a maximum of -inf stands in the padding too
            here = b(ew.AndOp, here, b.constant(inside))
        result = b(ew.SelectOp, here, b.constant(at), result)
    planes = np.arange(np.prod(node.shape()[:2], dtype=np.int64)) * int(np.prod(window.sizes))
    offset = b.constant(planes.reshape(*node.shape()[:2], *[1] * rank))
    return b(ew.AddOp, result, offset)


def _flat_positions(node: Node, window: Window, place: Sequence[int]) -> Array:
    """The flat index in its image of the element that `place` of each window meets (whatever, in the padding)."""
    column_major = node.int("storage_order") == 1
    rank = len(window.kernel)
    result = np.zeros([1] * rank, np.int64)
    for d in range(rank):
        later = window.sizes[:d] if column_major else window.sizes[d + 1 :]
        at = np.arange(window.outputs[d]) * window.strides[d] - window.low[d]
        at = (at + place[d] * window.dilations[d]) * int(np.prod(later))
        result = result + at.reshape([-1 if e == d else 1 for e in range(rank)])
    return result


def _is_inside(window: Window, place: Sequence[int]) -> Array:
    """Whether `place` of each window meets an element, not padding; in the shape of the outputs."""
    result = np.ones([1] * len(window.sizes), bool)
    for d, size in enumerate(window.sizes):
        at = np.arange(window.outputs[d]) * window.strides[d] - window.low[d]
        at = at + place[d] * window.dilations[d]
        inside = (at >= 0) & (at < size)
        result = result & inside.reshape([-1 if e == d else 1 for e in range(len(window.sizes))])
    return result


def counts_of(window: Window, include_padding: bool) -> Array:
    """How many elements each window averages over, in the shape of the outputs."""
    result = np.ones([1] * len(window.sizes))
    for d, size in enumerate(window.sizes):
        first, last = 0, size
        if include_padding:
            first, last = -window.low[d], size + window.declared_high[d]
        starts = np.arange(window.outputs[d]) * window.strides[d] - window.low[d]
        at = starts[:, None] + np.arange(window.kernel[d]) * window.dilations[d]
        counts = ((at >= first) & (at < last)).sum(1)
        result = result * counts.reshape([-1 if e == d else 1 for e in range(len(window.sizes))])
    return result


def _run_time_counts(
    window: Window, include_padding: bool, element: Attribute, b: NNBuilder
) -> SSAValue:
    """The same where outputs are as many as a run says, of `spatial..., 1`; each window has 1 element or more."""
    rank = len(window.sizes)
    result = b.constant(1.0, element)
    for d, size in enumerate(window.sizes):
        low, high = window.low[d], window.declared_high[d]
        first, last = (-low, size + high) if include_padding else (0, size)
        stride, dilation, kernel = window.strides[d], window.dilations[d], window.kernel[d]
        end = (window.outputs[d] - 1) * stride - low + (kernel - 1) * dilation
        if all(is_known(room, lambda n: n >= 0) for room in (-low - first, last - 1 - end)):
            result = b(ew.MulOp, result, float(kernel))
            continue
        line = [1] * (rank + 1)
        line[d] = window.outputs[d]
        start = b(ew.SubOp, b(ew.MulOp, b.iota(line, d, i64), stride), low)
        count: SSAValue | None = None
        for place in range(kernel):
            at = b(ew.AddOp, start, place * dilation)
            inside = b(ew.AndOp, b(ew.LessEqualOp, first, at), b(ew.LessOp, at, last))
            one = b.cast(inside, element)
            count = one if count is None else b(ew.AddOp, count, one)
        assert count is not None
        result = b(ew.MulOp, result, b(ew.MaxOp, count, 1.0))
    return result


@onnx_lowering("AveragePool")
def average_pool(node: Node, b: NNBuilder) -> SSAValue:
    window = _window(node)
    total = pool("sum", node[0], window, 0.0, b)
    include_padding = bool(node.int("count_include_pad"))
    if any(map(is_symbolic, window.outputs)):
        counts = _run_time_counts(window, include_padding, element_of(total), b)
        return b.channels_first(b(ew.DivOp, total, counts))
    b.reserve(window.outputs)
    for outputs, kernel in zip(window.outputs, window.kernel, strict=True):
        b.reserve([outputs, kernel])
    counts = counts_of(window, include_padding)
    is_same = counts.size and (counts == counts.flat[0]).all()
    counts = counts.flat[:1].reshape(()) if is_same else counts[..., None]
    factor = b.constant(1.0 / np.maximum(counts, 1.0), element_of(total))
    return b.channels_first(b(ew.MulOp, total, factor))


@onnx_lowering("LpPool")
def lp_pool(node: Node, b: NNBuilder) -> SSAValue:
    x, p = node[0], node.int("p", 2)
    power = b(ew.MulOp, x, x) if p == 2 else b(ew.PowOp, b(ew.AbsOp, x), p)
    return b.channels_first(_root(pool("sum", power, _window(node), 0.0, b), p, b))


def _root(x: SSAValue, p: float, b: NNBuilder) -> SSAValue:
    return b(ew.SqrtOp, x) if p == 2 else b(ew.PowOp, x, 1.0 / p)


def _spatial(node: Node) -> list[int]:
    return list(range(2, node.rank()))


@onnx_lowering("GlobalAveragePool")
def global_average_pool(node: Node, b: NNBuilder) -> SSAValue:
    return b.mean(node[0], _spatial(node))


@onnx_lowering("GlobalMaxPool")
def global_max_pool(node: Node, b: NNBuilder) -> SSAValue:
    return b.reduce("max", node[0], _spatial(node))


@onnx_lowering("GlobalLpPool")
def global_lp_pool(node: Node, b: NNBuilder) -> SSAValue:
    p = node.int("p", 2)
    power = b(ew.MulOp, node[0], node[0]) if p == 2 else b(ew.PowOp, b(ew.AbsOp, node[0]), p)
    return _root(b.reduce("sum", power, _spatial(node)), p, b)


@onnx_lowering("MaxUnpool", static=[2])
def max_unpool(node: Node, b: NNBuilder) -> SSAValue:
    """Each result element is the value whose index names it: looked for among the windows of its image.

    Every place asks all values of its image, which is quadratic in the image; fine for the small images that come here.
    """
    x, indices = node[0], node[1]
    sizes = node.shape()[2:]
    kernel = node.ints("kernel_shape") or []
    strides = node.ints("strides", [1] * len(sizes)) or []
    pads = node.ints("pads", [0] * 2 * len(sizes)) or []
    inferred = [
        (n - 1) * s - pads[d] - pads[d + len(sizes)] + k
        for d, (n, s, k) in enumerate(zip(sizes, strides, kernel, strict=True))
    ]
    outputs = node.known_ints(2)[2:] if node.has(2) else inferred
    planes, count = prod(node.shape()[:2]), prod(sizes)
    per_plane = prod(inferred)
    check_range(node, 1, planes * per_plane)
    values = b.reshape(x, [planes, 1, count])
    first = b.constant((np.arange(planes, dtype=np.int64) * per_plane).reshape(-1, 1))
    at = b(ew.SubOp, b.reshape(indices, [planes, count]), first)
    here = b.iota([1, per_plane, 1], 1, i64)
    found = b(ew.EqualOp, b.reshape(at, [planes, 1, count]), here)
    flat = b.reduce("sum", b(ew.SelectOp, found, values, 0.0), [2], keep_dims=False)
    result = b.reshape(flat, [*node.shape()[:2], *inferred])
    high = [o - i for o, i in zip(outputs, inferred, strict=True)]
    return b.pad(result, [0] * (2 + len(sizes)), [0, 0, *high])
