"""Builds loops from the outside in and puts every pure op as far out as its operands allow.

An `Emitter` holds the blocks that are open, the outermost first. A loop op is attached to its parent block only when it
is closed, so what is appended to an outer block while an inner one is filled stands before the inner loop: address
arithmetic, splats and loads of read-only memory are hoisted and shared as they are emitted, and no later pass has
to do so.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from xdsl.dialects import arith, memref, scf, vector
from xdsl.dialects.builtin import (
    FloatAttr,
    IndexType,
    IntegerAttr,
    MemRefType,
    VectorType,
)
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from webdnn.lowering.divisions import DIVISIONS
from webdnn.lowering.loops_common.linear import Lin

INDEX = IndexType()


@dataclass
class _Level:
    """An open block."""

    block: Block
    shared: dict[Hashable, SSAValue] = field(default_factory=dict[Hashable, SSAValue])
    guarded: bool = False
    """Whether the block may not run, so that no load may leave it."""


class Emitter:
    """Appends ops to the open blocks.

    Args:
        block: the block of the kernel; its arguments are memrefs.
    """

    def __init__(self, block: Block) -> None:
        self._levels = [_Level(block)]
        self._level_of: dict[SSAValue, int] = {}
        self._counts: dict[SSAValue, int] = {}

    @property
    def depth(self) -> int:
        """The number of the innermost open block."""
        return len(self._levels) - 1

    def level_of(self, value: SSAValue) -> int:
        """The number of the open block that a value is defined in."""
        return self._level_of.get(value, 0)

    def _append(self, op: Operation, level: int) -> None:
        self._levels[level].block.add_op(op)
        for result in op.results:
            self._level_of[result] = level

    def emit(self, op: Operation) -> Operation:
        """Append an op to the innermost block."""
        self._append(op, self.depth)
        return op

    def pure(
        self,
        key: Hashable,
        operands: Sequence[SSAValue],
        build: Callable[[], Operation],
        *,
        least_level: int = 0,
    ) -> SSAValue:
        """The result of a pure op: an equal one that is in reach, or a new one in the outermost block that
        it can stand in.

        Args:
            key: what identifies the op beside its operands (its class, properties and result type).
            build: makes the op.
            least_level: the outermost block that it may stand in.
        """
        level = max((self.level_of(v) for v in operands), default=0)
        level = max(level, least_level)
        shared = self._levels[level].shared
        full_key = (key, tuple(operands))
        if (found := shared.get(full_key)) is None:
            op = build()
            self._append(op, level)
            found = shared[full_key] = op.results[0]
        return found

    def like(
        self, template: Operation, operands: Sequence[SSAValue], result_type: Attribute
    ) -> SSAValue:
        """An op of the template's kind on other operands."""
        properties = template.properties
        key = (type(template), tuple(sorted(properties.items())), result_type)
        # a division by zero traps, so it must not run where it did not before
        least = self.depth if isinstance(template, DIVISIONS) else 0
        return self.pure(
            key,
            operands,
            lambda: type(template).create(
                operands=operands, result_types=[result_type], properties=dict(properties)
            ),
            least_level=least,
        )

    # index arithmetic

    def constant(self, value: IntegerAttr | FloatAttr) -> SSAValue:
        """A constant, in the outermost block."""
        return self.pure(("constant", value), (), lambda: arith.ConstantOp(value))

    def index(self, value: int) -> SSAValue:
        """A constant of type index."""
        return self.constant(IntegerAttr(value, INDEX))

    def binary(
        self, op: type[arith.SignlessIntegerBinaryOperation], a: SSAValue, b: SSAValue
    ) -> SSAValue:
        """An integer op of two operands of one type."""
        return self.pure(op, (a, b), lambda: op(a, b))

    def materialize(self, lin: Lin) -> SSAValue:
        """A uniform linear expression as a value.

        It is summed from the outermost block inwards, so that each block adds only what is new in it, and
        the constant comes last, where a target folds it into the access.
        """
        assert lin.is_uniform
        by_level: dict[int, list[tuple[SSAValue, int]]] = {}
        for value, c in lin.terms:
            assert isinstance(value, SSAValue)
            by_level.setdefault(self.level_of(value), []).append((value, c))
        total: SSAValue | None = None
        for level in sorted(by_level):
            for value, c in by_level[level]:
                term = value if c == 1 else self.binary(arith.MuliOp, value, self.index(c))
                total = term if total is None else self.binary(arith.AddiOp, total, term)
        if total is None:
            return self.index(lin.const)
        if lin.const:
            total = self.binary(arith.AddiOp, total, self.index(lin.const))
        return total

    # vectors

    def broadcast(self, scalar: SSAValue, width: int) -> SSAValue:
        """A vector that holds a scalar in every lane."""
        vector_type = VectorType(scalar.type, [width])
        return self.pure(
            ("broadcast", width), (scalar,), lambda: vector.BroadcastOp(scalar, vector_type)
        )

    def insert(self, scalar: SSAValue, into: SSAValue, lane: int) -> SSAValue:
        """A vector with one lane replaced."""
        return self.pure(
            ("insert", lane), (scalar, into), lambda: vector.InsertOp(scalar, into, [lane])
        )

    def extract(self, source: SSAValue, lane: int) -> SSAValue:
        """One lane of a vector."""
        assert isinstance(source.type, VectorType)
        element_type = source.type.element_type
        return self.pure(
            ("extract", lane), (source,), lambda: vector.ExtractOp(source, [lane], element_type)
        )

    def from_lanes(self, lanes: Sequence[SSAValue]) -> SSAValue:
        """A vector of scalars."""
        result = self.broadcast(lanes[0], len(lanes))
        for lane, scalar in enumerate(lanes):
            if scalar is not lanes[0]:
                result = self.insert(scalar, result, lane)
        return result

    # memory

    def load(
        self,
        buffer: SSAValue,
        address: Lin,
        width: int,
        *,
        level: int | None = 0,
        version: Hashable = None,
    ) -> SSAValue:
        """One element (`width` 1) or a vector of consecutive elements.

        Args:
            level: the outermost open block in which the buffer already holds what is read; the load may be
                shared and moved out of loops as far as that. None if it must stay where it is.
            version: what the buffer holds, for one that is written more than once: loads of two versions
                are not shared.
        """
        assert isinstance(buffer.type, MemRefType)
        element_type = buffer.type.element_type
        at = self.materialize(address.at_lane(0))

        def build() -> Operation:
            if width == 1:
                return memref.LoadOp.get(buffer, [at])
            return vector.LoadOp(buffer, [at], VectorType(element_type, [width]))

        if level is None:
            return self.emit(build()).results[0]
        guard = max((i for i, lv in enumerate(self._levels) if lv.guarded), default=0)
        return self.pure(
            ("load", width, version), (buffer, at), build, least_level=max(level, guard)
        )

    def store(self, value: SSAValue, buffer: SSAValue, address: Lin) -> None:
        """Store an element, or a vector to consecutive elements."""
        at = self.materialize(address.at_lane(0))
        if isinstance(value.type, VectorType):
            self.emit(vector.StoreOp(value, buffer, [at]))
        else:
            self.emit(memref.StoreOp.get(value, buffer, [at]))

    def alloca(
        self, element_type: Attribute, size: int, space: Attribute | None = None
    ) -> SSAValue:
        """Scratch memory of one iteration of the innermost block."""
        if space is None:
            op = memref.AllocaOp.get(element_type, shape=[size])
        else:
            op = memref.AllocaOp.get(element_type, shape=[size], memory_space=space)
        return self.emit(op).results[0]

    # control flow

    def open(self, arg_types: Sequence[Attribute] = (), *, guarded: bool = False) -> Block:
        """Open a block inside of the innermost one."""
        block = Block(arg_types=arg_types)
        self._levels.append(_Level(block, guarded=guarded))
        for arg in block.args:
            self._level_of[arg] = self.depth
        return block

    def close(self) -> Block:
        """Close the innermost block; its op is the caller's to make and emit."""
        return self._levels.pop().block

    def begin_parallel(self, counts: Sequence[int]) -> list[Lin]:
        """Open an `scf.parallel` whose induction variables count from 0 in steps of one; returns these."""
        args = self.open([INDEX] * len(counts)).args
        self._counts.update(zip(args, counts, strict=True))
        return [Lin.of(arg) for arg in args]

    def count_of(self, value: object) -> int | None:
        """How many values, from 0, the induction variable of an `scf.parallel` takes; None for any other value."""
        return self._counts.get(value) if isinstance(value, SSAValue) else None

    def end_parallel(self, counts: Sequence[int]) -> None:
        """Close the `scf.parallel` that `begin_parallel` opened."""
        block = self.close()
        block.add_op(scf.ReduceOp())
        zero, one = self.index(0), self.index(1)
        bounds = [self.index(c) for c in counts]
        self.emit(scf.ParallelOp([zero] * len(counts), bounds, [one] * len(counts), Region(block)))

    def begin_for(self, carried: Sequence[SSAValue] = ()) -> tuple[Lin, list[SSAValue]]:
        """Open an `scf.for` from 0 in steps of one; returns its induction variable and the carried values
        in its body."""
        block = self.open([INDEX, *(v.type for v in carried)])
        return Lin.of(block.args[0]), list(block.args[1:])

    def end_for(
        self, count: int, carried: Sequence[SSAValue] = (), results: Sequence[SSAValue] = ()
    ) -> list[SSAValue]:
        """Close the `scf.for` that `begin_for` opened.

        Args:
            carried: what `begin_for` was given.
            results: the carried values for the next iteration.

        Returns:
            The carried values after the last iteration.
        """
        block = self.close()
        block.add_op(scf.YieldOp(*results))
        loop = scf.ForOp(self.index(0), self.index(count), self.index(1), carried, block)
        return list(self.emit(loop).results)
