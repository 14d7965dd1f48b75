"""Interpolation as a matrix: row i holds the weights of the operand elements that result element i is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from webdnn.dialects.dtypes import Array


def _triangle(distance: Array) -> Array:
    return np.maximum(1 - np.abs(distance), 0)


def _cubic(a: float) -> Callable[[Array], Array]:
    """The cubic convolution kernel (Keys 1981) with its free parameter."""

    def kernel(distance: Array) -> Array:
        x = np.abs(distance)
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        return np.where(x <= 1, near, np.where(x < 2, far, 0))

    return kernel


def interpolation_matrix(
    positions: Array,
    size: int,
    density: float,
    mode: str,
    *,
    cubic: float,
    exclude_outside: bool,
    antialias: bool,
) -> Array:
    """The matrix `[outputs, size]` of linear or cubic interpolation.

    Args:
        positions: where each result element reads.
        size: how many elements there are.
        density: result elements per operand element.
        mode: `linear` or `cubic`.
        cubic: the parameter of the cubic kernel.
        exclude_outside: weights of elements outside are 0 and the others are scaled to a sum of 1, rather than that the
            elements at the edge stand for those outside.
        antialias: the kernel is stretched to the distance of the result elements where these are fewer.
    """
    kernel, reach = (_triangle, 1) if mode == "linear" else (_cubic(cubic), 2)
    positions = positions.astype(np.float64)
    stretch = max(1.0, 1.0 / density) if antialias else 1.0
    matrix = np.zeros((len(positions), size))
    width = int(np.ceil(reach * stretch))
    for row, position in enumerate(positions):
        at = np.arange(int(np.floor(position)) - width + 1, int(np.floor(position)) + width + 1)
        weights = kernel((at - position) / stretch)
        if exclude_outside or antialias:
            weights = np.where((at >= 0) & (at < size), weights, 0) if exclude_outside else weights
            total = weights.sum()
            weights = weights / total if total else weights
        elif mode == "linear":
            at, weights = _clamped_pair(position, size)
        np.add.at(matrix[row], at.clip(0, size - 1), weights)
    return matrix


def _clamped_pair(position: float, size: int) -> tuple[Array, Array]:
    """The two neighbours of a position held inside, and their weights."""
    position = min(max(position, 0.0), size - 1.0)
    low = int(np.floor(position))
    return np.array([low, low + 1]), np.array([1 - (position - low), position - low])


@dataclass(frozen=True)
class Band:
    """A matrix `[outputs, size]` whose rows are 0 but for a few elements side by side.

    Attributes:
        indices: `[outputs, taps]`, the columns of these elements.
        weights: `[outputs, taps]`, their values.
    """

    indices: Array
    weights: Array


def band_of(matrix: Array) -> Band:
    """The elements of a matrix that are not 0, in rows of one length."""
    outputs, size = matrix.shape
    used = matrix != 0
    first = np.where(used.any(1), used.argmax(1), 0)
    last = np.where(used.any(1), size - 1 - used[:, ::-1].argmax(1), 0)
    taps = int((last - first).max(initial=0)) + 1
    indices = np.minimum(first, size - taps)[:, None] + np.arange(taps)
    return Band(indices, np.take_along_axis(matrix, indices, 1).reshape(outputs, taps))
