"""The numpy meaning of the `linalg_ext` dialect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from webdnn.dialects.dtypes import Array
from webdnn.dialects.linalg_ext import DIGIT, CountingSortOp, OrderingOp, SelectOp
from webdnn.dialects.sizes.types import concrete_size


def run_ordering(op: OrderingOp, operands: Sequence[Array]) -> Array:
    """The positions (int32) that an op gives for its keys."""
    keys = operands[0]
    if isinstance(op, CountingSortOp):
        return _counting_sort(op, keys, operands[1:])
    first = np.argsort(keys, axis=-1, kind="stable")[:, : concrete_size(op.sizes[2])]
    return (np.sort(first, axis=-1) if isinstance(op, SelectOp) else first).astype(np.int32)


def _counting_sort(op: CountingSortOp, keys: Array, order: Sequence[Array]) -> Array:
    positions = (
        order[0] if order else np.broadcast_to(np.arange(keys.shape[1], dtype=np.int32), keys.shape)
    )
    ascending = keys ^ np.iinfo(keys.dtype).min  # as unsigned numbers
    digits = ascending >> op.shift.value.data & (2**DIGIT - 1)
    place = np.argsort(np.take_along_axis(digits, positions, 1), axis=-1, kind="stable")
    return np.take_along_axis(positions, place, 1)
