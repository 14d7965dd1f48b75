"""Conv, ConvTranspose and what is built on them."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import SSAValue

from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.nn import reduction as rd
from webdnn.dialects.sizes.expression import bounds, is_symbolic
from webdnn.dialects.sizes.types import shape_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.errors import Invalid
from webdnn.lowering.onnx_to_nn.node import Node
from webdnn.lowering.onnx_to_nn.registry import onnx_lowering
from webdnn.lowering.onnx_to_nn.window import check_kernel, same_padding, window_of


def filter_last(weight: SSAValue, b: NNBuilder) -> SSAValue:
    """A filter from `M, C / groups, spatial...` to `spatial..., C / groups, M`."""
    rank = len(shape_of(weight))
    return b.transpose(weight, [*range(2, rank), 1, 0])


def convolve(
    x: SSAValue,
    filter: SSAValue,
    bias: SSAValue | None,
    b: NNBuilder,
    *,
    low: Sequence[int],
    high: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    groups: int,
    interior: Sequence[int] | None = None,
) -> SSAValue:
    """A convolution of a channels-first tensor with a channels-last filter; the result is channels-first."""
    x = b.channels_last(x)
    between = None if interior is None else [0, *interior, 0]
    x = b.pad(x, [0, *low, 0], [0, *high, 0], interior=between)
    y = b.insert(rd.ConvOp(x, filter, strides, dilations, groups))
    if bias is not None:
        y = b(ew.AddOp, y, bias)
    return b.channels_first(y)


@onnx_lowering("Conv")
def conv(node: Node, b: NNBuilder) -> SSAValue:
    x, weight = node[0], node[1]
    kernel = shape_of(weight)[2:]
    window = window_of(node, shape_of(x)[2:], kernel)
    return convolve(
        x,
        filter_last(weight, b),
        node.optional(2),
        b,
        low=window.low,
        high=window.high,
        strides=window.strides,
        dilations=window.dilations,
        groups=node.int("group", 1),
    )


@onnx_lowering("ConvTranspose")
def conv_transpose(node: Node, b: NNBuilder) -> SSAValue:
    """A convolution of the input spread out by the strides, with the filter turned around."""
    x, weight = node[0], node[1]
    sizes, kernel = shape_of(x)[2:], shape_of(weight)[2:]
    check_kernel(node, kernel)
    count = len(sizes)
    strides = node.ints("strides", [1] * count) or [1] * count
    dilations = node.ints("dilations", [1] * count) or [1] * count
    extra = node.ints("output_padding", [0] * count) or [0] * count
    groups = node.int("group", 1)
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    low, high = _transposed_padding(node, sizes, extents, strides, extra)
    for d, (n, s, e, o) in enumerate(zip(sizes, strides, extents, extra, strict=True)):
        full = (n - 1) * s + e + o
        if bounds(full - low[d] - high[d])[1] < 0:
            raise Invalid(
                f"its pads take {low[d] + high[d]} of the {full} elements of dimension {2 + d}"
            )
    return convolve(
        x,
        turned_filter(weight, groups, b),
        node.optional(2),
        b,
        low=[e - 1 - p for e, p in zip(extents, low, strict=True)],
        high=[e - 1 - p + o for e, p, o in zip(extents, high, extra, strict=True)],
        strides=[1] * count,
        dilations=dilations,
        groups=groups,
        interior=[
            s - 1 if is_symbolic(n) or n > 1 else 0 for s, n in zip(strides, sizes, strict=True)
        ],
    )


def _transposed_padding(
    node: Node,
    sizes: Sequence[int],
    extents: Sequence[int],
    strides: Sequence[int],
    extra: Sequence[int],
) -> tuple[list[int], list[int]]:
    """How much of the full result is cut away before and after, in each dimension."""
    count = len(sizes)
    pads = node.ints("pads", [0] * 2 * count) or [0] * 2 * count
    low, high = pads[:count], pads[count:]
    auto_pad = node.str("auto_pad", "NOTSET")
    wanted = node.ints("output_shape")
    if wanted is None and auto_pad == "VALID":
        return [0] * count, [0] * count
    if wanted is None and auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [n * s for n, s in zip(sizes, strides, strict=True)]
    if wanted is None:
        return low, high
    low, high = [], []
    for n, s, e, o, w in zip(sizes, strides, extents, extra, wanted[-count:], strict=True):
        before, after = same_padding((n - 1) * s + o + e - w, auto_pad == "SAME_UPPER")
        low.append(before)
        high.append(after)
    return low, high


def turned_filter(weight: SSAValue, groups: int, b: NNBuilder) -> SSAValue:
    """The filter `C, M / groups, spatial...` of a transposed convolution as that of the convolution that it is:
    `spatial..., C / groups, M`, spatially reversed."""
    channels, per_group, *kernel = shape_of(weight)
    rank = len(kernel)
    w = b.reshape(weight, [groups, channels // groups, per_group, *kernel])
    w = b.transpose(w, [*range(3, 3 + rank), 1, 0, 2])
    w = b.reshape(w, [*kernel, channels // groups, groups * per_group])
    if all(k == 1 for k in kernel):
        return w
    starts = [*(k - 1 for k in kernel), 0, 0]
    return b.slice(w, starts, shape_of(w), [*([-1] * rank), 1, 1])
