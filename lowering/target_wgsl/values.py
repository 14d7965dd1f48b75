"""Arithmetic on SSA values in Python's operators, for scalars and one-dimensional vectors alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.dialects import arith, math, vector
from xdsl.dialects.builtin import (
    AnyFloat,
    DenseIntOrFPElementsAttr,
    FloatAttr,
    IndexType,
    IntegerAttr,
    IntegerType,
    VectorType,
    f32,
    i32,
)
from xdsl.ir import Attribute, Block, Operation, SSAValue

from webdnn.dialects import vector_ext


def element_type(type: Attribute) -> Attribute:
    """The element type of a vector type, or the type itself."""
    return type.element_type if isinstance(type, VectorType) else type


def with_element(type: Attribute, element: Attribute) -> Attribute:
    """A type of the same shape with another element type."""
    return VectorType(element, type.shape) if isinstance(type, VectorType) else element


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


def constant_attribute(
    value: int | float, type: Attribute
) -> IntegerAttr | FloatAttr | DenseIntOrFPElementsAttr:
    """The attribute of a constant of this type; integers are wrapped to the type's width."""
    element = element_type(type)
    if isinstance(element, AnyFloat):
        scalar: IntegerAttr | FloatAttr = FloatAttr(float(value), element)
    else:
        assert isinstance(element, IntegerType | IndexType)
        scalar = IntegerAttr(int(value), element, truncate_bits=isinstance(element, IntegerType))
    if isinstance(type, VectorType):
        return DenseIntOrFPElementsAttr.from_list(type, [scalar.value.data])  # pyright: ignore[reportArgumentType, reportCallIssue]
    return scalar


