"""Layers that combine several blobs element by element, or a blob and trained numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from webdnn.frontends.caffe.graph import Blob, Layer, Shape
from webdnn.frontends.caffe.layers.elementwise import scaled


def _eltwise(layer: Layer, p: Any) -> list[Blob]:
    if len(layer.bottoms) < 2:
        raise layer.error(f"it reads {len(layer.bottoms)} blob, and needs several")
    if any(bottom.shape != layer.x.shape for bottom in layer.bottoms):
        raise layer.error(
            "its inputs are of different shapes",
            why=", ".join(str(bottom.shape) for bottom in layer.bottoms),
        )
    operation = layer.enum(p, "operation")
    if operation == "MAX":
        return [layer.same("Max", *layer.bottoms)]
    coefficients = list(p.coeff) or [1.0] * len(layer.bottoms)
    if len(coefficients) != len(layer.bottoms):
        raise layer.error(
            f"it has {len(coefficients)} coefficients for {len(layer.bottoms)} inputs"
        )
    if operation == "PROD":
        if len(p.coeff):
            raise layer.error("a product has no coefficients", hint="leave out coeff")
        y = layer.x
        for bottom in layer.bottoms[1:]:
            y = layer.same("Mul", y, bottom)
        return [y]
    y = scaled(layer, layer.x, coefficients[0])
    for bottom, coefficient in zip(layer.bottoms[1:], coefficients[1:], strict=True):
        if coefficient == -1:
            y = layer.same("Sub", y, bottom)
        else:
            y = layer.same("Add", y, scaled(layer, bottom, coefficient))
    return [y]


def _spread(layer: Layer, shape: Shape, axis: int) -> Shape:
    """The shape in which numbers for the axes from `axis` on are broadcast to the first bottom."""
    whole = layer.x.shape
    if not shape:
        return ()
    if whole[axis : axis + len(shape)] != shape:
        raise layer.error(
            f"numbers of shape {shape} do not fit the axes from {axis} on",
            why=f"the shape of what it reads is {whole}",
        )
    return (*shape, *(1,) * (len(whole) - axis - len(shape)))


def _operand(layer: Layer, p: Any, index: int, role: str) -> Blob:
    """Trained numbers for the axes that the parameters name, ready to be broadcast."""
    axis = layer.axis(p.axis) if p.num_axes else 0
    end = len(layer.x.shape) if p.num_axes == -1 else axis + p.num_axes
    shape = layer.x.shape[axis:end] if p.num_axes else ()
    if p.num_axes < -1 or end > len(layer.x.shape):
        raise layer.error(f"there are no {p.num_axes} axes from {axis} on in {layer.x.shape}")
    array = layer.weight(index, shape)
    return layer.constant(np.reshape(array, _spread(layer, shape, axis)), role)


def _read(layer: Layer, p: Any) -> Blob:
    """The second bottom, ready to be broadcast."""
    other = layer.bottoms[1]
    axis = layer.axis(p.axis) if other.shape else 0
    return layer.reshape(other, _spread(layer, other.shape, axis))


def _scale(layer: Layer, p: Any) -> list[Blob]:
    layer.need_bottoms(1, 2)
    trained = len(layer.bottoms) == 1
    layer.need_weights(trained + p.bias_term)
    y = layer.same("Mul", layer.x, _operand(layer, p, 0, "scale") if trained else _read(layer, p))
    if not p.bias_term:
        return [y]
    if trained:
        return [layer.same("Add", y, _operand(layer, p, 1, "bias"))]
    # as many axes as the factors have
    shape = layer.bottoms[1].shape
    bias = layer.weight(0, shape).reshape(_spread(layer, shape, layer.axis(p.axis) if shape else 0))
    return [layer.same("Add", y, layer.constant(bias, "bias"))]


def _bias(layer: Layer, p: Any) -> list[Blob]:
    layer.need_bottoms(1, 2)
    trained = len(layer.bottoms) == 1
    layer.need_weights(int(trained))
    bias = _operand(layer, p, 0, "bias") if trained else _read(layer, p)
    return [layer.same("Add", layer.x, bias)]


def _axpy(layer: Layer, _: Any) -> list[Blob]:
    """Of SENet's fork: the second blob times one number a channel, plus the third."""
    layer.need_bottoms(3)
    factors, x, y = layer.bottoms
    if x.shape != y.shape or factors.shape[:2] != x.shape[:2]:
        raise layer.error(
            "the shapes of its inputs do not fit", why=f"{[b.shape for b in layer.bottoms]}"
        )
    factors = layer.reshape(factors, (*x.shape[:2], *(1,) * (len(x.shape) - 2)))
    return [layer.same("Add", layer.same("Mul", x, factors), y)]


HANDLERS = {
    "Axpy": ("", _axpy),
    "Bias": ("bias_param", _bias),
    "Eltwise": ("eltwise_param", _eltwise),
    "Scale": ("scale_param", _scale),
}
