"""The values that a user gives to inputs (`--value sr=16000`), as arrays of the types that the model declares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError

Scalar = bool | int | float | str
InputValue = Scalar | Array | Sequence["InputValue"]
"""A value as a user gives it: a number, a truth value, a text, nested lists of these, or an array."""


def typed_array(name: str, value: InputValue, element_type: int) -> Array:
    """A value as an array of an input's element type.

    Integers and floats may stand for each other where nothing but the rounding of a float is lost.

    Args:
        name: the input, for messages.
        value: what the user gave.
        element_type: the type that the model declares, a `TensorProto.DataType`.

    Raises:
        WebDNNError: the value is ragged, of another kind than the type, or out of its range.
    """
    type_name = TensorProto.DataType.Name(element_type).lower()
    array = _array(name, value)
    if element_type == TensorProto.STRING:
        if array.dtype.kind not in "OU":
            raise _wrong(name, array, type_name, "it is no text")
        return array.astype(object)
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(element_type))
    if array.dtype.kind == "V" and not _is_number(array.dtype) and array.itemsize == dtype.itemsize:
        array = array.view(dtype)  # from an .npy file, which has no name for bfloat16 and its like
    if array.size == 0 or array.dtype == dtype:
        return array.astype(dtype)
    if dtype.kind == "b":
        raise _wrong(name, array, type_name, f"{_first(array)!r} is not true or false")
    if array.dtype.kind not in "iuf" and not _is_number(array.dtype):
        raise _wrong(name, array, type_name, f"{_first(array)!r} is no number")
    return _converted(name, array, dtype, type_name)


def _array(name: str, value: InputValue) -> Array:
    """The value as an array of the type that holds it exactly."""
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    array = np.array(value, object)
    leaves: list[Any] = list(array.ravel())
    if any(isinstance(leaf, Sequence) and not isinstance(leaf, str) for leaf in leaves):
        raise WebDNNError(
            f"the value of input '{name}' is ragged", why="the rows of a tensor have one length"
        )
    kinds = {_kind(leaf) for leaf in leaves}
    if kinds <= {int, float} and kinds:
        if float in kinds:
            return array.astype(np.float64)
        if all(-(2**63) <= leaf < 2**63 for leaf in leaves):
            return array.astype(np.int64)
        if all(0 <= leaf < 2**64 for leaf in leaves):
            return array.astype(np.uint64)
        raise WebDNNError(
            f"the value of input '{name}' is out of range", why="ONNX's integers have up to 64 bits"
        )
    return array.astype(bool) if kinds == {bool} else array


def _kind(leaf: object) -> type:
    if isinstance(leaf, bool | np.bool_):
        return bool
    if isinstance(leaf, int | np.integer):
        return int
    return float if isinstance(leaf, float | np.floating) else type(leaf)


def _is_number(dtype: np.dtype[Any]) -> bool:
    """Whether this is one of ml_dtypes' number types (bfloat16, float8, int4), which NumPy does not know as such."""
    try:
        onnx.helper.np_dtype_to_tensor_dtype(dtype)
    except (ValueError, KeyError):
        return False
    return dtype.kind not in "bOUSc"


def _converted(name: str, array: Array, dtype: np.dtype[Any], type_name: str) -> Array:
    """Numbers as numbers of another type."""
    with np.errstate(all="ignore"):
        result = array.astype(dtype)
        if _is_float(dtype):
            lost = np.isfinite(array.astype(np.float64)) & ~np.isfinite(result.astype(np.float64))
        else:
            exact = array.astype(np.float64) if _is_float(array.dtype) else array
            if (fractions := exact != np.trunc(exact)).any():
                raise _wrong(name, array, type_name, f"{_first(array[fractions])} is no integer")
            # Back in its own type a number that did not fit is another one, or has another sign.
            lost = (result.astype(exact.dtype) != exact) | ((result < 0) != (exact < 0))
    if lost.any():
        raise _wrong(name, array, type_name, f"{_first(array[lost])} is out of its range")
    return result


def _is_float(dtype: np.dtype[Any]) -> bool:
    name = onnx.TensorProto.DataType.Name(onnx.helper.np_dtype_to_tensor_dtype(dtype))
    return "FLOAT" in name or name == "DOUBLE"


def _first(array: Array) -> object:
    first = array.ravel()[0]
    return first.item() if isinstance(first, np.generic) else first


def _wrong(name: str, array: Array, type_name: str, why: str) -> WebDNNError:
    shown = f"{name}={array.item()}" if array.size == 1 else name
    return WebDNNError(
        f"the value of input '{name}' does not fit its type, {type_name}", where=shown, why=why
    )
