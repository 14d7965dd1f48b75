"""SSD's PriorBox and DetectionOutput from their definitions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tests.unit.caffe_blobs import Array, Blobs, Table

LAYERS = Table()


@LAYERS.layer("PriorBox")
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
    for h, w in np.ndindex(height, width):
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


@LAYERS.layer("DetectionOutput")
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
