"""Where the picture is in the tensor that a model reads, and where its pixels come from."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.sizes.expression import Symbol, bounds, is_symbolic
from webdnn.lowering.interface.image_input import (
    DEFAULT_ORDERS,
    ImageInput,
    Layout,
    side_range,
)

_AXES: dict[Layout, tuple[int, int, int, int]] = {"nchw": (0, 2, 3, 1), "nhwc": (0, 1, 2, 3)}
"""Batch, height, width and channels."""


@dataclass(frozen=True)
class ImageShape:
    """The shape of an input that is a picture."""

    layout: Layout
    batch: int
    height: int
    width: int
    channels: int


@dataclass(frozen=True)
class Placement:
    """One dimension of a picture on its way to that of the model.

    Its `size` elements become `resized` ones, of which the model reads `count` from `begin` on, with `before` and
    `after` elements of a frame around them.
    """

    size: int
    resized: int
    begin: int
    count: int
    before: int = 0
    after: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether all elements are read as they are."""
        return self.size == self.resized == self.count and self.begin == 0


def bound_sizes(name: str, image: ImageInput, sizes: Sequence[int | str | None]) -> list[int | str]:
    """The sizes of a model's input with what it leaves open: a batch of 1, and the picture's own height and width.

    Args:
        name: the input, for messages.
        image: what comes into it.
        sizes: those that the model declares, or the names by which the user gives them; None for an open one.

    Raises:
        WebDNNError: it is no picture, or its height and width are not known.
    """
    shape = _described(sizes)
    layout = _layout(name, image, sizes)
    batch, height, width, channels = _AXES[layout]
    found = list(sizes)
    if found[channels] is None:
        raise WebDNNError(
            f"it is not known how many channels the input '{name}' has",
            where=shape,
            hint=f"give its sizes: --shape {name}=...",
        )
    if found[batch] is None:
        found[batch] = 1
    if image.size is not None:
        found[width] = image.size[0] if found[width] is None else found[width]
        found[height] = image.size[1] if found[height] is None else found[height]
    known = [n for n in found if n is not None]
    if len(known) < len(found):
        raise WebDNNError(
            f"the height and width of the input '{name}' are open",
            where=shape,
            hint=f"give them by --shape {name}=... or --dim, or the picture's own by size=640x480",
        )
    return known


def image_shape(name: str, image: ImageInput, sizes: Sequence[int]) -> ImageShape:
    """The parts of the shape of a model's input.

    Raises:
        WebDNNError: it is no picture.
    """
    layout = _layout(name, image, sizes)
    parts = [sizes[axis] for axis in _AXES[layout]]
    if 0 in parts:
        raise WebDNNError(f"the input '{name}' has no pixels", where=_described(sizes))
    return ImageShape(layout, *parts)


def picture_size(
    name: str, image: ImageInput, shape: ImageShape, taken: Collection[str]
) -> tuple[int, int]:
    """The (width, height) of the picture; symbols stand for those that each run has.

    Args:
        name: the model's input, after which the symbols are called.
        image: what comes into it.
        shape: the input's.
        taken: the names of symbols that there are.

    Raises:
        WebDNNError: both the picture's size and the model's vary, and not as one.
    """
    target = (shape.width, shape.height)
    found: list[int] = []
    for side, own, what in zip(image.size or target, target, ("width", "height"), strict=True):
        if not isinstance(side, str):
            found.append(side)
            continue
        range = side_range(side)
        assert range is not None
        if is_symbolic(own):
            if bounds(own) != (range.low, range.high):
                raise WebDNNError(
                    f"the {what} of the picture for '{name}' varies, and that of the input varies in another range",
                    where=f"{side} and {'..'.join(map(str, bounds(own)))}",
                    hint="give one of them as a number, or leave out size=",
                )
            found.append(own)
            continue
        symbol = f"{name}_{what}"
        while symbol in taken:
            symbol += "_"
        likely = -1 if range.likely is None else range.likely
        found.append(Symbol(symbol, range.low, range.high, range.unit, likely).size)
    return found[0], found[1]


