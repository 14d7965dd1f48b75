"""The numpy meaning of the `nn` ops that put elements in order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from xdsl.ir import Operation

from webdnn.dialects.dtypes import Array
from webdnn.dialects.nn.ordering import TopKOp
from webdnn.dialects.numpy_meaning.nn_reduction import widened


def _top_k(op: TopKOp, x: Array) -> Array:
    """numpy sorts NaN to the end; a descending order is the ascending one backwards, of the elements backwards."""
    x = widened(x)
    if op.largest.value.data:
        backwards = np.argsort(x[..., ::-1], axis=-1, kind="stable")[..., ::-1]
        order = x.shape[-1] - 1 - backwards
    else:
        order = np.argsort(x, axis=-1, kind="stable")
    return order[..., : op.k.value.data].astype(np.int64)


ORDERING_MEANING: dict[type[Operation], Callable[..., Array]] = {TopKOp: _top_k}
