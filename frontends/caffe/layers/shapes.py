"""Layers that move numbers, or pass them on."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from webdnn.frontends.caffe.graph import Blob, Layer
from webdnn.frontends.caffe.layers.convolution import as_integers
from webdnn.frontends.caffe.network import dummy_sizes


def _concat(layer: Layer, p: Any) -> list[Blob]:
    if not layer.bottoms:
        raise layer.error("it reads nothing")
    axis = layer.axis(p.concat_dim if p.HasField("concat_dim") else p.axis)
    shapes = [list(bottom.shape) for bottom in layer.bottoms]
    total = sum(shape[axis] for shape in shapes if axis < len(shape))
    for shape in shapes:
        shape[axis : axis + 1] = [total]
    if any(shape != shapes[0] for shape in shapes):
        raise layer.error(
            f"its inputs differ in more than axis {axis}",
            why=", ".join(str(bottom.shape) for bottom in layer.bottoms),
        )
    if len(layer.bottoms) == 1:
        return [layer.x]
    known = [layer.graph.value_of(bottom) for bottom in layer.bottoms]
    constants = [array for array in known if array is not None]
    if len(constants) == len(known):
        return [layer.constant(np.concatenate(constants, axis))]
    return [layer.op("Concat", *layer.bottoms, shape=tuple(shapes[0]), axis=axis)]


def _slice(layer: Layer, p: Any) -> list[Blob]:
    layer.need_bottoms(1)
    axis = layer.axis(p.slice_dim if p.HasField("slice_dim") else p.axis)
    count, size = len(layer.proto.top), layer.x.shape[axis]
    points = list(p.slice_point)
    if not points:
        if size % count:
            raise layer.error(f"{count} slices do not divide {size} elements")
        points = list(range(size // count, size, size // count))
    bounds = [0, *points, size]
    sizes = [end - start for start, end in pairwise(bounds)]
    if len(sizes) != count or min(sizes) < 1:
        raise layer.error(
            f"{points} cut {size} elements into {len(sizes)} slices, and it makes {count} blobs"
        )
    if count == 1:
        return [layer.x]
    shapes = [(*layer.x.shape[:axis], n, *layer.x.shape[axis + 1 :]) for n in sizes]
    return layer.ops("Split", [layer.x, layer.ints(*sizes)], shapes, axis=axis)


def _same(layer: Layer, _: Any) -> list[Blob]:
    layer.need_bottoms(1)
    return [layer.x] * len(layer.proto.top)


def _crop(layer: Layer, p: Any) -> list[Blob]:
    layer.need_bottoms(2)
    shape, like = layer.x.shape, layer.bottoms[1].shape
    first = layer.axis(p.axis)
    cut = range(first, len(shape))
    if len(like) != len(shape):
        raise layer.error("its inputs have not as many axes as each other", why=f"{shape}, {like}")
    offsets = list(p.offset) or [0]
    if len(offsets) == 1:
        offsets *= len(cut)
    if len(offsets) != len(cut):
        raise layer.error(f"it has {len(offsets)} offsets for {len(cut)} axes")
    ends = [offset + like[axis] for axis, offset in zip(cut, offsets, strict=True)]
    if any(end > shape[axis] for axis, end in zip(cut, ends, strict=True)):
        raise layer.error(
            "what it crops to is larger than what it reads", why=f"{shape}, {like}, {offsets=}"
        )
    return [
        layer.op(
            "Slice",
            layer.x,
            layer.ints(*offsets),
            layer.ints(*ends),
            layer.ints(*cut),
            shape=(*shape[:first], *like[first:]),
        )
    ]


def _flatten(layer: Layer, p: Any) -> list[Blob]:
    layer.need_bottoms(1)
    shape = layer.x.shape
    start, end = layer.axis(p.axis), layer.axis(p.end_axis) + 1
    if end <= start:
        raise layer.error(f"axis {p.axis} comes after end_axis {p.end_axis}", why=f"{shape=}")
    flat = (*shape[:start], math.prod(shape[start:end]), *shape[end:])
    if start == 1 and end == len(shape) > 2:
        return [layer.op("Flatten", layer.x, shape=flat, axis=1)]
    return [layer.reshape(layer.x, flat)]


def _reshape(layer: Layer, p: Any) -> list[Blob]:
    layer.need_bottoms(1)
    shape = layer.x.shape
    rank = len(shape)
    start = p.axis if p.axis >= 0 else rank + p.axis + 1
    end = rank if p.num_axes == -1 else start + p.num_axes
    if not 0 <= start <= end <= rank:
        raise layer.error(f"there are no axes {start} to {end}", why=f"the shape is {shape}")
    given = list(p.shape.dim)
    new = list(given)
    for index, size in enumerate(given):
        if size == 0:
            if start + index >= rank:
                raise layer.error(f"size {index} is 0, and there is no axis {start + index}")
            new[index] = shape[start + index]
    free = [index for index, size in enumerate(given) if size == -1]
    rest = math.prod(shape[start:end])
    known = math.prod(size for index, size in enumerate(new) if index not in free)
    if len(free) == 1 and known and rest % known == 0:
        new[free[0]] = rest // known
    if math.prod(new) != rest or min(new, default=1) < 0:
        raise layer.error(
            f"{rest} elements do not fit the shape {tuple(given)}",
            why=f"the shape is {shape}, of which axes {start} to {end} are replaced",
        )
    return [layer.reshape(layer.x, (*shape[:start], *new, *shape[end:]))]


def _permute(layer: Layer, p: Any) -> list[Blob]:
    """Of SSD; axes that are not named follow in their order."""
    layer.need_bottoms(1)
    rank = len(layer.x.shape)
    order = list(p.order)
    order += [axis for axis in range(rank) if axis not in order]
    if sorted(order) != list(range(rank)):
        raise layer.error(f"{list(p.order)} is no order of {rank} axes")
    if order == list(range(rank)):
        return [layer.x]
    shape = tuple(layer.x.shape[axis] for axis in order)
    return [layer.op("Transpose", layer.x, shape=shape, perm=order)]


def _tile(layer: Layer, p: Any) -> list[Blob]:
    layer.need_bottoms(1)
    if p.tiles < 1:
        raise layer.error(f"tiles is {p.tiles}, and must be positive")
    axis = layer.axis(p.axis)
    repeats = [p.tiles if index == axis else 1 for index in range(len(layer.x.shape))]
    shape = tuple(n * size for n, size in zip(repeats, layer.x.shape, strict=True))
    return [layer.op("Tile", layer.x, layer.ints(*repeats), shape=shape)]


def _batch_reindex(layer: Layer, _: Any) -> list[Blob]:
    layer.need_bottoms(2)
    places = layer.bottoms[1]
    if len(places.shape) != 1:
        raise layer.error("its second input must have one axis", why=f"{places.shape}")
    shape = (*places.shape, *layer.x.shape[1:])
    return [layer.op("Gather", layer.x, as_integers(layer, places), shape=shape, axis=0)]


def _parameter(layer: Layer, p: Any) -> list[Blob]:
    layer.need_weights(1)
    return [layer.constant(layer.weight(0, tuple(p.shape.dim)), "weight")]


def _dummy_data(layer: Layer, p: Any) -> list[Blob]:
    """Constants: what is random is an input of the network (`network.is_source`)."""
    fillers = list(p.data_filler) or [None]
    results: list[Blob] = []
    for index, shape in enumerate(dummy_sizes(layer.proto)):
        layer.need_sizes(shape)
        filler = fillers[min(index, len(fillers) - 1)]
        value = filler.value if filler is not None else 0.0
        results.append(layer.constant(np.full(shape, value, np.float32), f"{index}"))
    return results


HANDLERS = {
    "BatchReindex": ("", _batch_reindex),
    "Concat": ("concat_param", _concat),
    "Crop": ("crop_param", _crop),
    "Dropout": ("", _same),
    "DummyData": ("dummy_data_param", _dummy_data),
    "Flatten": ("flatten_param", _flatten),
    "Parameter": ("parameter_param", _parameter),
    "Permute": ("permute_param", _permute),
    "Reshape": ("reshape_param", _reshape),
    "Slice": ("slice_param", _slice),
    "Split": ("", _same),
    "Tile": ("tile_param", _tile),
}
