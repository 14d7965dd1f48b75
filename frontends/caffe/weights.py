"""The arrays of trained blobs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def shape_of(blob: Any) -> tuple[int, ...]:
    """The shape of a BlobProto: a list of sizes, or in old files four of them with ones in front."""
    if blob.HasField("shape"):
        return tuple(blob.shape.dim)
    return (blob.num, blob.channels, blob.height, blob.width)


def values_of(blob: Any) -> Floats:
    """The numbers of a BlobProto, one after the other.

    Raises:
        ValueError: they are not whole, or not as many as the shape says.
    """
    if len(blob.double_data):
        values = np.frombuffer(b"".join(blob.double_data), "<f8").astype(np.float32)
    else:
        values = np.frombuffer(b"".join(blob.data), "<f4")
    count = math.prod(shape_of(blob))
    if values.size != count:
        raise ValueError(f"it has {values.size} numbers, and its shape {count}")
    return values
