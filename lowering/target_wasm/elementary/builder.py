"""A notation for numeric code: operators on `Num` append ops on scalars or one-dimensional vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from xdsl.dialects import arith, math, scf, vector
from xdsl.dialects.builtin import (
    AnyFloat,
    DenseIntOrFPElementsAttr,
    FloatAttr,
    IndexType,
    IntegerAttr,
    IntegerType,
    VectorType,
    f32,
    f64,
    i16,
    i32,
    i64,
)
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from webdnn.dialects import vector_ext
from webdnn.lowering.target_wasm.types import element_of, with_element


class Builder:
    """Appends ops to a list, and keeps constants (which may serve many expansions) in another.

    Attributes:
        ops: the ops so far, in order.
        constants: constants by value and type; their ops belong at the start of the function.
    """

    def __init__(self, constants: dict[tuple[Attribute, Attribute], arith.ConstantOp]) -> None:
        self.ops: list[Operation] = []
        self.constants = constants

    def add(self, op: Operation) -> Num:
        self.ops.append(op)
        return Num(self, op.results[0])

    def of(self, value: SSAValue) -> Num:
        return Num(self, value)

    def const(self, value: float | int, type: Attribute) -> Num:
        """A constant of a scalar type, or in each lane of a vector type."""
        element = element_of(type)
        attr: Attribute
        if isinstance(type, VectorType):
            number = value
            if isinstance(element, IntegerType):
                number = _signed(int(value), element)
            attr = DenseIntOrFPElementsAttr.from_list(type, [number])
        elif isinstance(element, AnyFloat):
            attr = FloatAttr(float(value), element)
        else:
            assert isinstance(element, IntegerType | IndexType)
            signed = int(value)
            if isinstance(element, IntegerType):
                signed = _signed(signed, element)
            attr = IntegerAttr(signed, element)
        # Equal floats may differ in the sign of zero, which the text shows.
        key = (attr, type)
        if (op := self.constants.get(key)) is None:
            self.constants[key] = op = arith.ConstantOp(attr, type)
        return Num(self, op.result)

    def region(self, body: Callable[[], Sequence[Num]], args: Sequence[Attribute] = ()) -> Region:
        """A block that ends with `scf.yield` of what `body` gives; ops are appended to it meanwhile."""
        outer, self.ops = self.ops, []
        results = body()
        block = Block([*self.ops, scf.YieldOp(*(r.value for r in results))], arg_types=args)
        self.ops = outer
        return Region(block)

    def branch(
        self,
        cond: Num,
        then: Callable[[], Sequence[Num]],
        orelse: Callable[[], Sequence[Num]],
        types: Sequence[Attribute],
    ) -> list[Num]:
        """`scf.if`: runs one of the two only."""
        op = scf.IfOp(cond.value, types, self.region(then), self.region(orelse))
        self.ops.append(op)
        return [Num(self, r) for r in op.output]


def _signed(value: int, type: IntegerType) -> int:
    width = type.width.data
    value &= (1 << width) - 1
    return value - (1 << width) if width > 1 and value >> (width - 1) else value


_FLOAT: dict[str, type[Any]] = {
    "+": arith.AddfOp,
    "-": arith.SubfOp,
    "*": arith.MulfOp,
    "/": arith.DivfOp,
}
_INTEGER: dict[str, type[Any]] = {
    "+": arith.AddiOp,
    "-": arith.SubiOp,
    "*": arith.MuliOp,
    "&": arith.AndIOp,
    "|": arith.OrIOp,
    "^": arith.XOrIOp,
    "<<": arith.ShLIOp,
    ">>": arith.ShRSIOp,
    ">>>": arith.ShRUIOp,
}


@dataclass(frozen=True, eq=False)
class Num:
    """A float, an integer or a truth value, or a vector of them. Python numbers become constants of its type."""

    build: Builder
    value: SSAValue

    @property
    def type(self) -> Attribute:
        return self.value.type

    @property
    def element(self) -> Attribute:
        """The type of a lane."""
        return element_of(self.type)

    @property
    def is_vector(self) -> bool:
        return isinstance(self.type, VectorType)

    @property
    def is_float(self) -> bool:
        return isinstance(element_of(self.type), AnyFloat)

    def lift(self, other: Num | float | int) -> Num:
        """`other` as a value of this one's type."""
        return other if isinstance(other, Num) else self.build.const(other, self.type)

    def _binary(self, sign: str, lhs: Num | float | int, rhs: Num | float | int) -> Num:
        make = (_FLOAT if self.is_float else _INTEGER)[sign]
        return self.build.add(make(self.lift(lhs).value, self.lift(rhs).value))

    def __add__(self, other: Num | float | int) -> Num:
        return self._binary("+", self, other)

    def __radd__(self, other: float | int) -> Num:
        return self._binary("+", other, self)

    def __sub__(self, other: Num | float | int) -> Num:
        return self._binary("-", self, other)

    def __rsub__(self, other: float | int) -> Num:
        return self._binary("-", other, self)

    def __mul__(self, other: Num | float | int) -> Num:
        return self._binary("*", self, other)

    def __rmul__(self, other: float | int) -> Num:
        return self._binary("*", other, self)

    def __truediv__(self, other: Num | float | int) -> Num:
        return self._binary("/", self, other)

    def __rtruediv__(self, other: float | int) -> Num:
        return self._binary("/", other, self)

    def __and__(self, other: Num | int) -> Num:
        return self._binary("&", self, other)

    def __or__(self, other: Num | int) -> Num:
        return self._binary("|", self, other)

    def __xor__(self, other: Num | int) -> Num:
        return self._binary("^", self, other)

    def __lshift__(self, count: Num | int) -> Num:
        return self._binary("<<", self, count)

    def __rshift__(self, count: Num | int) -> Num:
        """Copies the sign."""
        return self._binary(">>", self, count)

    def shift_right_unsigned(self, count: Num | int) -> Num:
        """Brings in zeros."""
        return self._binary(">>>", self, count)

    def __neg__(self) -> Num:
        if self.is_float:
            return self.build.add(arith.NegfOp(self.value))
        return 0 - self

    def compare(self, predicate: str, other: Num | float | int) -> Num:
        """A comparison by the predicates of `arith.cmpf` or `arith.cmpi`."""
        rhs = self.lift(other).value
        if self.is_vector:
            make: Any = vector_ext.CmpFOp if self.is_float else vector_ext.CmpIOp
            return self.build.add(make(predicate, self.value, rhs))
        make = arith.CmpfOp if self.is_float else arith.CmpiOp
        return self.build.add(make(self.value, rhs, predicate))

    def __lt__(self, other: Num | float | int) -> Num:
        return self.compare("olt" if self.is_float else "slt", other)

    def __le__(self, other: Num | float | int) -> Num:
        return self.compare("ole" if self.is_float else "sle", other)

    def __gt__(self, other: Num | float | int) -> Num:
        return self.compare("ogt" if self.is_float else "sgt", other)

    def __ge__(self, other: Num | float | int) -> Num:
        return self.compare("oge" if self.is_float else "sge", other)

    def equals(self, other: Num | float | int) -> Num:
        """False for a NaN."""
        return self.compare("oeq" if self.is_float else "eq", other)

    def differs(self, other: Num | float | int) -> Num:
        """True for a NaN."""
        return self.compare("une" if self.is_float else "ne", other)

    def bitcast(self, element: Attribute) -> Num:
        """The same bits, read as numbers of another type of the same width."""
        return self.build.add(arith.BitcastOp(self.value, with_element(self.type, element)))

    def _convert(self, scalar: type[Any], lanewise: type[Any], element: Attribute) -> Num:
        make = lanewise if self.is_vector else scalar
        return self.build.add(make(self.value, with_element(self.type, element)))

    def to_f32(self) -> Num:
        """The nearest single-precision float to a double-precision one."""
        return self.build.add(arith.TruncFOp(self.value, with_element(self.type, f32)))

    def to_f64(self) -> Num:
        """The same float in double precision."""
        return self.build.add(arith.ExtFOp(self.value, with_element(self.type, f64)))

    def truncate_to_i32(self) -> Num:
        """The low half of a 64-bit integer."""
        return self._convert(arith.TruncIOp, vector_ext.TruncIOp, i32)

    def truncate_to_i16(self) -> Num:
        """The low 16 bits of an integer."""
        return self._convert(arith.TruncIOp, vector_ext.TruncIOp, i16)

    def extend_to_i32(self) -> Num:
        """A 16-bit integer without its sign, in 32 bits."""
        return self._convert(arith.ExtUIOp, vector_ext.ExtUIOp, i32)

    def extend_to_i64(self) -> Num:
        """A 32-bit integer without its sign, or a truth value, in 64 bits."""
        return self._convert(arith.ExtUIOp, vector_ext.ExtUIOp, i64)

    def integer_to(self, element: AnyFloat) -> Num:
        """The float nearest to a signed integer."""
        return self._convert(arith.SIToFPOp, vector_ext.SIToFPOp, element)

    def unary(self, make: type[Any]) -> Num:
        """One of the unary ops of `math`."""
        return self.build.add(make(self.value))

    def abs(self) -> Num:
        return self.unary(math.AbsFOp)

    def sqrt(self) -> Num:
        return self.unary(math.SqrtOp)

    def floor(self) -> Num:
        return self.unary(math.FloorOp)

    def trunc(self) -> Num:
        return self.unary(math.TruncOp)

    def copysign(self, sign: Num) -> Num:
        """With the sign of another."""
        return self.build.add(math.CopySignOp(self.value, sign.value))

    def minimum(self, other: Num | float) -> Num:
        """The lesser; a NaN wins."""
        return self.build.add(arith.MinimumfOp(self.value, self.lift(other).value))

    def maximum(self, other: Num | float) -> Num:
        """The greater; a NaN wins."""
        return self.build.add(arith.MaximumfOp(self.value, self.lift(other).value))

    def clamp(self, low: float, high: float) -> Num:
        """Between two bounds; a NaN stays."""
        return self.maximum(low).minimum(high)


