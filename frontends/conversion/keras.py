"""Keras models (`.keras`, `.h5`) to ONNX, by Keras' own exporter."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
    inputs = _inputs(keras, model)
    specs = _input_specs(keras, inputs.tensors, job)
    proto = export(keras, model, specs, inputs.arrange)
    outputs = _output_names(model, len(proto.graph.output))
    rename_interface(proto, [spec.name for spec in specs], outputs)
    name_sizes(proto)
    onnx.save(proto, job.output)


@dataclass(frozen=True)
class _Inputs:
    """What a model takes.

    Attributes:
        tensors: `name`, `shape` and `dtype` of each, flat.
        arrange: makes the arguments of its call of as many tensors.
    """

    tensors: list[Any]
    arrange: Callable[[list[Any]], list[Any]]


def _inputs(keras: Any, model: Any) -> _Inputs:
    if isinstance(model, keras.Sequential) or hasattr(model, "_inputs_struct"):
        return _Inputs(list(model.inputs), lambda given: [given if len(given) > 1 else given[0]])
    # a class of the user's: it knows the shapes that it was built with
    shapes: dict[str, Any] = getattr(model, "_build_shapes_dict", None) or {}
    if not shapes:
        raise WebDNNError(
            "the model does not say the shapes of its inputs",
            where=type(model).__name__,
            hint="call the model once in Python, and save it again as .keras",
        )
    names = [name.removesuffix("_shape") for name in shapes]

    def is_shape(value: Any) -> bool:
        return isinstance(value, list | tuple) and all(
            size is None or isinstance(size, int) for size in value
        )

    structure = [
        keras.tree.traverse(lambda value: _Shape(value) if is_shape(value) else None, value)
        for value in shapes.values()
    ]
    flat = keras.tree.flatten(structure)
    labels = names if len(flat) == len(names) else [f"{names[0]}_{at}" for at in range(len(flat))]
    dtype = model.input_dtype
    tensors = [
        keras.KerasTensor((None, *shape.sizes[1:]), dtype, name=name)
        for shape, name in zip(flat, labels, strict=True)
    ]
    return _Inputs(tensors, lambda given: keras.tree.pack_sequence_as(structure, given))


@dataclass(frozen=True)
class _Shape:
    """A shape that is no structure of sizes."""

    sizes: Sequence[int | None]


def _input_specs(keras: Any, inputs: list[Any], job: Job) -> list[Any]:
    """The specifications of the inputs, with the shapes of the job."""
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


def _output_names(model: Any, count: int) -> list[str]:
    """The layers that make the outputs; of several outputs of one layer all but the first get a number."""
    if not hasattr(model, "outputs"):  # a class of the user's
        return ["output"] if count == 1 else [f"output_{at}" for at in range(count)]
    names: list[str] = []
    for tensor in model.outputs:
        layer = tensor._keras_history.operation.name
        before = sum(name == layer or name.startswith(f"{layer}:") for name in names)
        names.append(f"{layer}:{before}" if before else layer)
    return names


if __name__ == "__main__":
    main(convert)
