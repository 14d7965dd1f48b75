"""What one output element of a kernel is, as an expression over loop dimensions.

A `kernel.func` of structured ops says whole tensors. A GPU invocation computes single elements, so the
lowering first reads the kernel as a scalar expression: every intermediate tensor is replaced by the
expression of its element, every access becomes one flat address (`Lin`), and a reduction becomes a node
with dims of its own. The expression is a DAG: what two readers share is one node. Strategies decide which
nodes are kept in registers, in workgroup memory or computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from xdsl.dialects.builtin import FloatAttr, IndexType, IntegerAttr
from xdsl.ir import Attribute, Operation

from webdnn.lowering.loops_gpu.linear import Dim, IndexNode, Lin


@dataclass(eq=False)
class Node(IndexNode):
    """One scalar value; `type` is its element type and `dims` are the loop dims that it depends on."""

    type: Attribute
    dims: frozenset[Dim] = field(init=False, default=frozenset())

    def children(self) -> Sequence[Node]:
        """The nodes that this one reads, those inside its linear forms included."""
        return ()

    def forms(self) -> Sequence[Lin]:
        """The linear forms that this node holds itself."""
        return ()


def form_nodes(form: Lin) -> Iterator[Node]:
    """The nodes among the atoms of a linear form."""
    for atom, _ in form.terms:
        if isinstance(atom, Node):
            yield atom


def form_dims(form: Lin) -> frozenset[Dim]:
    """The dims that a linear form depends on."""
    dims: set[Dim] = set()
    for atom, _ in form.terms:
        if isinstance(atom, Dim):
            dims.add(atom)
        elif isinstance(atom, Node):
            dims |= atom.dims
    return frozenset(dims)


def _union(nodes: Sequence[Node], *more: frozenset[Dim]) -> frozenset[Dim]:
    return frozenset().union(*(n.dims for n in nodes), *more)


@dataclass(eq=False)
class Constant(Node):
    """A constant."""

    value: IntegerAttr | FloatAttr


@dataclass(eq=False)
class Index(Node):
    """A linear form as a value of type index."""

    form: Lin

    def __post_init__(self) -> None:
        self.dims = form_dims(self.form)

    @staticmethod
    def of(form: Lin) -> Index:
        return Index(IndexType(), form)

    def children(self) -> Sequence[Node]:
        return tuple(form_nodes(self.form))

    def forms(self) -> Sequence[Lin]:
        return (self.form,)


@dataclass(eq=False)
class FloorDiv(Node):
    """A linear form divided by a positive constant, rounded down."""

    form: Lin
    divisor: int

    def __post_init__(self) -> None:
        self.dims = form_dims(self.form)

    def children(self) -> Sequence[Node]:
        return tuple(form_nodes(self.form))

    def forms(self) -> Sequence[Lin]:
        return (self.form,)


@dataclass(eq=False)
class Load(Node):
    """An element of the kernel's operand number `buffer`, at a flat position."""

    buffer: int
    offset: Lin

    def __post_init__(self) -> None:
        self.dims = form_dims(self.offset)

    def children(self) -> Sequence[Node]:
        return tuple(form_nodes(self.offset))

    def forms(self) -> Sequence[Lin]:
        return (self.offset,)


@dataclass(eq=False)
class Apply(Node):
    """A pure scalar op (`arith`, `math`) on values; `op` is the op of a kernel's body that it stands for."""

    op: Operation
    operands: tuple[Node, ...]

    def __post_init__(self) -> None:
        self.dims = _union(self.operands)

    def children(self) -> Sequence[Node]:
        return self.operands


@dataclass(eq=False)
class Choose(Node):
    """`below` where `position < bound`, else `above`; only the chosen one is computed."""

    position: Lin
    bound: int
    below: Node
    above: Node

    def __post_init__(self) -> None:
        self.dims = _union((self.below, self.above), form_dims(self.position))

    def children(self) -> Sequence[Node]:
        return (self.below, self.above, *form_nodes(self.position))

    def forms(self) -> Sequence[Lin]:
        return (self.position,)


@dataclass(eq=False)
class Accumulator(Node):
    """The running value of a reduction, seen from its update."""


@dataclass(eq=False)
class Reduction:
    """`accumulators = inits; for every point of dims: accumulators = updates`. Each result is a `Reduced` node."""

    dims: tuple[Dim, ...]
    inits: tuple[Node, ...]
    accumulators: tuple[Accumulator, ...]
    updates: tuple[Node, ...]
    free: frozenset[Dim] = field(init=False)

    def __post_init__(self) -> None:
        self.free = (_union(self.updates) - frozenset(self.dims)) | _union(self.inits)


@dataclass(eq=False)
class Reduced(Node):
    """Result number `index` of a reduction."""

    reduction: Reduction
    index: int

    def __post_init__(self) -> None:
        self.dims = self.reduction.free

    def children(self) -> Sequence[Node]:
        return (*self.reduction.inits, *self.reduction.updates)


@dataclass
class Output:
    """One output of a kernel: for every point of `dims`, `value` is stored at `offset` of operand number `buffer`."""

    buffer: int
    dims: tuple[Dim, ...]
    offset: Lin
    value: Node


def walk(roots: Sequence[Node]) -> Iterator[Node]:
    """Every node once, a node after those that it reads."""
    done: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(root, False) for root in reversed(roots)]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            yield node
        elif node not in done:
            done.add(node)
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(node.children()))


def reductions(roots: Sequence[Node]) -> list[Reduction]:
    """The reductions, each after those that it reads."""
    found: dict[Reduction, None] = {}
    for node in walk(roots):
        if isinstance(node, Reduced):
            found.setdefault(node.reduction)
    return list(found)


class Rewriter:
    """Rebuilds expressions with other linear forms and other dims for the reductions."""

    def __init__(
        self,
        atom: Callable[[Dim], Lin],
        reduction_dims: Callable[[tuple[Dim, ...]], tuple[Dim, ...]],
    ) -> None:
        self._dim = atom
        self._reduction_dims = reduction_dims
        self._done: dict[Node, Node] = {}
        self._reductions: dict[Reduction, Reduction] = {}

    def form(self, form: Lin) -> Lin:
        """The rewritten linear form."""

        def substitute(atom: object) -> Lin:
            if isinstance(atom, Dim):
                return self._dim(atom)
            assert isinstance(atom, Node)
            return Lin.of(self.node(atom))

        return form.map(substitute)

    def node(self, root: Node) -> Node:
        """The rewritten node."""
        for node in walk([root]):
            if node not in self._done:
                self._done[node] = self._rebuild(node)
        return self._done[root]

    def _rebuild(self, node: Node) -> Node:
        done = self._done
        match node:
            case Index():
                return Index(node.type, self.form(node.form))
            case FloorDiv():
                return FloorDiv(node.type, self.form(node.form), node.divisor)
            case Load():
                return Load(node.type, node.buffer, self.form(node.offset))
            case Apply():
                return Apply(node.type, node.op, tuple(done[n] for n in node.operands))
            case Choose():
                return Choose(
                    node.type,
                    self.form(node.position),
                    node.bound,
                    done[node.below],
                    done[node.above],
                )
            case Reduced():
                return Reduced(node.type, self._reduction(node.reduction), node.index)
            case _:
                return node

    def _reduction(self, old: Reduction) -> Reduction:
        if (new := self._reductions.get(old)) is None:
            new = Reduction(
                self._reduction_dims(old.dims),
                tuple(self._done[n] for n in old.inits),
                old.accumulators,
                tuple(self._done[n] for n in old.updates),
            )
            self._reductions[old] = new
        return new
