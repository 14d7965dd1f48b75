"""The numpy meaning of the `nn` ops that combine many elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from xdsl.ir import Operation

from webdnn.dialects.dtypes import Array, numpy_dtype
from webdnn.dialects.nn import reduction as rd
from webdnn.dialects.nn.base import int_list
from webdnn.dialects.numpy_meaning.nn_elementwise import is_float_dtype, is_narrow_float
from webdnn.dialects.sizes.types import concrete_shape, element_of

_COMBINE: dict[str, Any] = {
    "sum": np.add,
    "prod": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
}


def widened(x: Array) -> Array:
    """16-bit floats as f32, to accumulate in; anything else as it is."""
    return x.astype(np.float32) if is_narrow_float(x.dtype) else x


def neutral(kind: str, dtype: np.dtype[Any]) -> Any:
    """What changes nothing when it is combined, so what `kind` gives over no elements."""
    if kind in ("sum", "or"):
        return dtype.type(0)
    if kind == "prod":
        return dtype.type(1)
    if kind == "and":
        return np.invert(dtype.type(0))
    if dtype == np.bool_:
        return dtype.type(kind == "min")
    if is_float_dtype(dtype):
        return dtype.type(-np.inf if kind == "max" else np.inf)
    return dtype.type(np.iinfo(dtype).min if kind == "max" else np.iinfo(dtype).max)


def _factors(op: rd.MatmulOp | rd.ConvOp, lhs: Array, rhs: Array) -> tuple[Array, Array]:
    """The operands of a contraction in the type that it accumulates in."""
    dtype = numpy_dtype(element_of(op.res))
    if lhs.dtype == rhs.dtype == dtype:
        return widened(lhs), widened(rhs)
    return lhs.astype(dtype), rhs.astype(dtype)


def _matmul(op: rd.MatmulOp, lhs: Array, rhs: Array) -> Array:
    return np.matmul(*_factors(op, lhs, rhs)).astype(numpy_dtype(element_of(op.res)))


def window_slices(
    offsets: Sequence[int], counts: Sequence[int], strides: Sequence[int]
) -> tuple[slice, ...]:
    """The elements that one place of a window meets while the window slides, one slice a dimension."""
    return tuple(
        slice(at, at + (count - 1) * stride + 1, stride)
        for at, count, stride in zip(offsets, counts, strides, strict=True)
    )


FEW_CHANNELS = 16
"""Below so many channels one product over all places of a filter is faster and more exact than one for each."""
MOST_COPIED = 1 << 26
"""The most elements that such a product may copy the input into."""


def _conv(op: rd.ConvOp, x: Array, filter: Array) -> Array:
    shape, groups = concrete_shape(op.res), op.groups.value.data
    dtype = numpy_dtype(element_of(op.res))
    x, filter = _factors(op, x, filter)
    if 0 in shape or 0 in filter.shape:
        return np.zeros(shape, dtype)
    rows, depth = prod(shape[:-1]), prod(filter.shape[:-1])
    few = filter.shape[-2] < FEW_CHANNELS and rows * depth <= MOST_COPIED
    result = _conv_at_once(op, x, filter) if groups == 1 and few else _conv_by_place(op, x, filter)
    return result.reshape(shape).astype(dtype)


def _conv_at_once(op: rd.ConvOp, x: Array, filter: Array) -> Array:
    """One matrix product of all windows, copied out, with the filter."""
    strides, dilations = int_list(op.strides), int_list(op.dilations)
    kernel, spatial = filter.shape[:-2], concrete_shape(op.res)[1:-1]
    by_place = [n * d for n, d in zip(x.strides[1:-1], dilations, strict=True)]
    by_output = [n * s for n, s in zip(x.strides[1:-1], strides, strict=True)]
    windows = as_strided(
        x,
        (x.shape[0], *spatial, *kernel, x.shape[-1]),
        (x.strides[0], *by_output, *by_place, x.strides[-1]),
        writeable=False,
    )
    depth = prod(filter.shape[:-1])
    return windows.reshape(-1, depth) @ filter.reshape(depth, -1)


def _conv_by_place(op: rd.ConvOp, x: Array, filter: Array) -> Array:
    """One matrix product for each place of the filter: no copy of the input as large as the filter."""
    strides, dilations = int_list(op.strides), int_list(op.dilations)
    groups, shape = op.groups.value.data, concrete_shape(op.res)
    spatial, channels, per_group = shape[1:-1], shape[-1], filter.shape[-2]
    rows = prod(shape[:-1])
    is_depthwise = per_group == 1 and channels == groups
    flat = np.zeros((rows, channels), x.dtype)
    grouped = np.zeros((groups, rows, channels // groups), x.dtype)
    for place in np.ndindex(*filter.shape[:-2]):
        offsets = [p * d for p, d in zip(place, dilations, strict=True)]
        inner = window_slices(offsets, spatial, strides)
        seen = x[(slice(None), *inner)].reshape(rows, groups * per_group)
        weights = filter[place]
        if is_depthwise:
            flat += seen * weights[0]
        elif groups == 1:
            flat += seen @ weights
        else:
            by_group = seen.reshape(rows, groups, per_group).transpose(1, 0, 2)
            grouped += by_group @ weights.reshape(per_group, groups, -1).transpose(1, 0, 2)
    return flat if groups == 1 or is_depthwise else grouped.transpose(1, 0, 2)


def _reduce(op: rd.ReduceOp, x: Array) -> Array:
    kind, axes = op.kind.data, tuple(int_list(op.axes))
    wide = widened(x)
    # numpy adds the rows of an outer axis one by one: in f32 the error would grow with their number.
    accumulator: Any = np.float64 if kind == "sum" and x.dtype.kind == "f" else wide.dtype
    result = _COMBINE[kind].reduce(
        wide,
        axis=axes,
        keepdims=bool(op.keep_dims.value.data),
        dtype=accumulator,
        initial=neutral(kind, wide.dtype),
    )
    return np.asarray(result).astype(x.dtype)


def _arg_reduce(op: rd.ArgReduceOp, x: Array) -> Array:
    axis = op.axis.value.data
    pick = np.argmax if op.kind.data == "max" else np.argmin
    x = widened(x)
    if not op.last.value.data:
        return np.expand_dims(pick(x, axis), axis).astype(np.int64)
    return np.expand_dims(x.shape[axis] - 1 - pick(np.flip(x, axis), axis), axis).astype(np.int64)


def _reduce_window(op: rd.ReduceWindowOp, x: Array) -> Array:
    """Every kind is separable: one dimension after the other."""
    combine, dtype = _COMBINE[op.kind.data], x.dtype
    x = widened(x)
    window, strides, dilations = int_list(op.window), int_list(op.strides), int_list(op.dilations)
    for axis, size in enumerate(concrete_shape(op.res)):
        if window[axis] == 1 and strides[axis] == 1:
            continue
        seen = [slice(None)] * x.ndim
        total: Array | None = None
        for place in range(window[axis]):
            seen[axis] = window_slices([place * dilations[axis]], [size], [strides[axis]])[0]
            part = x[tuple(seen)]
            total = part.copy() if total is None else combine(total, part, out=total)
        x = (
            np.full(concrete_shape(op.res), neutral(op.kind.data, x.dtype))
            if total is None
            else total
        )
    return x.astype(dtype)


def _softmax(op: rd.SoftmaxOp, x: Array) -> Array:
    axis, dtype = op.axis.value.data, x.dtype
    if x.size == 0:
        return x
    x = widened(x)
    x = x - x.max(axis, keepdims=True)
    e = np.exp(x)
    total = e.sum(axis, keepdims=True)
    return (x - np.log(total) if op.log.value.data else e / total).astype(dtype)


def _normalize(op: rd.NormalizeOp, x: Array) -> Array:
    axes, dtype = tuple(int_list(op.axes)), x.dtype
    if x.size == 0:
        return x
    x = widened(x)
    if op.centered.value.data:
        x = x - x.mean(axes, keepdims=True, dtype=np.float64).astype(x.dtype)
    variance = np.square(x).mean(axes, keepdims=True, dtype=np.float64).astype(x.dtype)
    return (x / np.sqrt(variance + x.dtype.type(op.epsilon.value.data))).astype(dtype)


REDUCTION_MEANING: dict[type[Operation], Callable[..., Array]] = {
    rd.MatmulOp: _matmul,
    rd.ConvOp: _conv,
    rd.ReduceOp: _reduce,
    rd.ArgReduceOp: _arg_reduce,
    rd.ReduceWindowOp: _reduce_window,
    rd.SoftmaxOp: _softmax,
    rd.NormalizeOp: _normalize,
}
