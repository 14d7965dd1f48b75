"""A picture whose size each run has, as one of a size that is known: where it is read is computed on the device."""

from __future__ import annotations

import math
from dataclasses import dataclass

from xdsl.dialects.builtin import f32, i64
from xdsl.ir import SSAValue

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.sizes.expression import bounds, is_symbolic
from webdnn.dialects.sizes.types import shape_of
from webdnn.lowering.interface.image_input import ImageInput
from webdnn.lowering.interface.image_shapes import check_covering, covered_box
from webdnn.lowering.onnx_to_nn.builder import NNBuilder

_LONGEST = 1 << 24
"""Products of sizes of the picture and of the model stay below: they are whole numbers in f32, and in 32 bits."""


@dataclass(frozen=True)
class AnyPlacement:
    """One dimension of a picture of any size on its way to that of the model.

    Its `size` elements become `resized` ones, of which the model reads `count` from `begin` on. A negative `begin` is
    a frame around all of them. `shrinks` is the most elements that become one.
    """

    size: int
    resized: SSAValue
    begin: SSAValue
    count: int
    shrinks: float


def any_placements(
    name: str, image: ImageInput, picture: tuple[int, int], target: tuple[int, int], b: NNBuilder
) -> tuple[AnyPlacement, AnyPlacement]:
    """How columns and rows of a picture of (width, height), in which symbols are, come into the model's.

    Raises:
        WebDNNError: the model's size varies too, the resized picture may be smaller than what is cut out of it, or the
            ranges are too wide.
    """
    if any(map(is_symbolic, target)):
        raise WebDNNError(
            f"the size of the input '{name}' varies, and its picture's is another one",
            hint="give the input's sizes as numbers, or leave out size=",
        )
    box = covered_box(image, target) if image.fit == "crop" else target
    if max(box) * max(bounds(n)[1] for n in picture) * 2 >= _LONGEST:
        raise WebDNNError(
            f"the picture for '{name}' may be too large for the {max(box)} elements that it becomes",
            where=f"up to {bounds(picture[0])[1]}x{bounds(picture[1])[1]}",
            hint=f"a range up to {(_LONGEST - 1) // (2 * max(box))}",
        )
    shrinks = [bounds(n)[1] / out for n, out in zip(picture, box, strict=True)]
    sizes = [b.constant(n, i64) for n in picture]
    boxes = [b.constant(n, i64) for n in box]
    resized = boxes
    if image.fit == "crop":
        check_covering(name, box, target)
        resized = [
            b(ew.MaxOp, boxes[i], b(ew.DivOp, b(ew.MulOp, boxes[1 - i], sizes[i]), sizes[1 - i]))
            for i in (0, 1)
        ]
    elif image.fit == "pad":
        fitting = [_rounded(b(ew.MulOp, boxes[1 - i], sizes[i]), sizes[1 - i], b) for i in (0, 1)]
        resized = [b(ew.MaxOp, b(ew.MinOp, boxes[i], fitting[i]), 1) for i in (0, 1)]
        shrinks = [1.5 * max(shrinks)] * 2  # what is rounded down to 1 was less than 1.5
    columns, rows = (
        AnyPlacement(
            picture[i], resized[i], _begin(image, resized[i], target[i], b), target[i], shrinks[i]
        )
        for i in (0, 1)
    )
    return columns, rows


def _rounded(above: SSAValue, below: SSAValue, b: NNBuilder) -> SSAValue:
    """A quotient rounded to the nearest number, of two the even one."""
    whole = b(ew.DivOp, above, below)
    rest = b(ew.SubOp, above, b(ew.MulOp, whole, below))
    odd = b(ew.SubOp, whole, b(ew.MulOp, b(ew.DivOp, whole, 2), 2))
    twice = b(ew.AddOp, b(ew.MulOp, rest, 2), odd)
    more = b(ew.DivOp, b(ew.SubOp, b(ew.AddOp, twice, below), 1), b(ew.MulOp, below, 2))
    return b(ew.AddOp, whole, more)


def _begin(image: ImageInput, resized: SSAValue, count: int, b: NNBuilder) -> SSAValue:
    """Where what the model reads begins: half of what is too much is left out, rounded as Python rounds."""
    match image.fit:
        case "stretch":
            return b.constant(0, i64)
        case "pad":
            frame = b(ew.SubOp, b.constant(count, i64), resized)
            return b(ew.SubOp, b.constant(0, i64), b(ew.DivOp, frame, 2))
        case "crop":
            more = b(ew.SubOp, resized, count)
            first, second = (b(ew.DivOp, b(ew.AddOp, more, n), 4) for n in (1, 2))
            return b(ew.AddOp, first, second)


