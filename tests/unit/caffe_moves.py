"""Layers that move, reduce and make numbers, from their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.unit.caffe_blobs import Array, Blobs, Table

LAYERS = Table()


@LAYERS.layer("Concat")
def concat(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    p = proto.concat_param
    return [np.concatenate(bottoms, p.concat_dim if p.HasField("concat_dim") else p.axis)]


@LAYERS.layer("Slice")
def slices(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    p = proto.slice_param
    axis = p.slice_dim if p.HasField("slice_dim") else p.axis
    return np.split(bottoms[0], list(p.slice_point) or len(proto.top), axis)


@LAYERS.layer("Split")
def split(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    return bottoms * len(proto.top)


@LAYERS.layer("Crop")
def crop(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    p = proto.crop_param
    x, like = bottoms
    first = p.axis % x.ndim
    offsets = list(p.offset) or [0]
    offsets = offsets * (x.ndim - first) if len(offsets) == 1 else offsets
    cut = [slice(None)] * first
    cut += [slice(o, o + n) for o, n in zip(offsets, like.shape[first:], strict=True)]
    return [x[tuple(cut)]]


@LAYERS.layer("Flatten")
def flatten(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    (x,) = bottoms
    first, last = proto.flatten_param.axis % x.ndim, proto.flatten_param.end_axis % x.ndim
    return [x.reshape(*x.shape[:first], -1, *x.shape[last + 1 :])]


@LAYERS.layer("Reshape")
def reshape(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    p = proto.reshape_param
    (x,) = bottoms
    start = p.axis if p.axis >= 0 else x.ndim + p.axis + 1
    end = x.ndim if p.num_axes == -1 else start + p.num_axes
    new = [n if n else x.shape[start + i] for i, n in enumerate(p.shape.dim)]
    return [x.reshape(*x.shape[:start], *new, *x.shape[end:])]


@LAYERS.layer("Permute")
def permute(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    order = list(proto.permute_param.order)
    order += [axis for axis in range(bottoms[0].ndim) if axis not in order]
    return [bottoms[0].transpose(order)]


@LAYERS.layer("Tile")
def tile(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    p = proto.tile_param
    return [np.concatenate([bottoms[0]] * p.tiles, p.axis)]


@LAYERS.layer("BatchReindex")
def batch_reindex(_: Any, bottoms: list[Array], __: Blobs) -> list[Array]:
    return [bottoms[0][bottoms[1].astype(int)]]


@LAYERS.layer("Reduction")
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


@LAYERS.layer("ArgMax")
def argmax(proto: Any, bottoms: list[Array], _: Blobs) -> list[Array]:
    """Pairs of value and place, the greatest first: of equal values the last place."""
    p = proto.argmax_param
    (x,) = bottoms
    axis = p.axis % x.ndim if p.HasField("axis") else None
    rows = x.reshape(x.shape[0], -1) if axis is None else np.moveaxis(x, axis, -1)
    values, indices = np.zeros((2, *rows.shape[:-1], p.top_k))
    for at in np.ndindex(*rows.shape[:-1]):
        pairs = sorted(((v, i) for i, v in enumerate(rows[at])), reverse=True)[: p.top_k]
        values[at], indices[at] = zip(*pairs, strict=True)
    if axis is not None:
        return [np.moveaxis(values if p.out_max_val else indices, -1, axis)]
    both = [indices, values] if p.out_max_val else [indices]
    return [np.stack(both, 1).reshape(x.shape[0], len(both), p.top_k, *(1,) * (x.ndim - 3))]


@LAYERS.layer("DummyData")
def dummy_data(proto: Any, _: list[Array], __: Blobs) -> list[Array]:
    p = proto.dummy_data_param
    return [np.full(tuple(s.dim), f.value) for s, f in zip(p.shape, p.data_filler, strict=True)]


@LAYERS.layer("Parameter")
def parameter(proto: Any, _: list[Array], blobs: Blobs) -> list[Array]:
    return [blobs(*proto.parameter_param.shape.dim)]
