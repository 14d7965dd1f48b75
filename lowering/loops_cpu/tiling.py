"""How a stage is cut into register tiles."""

from __future__ import annotations

from dataclasses import dataclass, field

WIDE = 8
"""The accumulators that a core needs to be kept busy: the latency of a multiply-add times those that begin at once."""


def smaller_tile(tile: int, width: int) -> int:
    """The tile for what is left over by whole tiles along a dimension whose size depends on symbols.

    Args:
        width: the lanes of vectors along the dimension, else 1.
    """
    if tile > width > 1 and tile % width == 0:
        return width
    if width > 1:
        return 1
    return next(n for n in range(tile // 2, 0, -1) if tile % n == 0)


@dataclass
class Tiling:
    """How a stage is cut.

    Attributes:
        tile: for each dimension, how many of its points one register tile holds; along a reduced
            dimension, how many points are unrolled.
        vector: the dimension whose neighbours are the lanes of vectors, or -1.
        width: the number of lanes.
        order: the parallel dimensions, the outermost loop first.
    """

    tile: list[int]
    vector: int = -1
    width: int = 4
    order: list[int] = field(default_factory=list[int])
