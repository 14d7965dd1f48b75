"""Reduction and ArgMax."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx import TensorProto

from webdnn.frontends.caffe.graph import Blob, Layer
from webdnn.frontends.caffe.layers.elementwise import scaled

_REDUCTIONS = {
    "SUM": "ReduceSum",
    "ASUM": "ReduceL1",
    "SUMSQ": "ReduceSumSquare",
    "MEAN": "ReduceMean",
}


def _reduction(layer: Layer, p: Any) -> list[Blob]:
    layer.need_bottoms(1)
    axes = range(layer.axis(p.axis), len(layer.x.shape))
    op_type = _REDUCTIONS[layer.enum(p, "operation")]
    return [scaled(layer, layer.reduce(op_type, layer.x, list(axes), keep=False), p.coeff)]


def _argmax(layer: Layer, p: Any) -> list[Blob]:
    """The places of the greatest numbers, as floats; of equal ones Caffe takes the last."""
    layer.need_bottoms(1)
    if p.HasField("axis"):
        axis = layer.axis(p.axis)
        values, places = _greatest(layer, layer.x, axis, p.top_k, p.out_max_val)
        return [values if values is not None else places]
    shape = layer.x.shape
    flat = layer.reshape(layer.x, (shape[0], math.prod(shape[1:])))
    values, places = _greatest(layer, flat, 1, p.top_k, p.out_max_val)
    ones = (1,) * max(0, len(shape) - 3)
    places = layer.reshape(places, (shape[0], 1, p.top_k, *ones))
    if values is None:
        return [places]
    values = layer.reshape(values, places.shape)
    return [layer.op("Concat", places, values, shape=(shape[0], 2, *places.shape[2:]), axis=1)]


def _greatest(
    layer: Layer, x: Blob, axis: int, count: int, with_values: bool
) -> tuple[Blob | None, Blob]:
    size = x.shape[axis]
    if not 1 <= count <= size:
        raise layer.error(f"top_k is {count}, and must be between 1 and {size}")
    shape = tuple(count if index == axis else n for index, n in enumerate(x.shape))
    if count == 1 and not with_values:
        places = layer.op("ArgMax", x, shape=shape, axis=axis, keepdims=1, select_last_index=1)
        return None, layer.same("Cast", places, to=TensorProto.FLOAT)
    # TopK takes the first of equal ones: the last, from behind
    least = np.iinfo(np.int64).min
    turned = layer.op(
        "Slice",
        x,
        layer.ints(-1),
        layer.ints(least),
        layer.ints(axis),
        layer.ints(-1),
        shape=x.shape,
    )
    values, behind = layer.ops("TopK", [turned, layer.ints(count)], [shape, shape], axis=axis)
    places = layer.op("Sub", layer.ints(size - 1), behind, shape=shape)
    return values if with_values else None, layer.same("Cast", places, to=TensorProto.FLOAT)


HANDLERS = {"ArgMax": ("argmax_param", _argmax), "Reduction": ("reduction_param", _reduction)}
