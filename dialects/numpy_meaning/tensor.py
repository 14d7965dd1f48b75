"""The numpy meaning of the ops of `tensor` that kernels hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from xdsl.dialects import tensor

from webdnn.dialects.dtypes import Array, numpy_dtype
from webdnn.dialects.sizes.types import concrete_shape


def run_empty(op: tensor.EmptyOp) -> Array:
    """Elements that nobody may read: NaN, or the least integer, so that a test sees when somebody does."""
    dtype = numpy_dtype(op.tensor.type)
    if dtype.kind == "b":
        value: Any = True
    elif dtype.kind in "iu":
        value = np.iinfo(dtype).min
    else:
        value = np.nan
    return np.full(concrete_shape(op.tensor), value, dtype)


def run_concat(op: tensor.ConcatOp, operands: Sequence[Array]) -> Array:
    """The operands one after the other along an axis."""
    return np.concatenate(list(operands), axis=op.dim.value.data)


def run_extract(_: tensor.ExtractOp, source: Array, *index: Any) -> Any:
    """One element."""
    return source[tuple(index)]
