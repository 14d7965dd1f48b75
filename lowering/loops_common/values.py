"""The value of an expression at a point of an iteration space, or at several neighbours as a vector."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from xdsl.dialects import arith, vector
from xdsl.dialects.builtin import (
    IndexType,
    VectorType,
    i32,
)
from xdsl.ir import Attribute, Operation, SSAValue

from webdnn.dialects import vector_ext
from webdnn.lowering.loops_common.emitter import Emitter
from webdnn.lowering.loops_common.expression import (
    Accumulator,
    Apply,
    Buffer,
    Choose,
    Constant,
    Index,
    Load,
    Node,
    Store,
)
from webdnn.lowering.loops_common.indices import Idx, Indices, lane_of, same
from webdnn.lowering.loops_common.linear import Dim, Division, Lin

Value = SSAValue | Idx
"""What a node evaluates to: an index, or a scalar that all lanes share, or a vector."""

_CASTS: dict[type[Operation], type[vector_ext.SIToFPOp | vector_ext.TruncIOp]] = {
    arith.SIToFPOp: vector_ext.SIToFPOp,
    arith.UIToFPOp: vector_ext.UIToFPOp,
    arith.FPToSIOp: vector_ext.FPToSIOp,
    arith.FPToUIOp: vector_ext.FPToUIOp,
    arith.ExtSIOp: vector_ext.ExtSIOp,
    arith.ExtUIOp: vector_ext.ExtUIOp,
    arith.TruncIOp: vector_ext.TruncIOp,
}  # pyright: ignore[reportAssignmentType]


@dataclass(eq=False)
class Scope:
    """What all points of a stage have in common.

    Attributes:
        emitter: where the ops go; what does not depend on the point is shared by all points through it.
        origin: the position of the group's tile, for the dimensions that scratch memory holds in part.
        depth: that of the open block that the stage's loops begin in: tensors that it does not write itself are
            complete there.
        written: the buffers that the stage writes, by `id`.
        padded: loads that may be done for lanes beyond the last point, by `id`.
    """

    emitter: Emitter
    origin: Mapping[Dim, Lin]
    depth: int = 0
    written: frozenset[int] = frozenset()
    padded: frozenset[int] = frozenset()


class PointEvaluator:
    """Evaluates expressions at one point.

    Args:
        scope: the stage's.
        point: the position along each dimension; that of the vectorised dimension counts its lanes.
        width: the number of lanes, 1 for scalars.
        valid: how many of the lanes are points of the stage, the first ones.
        accumulators: the values of the accumulators.
    """

    def __init__(
        self,
        scope: Scope,
        point: Mapping[Dim, Lin],
        width: int,
        valid: int | None = None,
        accumulators: Sequence[SSAValue] = (),
    ) -> None:
        self.scope = scope
        self.emitter = scope.emitter
        self.point = point
        self.indices = Indices(scope.emitter, width)
        self.width = width
        self.valid = width if valid is None else valid
        self.accumulators = accumulators
        self._memo: dict[int, Value] = {}

    def form(self, form: Lin) -> Idx:
        """The value of a linear form."""
        return self._form(form, self.point)

    def _form(self, form: Lin, point: Mapping[Dim, Lin]) -> Idx:
        total: Idx = Lin((), form.const)
        for atom, c in form.terms:
            match atom:
                case Dim():
                    value = point[atom]
                case Division():
                    value = self.indices.divide(self._form(atom.form, point), atom)
                case _:
                    assert isinstance(atom, Node)
                    value = self._index(atom)
            total = self.indices.add(total, self.indices.scale(value, c))
        return total

    def address(self, access: Load | Store) -> Idx:
        """The address of an access."""
        if not access.buffer.is_scratch:
            return self.form(access.at)
        local = {dim: at - self.scope.origin.get(dim, Lin()) for dim, at in self.point.items()}
        return self._form(access.at, local)

    def value(self, node: Node) -> Value:
        """The value of a node."""
        if (value := self._memo.get(id(node))) is None:
            value = self._memo[id(node)] = self._value(node)
        return value

    def _value(self, node: Node) -> Value:
        match node:
            case Constant():
                return self.emitter.constant(node.value)
            case Index():
                return self.form(node.form)
            case Accumulator():
                return self.accumulators[node.number]
            case Load():
                padded = id(node) in self.scope.padded
                return self.read(node.buffer, self.address(node), padded=padded)
            case Choose():
                return self._pick(node)
            case Apply():
                return self._apply(node)
            case _:
                raise TypeError(f"unknown node {type(node).__name__}")

    def vector(self, node: Node) -> SSAValue:
        """The value of a node as a vector, or as a scalar where the width is 1."""
        return self.widen(self.value(node))

    def widen(self, value: Value) -> SSAValue:
        """A value as a vector of all lanes, or as a scalar where the width is 1."""
        if isinstance(value, Lin | tuple):
            if self.width == 1 or (isinstance(value, Lin) and value.is_uniform):
                return self.widen(self.emitter.value(lane_of(value, 0)))
            return self.indices.vector(value)
        if self.width == 1 or isinstance(value.type, VectorType):
            return value
        return self.emitter.splat(value, self.width)

    def _index(self, node: Node) -> Idx:
        value = self.value(node)
        if isinstance(value, SSAValue):
            return Lin.of(value)
        return value

    def read(self, buffer: Buffer, address: Idx, *, padded: bool = False) -> SSAValue:
        """Elements of a buffer: one for all lanes, neighbours, or one by one.

        Args:
            padded: whether memory goes on behind the last valid lane.
        """
        if isinstance(address, Lin):
            if self.width == 1 or address.lane == 0:
                return self.elements(buffer, address, 1)
            if address.lane == 1 and (padded or self.valid == self.width):
                return self.elements(buffer, address, self.width)
        elif self.width == 1 or all(same(a, address[0]) for a in address[1:]):
            return self.elements(buffer, address[0], 1)
        lanes = [self.elements(buffer, lane_of(address, lane), 1) for lane in range(self.valid)]
        return self.emitter.pack(lanes + lanes[:1] * (self.width - self.valid))

    def load_lanes(self, load: Load, width: int) -> list[SSAValue]:
        """For each lane of a load that is scattered along the vectorised dimension, the `width` elements from it on."""
        address = self.address(load)
        return [self.elements(load.buffer, lane_of(address, i), width) for i in range(self.width)]

    def know(self, node: Node, value: SSAValue) -> None:
        """Take the value of a node as given."""
        self._memo[id(node)] = value

    def elements(self, buffer: Buffer, address: Lin, width: int) -> SSAValue:
        """One element, or a vector of neighbours in memory."""
        assert buffer.value is not None
        emitter = self.emitter
        if buffer.read_only:
            return emitter.load(buffer.value, address, width)
        if id(buffer) in self.scope.written:
            return emitter.load(buffer.value, address, width, depth=None)
        return emitter.load(
            buffer.value, address, width, depth=self.scope.depth, version=self.scope
        )

    def write(self, store: Store) -> None:
        """Store the valid lanes of a value."""
        value, buffer = self.vector(store.value), store.buffer
        assert buffer.value is not None
        address = self.address(store)
        contiguous = isinstance(address, Lin) and address.lane == 1
        if self.width == 1 or (contiguous and self.valid == self.width):
            self.emitter.store(value, buffer.value, lane_of(address, 0))
            return
        for lane in range(self.valid):
            scalar = self.emitter.lane(value, lane)
            self.emitter.store(scalar, buffer.value, lane_of(address, lane))

    def _apply(self, node: Apply) -> Value:
        args = [self.value(a) for a in node.operands]
        if isinstance(node.type, IndexType) or any(isinstance(a, Lin | tuple) for a in args):
            return self._apply_to_indices(node, args)
        values = [a for a in args if isinstance(a, SSAValue)]
        return self._apply_to_values(node.op, values, node.type)

    def _apply_to_values(
        self, op: Operation, values: Sequence[SSAValue], type: Attribute
    ) -> SSAValue:
        emitter = self.emitter
        if not any(isinstance(v.type, VectorType) for v in values):
            return emitter.like(op, values, type)
        if isinstance(op, arith.SelectOp) and not isinstance(values[0].type, VectorType):
            return emitter.like(
                op, [values[0], *map(self.widen, values[1:])], VectorType(type, [self.width])
            )
        return self.vector_op(op, [self.widen(v) for v in values], type)

    def vector_op(self, op: Operation, values: Sequence[SSAValue], type: Attribute) -> SSAValue:
        """A scalar op done on vectors."""
        emitter = self.emitter
        vector_type = VectorType(type, [self.width])
        match op:
            case arith.CmpfOp() | arith.CmpiOp():
                number = op.predicate.value.data
                if isinstance(op, arith.CmpfOp):
                    cls, name = vector_ext.CmpFOp, vector_ext.FLOAT_PREDICATES[number]
                else:
                    cls, name = vector_ext.CmpIOp, vector_ext.INTEGER_PREDICATES[number]
                return emitter.pure((cls, name), values, lambda: cls(name, values[0], values[1]))
            case arith.SelectOp():
                select = vector_ext.SelectOp
                return emitter.pure(select, values, lambda: select(*values))
            case _ if (cast := _CASTS.get(type_of(op))) is not None:
                return emitter.pure(
                    (cast, vector_type), values, lambda: cast(values[0], vector_type)
                )
            case _:
                return emitter.like(op, values, vector_type)

    def fma(self, a: SSAValue, b: SSAValue, c: SSAValue) -> SSAValue:
        """`a * b + c` on vectors of floats."""
        return self.emitter.pure(vector.FMAOp, (a, b, c), lambda: vector.FMAOp(a, b, c))

    def _apply_to_indices(self, node: Apply, args: Sequence[Value]) -> Value:
        op = node.op
        if isinstance(op, arith.IndexCastOp):
            return self._index_cast(args[0], node.type)
        if linear := self._linear(op, args):
            return linear
        uniform = all(
            a.is_uniform if isinstance(a, Lin) else isinstance(a, SSAValue) and not is_vector(a)
            for a in args
        )
        to_index = isinstance(node.type, IndexType)
        if uniform or self.width == 1:
            result = self.emitter.like(op, [self._scalar(a, 0) for a in args], node.type)
            return Lin.of(result) if to_index else result
        if not to_index and isinstance(op, arith.CmpiOp):
            return self.vector_op(op, [self._int_vector(a) for a in args], node.type)
        lanes = [
            self.emitter.like(op, [self._scalar(a, lane) for a in args], node.type)
            for lane in range(self.width)
        ]
        return tuple(Lin.of(v) for v in lanes) if to_index else self.emitter.pack(lanes)

    def _linear(self, op: Operation, args: Sequence[Value]) -> Idx | None:
        """An op on indices as linear expressions, where it is one."""
        if len(args) != 2 or not isinstance(op, arith.AddiOp | arith.SubiOp | arith.MuliOp):
            return None
        a, b = (Lin.of(v) if isinstance(v, SSAValue) and not is_vector(v) else v for v in args)
        if isinstance(a, SSAValue) or isinstance(b, SSAValue):
            return None
        if isinstance(op, arith.AddiOp):
            return self.indices.add(a, b)
        if isinstance(op, arith.SubiOp):
            return self.indices.add(a, self.indices.scale(b, -1))
        if isinstance(b, Lin) and b.is_const:
            return self.indices.scale(a, b.const)
        if isinstance(a, Lin) and a.is_const:
            return self.indices.scale(b, a.const)
        return None

    def _index_cast(self, arg: Value, type: Attribute) -> Value:
        if isinstance(arg, SSAValue):  # to index
            if not is_vector(arg):
                return Lin.of(self.indices.to_int(arg, IndexType()))
            return tuple(
                Lin.of(self.indices.to_int(self.emitter.lane(arg, lane), IndexType()))
                for lane in range(self.width)
            )
        if isinstance(arg, Lin) and arg.is_uniform:
            return self.indices.to_int(self.emitter.value(arg), type)
        if self.width == 1:
            return self.indices.to_int(self.emitter.value(lane_of(arg, 0)), type)
        wide = self.indices.vector(arg)
        if type == i32:
            return wide
        template = arith.ExtSIOp if type.width.data > 32 else arith.TruncIOp  # pyright: ignore
        cast = _CASTS[template]
        to = VectorType(type, [self.width])
        return self.emitter.pure((cast, to), (wide,), lambda: cast(wide, to))

    def _int_vector(self, value: Value) -> SSAValue:
        if isinstance(value, SSAValue):
            # a scalar of type index that all lanes share
            return self.emitter.splat(self.indices.to_int(value, i32), self.width)
        if isinstance(value, Lin) and value.is_uniform:
            scalar = self.indices.to_int(self.emitter.value(value), i32)
            return self.emitter.splat(scalar, self.width)
        return self.indices.vector(value)

    def _scalar(self, value: Value, lane: int) -> SSAValue:
        if isinstance(value, SSAValue):
            return self.emitter.lane(value, lane) if is_vector(value) else value
        return self.emitter.value(lane_of(value, lane))

    def _pick(self, node: Choose) -> Value:
        at = self.form(node.position)
        if isinstance(at, tuple) or at.lane:
            lanes = [self._in_lane(lane, node) for lane in range(self.valid)]
            return self.emitter.pack(lanes + lanes[:1] * (self.width - self.valid))
        if at.is_const:
            return self.value(node.case_at(at.const))
        return self._pick_from(node, at, 0)

    def _in_lane(self, lane: int, node: Node) -> SSAValue:
        point = {dim: at.at_lane(lane) for dim, at in self.point.items()}
        scalars = [self.emitter.lane(a, lane) if is_vector(a) else a for a in self.accumulators]
        return PointEvaluator(self.scope, point, 1, None, scalars).vector(node)

    def number(self, node: Node) -> float | None:
        """The value of a constant, or of the constant that a table holds where its position is known."""
        match node:
            case Constant(value=attr):
                return attr.value.data
            case Choose():
                at = self.form(node.position)
                if isinstance(at, Lin) and at.is_const:
                    return self.number(node.case_at(at.const))
                return None
            case _:
                return None

    def _pick_from(self, node: Choose, at: Lin, first: int) -> SSAValue:
        emitter = self.emitter
        if first == len(node.cases) - 1:
            return self.vector(node.cases[first])
        memo = dict(self._memo)

        def branch(value: Callable[[], SSAValue]) -> Callable[[], Sequence[SSAValue]]:
            def run() -> Sequence[SSAValue]:
                result = value()
                self._memo = dict(memo)
                return [result]

            return run

        return emitter.if_else(
            emitter.less(at, node.ends[first]),
            branch(lambda: self.vector(node.cases[first])),
            branch(lambda: self._pick_from(node, at, first + 1)),
        )[0]


def type_of(op: Operation) -> type[Operation]:
    """The class of an op."""
    return type(op)


def is_vector(value: SSAValue) -> bool:
    """Whether a value is a vector."""
    return isinstance(value.type, VectorType)
