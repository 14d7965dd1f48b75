"""BatchNorm, LRN, MVN, Normalize and Softmax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from webdnn.frontends.caffe.graph import Blob, Layer
from webdnn.frontends.caffe.layers.elementwise import scaled
from webdnn.frontends.caffe.layers.pooling import pool, windows


def _batch_norm(layer: Layer, p: Any) -> list[Blob]:
    layer.need_bottoms(1)
    if len(layer.x.shape) < 2:
        raise layer.error("it needs an axis of channels", why=f"the shape is {layer.x.shape}")
    if p.HasField("use_global_stats") and not p.use_global_stats:
        axes = [axis for axis in range(len(layer.x.shape)) if axis != 1]
        return [_standardised(layer, layer.x, axes, p.eps, inside=True)]
    layer.need_weights(3)
    channels = (layer.x.shape[1],)
    mean, variance = layer.weight(0, channels), layer.weight(1, channels)
    total = float(layer.weight(2, (1,))[0])
    factor = np.float32(0 if total == 0 else 1 / total)
    parameters = {
        "scale": np.ones(channels, np.float32),
        "bias": np.zeros(channels, np.float32),
        "mean": mean * factor,
        "variance": variance * factor,
    }
    constants = [layer.constant(array, name) for name, array in parameters.items()]
    return [layer.same("BatchNormalization", layer.x, *constants, epsilon=p.eps)]


def _standardised(
    layer: Layer, x: Blob, axes: Sequence[int], eps: float, inside: bool, divide: bool = True
) -> Blob:
    """A blob less its mean, over its deviation; `eps` is added to the variance (`inside`) or to the deviation."""
    y = layer.same("Sub", x, layer.reduce("ReduceMean", x, axes, keep=True))
    if not divide:
        return y
    variance = layer.reduce("ReduceMean", layer.same("Mul", y, y), axes, keep=True)
    if inside:
        variance = layer.same("Add", variance, layer.scalar(eps))
    deviation = layer.same("Sqrt", variance)
    if not inside:
        deviation = layer.same("Add", deviation, layer.scalar(eps))
    return layer.same("Div", y, deviation)


def _mvn(layer: Layer, p: Any) -> list[Blob]:
    layer.need_bottoms(1)
    if len(layer.x.shape) > 4:
        raise layer.error("it needs an input of up to 4 axes", why=f"the shape is {layer.x.shape}")
    # Caffe makes four axes of fewer here.
    x = layer.reshape(layer.x, (*layer.x.shape, *(1,) * (4 - len(layer.x.shape))))
    axes = [1, 2, 3] if p.across_channels else [2, 3]
    return [_standardised(layer, x, axes, p.eps, inside=False, divide=p.normalize_variance)]


def _lrn(layer: Layer, p: Any) -> list[Blob]:
    layer.need_bottoms(1)
    layer.need_rank(4)
    if p.local_size % 2 == 0:
        raise layer.error(f"local_size is {p.local_size}, and must be odd")
    if layer.enum(p, "norm_region") == "ACROSS_CHANNELS":
        return [layer.same("LRN", layer.x, size=p.local_size, alpha=p.alpha, beta=p.beta, bias=p.k)]
    pad = p.local_size // 2
    square = layer.same("Mul", layer.x, layer.x)
    axes = [windows(size, p.local_size, 1, pad, pad > 0) for size in layer.x.shape[2:]]
    (mean,) = pool(layer, square, "AVE", axes, with_mask=False)
    # Caffe adds 1 here, whatever k is.
    factor = layer.same("Pow", scaled(layer, mean, p.alpha, 1.0), layer.scalar(-p.beta))
    return [layer.same("Mul", layer.x, factor)]


def _normalize(layer: Layer, p: Any) -> list[Blob]:
    """Of SSD: each pixel (or picture) over its Euclidean norm, times trained factors."""
    layer.need_bottoms(1)
    if not 2 <= len(layer.x.shape) <= 4:
        raise layer.error("it needs an input of 2 to 4 axes", why=f"the shape is {layer.x.shape}")
    layer.need_weights(1)
    axes = list(range(1, len(layer.x.shape))) if p.across_spatial else [1]
    total = layer.reduce("ReduceSumSquare", layer.x, axes, keep=True)
    norm = layer.same("Sqrt", layer.same("Add", total, layer.scalar(p.eps)))
    y = layer.same("Div", layer.x, norm)
    factors = layer.raw_weight(0).reshape(-1)
    channels = 1 if p.channel_shared else layer.x.shape[1]
    if factors.size != channels:
        raise layer.error(f"it has {factors.size} factors, and needs {channels}")
    shape = () if p.channel_shared else (channels, *(1,) * (len(layer.x.shape) - 2))
    return [layer.same("Mul", y, layer.constant(factors.reshape(shape), "scale"))]


def _softmax(layer: Layer, p: Any) -> list[Blob]:
    layer.need_bottoms(1)
    return [layer.same("Softmax", layer.x, axis=layer.axis(p.axis))]


HANDLERS = {
    "BatchNorm": ("batch_norm_param", _batch_norm),
    "LRN": ("lrn_param", _lrn),
    "MVN": ("mvn_param", _mvn),
    "Normalize": ("norm_param", _normalize),
    "Softmax": ("softmax_param", _softmax),
}
