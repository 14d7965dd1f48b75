"""When a convolution by Winograd's minimal filtering is faster than a direct one, and with which windows."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from math import prod

from xdsl.dialects.builtin import f32
from xdsl.ir import Attribute

from webdnn.dialects.dtypes import numpy_dtype
from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.sizes.questions import at_most
from webdnn.dialects.sizes.substitution import likely_shape
from webdnn.lowering.linalg.convolution import Convolution

WINDOWS = {3: (4, 2), 5: (2,), 7: (2,)}
"""Results of a window that are tried, for each number of taps. Larger ones round too coarsely."""

PRODUCTS, INTEGER_PRODUCTS = 7.0, 11.0
"""Multiply-adds of a matrix product or a direct convolution in a cycle: of floats, and of small integers."""

TRANSFORM = 1.5
"""Cycles for each element of a transformed window, of the input or of the products."""

BYTES = 6.0
"""Bytes of a transformed filter that come from beyond the second cache in a cycle."""

LEAST_CHANNELS = 16

MOST_BYTES = 3 << 29
"""Bytes of transformed windows and products at the greatest sizes. Together with a residual they are then below the
2 GiB at which a run is refused: Winograd's method seldom takes away sizes that a direct convolution has memory for."""


def candidate_windows(conv: Convolution) -> list[tuple[int, int]]:
    """Results of a window along each axis that are worth a try."""
    if min(conv.in_channels, conv.out_channels) < LEAST_CHANNELS:
        return []
    heights, widths = (WINDOWS.get(t, (1,) if t == 1 else ()) for t in conv.taps)
    return list(product(heights, widths))


def choose_windows(conv: Convolution, windows: Iterable[tuple[int, int]]) -> tuple[int, int] | None:
    """Those of `windows` with which the convolution costs least; None if a direct one does."""
    best, best_cost = None, direct_cost(conv)
    for tried in windows:
        cost = winograd_cost(conv, tried)
        if cost < 0.95 * best_cost:
            best, best_cost = tried, cost
    return best


def window_counts(sizes: Iterable[int], windows: tuple[int, int]) -> tuple[int, int]:
    """How many windows there are along each axis of a result of `sizes`."""
    height, width = (-(-n // m) for n, m in zip(sizes, windows, strict=True))
    return height, width


def has_room(
    conv: Convolution, windows: tuple[int, int], factor: Attribute, sum: Attribute
) -> bool:
    """Whether a run of the greatest sizes, where they depend on symbols, can hold what is transformed.

    Args:
        factor, sum: the types of transformed windows and of their products.
    """
    sizes = (conv.batch, *conv.out_sizes)
    if not any(map(is_symbolic, sizes)):
        return True
    batch, *most = map(at_most, sizes)
    elements = _window_elements(conv, windows)
    count = batch * prod(window_counts(most, windows))
    each = conv.in_channels * numpy_dtype(factor).itemsize
    each += conv.out_channels * numpy_dtype(sum).itemsize
    return elements * count * each <= MOST_BYTES


def direct_cost(conv: Convolution) -> float:
    """Cycles of a direct convolution, at the likely sizes."""
    batch, height, width = _likely_sizes(conv)
    taps = conv.taps[0] * conv.taps[1]
    return batch * height * width * taps * conv.in_channels * conv.out_channels / _products(conv)


def _likely_sizes(conv: Convolution) -> tuple[int, ...]:
    """Batch, height and width of the result."""
    return likely_shape((conv.batch, *conv.out_sizes))


def _products(conv: Convolution) -> float:
    return PRODUCTS if conv.element_type == f32 else INTEGER_PRODUCTS


def _window_elements(conv: Convolution, windows: tuple[int, int]) -> int:
    """Elements of a transformed window."""
    return prod(m + taps - 1 for m, taps in zip(windows, conv.taps, strict=True))


def winograd_cost(conv: Convolution, windows: tuple[int, int]) -> float:
    """Cycles with windows of this many results along each axis, at the likely sizes."""
    batch, *sizes = _likely_sizes(conv)
    elements = _window_elements(conv, windows)
    count = batch * prod(window_counts(sizes, windows))
    c, o = conv.in_channels, conv.out_channels
    rows = -(-count // 6) * 6 if count > 6 else count + 1
    products = elements * rows * c * o / _products(conv)
    filters = elements * c * o * (4 if conv.element_type == f32 else 2) / BYTES
    transforms = elements * count * (c + o) * TRANSFORM
    return max(products, filters) + transforms
