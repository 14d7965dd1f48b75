"""Operators that change shapes and move elements by fixed rules."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import prod

import numpy as np
from xdsl.dialects.builtin import i64
from xdsl.ir import SSAValue

from webdnn.dialects.dtypes import Array, element_of_onnx, is_bool, is_float
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.sizes.expression import bounds, is_symbolic, maximum, minimum
from webdnn.dialects.sizes.questions import is_known, same_size
from webdnn.dialects.sizes.types import element_of, shape_of, size_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.errors import Invalid, Unsupported
from webdnn.lowering.onnx_to_nn.node import Node
from webdnn.lowering.onnx_to_nn.registry import onnx_lowering
from webdnn.lowering.onnx_to_nn.window import check_fits


@onnx_lowering("Reshape", since=5, static=[1])
def reshape(node: Node, b: NNBuilder) -> SSAValue:
    """A 0 keeps the operand's size unless `allowzero`; a -1 is what is left."""
    shape, old = node.known_ints(1), node.shape()
    if not node.int("allowzero"):
        shape = [old[d] if n == 0 else n for d, n in enumerate(shape)]
    return b.reshape(node[0], shape)


@onnx_lowering("Flatten")
def flatten(node: Node, b: NNBuilder) -> SSAValue:
    shape, axis = node.shape(), node.axis(default=1)
    return b.reshape(node[0], [prod(shape[:axis]), prod(shape[axis:])])


@onnx_lowering("Squeeze", static=[1])
def squeeze(node: Node, b: NNBuilder) -> SSAValue:
    axes, shape = node.ints_or_input("axes", 1), node.shape()
    if axes is None:
        return b.reshape(node[0], [n for n in shape if not same_size(n, 1)])
    gone = set(node.dimensions(axes))
    return b.reshape(node[0], [n for d, n in enumerate(shape) if d not in gone])


@onnx_lowering("Unsqueeze", static=[1])
def unsqueeze(node: Node, b: NNBuilder) -> SSAValue:
    axes, shape = node.ints_or_input("axes", 1) or [], list(node.shape())
    rank = len(shape) + len(axes)
    dimensions = sorted(node.dimensions(axes, rank))
    if len({*dimensions}) < len(dimensions):
        raise Invalid(f"its axes are {axes}, which name a dimension twice")
    for axis in dimensions:
        shape.insert(axis, 1)
    return b.reshape(node[0], shape)


@onnx_lowering("Transpose")
def transpose(node: Node, b: NNBuilder) -> SSAValue:
    reverse = list(reversed(range(node.rank())))
    return b.transpose(node[0], node.ints("perm", reverse) or reverse)


@onnx_lowering("Concat")
def concat(node: Node, b: NNBuilder) -> SSAValue:
    return b.concat(node.tensors, node.axis())