class Value:
    """An SSA value on which Python's operators emit operations (floats: `addf` ...; integers: signed operations)."""

    __slots__ = ("emitter", "ssa")

    def __init__(self, emitter: Emitter, ssa: SSAValue) -> None:
        self.emitter = emitter
        self.ssa = ssa

    @property
    def type(self) -> Attribute:
        return self.ssa.type

    @property
    def is_float(self) -> bool:
        return isinstance(element_type(self.type), AnyFloat)

    def _coerce(self, other: Value | int | float) -> SSAValue:
        if isinstance(other, Value):
            return other.ssa
        return self.emitter.constant(other, self.type)

    def constant(self, value: int | float) -> Value:
        """A constant of this value's type."""
        return self._wrap(self.emitter.constant(value, self.type))

    def _wrap(self, ssa: SSAValue) -> Value:
        return Value(self.emitter, ssa)

    def _emit(self, op: Operation) -> Value:
        return self._wrap(self.emitter.add(op))

    def _binary(
        self,
        other: Value | int | float,
        on_floats: Callable[[SSAValue, SSAValue], Operation] | None,
        on_integers: Callable[[SSAValue, SSAValue], Operation] | None,
        *,
        swapped: bool = False,
    ) -> Value:
        make = on_floats if self.is_float else on_integers
        assert make is not None, f"no such operation on {self.type}"
        lhs, rhs = self.ssa, self._coerce(other)
        return self._emit(make(rhs, lhs) if swapped else make(lhs, rhs))

    def __add__(self, other: Value | int | float) -> Value:
        return self._binary(other, arith.AddfOp, arith.AddiOp)

    def __sub__(self, other: Value | int | float) -> Value:
        return self._binary(other, arith.SubfOp, arith.SubiOp)

    def __mul__(self, other: Value | int | float) -> Value:
        return self._binary(other, arith.MulfOp, arith.MuliOp)

    def __truediv__(self, other: Value | int | float) -> Value:
        return self._binary(other, arith.DivfOp, None)

    def __floordiv__(self, other: Value | int | float) -> Value:
        """Integer division that truncates, as `arith.divsi`."""
        return self._binary(other, None, arith.DivSIOp)

    def __mod__(self, other: Value | int | float) -> Value:
        """The remainder with the sign of the dividend, as `arith.remsi`."""
        return self._binary(other, None, arith.RemSIOp)

    def __radd__(self, other: int | float) -> Value:
        return self._binary(other, arith.AddfOp, arith.AddiOp, swapped=True)

    def __rsub__(self, other: int | float) -> Value:
        return self._binary(other, arith.SubfOp, arith.SubiOp, swapped=True)

    def __rmul__(self, other: int | float) -> Value:
        return self._binary(other, arith.MulfOp, arith.MuliOp, swapped=True)

    def __rtruediv__(self, other: int | float) -> Value:
        return self._binary(other, arith.DivfOp, None, swapped=True)

    def __and__(self, other: Value | int) -> Value:
        return self._binary(other, None, arith.AndIOp)

    def __or__(self, other: Value | int) -> Value:
        return self._binary(other, None, arith.OrIOp)

    def __xor__(self, other: Value | int) -> Value:
        return self._binary(other, None, arith.XOrIOp)

    def __lshift__(self, other: Value | int) -> Value:
        return self._binary(other, None, arith.ShLIOp)

    def __rshift__(self, other: Value | int) -> Value:
        """The arithmetic shift, as `arith.shrsi`."""
        return self._binary(other, None, arith.ShRSIOp)

    def shift_right_logical(self, other: Value | int) -> Value:
        return self._binary(other, None, arith.ShRUIOp)

    def __neg__(self) -> Value:
        if self.is_float:
            return self._emit(arith.NegfOp(self.ssa))
        return self.constant(0) - self

    def __invert__(self) -> Value:
        """Not: of a truth value, or of each bit."""
        return self ^ -1

    def compare(self, predicate: str, other: Value | int | float) -> Value:
        """`arith.cmpf` or `arith.cmpi` with the predicate of that name, on scalars or vectors."""
        rhs = self._coerce(other)
        if isinstance(self.type, VectorType):
            make = vector_ext.CmpFOp if self.is_float else vector_ext.CmpIOp
            return self._emit(make(predicate, self.ssa, rhs))
        if self.is_float:
            return self._emit(arith.CmpfOp(self.ssa, rhs, predicate))
        return self._emit(arith.CmpiOp(self.ssa, rhs, predicate))

    def __lt__(self, other: Value | int | float) -> Value:
        return self.compare("olt" if self.is_float else "slt", other)

    def __le__(self, other: Value | int | float) -> Value:
        return self.compare("ole" if self.is_float else "sle", other)

    def __gt__(self, other: Value | int | float) -> Value:
        return self.compare("ogt" if self.is_float else "sgt", other)

    def __ge__(self, other: Value | int | float) -> Value:
        return self.compare("oge" if self.is_float else "sge", other)

    def equals(self, other: Value | int | float) -> Value:
        return self.compare("oeq" if self.is_float else "eq", other)

    def differs(self, other: Value | int | float) -> Value:
        return self.compare("une" if self.is_float else "ne", other)

    def select(self, if_true: Value, if_false: Value | int | float) -> Value:
        """`if_true` where this truth value holds, else `if_false`."""
        other = if_true._coerce(if_false)
        if isinstance(self.type, VectorType):
            return self._emit(vector_ext.SelectOp(self.ssa, if_true.ssa, other))
        return self._emit(arith.SelectOp(self.ssa, if_true.ssa, other))

    def divide_unsigned(self, other: Value | int) -> Value:
        return self._binary(other, None, arith.DivUIOp)

    def minimum(self, other: Value | int | float) -> Value:
        return self._binary(other, arith.MinimumfOp, arith.MinSIOp)

    def maximum(self, other: Value | int | float) -> Value:
        return self._binary(other, arith.MaximumfOp, arith.MaxSIOp)

    def fma(self, factor: Value | int | float, addend: Value | int | float) -> Value:
        """`self * factor + addend`."""
        operands = self.ssa, self._coerce(factor), self._coerce(addend)
        if isinstance(self.type, VectorType):
            return self._emit(vector.FMAOp(*operands))
        return self._emit(math.FmaOp(*operands))

    def apply(self, operation: Callable[[SSAValue], Operation]) -> Value:
        """A unary operation, for example `x.apply(math.SqrtOp)`."""
        return self._emit(operation(self.ssa))

    def polynomial(self, coefficients: Sequence[float]) -> Value:
        """The polynomial in this value with these coefficients, the highest degree first (Horner's rule)."""
        result = self.constant(coefficients[0])
        for coefficient in coefficients[1:]:
            result = result.fma(self, coefficient)
        return result

    def bits(self) -> Value:
        """The bits of an f32 as an i32."""
        return self._emit(arith.BitcastOp(self.ssa, with_element(self.type, i32)))

    def from_bits(self) -> Value:
        """The f32 with the bits of this i32."""
        return self._emit(arith.BitcastOp(self.ssa, with_element(self.type, f32)))

    def to_float(self) -> Value:
        """Signed integer to f32."""
        if isinstance(self.type, VectorType):
            return self._emit(vector_ext.SIToFPOp(self.ssa, with_element(self.type, f32)))
        return self._emit(arith.SIToFPOp(self.ssa, f32))

    def to_integer(self) -> Value:
        """f32 to i32, toward zero."""
        if isinstance(self.type, VectorType):
            return self._emit(vector_ext.FPToSIOp(self.ssa, with_element(self.type, i32)))
        return self._emit(arith.FPToSIOp(self.ssa, i32))
