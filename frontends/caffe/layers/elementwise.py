"""Layers that compute each element from one element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from webdnn.frontends.caffe.graph import Blob, Layer


def scaled(layer: Layer, x: Blob, scale: float, shift: float = 0.0) -> Blob:
    """`scale * x + shift`, without what changes nothing."""
    if scale != 1:
        x = layer.same("Mul", x, layer.scalar(scale))
    if shift != 0:
        x = layer.same("Add", x, layer.scalar(shift))
    return x


def _plain(op_type: str) -> Callable[[Layer, Any], list[Blob]]:
    def convert(layer: Layer, _: Any) -> list[Blob]:
        layer.need_bottoms(1)
        return [layer.same(op_type, layer.x)]

    return convert


def _relu(layer: Layer, p: Any) -> list[Blob]:
    layer.need_bottoms(1)
    if p.negative_slope:
        return [layer.same("LeakyRelu", layer.x, alpha=p.negative_slope)]
    return [layer.same("Relu", layer.x)]


def _clip(layer: Layer, p: Any) -> list[Blob]:
    layer.need_bottoms(1)
    least, most = (0.0, 6.0) if layer.type == "ReLU6" else (p.min, p.max)
    return [layer.same("Clip", layer.x, layer.scalar(least), layer.scalar(most))]


def _elu(layer: Layer, p: Any) -> list[Blob]:
    layer.need_bottoms(1)
    return [layer.same("Elu", layer.x, alpha=p.alpha)]


def _prelu(layer: Layer, p: Any) -> list[Blob]:
    layer.need_bottoms(1)
    layer.need_weights(1)
    if p.channel_shared:
        slope = layer.raw_weight(0).reshape(-1)
        if slope.size != 1:
            raise layer.error(f"its slope is shared, and there are {slope.size}")
        shape = (1,)
    else:
        channels = layer.x.shape[layer.axis(1)]
        slope = layer.weight(0, (channels,))
        shape = (channels, *(1,) * (len(layer.x.shape) - 2))
    return [layer.same("PRelu", layer.x, layer.constant(slope.reshape(shape), "slope"))]


def _power(layer: Layer, p: Any) -> list[Blob]:
    layer.need_bottoms(1)
    if p.power * p.scale == 0:
        with np.errstate(all="ignore"):
            value = np.float32(1) if p.power == 0 else np.float32(p.shift) ** np.float32(p.power)
        filling = numpy_helper.from_array(np.array([value], np.float32))
        sizes = layer.ints(*layer.x.shape)
        return [layer.op("ConstantOfShape", sizes, shape=layer.x.shape, value=filling)]
    y = scaled(layer, layer.x, p.scale, p.shift)
    if p.power != 1:
        y = layer.same("Pow", y, layer.scalar(p.power))
    return [y]


def _log_of_base(layer: Layer, base: float) -> float:
    """The natural logarithm of a base; -1 stands for Euler's number."""
    if base == -1:
        return 1.0
    if base <= 0:
        raise layer.error(f"the base is {base}, and must be positive, or -1 for Euler's number")
    return math.log(base)


def _exp(layer: Layer, p: Any) -> list[Blob]:
    layer.need_bottoms(1)
    log = _log_of_base(layer, p.base)
    y = layer.same("Exp", scaled(layer, layer.x, log * p.scale))
    return [scaled(layer, y, math.exp(log * p.shift))]


def _log(layer: Layer, p: Any) -> list[Blob]:
    layer.need_bottoms(1)
    log = _log_of_base(layer, p.base)
    if log == 0:
        raise layer.error("the base is 1, which has no logarithms")
    return [scaled(layer, layer.same("Log", scaled(layer, layer.x, p.scale, p.shift)), 1 / log)]


def _swish(layer: Layer, p: Any) -> list[Blob]:
    layer.need_bottoms(1)
    gate = layer.same("Sigmoid", scaled(layer, layer.x, p.beta))
    return [layer.same("Mul", layer.x, gate)]


def _threshold(layer: Layer, p: Any) -> list[Blob]:
    layer.need_bottoms(1)
    above = layer.same("Greater", layer.x, layer.scalar(p.threshold))
    return [layer.same("Cast", above, to=TensorProto.FLOAT)]


HANDLERS = {
    "AbsVal": ("", _plain("Abs")),
    "BNLL": ("", _plain("Softplus")),
    "Clip": ("clip_param", _clip),
    "ELU": ("elu_param", _elu),
    "Exp": ("exp_param", _exp),
    "Log": ("log_param", _log),
    "PReLU": ("prelu_param", _prelu),
    "Power": ("power_param", _power),
    "ReLU": ("relu_param", _relu),
    "ReLU6": ("", _clip),
    "Sigmoid": ("", _plain("Sigmoid")),
    "Swish": ("swish_param", _swish),
    "TanH": ("", _plain("Tanh")),
    "Threshold": ("threshold_param", _threshold),
}
