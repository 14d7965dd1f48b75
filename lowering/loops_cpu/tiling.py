"""How a stage is cut into register tiles."""

from __future__ import annotations

from dataclasses import dataclass, field


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
