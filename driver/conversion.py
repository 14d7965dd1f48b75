"""A model of any framework to one ONNX file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import EncodeError

from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.conversion.onnx_names import rename_interface
from webdnn.frontends.local_files import local_model
from webdnn.frontends.models import Conversion, as_onnx
from webdnn.frontends.onnx.binding import Shapes
from webdnn.frontends.onnx.source import inputs_of, read
from webdnn.frontends.onnx.tensors import embed_external, external_locations
from webdnn.lowering.interface.names import renamed
from webdnn.output import check_writable, named_output, output_errors
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
    """Convert a model to one ONNX file. What it is, is told by its content, not by its name.

    A model that is ONNX already is unpacked and renamed; its external data comes into the file.

    Args:
        model: a Keras model (`.keras`, `.h5`); a TensorFlow SavedModel (its folder), frozen graph or TensorFlow Lite
            model; a PyTorch program (`.pt2`), a module, or `package.module:function` of a function that makes one; one
            of the two files of a Caffe model (`.prototxt`, `.caffemodel`); an ONNX model. Files may lie in a zip or tar
            archive, or be given by an `https://` address.
        output: where the ONNX file goes; it comes whole or not at all. It replaces ONNX models alone.
        shapes: sizes of inputs, by name or in the order of the model's inputs; not of an ONNX model.
        custom_objects: a Python file that defines the layers and functions which a Keras model only names. It is run.
        example_inputs: the arguments of a PyTorch module's `forward`, as tensors.
        caffe_weights: the other file of a Caffe model, where it does not lie beside the first.
        rename_inputs, rename_outputs: new names, by the old ones.
        progress: shows how far a download is.

    Raises:
        WebDNNError: the model is of no known kind, cannot be converted, or what converts it is not installed: then the
            message is the command that installs it. Or a name is not there, or taken; or the output is the model itself
            or another file that is no ONNX model, or would be larger than 2 GiB.
    """
    target = named_output(output)
    _check_output(target, [model, custom_objects, caffe_weights])
    _check_numbers(shapes or {})
    conversion = Conversion(shapes or {}, custom_objects, example_inputs, caffe_weights)
    with local_model(model, progress) as local, as_onnx(local, conversion) as source:
        found = read(source)
        if source is local and shapes:
            raise WebDNNError(
                "sizes are given, and the model is not converted",
                where=str(model) if isinstance(model, str | Path) else (),
                why="it is ONNX already, and keeps what it says of its inputs",
                hint="give the sizes to webdnn compile",
            )
        content: bytes | Path
        if isinstance(source, bytes | onnx.ModelProto) or (
            rename_inputs or rename_outputs or external_locations(found.model)
        ):
            embed_external(found.model, found.reader)
            if rename_inputs or rename_outputs:
                _rename(found.model, rename_inputs or {}, rename_outputs or {})
            content = _serialized(found.model, model)
        else:
            content = Path(source)
        with output_errors(target):
            _write(target, content)
    return target


def _check_numbers(shapes: Shapes) -> None:
    """A converted model keeps the dimensions that the model leaves open: a range would be lost."""
    given = shapes.values() if isinstance(shapes, Mapping) else shapes
    if varying := [str(size) for sizes in given for size in sizes if isinstance(size, str)]:
        raise WebDNNError(
            "sizes that vary are given, and the model is only converted",
            where=varying,
            why="an ONNX model has no place for their ranges",
            hint="give them to webdnn compile, which takes the same model",
        )


def _write(target: Path, content: bytes | Path) -> None:
    """Write a file, whole or not at all, or copy it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.part")
    try:
        if isinstance(content, Path):
            shutil.copyfile(content, aside)
        else:
            aside.write_bytes(content)
        aside.replace(target)
    finally:
        with suppress(OSError):
            aside.unlink()


def _check_output(target: Path, sources: Sequence[Any]) -> None:
    """Check that an ONNX file may take the place of `target`: there is nothing, an empty file, or an ONNX model that is
    not converted itself.

    Raises:
        WebDNNError: there is something else, or its folder cannot be written.
    """
    with output_errors(target):
        check_writable(target.absolute().parent)
        try:
            size = target.stat().st_size
        except FileNotFoundError:
            return
    if target.is_dir():
        raise WebDNNError("the output is a folder", where=str(target), hint="name a file")
    for source in sources:
        if not isinstance(source, str | Path):
            continue
        is_same = False
        with suppress(OSError):  # of an address, a function, or no file at all
            is_same = target.samefile(source)
        if is_same:
            raise WebDNNError(
                "the output is the model itself, or one of its files",
                where=str(target),
                hint="name another file",
            )
    if target.is_file() and size == 0:
        return
    try:
        read(target)
    except WebDNNError as error:
        raise WebDNNError(
            "the output would replace a file that is no ONNX model",
            where=str(target),
            why=error.what,
            hint="name another file, or delete this one",
        ) from None


def _serialized(converted: onnx.ModelProto, model: Any) -> bytes:
    try:
        return converted.SerializeToString()
    except (EncodeError, ValueError):
        raise WebDNNError(
            "the model is too big for one ONNX file",
            where=str(model) if isinstance(model, str | Path) else (),
            why="protobuf ends at 2 GiB",
            hint="give it to webdnn compile as it is",
        ) from None


def _rename(
    model: onnx.ModelProto, rename_inputs: Mapping[str, str], rename_outputs: Mapping[str, str]
) -> None:
    """Give a model new names; in ONNX a value has one name, so an input and another value as output cannot share it."""
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
