"""What a kernel computes, as stages: loop nests whose bodies are expressions of single elements.

A `Stage` is one iteration space. Every intermediate tensor that is not worth a place in memory has been replaced by the
expression of its element, so a stage reads buffers, computes, reduces, and writes buffers. Index
expressions are affine in the stage's dimensions (`xdsl.ir.affine`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import prod

from xdsl.dialects.builtin import FloatAttr, IntegerAttr
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.ir.affine import AffineExpr


@dataclass(eq=False)
class Buffer:
    """A tensor that has a place in memory, in row-major order or at strides of its own.

    Attributes:
        argument: the number of the lowered kernel's operand; None for scratch memory.
        value: the memref, once it exists.
        layout: the strides, where it is not in row-major order.
        extents: for scratch memory, the extent of each dimension that is kept at a time (at most that of `shape`).
    """

    shape: tuple[int, ...]
    element_type: Attribute
    argument: int | None = None
    read_only: bool = False
    value: SSAValue | None = None
    extents: tuple[int, ...] = ()
    layout: tuple[int, ...] = ()

    @property
    def is_scratch(self) -> bool:
        return self.argument is None

    @property
    def strides(self) -> tuple[int, ...]:
        """The distance in elements between neighbours along each dimension."""
        if self.layout:
            return self.layout
        extents = self.extents or self.shape
        return tuple(prod(extents[i + 1 :]) for i in range(len(extents)))


@dataclass(eq=False)
class Node:
    """The value of one element; `type` is a scalar type."""

    type: Attribute

    def children(self) -> Sequence[Node]:
        """The nodes that this one reads."""
        return ()


@dataclass(eq=False)
class Const(Node):
    """A constant."""

    value: IntegerAttr | FloatAttr


@dataclass(eq=False)
class Index(Node):
    """An affine expression of the dimensions, as a value of type index."""

    expr: AffineExpr


@dataclass(eq=False)
class Read(Node):
    """An element of a buffer at an affine position."""

    buffer: Buffer
    index: tuple[AffineExpr, ...]


@dataclass(eq=False)
class Gather(Node):
    """An element of a buffer at a computed position."""

    buffer: Buffer
    index: tuple[Node, ...]

    def children(self) -> Sequence[Node]:
        return self.index


@dataclass(eq=False)
class Apply(Node):
    """A pure scalar op on values; `op` is the op of the kernel that it stands for."""

    op: Operation
    args: tuple[Node, ...]

    def children(self) -> Sequence[Node]:
        return self.args


@dataclass(eq=False)
class Choose(Node):
    """The case whose half-open range of positions `expr` falls into; case i ends at `ends[i]`. Only that
    case is computed."""

    expr: AffineExpr
    ends: tuple[int, ...]
    cases: tuple[Node, ...]

    def children(self) -> Sequence[Node]:
        return self.cases


@dataclass(eq=False)
class Acc(Node):
    """The running value of accumulator `number` in an update, and its final value in an output."""

    number: int


@dataclass
class Output:
    """`value` is stored at `index` of `buffer`, for each point of the stage's parallel dimensions."""

    buffer: Buffer
    index: tuple[AffineExpr, ...]
    value: Node


@dataclass
class Stage:
    """A loop nest. The first `num_parallel` dimensions are parallel, the others are reduced.

    For each point of the parallel dimensions the accumulators start as `inits` and become `updates` at
    each point of the reduced dimensions; then the outputs are stored. A stage without reduced dimensions
    has no accumulators.
    """

    sizes: list[int]
    num_parallel: int
    inits: list[Node] = field(default_factory=list[Node])
    updates: list[Node] = field(default_factory=list[Node])
    outputs: list[Output] = field(default_factory=list[Output])

    @property
    def is_reduction(self) -> bool:
        return bool(self.updates)

    def roots(self) -> list[Node]:
        """All expressions of the stage."""
        return [*self.inits, *self.updates, *(o.value for o in self.outputs)]

    def nodes(self) -> Iterator[Node]:
        """Every node once, a node after those that it reads."""
        return walk(self.roots())


def walk(roots: Sequence[Node]) -> Iterator[Node]:
    """Every node once, a node after those that it reads."""
    done: set[int] = set()
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            yield node
        elif id(node) not in done:
            done.add(id(node))
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(node.children()))


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
