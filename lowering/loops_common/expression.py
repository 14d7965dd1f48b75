"""What one element of a tensor in a kernel is, as an expression over loop dimensions.

A `kernel.func` of structured ops says whole tensors. Loops compute single elements, so the lowerings first read the
kernel as scalar expressions: an intermediate tensor that is not worth a place in memory is replaced by the expression
of its element. The expression is a DAG: what two readers share is one node. Which of its nodes are kept in registers,
in memory of whatever kind, or computed again is a matter of the target.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from xdsl.dialects.builtin import FloatAttr, IndexType, IntegerAttr
from xdsl.ir import Attribute, Operation, SSAValue

from webdnn.dialects.sizes.expression import UndecidedSize
from webdnn.lowering.loops_common.linear import (
    Dim,
    IndexNode,
    Lin,
    address,
    row_major_strides,
    span,
)


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
    def count(self) -> int:
        """The number of elements from the first to the last one that is kept."""
        return span(self.extents or self.shape, self.layout)

    @property
    def is_scratch(self) -> bool:
        return self.argument is None

    @property
    def strides(self) -> tuple[int, ...]:
        """The distance in elements between neighbours along each dimension."""
        return self.layout or row_major_strides(self.extents or self.shape)


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


def _nodes_of(forms: Sequence[Lin]) -> Iterator[Node]:
    for form in forms:
        for node in form.nodes():
            assert isinstance(node, Node)
            yield node


def _union(nodes: Sequence[Node], *forms: Lin) -> frozenset[Dim]:
    return frozenset().union(*(n.dims for n in nodes), *(f.dims for f in forms))


@dataclass(eq=False)
class Constant(Node):
    """A constant."""

    value: IntegerAttr | FloatAttr


@dataclass(eq=False)
class Index(Node):
    """A linear form as a value of type index."""

    form: Lin

    def __post_init__(self) -> None:
        self.dims = self.form.dims

    @staticmethod
    def of(form: Lin) -> Index:
        return Index(IndexType(), form)

    def children(self) -> Sequence[Node]:
        return tuple(_nodes_of([self.form]))

    def forms(self) -> Sequence[Lin]:
        return (self.form,)


@dataclass(eq=False)
class Load(Node):
    """An element of a buffer; `index` is its position along each axis or, over flat memory, its address alone."""

    buffer: Buffer
    index: tuple[Lin, ...]

    def __post_init__(self) -> None:
        self.dims = _union((), *self.index)

    @property
    def at(self) -> Lin:
        """The address, over flat memory."""
        (at,) = self.index
        return at

    @property
    def is_affine(self) -> bool:
        """Whether no data has to be read to know where the element is."""
        return not any(True for form in self.index for _ in form.nodes())

    def children(self) -> Sequence[Node]:
        return tuple(_nodes_of(self.index))

    def forms(self) -> Sequence[Lin]:
        return self.index


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
    """The case whose half-open range of positions `position` falls into; case i ends at `ends[i]`. Only that case is
    computed."""

    position: Lin
    ends: tuple[int, ...]
    cases: tuple[Node, ...]

    def __post_init__(self) -> None:
        self.dims = _union(self.cases, self.position)

    def children(self) -> Sequence[Node]:
        return (*self.cases, *_nodes_of([self.position]))

    def forms(self) -> Sequence[Lin]:
        return (self.position,)

    def case_at(self, position: int) -> Node | None:
        """The case of a position that is a size; None where the ranges of symbols do not tell."""
        try:
            number = bisect_right(self.ends, position)
        except UndecidedSize:
            return None
        return self.cases[min(number, len(self.cases) - 1)]


@dataclass(eq=False)
class Accumulator(Node):
    """The running value of accumulator `number` of a reduction, seen from its update."""

    number: int


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
class Store:
    """`value` is stored in a buffer; `index` is the position along each axis or, over flat memory, the address."""

    buffer: Buffer
    index: tuple[Lin, ...]
    value: Node

    @property
    def at(self) -> Lin:
        """The address, over flat memory."""
        (at,) = self.index
        return at


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
    """Rebuilds expressions with other forms in the place of dims and other dims for the reductions."""

    def __init__(
        self,
        dim: Callable[[Dim], Lin],
        reduction_dims: Callable[[tuple[Dim, ...]], tuple[Dim, ...]] = lambda dims: dims,
    ) -> None:
        self._dim = dim
        self._reduction_dims = reduction_dims
        self._done: dict[Node, Node] = {}
        self._reductions: dict[Reduction, Reduction] = {}

    def form(self, form: Lin) -> Lin:
        """The rewritten linear form."""

        def substitute(atom: object) -> Lin:
            if isinstance(atom, Dim):
                return self._dim(atom)
            assert isinstance(atom, Node)
            return self.node_form(atom)

        return form.map(substitute)

    def node_form(self, node: IndexNode) -> Lin:
        """The rewritten form of an index from data."""
        assert isinstance(node, Node)
        return as_form(self.node(node))

    def index(self, buffer: Buffer, index: Sequence[Lin]) -> tuple[Lin, ...]:
        """The rewritten position of an element of a buffer."""
        return tuple(self.form(form) for form in index)

    def store(self, store: Store) -> Store:
        """The rewritten store."""
        index = self.index(store.buffer, store.index)
        return Store(store.buffer, index, self.node(store.value))

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
            case Load():
                return Load(node.type, node.buffer, self.index(node.buffer, node.index))
            case Apply():
                return Apply(node.type, node.op, tuple(done[n] for n in node.operands))
            case Choose():
                cases = tuple(done[n] for n in node.cases)
                return Choose(node.type, self.form(node.position), node.ends, cases)
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


class Flattener(Rewriter):
    """Rebuilds expressions over flat memory: each position becomes one address."""

    def index(self, buffer: Buffer, index: Sequence[Lin]) -> tuple[Lin, ...]:
        return (self.form(address(index, buffer.strides)),)


def as_form(node: Node) -> Lin:
    """An index-valued node as a linear form."""
    return node.form if isinstance(node, Index) else Lin.of(node)
