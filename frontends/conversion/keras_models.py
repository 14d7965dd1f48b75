"""Models of Keras from their files: `.keras`, and HDF5 of whatever version."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import pkgutil
import re
import sys
import zipfile
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any, cast

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.foreign_code import reason
from webdnn.frontends.conversion.lambdas import name_lambdas
from webdnn.frontends.conversion.old_keras.configs import Configs
from webdnn.frontends.conversion.old_keras.source import (
    Source,
    parse_config,
    parse_version,
    read_hdf5,
)
from webdnn.frontends.conversion.old_keras.weights import assign_weights
from webdnn.frontends.conversion.process import user_code

_HDF5 = b"\x89HDF\r\n\x1a\n"

_WHAT_KERAS_RAISES = (
    AttributeError, ImportError, IndexError, KeyError, NotImplementedError, OSError, RuntimeError, TypeError,
    ValueError,
)  # fmt: skip


def load(path: Path, custom_objects: Path | None, alias: Path) -> Any:
    """A model, not compiled.

    Args:
        custom_objects: a Python file with the user's layers and functions. It is run.
        alias: where a link to the file may stand for a while: Keras goes by the endings of names.

    Raises:
        WebDNNError: the file holds weights alone, is damaged, or has something that Keras does not know.
    """
    objects = _objects_in(custom_objects) if custom_objects else {}
    try:
        with path.open("rb") as file:
            is_hdf5 = file.read(len(_HDF5)) == _HDF5
        return _from_hdf5(path, objects) if is_hdf5 else _from_archive(path, objects, alias)
    except _WHAT_KERAS_RAISES as error:
        why = _reason(error)
        raise WebDNNError(
            "Keras cannot load the model",
            where=[str(path), *_layers_of_class(path, why)],
            why=why,
            hint="a layer or a function of your own is given with --custom-objects FILE.py",
        ) from error


def _layers_of_class(path: Path, complaint: str) -> list[str]:
    """The names of the layers in an archive whose class a complaint of Keras says that it lacks."""
    lacking = re.search(r"Could not locate class '([^']+)'", complaint)
    if lacking is None or not zipfile.is_zipfile(path):
        return []
    names: dict[str, None] = {}
    with zipfile.ZipFile(path) as archive:
        left: list[Any] = [json.loads(archive.read("config.json"))]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            found = cast("dict[str, Any]", part)
            config = found.get("config")
            if found.get("class_name") == lacking[1] and isinstance(config, dict):
                names[str(cast("dict[str, Any]", config).get("name", lacking[1]))] = None
            left += found.values()
        elif isinstance(part, list):
            left += cast("list[Any]", part)
    return sorted(names)


def _from_hdf5(path: Path, objects: dict[str, Any]) -> Any:
    keras: Any = importlib.import_module("keras")
    _import_old_layers()
    source = read_hdf5(path)
    configs = Configs(source, _parameters, _operation, objects.keys())
    model = keras.saving.deserialize_keras_object(configs.model(), custom_objects=objects)
    assign_weights(model, source, configs.layers)
    return model


def _import_old_layers() -> None:
    """Register layers that Keras 3 has not."""
    for module in ("layers", "tensorflow_layers"):
        importlib.import_module(f"webdnn.frontends.conversion.old_keras.{module}")


@cache
def _parameters(class_name: str) -> Collection[str] | None:
    """The names of the arguments of a layer's class; None where Keras has no such layer."""
    keras: Any = importlib.import_module("keras")
    found = getattr(keras.layers, class_name, None)
    if not inspect.isclass(found) or not issubclass(found, keras.layers.Layer):
        return None
    names: set[str] = set()
    for base in inspect.getmro(found):
        if base.__module__.startswith("keras."):
            names |= inspect.signature(base.__init__).parameters.keys()
    return names


@cache
def _operation(class_name: str) -> str | None:
    """The module of an operation of Keras, such as those that arithmetic with its tensors makes."""
    keras: Any = importlib.import_module("keras")
    package: Any = importlib.import_module("keras.src.ops")
    for entry in pkgutil.iter_modules(package.__path__, "keras.src.ops."):
        if not entry.name.endswith("_test"):
            found = getattr(importlib.import_module(entry.name), class_name, None)
            if inspect.isclass(found) and issubclass(found, keras.Operation):
                return found.__module__
    return None


def _from_archive(path: Path, objects: dict[str, Any], alias: Path) -> Any:
    keras: Any = importlib.import_module("keras")
    alias = alias.with_suffix(".keras")
    version = check_archive(path, keras.__version__)
    try:
        if not _rewrite_archive(path, alias, version, objects):
            alias.symlink_to(path.absolute())
        return keras.models.load_model(alias, custom_objects=objects, compile=False)
    finally:
        alias.unlink(missing_ok=True)


def _rewrite_archive(
    path: Path, target: Path, version: tuple[int, int], objects: dict[str, Any]
) -> bool:
    """An archive of Keras 2 with a configuration of today, or one of Keras 3 whose Lambdas name functions of the
    user's. The weights are laid out alike. Gives whether there was anything to rewrite."""
    with zipfile.ZipFile(path) as archive:
        text = archive.read("config.json").decode()
        if version < (3, 0):
            _import_old_layers()
            source = Source(str(path), version, "tensorflow", parse_config(text), [], {}, [])
            model = Configs(source, _parameters, _operation, objects.keys()).model()
        else:
            config = json.loads(text)
            model = name_lambdas(config, objects.keys())
            if model is config:
                return False
        with zipfile.ZipFile(target, "w") as rewritten:
            for name in archive.namelist():
                content = json.dumps(model) if name == "config.json" else archive.read(name)
                rewritten.writestr(name, content)
    return True


def check_archive(path: Path, installed: str) -> tuple[int, int]:
    """Check that Keras' archive can be read, and that it is not of a Keras to come. Gives the version that wrote it."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            if damaged is not None:
                raise zipfile.BadZipFile(f"{damaged} is damaged")
            version = str(json.loads(archive.read("metadata.json")).get("keras_version", ""))
    except (zipfile.BadZipFile, KeyError, ValueError, NotImplementedError, EOFError) as error:
        raise WebDNNError("the Keras model is damaged", where=str(path), why=str(error)) from error
    found = parse_version(version)
    if found[0] > parse_version(installed)[0]:
        raise WebDNNError(
            f"the model was written by Keras {version}",
            where=str(path),
            why=f"Keras {installed} is installed",
            hint="pip install --upgrade keras",
        )
    return found


def _reason(error: Exception) -> str:
    """What Keras complains about: the innermost of the exceptions that its message quotes, in one sentence."""
    *_, innermost = re.split(r"Exception encountered:|(?=Could not locate)", str(error))
    sentence = innermost.strip().split(". ")[0].splitlines()
    return sentence[0].rstrip(".") if sentence else type(error).__name__


def _objects_in(path: Path) -> dict[str, Any]:
    """The classes and functions of a Python file by name; what it registers with Keras is registered."""
    spec = importlib.util.spec_from_file_location("webdnn_custom_objects", path)
    if spec is None or spec.loader is None:
        raise WebDNNError("the file of custom objects is not Python", where=str(path))
    module = importlib.util.module_from_spec(spec)
    try:
        with user_code(f"the file of custom objects {path}"):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise WebDNNError(
            "the file of custom objects cannot be run", where=str(path), why=reason(error)
        ) from error
    return {
        name: value
        for name, value in vars(module).items()
        if (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__.partition(".")[0] not in sys.stdlib_module_names
    }
