"""When a convolution by Winograd's minimal filtering is faster than a direct one, and with which windows."""

from __future__ import annotations

from webdnn.lowering.linalg.convolution import Convolution

WINDOWS = {3: (4, 2), 5: (2,), 7: (2,)}
"""Results of a window that are tried, for each number of taps. Larger ones round too coarsely."""

PRODUCTS = 7.0
"""Multiply-adds of a matrix product or a direct convolution in a cycle."""

TRANSFORM = 1.5
"""Cycles for each element of a transformed window, of the input or of the products."""

BYTES = 6.0
"""Bytes of a transformed filter that come from beyond the second cache in a cycle."""

LEAST_CHANNELS = 16


def choose_windows(conv: Convolution) -> tuple[int, int] | None:
    """Results of a window along each axis with which the convolution costs least; None if a direct one does."""
    if min(conv.in_channels, conv.out_channels) < LEAST_CHANNELS:
        return None
    best, best_cost = None, direct_cost(conv)
    tried = [WINDOWS.get(taps, (1,) if taps == 1 else ()) for taps in conv.taps]
    for height in tried[0]:
        for width in tried[1]:
            cost = winograd_cost(conv, (height, width))
            if cost < 0.95 * best_cost:
                best, best_cost = (height, width), cost
    return best


def direct_cost(conv: Convolution) -> float:
    """Cycles of a direct convolution."""
    height, width = conv.out_sizes
    taps = conv.taps[0] * conv.taps[1]
    return conv.batch * height * width * taps * conv.in_channels * conv.out_channels / PRODUCTS


def winograd_cost(conv: Convolution, windows: tuple[int, int]) -> float:
    """Cycles with windows of this many results along each axis."""
    elements, count = 1, conv.batch
    for m, taps, size in zip(windows, conv.taps, conv.out_sizes, strict=True):
        elements *= m + taps - 1
        count *= -(-size // m)
    c, o = conv.in_channels, conv.out_channels
    rows = -(-count // 6) * 6 if count > 6 else count + 1
    products = elements * rows * c * o / PRODUCTS
    filters = elements * c * o * 4 / BYTES
    transforms = elements * count * (c + o) * TRANSFORM
    return max(products, filters) + transforms
