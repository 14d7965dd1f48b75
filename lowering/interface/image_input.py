"""`ImageInput`: how the pixels of a picture become the tensor that a model reads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.sizes.range import Range, parse_range

Pixels = Literal["uint8-rgba", "uint8-rgb", "uint8-gray"]
Resize = Literal["bilinear", "bicubic", "nearest"]
Fit = Literal["stretch", "crop", "pad"]
Order = Literal["rgb", "bgr", "gray", "rgba"]
Layout = Literal["nchw", "nhwc"]
Mode = Literal["imagenet", "torch", "tf", "caffe", "clip"]

PIXEL_CHANNELS: dict[Pixels, int] = {"uint8-rgba": 4, "uint8-rgb": 3, "uint8-gray": 1}
ORDER_CHANNELS: dict[Order, int] = {"gray": 1, "rgb": 3, "bgr": 3, "rgba": 4}
DEFAULT_ORDERS: dict[int, Order] = {1: "gray", 3: "rgb", 4: "rgba"}
"""By the number of channels that a model reads."""


@dataclass(frozen=True)
class Normalisation:
    """What a channel's value x becomes: (x * scale - mean) / std. Means and deviations are in the order of the
    model's channels; one number stands for all of them."""

    scale: float
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    order: Order | None = None


_IMAGENET = Normalisation(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

MODES: dict[Mode, Normalisation] = {
    "imagenet": _IMAGENET,
    "torch": _IMAGENET,
    "tf": Normalisation(1 / 127.5, (1.0,)),
    "caffe": Normalisation(1.0, (103.939, 116.779, 123.68), order="bgr"),
    "clip": Normalisation(
        1 / 255, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    ),
}
"""The usual ones: torchvision's for ImageNet, the three of `keras.applications.imagenet_utils`, and OpenAI's for
CLIP."""


SIZE_FORM = "width and height, such as 640x480, or their ranges, such as 64..1920x64..1080"


def side_range(side: int | str) -> Range | None:
    """The numbers that a picture's width or height may be; None where it says none.

    Raises:
        WebDNNError: its range holds no number.
    """
    if isinstance(side, str):
        return parse_range(side, side)
    return Range(side, side)


@dataclass(frozen=True)
class ImageInput:
    """The way from pixels to a model's input, which is compiled into the model.

    The package's input is then of type uint8 and shape [height, width, channels] ([height, width] of gray pixels), with
    the model's batch before it where that is not 1: what `ImageData.data` is in a browser. Alpha is left out. Pixels
    are resized as floats, and not rounded before the model reads them, if it reads floats.

    Attributes:
        pixels: what the package takes.
        size: (width, height) of the picture, each a number or the range of those that runs have (`"64..1920"`,
            `"64..1920@640"` to optimise for 640); None for what the model reads.
        resize: how a picture of another size is resampled. Pixels are squares, as in Pillow, PyTorch and OpenCV.
        antialias: whether a picture that becomes smaller is averaged over all of its pixels (as Pillow and
            torchvision do) or read at single points (as OpenCV does).
        fit: `stretch` changes the proportions; `crop` cuts off what is too much, on both sides alike; `pad` keeps the
            whole picture in the middle of a frame.
        pad: the frame's value, from 0 to 255.
        shortest_edge: with `crop`, what the shorter side becomes before the model's size is cut out; by default that
            size.
        crop_pct: with `crop`, the share of the resized picture that the model sees, in place of `shortest_edge`.
        mode: gives the order, scale, mean and std that are not given here.
        order: of the model's channels; by default gray, rgb or rgba, by how many there are.
        scale, mean, std: a channel's value x from 0 to 255 becomes (x * scale - mean) / std. By default the scale is
            1/255, and 1 where the model reads integers, which are then rounded. Mean and std are one number, or one
            for each of the model's channels, in their order.
        layout: of the model's input; told by its shape where that has one dimension of 1, 3 or 4 that may be channels.

    Raises:
        WebDNNError: a value is out of its range, or contradicts another.
    """

    pixels: Pixels = "uint8-rgba"
    size: tuple[int | str, int | str] | None = None
    resize: Resize = "bilinear"
    antialias: bool = True
    fit: Fit = "stretch"
    pad: float = 0.0
    shortest_edge: int | None = None
    crop_pct: float | None = None
    mode: Mode | None = None
    order: Order | None = None
    scale: float | None = None
    mean: float | Sequence[float] | None = None
    std: float | Sequence[float] | None = None
    layout: Layout | None = None

    def __post_init__(self) -> None:
        for key, options in (
            ("pixels", Pixels),
            ("resize", Resize),
            ("fit", Fit),
            ("mode", Mode),
            ("order", Order),
            ("layout", Layout),
        ):
            value = getattr(self, key)
            if value is not None and value not in get_args(options):
                raise _wrong(f"{key} {value!r} is not known", f"one of {_listed(options)}")
        if self.size is not None:
            if len(self.size) != 2:
                raise _wrong(f"its size is {self.size}", SIZE_FORM)
            for side in self.size:
                range = side_range(side)
                if range is None or range.low < 1:
                    raise _wrong(f"its size is {self.size}", SIZE_FORM)
        if not 0 <= self.pad <= 255:
            raise _wrong(f"its frame has the value {self.pad}", "from 0 to 255")
        if self.pad and self.fit != "pad":
            raise _wrong("it has a frame's value, and does not fit pictures into frames", "fit=pad")
        cut = [key for key in ("shortest_edge", "crop_pct") if getattr(self, key) is not None]
        if cut and self.fit != "crop":
            raise _wrong(f"it has {cut[0]}, and crops nothing", "crop=center")
        if len(cut) == 2:
            raise _wrong("it has both shortest_edge and crop_pct", "one of them")
        if self.shortest_edge is not None and self.shortest_edge < 1:
            raise _wrong(f"its shortest_edge is {self.shortest_edge}", "at least 1")
        if self.crop_pct is not None and not 0 < self.crop_pct <= 1:
            raise _wrong(f"its crop_pct is {self.crop_pct}", "above 0 and at most 1")
        if self.scale is not None and not (math.isfinite(self.scale) and self.scale):
            raise _wrong(f"its scale is {self.scale}", "a finite number that is not 0")
        for key in ("mean", "std"):  # any sequence will do, but a tuple can be compared and hashed
            object.__setattr__(self, key, _numbers(getattr(self, key)) or None)
        if not all(map(math.isfinite, _numbers(self.mean))):
            raise _wrong(f"its mean is {self.mean}", "finite numbers")
        if not all(math.isfinite(s) and s for s in _numbers(self.std)):
            raise _wrong(f"its std is {self.std}", "finite numbers, none of them 0")

    @property
    def cubic(self) -> float:
        """The parameter of bicubic resizing: Pillow's with antialiasing, else PyTorch's and OpenCV's."""
        return -0.5 if self.antialias else -0.75

    def channel_order(self, channels: int) -> Order:
        """The order of so many channels of a model.

        Raises:
            WebDNNError: the order has another number of channels, or needs what the pixels do not have.
        """
        stated = self.order or (MODES[self.mode].order if self.mode else None)
        order = stated or DEFAULT_ORDERS[channels]
        if ORDER_CHANNELS[order] != channels:
            raise _wrong(
                f"the order {order} is one of {ORDER_CHANNELS[order]} and not of {channels} channels",
                f"order={DEFAULT_ORDERS[channels]}",
            )
        if order == "rgba" and self.pixels != "uint8-rgba":
            raise _wrong("the model reads alpha, and the pixels have none", "uint8-rgba")
        return order

    def normalisation(self, channels: int, *, is_float: bool) -> tuple[list[float], list[float]]:
        """A factor and a summand for each channel: x becomes x * factor + summand.

        Args:
            channels: how many the model reads.
            is_float: whether it reads floats.

        Raises:
            WebDNNError: there are means or deviations for another number of channels.
        """
        usual = MODES[self.mode] if self.mode else Normalisation(1 / 255 if is_float else 1.0)
        scale = usual.scale if self.scale is None else self.scale
        mean = self._for_channels("mean", _numbers(self.mean) or usual.mean, channels)
        std = self._for_channels("std", _numbers(self.std) or usual.std, channels)
        factors = [scale / s for s in std]
        return factors, [-m / s for m, s in zip(mean, std, strict=True)]

    @staticmethod
    def _for_channels(key: str, values: tuple[float, ...], channels: int) -> tuple[float, ...]:
        if len(values) == 1:
            return values * channels
        if len(values) != channels:
            raise _wrong(
                f"it has {len(values)} numbers as {key}, and the model's input has "
                f"{channels} channel{'s' * (channels > 1)}",
                f"{key} with one number, or one for each channel",
            )
        return values


def _numbers(value: float | Sequence[float] | None) -> tuple[float, ...]:
    if value is None:
        return ()
    return tuple(float(v) for v in np.ravel(value))


def _listed(options: object) -> str:
    return ", ".join(get_args(options))


def _wrong(what: str, hint: str) -> WebDNNError:
    return WebDNNError(f"an image input cannot be so: {what}", hint=hint)