@onnx_lowering("Split", static=[1])
def split(node: Node, b: NNBuilder) -> list[SSAValue]:
    axis = node.axis()
    size, count = node.shape()[axis], node.result_count
    sizes = node.ints_or_input("split", 1)
    if sizes is None:
        each = -(-size // count)
        sizes = [maximum(0, minimum(each, size - i * each)) for i in range(count)]
    if (
        any(bounds(n)[1] < 0 for n in sizes)
        or not same_size(sum(sizes), size)
        or len(sizes) != count
    ):
        raise Invalid(f"its {count} parts have the sizes {sizes}, and dimension {axis} has {size}")
    return split_into(node[0], axis, sizes, b)


def split_into(x: SSAValue, axis: int, sizes: Sequence[int], b: NNBuilder) -> list[SSAValue]:
    """Slices of the given sizes, one behind another."""
    starts = accumulate(sizes, initial=0)
    return [b.slice_axis(x, axis, at, n) for at, n in zip(starts, sizes, strict=False)]


@onnx_lowering("Slice", static=[1, 2, 3, 4])
def slice_(node: Node, b: NNBuilder) -> SSAValue:
    """Negative bounds count from the end, those outside are clamped.

    As in numpy, except backwards: there a start before the first element is the first element, as ONNX says, and an
    end before it takes all.
    """
    shape = node.shape()
    starts, ends = node.ints_or_input("starts", 1), node.ints_or_input("ends", 2)
    if starts is None or ends is None:
        raise Invalid("its starts or ends are missing")
    axes = node.ints_or_input("axes", 3)
    axes = list(range(len(starts))) if axes is None else axes
    steps = node.known_ints(4) if node.has(4) else [1] * len(starts)
    if len({len(each) for each in (starts, ends, axes, steps)}) > 1:
        raise Invalid(
            f"it has {len(starts)} starts, {len(ends)} ends, {len(axes)} axes and {len(steps)} steps"
        )
    if 0 in steps:
        raise Invalid(f"its steps are {steps}, and none may be 0")
    first, step_of, sizes = [0] * len(shape), [1] * len(shape), list(shape)
    for start, end, axis, step in zip(starts, ends, node.dimensions(axes), steps, strict=True):
        first[axis], sizes[axis] = slice_range(start, end, step, shape[axis])
        step_of[axis] = step
    return b.slice(node[0], first, sizes, step_of)


def slice_range(start: int, end: int, step: int, size: int) -> tuple[int, int]:
    """The first element that a slice of `size` elements reads, and how many it reads."""
    if not any(map(is_symbolic, (start, end, size))):
        if step < 0:
            start = max(start, -size)
        stop = None if step < 0 and end < -size else end
        reached = range(*slice(start, stop, step).indices(size))
        return (reached[0] if len(reached) else 0), len(reached)
    # The last place that a start or an end may be at: one behind the elements, or (backwards) one before them.
    low, high = (0, size) if step > 0 else (-1, size - 1)
    first = minimum(maximum(_from_front(start, size), 0), high)
    last = maximum(minimum(_from_front(end, size), high), low)
    count = maximum(-((first - last) // step) if step > 0 else -((last - first) // -step), 0)
    return first, count


def _from_front(place: int, size: int) -> int:
    """A place counted from the front; a negative one is counted from the end."""
    if is_known(place, lambda n: n >= 0):
        return place
    if place < 0:
        return place + size
    raise AssertionError  # the comparison gives an answer or raises


@onnx_lowering("Pad", static=[1, 3])
def pad(node: Node, b: NNBuilder) -> SSAValue:
    rank = node.rank()
    pads = node.ints_or_input("pads", 1)
    if pads is None:
        raise Invalid("its pads are missing")
    axes = node.dimensions(node.known_ints(3)) if node.has(3) else list(range(rank))
    if len(pads) != 2 * len(axes):
        raise Invalid(f"it has {len(pads)} pads for {len(axes)} dimensions")
    low, high = [0] * rank, [0] * rank
    for i, axis in enumerate(axes):
        low[axis], high[axis] = pads[i], pads[i + len(axes)]
    mode = node.str("mode", "constant")
    value = node.attr("value", 0.0) if node.version < 11 else 0.0
    _check_pads(node.shape(), low, high, mode)
    if node.has(2) and size_of(node[2]) and mode == "constant":
        known = node.constant(2)
        if known is None or _is_beyond_float(known):
            return _pad_with(node[0], node[2], low, high, b)
        value = known.item()
    if mode != "constant":
        x = b.slice(
            node[0],
            [maximum(-n, 0) for n in low],
            [
                n + minimum(lo, 0) + minimum(hi, 0)
                for n, lo, hi in zip(node.shape(), low, high, strict=True)
            ],
        )
        low, high = [maximum(n, 0) for n in low], [maximum(n, 0) for n in high]
        return b.pad(x, low, high, mode=mode)
    return b.pad(node[0], low, high, value=float(value))


def _is_beyond_float(value: Array) -> bool:
    """Whether a number is an integer that a double cannot hold, so that `nn.pad` cannot say it."""
    return value.dtype.kind in "iu" and int(float(value.item())) != int(value.item())


def _check_pads(shape: Sequence[int], low: Sequence[int], high: Sequence[int], mode: str) -> None:
    """Refuse pads that take away more than there is, or that repeat elements where there are none."""
    for d, (size, before, after) in enumerate(zip(shape, low, high, strict=True)):
        kept = size + minimum(before, 0) + minimum(after, 0)
        left = kept if mode != "constant" else size + before + after
        if is_symbolic(left):
            check_fits(left, f"its pads {before} and {after} and dimension {d}, of {size}")
        elif left < 0:
            raise Invalid(
                f"its pads {before} and {after} of dimension {d} take more than its {size} elements"
            )
        if mode != "constant" and kept == 0 and maximum(before, after) > 0:
            raise Invalid(
                f"its mode '{mode}' repeats elements of dimension {d}, of which none are left"
            )


def _pad_with(
    x: SSAValue, value: SSAValue, low: Sequence[int], high: Sequence[int], b: NNBuilder
) -> SSAValue:
    """Padding with a value that `nn.pad` cannot say: a mask says where the operand is."""
    padded = b.pad(x, low, high)
    ones = b.filled(1, shape_of(x), i64)
    inside = b.pad(ones, low, high)
    one = b.reshape(value, [1] * len(shape_of(x)))
    return b(ew.SelectOp, b(ew.EqualOp, inside, 1), padded, one)


@onnx_lowering("Expand", static=[1])
def expand(node: Node, b: NNBuilder) -> SSAValue:
    shape, old = node.known_ints(1), node.shape()
    rank = max(len(shape), len(old))
    shape = [1] * (rank - len(shape)) + shape
    old = (1,) * (rank - len(old)) + old
    target = [o if n == 1 else n for n, o in zip(shape, old, strict=True)]
    return b.broadcast(node[0], target)


@onnx_lowering("Tile", since=6, static=[1])
def tile(node: Node, b: NNBuilder) -> SSAValue:
    """Each dimension becomes (repeats, size) by a broadcast, and the two are merged."""
    repeats, shape = node.known_ints(1), node.shape()
    if len(repeats) != len(shape) or any(bounds(r)[1] < 0 for r in repeats):
        raise Invalid(f"its repeats are {repeats}, for an operand of {list(shape)}")
    if all(r == 1 for r in repeats):
        return node[0]
    apart = [size for n in shape for size in (1, n)]
    spread = [size for r, n in zip(repeats, shape, strict=True) for size in (r, n)]
    whole = [r * n for r, n in zip(repeats, shape, strict=True)]
    return b.reshape(b.broadcast(b.reshape(node[0], apart), spread), whole)


@onnx_lowering("Shape")
def shape_operator(node: Node, b: NNBuilder) -> SSAValue:
    shape = node.shape()
    start, end = node.int("start"), node.attr("end")
    return b.sizes(shape[start : None if end is None else int(end)])


@onnx_lowering("Size")
def size_operator(node: Node, b: NNBuilder) -> SSAValue:
    return b.constant(np.array(size_of(node[0])), i64)


@onnx_lowering("ConstantOfShape", static=[0])
def constant_of_shape(node: Node, b: NNBuilder) -> SSAValue:
    value = node.attr("value", np.zeros(1, np.float32))
    return b.broadcast(b.constant(np.asarray(value).reshape(())), node.known_ints(0))


@onnx_lowering("Range", static=[0, 1, 2])
def range_(node: Node, b: NNBuilder) -> SSAValue:
    """As many elements as sizes say: an index, times the step, plus the start."""
    start, limit, delta = (node.known_sizes(i).item() for i in range(3))
    if is_float(node.element()) or not any(map(is_symbolic, (start, limit, delta))):
        raise Unsupported("how many floats it makes depends on sizes")
    if delta == 0:
        raise Invalid("its step is 0")
    span, step = (limit - start, delta) if delta > 0 else (start - limit, -delta)
    count = maximum(-(-span // step), 0)
    line = b.iota([count], 0, node.element())
    if delta != 1:
        line = b(ew.MulOp, line, delta)
    return line if start == 0 else b(ew.AddOp, line, node[0])


@onnx_lowering("EyeLike")
def eye_like(node: Node, b: NNBuilder) -> SSAValue:
    given = node.attr("dtype")
    element = node.element() if given is None else element_of_onnx(int(given))
    rows = b.iota(node.shape(), 0, i64)
    columns = b.iota(node.shape(), 1, i64)
    return b.cast(b(ew.EqualOp, b(ew.AddOp, rows, node.int("k")), columns), element)


@onnx_lowering("Trilu", static=[1])
def trilu(node: Node, b: NNBuilder) -> SSAValue:
    x, k = node[0], node.known_int(1) if node.has(1) else 0
    plane = node.shape()[-2:]
    shifted = b(ew.AddOp, b.iota([plane[0], 1], 0, i64), k)
    columns = b.iota([1, plane[1]], 1, i64)
    upper = bool(node.int("upper", 1))
    kept = b(ew.LessEqualOp, *((shifted, columns) if upper else (columns, shifted)))
    if is_bool(element_of(x)):
        return b(ew.AndOp, kept, x)
    return b(ew.SelectOp, kept, x, 0)


@onnx_lowering("DepthToSpace")
def depth_to_space(node: Node, b: NNBuilder) -> SSAValue:
    n, c, h, w = node.shape()
    s = node.int("blocksize")
    if node.str("mode", "DCR") == "DCR":
        x = b.reshape(node[0], [n, s, s, c // (s * s), h, w])
        x = b.transpose(x, [0, 3, 4, 1, 5, 2])
    else:
        x = b.reshape(node[0], [n, c // (s * s), s, s, h, w])
        x = b.transpose(x, [0, 1, 4, 2, 5, 3])
    return b.reshape(x, [n, c // (s * s), h * s, w * s])


@onnx_lowering("SpaceToDepth")
def space_to_depth(node: Node, b: NNBuilder) -> SSAValue:
    n, c, h, w = node.shape()
    s = node.int("blocksize")
    x = b.reshape(node[0], [n, c, h // s, s, w // s, s])
    is_depth_first = node.str("mode", "DCR") == "DCR"
    x = b.transpose(x, [0, 3, 5, 1, 2, 4] if is_depth_first else [0, 1, 3, 5, 2, 4])
    return b.reshape(x, [n, c * s * s, h // s, w // s])


@onnx_lowering("CenterCropPad", static=[1])
def center_crop_pad(node: Node, b: NNBuilder) -> SSAValue:
    shape, target = list(node.shape()), node.known_ints(1)
    axes = [a % len(shape) for a in (node.ints("axes") or range(len(shape)))]
    low, high = [0] * len(shape), [0] * len(shape)
    for axis, size in zip(axes, target, strict=True):
        have = shape[axis]
        if size == have:
            continue
        low[axis] = (size - have) // 2 if size > have else -((have - size) // 2)
        high[axis] = size - have - low[axis]
    return b.pad(node[0], low, high)


@onnx_lowering("Col2Im", static=[1, 2])
def col2im(node: Node, b: NNBuilder) -> SSAValue:
    """Every place of the block is one image with gaps; all of them are added up."""
    sizes, block = node.known_ints(1), node.known_ints(2)
    rank = len(sizes)
    strides = node.ints("strides", [1] * rank) or []
    dilations = node.ints("dilations", [1] * rank) or []
    pads = node.ints("pads", [0] * 2 * rank) or []
    batch, depth, _ = node.shape()
    channels = depth // prod(block)
    padded = [n + pads[d] + pads[d + rank] for d, n in enumerate(sizes)]
    steps = [
        (n - (k - 1) * dil - 1) // s + 1
        for n, k, dil, s in zip(padded, block, dilations, strides, strict=True)
    ]
    x = b.reshape(node[0], [batch, channels, prod(block), *steps])
    total: SSAValue | None = None
    for number, place in enumerate(np.ndindex(*block)):
        part = b.reshape(b.slice_axis(x, 2, number, 1), [batch, channels, *steps])
        low = [p * d for p, d in zip(place, dilations, strict=True)]
        high = [
            n - lo - (c - 1) * s - 1
            for n, lo, c, s in zip(padded, low, steps, strides, strict=True)
        ]
        part = b.pad(part, [0, 0, *low], [0, 0, *high], interior=[0, 0, *(s - 1 for s in strides)])
        total = part if total is None else b(ew.AddOp, total, part)
    if total is None:
        raise Invalid("its block is empty")
    starts = [0, 0, *pads[:rank]]
    return b.slice(total, starts, [batch, channels, *sizes])
