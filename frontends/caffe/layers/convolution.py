"""Convolution, Deconvolution, InnerProduct and Embed."""

from __future__ import annotations

import math
from typing import Any

from onnx import TensorProto

from webdnn.frontends.caffe.graph import Blob, Layer, Shape


def _spatial(layer: Layer, p: Any, name: str, rank: int, default: int) -> Shape:
    """A parameter for each spatial axis: said once, once an axis, or as NAME_h and NAME_w."""
    height, width = f"{name}_h", f"{name}_w"
    if name != "dilation" and (_has(p, height) or _has(p, width)):
        if rank != 2:
            raise layer.error(f"{height} and {width} are for 2 spatial axes, not {rank}")
        return (getattr(p, height), getattr(p, width))
    values = tuple(getattr(p, "kernel_size" if name == "kernel" else name)) or (default,)
    if len(values) not in (1, rank):
        raise layer.error(f"it has {len(values)} values of '{name}' for {rank} spatial axes")
    return values * rank if len(values) == 1 else values


def _has(message: Any, field: str) -> bool:
    return message.HasField(field)


def _windows(layer: Layer, p: Any, rank: int) -> tuple[Shape, Shape, Shape, Shape]:
    kernel, stride, pad, dilation = (
        _spatial(layer, p, name, rank, default)
        for name, default in (("kernel", 0), ("stride", 1), ("pad", 0), ("dilation", 1))
    )
    if 0 in (*kernel, *stride, *dilation):
        raise layer.error(
            "a kernel, stride or dilation is 0", why=f"{kernel=}, {stride=}, {dilation=}"
        )
    return kernel, stride, pad, dilation


def _convolve(layer: Layer, p: Any) -> list[Blob]:
    """Convolution and Deconvolution: every bottom with the same filters."""
    axis = layer.axis(p.axis)
    rank = len(layer.x.shape) - axis - 1
    if rank < 1:
        raise layer.error("it has no spatial axes", why=f"the shape is {layer.x.shape}")
    if any(bottom.shape != layer.x.shape for bottom in layer.bottoms):
        raise layer.error(
            "its inputs are of different shapes", why=f"{[b.shape for b in layer.bottoms]}"
        )
    transposed = layer.type == "Deconvolution"
    channels = layer.x.shape[axis]
    group = p.num_output if layer.type == "ConvolutionDepthwise" else p.group
    if not p.num_output or not group or channels % group or p.num_output % group:
        raise layer.error(
            f"{group} groups do not divide {channels} channels into {p.num_output}",
        )
    kernel, stride, pad, dilation = _windows(layer, p, rank)
    sizes: list[int] = []
    for size, k, s, before, d in zip(
        layer.x.shape[axis + 1 :], kernel, stride, pad, dilation, strict=True
    ):
        extent = d * (k - 1) + 1
        free = size + 2 * before - extent
        sizes.append(s * (size - 1) + extent - 2 * before if transposed else free // s + 1)
        if sizes[-1] < 1:
            raise layer.error(
                f"nothing is left of {size} elements",
                why=f"the kernel spans {extent} of {size} and {before} of padding on either side",
            )
    layer.need_weights(1 + p.bias_term)
    outer, inner = (channels, p.num_output) if transposed else (p.num_output, channels)
    weight = layer.constant(layer.weight(0, (outer, inner // group, *kernel)), "weight")
    bias = layer.constant(layer.weight(1, (p.num_output,)), "bias") if p.bias_term else None
    leading = layer.x.shape[:axis]
    batch = math.prod(leading)
    results: list[Blob] = []
    for bottom in layer.bottoms:
        x = layer.reshape(bottom, (batch, *bottom.shape[axis:]))
        y = layer.op(
            "ConvTranspose" if transposed else "Conv",
            *((x, weight) if bias is None else (x, weight, bias)),
            shape=(batch, p.num_output, *sizes),
            kernel_shape=kernel,
            strides=stride,
            pads=[*pad, *pad],
            dilations=dilation,
            group=group,
        )
        results.append(layer.reshape(y, (*leading, p.num_output, *sizes)))
    return results


def _inner_product(layer: Layer, p: Any) -> list[Blob]:
    layer.need_bottoms(1)
    layer.need_weights(1 + p.bias_term)
    axis = layer.axis(p.axis)
    rows, depth = math.prod(layer.x.shape[:axis]), math.prod(layer.x.shape[axis:])
    columns = p.num_output
    weight = layer.weight(0, (depth, columns) if p.transpose else (columns, depth))
    bias = [layer.constant(layer.weight(1, (columns,)), "bias")] if p.bias_term else []
    flat = layer.x
    if len(flat.shape) != 2 or axis != 1:
        flat = layer.op("Flatten", flat, shape=(rows, depth), axis=axis)
    y = layer.op(
        "Gemm",
        flat,
        layer.constant(weight, "weight"),
        *bias,
        shape=(rows, columns),
        transB=int(not p.transpose),
    )
    return [layer.reshape(y, (*layer.x.shape[:axis], columns))]


def _embed(layer: Layer, p: Any) -> list[Blob]:
    layer.need_bottoms(1)
    layer.need_weights(1 + p.bias_term)
    rows = layer.constant(layer.weight(0, (p.input_dim, p.num_output)), "weight")
    shape = (*layer.x.shape, p.num_output)
    y = layer.op("Gather", rows, as_integers(layer, layer.x), shape=shape, axis=0)
    if p.bias_term:
        y = layer.same("Add", y, layer.constant(layer.weight(1, (p.num_output,)), "bias"))
    return [y]


def as_integers(layer: Layer, x: Blob) -> Blob:
    """A blob of whole numbers, which Caffe keeps as floats, as 64-bit integers."""
    return layer.same("Cast", x, to=TensorProto.INT64)


HANDLERS = {
    "Convolution": ("convolution_param", _convolve),
    "ConvolutionDepthwise": ("convolution_param", _convolve),
    "Deconvolution": ("convolution_param", _convolve),
    "DepthwiseConvolution": ("convolution_param", _convolve),
    "Embed": ("embed_param", _embed),
    "InnerProduct": ("inner_product_param", _inner_product),
}
