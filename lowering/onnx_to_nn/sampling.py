"""Reading images at computed positions: GridSample, AffineGrid, RoiAlign, MaxRoiPool and DeformConv."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from xdsl.dialects.builtin import f32, i64
from xdsl.ir import SSAValue

from webdnn.dialects.dtypes import Array
from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.errors import Invalid, Unsupported
from webdnn.lowering.onnx_to_nn.indices import check_indices
from webdnn.lowering.onnx_to_nn.node import Node
from webdnn.lowering.onnx_to_nn.registry import onnx_lowering
from webdnn.lowering.onnx_to_nn.window import Window, window_of

Tap = tuple[SSAValue, SSAValue | None]
"""An integral position (a float) along one dimension, and its weight; None stands for 1."""


def _reflected(position: SSAValue, low: float, high: float, b: NNBuilder) -> SSAValue:
    """A position mirrored at both bounds until it is between them."""
    span = high - low
    if span <= 0:
        return b(ew.MulOp, position, 0.0)
    away = b(ew.AbsOp, b(ew.SubOp, position, low))
    phase = b(ew.FloorModOp, away, 2 * span)
    return b(ew.AddOp, b(ew.MinOp, phase, b(ew.SubOp, 2 * span, phase)), low)


def _linear_taps(position: SSAValue, b: NNBuilder) -> list[Tap]:
    low = b(ew.FloorOp, position)
    fraction = b(ew.SubOp, position, low)
    return [(low, b(ew.SubOp, 1.0, fraction)), (b(ew.AddOp, low, 1.0), fraction)]


def _cubic_taps(position: SSAValue, b: NNBuilder) -> list[Tap]:
    """The cubic convolution kernel with the parameter -0.75."""
    a = -0.75
    low = b(ew.FloorOp, position)
    t = b(ew.SubOp, position, low)

    def poly(x: SSAValue, *factors: float) -> SSAValue:
        total = b.constant(factors[0], element_of(x))
        for factor in factors[1:]:
            total = b(ew.AddOp, b(ew.MulOp, total, x), factor)
        return total

    near, far = (a + 2, -(a + 3), 0.0, 1.0), (a, -5 * a, 8 * a, -4 * a)
    rest = b(ew.SubOp, 1.0, t)
    return [
        (b(ew.SubOp, low, 1.0), poly(b(ew.AddOp, t, 1.0), *far)),
        (low, poly(t, *near)),
        (b(ew.AddOp, low, 1.0), poly(rest, *near)),
        (b(ew.AddOp, low, 2.0), poly(b(ew.AddOp, rest, 1.0), *far)),
    ]


def sample(
    image: SSAValue,
    sizes: Sequence[int],
    taps: Sequence[list[Tap]],
    fold: Callable[[SSAValue, int], SSAValue] | None,
    b: NNBuilder,
) -> SSAValue:
    """Weighted sums of image elements.

    Args:
        image: `batch, product of sizes, channels`.
        sizes: the spatial sizes.
        taps: for each spatial dimension the places to read, each of the shape `batch, points`.
        fold: brings an integral position of a dimension back inside; without it elements outside count as 0.
        b: the builder.

    Returns:
        `batch, points, channels`.
    """
    total: SSAValue | None = None
    for places in itertools.product(*taps):
        index: SSAValue | None = None
        weight: SSAValue | None = None
        inside: SSAValue | None = None
        for d, ((position, part), size) in enumerate(zip(places, sizes, strict=True)):
            if fold is not None:
                position = fold(position, d)
            else:
                fits = b(
                    ew.AndOp,
                    b(ew.LessEqualOp, 0.0, position),
                    b(ew.LessEqualOp, position, size - 1),
                )
                inside = fits if inside is None else b(ew.AndOp, inside, fits)
            at = b.cast(b(ew.MinOp, b(ew.MaxOp, position, 0.0), size - 1), i64)
            index = at if index is None else b(ew.AddOp, b(ew.MulOp, index, size), at)
            if part is not None:
                weight = part if weight is None else b(ew.MulOp, weight, part)
        assert index is not None
        column = [*shape_of(index), 1]
        value = b.insert(dm.GatherNDOp(image, b.reshape(index, column), 1))
        if weight is not None:
            value = b(ew.MulOp, value, b.reshape(weight, column))
        if inside is not None:
            value = b(ew.SelectOp, b.reshape(inside, column), value, 0.0)
        total = value if total is None else b(ew.AddOp, total, value)
    assert total is not None
    return total


@onnx_lowering("GridSample")
def grid_sample(node: Node, b: NNBuilder) -> SSAValue:
    x, grid = node[0], node[1]
    batch, channels, *sizes = node.shape()
    outputs = node.shape(1)[1:-1]
    points = int(np.prod(outputs, dtype=np.int64))
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(
        node.str("mode", "linear"), node.str("mode", "linear")
    )
    padding, aligned = node.str("padding_mode", "zeros"), bool(node.int("align_corners"))
    image = b.reshape(b.channels_last(x), [batch, int(np.prod(sizes)), channels])
    flat = b.reshape(grid, [batch, points, len(sizes)])

    def bounds(d: int) -> tuple[float, float]:
        return (0.0, sizes[d] - 1.0) if aligned else (-0.5, sizes[d] - 0.5)

    def fold(position: SSAValue, d: int) -> SSAValue:
        """How a position outside is brought back, for padding by border or reflection."""
        if padding == "reflection":
            position = _reflected(position, *bounds(d), b)
        return b(ew.MinOp, b(ew.MaxOp, position, 0.0), sizes[d] - 1.0)

    taps: list[list[Tap]] = []
    for d, size in enumerate(sizes):
        # The grid names the last dimension first.
        at = b.reshape(b.slice_axis(flat, 2, len(sizes) - 1 - d, 1), [batch, points])
        if aligned:
            at = b(ew.MulOp, b(ew.AddOp, at, 1.0), (size - 1) / 2)
        else:
            at = b(ew.MulOp, b(ew.SubOp, b(ew.MulOp, b(ew.AddOp, at, 1.0), float(size)), 1.0), 0.5)
        match mode:
            case "cubic":
                taps.append(_cubic_taps(at, b))
            case "nearest":
                taps.append([(b(ew.RoundOp, at), None)])
            case _:
                taps.append(_linear_taps(at if padding == "zeros" else fold(at, d), b))
    result = sample(image, sizes, taps, None if padding == "zeros" else fold, b)
    return b.channels_first(b.reshape(result, [batch, *outputs, channels]))


@onnx_lowering("AffineGrid", static=[1])
def affine_grid(node: Node, b: NNBuilder) -> SSAValue:
    """The corners and all between them, times the matrices `theta`."""
    theta, (batch, _, *sizes) = node[0], node.known_ints(1)
    aligned = bool(node.int("align_corners"))
    b.reserve([*sizes, len(sizes) + 1])
    lines: list[Array] = []
    for size in sizes:
        step = 2.0 / (max(size - 1, 1) if aligned else size)
        start = -1.0 if aligned else -1.0 + step / 2
        lines.append(start + step * np.arange(size))
    # The grid names the last dimension first, and 1 is for the translation.
    points = np.stack([*np.meshgrid(*lines, indexing="ij")[::-1], np.ones(sizes)], -1)
    base = b.constant(points.reshape(-1, len(sizes) + 1), element_of(theta))
    result = b.matmul(base, b.transpose(theta, [0, 2, 1]))
    return b.reshape(result, [batch, *sizes, len(sizes)])


@onnx_lowering("MaxRoiPool")
def max_roi_pool(node: Node, b: NNBuilder) -> SSAValue:
    """Maxima over the columns of each bin, then over its rows: what is in a bin is known when the package runs.

    As ONNX Runtime has it: corners are rounded, halves away from zero, bins overlap where they do not divide a region,
    and one without elements is 0.
    """
    x, rois = node[0], node[1]
    element = element_of(x)
    _, channels, height, width = node.shape()
    (count, fields), pooled = node.shape(1), node.ints("pooled_shape") or []
    if fields != 5:
        raise Invalid(f"its input 'rois' has {fields} numbers for each region, and must have 5")
    if len(pooled) != 2:
        raise Invalid(f"its attribute 'pooled_shape' is {pooled}, and must be two numbers")
    scaled = b(ew.MulOp, b.cast(rois, f32), node.float("spatial_scale", 1.0))
    away = b(ew.FloorOp, b(ew.AddOp, b(ew.AbsOp, scaled), 0.5))
    corners = b(ew.MulOp, b(ew.SignOp, scaled), away)
    rows = _bins(corners, 2, pooled[0], height, b)
    columns = _bins(corners, 1, pooled[1], width, b)
    image = b.cast(b.reshape(b.slice_axis(rois, 1, 0, 1), [count]), i64)
    values = b.insert(dm.GatherOp(x, image, 0))
    lowest = -np.inf
    masked = b(
        ew.SelectOp,
        b.reshape(columns, [count, 1, 1, pooled[1], width]),
        b.reshape(values, [count, channels, height, 1, width]),
        lowest,
    )
    across = b.reduce("max", masked, [4], keep_dims=False)
    masked = b(
        ew.SelectOp,
        b.reshape(rows, [count, 1, pooled[0], height, 1]),
        b.reshape(across, [count, channels, 1, height, pooled[1]]),
        lowest,
    )
    maxima = b.reduce("max", masked, [3], keep_dims=False)
    is_empty = [b(ew.NotOp, b.reduce("or", bins, [2], keep_dims=False)) for bins in (rows, columns)]
    either = b(
        ew.OrOp,
        b.reshape(is_empty[0], [count, 1, pooled[0], 1]),
        b.reshape(is_empty[1], [count, 1, 1, pooled[1]]),
    )
    return b(ew.SelectOp, either, b.constant(0.0, element), maxima)


def _bins(corners: SSAValue, first: int, bins: int, size: int, b: NNBuilder) -> SSAValue:
    """Whether each of `size` positions is in each bin of each region: [regions, bins, size].

    Args:
        corners: [regions, 5] in positions; the first one stands at `first`, the last one two numbers behind it.
    """
    count = shape_of(corners)[0]
    low, high = (
        b.reshape(b.slice_axis(corners, 1, at, 1), [count, 1]) for at in (first, first + 2)
    )
    extent = b(ew.MaxOp, b(ew.AddOp, b(ew.SubOp, high, low), 1.0), 1.0)
    step = b(ew.DivOp, extent, float(bins))
    bin = b.iota([1, bins], 1, f32)
    starts = b(ew.AddOp, low, b(ew.FloorOp, b(ew.MulOp, bin, step)))
    ends = b(ew.AddOp, low, b(ew.CeilOp, b(ew.MulOp, b(ew.AddOp, bin, 1.0), step)))
    position = b.iota([1, 1, size], 2, f32)
    return b(
        ew.AndOp,
        b(ew.LessEqualOp, b.reshape(starts, [count, bins, 1]), position),
        b(ew.LessOp, position, b.reshape(ends, [count, bins, 1])),
    )


@onnx_lowering("RoiAlign", static=[1, 2])
def roi_align(node: Node, b: NNBuilder) -> SSAValue:
    """Regions that are known at compile time: how many points each is sampled at depends on its size."""
    # in f32, as ONNX Runtime computes it: how many points a bin has depends on its rounding
    x, rois, batches = node[0], node.known(1).astype(np.float32), node.known_ints(2)
    check_indices(node, 2, 0)
    _, channels, height, width = node.shape()
    rows, columns = node.int("output_height", 1), node.int("output_width", 1)
    ratio, scale = node.int("sampling_ratio"), node.float("spatial_scale", 1.0)
    mode = node.str("mode", "avg")
    half = node.str("coordinate_transformation_mode", "half_pixel") == "half_pixel"
    if node.version < 16:
        half = False
    flat = b.reshape(b.channels_last(x), [-1, channels])
    results: list[SSAValue] = []
    for roi, batch in zip(rois, batches, strict=True):
        left, top, right, bottom = roi * np.float32(scale) - np.float32(0.5 if half else 0.0)
        w, h = (
            (right - left, bottom - top) if half else (max(right - left, 1), max(bottom - top, 1))
        )
        axes = [
            _roi_axis(top, h, rows, height, ratio, b),
            _roi_axis(left, w, columns, width, ratio, b),
        ]
        total: SSAValue | None = None
        counts = [a[0][0].shape[1] for a in axes]
        b.reserve([2, 4, rows, counts[0], columns, counts[1]])
        for (row, row_weight), (column, column_weight) in itertools.product(*axes):
            at = batch * height * width + row.reshape(-1, 1) * width + column.reshape(1, -1)
            weight = row_weight.reshape(-1, 1) * column_weight.reshape(1, -1)
            value = b.insert(dm.GatherOp(flat, b.constant(at.astype(np.int64)), 0))
            value = b(ew.MulOp, value, b.constant(weight[..., None], element_of(x)))
            combine = ew.AddOp if mode == "avg" else ew.MaxOp
            total = value if total is None else b(combine, total, value)
        assert total is not None
        grid = b.reshape(total, [rows, counts[0], columns, counts[1], channels])
        pooled = (
            b.mean(grid, [1, 3], False) if mode == "avg" else b.reduce("max", grid, [1, 3], False)
        )
        results.append(b.reshape(b.transpose(pooled, [2, 0, 1]), [1, channels, rows, columns]))
    if not results:
        return b.filled(0.0, [0, channels, rows, columns], element_of(x))
    return b.concat(results, 0)


def _roi_axis(
    start: float, extent: float, bins: int, size: int, ratio: int, b: NNBuilder
) -> list[tuple[Array, Array]]:
    """The two neighbours of each sampled point of each bin along one dimension, and their weights: `[bins, points]`."""
    step = extent / bins
    count = ratio if ratio > 0 else max(int(np.ceil(step)), 1)
    b.reserve([bins, count])
    at = start + (np.arange(bins)[:, None] + (np.arange(count) + 0.5) / count) * step
    valid = (at >= -1.0) & (at <= size)
    at = at.clip(0, None)
    low = np.minimum(np.floor(at), size - 1).astype(np.int64)
    high = np.minimum(low + 1, size - 1)
    fraction = np.where(low >= size - 1, 0.0, at - low)
    return [(low, np.where(valid, 1 - fraction, 0.0)), (high, np.where(valid, fraction, 0.0))]


@onnx_lowering("DeformConv")
def deform_conv(node: Node, b: NNBuilder) -> SSAValue:
    """Each place of the filter reads the image at its own offsets, times its mask; then it is one matrix product."""
    x, weight, offset = node[0], node[1], node[2]
    batch, channels, *sizes = node.shape()
    filters, per_group, *kernel = shape_of(weight)
    if len(sizes) != 2:
        raise Unsupported(f"a deformable convolution with {len(sizes)} spatial dimensions")
    groups, parts = node.int("group", 1), node.int("offset_group", 1)
    window = window_of(node, sizes, kernel)
    outputs = shape_of(offset)[2:]
    points, places = int(np.prod(outputs)), int(np.prod(kernel))
    offsets = b.reshape(offset, [batch, parts, places, 2, points])
    masks = b.reshape(node[4], [batch, parts, places, points]) if node.has(4) else None
    images = b.reshape(b.channels_last(x), [batch, int(np.prod(sizes)), channels])
    width = channels // parts
    columns: list[SSAValue] = []
    b.reserve([parts, *kernel, *outputs])
    for part in range(parts):
        image = b.slice_axis(images, 2, part * width, width)
        for number, place in enumerate(np.ndindex(*kernel)):
            start = [0, part, number]
            taps: list[list[Tap]] = []
            for d in range(2):
                moved = b.slice(offsets, [*start, d, 0], [batch, 1, 1, 1, points])
                taps.append(_linear_taps(_deformed(moved, window, place, outputs, d, b), b))
            value = sample(image, sizes, taps, None, b)
            if masks is not None:
                mask = b.slice(masks, [*start, 0], [batch, 1, 1, points])
                value = b(ew.MulOp, value, b.reshape(mask, [batch, points, 1]))
            columns.append(b.reshape(value, [batch, points, 1, width]))
    # From (parts, places) x width to places x channels, and then to groups.
    stack = b.reshape(b.concat(columns, 2), [batch, points, parts, places, width])
    stack = b.reshape(
        b.transpose(stack, [0, 1, 3, 2, 4]), [batch, points, places, groups, per_group]
    )
    stack = b.transpose(stack, [0, 3, 1, 2, 4])
    stack = b.reshape(stack, [batch, groups, points, places * per_group])
    matrix = b.reshape(weight, [groups, filters // groups, per_group, places])
    matrix = b.reshape(b.transpose(matrix, [0, 3, 2, 1]), [groups, places * per_group, -1])
    result = b.transpose(b.matmul(stack, matrix), [0, 1, 3, 2])
    result = b.reshape(result, [batch, filters, *outputs])
    bias = node.optional(3)
    return result if bias is None else b(ew.AddOp, result, b.reshape(bias, [filters, 1, 1]))


def _deformed(
    moved: SSAValue,
    window: Window,
    place: Sequence[int],
    outputs: Sequence[int],
    d: int,
    b: NNBuilder,
) -> SSAValue:
    """Where `place` of each window reads along dimension `d`: its own position and the offset."""
    own = np.arange(outputs[d]) * window.strides[d] - window.low[d]
    own = own + place[d] * window.dilations[d]
    line = np.broadcast_to(own[:, None] if d == 0 else own[None, :], outputs).reshape(1, -1)
    batch, points = shape_of(moved)[0], shape_of(moved)[-1]
    return b(ew.AddOp, b.reshape(moved, [batch, points]), b.constant(line, element_of(moved)))
