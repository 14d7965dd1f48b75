"""Reads a model from a path, bytes or a `ModelProto`, or says why it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError, EncodeError
from onnx import GraphProto, ModelProto, ValueInfoProto

from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.formats import Format, map_file, recognise, recognise_folder
from webdnn.frontends.onnx.tensor_data import TensorReader
from webdnn.frontends.onnx.wire import cut


@dataclass(frozen=True)
class Source:
    """A model that was read.

    Attributes:
        model: the model without the data of its big tensors; it belongs to the importer, which changes it.
        reader: gives the data of its tensors.
    """

    model: ModelProto
    reader: TensorReader


def read(model: str | Path | bytes | ModelProto) -> Source:
    """Read a model; the data of its tensors is not read yet.

    Raises:
        WebDNNError: there is no such file, it cannot be read, or it is not an ONNX model.
    """
    if isinstance(model, ModelProto):
        try:
            data = model.SerializeToString()
        except (EncodeError, ValueError):
            raise WebDNNError(
                "the given ModelProto is too big, or nested too deep, to be serialized",
                why="protobuf ends at 2 GiB, and at a depth of 100 messages",
                hint="save it with external data and give the path",
            ) from None
        return _parse(memoryview(data), "the given ModelProto", ())
    if isinstance(model, bytes):
        return _parse(memoryview(model), "the given bytes", ())
    path = Path(model)
    if not path.exists():
        raise WebDNNError("there is no such model file", where=str(path))
    if path.is_dir():
        found = recognise_folder(path) or Format("a folder", "name the .onnx file in it")
        raise WebDNNError(
            f"the model is {found.name}, not an ONNX file", where=str(path), hint=found.hint
        )
    if not path.is_file():
        raise WebDNNError(
            "the model is not a regular file",
            where=str(path),
            why="a pipe or a device may never end",
            hint="write the model to a file first",
        )
    return _parse(map_file(path), str(path), _folders_of(path))


def inputs_of(graph: GraphProto) -> list[ValueInfoProto]:
    """The inputs that a caller gives: those that are not initializers."""
    initializers = {tensor.name for tensor in graph.initializer}
    initializers |= {tensor.values.name for tensor in graph.sparse_initializer}
    return [value for value in graph.input if value.name not in initializers]


def _parse(data: memoryview, name: str, folders: tuple[Path, ...]) -> Source:
    try:
        skeleton, blobs = cut(data)
        model = ModelProto.FromString(skeleton)
    except (DecodeError, ValueError):
        raise _not_onnx(name, data) from None
    # Protobuf accepts nearly any short input as a message of unknown fields; a model has these two.
    if model.ir_version == 0 or not model.HasField("graph"):
        raise _not_onnx(name, data)
    return Source(model, TensorReader(folders, blobs))


def _folders_of(path: Path) -> tuple[Path, ...]:
    """Where the external data of a model file is looked for: beside the file as the user named it, then, where that is
    a link, beside what it leads to.

    In the cache of the Hugging Face Hub `snapshots/.../model.onnx` and its data are links to `blobs/<digest>`, where
    nothing has the name that the model gives it.
    """
    folders = (path.absolute().parent, path.resolve().parent)
    return tuple(dict.fromkeys(folders)) if path.is_symlink() else folders[:1]


def _not_onnx(name: str, data: memoryview) -> WebDNNError:
    if len(data) == 0:
        return WebDNNError(
            "the model is empty", where=name, hint="export or download the model again"
        )
    if (found := recognise(data)) is not None:
        return WebDNNError(f"this is {found.name}, not an ONNX model", where=name, hint=found.hint)
    return WebDNNError(
        "this is not an ONNX model, or the file is truncated",
        where=name,
        why="its content does not parse as an ONNX ModelProto with a graph",
        hint="export or download the model again",
    )
