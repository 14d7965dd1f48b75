"""Emits the ops that compute an expression where the loops stand: for one element, or for neighbours as a vector."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from xdsl.dialects import arith
from xdsl.dialects.builtin import IndexType, IntegerType, VectorType, i32
from xdsl.ir import Attribute, Operation, SSAValue

from webdnn.lowering.loops_common.emitter import Emitter
from webdnn.lowering.loops_common.expression import (
    Accumulator,
    Apply,
    Choose,
    Constant,
    Index,
    Load,
    Node,
    Reduced,
    Store,
    walk,
)
from webdnn.lowering.loops_common.indices import Idx, Indices, lane_of, same
from webdnn.lowering.loops_common.linear import Dim, Division, Lin
from webdnn.lowering.loops_common.vectors import VectorUnit, resized, vector_op

Value = SSAValue | Lin | tuple[SSAValue, ...] | tuple[Lin, ...]
"""What a node evaluates to: a scalar that all lanes share, a vector, an index, or the lanes one by one."""


@dataclass(eq=False)
class Scope:
    """What all points of a loop nest have in common.

    Attributes:
        origin: the position of the tile that scratch memory holds, for the dimensions that it holds in part.
        depth: that of the block that the nest begins in: tensors that it does not write itself are complete there.
        written: the buffers that the nest writes, by `id`.
        padded: loads that may be done for lanes beyond the last point, by `id`.
    """

    origin: Mapping[Dim, Lin] = field(default_factory=dict[Dim, Lin])
    depth: int = 0
    written: frozenset[int] = frozenset()
    padded: frozenset[int] = frozenset()


class Evaluator:
    """Evaluates expressions over flat memory.

    Args:
        emitter: where the ops go.
        unit: what can be done with vectors.
        point: where each dimension stands.
        lane: the dimension that the lanes of vectors lie along, the first of them where it stands.
        width: the number of lanes, 1 for scalars.
        valid: how many of the lanes are points of the loop nest, the first ones; all by default.
        accumulators: the running values of a reduction.
    """

    def __init__(
        self,
        emitter: Emitter,
        unit: VectorUnit,
        point: Mapping[Dim, Lin],
        lane: Dim | None = None,
        width: int = 1,
        *,
        valid: int | None = None,
        accumulators: Mapping[Accumulator, SSAValue] | None = None,
        scope: Scope | None = None,
    ) -> None:
        self.emitter = emitter
        self.unit = unit
        self.lane: Dim | None = lane
        self.scope = Scope() if scope is None else scope
        self._point = {dim: at + Lin(lane=1) if dim is lane else at for dim, at in point.items()}
        self._rebound: set[Dim] = set()
        """The dims that have stood elsewhere before, so that values that depend on them have been others."""
        self._set_width(width)
        self.valid = width if valid is None else valid
        self.accumulators = dict(accumulators or {})
        self._memo: list[dict[object, Value]] = [{}]

    def _set_width(self, width: int) -> None:
        self.width = self.valid = width
        self._indices = Indices(self.emitter, width)

    # where it stands

    def bind(self, dims: Sequence[Dim], forms: Sequence[Lin]) -> None:
        """Say where dims stand."""
        for dim, form in zip(dims, forms, strict=True):
            self._point[dim] = form + Lin(lane=1) if dim is self.lane else form
        self._rebound.update(dims)

    @contextmanager
    def forget(self) -> Generator[None]:
        """Values that are computed inside are forgotten at the end: for the body of a region."""
        self._memo.append({})
        yield
        self._memo.pop()

    def region(self, body: Callable[[], Sequence[SSAValue]]) -> Callable[[], Sequence[SSAValue]]:
        """The body of a region, whose values are not known behind it."""

        def run() -> Sequence[SSAValue]:
            with self.forget():
                return body()

        return run

    # forms

    def form(self, form: Lin) -> Idx:
        """The value of a linear form."""
        return self._form(form, self._point)

    def uniform(self, form: Lin) -> Lin:
        """The value of a linear form, in lane 0."""
        return lane_of(self.form(form), 0)

    def _form(self, form: Lin, point: Mapping[Dim, Lin]) -> Idx:
        total: Idx = Lin((), form.const)
        for atom, c in form.terms:
            match atom:
                case Dim():
                    value = point[atom]
                case Division():
                    value = self._indices.divide(self._form(atom.form, point), atom)
                case _:
                    assert isinstance(atom, Node)
                    value = _as_index(self.value(atom))
            total = self._indices.add(total, self._indices.scale(value, c))
        return total

    def address(self, access: Load | Store) -> Idx:
        """The address of an access."""
        if not access.buffer.is_scratch:
            return self.form(access.at)
        origin = self.scope.origin
        local = {dim: at - origin.get(dim, Lin()) for dim, at in self._point.items()}
        return self._form(access.at, local)

    # values

    def value(self, node: Node) -> Value:
        """The value of a node."""
        found = self._known(node)
        if found is None:
            # operands first, in their order: a chain of ops may be longer than Python's stack is deep
            waiting = [node]
            while waiting:
                at = waiting[-1]
                operands = at.operands if isinstance(at, Apply) else ()
                unknown = [n for n in operands if self._known(n) is None]
                if unknown:
                    waiting.append(unknown[0])
                    continue
                waiting.pop()
                found = self._memo[-1][self._key(at)] = self._value(at)
        assert found is not None
        return found

    def _known(self, node: Node) -> Value | None:
        """The value of a node that has been evaluated."""
        if isinstance(node, Accumulator):
            return self.accumulators[node]
        key = self._key(node)
        for memo in reversed(self._memo):
            if (value := memo.get(key)) is not None:
                return value
        return None

    def know(self, node: Node, value: SSAValue) -> None:
        """Take the value of a node as given."""
        self._memo[-1][self._key(node)] = value

    def _key(self, node: Node) -> object:
        if self._rebound.isdisjoint(node.dims):
            return node
        return node, *(self._point.get(dim) for dim in node.dims if dim in self._rebound)

    def _value(self, node: Node) -> Value:
        match node:
            case Constant():
                return self.emitter.constant(node.value)
            case Index():
                return self.form(node.form)
            case Load():
                return self._load(node)
            case Apply():
                return self._apply(node)
            case Choose():
                return self._choose(node)
            case Reduced():
                return self.reduced(node)
            case _:
                raise TypeError(f"unknown node {type(node).__name__}")

    def reduced(self, node: Reduced) -> Value:
        """The value of a result of a reduction that is part of the expression."""
        raise NotImplementedError

    def scalar(self, node: Node) -> SSAValue:
        """The value of a node that is equal in all lanes."""
        value = self._lane(self.value(node), 0)
        assert not is_vector(value)
        return value

    def packed(self, node: Node) -> SSAValue:
        """The value of a node: a scalar where it is known to be equal in all lanes, else a vector."""
        value = self.value(node)
        if isinstance(value, SSAValue):
            return value
        if isinstance(value, Lin) and value.is_uniform:
            return self.emitter.value(value)
        return self._lane(value, 0) if self.width == 1 else self._wide(value)

    def vector(self, node: Node) -> SSAValue:
        """The value of a node as a vector, or as a scalar where the width is 1."""
        return self.emitter.splat(self.packed(node), self.width)

    def _lane(self, value: Value, lane: int) -> SSAValue:
        if isinstance(value, SSAValue):
            return self.emitter.lane(value, lane)
        one = value.at_lane(lane) if isinstance(value, Lin) else value[lane]
        return self.emitter.value(one) if isinstance(one, Lin) else one

    def _wide(self, value: Value) -> SSAValue:
        """A value as a vector; indices become integers."""
        emitter = self.emitter
        match value:
            case Lin() if value.is_uniform:
                return emitter.splat(self._indices.to_int(emitter.value(value), i32), self.width)
            case Lin():
                return self._indices.vector(value)
            case SSAValue():
                if isinstance(value.type, IndexType):
                    value = self._indices.to_int(value, i32)
                return emitter.splat(value, self.width)
            case _ if isinstance(value[0], Lin):
                return self._indices.vector(tuple(Lin.of(lane) for lane in value))
            case _:
                return emitter.pack([self._lane(value, i) for i in range(self.width)])

    def _joined(self, lanes: list[SSAValue], type: Attribute) -> Value:
        """The valid lanes as a vector, if there are vectors of their type."""
        whole = [*lanes, *lanes[:1] * (self.width - len(lanes))]
        return self.emitter.pack(whole) if self.unit.holds(type) else tuple(whole)

    def _apart(self, node: Node) -> Value:
        """A node computed anew for each lane."""
        lane, width, count = self.lane, self.width, self.valid
        assert lane is not None
        at, accumulators, memo = self._point[lane], self.accumulators, self._memo
        was_rebound = lane in self._rebound
        if any(map(is_vector, accumulators.values())):
            self._memo = [{}]
        self.lane = None
        self._set_width(1)
        lanes: list[SSAValue] = []
        for i in range(count):
            self.bind([lane], [at.at_lane(i)])
            self.accumulators = {
                accumulator: self.emitter.lane(value, i)
                for accumulator, value in accumulators.items()
            }
            with self.forget():
                lanes.append(self.scalar(node))
        if not was_rebound:
            self._rebound.discard(lane)
        self.lane = lane
        self._set_width(width)
        self.valid = count
        self._point[lane], self.accumulators, self._memo = at, accumulators, memo
        return self._joined(lanes, node.type)

    # loads

    def _load(self, node: Load) -> Value:
        address, lane = self.address(node), self.lane
        if self.width == 1 or lane is None or is_same(address):
            return self.elements(node, lane_of(address, 0))
        if isinstance(address, Lin) and address.lane == 1:
            is_whole = self.valid == self.width or id(node) in self.scope.padded
            if is_whole and self.unit.loads(node, lane, self.width):
                return self.elements(node, address, self.width)
        lanes = [self.elements(node, lane_of(address, i)) for i in range(self.valid)]
        return self._joined(lanes, node.type)

    def elements(self, load: Load, address: Lin, width: int = 1) -> SSAValue:
        """One element of the buffer of a load, or a vector of neighbours in memory."""
        buffer, scope = load.buffer, self.scope
        assert buffer.value is not None
        if buffer.read_only:
            return self.emitter.load(buffer.value, address, width)
        if id(buffer) in scope.written:
            return self.emitter.load(buffer.value, address, width, depth=None)
        return self.emitter.load(buffer.value, address, width, depth=scope.depth, version=scope)

    # ops

    def _apply(self, node: Apply) -> Value:
        op, args = node.op, [self.value(n) for n in node.operands]
        to_index = isinstance(node.type, IndexType)
        if isinstance(op, arith.IndexCastOp):
            return self._index_cast(args[0], node.type)
        if to_index and (linear := self._linear(op, args)) is not None:
            return linear
        if self.width == 1 or all(map(_is_uniform, args)):
            result = self.emitter.like(op, [self._lane(a, 0) for a in args], node.type)
            return Lin.of(result) if to_index else result
        if not to_index and self.unit.maps(op) and not any(map(_is_apart, args)):
            return self._vector_op(op, args, node.type)
        lanes = [
            self.emitter.like(op, [self._lane(a, i) for a in args], node.type)
            for i in range(self.width)
        ]
        return tuple(map(Lin.of, lanes)) if to_index else self._joined(lanes, node.type)

    def _vector_op(self, op: Operation, args: Sequence[Value], type: Attribute) -> SSAValue:
        """A scalar op done on vectors; one condition chooses whole vectors."""
        is_choice = isinstance(op, arith.SelectOp) and _is_uniform(args[0])
        values = [
            self._lane(arg, 0) if is_choice and i == 0 else self._wide(arg)
            for i, arg in enumerate(args)
        ]
        return vector_op(self.emitter, op, values, VectorType(type, [self.width]))

    def _linear(self, op: Operation, args: Sequence[Value]) -> Idx | None:
        """An op on indices as a linear form, where it is one."""
        if len(args) != 2 or any(isinstance(v, SSAValue) and is_vector(v) for v in args):
            return None
        a, b = map(_as_index, args)
        match op:
            case arith.AddiOp():
                return self._indices.add(a, b)
            case arith.SubiOp():
                return self._indices.add(a, self._indices.scale(b, -1))
            case arith.MuliOp() if isinstance(b, Lin) and b.is_const:
                return self._indices.scale(a, b.const)
            case arith.MuliOp() if isinstance(a, Lin) and a.is_const:
                return self._indices.scale(b, a.const)
            case _:
                return None

    def _index_cast(self, arg: Value, type: Attribute) -> Value:
        to_int = self._indices.to_int
        if _is_uniform(arg) or self.width == 1:
            result = to_int(self._lane(arg, 0), type)
            return Lin.of(result) if isinstance(type, IndexType) else result
        if isinstance(type, IndexType) or not self.unit.holds(IndexType()):
            lanes = [to_int(self._lane(arg, i), type) for i in range(self.width)]
            if isinstance(type, IndexType):
                return tuple(map(Lin.of, lanes))
            return self._joined(lanes, type)
        assert isinstance(type, IntegerType)
        return resized(self.emitter, self._wide(arg), VectorType(type, [self.width]))

    # cases

    def _choose(self, node: Choose) -> Value:
        at, emitter = self.form(node.position), self.emitter
        if isinstance(at, Lin) and at.is_const and (case := node.case_at(at.const)) is not None:
            return self.value(case)
        is_wide = self.width > 1 and self._is_wide(node)
        if (
            isinstance(at, tuple)
            or not at.is_uniform
            or (is_wide and not self.unit.holds(node.type))
        ):
            return self._apart(node)
        width = self.width if is_wide else 1

        def cases(first: int) -> Sequence[SSAValue]:
            def case() -> Sequence[SSAValue]:
                return [emitter.splat(self.packed(node.cases[first]), width)]

            if first == len(node.cases) - 1:
                return case()
            condition = emitter.less(at, node.ends[first])
            behind = self.region(lambda: cases(first + 1))
            return emitter.if_else(condition, self.region(case), behind)

        return cases(0)[0]

    def _is_wide(self, node: Node) -> bool:
        """Whether a value may differ between lanes."""
        return self.lane in node.dims or any(isinstance(n, Accumulator) for n in walk([node]))


def is_same(index: Idx) -> bool:
    """Whether an index is the same in all lanes."""
    if isinstance(index, Lin):
        return index.is_uniform
    return all(same(lane, index[0]) for lane in index[1:])


def _as_index(value: Value) -> Idx:
    if isinstance(value, SSAValue):
        return Lin.of(value)
    return tuple(map(Lin.of, value)) if isinstance(value, tuple) else value


def _is_uniform(value: Value) -> bool:
    return value.is_uniform if isinstance(value, Lin) else not is_vector(value)


def _is_apart(value: Value) -> bool:
    """Whether a value is the lanes one by one because there is no vector of them."""
    return isinstance(value, tuple) and isinstance(value[0], SSAValue)


def is_vector(value: object) -> bool:
    """Whether a value is a vector, or the lanes of what might be one."""
    return isinstance(value, tuple) or (
        isinstance(value, SSAValue) and isinstance(value.type, VectorType)
    )
