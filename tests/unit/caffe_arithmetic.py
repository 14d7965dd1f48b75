"""What Caffe computes, in numpy and straight from the definitions of its layers, without the converter's code.

Trained numbers are made up as the layers come: each layer here knows the shapes of its blobs, as Caffe's layers do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf import text_format

from webdnn.frontends.caffe.schema import NetParameter

Array = npt.NDArray[Any]
Weights = dict[str, list[Array]]


class Net:
    """A network given as text (layers of Caffe 1.0), with random trained numbers.

    Attributes:
        net: the NetParameter.
        weights: the blobs of each layer, once `run` has made them.
    """

    def __init__(self, text: str, seed: int = 0) -> None:
        self.net: Any = text_format.Parse(text, NetParameter(), allow_unknown_field=True)
        self.weights: Weights = {}
        self._rng = np.random.default_rng(seed)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All blobs at the end of a forward pass, in 64-bit floats."""
        blobs = {name: array.astype(np.float64) for name, array in inputs.items()}
        for layer in self.net.layer:
            if layer.type == "Input":
                continue
            bottoms = [blobs[name] for name in layer.bottom]
            tops = LAYERS[layer.type](layer, bottoms, Blobs(self, layer.name))
            blobs.update(zip(layer.top, tops, strict=True))
        return blobs

    def made(self, name: str, index: int, shape: Sequence[int], low: float, high: float) -> Array:
        blobs = self.weights.setdefault(name, [])
        if index == len(blobs):
            blobs.append(self._rng.uniform(low, high, shape).astype(np.float32))
        assert blobs[index].shape == tuple(shape)
        return blobs[index].astype(np.float64)


class Blobs:
    """The trained numbers of one layer."""

    def __init__(self, net: Net, layer: str) -> None:
        self.net = net
        self.layer = layer
        self.count = 0

    def __call__(self, *shape: int, low: float = -1.0, high: float = 1.0) -> Array:
        """The next blob, of this shape."""
        self.count += 1
        return self.net.made(self.layer, self.count - 1, shape, low, high)

    def kept(self, values: Array) -> Array:
        """The next blob: these numbers, where there is none yet."""
        blobs = self.net.weights.setdefault(self.layer, [])
        if self.count == len(blobs):
            blobs.append(values.astype(np.float32))
        self.count += 1
        return blobs[self.count - 1].astype(np.float64)


Forward = Callable[[Any, list[Array], Blobs], list[Array]]
LAYERS: dict[str, Forward] = {}


def layer(*types: str) -> Callable[[Forward], Forward]:
    def register(forward: Forward) -> Forward:
        LAYERS.update(dict.fromkeys(types, forward))
        return forward

    return register


def per_axis(p: Any, name: str, rank: int, default: int) -> list[int]:
    if name != "dilation" and (p.HasField(f"{name}_h") or p.HasField(f"{name}_w")):
        return [getattr(p, f"{name}_h"), getattr(p, f"{name}_w")]
    values = list(getattr(p, "kernel_size" if name == "kernel" else name)) or [default]
    return values * rank if len(values) == 1 else values


def places(sizes: Sequence[int]) -> list[tuple[int, ...]]:
    return list(np.ndindex(*sizes))


@layer("Convolution", "DepthwiseConvolution")
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


@layer("Deconvolution")
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


@layer("InnerProduct")
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


@layer("Embed")
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


@layer("Pooling")
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


@layer("SPP")
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


@layer("LRN")
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
        for h, w in places(x.shape[2:]):
            near = x[:, :, max(0, h - half) : h + half + 1, max(0, w - half) : w + half + 1]
            scale[:, :, h, w] = 1 + p.alpha / p.local_size**2 * (near**2).sum((2, 3))
    return [x * scale**-p.beta]


@layer("BatchNorm")
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


@layer("Scale")
def scale(proto: Any, bottoms: list[Array], blobs: Blobs) -> list[Array]:
    p = proto.scale_param
    x = bottoms[0]
    by = bottoms[1] if len(bottoms) == 2 else trained(p, x, blobs)
    y = x * spread(x, by, p.axis)
    if p.bias_term:
        y = y + spread(x, blobs(*by.shape), p.axis)
    return [y]


