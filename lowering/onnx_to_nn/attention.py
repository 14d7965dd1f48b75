"""Scaled dot product attention, rotary embeddings and gated units of transformers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from xdsl.dialects.builtin import i64
from xdsl.ir import Attribute, SSAValue

from webdnn.dialects.dtypes import Array, element_of_onnx, is_bool, numpy_dtype
from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.nn import reduction as rd
from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.errors import Invalid, Unsupported
from webdnn.lowering.onnx_to_nn.node import Node
from webdnn.lowering.onnx_to_nn.registry import onnx_lowering


def split_heads(x: SSAValue, heads: int, b: NNBuilder) -> SSAValue:
    """From `batch, sequence, heads * size` to `batch, heads, sequence, size`.

    Raises:
        Invalid: that many heads do not make up the last dimension.
    """
    batch, sequence, hidden = shape_of(x)
    if heads < 1 or hidden % heads:
        raise Invalid(f"{heads} heads do not make up a dimension of {hidden}")
    return b.transpose(b.reshape(x, [batch, sequence, heads, hidden // heads]), [0, 2, 1, 3])


def merge_heads(x: SSAValue, b: NNBuilder) -> SSAValue:
    """The inverse of `split_heads`."""
    batch, heads, sequence, size = shape_of(x)
    return b.reshape(b.transpose(x, [0, 2, 1, 3]), [batch, sequence, heads * size])


def lowest(element: Attribute) -> float:
    """The least finite value of a float type: what a masked score becomes, so that no infinity is computed with."""
    name = numpy_dtype(element).name
    return {"float16": -65504.0, "bfloat16": -3.3895313892515355e38}.get(
        name, float(np.finfo(np.float32).min) if name == "float32" else float(np.finfo(float).min)
    )


@dataclass
class Mask:
    """Which keys a query may attend to: a constant part, parts known at run time, and a bias that is added."""

    static: Array | None = None
    dynamic: SSAValue | None = None
    bias: SSAValue | None = None

    def restrict(self, allowed: Array) -> None:
        self.static = allowed if self.static is None else self.static & allowed

    def restrict_at_run_time(self, allowed: SSAValue, b: NNBuilder) -> None:
        before = self.dynamic
        self.dynamic = allowed if before is None else b(ew.AndOp, before, allowed)

    def allowed(self, b: NNBuilder) -> SSAValue | None:
        static = None
        if self.static is not None and not self.static.all():
            static = b.constant(self.static)
        if static is None or self.dynamic is None:
            return self.dynamic if static is None else static
        return b(ew.AndOp, self.dynamic, static)

    def attendable(self, b: NNBuilder) -> SSAValue | None:
        """Whether a query has any key at all; None where it always has."""
        parts: list[SSAValue] = []
        allowed = self.allowed(b)
        rows_are_whole = self.static is None or bool(self.static.any(-1).all())
        if allowed is not None and (self.dynamic is not None or not rows_are_whole):
            parts.append(allowed)
        if self.bias is not None:
            floor = b.constant(lowest(element_of(self.bias)), element_of(self.bias))
            parts.append(b(ew.LessEqualOp, floor, self.bias))
            if allowed is not None and allowed not in parts:
                parts.append(allowed)
        if not parts:
            return None
        every = parts[0] if len(parts) == 1 else b(ew.AndOp, parts[0], parts[1])
        return b.reduce("or", every, [len(shape_of(every)) - 1])


def _mask_of(node: Node, queries: int, keys: int, b: NNBuilder) -> Mask:
    mask = Mask()
    past = node.shape(4)[2] if node.has(4) else 0
    lengths = node.optional(6)
    left, right = node.int("left_window_size", -1), node.int("right_window_size", -1)
    # Key j is `distance` after the query i: j - i. Of each limit: what is added to the distance, and whether the past
    # is the most that it may be then, or the least.
    limits: list[tuple[int, bool]] = []
    if node.int("is_causal"):
        limits.append((0, True))
    if right >= 0:
        limits.append((-right, True))
    if left >= 0:
        limits.append((left, False))
    distance = _distance(queries, keys, b)
    if lengths is None or node.has(4):
        for shift, is_upper in limits:
            if isinstance(distance, SSAValue) or is_symbolic(past):
                bound = b(ew.AddOp, _tensor(distance, b), shift)
                mask.restrict_at_run_time(_ordered(bound, past, is_upper, b), b)
            else:
                bound = distance + shift
                mask.restrict(bound <= past if is_upper else bound >= past)
    else:
        offset = b.reshape(b(ew.SubOp, lengths, queries), [-1, 1, 1, 1])
        for shift, is_upper in limits:
            if isinstance(distance, SSAValue):
                limit = b(ew.AddOp, distance, shift)
            else:
                limit = b.constant((distance + shift).astype(np.int64))
            mask.restrict_at_run_time(_ordered(limit, offset, is_upper, b), b)
    if lengths is not None:
        valid = b(ew.LessOp, b.iota([1, 1, 1, keys], 3, i64), b.reshape(lengths, [-1, 1, 1, 1]))
        mask.restrict_at_run_time(valid, b)
    given = node.optional(3)
    if given is None:
        return mask
    missing = keys - shape_of(given)[-1]
    if missing != 0 and missing > 0:
        given = b.pad(
            given, [0] * len(shape_of(given)), [*[0] * (len(shape_of(given)) - 1), missing]
        )
        if is_symbolic(keys) or is_symbolic(missing):
            there = b(ew.LessOp, b.iota([1, keys], 1, i64), keys - missing)
            mask.restrict_at_run_time(there, b)
        else:
            mask.restrict(np.arange(keys)[None, :] < keys - missing)
    if is_bool(element_of(given)):
        mask.restrict_at_run_time(given, b)
    else:
        mask.bias = given
    return mask


def _distance(queries: int, keys: int, b: NNBuilder) -> Array | SSAValue:
    """How far each key (in rows) comes after each query."""
    if is_symbolic(queries) or is_symbolic(keys):
        return b(ew.SubOp, b.iota([1, keys], 1, i64), b.iota([queries, 1], 0, i64))
    b.reserve([queries, keys], 1)
    return np.arange(keys)[None, :] - np.arange(queries)[:, None]


def _tensor(array: Array | SSAValue, b: NNBuilder) -> SSAValue:
    return array if isinstance(array, SSAValue) else b.constant(array.astype(np.int64))


def _ordered(a: SSAValue, other: SSAValue | int, is_upper: bool, b: NNBuilder) -> SSAValue:
    return b(ew.LessEqualOp, a, other) if is_upper else b(ew.LessEqualOp, other, a)


@onnx_lowering("Attention")
def attention(node: Node, b: NNBuilder) -> Sequence[SSAValue | None]:
    q, k, v = node[0], node[1], node[2]
    is_flat = len(shape_of(q)) == 3
    if is_flat:
        kv_heads = node.int("kv_num_heads")
        q = split_heads(q, node.int("q_num_heads"), b)
        k, v = split_heads(k, kv_heads, b), split_heads(v, kv_heads, b)
    element = element_of(q)
    if node.has(4):
        k, v = b.concat([node[4], k], 2), b.concat([node[5], v], 2)
    batch, heads, queries, size = shape_of(q)
    kv_heads, keys = shape_of(k)[1:3]
    if kv_heads == 0 or heads % kv_heads:
        raise Invalid(f"{heads} heads of queries cannot share {kv_heads} of keys")
    given = node.attr("scale")
    scale = 1.0 / math.sqrt(size) if given is None else float(given)
    mask = _mask_of(node, queries, keys, b)
    heads_of = _Heads(kv_heads, heads // kv_heads, queries, mask)
    scores = b.matmul(
        heads_of.split(b(ew.MulOp, q, scale), b),
        heads_of.share(b.transpose(k, [0, 1, 3, 2]), b),
    )
    mode, shown = node.int("qk_matmul_output_mode"), scores
    softcap = node.float("softcap")
    if softcap > 0:
        scores = b(ew.MulOp, b(ew.TanhOp, b(ew.MulOp, scores, 1.0 / softcap)), softcap)
        shown = scores if mode == 1 else shown
    if mask.bias is not None:
        scores = b(ew.AddOp, scores, b.cast(heads_of.split(mask.bias, b), element_of(scores)))
    if (allowed := mask.allowed(b)) is not None:
        least = -math.inf if mode == 2 and node.wants(3) else lowest(element)
        scores = b(ew.SelectOp, heads_of.split(allowed, b), scores, least)
    shown = scores if mode == 2 else shown
    precision = node.int("softmax_precision")
    wide = b.cast(scores, element_of_onnx(precision)) if precision else scores
    weights = b.insert(rd.SoftmaxOp(wide, len(shape_of(wide)) - 1))
    attendable = mask.attendable(b)
    if attendable is not None:
        weights = b(ew.SelectOp, heads_of.split(attendable, b), weights, 0.0)
    weights = b.cast(weights, element)
    shown = weights if mode == 3 else shown
    values = b.matmul(weights, heads_of.share(v, b))
    result = b.reshape(values, [batch, heads, queries, shape_of(v)[-1]])
    shown = b.reshape(shown, [batch, heads, queries, keys])
    return [merge_heads(result, b) if is_flat else result, k, v, shown]


class _Heads:
    """How scores are laid out where several heads of queries share one of keys and values.

    They are `batch, key heads, heads that share it, queries, keys`, but where one mask does for all heads and
    queries, and where there is one query, `batch, key heads, rows, keys`: more rows of one product.
    """

    def __init__(self, kv_heads: int, shared: int, queries: int, mask: Mask) -> None:
        self.kv_heads, self.shared = kv_heads, shared
        masks = [shape_of(v) for v in (mask.dynamic, mask.bias) if v is not None]
        masks += [] if mask.static is None else [list(mask.static.shape)]
        self.is_plain = shared == 1
        self.in_rows = queries == 1 or all(set(m[-3:-1]) <= {1} for m in masks)

    def split(self, x: SSAValue, b: NNBuilder) -> SSAValue:
        """What has (or is broadcast to) the shape `batch, heads, queries, any`, as the scores are laid out."""
        if self.is_plain:
            return x
        batch, heads, rows, size = [1] * (4 - len(shape_of(x))) + list(shape_of(x))
        parts = [1, 1] if heads == 1 else [self.kv_heads, self.shared]
        if self.in_rows:
            return b.reshape(x, [batch, parts[0], parts[1] * rows, size])
        return b.reshape(x, [batch, *parts, rows, size])

    def share(self, x: SSAValue, b: NNBuilder) -> SSAValue:
        """Keys or values `batch, key heads, ...`, to be read by all the heads that share them."""
        if self.is_plain or self.in_rows:
            return x
        batch, heads, *rest = shape_of(x)
        return b.reshape(x, [batch, heads, 1, *rest])


@onnx_lowering("RotaryEmbedding")
def rotary_embedding(node: Node, b: NNBuilder) -> SSAValue:
    """Pairs of elements turned by the angles of their position; works on `batch, sequence, heads, size`."""
    x, cos, sin = node[0], node[1], node[2]
    is_flat = node.rank() == 3
    if is_flat:
        batch, sequence, hidden = node.shape()
        heads = node.int("num_heads")
        if not heads:
            raise Unsupported("its input has 3 dimensions, and num_heads is missing")
        x = b.reshape(x, [batch, sequence, heads, hidden // heads])
    else:
        x = b.transpose(x, [0, 2, 1, 3])
    size = shape_of(x)[-1]
    turned = node.int("rotary_embedding_dim") or size
    if node.has(3):
        cos, sin = (b.insert(dm.GatherOp(v, node[3], 0)) for v in (cos, sin))
    cos, sin = (b.reshape(v, [*shape_of(v)[:-1], 1, shape_of(v)[-1]]) for v in (cos, sin))
    half, rest = turned // 2, b.slice_axis(x, 3, turned, size - turned)
    step, second = (2, 1) if node.int("interleaved") else (1, half)
    first_part, second_part = (b.slice_axis(x, 3, at, half, step) for at in (0, second))
    real = b(ew.SubOp, b(ew.MulOp, cos, first_part), b(ew.MulOp, sin, second_part))
    imaginary = b(ew.AddOp, b(ew.MulOp, sin, first_part), b(ew.MulOp, cos, second_part))
    if node.int("interleaved"):
        pairs = [b.reshape(v, [*shape_of(v), 1]) for v in (real, imaginary)]
        result = b.reshape(b.concat(pairs, 4), [*shape_of(real)[:-1], turned])
    else:
        result = b.concat([real, imaginary], 3)
    if size > turned:
        result = b.concat([result, rest], 3)
    return b.reshape(result, node.shape()) if is_flat else b.transpose(result, [0, 2, 1, 3])


@onnx_lowering("SwiGLU")
def swiglu(node: Node, b: NNBuilder) -> SSAValue:
    gate, alpha = node[0], node.float("alpha", 1.0)
    inner = gate if alpha == 1.0 else b(ew.MulOp, gate, alpha)
    return b(ew.MulOp, b(ew.MulOp, gate, b(ew.SigmoidOp, inner)), node[1])


@onnx_lowering("CausalConvWithState")
def causal_conv_with_state(node: Node, b: NNBuilder) -> Sequence[SSAValue]:
    """A depthwise convolution over time that sees the last `kernel - 1` elements of the call before."""
    x, weight = node[0], node[1]
    batch, channels, _ = node.shape()
    kernel = node.shape(1)[-1]
    past = node.optional(3)
    x = b.pad(x, [0, 0, kernel - 1], [0, 0, 0]) if past is None else b.concat([past, x], 2)
    length = shape_of(x)[2]
    y = b.insert(rd.ConvOp(b.channels_last(x), b.transpose(weight, [2, 1, 0]), [1], [1], channels))
    if node.has(2):
        y = b(ew.AddOp, y, node[2])
    y = b.channels_first(y)
    if node.str("activation", "none") in ("silu", "swish"):
        y = b(ew.MulOp, y, b(ew.SigmoidOp, y))
    state = b.slice(x, [0, 0, length - kernel + 1], [batch, channels, kernel - 1])
    return [y, state]


@onnx_lowering("LinearAttention")
def linear_attention(node: Node, b: NNBuilder) -> Sequence[SSAValue]:
    """A state of `key size x value size` for each head, unrolled over time.

    With the decay g and the rate beta: S = exp(g) S + beta k (v - S^T k)^T, without what the update rule leaves out.
    """
    q_heads, kv_heads = node.int("q_num_heads"), node.int("kv_num_heads")
    element, rule = node.element(), node.str("update_rule", "gated_delta")
    q = split_heads(node[0], q_heads, b)
    k, v = (split_heads(node[i], kv_heads, b) for i in (1, 2))
    batch, _, steps, size = shape_of(q)
    values = shape_of(v)[3]
    scale = node.float("scale") or 1.0 / math.sqrt(size)
    gated, delta = "gated" in rule, "delta" in rule
    wide = element_of(node[3]) if node.has(3) else element
    q, k, v = (b.cast(x, wide) for x in (q, k, v))

    def per_head(index: int) -> SSAValue:
        """`batch, sequence, heads (* size)` as `batch, heads, sequence, size or 1`."""
        x = b.cast(node[index], wide)
        if shape_of(x)[2] < kv_heads:
            x = b.broadcast(x, [batch, steps, kv_heads])
        return split_heads(x, kv_heads, b)

    decay = b(ew.ExpOp, per_head(4)) if gated else None
    rate = per_head(5) if delta and node.has(5) else None
    shape = [batch, kv_heads, size, values]
    state = node[3] if node.has(3) else b.filled(0.0, shape, wide)

    def at(x: SSAValue, t: int) -> SSAValue:
        return b.slice_axis(x, 2, t, 1)

    def column(x: SSAValue) -> SSAValue:
        return b.transpose(x, [0, 1, 3, 2])

    outputs: list[SSAValue] = []
    for t in range(steps):
        key, value = at(k, t), at(v, t)
        if decay is not None:
            state = b(ew.MulOp, state, column(at(decay, t)))
        if delta:
            value = b(ew.SubOp, value, b.matmul(key, state))
        if rate is not None:
            value = b(ew.MulOp, value, at(rate, t))
        state = b(ew.AddOp, state, b(ew.MulOp, column(key), value))
        query = b.reshape(at(q, t), [batch, kv_heads, q_heads // kv_heads, size])
        out = b(ew.MulOp, b.matmul(query, state), scale)
        outputs.append(b.reshape(out, [batch, q_heads, 1, values]))
    result = b.cast(b.concat(outputs, 2), element)
    return [merge_heads(result, b), state]
