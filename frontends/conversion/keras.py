"""Keras models (`.keras`, `.h5`) to ONNX, by Keras' own exporter."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
from pathlib import Path
from typing import Any

import onnx

from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.conversion.onnx_names import name_sizes, rename_interface
from webdnn.frontends.conversion.process import Converter, Job, main
from webdnn.frontends.conversion.tensorflow import OPSET

KERAS = Converter("Keras", __name__, "keras", ("keras", "tensorflow", "tf2onnx", "h5py"))


def convert(job: Job) -> None:
    """Load the model and export it.

    Raises:
        WebDNNError: the file holds weights alone, or something that Keras does not know.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    keras: Any = importlib.import_module("keras")
    model = _load(keras, job)
    signature = _signature(keras, model, job)
    model.export(
        job.output, format="onnx", verbose=False, input_signature=[signature], opset_version=OPSET
    )
    proto = onnx.load(job.output)
    rename_interface(proto, [spec.name for spec in _flat(signature)], _output_names(model))
    name_sizes(proto)
    onnx.save(proto, job.output)


def _load(keras: Any, job: Job) -> Any:
    path = Path(job.model)
    if _is_hdf5(path):
        _check_has_network(path)
    objects = _objects_in(Path(job.custom_objects)) if job.custom_objects else {}
    # Keras goes by the ending of the name
    suffix = ".h5" if _is_hdf5(path) else ".keras"
    alias = Path(job.output).with_suffix(suffix)
    alias.symlink_to(path.absolute())
    try:
        return keras.models.load_model(alias, custom_objects=objects, compile=False)
    except (
        TypeError,
        ValueError,
        AttributeError,
        ImportError,
        KeyError,
        NotImplementedError,
    ) as error:
        raise WebDNNError(
            "Keras cannot load the model",
            where=job.model,
            why=_reason(error),
            hint="a layer or a function of your own is given with --custom-objects FILE.py",
        ) from error
    finally:
        alias.unlink()


def _reason(error: Exception) -> str:
    """What Keras complains about: the innermost of the exceptions that its message quotes, in one sentence."""
    *_, innermost = re.split(r"Exception encountered:|(?=Could not locate)", str(error))
    sentence = innermost.strip().split(". ")[0].splitlines()
    return sentence[0].rstrip(".") if sentence else type(error).__name__


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"


def _check_has_network(path: Path) -> None:
    h5py: Any = importlib.import_module("h5py")
    with h5py.File(path) as file:
        if "model_config" not in file.attrs:
            raise WebDNNError(
                "the file holds weights alone, not the network",
                where=str(path),
                why="it has no model_config: it comes from save_weights, or is no file of Keras",
                hint="make the model in Python, model.load_weights(FILE), and model.save('model.keras')",
            )


def _objects_in(path: Path) -> dict[str, Any]:
    """The classes and functions of a Python file by name; what it registers with Keras is registered."""
    spec = importlib.util.spec_from_file_location("webdnn_custom_objects", path)
    if spec is None or spec.loader is None:
        raise WebDNNError("the file of custom objects is not Python", where=str(path))
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise WebDNNError(
            "the file of custom objects cannot be run",
            where=str(path),
            why=f"{type(error).__name__}: {error}",
        ) from error
    return {
        name: value
        for name, value in vars(module).items()
        if inspect.isclass(value) or inspect.isfunction(value)
    }


def _signature(keras: Any, model: Any, job: Job) -> Any:
    """The specifications of the inputs, nested as the model takes them, with the shapes of the job."""
    inputs: list[Any] = list(model.inputs)
    names = [tensor.name for tensor in inputs]
    given = dict(zip(names, job.shapes_in_order, strict=False)) | job.shapes
    if unknown := [name for name in job.shapes if name not in names]:
        raise WebDNNError(
            "the model has no such input",
            where=unknown,
            hint=f"its inputs are {', '.join(names)}",
        )
    if len(job.shapes_in_order) > len(names):
        raise WebDNNError(
            f"{len(job.shapes_in_order)} input shapes were given, and the model has {len(names)} inputs",
            where=job.model,
            hint=f"its inputs are {', '.join(names)}",
        )
    specs = [
        keras.InputSpec(
            shape=_fitting(tensor, given.get(tensor.name)), dtype=tensor.dtype, name=tensor.name
        )
        for tensor in inputs
    ]
    return specs[0] if len(specs) == 1 else specs


def _fitting(tensor: Any, given: list[int] | None) -> tuple[int | None, ...]:
    declared = tuple(tensor.shape)
    if given is None:
        return declared
    fits = len(given) == len(declared) and all(
        want in (None, got) for want, got in zip(declared, given, strict=True)
    )
    if not fits:
        raise WebDNNError(
            f"the shape {tuple(given)} does not fit the input",
            where=tensor.name,
            why=f"the model says {declared}",
        )
    return tuple(given)


def _output_names(model: Any) -> list[str]:
    """The layers that make the outputs; of several outputs of one layer all but the first get a number."""
    names: list[str] = []
    for tensor in model.outputs:
        layer = tensor._keras_history.operation.name
        count = sum(name == layer or name.startswith(f"{layer}:") for name in names)
        names.append(f"{layer}:{count}" if count else layer)
    return names


def _flat(signature: Any) -> list[Any]:
    return signature if isinstance(signature, list) else [signature]


if __name__ == "__main__":
    main(convert)
