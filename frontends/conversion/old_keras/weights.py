"""Trained arrays of Keras 1, 2 and 3 as HDF5 files hold them, put into the layers of a model of Keras 3."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.conversion.old_keras.arguments import CLASS_NAMES
from webdnn.frontends.conversion.old_keras.configs import safe_name
from webdnn.frontends.conversion.old_keras.source import Config, Source

_GATES: Mapping[str, tuple[int, ...]] = {
    "ConvLSTM2D": (0, 2, 1, 3),
    "GRU": (0, 1, 2),
    "LSTM": (0, 2, 1, 3),
}
"""The gates of today in the order of Keras 1, which has three arrays for each: filter, recurrent filter, bias."""

_FIRST_AXES: Mapping[str, tuple[int, ...]] = {
    "AtrousConvolution2D": (2, 3, 1, 0),
    "Convolution2D": (2, 3, 1, 0),
    "Convolution3D": (2, 3, 4, 1, 0),
    "Deconvolution2D": (2, 3, 0, 1),
    "SeparableConvolution2D": (2, 3, 1, 0),
}
"""Where the axes of today's filters stand in those of `dim_ordering="th"`."""

_FLIPPED: Mapping[str, int] = {
    "Conv1D": 1,
    "Conv2D": 1,
    "Conv2DTranspose": 1,
    "Conv3D": 1,
    "ConvLSTM2D": 2,
    "Deconvolution2D": 1,
    "DepthwiseConv2D": 1,
    "PaddedConv1D": 1,
    "PaddedConv2D": 1,
    "PaddedConv3D": 1,
    "SeparableConv1D": 1,
    "SeparableConv2D": 1,
}
"""How many of a layer's first arrays Theano reads from the end, as a convolution is defined."""


def assign_weights(model: Any, source: Source, layers: Mapping[str, tuple[str, Config]]) -> None:
    """Give a model the arrays of its file.

    Args:
        layers: of each layer, by its name in the model, the class and the arguments that the file says.

    Raises:
        WebDNNError: they do not fit it.
    """
    stored = {safe_name(name): arrays for name, arrays in source.weights.items()}
    owners = list(_owners(model, stored))
    if {owner.name for owner in owners} == stored.keys():
        pairs = [(owner, stored[owner.name]) for owner in owners]
    elif len(owners) == len(stored):
        pairs = list(zip(owners, stored.values(), strict=True))
    else:
        names = {owner.name for owner in owners}
        raise WebDNNError(
            "the arrays of the file do not fit its network",
            where=sorted(names ^ stored.keys()),
            why=f"{len(owners)} layers have arrays in the network, and {len(stored)} in the file",
        )
    for owner, arrays in pairs:
        _distribute(owner, arrays, source, layers)
    own = [*model._trainable_variables, *model._non_trainable_variables]
    if source.own_weights:
        _set(model.name, own, source.own_weights)


def _owners(model: Any, stored: Iterable[str]) -> Iterable[Any]:
    """The layers whose arrays stand together in the file: those of the model, and those of a model in it that has no
    place of its own."""
    for layer in model.layers:
        if _is_model(layer) and layer.name not in stored:
            yield from _owners(layer, stored)
        elif layer.weights:
            yield layer


def _is_model(layer: Any) -> bool:
    return hasattr(layer, "layers") and hasattr(layer, "summary")


def _leaves(layer: Any) -> Iterable[Any]:
    if not _is_model(layer):
        yield layer
        return
    for inner in layer.layers:
        yield from _leaves(inner)


def _distribute(
    owner: Any, arrays: list[Array], source: Source, layers: Mapping[str, tuple[str, Config]]
) -> None:
    """Of a model first all arrays that are trained, layer by layer, then all others."""
    leaves = [leaf for leaf in _leaves(owner) if leaf.weights]
    files = [layers.get(leaf.name, (type(leaf).__name__, {})) for leaf in leaves]
    trained = [
        len(leaf.trainable_weights) * _ratio(name, settings, source)
        for leaf, (name, settings) in zip(leaves, files, strict=True)
    ]
    others = [
        len(leaf.non_trainable_weights) * (1 if leaf.trainable else _ratio(name, settings, source))
        for leaf, (name, settings) in zip(leaves, files, strict=True)
    ]
    is_renormalised = len(leaves) == 1 and files[0][1].get("renorm", False)
    wanted = sum(trained) + sum(others)
    if len(arrays) != wanted and not (is_renormalised and len(arrays) > wanted):
        raise WebDNNError(
            "the arrays of a layer do not fit it",
            where=owner.name,
            why=f"it has {wanted} arrays, and the file has {len(arrays)}",
        )
    cuts = np.cumsum([*trained, *others])
    parts = [arrays[end - size : end] for end, size in zip(cuts, [*trained, *others], strict=True)]
    for leaf, (name, settings), first, last in zip(
        leaves, files, parts[: len(leaves)], parts[len(leaves) :], strict=True
    ):
        found = _converted(type(leaf).__name__, name, settings, [*first, *last], source)
        _set(leaf.name, [*leaf.trainable_weights, *leaf.non_trainable_weights], found)
        if hasattr(leaf, "finalize_state"):
            leaf.finalize_state()


