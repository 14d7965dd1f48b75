"""The numpy meaning of the `nn` ops that only move elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from xdsl.ir import Operation

from webdnn.dialects.dtypes import Array, array_of_dense, numpy_dtype
from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.nn.base import IntsAttr, int_list
from webdnn.dialects.sizes.types import concrete_shape, concrete_size


def _numbers(attr: IntsAttr) -> list[int]:
    """Integers, in the run that is under way."""
    return [concrete_size(n) for n in int_list(attr)]


def _constant(op: dm.ConstantOp) -> Array:
    return array_of_dense(op.value)


def _sizes(op: dm.SizesOp) -> Array:
    sizes = [concrete_size(size) for size in op.sizes.data]
    return np.array(sizes, np.int64).reshape(concrete_shape(op.res))


def _reshape(op: dm.ReshapeOp, x: Array) -> Array:
    return x.reshape(concrete_shape(op.res))


def _transpose(op: dm.TransposeOp, x: Array) -> Array:
    return x.transpose(int_list(op.permutation))


def _broadcast(op: dm.BroadcastOp, x: Array) -> Array:
    return np.broadcast_to(x, concrete_shape(op.res))


def _slice(op: dm.SliceOp, x: Array) -> Array:
    starts, steps, sizes = _numbers(op.starts), int_list(op.steps), concrete_shape(op.res)
    index: list[slice] = []
    for start, step, size in zip(starts, steps, sizes, strict=True):
        stop = start + size * step
        index.append(slice(start, stop if stop >= 0 else None, step))
    if 0 in sizes:
        return np.empty(sizes, x.dtype)
    return x[tuple(index)]


def _outside(mode: str, size: int, low: int, high: int) -> Array:
    """Which of `size` elements each element of a padded dimension is read from."""
    at = np.arange(-low, size + high)
    if mode == "edge":
        return np.clip(at, 0, size - 1)
    if mode == "wrap":
        return at % size
    period = max(2 * (size - 1), 1)
    at = at % period
    return np.minimum(at, period - at) if size > 1 else np.zeros_like(at)


def _pad(op: dm.PadOp, x: Array) -> Array:
    low, high, interior = _numbers(op.low), _numbers(op.high), int_list(op.interior)
    value = np.asarray(op.value.value.data).astype(x.dtype)
    if any(interior):
        spread = [n + max(n - 1, 0) * m for n, m in zip(x.shape, interior, strict=True)]
        wide = np.full(spread, value, x.dtype)
        wide[tuple(slice(None, None, m + 1) for m in interior)] = x
        x = wide
    if op.mode.data != "constant":
        for axis, (lo, hi) in enumerate(zip(low, high, strict=True)):
            if lo or hi:
                x = np.take(x, _outside(op.mode.data, x.shape[axis], lo, hi), axis)
        return x
    result = np.full(concrete_shape(op.res), value, x.dtype)
    to, source = list[slice](), list[slice]()
    for n, lo, hi in zip(x.shape, low, high, strict=True):
        first, last = max(0, -lo), n - max(0, -hi)
        source.append(slice(first, last))
        to.append(slice(first + lo, last + lo))
    result[tuple(to)] = x[tuple(source)]
    return result


def _concat(op: dm.ConcatOp, *xs: Array) -> Array:
    return np.concatenate(xs, op.axis.value.data)


def _inside(indices: Array, size: int) -> Array:
    """Indices counted from the front and clamped to the dimension."""
    indices = indices.astype(np.int64)
    return np.clip(np.where(indices < 0, indices + size, indices), 0, max(size - 1, 0))


def _gather(op: dm.GatherOp, x: Array, indices: Array) -> Array:
    axis = op.axis.value.data
    if 0 in concrete_shape(op.res):
        return np.empty(concrete_shape(op.res), x.dtype)
    return np.take(x, _inside(indices, x.shape[axis]), axis)


def _gather_elements(op: dm.GatherElementsOp, x: Array, indices: Array) -> Array:
    axis = op.axis.value.data
    at: list[Array] = list(np.indices(indices.shape, sparse=True))
    at[axis] = _inside(indices, x.shape[axis])
    return x[tuple(at)]


def _gather_nd(op: dm.GatherNDOp, x: Array, indices: Array) -> Array:
    batch = op.batch_dims.value.data
    depth = indices.shape[-1]
    lead = indices.shape[:-1]
    at: list[Array] = [
        np.arange(x.shape[d]).reshape([-1 if d == e else 1 for e in range(len(lead))])
        for d in range(batch)
    ]
    at += [_inside(indices[..., d], x.shape[batch + d]) for d in range(depth)]
    if not at:
        return np.broadcast_to(x, concrete_shape(op.res))
    return x[tuple(at)].reshape(concrete_shape(op.res))


def _iota(op: dm.IotaOp) -> Array:
    shape, axis = concrete_shape(op.res), op.axis.value.data
    line = np.arange(shape[axis]).reshape([-1 if d == axis else 1 for d in range(len(shape))])
    return np.broadcast_to(line, shape).astype(numpy_dtype(op.res.type))


_ROUNDING: dict[str, Callable[[Array], Array]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda p: np.ceil(p - 0.5),
    "round_prefer_ceil": lambda p: np.floor(p + 0.5),
}


def resize_positions(op: dm.ResizeOp, axis: int) -> Array:
    """Where along `axis` of the operand each result index reads (double precision, not yet clamped)."""
    scale, first, last = (v.data[axis].value.data for v in (op.scale, op.offset_in, op.offset_out))
    return (np.arange(concrete_shape(op.res)[axis]) + first) * scale + last


def _resize(op: dm.ResizeOp, x: Array) -> Array:
    dtype = x.dtype
    for axis, size in enumerate(concrete_shape(op.res)):
        scale, before, after = (
            v.data[axis].value.data for v in (op.scale, op.offset_in, op.offset_out)
        )
        if size == x.shape[axis] and scale == 1.0 and before + after == 0.0:
            continue
        last = x.shape[axis] - 1
        position = resize_positions(op, axis)
        if op.mode.data == "nearest":
            index = _ROUNDING[op.rounding.data](position).clip(0, last).astype(np.int64)
            x = np.take(x, index, axis)
            continue
        position = position.clip(0, last)
        low = np.floor(position).astype(np.int64)
        high = np.minimum(low + 1, last)
        along = [-1 if d == axis else 1 for d in range(x.ndim)]
        fraction = (position - low).reshape(along)
        work: Any = np.float64 if dtype == np.float64 else np.float32
        below, above = (np.take(x, i, axis).astype(work) for i in (low, high))
        x = below + (above - below) * fraction.astype(work)
    return x.astype(dtype)


DATA_MOVEMENT_MEANING: dict[type[Operation], Callable[..., Array]] = {
    dm.ConstantOp: _constant,
    dm.SizesOp: _sizes,
    dm.ReshapeOp: _reshape,
    dm.TransposeOp: _transpose,
    dm.BroadcastOp: _broadcast,
    dm.SliceOp: _slice,
    dm.PadOp: _pad,
    dm.ConcatOp: _concat,
    dm.GatherOp: _gather,
    dm.GatherElementsOp: _gather_elements,
    dm.GatherNDOp: _gather_nd,
    dm.IotaOp: _iota,
    dm.ResizeOp: _resize,
}
