"""Where the picture is in the tensor that a model reads, and where its pixels come from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from webdnn.dialects.errors import WebDNNError
from webdnn.lowering.interface.image_input import DEFAULT_ORDERS, ImageInput, Layout

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


def placements(
    name: str, image: ImageInput, shape: ImageShape
) -> tuple[tuple[int, int], Placement, Placement]:
    """The (width, height) of the picture, and how its columns and rows come into the model's.

    Raises:
        WebDNNError: the resized picture is smaller than what is cut out of it.
    """
    target = (shape.width, shape.height)
    picture = image.size or target
    match image.fit:
        case "stretch":
            columns, rows = (
                Placement(n, out, 0, out) for n, out in zip(picture, target, strict=True)
            )
        case "pad":
            columns, rows = _framed(picture, target)
        case "crop":
            resized = _covering(image, picture, target)
            if any(n < out for n, out in zip(resized, target, strict=True)):
                raise WebDNNError(
                    f"the picture for '{name}' is resized to {resized[0]}x{resized[1]}, "
                    f"and the model reads {target[0]}x{target[1]} of it",
                    hint=f"shortest-edge={max(target)} or more",
                )
            columns, rows = (
                Placement(n, new, round((new - out) / 2), out)
                for n, new, out in zip(picture, resized, target, strict=True)
            )
    return picture, columns, rows


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
    if (edge := image.shortest_edge) is not None:
        return (edge, edge * height // width) if width <= height else (edge * width // height, edge)
    share = image.crop_pct or 1.0
    box = [math.floor(n / share) for n in target]
    if box[0] * height >= box[1] * width:
        return box[0], box[0] * height // width
    return box[1] * width // height, box[1]


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