def sampled(
    x: SSAValue, axis: int, place: AnyPlacement, image: ImageInput, b: NNBuilder
) -> SSAValue:
    """The elements that the model reads along a dimension of pixels, or sums of those around them, in f32."""
    count = place.count
    behind = [1] * (len(shape_of(x)) - axis - 1)
    # Element i is at (size - 1) / 2 + steps * size / (2 * resized): counted from the middle, numbers are small.
    at = b(ew.AddOp, b.iota([count], 0, i64), place.begin)
    steps = b(ew.SubOp, b(ew.AddOp, b(ew.MulOp, at, 2), 1), place.resized)
    size = b.constant(place.size, i64)
    # In two parts, whole halves and a rest: f32 has no digits for a fraction of a pixel far to the right.
    distance = b(ew.MulOp, b(ew.AbsOp, steps), size)
    twice = b(ew.MulOp, place.resized, 2)
    whole = b(ew.DivOp, distance, twice)
    rest = b(ew.SubOp, distance, b(ew.MulOp, whole, twice))
    sign = b(ew.SelectOp, b(ew.LessOp, steps, 0), b.constant(-1.0, f32), 1.0)
    fraction = b(ew.MulOp, sign, b(ew.DivOp, b.cast(rest, f32), b.cast(twice, f32)))
    middle = b(ew.MulOp, b(ew.SubOp, b.cast(size, f32), 1.0), 0.5)
    halves = b(ew.AddOp, middle, b(ew.MulOp, sign, b.cast(whole, f32)))
    last = b(ew.SubOp, size, 1)

    def clamped(index: SSAValue) -> SSAValue:
        return b(ew.MinOp, b(ew.MaxOp, index, 0), last)

    if image.resize == "nearest":
        nearest = b(ew.FloorOp, b(ew.AddOp, b(ew.AddOp, halves, 0.5), fraction))
        return b.cast(b.insert(dm.GatherOp(x, clamped(b.cast(nearest, i64)), axis)), f32)
    reach = 1 if image.resize == "bilinear" else 2
    width = math.ceil(reach * max(1.0, place.shrinks)) if image.antialias else reach
    first = b(ew.SubOp, b.cast(b(ew.FloorOp, b(ew.AddOp, halves, fraction)), i64), width - 1)
    index = b(ew.AddOp, b.reshape(first, [count, 1]), b.iota([1, 2 * width], 1, i64))
    away = b(ew.SubOp, b.cast(index, f32), b.reshape(halves, [count, 1]))
    away = b(ew.AbsOp, b(ew.SubOp, away, b.reshape(fraction, [count, 1])))
    if image.antialias:
        ratio = b(ew.DivOp, b.cast(size, f32), b.cast(place.resized, f32))
        away = b(ew.DivOp, away, b(ew.MaxOp, ratio, 1.0))
    weights = _triangle(away, b) if image.resize == "bilinear" else _cubic(away, image.cubic, b)
    if image.antialias:
        inside = b(ew.EqualOp, clamped(index), index)
        weights = b(ew.SelectOp, inside, weights, 0.0)
        weights = b(ew.DivOp, weights, b.reduce("sum", weights, [1]))
    read = b.cast(b.insert(dm.GatherOp(x, clamped(index), axis)), f32)
    weighed = b(ew.MulOp, read, b.reshape(weights, [count, 2 * width, *behind]))
    return b.reduce("sum", weighed, [axis + 1], keep_dims=False)


def framed(x: SSAValue, axis: int, place: AnyPlacement, value: float, b: NNBuilder) -> SSAValue:
    """`value` where the picture is not."""
    at = b(ew.AddOp, b.iota([place.count], 0, i64), place.begin)
    inside = b(ew.AndOp, b(ew.LessOp, b.constant(-1, i64), at), b(ew.LessOp, at, place.resized))
    behind = [1] * (len(shape_of(x)) - axis - 1)
    return b(ew.SelectOp, b.reshape(inside, [place.count, *behind]), x, value)


def _triangle(away: SSAValue, b: NNBuilder) -> SSAValue:
    return b(ew.MaxOp, b(ew.SubOp, b.constant(1.0, f32), away), 0.0)


def _cubic(x: SSAValue, a: float, b: NNBuilder) -> SSAValue:
    """The cubic convolution kernel (Keys 1981) with its free parameter, of distances."""

    def horner(*coefficients: float) -> SSAValue:
        total = b.constant(coefficients[0], f32)
        for c in coefficients[1:]:
            total = b(ew.AddOp, b(ew.MulOp, total, x), c)
        return total

    near = horner(a + 2, -(a + 3), 0, 1)
    far = b(ew.SelectOp, b(ew.LessOp, x, 2.0), horner(a, -5 * a, 8 * a, -4 * a), 0.0)
    return b(ew.SelectOp, b(ew.LessOp, x, 1.0), near, far)
