"""Pooling and SPP, with Caffe's rounding of sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto

from webdnn.frontends.caffe.graph import Blob, Layer

LEAST = float(np.finfo(np.float32).min)
"""What Caffe begins a maximum with."""


@dataclass(frozen=True)
class Windows:
    """The windows along one axis.

    Attributes:
        size: the length of the axis.
        kernel: the length of a window.
        stride: the distance from one to the next.
        pad: how many zeros are on either side.
        count: how many windows there are.
    """

    size: int
    kernel: int
    stride: int
    pad: int
    count: int

    @property
    def after(self) -> int:
        """How many elements after the axis the last window needs."""
        return max(0, (self.count - 1) * self.stride + self.kernel - self.size - self.pad)

    def lengths(self) -> list[int]:
        """By how many elements Caffe divides in each window: those up to the end of the padding."""
        starts = [index * self.stride - self.pad for index in range(self.count)]
        return [min(start + self.kernel, self.size + self.pad) - start for start in starts]


def windows(
    size: int, kernel: int, stride: int, pad: int, padded: bool, ceil: bool = True
) -> Windows:
    """The windows along an axis of this size.

    Args:
        padded: whether either axis is padded: then a window must begin before the padding at the end.
        ceil: whether a last window that is not whole counts.
    """
    free = size + 2 * pad - kernel
    count = (-(-free // stride) if ceil else free // stride) + 1
    if padded and (count - 1) * stride >= size + pad:
        count -= 1
    return Windows(size, kernel, stride, pad, count)


def pool(
    layer: Layer, x: Blob, method: str, axes: Sequence[Windows], with_mask: bool
) -> list[Blob]:
    """Pool the last two axes of a blob of four.

    An average divides by the part of its window within the padded axis. `AveragePool` divides by all of it, or by what
    is not padding; where neither is the same, a factor for each window follows.
    """
    if any(axis.count < 1 for axis in axes):
        raise layer.error("a window is larger than what it moves over", why=f"{axes[0]}, {axes[1]}")
    shape = (*x.shape[:2], *(axis.count for axis in axes))
    pads = [axis.pad for axis in axes] + [axis.after for axis in axes]
    attributes: dict[str, Any] = {
        "kernel_shape": [axis.kernel for axis in axes],
        "strides": [axis.stride for axis in axes],
    }
    # Windows that begin after the end are nothing that ONNX has.
    if any(axis.after >= axis.kernel for axis in axes):
        if with_mask:
            raise layer.error("a window without elements has no greatest one")
        x = _padded(layer, x, pads, LEAST if method == "MAX" else 0.0)
        pads = [0] * 4
    attributes["pads"] = pads
    if method == "MAX":
        if not with_mask:
            return [layer.op("MaxPool", x, shape=shape, **attributes)]
        y, indices = layer.ops("MaxPool", [x], [shape, shape], **attributes)
        # ONNX counts in the whole tensor, Caffe in a plane
        plane = layer.same("Mod", indices, layer.ints(math.prod(x.shape[2:])))
        return [y, layer.same("Cast", plane, to=TensorProto.FLOAT)]
    whole = all(set(axis.lengths()) == {axis.kernel} for axis in axes)
    if not whole and not any(axis.pad for axis in axes) and any(pads):
        return [layer.op("AveragePool", x, shape=shape, count_include_pad=0, **attributes)]
    y = layer.op("AveragePool", x, shape=shape, count_include_pad=1, **attributes)
    if whole:
        return [y]
    rows, columns = (np.array(axis.lengths(), np.float64) for axis in axes)
    with np.errstate(divide="ignore"):
        factors = axes[0].kernel * axes[1].kernel / np.outer(rows, columns)
    return [layer.same("Mul", y, layer.constant(factors.astype(np.float32), "divisors"))]


def _padded(layer: Layer, x: Blob, pads: Sequence[int], value: float) -> Blob:
    top, left, bottom, right = pads
    shape = (*x.shape[:2], x.shape[2] + top + bottom, x.shape[3] + left + right)
    return layer.op(
        "Pad",
        x,
        layer.ints(0, 0, top, left, 0, 0, bottom, right),
        layer.scalar(value),
        shape=shape,
    )


def _pair(layer: Layer, p: Any, name: str, both: str) -> tuple[int, int]:
    height, width = f"{name}_h", f"{name}_w"
    if p.HasField(height) != p.HasField(width):
        raise layer.error(f"it has one of {height} and {width}, and needs both")
    if not p.HasField(height):
        return getattr(p, both), getattr(p, both)
    if p.HasField(both):
        raise layer.error(f"it has {both}, and {height} and {width}", hint="leave one of them out")
    return getattr(p, height), getattr(p, width)


def _pooling(layer: Layer, p: Any) -> list[Blob]:
    layer.need_bottoms(1)
    layer.need_rank(4)
    method = layer.enum(p, "pool")
    _check_method(layer, method)
    layer.need_tops(2 if method == "MAX" else 1)
    with_mask = len(layer.proto.top) == 2
    if p.global_pooling and not with_mask:
        op_type = "GlobalMaxPool" if method == "MAX" else "GlobalAveragePool"
        return [layer.op(op_type, layer.x, shape=(*layer.x.shape[:2], 1, 1))]
    if p.global_pooling:
        kernel, stride, pad = layer.x.shape[2:], (1, 1), (0, 0)
    else:
        kernel = _pair(layer, p, "kernel", "kernel_size")
        stride, pad = _pair(layer, p, "stride", "stride"), _pair(layer, p, "pad", "pad")
    if 0 in (*kernel, *stride):
        raise layer.error("a kernel or stride is 0", why=f"{kernel=}, {stride=}")
    ceil = layer.enum(p, "round_mode") == "CEIL" and p.ceil_mode
    return pool(layer, layer.x, method, _both(layer, kernel, stride, pad, ceil), with_mask)


def _both(
    layer: Layer,
    kernel: Sequence[int],
    stride: Sequence[int],
    pad: Sequence[int],
    ceil: bool = True,
) -> list[Windows]:
    if any(before >= length for before, length in zip(pad, kernel, strict=True)):
        raise layer.error("the padding is not less than the kernel", why=f"{pad=}, {kernel=}")
    return [
        windows(size, k, s, before, any(pad), ceil)
        for size, k, s, before in zip(layer.x.shape[2:], kernel, stride, pad, strict=True)
    ]


def _check_method(layer: Layer, method: str) -> None:
    if method == "STOCHASTIC":
        raise layer.error("stochastic pooling is for training", hint="use AVE or MAX")


def _pyramid(layer: Layer, p: Any) -> list[Blob]:
    """SPP: poolings into 1, 2, 4 ... windows along each axis, side by side."""
    layer.need_bottoms(1)
    layer.need_rank(4)
    method = layer.enum(p, "pool")
    _check_method(layer, method)
    if not p.pyramid_height:
        raise layer.error("it has no pyramid_height")
    levels: list[Blob] = []
    for level in range(p.pyramid_height):
        kernel = [-(-size // 2**level) for size in layer.x.shape[2:]]
        pad = [
            (k * 2**level - size + 1) // 2
            for k, size in zip(kernel, layer.x.shape[2:], strict=True)
        ]
        levels += pool(layer, layer.x, method, _both(layer, kernel, kernel, pad), False)
    if len(levels) == 1:
        return levels
    flat = [
        layer.op("Flatten", y, shape=(y.shape[0], math.prod(y.shape[1:])), axis=1) for y in levels
    ]
    shape = (layer.x.shape[0], sum(y.shape[1] for y in flat))
    return [layer.op("Concat", *flat, shape=shape, axis=1)]


HANDLERS = {"Pooling": ("pooling_param", _pooling), "SPP": ("spp_param", _pyramid)}
