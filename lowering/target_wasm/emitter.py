"""Builds the blocks of one `llvm.func`, and keeps what is known about values on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.dialects import llvm
from xdsl.dialects.builtin import (
    AnyFloat,
    DenseIntOrFPElementsAttr,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    VectorType,
    i32,
)
from xdsl.ir import Attribute, Block, BlockArgument, Operation, Region, SSAValue

from webdnn.dialects import llvm_ext
from webdnn.dialects.errors import WebDNNError
from webdnn.lowering.target_wasm import ops
from webdnn.lowering.target_wasm.intervals import FULL, Interval
from webdnn.lowering.target_wasm.types import mangled
from webdnn.lowering.value_notation import element_type

Handler = Callable[["Emitter", Operation], None]


class Emitter:
    """Appends `llvm` ops to a current block.

    Attributes:
        values: the `llvm` value of each value of level `loops`.
        intervals: what is known about the range of values of type `index`.
        relaxed: whether fused multiply-adds of vectors may use relaxed SIMD.
        sizes_fit: whether sums and products of natural numbers fit 31 bits, whatever their intervals say: where they
            are made of sizes that a program has checked.
    """

    def __init__(self, handlers: dict[type[Operation], Handler], *, relaxed: bool) -> None:
        self.handlers = handlers
        self.relaxed = relaxed
        self.sizes_fit = False
        self.region = Region(Block())
        self.entry = self.region.block
        self.block = self.entry
        self.values: dict[SSAValue, SSAValue] = {}
        self.intervals: dict[SSAValue, Interval] = {}
        self.sums: dict[SSAValue, tuple[SSAValue | None, int]] = {}
        self._constants: dict[tuple[Attribute, Attribute], SSAValue] = {}
        self._constant_ops: list[Operation] = []
        self._alloca_ops: list[Operation] = []

    def finish(self) -> Region:
        """The region built; what belongs at the entry (constants, stack slots) is put there."""
        first = self.entry.first_op
        ops = [*self._constant_ops, *self._alloca_ops]
        if first is None:
            self.entry.add_ops(ops)
        else:
            self.entry.insert_ops_before(ops, first)
        return self.region

    # Blocks

    def new_block(self, types: Sequence[Attribute] = ()) -> Block:
        """A block with arguments of these types, placed after all blocks so far."""
        block = Block(arg_types=types)
        self.region.add_block(block)
        return block

    def branch(self, target: Block, args: Sequence[SSAValue] = ()) -> None:
        self.block.add_op(llvm.BrOp(target, *args))

    def cond_branch(
        self,
        cond: SSAValue,
        then: Block,
        then_args: Sequence[SSAValue],
        orelse: Block,
        else_args: Sequence[SSAValue],
    ) -> None:
        self.block.add_op(llvm.CondBrOp(cond, then, then_args, orelse, else_args))

    def emit_ops(self, block: Block) -> None:
        """Lowers all ops of a block but its terminator."""
        last = block.last_op
        for op in block.ops:
            if op is last and op.next_op is None and _is_terminator(op):
                return
            self.emit(op)

    def emit(self, op: Operation) -> None:
        handler = self.handlers.get(type(op))
        if handler is None:
            raise WebDNNError(f"the wasm back end has no lowering of {op.name}", where=str(op))
        handler(self, op)

    # Values

    def get(self, value: SSAValue) -> SSAValue:
        """The `llvm` value of a value of level `loops`."""
        return self.values[value]

    def set(self, value: SSAValue, lowered: SSAValue) -> None:
        self.values[value] = lowered

    def interval(self, value: SSAValue) -> Interval:
        return self.intervals.get(value, FULL)

    def bind_index(self, arg: BlockArgument, lowered: SSAValue, interval: Interval) -> None:
        """Names the lowered value of an `index` and what is known of its range."""
        self.values[arg] = lowered
        self.intervals[arg] = interval

    def add(self, op: Operation) -> SSAValue:
        """Appends an op and gives its result."""
        self.block.add_op(op)
        return op.results[0]

    def int(self, value: int, type: Attribute = i32) -> SSAValue:
        """An integer constant, or a vector that holds it in each lane."""
        if isinstance(type, VectorType):
            element = type.element_type
            assert isinstance(element, IntegerType)
            wrapped = IntegerAttr(value, element, truncate_bits=True).value.data
            return self.constant(DenseIntOrFPElementsAttr.from_list(type, [wrapped]), type)
        assert isinstance(type, IntegerType)
        return self.constant(IntegerAttr(value, type, truncate_bits=True), type)

    def float(self, value: float, type: Attribute) -> SSAValue:
        """A float constant, or a vector that holds it in each lane."""
        if isinstance(type, VectorType):
            return self.constant(DenseIntOrFPElementsAttr.from_list(type, [value]), type)
        assert isinstance(type, AnyFloat)
        return self.constant(FloatAttr(value, type), type)

    def constant(self, value: Attribute, type: Attribute) -> SSAValue:
        """A constant, made once at the entry of the function."""
        key = (value, type)
        if (known := self._constants.get(key)) is None:
            op = llvm.ConstantOp(value, type)
            self._constant_ops.append(op)
            self._constants[key] = known = op.result
        return known

    def undef(self, type: Attribute) -> SSAValue:
        return self.add(llvm.UndefOp(type))

    def stack_slot(self, count: int, element: Attribute, alignment: int) -> SSAValue:
        """Room for `count` elements in the frame of the function."""
        op = llvm.AllocaOp(self.int(count), element, alignment)
        self._alloca_ops.append(op)
        return op.res

    def intrinsic(self, name: str, args: Sequence[SSAValue], type: Attribute) -> SSAValue:
        """A call of an LLVM intrinsic; a `{}` in its name becomes the mangled result type."""
        return self.add(ops.intrinsic(name.format(mangled(type)), args, type))

    def binary(
        self, make: type[Operation], x: SSAValue, y: SSAValue, overflow: int = ops.NO_WRAP
    ) -> SSAValue:
        """An op of two values of one type; `overflow` says what is known of a sum or product."""
        return self.add(ops.binary(make, x, y, overflow))

    def icmp(self, predicate: str, lhs: SSAValue, rhs: SSAValue) -> SSAValue:
        number = llvm.ICmpPredicateFlag(predicate).to_int()
        return self.add(llvm.ICmpOp(lhs, rhs, IntegerAttr(number, 64)))

    def fcmp(self, predicate: str, lhs: SSAValue, rhs: SSAValue) -> SSAValue:
        if isinstance(lhs.type, VectorType):
            return self.add(llvm_ext.FCmpOp(predicate, lhs, rhs))
        return self.add(llvm.FCmpOp(lhs, rhs, predicate))

    def resize(self, value: SSAValue, type: Attribute) -> SSAValue:
        """An integer (or vector of integers) in another width, with its sign."""
        have, want = element_type(value.type), element_type(type)
        assert isinstance(have, IntegerType) and isinstance(want, IntegerType)
        if have.width.data == want.width.data:
            return value
        make = llvm.SExtOp if have.width.data < want.width.data else llvm.TruncOp
        return self.add(make(value, type))

    def select(self, cond: SSAValue, lhs: SSAValue, rhs: SSAValue) -> SSAValue:
        if isinstance(cond.type, VectorType):
            return self.add(llvm_ext.SelectOp(cond, lhs, rhs))
        return self.add(llvm.SelectOp(cond, lhs, rhs))


def _is_terminator(op: Operation) -> bool:
    return op.name in ("scf.yield", "scf.reduce", "kernel.return")
