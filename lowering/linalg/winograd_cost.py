"""When a convolution by Winograd's minimal filtering is faster than a direct one, and with which windows."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from xdsl.dialects.builtin import f32

from webdnn.dialects.sizes.expression import likely_shape
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


def winograd_cost(conv: Convolution, windows: tuple[int, int]) -> float:
    """Cycles with windows of this many results along each axis, at the likely sizes."""
    count, *sizes = _likely_sizes(conv)
    elements = 1
    for m, taps, size in zip(windows, conv.taps, sizes, strict=True):
        elements *= m + taps - 1
        count *= -(-size // m)
    c, o = conv.in_channels, conv.out_channels
    rows = -(-count // 6) * 6 if count > 6 else count + 1
    products = elements * rows * c * o / _products(conv)
    filters = elements * c * o * (4 if conv.element_type == f32 else 2) / BYTES
    transforms = elements * count * (c + o) * TRANSFORM
    return max(products, filters) + transforms
