"""Stages over flat memory: every access is one address, and dimensions that memory does not tell apart are
one.

Here tensors lose their shapes. What is left of an access is its `Flat` address, so whether two loops may
be one loop, and whether an access is contiguous along a dimension, are questions about coefficients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import cast

from xdsl.ir.affine import AffineBinaryOpExpr, AffineExpr

from webdnn.lowering.loops_common.affine import Flat
from webdnn.lowering.loops_common.stages import (
    Acc,
    Apply,
    Buffer,
    Choose,
    Const,
    Gather,
    Index,
    Node,
    Read,
    Stage,
    walk,
)


@dataclass(eq=False)
class Load(Node):
    """An element of a buffer at an affine address."""

    buffer: Buffer
    at: Flat


@dataclass(eq=False)
class Position(Node):
    """An affine expression of the dimensions, as a value of type index."""

    at: Flat


@dataclass(eq=False)
class Pick(Node):
    """The case whose range of positions `at` falls into; case i ends at `ends[i]`."""

    at: Flat
    ends: tuple[int, ...]
    cases: tuple[Node, ...]

    def children(self) -> Sequence[Node]:
        return self.cases


@dataclass
class Store:
    """`value` is stored at an affine address."""

    buffer: Buffer
    at: Flat
    value: Node


@dataclass
class FlatStage:
    """A `Stage` whose accesses are addresses.

    Attributes:
        sizes: the extent of each dimension; none is 1 unless it is fixed.
        num_parallel: how many of the dimensions, the first ones, are parallel.
        fixed: the dimensions that a group shares, in the group's order.
    """

    sizes: list[int]
    num_parallel: int
    inits: list[Node]
    updates: list[Node]
    stores: list[Store]
    fixed: list[int]

    @property
    def is_reduction(self) -> bool:
        return bool(self.updates)

    def roots(self) -> list[Node]:
        return [*self.inits, *self.updates, *(s.value for s in self.stores)]

    def loads(self) -> list[Load]:
        """The loads, each once."""
        return [n for n in walk(self.roots()) if isinstance(n, Load)]

    def flats(self) -> list[Flat]:
        """Everything affine in the stage."""
        found = [n.at for n in walk(self.roots()) if isinstance(n, Load | Position | Pick)]
        return found + [s.at for s in self.stores]

    @property
    def points(self) -> int:
        """The number of points of the iteration space."""
        return prod(self.sizes)

    def can_merge(self, d: int) -> bool:
        """Whether dimensions d and d + 1 may be one loop without divisions."""
        return self._is_pair(d) and all(_merges(f, d, self.sizes[d + 1]) for f in self.flats())

    def _is_pair(self, d: int) -> bool:
        return (
            d + 1 < len(self.sizes)
            and d + 1 != self.num_parallel
            and d not in self.fixed
            and d + 1 not in self.fixed
        )

    def merge(self, d: int) -> None:
        """Make dimensions d and d + 1 one; addresses that tell them apart get divisions by the extent of d
        + 1."""
        assert self._is_pair(d)
        inner = self.sizes[d + 1]
        for flat in _unique(self.flats()):
            _merge(flat, d, inner)
        self.sizes[d : d + 2] = [self.sizes[d] * inner]
        if d + 1 < self.num_parallel:
            self.num_parallel -= 1
        self.fixed = [f - 1 if f > d else f for f in self.fixed]


def _unique(flats: Sequence[Flat]) -> list[Flat]:
    return list({id(f): f for f in flats}.values())


def _merges(flat: Flat, d: int, inner: int) -> bool:
    c = flat.coefficients
    if c.get(d, 0) != c.get(d + 1, 0) * inner:
        return False
    return not flat.others or not ({d, d + 1} & flat.nonlinear_dims)


def _merge(flat: Flat, d: int, inner: int) -> None:
    def renumber(i: int) -> int:
        return i - 1 if i > d else i

    merged = AffineExpr.dimension(d)
    if _merges(flat, d, inner):
        coefficient = flat.coefficients.pop(d + 1, 0)
        flat.coefficients.pop(d, None)
        rest = {renumber(i): c for i, c in flat.coefficients.items()}
        if coefficient:
            rest[d] = coefficient
        flat.coefficients = rest
        substitute = [AffineExpr.dimension(renumber(i)) for i in range(_rank(flat, d))]
        flat.others = [
            (cast("AffineBinaryOpExpr", expr.replace_dims_and_symbols(substitute, ())), c)
            for expr, c in flat.others
        ]
        return
    substitute = [AffineExpr.dimension(renumber(i)) for i in range(_rank(flat, d))]
    substitute[d] = merged // inner
    substitute[d + 1] = merged % inner
    expr = flat.expr().replace_dims_and_symbols(substitute, ())
    new = Flat.of(expr)
    flat.coefficients, flat.others, flat.const = new.coefficients, new.others, new.const


def _rank(flat: Flat, d: int) -> int:
    used = set(flat.coefficients) | flat.nonlinear_dims | {d + 1}
    return max(used) + 1


def flatten(stage: Stage, fixed: Sequence[int] = ()) -> FlatStage:
    """The stage over flat memory, without dimensions of size 1 and with loops merged where no access tells
    them apart.

    Args:
        fixed: the dimensions that the stage's group shares, which stay as they are.
    """
    keep = [d for d, n in enumerate(stage.sizes) if n != 1 or d in fixed]
    dims: list[AffineExpr] = [AffineExpr.constant(0)] * len(stage.sizes)
    for new, old in enumerate(keep):
        dims[old] = AffineExpr.dimension(new)

    def flat(index: Sequence[AffineExpr], strides: Sequence[int]) -> Flat:
        return Flat.address([e.replace_dims_and_symbols(dims, ()) for e in index], strides)

    replaced: dict[int, Node] = {}
    for node in walk(stage.roots()):
        replaced[id(node)] = _rebuild(node, replaced, flat)
    result = FlatStage(
        [stage.sizes[d] for d in keep],
        sum(d < stage.num_parallel for d in keep),
        [replaced[id(n)] for n in stage.inits],
        [replaced[id(n)] for n in stage.updates],
        [
            Store(o.buffer, flat(o.index, o.buffer.strides), replaced[id(o.value)])
            for o in stage.outputs
        ],
        [keep.index(d) for d in fixed],
    )
    d = 0
    while d + 1 < len(result.sizes):
        if result.can_merge(d):
            result.merge(d)
        else:
            d += 1
    return result


def _rebuild(
    node: Node,
    replaced: dict[int, Node],
    flat: Callable[[Sequence[AffineExpr], Sequence[int]], Flat],
) -> Node:
    match node:
        case Read():
            return Load(node.type, node.buffer, flat(node.index, node.buffer.strides))
        case Index():
            return Position(node.type, flat([node.expr], [1]))
        case Choose():
            cases = tuple(replaced[id(c)] for c in node.cases)
            return Pick(node.type, flat([node.expr], [1]), node.ends, cases)
        case Gather():
            return Gather(node.type, node.buffer, tuple(replaced[id(c)] for c in node.index))
        case Apply():
            return Apply(node.type, node.op, tuple(replaced[id(c)] for c in node.args))
        case Const() | Acc():
            return node
        case _:
            raise TypeError(f"unknown node {type(node).__name__}")
