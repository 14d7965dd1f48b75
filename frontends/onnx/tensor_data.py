"""Reads the data of tensors from the three places where it can be: in the model, cut out of it, or in another file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import SparseTensorProto, TensorProto

from webdnn.dialects.budget import TABLE_BYTES, described, elements
from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.onnx.safetensors import SUFFIX, place_in
from webdnn.frontends.onnx.wire import BLOB_KEY
from webdnn.frontends.paths import parts_inside

_PACKED_BITS: dict[int, int] = {
    TensorProto.INT4: 4,
    TensorProto.UINT4: 4,
    TensorProto.FLOAT4E2M1: 4,
    TensorProto.INT2: 2,
    TensorProto.UINT2: 2,
}
"""The bits of an element of the types of which a byte holds several."""


def element_count(tensor: TensorProto) -> int:
    """How many elements a tensor has."""
    count = 1
    for size in tensor.dims:
        count *= size
    return count


def is_external(tensor: TensorProto) -> bool:
    """Whether the data of a tensor is outside of it."""
    return tensor.data_location == TensorProto.EXTERNAL


@dataclass(frozen=True)
class TensorReader:
    """Gives the arrays of tensors, as views of memory-mapped files where the bytes allow it.

    Attributes:
        folders: where external data is looked for, one after the other; none where the model did not come from a file.
        blobs: the data that was cut out of the model.
    """

    folders: Sequence[Path] = ()
    blobs: Sequence[memoryview] = ()

    def array(self, tensor: TensorProto) -> Array:
        """The array of a tensor.

        Raises:
            WebDNNError: external data is missing, too short or outside the folder, or the data does not fit the shape.
        """
        if any(size < 0 for size in tensor.dims):
            raise _does_not_fit(tensor, f"its shape is {list(tensor.dims)}")
        if not is_external(tensor):
            return _inline(tensor)
        entries = {entry.key: entry.value for entry in tensor.external_data}
        number = entries.get(BLOB_KEY, "")
        if number.isdigit() and int(number) < len(self.blobs):
            return _view(tensor, np.frombuffer(self.blobs[int(number)], np.uint8))
        return self._external(tensor, entries)

    def dense(self, sparse: SparseTensorProto) -> Array:
        """The dense array of a sparse tensor."""
        values, indices = self.array(sparse.values), self.array(sparse.indices)
        size = elements(sparse.dims) * values.dtype.itemsize
        if size > TABLE_BYTES:
            raise WebDNNError(
                f"a sparse tensor of the shape {list(sparse.dims)} is too large",
                where=_name(sparse.values),
                why=f"it is made dense when a model is compiled, and would take {described(size)}",
                hint=f"tables may take {described(TABLE_BYTES)}",
            )
        try:
            dense = np.zeros(tuple(sparse.dims), values.dtype)
            if indices.ndim == 1:
                dense.reshape(-1)[indices] = values
            else:
                dense[tuple(indices.T)] = values
        except (IndexError, ValueError) as error:
            raise _does_not_fit(sparse.values, str(error)) from None
        return dense

    def _external(self, tensor: TensorProto, entries: dict[str, str]) -> Array:
        location, name = entries.get("location", ""), _name(tensor)
        if not self.folders:
            raise WebDNNError(
                f"the data of '{name}' is in another file, '{location}', and the model came without a folder",
                where=name,
                hint="give the path of the model file, with its data beside it",
            )
        if (parts := parts_inside(location)) is None:
            raise _outside(location, name)
        path = next(
            (p for folder in self.folders if (p := _find(folder, parts, name)) is not None), None
        )
        if path is None:
            raise WebDNNError(
                f"the external data file '{location}' is missing",
                where=name,
                hint=f"put it into {self.folders[0]}",
            )
        length = _byte_count(tensor)
        try:
            if path.suffix == SUFFIX and not entries.get("offset"):
                offset, declared = _place_by_name(path, tensor)
            else:
                offset = int(entries.get("offset") or 0)
                declared = int(entries.get("length") or length)
        except ValueError:
            raise _does_not_fit(tensor, "the offset or length is not a number") from None
        have = path.stat().st_size - offset
        if offset < 0 or have < length:
            raise WebDNNError(
                f"the external data file '{location}' is too short",
                where=name,
                why=f"the tensor needs {length} bytes at {offset}, and there are {max(0, have)}",
            )
        if declared != length:
            raise _does_not_fit(
                tensor, f"it needs {length} bytes, and the model says that it has {declared}"
            )
        if length == 0:
            return np.empty(tuple(tensor.dims), _dtype(tensor))
        return _view(tensor, np.memmap(path, np.uint8, "r", offset, (length,)))


def _place_by_name(path: Path, tensor: TensorProto) -> tuple[int, int]:
    """Offset and length of a tensor in a safetensors file, where the model does not say them."""
    try:
        return place_in(path, tensor, is_packed=tensor.data_type in _PACKED_BITS)
    except ValueError as error:
        raise WebDNNError(
            f"the external data file '{path.name}' does not fit the model",
            where=_name(tensor),
            why=str(error),
            hint="save both again from one model",
        ) from None


def _find(folder: Path, parts: Sequence[str], name: str) -> Path | None:
    """The file of this path in a folder, or None.

    The file may be a link to wherever the user keeps it, as in the cache of the Hugging Face Hub. A folder on the way
    to it may not lead out: then the model could choose among files that nobody put there for it.
    """
    path = folder.joinpath(*parts)
    try:
        if not path.is_file():
            return None
        if not path.parent.resolve().is_relative_to(folder.resolve()):
            raise _outside("/".join(parts), name)
    except (OSError, ValueError):  # a name that no file can have
        return None
    return path


def _outside(location: str, name: str) -> WebDNNError:
    return WebDNNError(
        f"the external data file '{location}' is outside the model's folder",
        where=name,
        why="a model may only read files that lie beside it",
        hint="move the data into the model's folder",
    )


def _inline(tensor: TensorProto) -> Array:
    try:
        return onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise _does_not_fit(tensor, str(error)) from None


def _view(tensor: TensorProto, data: npt.NDArray[np.uint8]) -> Array:
    """The array of a tensor over its raw data, without a copy where each element has its own bytes."""
    if len(data) != _byte_count(tensor):
        raise _does_not_fit(tensor, f"it needs {_byte_count(tensor)} bytes and has {len(data)}")
    if tensor.data_type in _PACKED_BITS:
        copy = TensorProto(data_type=tensor.data_type, dims=tensor.dims, raw_data=data.tobytes())
        return onnx.numpy_helper.to_array(copy)
    return data.view(_dtype(tensor)).reshape(tuple(tensor.dims))


def _dtype(tensor: TensorProto) -> np.dtype[Any]:
    try:
        if tensor.data_type == TensorProto.STRING:
            raise KeyError
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    except KeyError:
        raise _does_not_fit(tensor, "this element type has no raw data") from None


def _byte_count(tensor: TensorProto) -> int:
    count = element_count(tensor)
    bits = _PACKED_BITS.get(tensor.data_type)
    return count * _dtype(tensor).itemsize if bits is None else (count * bits + 7) // 8


def _name(tensor: TensorProto) -> str:
    return tensor.name or "a Constant node"


def _does_not_fit(tensor: TensorProto, why: str) -> WebDNNError:
    return WebDNNError(
        "the data of a tensor does not fit its type and shape", where=_name(tensor), why=why
    )
