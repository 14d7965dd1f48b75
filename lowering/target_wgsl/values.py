"""Arithmetic on SSA values in Python's operators, with what WGSL has beside `webdnn.lowering.value_notation`."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects import arith, math
from xdsl.dialects.builtin import f32, i32
from xdsl.ir import Attribute, Block, Operation, SSAValue

from webdnn.dialects import vector_ext
from webdnn.lowering import value_notation
from webdnn.lowering.value_notation import constant_attribute


class Emitter:
    """Adds operations at the end of a block (or before an operation of it), each constant once per emitter."""

    def __init__(self, block: Block, before: Operation | None = None) -> None:
        self.block = block
        self._before = before
        self._constants: dict[tuple[Block, Attribute, str], SSAValue] = {}

    def add(self, op: Operation) -> SSAValue:
        """Add an operation and return its first result."""
        self.insert(op)
        return op.results[0]

    def insert(self, op: Operation) -> None:
        """Add an operation."""
        if self._before is not None:
            self.block.insert_op_before(op, self._before)
        else:
            self.block.add_op(op)

    def constant(self, value: int | float, type: Attribute) -> SSAValue:
        """A constant, splat where `type` is a vector."""
        key = (self.block, type, repr(value))
        if key not in self._constants:
            self._constants[key] = self.add(arith.ConstantOp(constant_attribute(value, type)))
        return self._constants[key]

    def value(self, ssa: SSAValue) -> Value:
        """An SSA value with operators."""
        return Value(self, ssa)


class Value(value_notation.Value[Emitter]):
    """An SSA value on which Python's operators emit operations."""

    __slots__ = ()

    scalar_fma = math.FmaOp

    def polynomial(self, coefficients: Sequence[float]) -> Value:
        """The polynomial in this value with these coefficients, the highest degree first (Horner's rule)."""
        result = self.constant(coefficients[0])
        for coefficient in coefficients[1:]:
            result = result.fma(self, coefficient)
        return result

    def bits(self) -> Value:
        """The bits of an f32 as an i32."""
        return self.bitcast(i32)

    def from_bits(self) -> Value:
        """The f32 with the bits of this i32."""
        return self.bitcast(f32)

    def to_float(self) -> Value:
        """Signed integer to f32."""
        return self._lanewise(arith.SIToFPOp, vector_ext.SIToFPOp, f32)

    def to_integer(self) -> Value:
        """f32 to i32, toward zero."""
        return self._lanewise(arith.FPToSIOp, vector_ext.FPToSIOp, i32)
