"""Emits the ops that compute an expression, for one element or for several adjacent ones as a vector."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager

from xdsl.dialects import arith
from xdsl.dialects.builtin import (
    Float32Type,
    IntegerType,
    VectorType,
)
from xdsl.ir import Attribute, Operation, SSAValue

from webdnn.lowering.loops_common.emitter import Emitter, vector_type
from webdnn.lowering.loops_common.expression import (
    Accumulator,
    Apply,
    Choose,
    Constant,
    Index,
    Load,
    Node,
    Reduced,
    Reduction,
    Store,
    walk,
)
from webdnn.lowering.loops_common.linear import (
    Atom,
    Dim,
    Division,
    Lin,
    Quotient,
    Remainder,
    is_never_negative,
)

Lanes = tuple[SSAValue, ...]
Value = SSAValue | Lanes
"""A scalar (equal in all lanes), a vector, or the lanes of a value that no vector can hold."""


def is_word(type: Attribute) -> bool:
    """Whether a type is stored as one 32-bit word by nature, so that four of them may be loaded as one vector."""
    return isinstance(type, Float32Type) or (
        isinstance(type, IntegerType) and type.width.data == 32
    )


def is_contiguous(offset: Lin, lane: Dim, width: int) -> bool:
    """Whether `width` lanes lie side by side at a position that `width` divides, if `lane` starts at such a one."""
    if offset.const % width:
        return False
    for atom, coefficient in offset.terms:
        if atom is lane:
            if coefficient != 1:
                return False
        elif coefficient % width or (isinstance(atom, Node | Division) and lane in atom.dims):
            return False
    return offset.coefficient(lane) == 1


def is_vector(access: Load | Store, lane: Dim, width: int = 4) -> bool:
    """Whether `width` lanes of a load or a store may be one vector."""
    buffer = access.buffer
    # Vectors are bound as arrays of vectors: the last one must be whole.
    return (
        is_word(buffer.element_type)
        and buffer.count % width == 0
        and is_contiguous(access.at, lane, width)
    )


def can_vectorize(roots: Iterable[Node], lane: Dim, width: int = 4) -> bool:
    """Whether along `lane` every load is contiguous or uniform and nothing else depends on the lane number."""
    if lane.size % width:
        return False
    for node in walk(list(roots)):
        if lane not in node.dims:
            continue
        match node:
            case Load():
                if not is_vector(node, lane, width):
                    return False
            case Index():
                return False
            case Choose():
                if node.position.depends(lane):
                    return False
            case _:
                pass
    return True


class Evaluator:
    """Computes nodes at the current position of an emitter.

    `bindings` says where each dim stands. With a `lane` dim, values that depend on it are vectors of
    `width` elements, the first of them where the dim stands.
    """

    def __init__(
        self,
        emitter: Emitter,
        bindings: Mapping[Dim, Lin],
        lane: Dim | None = None,
        width: int = 1,
    ) -> None:
        self.emitter = emitter
        self.bindings = dict(bindings)
        self.lane = lane
        self.width = width
        self._accumulators: dict[Accumulator, SSAValue] = {}
        self._memo: list[dict[object, Value]] = [{}]
        self._reduced: list[dict[object, Sequence[SSAValue]]] = [{}]

    # What strategies use

    def bind(self, dims: Sequence[Dim], values: Sequence[Lin]) -> None:
        """Say where dims stand."""
        self.bindings.update(zip(dims, values, strict=True))

    def define(self, reduction: Reduction, values: Sequence[SSAValue], width: int = 1) -> None:
        """Give the results of a reduction that was computed elsewhere, such as by a whole workgroup."""
        self._reduced[-1][self._reduction_key(reduction, width)] = values

    def accumulate(self, reduction: Reduction, values: Sequence[SSAValue]) -> list[SSAValue]:
        """One step of a reduction from the given running values, at the point where its dims stand."""
        with self.scope():
            for accumulator, value in zip(reduction.accumulators, values, strict=True):
                self._accumulators[accumulator] = value
            return [
                self.emitter.splat(self.packed(update), self.width)
                if isinstance(value.type, VectorType)
                else self.scalar(update)
                for update, value in zip(reduction.updates, values, strict=True)
            ]

    def scalar(self, node: Node) -> SSAValue:
        """The value of a node that is equal in all lanes."""
        value = self._value(node)
        assert isinstance(value, SSAValue) and not isinstance(value.type, VectorType)
        return value

    def packed(self, node: Node) -> SSAValue:
        """The value of a node: a scalar where it does not depend on the lane, else a vector."""
        value = self._value(node)
        return value if isinstance(value, SSAValue) else self.emitter.pack(value)

    def form(self, form: Lin) -> Lin:
        """A linear form over dims and nodes as one over SSA values."""

        total = Lin((), form.const)
        for atom, coefficient in form.terms:
            total = total + self._atom(atom) * coefficient
        return total

    def _atom(self, atom: Atom) -> Lin:
        match atom:
            case Dim():
                return self.bindings[atom]
            case Division():
                return self._divide(atom)
            case _:
                assert isinstance(atom, Node)
                return Lin.of(self.scalar(atom))

    def _divide(self, atom: Division) -> Lin:
        emit, form = self.emitter, self.form(atom.form)
        if is_never_negative(atom.form):
            if isinstance(atom, Remainder):
                return emit.remainder(form, atom.divisor)
            return emit.divide(form, atom.divisor)[0]
        value, divisor = emit.value(form), emit.constant_index(atom.divisor)
        quotient = Lin.of(emit.binary(arith.FloorDivSIOp, value, divisor))
        return quotient if isinstance(atom, Quotient) else form - quotient * atom.divisor

    @contextmanager
    def scope(self) -> Generator[None]:
        """Values that are computed inside are forgotten at the end: for the body of a region."""
        self._memo.append({})
        self._reduced.append({})
        yield
        self._memo.pop()
        self._reduced.pop()

    @contextmanager
    def vectors(self, lane: Dim, width: int) -> Generator[None]:
        """Inside, values that depend on `lane` are vectors."""
        before = self.lane, self.width
        self.lane, self.width = lane, width
        yield
        self.lane, self.width = before

    def scoped(self, body: Callable[[], Sequence[SSAValue]]) -> Callable[[], Sequence[SSAValue]]:
        """The body of a region, in a scope of its own."""

        def run() -> Sequence[SSAValue]:
            with self.scope():
                return body()

        return run

    # Values

    def _key(self, node: Node) -> object:
        lanes = self.width if self.lane is not None and self.lane in node.dims else 1
        return node, lanes, tuple(self.bindings.get(dim) for dim in node.dims)

    def _value(self, node: Node) -> Value:
        if isinstance(node, Accumulator):
            return self._accumulators[node]
        key = self._key(node)
        for memo in reversed(self._memo):
            if (value := memo.get(key)) is not None:
                return value
        if self.lane is not None and self.lane in node.dims:
            value = self._vector_value(node, self.lane)
        else:
            value = self._scalar_value(node)
        self._memo[-1][key] = value
        return value

    def _scalar_value(self, node: Node) -> Value:
        emit = self.emitter
        match node:
            case Constant():
                return emit.constant(node.value)
            case Index():
                return emit.value(self.form(node.form))
            case Load():
                return emit.load(memory(node), self.form(node.at))
            case Apply():
                return self._apply(node, [self._value(n) for n in node.operands])
            case Choose():
                return self._choose(node)
            case Reduced():
                return self._reduce(node, 1)
            case _:
                raise AssertionError(f"no meaning for {type(node).__name__}")

    def _vector_value(self, node: Node, lane: Dim) -> Value:
        match node:
            case Load() if is_vector(node, lane, self.width):
                return self.emitter.load(memory(node), self.form(node.at), self.width)
            case Apply():
                return self._apply(node, [self._value(n) for n in node.operands])
            case Choose() if not node.position.depends(lane) and is_word(node.type):
                return self._choose(node)
            case Reduced() if all(is_word(n.type) for n in node.reduction.inits):
                return self._reduce(node, self.width)
            case _:
                return self._lanes(node, lane)

    def _lanes(self, node: Node, lane: Dim) -> Lanes:
        """The node computed anew for each lane."""
        base, width = self.bindings[lane], self.width
        lanes: list[SSAValue] = []
        self.lane, self.width = None, 1
        for i in range(width):
            self.bindings[lane] = base + i
            lanes.append(self.scalar(node))
        self.bindings[lane] = base
        self.lane, self.width = lane, width
        return tuple(lanes)

    def _choose(self, node: Choose) -> Value:
        emit = self.emitter
        width = self.width if self.lane is not None and self.lane in node.dims else 1

        def cases(first: int) -> Sequence[SSAValue]:
            if first == len(node.cases) - 1:
                return [emit.splat(self.packed(node.cases[first]), width)]
            condition = emit.less(self.form(node.position), node.ends[first])
            below = self.scoped(lambda: [emit.splat(self.packed(node.cases[first]), width)])
            return emit.if_else(condition, below, self.scoped(lambda: cases(first + 1)))

        return cases(0)[0]

    def _reduce(self, node: Reduced, width: int) -> SSAValue:
        reduction = node.reduction
        for results in self._reduced:
            if (values := results.get(self._reduction_key(reduction, width))) is not None:
                return values[node.index]
        values = self.reduce_serially(reduction, width)
        self._reduced[-1][self._reduction_key(reduction, width)] = values
        return values[node.index]

    def _reduction_key(self, reduction: Reduction, width: int) -> object:
        return reduction, width, tuple(self.bindings.get(dim) for dim in reduction.free)

    def reduce_serially(self, reduction: Reduction, width: int) -> Sequence[SSAValue]:
        """The results of a reduction by nested loops, as vectors if `width` is not 1."""
        emit = self.emitter
        inner = frozenset(reduction.dims)
        # A reduction that the loops do not change is computed once, before them.
        for update in walk(reduction.updates):
            if isinstance(update, Reduced) and not update.dims & inner:
                self._value(update)

        def nest(dims: Sequence[Dim], values: Sequence[SSAValue]) -> Sequence[SSAValue]:
            if not dims:
                return self.accumulate(reduction, values)

            def body(position: Lin, running: Sequence[SSAValue]) -> Sequence[SSAValue]:
                with self.scope():
                    self.bindings[dims[0]] = position
                    return nest(dims[1:], running)

            return emit.for_loop(0, dims[0].size, 1, values, body)

        return nest(reduction.dims, [emit.splat(self.packed(n), width) for n in reduction.inits])

    # Ops

    def _apply(self, node: Apply, operands: Sequence[Value]) -> Value:
        if all(isinstance(v, SSAValue) and not isinstance(v.type, VectorType) for v in operands):
            return self._op(node.op, [v for v in operands if isinstance(v, SSAValue)], 1)
        if _keeps_vectors(node.op) and all(isinstance(v, SSAValue) for v in operands):
            first = 1 if isinstance(node.op, arith.SelectOp) else 0  # the condition is a scalar
            values = [v for v in operands if isinstance(v, SSAValue)]
            splats = [self.emitter.splat(v, self.width) for v in values[first:]]
            return self._op(node.op, [*values[:first], *splats], self.width)
        return tuple(
            self._op(node.op, [self._lane(v, i) for v in operands], 1) for i in range(self.width)
        )

    def _lane(self, value: Value, lane: int) -> SSAValue:
        return value[lane] if isinstance(value, tuple) else self.emitter.lane(value, lane)

    def _op(self, op: Operation, operands: Sequence[SSAValue], width: int) -> SSAValue:
        return self.emitter.like(op, operands, vector_type(op.results[0].type, width))


def memory(access: Load | Store) -> SSAValue:
    """The memref of a load or a store."""
    assert access.buffer.value is not None
    return access.buffer.value


def _keeps_vectors(op: Operation) -> bool:
    """Whether an op of `arith` or `math` maps vectors of 32-bit words to such vectors."""
    if isinstance(op, arith.SelectOp):
        return is_word(op.result.type)
    if not op.name.startswith(("arith.", "math.")):
        return False
    if isinstance(op, arith.CmpiOp | arith.CmpfOp | arith.BitcastOp):
        return False
    return (
        all(is_word(v.type) for v in (*op.operands, *op.results))
        and len({v.type for v in (*op.operands, *op.results)}) == 1
    )
