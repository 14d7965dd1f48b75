"""Normalisations and layers that compute element by element, from their definitions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.unit.caffe_blobs import Array, Blobs, Table

LAYERS = Table()


@LAYERS.layer("LRN")
def lrn(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    p = proto.lrn_param
    (x,) = bottoms
    half = (p.local_size - 1) // 2
    scale = np.zeros_like(x)
    if p.norm_region == 0:
        for c in range(x.shape[1]):
            near = x[:, max(0, c - half) : c + half + 1]
            scale[:, c] = p.k + p.alpha / p.local_size * (near**2).sum(1)
    else:
        for h, w in np.ndindex(*x.shape[2:]):
            near = x[:, :, max(0, h - half) : h + half + 1, max(0, w - half) : w + half + 1]
            scale[:, :, h, w] = 1 + p.alpha / p.local_size**2 * (near**2).sum((2, 3))
    return [x * scale**-p.beta]


@LAYERS.layer("BatchNorm")
def batch_norm(proto: Any, bottoms: list[Array], blobs: Blobs) -> list[Array]:
    p = proto.batch_norm_param
    (x,) = bottoms
    along = (-1, *(1,) * (x.ndim - 2))
    if p.HasField("use_global_stats") and not p.use_global_stats:
        axes = tuple(a for a in range(x.ndim) if a != 1)
        mean, variance = x.mean(axes), x.var(axes)
    else:
        # numbers as training leaves them: not far from those of the data, times a factor
        axes = tuple(a for a in range(x.ndim) if a != 1)
        mean = blobs.kept((x.mean(axes) + 0.1) * 3)
        variance = blobs.kept((x.var(axes) + 0.1) * 3)
        factor = blobs.kept(np.array([3.0]))
        mean, variance = mean / factor, variance / factor
    return [(x - mean.reshape(along)) / np.sqrt(variance + p.eps).reshape(along)]


def spread(x: Array, by: Array, axis: int) -> Array:
    axis = axis % x.ndim if by.ndim else 0
    return by.reshape(*by.shape, *(1,) * (x.ndim - axis - by.ndim)) if by.ndim else by


def trained(p: Any, x: Array, blobs: Blobs) -> Array:
    axis = p.axis % x.ndim
    end = x.ndim if p.num_axes == -1 else axis + p.num_axes
    return blobs(*x.shape[axis:end], low=0.5, high=1.5)


@LAYERS.layer("Scale")
def scale(proto: Any, bottoms: list[Array], blobs: Blobs) -> list[Array]:
    p = proto.scale_param
    x = bottoms[0]
    by = bottoms[1] if len(bottoms) == 2 else trained(p, x, blobs)
    y = x * spread(x, by, p.axis)
    if p.bias_term:
        y = y + spread(x, blobs(*by.shape), p.axis)
    return [y]


@LAYERS.layer("Bias")
def bias(proto: Any, bottoms: list[Array], blobs: Blobs) -> list[Array]:
    p = proto.bias_param
    x = bottoms[0]
    by = bottoms[1] if len(bottoms) == 2 else trained(p, x, blobs)
    return [x + spread(x, by, p.axis)]


@LAYERS.layer("Eltwise")
def eltwise(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    p = proto.eltwise_param
    if p.operation == 0:
        return [np.prod(bottoms, 0)]
    if p.operation == 2:
        return [np.max(bottoms, 0)]
    coefficients = list(p.coeff) or [1.0] * len(bottoms)
    return [np.sum([c * x for c, x in zip(coefficients, bottoms, strict=True)], 0)]


@LAYERS.layer("Axpy")
def axpy(_: Any, bottoms: list[Array], __: Blobs) -> list[Array]:
    a, x, y = bottoms
    return [a.reshape(*x.shape[:2], 1, 1) * x + y]


def elementwise(name: str, function: Callable[[Any, Array], Array]) -> None:
    LAYERS[name] = lambda proto, bottoms, _: [function(proto, bottoms[0])]


def base_of(p: Any) -> float:
    return math.e if p.base == -1 else p.base


def power(proto: Any, x: Array) -> Array:
    p = proto.power_param
    return (p.shift + p.scale * x) ** p.power


def logarithm(proto: Any, x: Array) -> Array:
    p = proto.log_param
    return np.log(p.shift + p.scale * x) / math.log(base_of(p))


elementwise("AbsVal", lambda _, x: abs(x))
elementwise("BNLL", lambda _, x: np.maximum(x, 0) + np.log1p(np.exp(-abs(x))))
elementwise("Clip", lambda proto, x: x.clip(proto.clip_param.min, proto.clip_param.max))
elementwise(
    "ELU",
    lambda proto, x: np.maximum(x, 0) + proto.elu_param.alpha * (np.exp(np.minimum(x, 0)) - 1),
)
elementwise(
    "Exp",
    lambda proto, x: (
        base_of(proto.exp_param) ** (proto.exp_param.shift + proto.exp_param.scale * x)
    ),
)
elementwise("Log", logarithm)
elementwise("Power", power)
elementwise(
    "ReLU", lambda proto, x: np.maximum(x, 0) + proto.relu_param.negative_slope * np.minimum(x, 0)
)
elementwise("ReLU6", lambda _, x: x.clip(0, 6))
elementwise("Sigmoid", lambda _, x: 1 / (1 + np.exp(-x)))
elementwise("Swish", lambda proto, x: x / (1 + np.exp(-proto.swish_param.beta * x)))
elementwise("TanH", lambda _, x: np.tanh(x))
elementwise("Threshold", lambda proto, x: (x > proto.threshold_param.threshold).astype(float))
elementwise("Dropout", lambda _, x: x)


@LAYERS.layer("PReLU")
def prelu(proto: Any, bottoms: list[Array], blobs: Blobs) -> list[Array]:
    (x,) = bottoms
    slope = blobs() if proto.prelu_param.channel_shared else blobs(x.shape[1])
    slope = slope.reshape(-1, *(1,) * (x.ndim - 2))
    return [np.maximum(x, 0) + slope * np.minimum(x, 0)]


@LAYERS.layer("Softmax")
def softmax(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    axis = proto.softmax_param.axis
    e = np.exp(bottoms[0] - bottoms[0].max(axis, keepdims=True))
    return [e / e.sum(axis, keepdims=True)]


@LAYERS.layer("MVN")
def mvn(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    p = proto.mvn_param
    x = bottoms[0].reshape(*bottoms[0].shape, *(1,) * (4 - bottoms[0].ndim))
    axes = (1, 2, 3) if p.across_channels else (2, 3)
    y = x - x.mean(axes, keepdims=True)
    if p.normalize_variance:
        y = y / (np.sqrt((y**2).mean(axes, keepdims=True)) + p.eps)
    return [y]


@LAYERS.layer("Normalize")
def normalize(proto: Any, bottoms: list[Array], blobs: Blobs) -> list[Array]:
    p = proto.norm_param
    (x,) = bottoms
    axes = (1, 2, 3) if p.across_spatial else (1,)
    y = x / np.sqrt((x**2).sum(axes, keepdims=True) + p.eps)
    return [y * (blobs() if p.channel_shared else blobs(x.shape[1]).reshape(-1, 1, 1))]
