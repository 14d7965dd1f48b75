"""A notation for numeric code: Python's operators on SSA values, scalars and one-dimensional vectors, append ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

from xdsl.dialects import arith, math, vector
from xdsl.dialects.builtin import (
    AnyFloat,
    DenseIntOrFPElementsAttr,
    FloatAttr,
    IndexType,
    IntegerAttr,
    IntegerType,
    VectorType,
)
from xdsl.ir import Attribute, Operation, SSAValue

from webdnn.dialects import vector_ext


def element_type(type: Attribute) -> Attribute:
    """The element type of a vector type, or the type itself."""
    return type.element_type if isinstance(type, VectorType) else type


def with_element(type: Attribute, element: Attribute) -> Attribute:
    """A type of the same shape with another element type."""
    return VectorType(element, type.shape) if isinstance(type, VectorType) else element


def constant_attribute(
    value: int | float, type: Attribute
) -> IntegerAttr | FloatAttr | DenseIntOrFPElementsAttr:
    """The attribute of a constant of this type, splat where it is a vector; integers are wrapped to the width."""
    element = element_type(type)
    if isinstance(element, AnyFloat):
        scalar: IntegerAttr | FloatAttr = FloatAttr(float(value), element)
    else:
        assert isinstance(element, IntegerType | IndexType)
        scalar = IntegerAttr(int(value), element, truncate_bits=isinstance(element, IntegerType))
    if isinstance(type, VectorType):
        return DenseIntOrFPElementsAttr.from_list(type, [scalar.value.data])  # pyright: ignore[reportArgumentType, reportCallIssue]
    return scalar


class Emits(Protocol):
    """Where the ops of an expression go."""

    def add(self, op: Operation) -> SSAValue:
        """Append an op; its first result."""
        ...

    def constant(self, value: int | float, type: Attribute) -> SSAValue:
        """A constant, splat where `type` is a vector."""
        ...


E = TypeVar("E", bound=Emits)


class Value(Generic[E]):
    """A float, an integer or a truth value, or a vector of them.

    Python numbers become constants of its type; integers are signed where it matters.
    """

    __slots__ = ("emitter", "ssa")

    scalar_fma: ClassVar[type[math.FmaOp] | None] = None
    """What multiplies and adds scalars at once, where the target has it."""

    def __init__(self, emitter: E, ssa: SSAValue) -> None:
        self.emitter = emitter
        self.ssa = ssa

    @property
    def type(self) -> Attribute:
        return self.ssa.type

    @property
    def element(self) -> Attribute:
        """The type of a lane."""
        return element_type(self.type)

    @property
    def is_vector(self) -> bool:
        return isinstance(self.type, VectorType)

    @property
    def is_float(self) -> bool:
        return isinstance(self.element, AnyFloat)

    def constant(self, value: int | float) -> Self:
        """A constant of this value's type."""
        return self._wrap(self.emitter.constant(value, self.type))

    def _coerce(self, other: Self | int | float) -> SSAValue:
        return other.ssa if isinstance(other, Value) else self.emitter.constant(other, self.type)

    def _wrap(self, ssa: SSAValue) -> Self:
        return type(self)(self.emitter, ssa)

    def _emit(self, op: Operation) -> Self:
        return self._wrap(self.emitter.add(op))

    def _binary(
        self,
        other: Self | int | float,
        on_floats: Callable[[SSAValue, SSAValue], Operation] | None,
        on_integers: Callable[[SSAValue, SSAValue], Operation] | None,
        *,
        swapped: bool = False,
    ) -> Self:
        make = on_floats if self.is_float else on_integers
        assert make is not None, f"no such operation on {self.type}"
        lhs, rhs = self.ssa, self._coerce(other)
        return self._emit(make(rhs, lhs) if swapped else make(lhs, rhs))

    def _lanewise(self, scalar: type[Any], lanes: type[Any], element: Attribute) -> Self:
        """A conversion: `arith` has it for scalars, `vector_ext` for vectors."""
        make = lanes if self.is_vector else scalar
        return self._emit(make(self.ssa, with_element(self.type, element)))

    def __add__(self, other: Self | int | float) -> Self:
        return self._binary(other, arith.AddfOp, arith.AddiOp)

    def __sub__(self, other: Self | int | float) -> Self:
        return self._binary(other, arith.SubfOp, arith.SubiOp)

    def __mul__(self, other: Self | int | float) -> Self:
        return self._binary(other, arith.MulfOp, arith.MuliOp)

    def __truediv__(self, other: Self | int | float) -> Self:
        return self._binary(other, arith.DivfOp, None)

    def __floordiv__(self, other: Self | int | float) -> Self:
        """Integer division that truncates, as `arith.divsi`."""
        return self._binary(other, None, arith.DivSIOp)

    def __mod__(self, other: Self | int | float) -> Self:
        """The remainder with the sign of the dividend, as `arith.remsi`."""
        return self._binary(other, None, arith.RemSIOp)

    def __radd__(self, other: int | float) -> Self:
        return self._binary(other, arith.AddfOp, arith.AddiOp, swapped=True)

    def __rsub__(self, other: int | float) -> Self:
        return self._binary(other, arith.SubfOp, arith.SubiOp, swapped=True)

    def __rmul__(self, other: int | float) -> Self:
        return self._binary(other, arith.MulfOp, arith.MuliOp, swapped=True)

    def __rtruediv__(self, other: int | float) -> Self:
        return self._binary(other, arith.DivfOp, None, swapped=True)

    def __and__(self, other: Self | int) -> Self:
        return self._binary(other, None, arith.AndIOp)

    def __or__(self, other: Self | int) -> Self:
        return self._binary(other, None, arith.OrIOp)

    def __xor__(self, other: Self | int) -> Self:
        return self._binary(other, None, arith.XOrIOp)

    def __invert__(self) -> Self:
        """Not: of a truth value, or of each bit."""
        return self ^ -1

    def __lshift__(self, count: Self | int) -> Self:
        return self._binary(count, None, arith.ShLIOp)

    def __rshift__(self, count: Self | int) -> Self:
        """The arithmetic shift, which copies the sign: `arith.shrsi`."""
        return self._binary(count, None, arith.ShRSIOp)

    def shift_right_logical(self, count: Self | int) -> Self:
        """Brings in zeros."""
        return self._binary(count, None, arith.ShRUIOp)

    def divide_unsigned(self, other: Self | int) -> Self:
        return self._binary(other, None, arith.DivUIOp)

    def remainder_unsigned(self, other: Self | int) -> Self:
        return self._binary(other, None, arith.RemUIOp)

    def __neg__(self) -> Self:
        return self._emit(arith.NegfOp(self.ssa)) if self.is_float else self.constant(0) - self

    def compare(self, predicate: str, other: Self | int | float) -> Self:
        """A comparison by the predicates of `arith.cmpf` or `arith.cmpi`, on scalars or vectors."""
        rhs = self._coerce(other)
        if self.is_vector:
            make = vector_ext.CmpFOp if self.is_float else vector_ext.CmpIOp
            return self._emit(make(predicate, self.ssa, rhs))
        if self.is_float:
            return self._emit(arith.CmpfOp(self.ssa, rhs, predicate))
        return self._emit(arith.CmpiOp(self.ssa, rhs, predicate))

    def __lt__(self, other: Self | int | float) -> Self:
        return self.compare("olt" if self.is_float else "slt", other)

    def __le__(self, other: Self | int | float) -> Self:
        return self.compare("ole" if self.is_float else "sle", other)

    def __gt__(self, other: Self | int | float) -> Self:
        return self.compare("ogt" if self.is_float else "sgt", other)

    def __ge__(self, other: Self | int | float) -> Self:
        return self.compare("oge" if self.is_float else "sge", other)

    def equals(self, other: Self | int | float) -> Self:
        """False for a NaN."""
        return self.compare("oeq" if self.is_float else "eq", other)

    def differs(self, other: Self | int | float) -> Self:
        """True for a NaN."""
        return self.compare("une" if self.is_float else "ne", other)

    def select(self, if_true: Self, if_false: Self | int | float) -> Self:
        """`if_true` where this truth value holds, else `if_false`; lane by lane where it is a vector."""
        other = if_true._coerce(if_false)
        make = vector_ext.SelectOp if self.is_vector else arith.SelectOp
        return self._emit(make(self.ssa, if_true.ssa, other))

    def minimum(self, other: Self | int | float) -> Self:
        """The lesser; a NaN wins."""
        return self._binary(other, arith.MinimumfOp, arith.MinSIOp)

    def maximum(self, other: Self | int | float) -> Self:
        """The greater; a NaN wins."""
        return self._binary(other, arith.MaximumfOp, arith.MaxSIOp)

    def fma(self, factor: Self | int | float, addend: Self | int | float) -> Self:
        """`self * factor + addend`, rounded once or twice: use it only where either will do."""
        make = vector.FMAOp if self.is_vector else self.scalar_fma
        if make is None:
            return self * factor + addend
        return self._emit(make(self.ssa, self._coerce(factor), self._coerce(addend)))

    def apply(self, operation: Callable[[SSAValue], Operation]) -> Self:
        """A unary operation, for example `x.apply(math.SqrtOp)`."""
        return self._emit(operation(self.ssa))

    def bitcast(self, element: Attribute) -> Self:
        """The same bits, read as numbers of another type of the same width."""
        return self._emit(arith.BitcastOp(self.ssa, with_element(self.type, element)))
