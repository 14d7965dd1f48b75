"""Reads a model from a path, bytes or a `ModelProto`, or says why it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError, EncodeError
from onnx import ModelProto

from webdnn.dialects.errors import WebDNNError


@dataclass(frozen=True)
class Source:
    """A model that was read; `model` belongs to the importer, which changes it."""

    model: ModelProto
    name: str
    """What messages call the model: its path, or how it was given."""
    folder: Path | None
    """Where its external data lies; None where the model did not come from a file."""


def read(model: str | Path | bytes | ModelProto) -> Source:
    """Read a model without its external data.

    Raises:
        WebDNNError: there is no such file, it cannot be read, or it is not an ONNX model.
    """
    if isinstance(model, ModelProto):
        copy = ModelProto()
        copy.CopyFrom(model)
        return _check(Source(copy, "the given ModelProto", None))
    if isinstance(model, bytes):
        return _check(Source(_parse(model, "the given bytes"), "the given bytes", None))
    path = Path(model)
    name = str(path)
    if not path.exists():
        raise WebDNNError("there is no such model file", where=name)
    if path.is_dir():
        raise WebDNNError(
            "the model is a folder, not a file", where=name, hint="name the .onnx file in it"
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WebDNNError(
            "the model file cannot be read", where=name, why=str(error.strerror)
        ) from None
    return _check(Source(_parse(content, name), name, path.resolve().parent))


def _parse(content: bytes, name: str) -> ModelProto:
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, EncodeError):
        raise _not_onnx(name) from None
    return model


def _check(source: Source) -> Source:
    # Protobuf accepts nearly any short input as a message of unknown fields; a model has these two.
    model = source.model
    if model.ir_version == 0 or not model.HasField("graph"):
        raise _not_onnx(source.name)
    return source


def _not_onnx(name: str) -> WebDNNError:
    return WebDNNError(
        "this is not an ONNX model, or the file is truncated",
        where=name,
        why="its content does not parse as an ONNX ModelProto with a graph",
        hint="export or download the model again",
    )
