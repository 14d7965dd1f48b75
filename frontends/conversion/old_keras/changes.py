"""Layers of which more changed since Keras 1 and 2 than the names of their arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.conversion.old_keras.source import Config


@dataclass(frozen=True)
class Context:
    """What a change depends on beside the layer's arguments.

    Attributes:
        old_name: what the file calls the class.
        version: of the Keras that wrote the file.
        backend: what Keras ran on.
        data_format: of layers that do not say it, as some of Keras 1 do not: that of the others in the file.
        shapes: those of the layer's arrays in the file.
    """

    old_name: str
    version: tuple[int, int]
    backend: str
    data_format: str
    shapes: tuple[tuple[int, ...], ...]


Changed = tuple[str, Config]
"""The class and its arguments."""


def changed(class_name: str, settings: Config, context: Context) -> Changed:
    """What a layer is today. Its arguments have today's names already; they may be changed in place.

    Raises:
        WebDNNError: Keras 3 cannot compute it.
    """
    rule = _RULES.get(class_name)
    return (class_name, settings) if rule is None else rule(class_name, settings, context)


def _convolution(class_name: str, settings: Config, context: Context) -> Changed:
    """Theano pads alike at both ends, and has a padding `full`."""
    sizes = _numbers(settings["kernel_size"])
    strides = _numbers(settings.get("strides", 1))
    differs = context.backend == "theano" and not _is_alike(sizes, strides)
    padding = settings.get("padding")
    if padding == "full" or (padding == "same" and differs):
        return f"Padded{class_name}", settings
    return class_name, settings


def _pooling(class_name: str, settings: Config, context: Context) -> Changed:
    sizes = _numbers(settings["pool_size"])
    strides = _numbers(settings.get("strides") or settings["pool_size"])
    is_same = settings.get("padding") == "same"
    if context.backend == "theano" and is_same and not _is_alike(sizes, strides):
        raise WebDNNError(
            "Theano pads such a pooling in a way of its own",
            where=settings["name"],
            why=f"pool_size={sizes}, strides={strides}, padding='same'",
            hint="train the model with Keras on TensorFlow",
        )
    return class_name, settings


def _is_alike(sizes: list[int], strides: list[int]) -> bool:
    """Whether as much is padded before as behind, at every length."""
    return all(size % 2 for size in sizes) and set(strides) == {1}


def _spatial(class_name: str, settings: Config, context: Context) -> Changed:
    """Keras 1 wrote no `dim_ordering` for these."""
    settings.setdefault("data_format", context.data_format)
    return class_name, settings


def _zero_padding(class_name: str, settings: Config, context: Context) -> Changed:
    """Keras 1 had four numbers in a row or by name, where today there are two pairs."""
    padding = settings["padding"]
    if isinstance(padding, dict):
        names = ("left_pad", "right_pad")
        if class_name == "ZeroPadding2D":
            names = ("top_pad", "bottom_pad", *names)
        padding = [padding.get(name, 0) for name in names]
    if isinstance(padding, list) and len(padding) == 4:
        padding = [padding[:2], padding[2:]]
    settings["padding"] = padding
    return (
        (class_name, settings)
        if class_name == "ZeroPadding1D"
        else _spatial(class_name, settings, context)
    )


def _normalization(class_name: str, settings: Config, context: Context) -> Changed:
    """Keras 1 could normalise each sample (mode 1), or each batch when predicting too (mode 2)."""
    axis = settings.get("axis", -1)
    settings["axis"] = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    mode = settings.pop("mode", 0)
    if mode == 0:
        return class_name, settings
    return "BatchNormalizationOfKeras1", {**settings, "mode": mode}


def _deconvolution(class_name: str, settings: Config, context: Context) -> Changed:
    """Keras 1 has the size of the result as an argument, with the batch and the channels."""
    shape = settings.pop("output_shape")
    first = 2 if settings.get("data_format") == "channels_first" else 1
    return class_name, {**settings, "output_size": shape[first : first + 2]}


def _slopes(class_name: str, settings: Config, context: Context) -> Changed:
    """Keras 1 does not say which axes share a number: those of length 1."""
    if context.version < (2, 0) and context.shapes:
        shape = context.shapes[0]
        settings["shared_axes"] = [axis for axis, size in enumerate(shape, 1) if size == 1]
    return class_name, settings


def _recurrent(class_name: str, settings: Config, context: Context) -> Changed:
    """CuDNN computes the second of the two kinds of a GRU."""
    if context.old_name == "CuDNNGRU":
        settings["reset_after"] = True
    if settings.pop("time_major", False):
        raise WebDNNError(
            "Keras 3 has no recurrent layers with time as the first axis",
            where=settings["name"],
            hint="save the model without time_major",
        )
    return class_name, settings


def _embedding(class_name: str, settings: Config, context: Context) -> Changed:
    settings.pop("dropout", None)
    return class_name, settings


def _attention(class_name: str, settings: Config, context: Context) -> Changed:
    """Keras 2 wrote the shapes that the layer was built with."""
    for name in ("query_shape", "key_shape", "value_shape"):
        settings.pop(name, None)
    return class_name, settings


def _numbers(value: Any) -> list[int]:
    return list(value) if isinstance(value, list) else [value]


_Rule = Callable[[str, Config, Context], Changed]


def _all(rule: _Rule, *names: str) -> dict[str, _Rule]:
    return dict.fromkeys(names, rule)


_RULES: Mapping[str, _Rule] = {
    **_all(_convolution, "Conv1D", "Conv2D", "Conv3D"),
    **_all(_pooling, "MaxPooling1D", "MaxPooling2D", "MaxPooling3D"),
    **_all(_pooling, "AveragePooling1D", "AveragePooling2D", "AveragePooling3D"),
    **_all(_spatial, "UpSampling2D", "UpSampling3D", "Cropping2D", "Cropping3D"),
    **_all(_zero_padding, "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D"),
    **_all(_slopes, "PReLU", "SReLU", "ParametricSoftplus"),
    **_all(_recurrent, "GRU", "LSTM", "SimpleRNN"),
    "BatchNormalization": _normalization,
    "Deconvolution2D": _deconvolution,
    "Embedding": _embedding,
    "MultiHeadAttention": _attention,
}
