"""Keras models (`.keras`, `.h5`) to ONNX, by Keras' own exporter."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import onnx

from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.conversion.keras_export import export
from webdnn.frontends.conversion.keras_models import load
from webdnn.frontends.conversion.onnx_names import name_sizes, rename_interface
from webdnn.frontends.conversion.process import Converter, Job, main

KERAS = Converter("Keras", __name__, "keras", ("keras", "tensorflow", "tf2onnx", "h5py"))


def convert(job: Job) -> None:
    """Load the model and export it.

    Raises:
        WebDNNError: the file holds weights alone, or something that Keras does not know.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    keras: Any = importlib.import_module("keras")
    custom = Path(job.custom_objects) if job.custom_objects else None
    model = load(Path(job.model), custom, Path(f"{job.output}.model"))
    specs = _input_specs(keras, model, job)
    proto = export(keras, model, specs)
    rename_interface(proto, [spec.name for spec in specs], _output_names(model))
    name_sizes(proto)
    onnx.save(proto, job.output)


def _input_specs(keras: Any, model: Any, job: Job) -> list[Any]:
    """The specifications of the inputs, with the shapes of the job."""
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
    return [
        keras.InputSpec(
            shape=_fitting(tensor, given.get(tensor.name)), dtype=tensor.dtype, name=tensor.name
        )
        for tensor in inputs
    ]


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


if __name__ == "__main__":
    main(convert)
