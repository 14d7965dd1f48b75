"""What whole register tiles leave over along dimensions whose sizes depend on symbols.

There are smaller tiles for it, each of a known shape, in loops that may run zero times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from webdnn.dialects.sizes.expression import is_symbolic, maximum, minimum
from webdnn.dialects.sizes.questions import divides
from webdnn.lowering.loops_cpu.flatten import FlatStage
from webdnn.lowering.loops_cpu.tiling import Tiling

WIDE = 8
"""The accumulators that keep a core busy: the latency of a multiply-add times those that begin at once."""

MOST_POINTS = 8
"""The points of tiles of which each point that may be left over has code of its own."""

Part = tuple[int, int, int]
"""Tiles along a dimension: where the first one begins, how many there are, and how many points each has."""


def smaller_tile(tile: int, width: int) -> int:
    """The next smaller tile: along the lanes of vectors one vector, then one point; else a divisor.

    Args:
        width: the lanes of vectors along the dimension, else 1.
    """
    if tile > width > 1 and tile % width == 0:
        return width
    if width > 1:
        return 1
    return next(n for n in range(tile // 2, 0, -1) if tile % n == 0)


def register_tiles(size: int, tile: int, width: int) -> list[Part]:
    """Whole tiles along a dimension, then smaller ones."""
    parts: list[Part] = []
    done = 0
    while True:
        parts.append((done, (size - done) // tile, tile))
        if tile == 1:
            return parts
        done = size // tile * tile
        tile = smaller_tile(tile, width)


def tiles_and_points(size: int, tile: int) -> list[Part]:
    """Whole tiles along a dimension, then single points, whose places among those of a tile are known."""
    whole = size // tile
    done = whole * tile
    left = size - done
    points = [(done + i, minimum(maximum(left - i, 0), 1), 1) for i in range(tile - 1)]
    return [(0, whole, tile), *points]


def likely_tiles(size: int, likely: int, tile: int, width: int) -> Iterator[tuple[float, int]]:
    """The tiles along a dimension with how many there are of each: about those of all sizes near the likely one."""
    left = float(likely)
    while True:
        rest = 0.0 if divides(tile, size) else min(left, (tile - 1) / 2)
        yield (left - rest) / tile, tile
        if not rest:
            return
        left, tile = rest, smaller_tile(tile, width)


def has_wide_tiles(stage: FlatStage, tiling: Tiling, sizes: Sequence[int]) -> bool:
    """Whether tiles of fewer rows than others have more columns: where rows are left over by tiles of a product.

    Args:
        sizes: the extent of each parallel dimension.
    """
    v = tiling.vector
    if not stage.is_reduction or not 0 <= v < stage.num_parallel or v in stage.fixed:
        return False
    if is_symbolic(sizes[v]) or tiling.tile[v] % tiling.width:
        return False
    return any(is_symbolic(n) and tiling.tile[d] > 1 for d, n in enumerate(sizes) if d != v)


def widest(tiling: Tiling) -> int:
    """The columns of a tile of one row."""
    tile = tiling.tile[tiling.vector]
    return tile * max(1, _power_of_two(WIDE * tiling.width // tile))


def columns(tiling: Tiling, shape: Sequence[int]) -> int:
    """The columns of a tile of as many rows as `shape` has, so that there are about as many accumulators in each."""
    rows = prod(n for d, n in enumerate(shape) if d != tiling.vector)
    return max(tiling.tile[tiling.vector], widest(tiling) // _power_of_two(rows))


def _power_of_two(number: int) -> int:
    """The greatest power of two that is at most a positive number; 0 for 0."""
    return 1 << (number.bit_length() - 1) if number else 0
