"""A model of another framework to an ONNX file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx

from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.conversion.onnx_names import rename_interface
from webdnn.frontends.local_files import local_model
from webdnn.frontends.models import Conversion, OnnxModel, as_onnx
from webdnn.frontends.onnx.binding import Shapes
from webdnn.frontends.onnx.source import inputs_of
from webdnn.lowering.interface.names import renamed
from webdnn.package import check_writable
from webdnn.progress import Progress


def convert(
    model: Any,
    output: str | Path,
    *,
    shapes: Shapes | None = None,
    custom_objects: str | Path | None = None,
    example_inputs: Sequence[Any] = (),
    caffe_weights: str | Path | None = None,
    rename_inputs: Mapping[str, str] | None = None,
    rename_outputs: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Convert a model of another framework to an ONNX file. What is converted is told by its content, not by its name.

    Args:
        model: a Keras model (`.keras`, `.h5`); a TensorFlow SavedModel (its folder), frozen graph or TensorFlow Lite
            model; a PyTorch program (`.pt2`), a module, or `package.module:function` of a function that makes one; one
            of the two files of a Caffe model (`.prototxt`, `.caffemodel`). Files may lie in a zip or tar archive, or be
            given by an `https://` address.
        output: where the ONNX file goes; it comes whole or not at all.
        shapes: sizes of inputs, by name or in the order of the model's inputs.
        custom_objects: a Python file that defines the layers and functions which a Keras model only names. It is run.
        example_inputs: the arguments of a PyTorch module's `forward`, as tensors.
        caffe_weights: the other file of a Caffe model, where it does not lie beside the first.
        rename_inputs, rename_outputs: new names, by the old ones.
        progress: shows how far a download is.

    Raises:
        WebDNNError: the model is ONNX already or of no known kind, cannot be converted, or what converts it is not
            installed: then the message is the command that installs it. Or a name is not there, or taken.
    """
    target = Path(output)
    check_writable(target.absolute().parent)
    if target.is_dir():
        raise WebDNNError("the output is a folder", where=str(target), hint="name a file")
    conversion = Conversion(shapes or {}, custom_objects, example_inputs, caffe_weights)
    with local_model(model, progress) as local, as_onnx(local, conversion) as source:
        if source is local:
            raise WebDNNError(
                "there is nothing to convert",
                where=str(model) if isinstance(model, str | Path) else (),
                why="it is an ONNX model, or no kind of model that can be converted",
                hint="give it to webdnn compile, which says which",
            )
        if rename_inputs or rename_outputs:
            source = _renamed(source, rename_inputs or {}, rename_outputs or {})
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.part")
        try:
            if isinstance(source, onnx.ModelProto):
                onnx.save(source, aside)
            else:
                shutil.copyfile(Path(str(source)), aside)
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)
    return target


def _renamed(
    source: OnnxModel, rename_inputs: Mapping[str, str], rename_outputs: Mapping[str, str]
) -> onnx.ModelProto:
    """The model with new names; in ONNX a value has one name, so an input and another value as output cannot share
    it."""
    model = source if isinstance(source, onnx.ModelProto) else onnx.load(str(source))
    inputs = [value.name for value in inputs_of(model.graph)]
    outputs = [value.name for value in model.graph.output]
    new_inputs = renamed(inputs, "input", rename_inputs)
    new_outputs = renamed(outputs, "output", rename_outputs)
    new: dict[str, str] = {}
    for old, name in zip([*inputs, *outputs], [*new_inputs, *new_outputs], strict=True):
        if new.setdefault(old, name) != name or (name in new_inputs and old not in inputs):
            raise WebDNNError(
                f"an input and an output of the model cannot be named so: {name!r}",
                where=old,
                why="in ONNX what has one name is one value, and one value has one name",
                hint="let webdnn compile rename it: a package tells inputs from outputs",
            )
    values = (model.graph.input, model.graph.output)
    rename_interface(model, *([new.get(v.name, v.name) for v in each] for each in values))
    return model
