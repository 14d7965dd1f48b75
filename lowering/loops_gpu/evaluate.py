"""Expressions in the program of an invocation: reductions that are part of them, and the vectors of a GPU."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager

from xdsl.dialects import arith
from xdsl.dialects.builtin import (
    Float32Type,
    IntegerType,
    VectorType,
)
from xdsl.ir import Attribute, Operation, SSAValue

from webdnn.dialects.sizes.questions import divides
from webdnn.lowering.loops_common.emitter import Emitter
from webdnn.lowering.loops_common.evaluate import Evaluator, Value
from webdnn.lowering.loops_common.expression import (
    Choose,
    Index,
    Load,
    Node,
    Reduced,
    Reduction,
    Store,
    walk,
)
from webdnn.lowering.loops_common.linear import Dim, Division, Lin


def is_word(type: Attribute) -> bool:
    """Whether a type is stored as one 32-bit word by nature, so that four of them may be loaded as one vector."""
    return isinstance(type, Float32Type) or (
        isinstance(type, IntegerType) and type.width.data == 32
    )


def is_contiguous(offset: Lin, lane: Dim, width: int) -> bool:
    """Whether `width` lanes lie side by side at a position that `width` divides, if `lane` starts at such a one."""
    if not divides(width, offset.const):
        return False
    for atom, coefficient in offset.terms:
        if atom is lane:
            if coefficient != 1:
                return False
        elif not divides(width, coefficient) or (
            isinstance(atom, Node | Division) and lane in atom.dims
        ):
            return False
    return offset.coefficient(lane) == 1


def is_vector_access(access: Load | Store, lane: Dim, width: int = 4) -> bool:
    """Whether `width` lanes of a load or a store may be one vector."""
    buffer = access.buffer
    # Vectors are bound as arrays of vectors: the last one must be whole.
    return (
        is_word(buffer.element_type)
        and divides(width, buffer.count)
        and is_contiguous(access.at, lane, width)
    )


def can_vectorize(roots: Iterable[Node], lane: Dim, width: int = 4) -> bool:
    """Whether along `lane` every load is contiguous or uniform and nothing else depends on the lane number."""
    if not divides(width, lane.size):
        return False
    for node in walk(list(roots)):
        if lane not in node.dims:
            continue
        match node:
            case Load():
                if not is_vector_access(node, lane, width):
                    return False
            case Index():
                return False
            case Choose():
                if node.position.depends(lane):
                    return False
            case _:
                pass
    return True


def memory(access: Load | Store) -> SSAValue:
    """The memref of a load or a store."""
    assert access.buffer.value is not None
    return access.buffer.value


class GPUVectors:
    """Vectors are of 32-bit words, and only at positions that their width divides."""

    def holds(self, type: Attribute) -> bool:
        return is_word(type)

    def maps(self, op: Operation) -> bool:
        if isinstance(op, arith.SelectOp):
            return is_word(op.result.type)
        if not op.name.startswith(("arith.", "math.")):
            return False
        if isinstance(op, arith.CmpiOp | arith.CmpfOp | arith.BitcastOp):
            return False
        types = {v.type for v in (*op.operands, *op.results)}
        return len(types) == 1 and all(map(is_word, types))

    def loads(self, load: Load, lane: Dim, width: int) -> bool:
        return is_vector_access(load, lane, width)


class InvocationEvaluator(Evaluator):
    """Evaluates expressions with their reductions, which are loops of the invocation where nobody has defined them."""

    def __init__(
        self,
        emitter: Emitter,
        point: Mapping[Dim, Lin],
        lane: Dim | None = None,
        width: int = 1,
    ) -> None:
        super().__init__(emitter, GPUVectors(), point, lane, width)
        self._reduced: list[dict[object, Sequence[SSAValue]]] = [{}]

    @contextmanager
    def forget(self) -> Generator[None]:
        self._reduced.append({})
        with super().forget():
            yield
        self._reduced.pop()

    @contextmanager
    def vectors(self, lane: Dim, width: int) -> Generator[None]:
        """Inside, values that depend on `lane` are vectors."""
        assert self.lane is None, "vectors lie along one dim"
        at = self._point.get(lane)
        self.lane = lane
        self._set_width(width)
        if at is not None:
            self.bind([lane], [at])
        yield
        self.lane = None
        self._set_width(1)
        if (at := self._point.get(lane)) is not None:
            self.bind([lane], [at.at_lane(0)])

    def define(self, reduction: Reduction, values: Sequence[SSAValue], width: int = 1) -> None:
        """Give the results of a reduction that was computed elsewhere, such as by a whole workgroup."""
        self._reduced[-1][self._reduction_key(reduction, width)] = values

    def accumulate(self, reduction: Reduction, values: Sequence[SSAValue]) -> list[SSAValue]:
        """One step of a reduction from the given running values, at the point where its dims stand."""
        with self.forget():
            self.accumulators.update(zip(reduction.accumulators, values, strict=True))
            return [
                self.vector(update) if isinstance(value.type, VectorType) else self.scalar(update)
                for update, value in zip(reduction.updates, values, strict=True)
            ]

    def reduced(self, node: Reduced) -> Value:
        reduction, width = node.reduction, self._width_of(node.reduction)
        if width > 1 and not all(is_word(n.type) for n in reduction.inits):
            return self._apart(node)
        key = self._reduction_key(reduction, width)
        for results in self._reduced:
            if (values := results.get(key)) is not None:
                return values[node.index]
        values = self._reduced[-1][key] = self.reduce_serially(reduction, width)
        return values[node.index]

    def _width_of(self, reduction: Reduction) -> int:
        return self.width if self.lane in reduction.free else 1

    def _reduction_key(self, reduction: Reduction, width: int) -> object:
        return reduction, width, *(self._point.get(dim) for dim in reduction.free)

    def reduce_serially(self, reduction: Reduction, width: int) -> Sequence[SSAValue]:
        """The results of a reduction by nested loops, as vectors if `width` is not 1."""
        emit = self.emitter
        inner = frozenset(reduction.dims)
        # A reduction that the loops do not change is computed once, before them.
        for update in walk(reduction.updates):
            if isinstance(update, Reduced) and not update.dims & inner:
                self.value(update)

        def nest(dims: Sequence[Dim], values: Sequence[SSAValue]) -> Sequence[SSAValue]:
            if not dims:
                return self.accumulate(reduction, values)

            def body(position: Lin, running: Sequence[SSAValue]) -> Sequence[SSAValue]:
                with self.forget():
                    self.bind(dims[:1], [position])
                    return nest(dims[1:], running)

            return emit.for_loop(0, dims[0].size, 1, values, body)

        begin = [emit.splat(self.packed(n), width) for n in reduction.inits]
        return nest(reduction.dims, begin)
