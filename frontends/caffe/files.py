"""Recognises and reads the two files of a Caffe model: the network as text, and the trained network in binary form."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import DecodeError

from webdnn.dialects.errors import WebDNNError, listed
from webdnn.frontends.caffe.schema import ENUMS, NetParameter

HEAD = 1 << 16
"""What is looked at to recognise a text."""

_HDF5 = b"\x89HDF\r\n\x1a\n"
_VARINT, _BYTES = 0, 2

_NAME, _LAYERS, _LAYER = 1, 2, 100
# NetParameter: the wire type of a field, None where numbers may be packed or not.
_NET_FIELDS: dict[int, int | None] = {
    _NAME: _BYTES,
    _LAYERS: _BYTES,
    3: _BYTES,
    4: None,
    5: _VARINT,
    6: _BYTES,
    7: _VARINT,
    8: _BYTES,
    _LAYER: _BYTES,
}
# The first field of a layer as Caffe writes it: its name or type; of V1 a V0 layer, bottoms, tops, name or type.
_FIRST_IN_LAYER = {(1, _BYTES), (2, _BYTES)}
_FIRST_IN_LAYERS = {(1, _BYTES), (2, _BYTES), (3, _BYTES), (4, _BYTES), (5, _VARINT)}


@dataclass(frozen=True)
class Files:
    """The two files of a model.

    Attributes:
        network: the text, or the binary file where there is no text.
        weights: the binary file; None where there is none.
    """

    network: Path
    weights: Path | None


def is_caffemodel(data: bytes | memoryview) -> bool:
    """Whether the bytes, or the beginning of a file, are a NetParameter in binary form with a layer in it."""
    view = memoryview(data)
    at, layers = 0, 0
    try:
        while at < len(view):
            field, kind, at = _key(view, at)
            if field not in _NET_FIELDS or _NET_FIELDS[field] not in (None, kind):
                return False
            if kind == _VARINT:
                _, at = _varint(view, at)
                continue
            if kind != _BYTES:
                return False
            length, at = _varint(view, at)
            if field == _NAME and not _is_text(view[at : at + length]):
                return False
            if field in (_LAYER, _LAYERS) and at < len(view):
                first = _key(view, at)[:2] if length else (0, 0)
                if first not in (_FIRST_IN_LAYER if field == _LAYER else _FIRST_IN_LAYERS):
                    return False
                layer = view[at : at + length]
                if field == _LAYERS and not (_is_message(layer, length) and _is_old_layer(layer)):
                    return False
                layers += 1
            at += length
    except IndexError:
        pass  # the beginning of a file
    return layers > 0


def is_prototxt(data: bytes | memoryview) -> bool:
    """Whether the bytes, or the beginning of a file, are a NetParameter as text with a layer in it."""
    head = bytes(data[:HEAD])
    if b"\0" in head:
        return False
    text = re.sub(r"#.*", "", head.decode("utf-8", "replace"))
    return bool(re.search(r"(^|[\s}])layers?\s*:?\s*{\s*\w+\s*[:{]", text)) and "type" in text


def _key(view: memoryview, at: int) -> tuple[int, int, int]:
    key, at = _varint(view, at)
    return key >> 3, key & 7, at


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    return 0, len(view) + 1


def _is_text(view: memoryview) -> bool:
    """Whether a string is one, and not the message that TensorFlow's graphs have in the same field."""
    return bytes(view).decode("utf-8", "replace").isprintable()


def _is_old_layer(layer: memoryview) -> bool:
    """Whether the layer of V0 that a layer of V1 begins with, if it does, begins with its name or its type."""
    field, kind, at = _key(layer, 0)
    if (field, kind) != (1, _BYTES):
        return True
    _, at = _varint(layer, at)
    return _key(layer, at)[:2] in _FIRST_IN_LAYER


def _is_message(view: memoryview, length: int) -> bool:
    """Whether the fields of a layer of V1 follow one another to its end, or to that of the view."""
    at = 0
    try:
        while at < len(view):
            field, kind, at = _key(view, at)
            if field == 0 or kind not in (_VARINT, _BYTES, 5):
                return False
            step, at = _varint(view, at) if kind != 5 else (4, at)
            at += 0 if kind == _VARINT else step
    except IndexError:
        return len(view) < length
    return at == length or len(view) < length


def locate(network: Path, weights: Path | None) -> Files:
    """The two files of a model of which either may be given alone, or both in either order.

    Beside a `.caffemodel` its network is looked for: `deploy.prototxt`, one of the same name, or the only network in
    the folder; beside a network its weights: of the same name, or the only `.caffemodel`.

    Raises:
        WebDNNError: a file is not there or is neither of the two, or several files of the folder come into question.
    """
    binary = _is_binary(network)
    if weights is not None:
        if _is_binary(weights) == binary:
            raise WebDNNError(
                f"both files are {'trained networks' if binary else 'networks as text'}",
                where=[str(network), str(weights)],
                hint="give one .prototxt and one .caffemodel",
            )
        return Files(weights, network) if binary else Files(network, weights)
    if binary:
        found = _beside(network, ["deploy.prototxt", f"{network.stem}.prototxt"], "*.prototxt")
        return Files(_only(network, found, "networks") or network, network)
    found = _beside(network, [f"{network.stem}.caffemodel"], "*.caffemodel")
    return Files(network, _only(network, found, "trained networks"))