def where(cond: Num, then: Num, orelse: Num | float | int) -> Num:
    """Lane by lane one value or the other."""
    other = then.lift(orelse)
    make: Any = vector_ext.SelectOp if cond.is_vector else arith.SelectOp
    return then.build.add(make(cond.value, then.value, other.value))


def fma(a: Num, b: Num | float, c: Num | float) -> Num:
    """`a * b + c`, rounded once or twice: use it only where either will do."""
    y, z = a.lift(b), a.lift(c)
    if a.is_vector:
        return a.build.add(vector.FMAOp(a.value, y.value, z.value))
    return a * y + z


def polynomial(x: Num, coefficients: Sequence[float]) -> Num:
    """By Horner's rule; the constant term comes first."""
    result = x.lift(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result = fma(result, x, coefficient)
    return result


def any_lane(cond: Num) -> Num:
    """Whether a truth value holds in any lane."""
    if not cond.is_vector:
        return cond
    wide = cond._convert(arith.ExtUIOp, vector_ext.ExtUIOp, i32)  # pyright: ignore[reportPrivateUsage]
    kind = vector.CombiningKindAttr(vector.CombiningKindFlag.OR)
    op = vector.ReductionOp.build(
        operands=[wide.value, None], result_types=[i32], properties={"kind": kind}
    )
    return cond.build.add(op).differs(0)
