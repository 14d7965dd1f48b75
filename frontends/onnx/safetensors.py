"""Where a tensor lies in a safetensors file, which is an external data file like any other but for its head."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from onnx import TensorProto

SUFFIX = ".safetensors"
"""What the names of such files end with."""
_METADATA = "__metadata__"
_SIZE_BYTES = 8
_MOST_HEAD_BYTES = 100_000_000
"""The format's own limit."""
DTYPES: dict[str, int] = {
    "BOOL": TensorProto.BOOL,
    "U8": TensorProto.UINT8,
    "I8": TensorProto.INT8,
    "U16": TensorProto.UINT16,
    "I16": TensorProto.INT16,
    "U32": TensorProto.UINT32,
    "I32": TensorProto.INT32,
    "U64": TensorProto.UINT64,
    "I64": TensorProto.INT64,
    "F16": TensorProto.FLOAT16,
    "BF16": TensorProto.BFLOAT16,
    "F32": TensorProto.FLOAT,
    "F64": TensorProto.DOUBLE,
    "F8_E4M3": TensorProto.FLOAT8E4M3FN,
    "F8_E4M3FNUZ": TensorProto.FLOAT8E4M3FNUZ,
    "F8_E5M2": TensorProto.FLOAT8E5M2,
    "F8_E5M2FNUZ": TensorProto.FLOAT8E5M2FNUZ,
    "F8_E8M0": TensorProto.FLOAT8E8M0,
    "C64": TensorProto.COMPLEX64,
}
"""The element types by the format's names."""


def place_in(path: Path, tensor: TensorProto, *, is_packed: bool) -> tuple[int, int]:
    """Where the tensor of this name begins in a safetensors file, and how many bytes it has.

    Args:
        path: the file.
        tensor: what the model says of it.
        is_packed: whether a byte holds several of its elements; then they are bytes in the file.

    Raises:
        ValueError: the file is damaged, has no such tensor, or one of another type or shape.
    """
    head, start = _head(path)
    entry = head.get(tensor.name)
    if not isinstance(entry, dict) or tensor.name == _METADATA:
        raise ValueError(f"it has no tensor of the name '{tensor.name}'")
    try:
        begin, end = (int(offset) for offset in entry["data_offsets"])
        shape, dtype = [int(size) for size in entry["shape"]], str(entry["dtype"])
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"what its head says of '{tensor.name}' is damaged") from None
    is_same = DTYPES.get(dtype) == tensor.data_type and shape == list(tensor.dims)
    if not is_same and not is_packed:
        stated = f"{TensorProto.DataType.Name(tensor.data_type)} {list(tensor.dims)}"
        raise ValueError(f"'{tensor.name}' is {dtype} {shape} in it, and {stated} in the model")
    return start + begin, end - begin


def _head(path: Path) -> tuple[dict[str, Any], int]:
    """What the head says, and where the data begin."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(_SIZE_BYTES), "little")
        text = file.read(size) if size <= _MOST_HEAD_BYTES else b""
    try:
        head = json.loads(text)
    except (ValueError, RecursionError):
        head = None
    if not isinstance(head, dict):
        raise ValueError("it is no safetensors file, or its head is damaged")
    return head, _SIZE_BYTES + size
