"""Checks indices that are known at compile time; those that are not are the business of whoever runs the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from webdnn.dialects.dtypes import Array
from webdnn.dialects.sizes.expression import bounds
from webdnn.lowering.onnx_to_nn.errors import Invalid
from webdnn.lowering.onnx_to_nn.node import Node


def check_indices(node: Node, operand: int, axis: int) -> None:
    """Refuse known indices, of one dimension of operand 0, that are out of its range.

    Raises:
        Invalid: one is less than minus the size of the dimension, or not less than the size.
    """
    indices = node.constant(operand)
    if indices is not None:
        _check(node, operand, indices, [axis])


def check_range(node: Node, operand: int, size: int) -> None:
    """Refuse known indices that are not those of one of `size` elements."""
    indices = node.constant(operand)
    if indices is not None and not np.all((indices >= 0) & (indices < bounds(size)[1])):
        name = node.op.input_names[operand]
        raise Invalid(f"its input '{name}' holds indices that are not from 0 to {size - 1}")


def check_corner(node: Node, axis: int) -> None:
    """Refuse indices (operand 1) that reach beyond operand 0 in a dimension that they do not index.

    Raises:
        Invalid: they have another rank, or are larger.
    """
    data, indices = node.shape(0), node.shape(1)
    if len(data) != len(indices) or any(
        bounds(n - m)[1] < 0
        for d, (n, m) in enumerate(zip(data, indices, strict=True))
        if d != axis
    ):
        raise Invalid(
            f"its indices have the shape {list(indices)}, which does not fit into {list(data)} beside dimension {axis}"
        )


def check_index_tuples(node: Node, operand: int, axes: Sequence[int]) -> None:
    """The same for the rows of indices along the last dimension, one index for each of `axes`."""
    indices = node.constant(operand)
    if indices is not None:
        _check(node, operand, indices, axes)


def _check(node: Node, operand: int, indices: Array, axes: Sequence[int]) -> None:
    sizes = np.array([bounds(node.shape()[axis])[1] for axis in axes], np.int64)
    wide = indices.astype(np.int64)
    if len(axes) == 1 and (wide.ndim == 0 or wide.shape[-1] != 1):
        wide = wide.reshape(-1, 1)
    outside = np.argwhere((wide < -sizes) | (wide >= sizes))
    if not len(outside):
        return
    first = tuple(outside[0])
    size = sizes[first[-1]]
    name = node.op.input_names[operand]
    raise Invalid(
        f"its input '{name}' holds the index {wide[first]}, and dimension {axes[first[-1]]} "
        f"of {list(node.shape())} has {size} elements"
    )


__all__ = ["check_corner", "check_index_tuples", "check_indices", "check_range"]