def _beside(path: Path, names: Sequence[str], pattern: str) -> list[Path]:
    named = [path.with_name(name) for name in dict.fromkeys(names)]
    if there := [candidate for candidate in named if candidate.is_file()]:
        return there
    wanted = is_prototxt if pattern.endswith("prototxt") else is_caffemodel
    found: list[Path] = []
    for candidate in sorted(path.parent.glob(pattern)):
        with contextlib.suppress(WebDNNError):  # what cannot be read is not meant
            if wanted(_head(candidate)):
                found.append(candidate)
    return found


def _only(path: Path, found: Sequence[Path], what: str) -> Path | None:
    if len(found) > 1:
        raise WebDNNError(
            f"there are {len(found)} {what} beside the file",
            where=str(path),
            why=f"each may belong to it: {listed([p.name for p in found])}",
            hint="give both files: the .prototxt as the model, and --caffe-weights FILE.caffemodel",
        )
    return found[0] if found else None


def _is_binary(path: Path) -> bool:
    head = _head(path)
    if is_prototxt(head):
        return False
    if is_caffemodel(head):
        return True
    raise WebDNNError("this is not a file of Caffe", where=str(path), **_explained(head))


def _explained(head: bytes) -> dict[str, str]:
    if head.startswith(_HDF5):
        return {
            "why": "it is an HDF5 file",
            "hint": "save the weights with snapshot_format: BINARYPROTO, or net.save('model.caffemodel') in Python",
        }
    if re.search(rb"^\s*(net|train_net|base_lr|lr_policy)\s*:", head, re.MULTILINE):
        return {"why": "it is a solver", "hint": "give the network that it names"}
    return {
        "why": "it holds no layers, neither as text (.prototxt) nor in binary form (.caffemodel)"
    }


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError as error:
        raise WebDNNError(
            "the file cannot be read", where=str(path), why=error.strerror or str(error)
        ) from None


def read(path: Path) -> Any:
    """The NetParameter in a file, whether text or binary.

    Raises:
        WebDNNError: the file is damaged or truncated, or is none of Caffe's.
    """
    if not _is_binary(path):
        text = path.read_bytes().decode("utf-8", "replace")
        try:
            net = text_format.Parse(text, NetParameter(), allow_unknown_field=True)
        except text_format.ParseError as error:
            raise _unreadable(path, text, error) from None
    else:
        try:
            net = NetParameter.FromString(path.read_bytes())
        except DecodeError:
            raise _damaged(path, "the file is damaged or truncated") from None
        if not _names_are_text(net):
            raise _damaged(path, "the name of a layer or blob is not UTF-8")
    return net


def _damaged(path: Path, why: str) -> WebDNNError:
    return WebDNNError(
        "the trained network cannot be read",
        where=str(path),
        why=why,
        hint="download or copy it again",
    )


def _names_are_text(net: Any) -> bool:
    """Whether all names are UTF-8, which protobuf does not check in files of its second version."""
    try:
        names = [net.name, *net.input]
        for layer in (*net.layer, *net.layers):
            names += [layer.name, *layer.bottom, *layer.top]
        names += [layer.type for layer in net.layer]
        names += [name for layer in net.layers for name in (layer.layer.name, layer.layer.type)]
        for layer in net.layer:
            names += [layer.python_param.module, layer.python_param.layer]
            names += [filler.type for filler in layer.dummy_data_param.data_filler]
    except UnicodeDecodeError:
        return False
    return all(isinstance(name, str) for name in names)


def _unreadable(path: Path, text: str, error: text_format.ParseError) -> WebDNNError:
    types = set(re.findall(r"\btype\s*:\s*([A-Z][A-Z0-9_]*)\b", text))
    if unknown := sorted(types - {value.split()[0] for value in ENUMS["V1LayerType"].split(",")}):
        return WebDNNError(
            "the network has layers of unknown types",
            where=unknown,
            why="they are not among the types that Caffe has in this old format ('layers')",
            hint="cut the network before it, or put layers that Caffe has in its place",
        )
    message = re.sub(r"^\d+:\d+ : ", "", str(error)).replace("webdnn.caffe.", "")
    message = re.sub(r"\w+Scope\.", "", message)
    place = f"line {error.GetLine()}, column {error.GetColumn()}: "
    return WebDNNError("the network cannot be read", where=str(path), why=place + message)