@layer("Bias")
def bias(proto: Any, bottoms: list[Array], blobs: Blobs) -> list[Array]:
    p = proto.bias_param
    x = bottoms[0]
    by = bottoms[1] if len(bottoms) == 2 else trained(p, x, blobs)
    return [x + spread(x, by, p.axis)]


@layer("Eltwise")
def eltwise(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    p = proto.eltwise_param
    if p.operation == 0:
        return [np.prod(bottoms, 0)]
    if p.operation == 2:
        return [np.max(bottoms, 0)]
    coefficients = list(p.coeff) or [1.0] * len(bottoms)
    return [np.sum([c * x for c, x in zip(coefficients, bottoms, strict=True)], 0)]


@layer("Axpy")
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


@layer("PReLU")
def prelu(proto: Any, bottoms: list[Array], blobs: Blobs) -> list[Array]:
    (x,) = bottoms
    slope = blobs() if proto.prelu_param.channel_shared else blobs(x.shape[1])
    slope = slope.reshape(-1, *(1,) * (x.ndim - 2))
    return [np.maximum(x, 0) + slope * np.minimum(x, 0)]


@layer("Softmax")
def softmax(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    axis = proto.softmax_param.axis
    e = np.exp(bottoms[0] - bottoms[0].max(axis, keepdims=True))
    return [e / e.sum(axis, keepdims=True)]


@layer("MVN")
def mvn(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    p = proto.mvn_param
    x = bottoms[0].reshape(*bottoms[0].shape, *(1,) * (4 - bottoms[0].ndim))
    axes = (1, 2, 3) if p.across_channels else (2, 3)
    y = x - x.mean(axes, keepdims=True)
    if p.normalize_variance:
        y = y / (np.sqrt((y**2).mean(axes, keepdims=True)) + p.eps)
    return [y]


@layer("Normalize")
def normalize(proto: Any, bottoms: list[Array], blobs: Blobs) -> list[Array]:
    p = proto.norm_param
    (x,) = bottoms
    axes = (1, 2, 3) if p.across_spatial else (1,)
    y = x / np.sqrt((x**2).sum(axes, keepdims=True) + p.eps)
    return [y * (blobs() if p.channel_shared else blobs(x.shape[1]).reshape(-1, 1, 1))]


@layer("Concat")
def concat(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    p = proto.concat_param
    return [np.concatenate(bottoms, p.concat_dim if p.HasField("concat_dim") else p.axis)]


@layer("Slice")
def slices(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    p = proto.slice_param
    axis = p.slice_dim if p.HasField("slice_dim") else p.axis
    return np.split(bottoms[0], list(p.slice_point) or len(proto.top), axis)


@layer("Split")
def split(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    return bottoms * len(proto.top)


@layer("Crop")
def crop(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    p = proto.crop_param
    x, like = bottoms
    first = p.axis % x.ndim
    offsets = list(p.offset) or [0]
    offsets = offsets * (x.ndim - first) if len(offsets) == 1 else offsets
    cut = [slice(None)] * first
    cut += [slice(o, o + n) for o, n in zip(offsets, like.shape[first:], strict=True)]
    return [x[tuple(cut)]]


@layer("Flatten")
def flatten(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    (x,) = bottoms
    first, last = proto.flatten_param.axis % x.ndim, proto.flatten_param.end_axis % x.ndim
    return [x.reshape(*x.shape[:first], -1, *x.shape[last + 1 :])]


@layer("Reshape")
def reshape(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    p = proto.reshape_param
    (x,) = bottoms
    start = p.axis if p.axis >= 0 else x.ndim + p.axis + 1
    end = x.ndim if p.num_axes == -1 else start + p.num_axes
    new = [n if n else x.shape[start + i] for i, n in enumerate(p.shape.dim)]
    return [x.reshape(*x.shape[:start], *new, *x.shape[end:])]


@layer("Permute")
def permute(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    order = list(proto.permute_param.order)
    order += [axis for axis in range(bottoms[0].ndim) if axis not in order]
    return [bottoms[0].transpose(order)]


@layer("Tile")
def tile(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    p = proto.tile_param
    return [np.concatenate([bottoms[0]] * p.tiles, p.axis)]


@layer("BatchReindex")
def batch_reindex(_: Any, bottoms: list[Array], __: Blobs) -> list[Array]:
    return [bottoms[0][bottoms[1].astype(int)]]


@layer("Reduction")
def reduction(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    p = proto.reduction_param
    (x,) = bottoms
    axis = p.axis % x.ndim
    flat = x.reshape(*x.shape[:axis], -1)
    found = {
        1: flat.sum(-1),
        2: abs(flat).sum(-1),
        3: (flat**2).sum(-1),
        4: flat.mean(-1),
    }[p.operation]
    return [np.asarray(p.coeff * found)]


@layer("ArgMax")
def argmax(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    """Pairs of value and place, the greatest first: of equal values the last place."""
    p = proto.argmax_param
    (x,) = bottoms
    axis = p.axis % x.ndim if p.HasField("axis") else None
    rows = x.reshape(x.shape[0], -1) if axis is None else np.moveaxis(x, axis, -1)
    values, indices = np.zeros((2, *rows.shape[:-1], p.top_k))
    for at in places(rows.shape[:-1]):
        pairs = sorted(((v, i) for i, v in enumerate(rows[at])), reverse=True)[: p.top_k]
        values[at], indices[at] = zip(*pairs, strict=True)
    if axis is not None:
        return [np.moveaxis(values if p.out_max_val else indices, -1, axis)]
    both = [indices, values] if p.out_max_val else [indices]
    return [np.stack(both, 1).reshape(x.shape[0], len(both), p.top_k, *(1,) * (x.ndim - 3))]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


@layer("LSTM")
def lstm(proto: Any, bottoms: list[Array], blobs: Blobs) -> list[Array]:
    p = proto.recurrent_param
    x, cont, *rest = bottoms
    size = p.num_output
    static = rest.pop(0) if len(rest) % 2 else None
    steps, streams = cont.shape
    x = x.reshape(steps, streams, -1)
    scale = 0.5
    w, b = blobs(4 * size, x.shape[2], low=-scale, high=scale), blobs(4 * size)
    more = np.zeros((streams, 4 * size))
    if static is not None:
        static = static.reshape(streams, -1)
        more = static @ blobs(4 * size, static.shape[1], low=-scale, high=scale).T
    u = blobs(4 * size, size, low=-scale, high=scale)
    h, c = [s[0] for s in rest] if rest else np.zeros((2, streams, size))
    outputs: list[Array] = []
    for t in range(steps):
        on = cont[t][:, None]
        i, f, o, g = np.split(x[t] @ w.T + b + (on * h) @ u.T + more, 4, 1)
        c = on * sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return [np.stack(outputs), h[None], c[None]][: len(proto.top)]


@layer("RNN")
def rnn(proto: Any, bottoms: list[Array], blobs: Blobs) -> list[Array]:
    p = proto.recurrent_param
    x, cont, *rest = bottoms
    size = p.num_output
    steps, streams = cont.shape
    x = x.reshape(steps, streams, -1)
    w, b = blobs(size, x.shape[2]), blobs(size)
    static = rest.pop(0) if len(rest) > int(p.expose_hidden) else None
    more = np.zeros((streams, size)) if static is None else static @ blobs(size, static.shape[1]).T
    u, wo, bo = blobs(size, size), blobs(size, size), blobs(size)
    h = rest[0][0] if rest else np.zeros((streams, size))
    outputs: list[Array] = []
    for t in range(steps):
        h = np.tanh(x[t] @ w.T + b + (cont[t][:, None] * h) @ u.T + more)
        outputs.append(np.tanh(h @ wo.T + bo))
    return [np.stack(outputs), h[None]][: len(proto.top)]


@layer("DummyData")
def dummy_data(proto: Any, _: list[Array], __: Blobs) -> list[Array]:
    p = proto.dummy_data_param
    return [np.full(tuple(s.dim), f.value) for s, f in zip(p.shape, p.data_filler, strict=True)]


@layer("Parameter")
def parameter(proto: Any, _: list[Array], blobs: Blobs) -> list[Array]:
    return [blobs(*proto.parameter_param.shape.dim)]


@layer("PriorBox")
def prior_box(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    p = proto.prior_box_param
    height, width = bottoms[0].shape[2:]
    image_h, image_w = bottoms[1].shape[2:]
    step_h = p.step if p.HasField("step") else image_h / height
    step_w = p.step if p.HasField("step") else image_w / width
    ratios = [1.0]
    for ratio in p.aspect_ratio:
        if all(abs(ratio - r) >= 1e-6 for r in ratios):
            ratios += [ratio, 1 / ratio] if p.flip else [ratio]
    boxes: list[float] = []
    for h, w in places((height, width)):
        x, y = (w + p.offset) * step_w, (h + p.offset) * step_h
        for index, least in enumerate(p.min_size):
            sides = [(least, least)]
            if len(p.max_size):
                side = math.sqrt(least * p.max_size[index])
                sides.append((side, side))
            sides += [(least * math.sqrt(r), least / math.sqrt(r)) for r in ratios[1:]]
            for a, b in sides:
                boxes += [
                    (x - a / 2) / image_w,
                    (y - b / 2) / image_h,
                    (x + a / 2) / image_w,
                    (y + b / 2) / image_h,
                ]
    found = np.array(boxes)
    if p.clip:
        found = found.clip(0, 1)
    variances = np.tile(list(p.variance) * (4 if len(p.variance) == 1 else 1), len(boxes) // 4)
    return [np.stack([found, variances])[None]]


def overlap(a: Array, b: Array) -> float:
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    inner = np.prod(np.maximum(high - low, 0))
    return float(inner / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - inner))


@layer("DetectionOutput")
def detection_output(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    p = proto.detection_output_param
    location, confidence, priors = bottoms
    pictures, own = location.shape[0], 1 if p.share_location else p.num_classes
    prior, variance = priors.reshape(2, -1, 1, 4)
    offsets = location.reshape(pictures, -1, own, 4)
    scores = confidence.reshape(pictures, -1, p.num_classes)
    if not p.variance_encoded_in_target:
        offsets = offsets * variance
    size = prior[..., 2:] - prior[..., :2]
    if p.code_type == 1:
        boxes = prior + offsets
    elif p.code_type == 3:
        boxes = prior + offsets * np.concatenate([size, size], -1)
    else:
        center = (prior[..., 2:] + prior[..., :2]) / 2 + offsets[..., :2] * size
        half = np.exp(offsets[..., 2:]) * size / 2
        boxes = np.concatenate([center - half, center + half], -1)
    rows: list[list[float]] = []
    for n in range(pictures):
        kept: list[tuple[float, int, int]] = []
        for label in range(p.num_classes):
            if label == p.background_label_id:
                continue
            mine = boxes[n, :, 0 if own == 1 else label]
            order = sorted(range(len(mine)), key=lambda i: -scores[n, i, label])
            order = [i for i in order if scores[n, i, label] > p.confidence_threshold]
            chosen: list[int] = []
            for i in order[: p.nms_param.top_k]:
                if all(overlap(mine[i], mine[j]) <= p.nms_param.nms_threshold for j in chosen):
                    chosen.append(i)
            kept += [(scores[n, i, label], label, i) for i in chosen]
        if p.keep_top_k >= 0:
            best = sorted(kept, key=lambda k: -k[0])[: p.keep_top_k]
            kept = [k for k in kept if k in best]
        for score, label, i in kept:
            rows.append([n, label, score, *boxes[n, i, 0 if own == 1 else label]])
    nothing = [[n, -1, -1, -1, -1, -1, -1] for n in range(pictures)]
    return [np.array(rows or nothing, float)[None, None]]
