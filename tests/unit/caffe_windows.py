"""Convolutions, inner products and poolings from their definitions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.unit.caffe_blobs import Array, Blobs, Table

LAYERS = Table()


def per_axis(p: Any, name: str, rank: int, default: int) -> list[int]:
    if name != "dilation" and (p.HasField(f"{name}_h") or p.HasField(f"{name}_w")):
        return [getattr(p, f"{name}_h"), getattr(p, f"{name}_w")]
    values = list(getattr(p, "kernel_size" if name == "kernel" else name)) or [default]
    return values * rank if len(values) == 1 else values


def places(sizes: Sequence[int]) -> list[tuple[int, ...]]:
    return list(np.ndindex(*sizes))


@LAYERS.layer("Convolution", "DepthwiseConvolution")
def convolution(proto: Any, bottoms: list[Array], blobs: Blobs) -> list[Array]:
    p = proto.convolution_param
    axis = p.axis % bottoms[0].ndim
    rank = bottoms[0].ndim - axis - 1
    kernel, stride, pad, dilation = (
        per_axis(p, n, rank, d)
        for n, d in (("kernel", 0), ("stride", 1), ("pad", 0), ("dilation", 1))
    )
    channels = bottoms[0].shape[axis]
    scale = 1 / math.sqrt(channels // p.group * math.prod(kernel))
    w = blobs(p.num_output, channels // p.group, *kernel, low=-2 * scale, high=2 * scale)
    b = blobs(p.num_output) if p.bias_term else np.zeros(p.num_output)
    results: list[Array] = []
    for x in bottoms:
        leading = x.shape[:axis]
        x = x.reshape(-1, *x.shape[axis:])
        x = np.pad(x, [(0, 0), (0, 0), *((n, n) for n in pad)])
        sizes = [
            (n - d * (k - 1) - 1) // s + 1
            for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)
        ]
        y = np.zeros((x.shape[0], p.num_output, *sizes))
        inner, outer = channels // p.group, p.num_output // p.group
        for place in places(kernel):
            window = tuple(
                slice(at * d, at * d + (n - 1) * s + 1, s)
                for at, d, n, s in zip(place, dilation, sizes, stride, strict=True)
            )
            seen = x[(slice(None), slice(None), *window)]
            for g in range(p.group):
                rows = slice(g * outer, (g + 1) * outer)
                part = seen[:, g * inner : (g + 1) * inner]
                factors = w[(rows, slice(None), *place)]
                y[:, rows] += np.moveaxis(np.tensordot(factors, part, ([1], [1])), 0, 1)
        y += b.reshape(-1, *(1,) * rank)
        results.append(y.reshape(*leading, *y.shape[1:]))
    return results


@LAYERS.layer("Deconvolution")
def deconvolution(proto: Any, bottoms: list[Array], blobs: Blobs) -> list[Array]:
    """Each element of the input is spread over the output by its filter."""
    p = proto.convolution_param
    (x,) = bottoms
    rank = x.ndim - 2
    kernel, stride, pad, dilation = (
        per_axis(p, n, rank, d)
        for n, d in (("kernel", 0), ("stride", 1), ("pad", 0), ("dilation", 1))
    )
    outer = p.num_output // p.group
    inner = x.shape[1] // p.group
    w = blobs(x.shape[1], outer, *kernel)
    b = blobs(p.num_output) if p.bias_term else np.zeros(p.num_output)
    full = [
        s * (n - 1) + d * (k - 1) + 1
        for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)
    ]
    y = np.zeros((x.shape[0], p.num_output, *full))
    for place in places(x.shape[2:]):
        for tap in places(kernel):
            target = tuple(
                s * at + d * t for s, at, d, t in zip(stride, place, dilation, tap, strict=True)
            )
            for n in range(x.shape[0]):
                for g in range(p.group):
                    group = slice(g * inner, (g + 1) * inner)
                    out = slice(g * outer, (g + 1) * outer)
                    y[(n, out, *target)] += x[(n, group, *place)] @ w[(group, slice(None), *tap)]
    cut = tuple(slice(n, size - n) for n, size in zip(pad, full, strict=True))
    return [y[(slice(None), slice(None), *cut)] + b.reshape(-1, *(1,) * rank)]


@LAYERS.layer("InnerProduct")
def inner_product(proto: Any, bottoms: list[Array], blobs: Blobs) -> list[Array]:
    p = proto.inner_product_param
    (x,) = bottoms
    axis = p.axis % x.ndim
    depth = math.prod(x.shape[axis:])
    scale = 2 / math.sqrt(depth)
    shape = (depth, p.num_output) if p.transpose else (p.num_output, depth)
    w = blobs(*shape, low=-scale, high=scale)
    y = x.reshape(-1, depth) @ (w if p.transpose else w.T)
    if p.bias_term:
        y = y + blobs(p.num_output)
    return [y.reshape(*x.shape[:axis], p.num_output)]


@LAYERS.layer("Embed")
def embed(proto: Any, bottoms: list[Array], blobs: Blobs) -> list[Array]:
    p = proto.embed_param
    rows = blobs(p.input_dim, p.num_output)
    bias = blobs(p.num_output) if p.bias_term else 0
    return [rows[bottoms[0].astype(int)] + bias]


def pooled_size(size: int, kernel: int, stride: int, pad: int, any_pad: bool, ceil: bool) -> int:
    exact = (size + 2 * pad - kernel) / stride
    count = (math.ceil(exact) if ceil else math.floor(exact)) + 1
    if any_pad and (count - 1) * stride >= size + pad:
        count -= 1
    return count


def pool(
    x: Array,
    method: int,
    kernel: Sequence[int],
    stride: Sequence[int],
    pad: Sequence[int],
    ceil: bool,
) -> tuple[Array, Array]:
    sizes = [
        pooled_size(x.shape[2 + a], kernel[a], stride[a], pad[a], any(pad), ceil) for a in (0, 1)
    ]
    y = np.zeros((*x.shape[:2], *sizes))
    mask = np.full(y.shape, -1.0)
    for ph, pw in places(sizes):
        hs, ws = ph * stride[0] - pad[0], pw * stride[1] - pad[1]
        if method == 0:
            h = slice(max(hs, 0), min(hs + kernel[0], x.shape[2]))
            w = slice(max(ws, 0), min(ws + kernel[1], x.shape[3]))
            seen = x[:, :, h, w]
            if 0 in seen.shape[2:]:
                y[:, :, ph, pw] = -np.finfo(np.float32).max
                continue
            y[:, :, ph, pw] = seen.max((2, 3))
            flat = seen.reshape(*seen.shape[:2], -1).argmax(2)
            rows, columns = np.divmod(flat, seen.shape[3])
            mask[:, :, ph, pw] = (rows + h.start) * x.shape[3] + columns + w.start
            continue
        he, we = min(hs + kernel[0], x.shape[2] + pad[0]), min(ws + kernel[1], x.shape[3] + pad[1])
        count = (he - hs) * (we - ws)
        seen = x[:, :, max(hs, 0) : min(he, x.shape[2]), max(ws, 0) : min(we, x.shape[3])]
        with np.errstate(divide="ignore", invalid="ignore"):
            y[:, :, ph, pw] = seen.sum((2, 3)) / np.float64(count)
    return y, mask


@LAYERS.layer("Pooling")
def pooling(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    p = proto.pooling_param
    (x,) = bottoms

    def pair(name: str, both: str) -> list[int]:
        if p.HasField(f"{name}_h"):
            return [getattr(p, f"{name}_h"), getattr(p, f"{name}_w")]
        return [getattr(p, both)] * 2

    kernel = list(x.shape[2:]) if p.global_pooling else pair("kernel", "kernel_size")
    ceil = p.round_mode == 0 and p.ceil_mode
    results = pool(x, p.pool, kernel, pair("stride", "stride"), pair("pad", "pad"), ceil)
    return list(results[: len(proto.top)])


@LAYERS.layer("SPP")
def spp(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    p = proto.spp_param
    (x,) = bottoms
    results: list[Array] = []
    for level in range(p.pyramid_height):
        bins = 2**level
        kernel = [math.ceil(size / bins) for size in x.shape[2:]]
        pad = [(k * bins - size + 1) // 2 for k, size in zip(kernel, x.shape[2:], strict=True)]
        results.append(pool(x, p.pool, kernel, kernel, pad, True)[0])
    if len(results) == 1:
        return results
    return [np.concatenate([y.reshape(y.shape[0], -1) for y in results], 1)]