def placements(
    name: str, image: ImageInput, shape: ImageShape, picture: tuple[int, int]
) -> tuple[Placement, Placement]:
    """How the columns and rows of a picture of (width, height) come into the model's.

    A picture whose size varies is as large as what the model reads.

    Raises:
        WebDNNError: something would be cut out of a picture whose size varies, or the resized picture is smaller than
            what is cut out of it.
    """
    target = (shape.width, shape.height)
    if any(map(is_symbolic, target)):
        if image.shortest_edge is not None or image.crop_pct is not None:
            raise WebDNNError(
                f"what the input '{name}' reads varies as its picture does, so that nothing is cut out of it",
                hint="leave out shortest-edge and crop-pct, or give the input's sizes as numbers",
            )
        columns, rows = (Placement(n, n, 0, n) for n in target)
        return columns, rows
    match image.fit:
        case "stretch":
            columns, rows = (
                Placement(n, out, 0, out) for n, out in zip(picture, target, strict=True)
            )
        case "pad":
            columns, rows = _framed(picture, target)
        case "crop":
            resized = _covering(image, picture, target)
            check_covering(name, resized, target)
            columns, rows = (
                Placement(n, new, round((new - out) / 2), out)
                for n, new, out in zip(picture, resized, target, strict=True)
            )
    return columns, rows


def check_covering(name: str, resized: tuple[int, int], target: tuple[int, int]) -> None:
    """Raises `WebDNNError` where a resized picture is smaller than what is cut out of it."""
    if any(n < out for n, out in zip(resized, target, strict=True)):
        raise WebDNNError(
            f"the picture for '{name}' is resized to {resized[0]}x{resized[1]}, "
            f"and the model reads {target[0]}x{target[1]} of it",
            hint=f"shortest-edge={max(target)} or more",
        )


def _framed(picture: tuple[int, int], target: tuple[int, int]) -> list[Placement]:
    scale = min(out / n for n, out in zip(picture, target, strict=True))
    placed: list[Placement] = []
    for size, out in zip(picture, target, strict=True):
        count = min(max(round(size * scale), 1), out)
        before = (out - count) // 2
        placed.append(Placement(size, count, 0, count, before, out - count - before))
    return placed


def _covering(
    image: ImageInput, picture: tuple[int, int], target: tuple[int, int]
) -> tuple[int, int]:
    """The size that a picture is given before it is cropped: whole numbers as torchvision finds them."""
    width, height = picture
    box = covered_box(image, target)
    if box[0] * height >= box[1] * width:
        return box[0], box[0] * height // width
    return box[1] * width // height, box[1]


def covered_box(image: ImageInput, target: tuple[int, int]) -> tuple[int, int]:
    """What a picture covers before it is cropped: the least width and height that it is resized to."""
    if (edge := image.shortest_edge) is not None:
        return edge, edge
    share = image.crop_pct or 1.0
    return math.floor(target[0] / share), math.floor(target[1] / share)


def _layout(name: str, image: ImageInput, sizes: Sequence[int | str | None]) -> Layout:
    if len(sizes) != 4:
        raise WebDNNError(
            f"the input '{name}' is no picture",
            where=_described(sizes),
            why="a model reads pictures as tensors of rank 4: batch, channels, height and width, or channels last",
        )
    layouts: tuple[Layout, ...] = (image.layout,) if image.layout else ("nchw", "nhwc")
    fitting: list[Layout] = [
        layout
        for layout in layouts
        if (n := sizes[_AXES[layout][3]]) in DEFAULT_ORDERS or (n is None and image.layout)
    ]
    if not fitting:
        is_open = any(sizes[_AXES[layout][3]] is None for layout in layouts)
        raise WebDNNError(
            f"the input '{name}' is no picture"
            + (f" of layout {layouts[0]}" if image.layout else ""),
            where=_described(sizes),
            why="pictures have 1, 3 or 4 channels",
            hint=f"give the sizes that are open: --shape {name}=..." if is_open else "",
        )
    if len(fitting) > 1:
        raise WebDNNError(
            f"the shape of the input '{name}' does not say which dimension is its channels",
            where=_described(sizes),
            hint="layout=nchw or layout=nhwc",
        )
    return fitting[0]


def _described(sizes: Sequence[int | str | None]) -> str:
    return f"[{', '.join('?' if n is None else str(n) for n in sizes)}]"
