"""What there is of a network at inference: layers of the phase TEST without losses and measures, and its outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.caffe.schema import LayerParameter

SOURCES = (
    "AnnotatedData",
    "Data",
    "HDF5Data",
    "ImageData",
    "Input",
    "MemoryData",
    "VideoData",
    "WindowData",
)
"""Types of layers that are the inputs of the network; DummyData may be one too."""

# Losses and measures: how many of the bottoms are results of the network; the others are labels and weights.
_MEASURES = {
    "Accuracy": 1,
    "ContrastiveLoss": 2,
    "DetectionEvaluate": 1,
    "EuclideanLoss": 1,
    "HDF5Output": 0,
    "HingeLoss": 1,
    "InfogainLoss": 1,
    "MultiBoxLoss": 3,
    "MultinomialLogisticLoss": 1,
    "Silence": 0,
    "SmoothL1Loss": 1,
}
# Losses that begin with a layer of their own.
_ACTIVATED = {"SoftmaxWithLoss": "Softmax", "SigmoidCrossEntropyLoss": "Sigmoid"}


@dataclass(frozen=True)
class Network:
    """The layers to convert, in order, and the names of the blobs that are the results."""

    layers: list[Any]
    outputs: list[str]


def is_source(layer: Any) -> bool:
    """Whether a layer makes inputs of the network. What DummyData makes are constants, unless they are random."""
    if layer.type == "DummyData":
        return any(filler.type != "constant" for filler in layer.dummy_data_param.data_filler)
    return layer.type in SOURCES


def at_inference(layers: Sequence[Any], state: Any | None) -> Network:
    """The network as it is at inference.

    Args:
        layers: LayerParameters.
        state: the NetState; its phase is TEST where it does not say. None where all layers are there: a trained
            network was saved without those that its rules left out, but has the rules still.

    Raises:
        WebDNNError: a layer reads a blob that none before it makes, two make the same one, or nothing is left.
    """
    there = [layer for layer in layers if state is None or _is_included(layer, state)]
    kept, outputs = _without_measures(there)
    _check_blobs(kept)
    network = Network(_needed(kept, outputs), outputs)
    if not outputs or all(map(is_source, network.layers)):
        raise WebDNNError("the network computes nothing", why="it has no layer for inference")
    return network


def _is_included(layer: Any, state: Any) -> bool:
    if len(layer.include):
        return any(_meets(state, rule) for rule in layer.include)
    return not any(_meets(state, rule) for rule in layer.exclude)


def _meets(state: Any, rule: Any) -> bool:
    return (
        (not rule.HasField("phase") or rule.phase == state.phase)
        and (not rule.HasField("min_level") or state.level >= rule.min_level)
        and (not rule.HasField("max_level") or state.level <= rule.max_level)
        and set(rule.stage) <= set(state.stage)
        and not set(rule.not_stage) & set(state.stage)
    )


def _without_measures(layers: Sequence[Any]) -> tuple[list[Any], list[str]]:
    """The layers without those that measure, and the blobs that no layer reads.

    As networks for deployment have it, a loss with a softmax leaves the softmax, whose result is `prob`.
    """
    kept: list[Any] = []
    unread: dict[str, None] = {}
    only_one = Counter(layer.type in _ACTIVATED for layer in layers)[True] == 1
    only_one = only_one and not any("prob" in layer.top for layer in layers)
    for layer in layers:
        results = _MEASURES.get(layer.type, 0)
        for bottom in layer.bottom[results:]:
            unread.pop(bottom, None)
        if layer.type in _MEASURES:
            continue
        found = _activation(layer, only_one) if layer.type in _ACTIVATED else layer
        if not is_source(found):
            unread.update(dict.fromkeys(found.top))
        kept.append(found)
    return kept, list(unread)


def _activation(loss: Any, only_one: bool) -> Any:
    layer = LayerParameter(name=loss.name, type=_ACTIVATED[loss.type], bottom=loss.bottom[:1])
    layer.softmax_param.CopyFrom(loss.softmax_param)
    if len(loss.top) > 1:
        layer.top.append(loss.top[1])
    elif only_one:
        layer.top.append("prob")
    else:
        layer.top.append(loss.top[0] if len(loss.top) else f"{loss.name}/prob")
    return layer


def _check_blobs(layers: Sequence[Any]) -> None:
    made: set[str] = set()
    for layer in layers:
        if missing := [name for name in layer.bottom if name not in made]:
            raise WebDNNError(
                f"layer '{layer.name}' reads a blob that no layer before it makes",
                where=missing,
                why=f"it is of type {layer.type}, in the phase TEST",
                hint="use the network for deployment, or correct the name after 'bottom:'",
            )
        if twice := [top for top in layer.top if top in made and top not in layer.bottom]:
            raise WebDNNError(
                f"layer '{layer.name}' makes a blob that is there already",
                where=twice,
                why="only a layer that reads a blob may write it again",
            )
        made.update(layer.top)


def _needed(layers: Sequence[Any], outputs: Sequence[str]) -> list[Any]:
    """The layers on which the outputs depend."""
    wanted = set(outputs)
    kept: list[Any] = []
    for layer in reversed(layers):
        if wanted & set(layer.top):
            wanted.update(layer.bottom)
            kept.append(layer)
    return kept[::-1]


def declared_sizes(layer: Any) -> Mapping[str, tuple[int, ...] | None]:
    """The sizes of the tops of a source, None where it does not say."""
    shapes: list[tuple[int, ...]] = []
    if layer.type == "Input":
        shapes = [tuple(shape.dim) for shape in layer.input_param.shape]
        if len(shapes) == 1:
            shapes *= len(layer.top)
    elif layer.type == "DummyData":
        shapes = dummy_sizes(layer)
    elif layer.type == "MemoryData":
        p = layer.memory_data_param
        shapes = [(p.batch_size, p.channels, p.height, p.width), (p.batch_size,)]
    known = [*shapes, *[None] * len(layer.top)]
    return dict(zip(layer.top, known, strict=False))


def cropped_to(layer: Any) -> int:
    """The side of the squares that a source of pictures cuts out of them; 0 where it does not say."""
    return layer.transform_param.crop_size or layer.data_param.crop_size


def dummy_sizes(layer: Any) -> list[tuple[int, ...]]:
    """The sizes of the tops of a DummyData layer: one for all, or one each."""
    p = layer.dummy_data_param
    if len(p.shape):
        shapes = [tuple(shape.dim) for shape in p.shape]
    else:
        sizes = [list(p.num), list(p.channels), list(p.height), list(p.width)]
        count = max(map(len, sizes))
        each = [size * count if len(size) == 1 else size for size in sizes]
        shapes = list(zip(*each, strict=False))
    return shapes * len(layer.top) if len(shapes) == 1 else shapes
