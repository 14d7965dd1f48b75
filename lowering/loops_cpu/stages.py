"""What a kernel computes, as stages: loop nests whose bodies are expressions of single elements.

A `Stage` is one iteration space. Every intermediate tensor that is not worth a place in memory has been replaced by the
expression of its element, so a stage reads buffers, computes, reduces, and writes buffers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod

from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.sizes.substitution import likely
from webdnn.lowering.loops_common.combining import combiners
from webdnn.lowering.loops_common.expression import (
    Accumulator,
    Apply,
    Buffer,
    Load,
    Node,
    Store,
    walk,
)
from webdnn.lowering.loops_common.linear import Dim


@dataclass
class Stage:
    """A loop nest. The first `num_parallel` dimensions are parallel, the others are reduced.

    For each point of the parallel dimensions the accumulators start as `inits` and become `updates` at
    each point of the reduced dimensions; then the stores are done. A stage without reduced dimensions
    has no accumulators.
    """

    dims: list[Dim]
    num_parallel: int
    inits: list[Node] = field(default_factory=list[Node])
    accumulators: list[Accumulator] = field(default_factory=list[Accumulator])
    updates: list[Node] = field(default_factory=list[Node])
    stores: list[Store] = field(default_factory=list[Store])

    @property
    def sizes(self) -> list[int]:
        """The extent of each dimension."""
        return [dim.size for dim in self.dims]

    @property
    def likely_sizes(self) -> list[int]:
        """The extent of each dimension that schedules are chosen for."""
        return [likely_extent(dim.size) for dim in self.dims]

    @property
    def points(self) -> int:
        """The likely number of points of the iteration space."""
        return prod(self.likely_sizes)

    @property
    def is_reduction(self) -> bool:
        return bool(self.updates)

    @property
    def combiners(self) -> list[Apply] | None:
        """The ops that combine partial results of the accumulators; None where there can be none of one of them."""
        return combiners(self.accumulators, self.updates)

    @property
    def can_split(self) -> bool:
        """Whether each accumulator may be computed as several partial results."""
        return self.is_reduction and self.combiners is not None

    def roots(self) -> list[Node]:
        """All expressions of the stage."""
        return [*self.inits, *self.updates, *(s.value for s in self.stores)]

    def nodes(self) -> Iterator[Node]:
        """Every node once, a node after those that it reads."""
        return walk(self.roots())

    def loads(self) -> list[Load]:
        """The loads, each once."""
        return [n for n in self.nodes() if isinstance(n, Load)]


def likely_extent(size: int) -> int:
    """The number that schedules are chosen for; one that depends on symbols is at least 1."""
    return max(1, likely(size)) if is_symbolic(size) else size


@dataclass(frozen=True)
class SharedDim:
    """A dimension that all stages of a group share.

    Attributes:
        dims: the number of the dimension in each stage.
        steps: how many points of it make one point of the stage where it is coarsest; the blocks of
            results in one stage may be the points of another.
        size: the number of points where it is finest.
    """

    dims: tuple[int, ...]
    steps: tuple[int, ...]
    size: int

    @property
    def step(self) -> int:
        """The points, where it is finest, of the smallest tile."""
        return max(self.steps)

    def extent(self, stage: int, tile: int) -> int:
        """The points of a stage in a tile of `tile` points where the dimension is finest."""
        return -(-tile * self.steps[stage] // self.step)


@dataclass
class Group:
    """Stages that run one after the other for each tile of the dimensions that all of them share.

    Attributes:
        outer: the shared dimensions.
        scratch: the buffers that the stages hand on; each lives as long as one tile.
    """

    stages: list[Stage]
    outer: list[SharedDim] = field(default_factory=list[SharedDim])
    scratch: list[Buffer] = field(default_factory=list[Buffer])
