"""PriorBox and DetectionOutput of SSD."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto

from webdnn.frontends.caffe.graph import UNKNOWN, Array, Blob, Layer


def _prior_box(layer: Layer, p: Any) -> list[Blob]:
    """Boxes around the points of a grid, and their variances: a constant of shape 1 x 2 x (4 * boxes)."""
    layer.need_bottoms(2)
    layer.need_rank(4)
    height, width = layer.x.shape[2:]
    if p.HasField("img_h") or p.HasField("img_w"):
        image = (p.img_h, p.img_w)
    elif p.HasField("img_size"):
        image = (p.img_size, p.img_size)
    else:
        image = layer.bottoms[1].shape[2:]
    if p.HasField("step_h") or p.HasField("step_w"):
        step = (p.step_h, p.step_w)
    elif p.HasField("step"):
        step = (p.step, p.step)
    else:
        step = (image[0] / height, image[1] / width)
    if len(image) != 2 or min(*image, *step) <= 0:
        raise layer.error(
            "the sizes of picture and steps must be positive", why=f"{image=} {step=}"
        )
    sizes = _box_sizes(layer, p)
    y, x = ((np.arange(n) + p.offset) * s for n, s in zip((height, width), step, strict=True))
    centers = np.stack(np.broadcast_arrays(x[None, :], y[:, None]), axis=-1)[:, :, None]
    half = sizes / 2
    boxes = np.concatenate([centers - half, centers + half], axis=-1)
    boxes /= [image[1], image[0]] * 2
    if p.clip:
        boxes = boxes.clip(0, 1)
    variance = list(p.variance) or [0.1]
    if len(variance) not in (1, 4) or min(variance) <= 0:
        raise layer.error("it has 1 or 4 variances, which are positive", why=f"{variance=}")
    variances = np.broadcast_to(np.array(variance, np.float64), boxes.shape)
    both = np.stack([boxes.reshape(-1), variances.reshape(-1)])[None]
    return [layer.constant(both.astype(np.float32), "boxes")]


def _box_sizes(layer: Layer, p: Any) -> Array:
    """Widths and heights of the boxes around a point."""
    least, most = [float(int(s)) for s in p.min_size], [float(int(s)) for s in p.max_size]
    if not least or min(least) <= 0 or len(most) not in (0, len(least)):
        raise layer.error(
            "it needs positive min_sizes, and no max_sizes or as many", why=f"{least=} {most=}"
        )
    if any(high <= low for low, high in zip(least, most, strict=False)):
        raise layer.error("a max_size is not more than its min_size", why=f"{least=} {most=}")
    if any(ratio <= 0 for ratio in p.aspect_ratio):
        raise layer.error("an aspect ratio is not positive", why=f"{list(p.aspect_ratio)}")
    ratios: list[float] = []
    for ratio in p.aspect_ratio:
        if any(abs(ratio - other) < 1e-6 for other in [1.0, *ratios]):
            continue
        ratios += [ratio, 1 / ratio] if p.flip else [ratio]
    sizes: list[tuple[float, float]] = []
    for index, size in enumerate(least):
        sizes.append((size, size))
        if most:
            side = math.sqrt(size * most[index])
            sizes.append((side, side))
        sizes += [(size * math.sqrt(ratio), size / math.sqrt(ratio)) for ratio in ratios]
    return np.array(sizes)


@dataclass(frozen=True)
class _Detection:
    """How many there are of pictures, boxes, classes, and classes with boxes of their own (1 where all share them)."""

    pictures: int
    boxes: int
    classes: int
    own: int


def _detection_output(layer: Layer, p: Any) -> list[Blob]:
    """The boxes that are left when those that overlap better ones are gone: 1 x 1 x detections x 7.

    A row is the picture, the class, the score, and the box. How many rows there are is known only when the model runs;
    where there are none, there is one of -1 a picture.
    """
    layer.need_bottoms(3, 5)
    if len(layer.bottoms) > 3:
        raise layer.error("refined detections (ARM) are not supported")
    nms = p.nms_param
    if nms.eta < 1:
        raise layer.error(
            "an adaptive threshold is not supported", why=f"eta is {nms.eta:g}", hint="set eta to 1"
        )
    sizes = _sizes(layer, p)
    boxes = _decoded(layer, p, sizes)
    scores = layer.op(
        "Transpose",
        layer.reshape(layer.bottoms[1], (sizes.pictures, sizes.boxes, sizes.classes)),
        shape=(sizes.pictures, sizes.classes, sizes.boxes),
        perm=[0, 2, 1],
    )
    labels = [label for label in range(sizes.classes) if label != p.background_label_id]
    if not labels:
        raise layer.error("it has no class but the background")
    rows = [
        _detections(layer, p, sizes, boxes, scores, picture, labels)
        for picture in range(sizes.pictures)
    ]
    found = rows[0] if len(rows) == 1 else layer.op("Concat", *rows, shape=(UNKNOWN, 7), axis=0)
    return [_with_placeholder(layer, sizes, found)]


def _sizes(layer: Layer, p: Any) -> _Detection:
    location, confidence, priors = layer.bottoms
    boxes = priors.shape[-1] // 4
    own = 1 if p.share_location else p.num_classes
    pictures = location.shape[0]
    fits = (
        p.num_classes > 0
        and math.prod(location.shape) == pictures * boxes * own * 4
        and math.prod(confidence.shape) == pictures * boxes * p.num_classes
        and math.prod(priors.shape) == 2 * 4 * boxes
    )
    if not fits:
        raise layer.error(
            "its inputs do not fit each other",
            why=f"{[b.shape for b in layer.bottoms]} for {p.num_classes} classes",
        )
    return _Detection(pictures, boxes, p.num_classes, own)


def _decoded(layer: Layer, p: Any, sizes: _Detection) -> Blob:
    """The boxes of each picture and class: pictures x boxes x own x 4 (left, top, right, bottom)."""
    shape = (sizes.pictures, sizes.boxes, sizes.own, 4)
    offsets = layer.reshape(layer.bottoms[0], shape)
    both = layer.reshape(layer.bottoms[2], (2, sizes.boxes, 1, 4))
    one = (1, sizes.boxes, 1, 4)
    prior, variance = layer.ops("Split", [both, layer.ints(1, 1)], [one, one], axis=0)
    if not p.variance_encoded_in_target:
        offsets = layer.same("Mul", offsets, variance)
    code = layer.enum(p, "code_type")
    if code == "CORNER":
        return layer.same("Add", offsets, prior)
    point = (1, sizes.boxes, 1, 2)
    low, high = layer.ops("Split", [prior, layer.ints(2, 2)], [point, point], axis=3)
    size = layer.same("Sub", high, low)
    if code == "CORNER_SIZE":
        twice = layer.op("Concat", size, size, shape=one, axis=3)
        return layer.same("Add", layer.same("Mul", offsets, twice), prior)
    half = layer.scalar(0.5)
    center = layer.same("Mul", layer.same("Add", low, high), half)
    pair = (*shape[:3], 2)
    moved, grown = layer.ops("Split", [offsets, layer.ints(2, 2)], [pair, pair], axis=3)
    middle = layer.same("Add", layer.same("Mul", moved, size), center)
    reach = layer.same("Mul", layer.same("Mul", layer.same("Exp", grown), size), half)
    corners = [layer.same("Sub", middle, reach), layer.same("Add", middle, reach)]
    return layer.op("Concat", *corners, shape=shape, axis=3)


def _cut(layer: Layer, x: Blob, axis: int, index: int) -> Blob:
    """One element of an axis, which stays."""
    shape = tuple(1 if a == axis else size for a, size in enumerate(x.shape))
    return layer.op(
        "Slice", x, layer.ints(index), layer.ints(index + 1), layer.ints(axis), shape=shape
    )


def _detections(
    layer: Layer,
    p: Any,
    sizes: _Detection,
    boxes: Blob,
    scores: Blob,
    picture: int,
    labels: list[int],
) -> Blob:
    """The rows of one picture. Each class stands for a picture of NonMaxSuppression, for the boxes differ."""
    count = len(labels)
    best = sizes.boxes if not p.nms_param.HasField("top_k") else p.nms_param.top_k
    best = sizes.boxes if best < 0 else min(best, sizes.boxes)
    one = _cut(layer, scores, 0, picture)
    chosen = layer.op(
        "Gather", layer.reshape(one, one.shape[1:]), layer.ints(*labels),
        shape=(count, sizes.boxes), axis=0,
    )  # fmt: skip
    top, places = layer.ops("TopK", [chosen, layer.ints(best)], [(count, best)] * 2, axis=1)
    of_class = layer.op(
        "Transpose", _cut(layer, boxes, 0, picture),
        shape=(1, sizes.own, sizes.boxes, 4), perm=[0, 2, 1, 3],
    )  # fmt: skip
    of_class = layer.reshape(of_class, of_class.shape[1:])
    if sizes.own > 1:
        of_class = layer.op(
            "Gather", of_class, layer.ints(*labels), shape=(count, sizes.boxes, 4), axis=0
        )
    all_boxes = layer.op(
        "Expand", of_class, layer.ints(count, sizes.boxes, 4), shape=(count, sizes.boxes, 4)
    )
    near = layer.op(
        "GatherND",
        all_boxes,
        layer.reshape(places, (count, best, 1)),
        shape=(count, best, 4),
        batch_dims=1,
    )
    threshold = p.confidence_threshold if p.HasField("confidence_threshold") else None
    kept = layer.op(
        "NonMaxSuppression",
        near,
        layer.reshape(top, (count, 1, best)),
        layer.ints(best),
        layer.scalar(p.nms_param.nms_threshold),
        *([] if threshold is None else [layer.scalar(threshold)]),
        shape=(UNKNOWN, 3),
    )
    pairs = layer.op("Gather", kept, layer.ints(0, 2), shape=(UNKNOWN, 2), axis=1)
    score = layer.op("GatherND", top, pairs, shape=(UNKNOWN,))
    if p.keep_top_k >= 0:
        pairs, score = _best(layer, pairs, score, p.keep_top_k)
    box = layer.op("GatherND", near, pairs, shape=(UNKNOWN, 4))
    which = layer.op("Gather", pairs, layer.ints(0), shape=(UNKNOWN, 1), axis=1)
    names = layer.constant(np.array(labels, np.float32), "labels")
    label = layer.op("Gather", names, which, shape=(UNKNOWN, 1), axis=0)
    number = layer.same("Add", layer.same("Mul", label, layer.scalar(0)), layer.scalar(picture))
    column = layer.op("Unsqueeze", score, layer.ints(1), shape=(UNKNOWN, 1))
    return layer.op("Concat", number, label, column, box, shape=(UNKNOWN, 7), axis=1)


def _best(layer: Layer, pairs: Blob, score: Blob, most: int) -> tuple[Blob, Blob]:
    """The rows with the greatest scores, in the order in which they were."""
    count = layer.op("Min", layer.op("Shape", score, shape=(1,)), layer.ints(most), shape=(1,))
    _, rows = layer.ops("TopK", [score, count], [(UNKNOWN,), (UNKNOWN,)], axis=0)
    _, order = layer.ops(
        "TopK", [layer.same("Cast", rows, to=TensorProto.FLOAT), count], [rows.shape] * 2, axis=0, largest=0
    )  # fmt: skip
    rows = layer.op("Gather", rows, order, shape=(UNKNOWN,), axis=0)
    return (
        layer.op("Gather", pairs, rows, shape=(UNKNOWN, 2), axis=0),
        layer.op("Gather", score, rows, shape=(UNKNOWN,), axis=0),
    )


def _with_placeholder(layer: Layer, sizes: _Detection, found: Blob) -> Blob:
    """The rows as a blob of 4 axes; where there are none, one of -1 a picture."""
    rows = np.full((sizes.pictures, 7), -1, np.float32)
    rows[:, 0] = np.arange(sizes.pictures)
    shape = layer.op("Shape", found, end=1, shape=(1,))
    none = layer.op("Equal", shape, layer.ints(0), shape=(1,))
    end = layer.op(
        "Mul",
        layer.op("Cast", none, to=TensorProto.INT64, shape=(1,)),
        layer.ints(sizes.pictures),
        shape=(1,),
    )
    constant = layer.constant(rows, "nothing")
    instead = layer.op("Slice", constant, layer.ints(0), end, layer.ints(0), shape=(UNKNOWN, 7))
    both = layer.op("Concat", found, instead, shape=(UNKNOWN, 7), axis=0)
    return layer.op("Unsqueeze", both, layer.ints(0, 1), shape=(1, 1, UNKNOWN, 7))


HANDLERS = {
    "DetectionOutput": ("detection_output_param", _detection_output),
    "PriorBox": ("prior_box_param", _prior_box),
}
