"""Takes the big tensors out of a serialized model without copying them.

Protobuf copies every byte of a model when it parses it, and cannot parse more than 2 GiB. So the bytes are cut first:
a walk over the wire format replaces each long `raw_data` by a mark, and only what is left is parsed. The data stays
where it is: in the memory-mapped file.
"""

from __future__ import annotations

from collections.abc import Iterator

from webdnn.dialects.budget import MOST_DEPTH
from webdnn.dialects.errors import WebDNNError

BLOB_KEY = "webdnn.blob"
"""The key of the `external_data` entry that marks a tensor whose data was cut out; its value numbers the blob."""

LONG = 1024
"""Data of more bytes than this is cut out; shorter messages are not looked into."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# Where tensors are, as field numbers of onnx.proto: message -> {field: message of the field}.
_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _TENSOR = "model", "graph", "node", "attribute", "tensor"
_FIELDS: dict[str, dict[int, str]] = {
    _MODEL: {7: _GRAPH},
    _GRAPH: {1: _NODE, 5: _TENSOR},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 11: _GRAPH},
    _TENSOR: {},
}
_RAW_DATA = 9  # TensorProto.raw_data


def cut(data: memoryview) -> tuple[bytes, list[memoryview]]:
    """The serialized model without the long data of its tensors, and that data as views of `data`.

    Raises:
        ValueError: `data` is not a protobuf message, or ends in the middle of one.
        WebDNNError: graphs are nested too deep.
    """
    blobs: list[memoryview] = []
    return b"".join(_cut(data, _MODEL, blobs, 0)), blobs


def _cut(
    data: memoryview, message: str, blobs: list[memoryview], depth: int
) -> Iterator[bytes | memoryview]:
    if message == _GRAPH and (depth := depth + 1) > MOST_DEPTH:
        raise WebDNNError(
            f"graphs of the model are nested more than {MOST_DEPTH} deep",
            why="protobuf reads messages up to a depth of 100, and each graph is three",
            hint="put the inner graphs side by side, or into functions",
        )
    inner = _FIELDS[message]
    copied = 0
    marks: list[bytes] = []  # last, where they win over a data_location that the tensor has itself
    for field, start, begin, end in _long_fields(data):
        if message == _TENSOR and field == _RAW_DATA:
            yield data[copied:start]
            marks.append(_mark(len(blobs)))
            blobs.append(data[begin:end])
        elif field in inner:
            yield data[copied:start]
            content = b"".join(_cut(data[begin:end], inner[field], blobs, depth))
            yield _tagged(field, content)
        else:
            continue
        copied = end
    yield data[copied:]
    yield from marks


def _long_fields(data: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """The fields with long content: their numbers, where they start, and where their content begins and ends."""
    at, size = 0, len(data)
    while at < size:
        start = at
        key, at = _varint(data, at)
        field, kind = key >> 3, key & 7
        if field == 0:
            raise ValueError("field number 0")
        if kind == _BYTES:
            length, at = _varint(data, at)
            if length > LONG and at + length <= size:
                yield field, start, at, at + length
            at += length
        elif kind == _VARINT:
            _, at = _varint(data, at)
        elif kind == _FIXED64:
            at += 8
        elif kind == _FIXED32:
            at += 4
        else:
            raise ValueError(f"wire type {kind}")
    if at != size:
        raise ValueError("the message is truncated")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("the message is truncated")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _encode(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _tagged(field: int, content: bytes) -> bytes:
    return _encode(field << 3 | _BYTES) + _encode(len(content)) + content


def _mark(blob: int) -> bytes:
    """`external_data = {BLOB_KEY: blob}` and `data_location = EXTERNAL`, as fields of a TensorProto."""
    entry = _tagged(1, BLOB_KEY.encode()) + _tagged(2, str(blob).encode())
    return _tagged(13, entry) + _encode(14 << 3 | _VARINT) + b"\x01"