def _set(name: str, variables: Sequence[Any], arrays: Sequence[Array]) -> None:
    shapes = [tuple(variable.shape) for variable in variables]
    if [array.shape for array in arrays] != shapes:
        raise WebDNNError(
            "the arrays of a layer do not fit it",
            where=name,
            why=f"they have the shapes {[array.shape for array in arrays]}, not {shapes}",
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _ratio(old_name: str, settings: Config, source: Source) -> int:
    """How many arrays of the file are one of today."""
    old_name, settings = _innermost(old_name, settings)
    if source.version >= (2, 0) or settings.get("consume_less") == "gpu":
        return 1
    return len(_GATES.get(old_name, (0,)))


def _innermost(old_name: str, settings: Config) -> tuple[str, Config]:
    """What is wrapped."""
    while isinstance(inner := settings.get("layer"), dict) and isinstance(inner["config"], dict):
        old_name, settings = inner["class_name"], inner["config"]
    return old_name, settings


def _converted(
    new_name: str, old_name: str, settings: Config, arrays: list[Array], source: Source
) -> list[Array]:
    """The arrays of a layer in today's form."""
    if old_name == "Bidirectional":
        half = len(arrays) // 2
        parts = (arrays[:half], arrays[half:])
    else:
        parts = (arrays,)
    if old_name in ("Bidirectional", "TimeDistributed") and "layer" in settings:
        old_name, settings = _innermost(old_name, settings)
        new_name = CLASS_NAMES.get(old_name, old_name)
    found: list[Array] = []
    for part in parts:
        if source.version < (2, 0):
            part = _of_keras_1(old_name, settings, part)
        if old_name.startswith("CuDNN"):
            part = _of_cudnn(old_name, part)
        if source.backend == "theano":
            count = _FLIPPED.get(new_name, 0)
            part = [_reversed(array) for array in part[:count]] + part[count:]
        found += part
    return found


def _of_keras_1(old_name: str, settings: Config, arrays: list[Array]) -> list[Array]:
    is_first = settings.get("dim_ordering") == "th"
    if len(arrays) == 3 * len(_GATES.get(old_name, (0,))) and old_name in _GATES:
        order = _GATES[old_name]
        axis = 0 if old_name == "ConvLSTM2D" and is_first else -1
        arrays = [
            np.concatenate(
                [arrays[3 * gate + kind] for gate in order], axis=-1 if kind == 2 else axis
            )
            for kind in range(3)
        ]
        if axis == 0:
            arrays = [*(array.transpose(2, 3, 1, 0) for array in arrays[:2]), arrays[2]]
        return arrays
    if old_name in ("Convolution1D", "AtrousConvolution1D"):
        return [_filter_1d(arrays[0], settings), *arrays[1:]]
    if old_name == "LocallyConnected2D" and is_first and len(arrays) > 1:
        # its bias is read as if its channels were first
        rows, columns, filters = arrays[1].shape
        bias = arrays[1].reshape(filters, rows, columns).transpose(1, 2, 0)
        return [arrays[0], bias]
    if is_first and old_name in _FIRST_AXES:
        axes = _FIRST_AXES[old_name]
        return [a.transpose(axes) if a.ndim == len(axes) else a for a in arrays]
    if old_name == "Deconvolution2D":
        return [arrays[0].transpose(0, 1, 3, 2), *arrays[1:]]
    return arrays


def _filter_1d(array: Array, settings: Config) -> Array:
    """Two-dimensional with a length of 1; before Keras 1.2 with the channels first."""
    length = settings["filter_length"]
    if array.shape[:2] != (length, 1) or array.shape[3] != settings["nb_filter"]:
        array = array.transpose(2, 3, 1, 0)
    return array[:, 0]


def _of_cudnn(old_name: str, arrays: list[Array]) -> list[Array]:
    """CuDNN has the filters of each gate transposed, and a bias for the input and one for the state."""
    kernel, recurrent, bias = arrays
    gates = 4 if old_name == "CuDNNLSTM" else 3
    kernels = [part.T.reshape(part.shape, order="F") for part in np.split(kernel, gates, axis=1)]
    recurrents = [part.T for part in np.split(recurrent, gates, axis=1)]
    both = bias.reshape(2, -1)
    return [
        np.concatenate(kernels, axis=1),
        np.concatenate(recurrents, axis=1),
        both.sum(axis=0) if gates == 4 else both,
    ]


def _reversed(array: Array) -> Array:
    """A filter, whose axes are spatial but for the last two, read from its end."""
    return np.flip(array, tuple(range(array.ndim - 2)))
