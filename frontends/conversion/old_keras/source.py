"""What an HDF5 file of Keras holds: the configuration of the model, its trained weights, and what wrote it."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError

Config = dict[str, Any]
"""An object of Keras as JSON: `class_name`, `config`, and what else stands beside them."""


@dataclass(frozen=True)
class Source:
    """A file.

    Attributes:
        path: where it is, for messages.
        version: the version of Keras that wrote it: (1, 2), (2, 15) ...; (1, 0) where the file does not say.
        backend: `tensorflow`, `theano` ..., which do not read filters in the same direction.
        config: the model.
        layer_names: the layers, in the order of the model.
        weights: the arrays of each layer that has any, by the layer's name, in the order of the file.
        own_weights: arrays of the model that are no layer's.
    """

    path: str
    version: tuple[int, int]
    backend: str
    config: Config
    layer_names: list[str]
    weights: dict[str, list[Array]]
    own_weights: list[Array]


def read_hdf5(path: Path) -> Source:
    """Read a file that `model.save` wrote.

    Raises:
        WebDNNError: it holds no model, weights alone, or is damaged.
    """
    h5py: Any = importlib.import_module("h5py")
    try:
        with h5py.File(path) as file:
            if "model_config" not in file.attrs:
                raise WebDNNError(
                    "the file holds weights alone, not the network",
                    where=str(path),
                    why="it has no model_config: it comes from save_weights, or is no file of Keras",
                    hint="make the model in Python, model.load_weights(FILE), and model.save('model.keras')",
                )
            config = parse_config(_text(file.attrs["model_config"]))
            group = file["model_weights"]
            version = _text(_attribute(file, "keras_version", group) or "1.0")
            names = _texts(group, "layer_names")
            weights = {name: _arrays(group[name]) for name in names}
            given = _attribute(file, "backend", group)
            backend = _text(given) if given is not None else _backend(group, names)
            own = "top_level_model_weights"
            own_weights = _arrays(group[own]) if own in group else []
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise WebDNNError(
            "the HDF5 file of Keras is damaged", where=str(path), why=_first_line(error)
        ) from error
    return Source(
        str(path),
        parse_version(version),
        backend,
        config,
        names,
        {name: arrays for name, arrays in weights.items() if arrays},
        own_weights,
    )


def _attribute(file: Any, name: str, group: Any) -> Any:
    return file.attrs.get(name, group.attrs.get(name))


def _backend(group: Any, names: list[str]) -> str:
    """Keras 1 does not say it, but TensorFlow's names of variables end with the number of an output."""
    written = [weight for name in names for weight in _texts(group[name], "weight_names")]
    plain = any(not name.endswith(":0") for name in written)
    return "theano" if plain else "tensorflow"


def _arrays(group: Any) -> list[Array]:
    return [group[name][()] for name in _texts(group, "weight_names")]


def _texts(group: Any, name: str) -> list[str]:
    """A list of names; one that is too long for HDF5 stands in parts."""
    if name in group.attrs:
        return [_text(item) for item in group.attrs[name]]
    found: list[str] = []
    while f"{name}{len(found)}" in group.attrs:
        found.append(f"{name}{len(found)}")
    return [_text(item) for part in found for item in group.attrs[part]]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def parse_config(text: str) -> Config:
    """A configuration from its JSON."""
    return json.loads(text, object_hook=_plain)


def parse_version(text: str) -> tuple[int, int]:
    """The first two numbers of a version such as `2.2.4-tf`."""
    major, minor, *_ = [*text.split("."), "0"]
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (2, 0)


def _plain(value: Config) -> Any:
    """Tuples, shapes and arrays, which JSON has not, as lists and numbers."""
    if value.get("class_name") in ("__tuple__", "TensorShape") and "items" in value:
        return value["items"]
    if value.get("type") == "ndarray" and "value" in value:
        return value["value"]
    return value


def _first_line(error: Exception) -> str:
    lines = str(error).strip("'\" \n").splitlines()
    return lines[0] if lines else type(error).__name__
