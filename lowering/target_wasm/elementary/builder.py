"""A notation for numeric code on scalars or one-dimensional vectors: `Num`, and where its ops and constants go."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.dialects import arith, math, scf, vector
from xdsl.dialects.builtin import AnyFloat, f32, f64, i16, i32, i64
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from webdnn.dialects import vector_ext
from webdnn.dialects.kernel import FuncOp
from webdnn.lowering import value_notation
from webdnn.lowering.value_notation import constant_attribute, with_element


class Builder:
    """Appends ops to a list, and keeps constants (which may serve many expansions) in another.

    Attributes:
        ops: the ops so far, in order.
        constants: constants by value and type; their ops belong at the start of the function.
    """

    def __init__(self, constants: dict[tuple[Attribute, Attribute], arith.ConstantOp]) -> None:
        self.ops: list[Operation] = []
        self.constants = constants

    def add(self, op: Operation) -> SSAValue:
        """Append an op; its first result."""
        self.ops.append(op)
        return op.results[0]

    def of(self, value: SSAValue) -> Num:
        """A value with operators."""
        return Num(self, value)

    def constant(self, value: float | int, type: Attribute) -> SSAValue:
        """A constant of a scalar type, or in each lane of a vector type."""
        attr = constant_attribute(value, type)
        # equal floats may differ in the sign of zero, which the attribute shows
        key = (attr, type)
        if (op := self.constants.get(key)) is None:
            self.constants[key] = op = arith.ConstantOp(attr, type)
        return op.result

    def const(self, value: float | int, type: Attribute) -> Num:
        """A constant with operators."""
        return Num(self, self.constant(value, type))

    def region(self, body: Callable[[], Sequence[Num]], args: Sequence[Attribute] = ()) -> Region:
        """A block that ends with `scf.yield` of what `body` gives; ops are appended to it meanwhile."""
        outer, self.ops = self.ops, []
        results = body()
        block = Block([*self.ops, scf.YieldOp(*(r.ssa for r in results))], arg_types=args)
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
        op = scf.IfOp(cond.ssa, types, self.region(then), self.region(orelse))
        self.ops.append(op)
        return [Num(self, r) for r in op.output]


def replace_ops(func: FuncOp, expand: Callable[[Builder, Operation], Sequence[Num] | None]) -> None:
    """Replace the ops of a kernel for which `expand` gives results; all their constants stand at the kernel's start."""
    constants: dict[tuple[Attribute, Attribute], arith.ConstantOp] = {}
    for op in list(func.body.walk()):
        build = Builder(constants)
        results = expand(build, op)
        if results is None:
            continue
        block = op.parent
        assert block is not None
        block.insert_ops_before(build.ops, op)
        for old, new in zip(op.results, results, strict=True):
            old.replace_all_uses_with(new.ssa)
        block.erase_op(op)
    first = func.body.block.first_op
    assert first is not None
    func.body.block.insert_ops_before(list(constants.values()), first)


class Num(value_notation.Value[Builder]):
    """A float, an integer or a truth value, or a vector of them."""

    __slots__ = ()

    def to_f32(self) -> Num:
        """The nearest single-precision float to a double-precision one."""
        return self._emit(arith.TruncFOp(self.ssa, with_element(self.type, f32)))

    def to_f64(self) -> Num:
        """The same float in double precision."""
        return self._emit(arith.ExtFOp(self.ssa, with_element(self.type, f64)))

    def truncate_to_i32(self) -> Num:
        """The low half of a 64-bit integer."""
        return self._lanewise(arith.TruncIOp, vector_ext.TruncIOp, i32)

    def truncate_to_i16(self) -> Num:
        """The low 16 bits of an integer."""
        return self._lanewise(arith.TruncIOp, vector_ext.TruncIOp, i16)

    def extend_to_i32(self) -> Num:
        """A 16-bit integer without its sign, or a truth value, in 32 bits."""
        return self._lanewise(arith.ExtUIOp, vector_ext.ExtUIOp, i32)

    def extend_to_i64(self) -> Num:
        """A 32-bit integer without its sign, or a truth value, in 64 bits."""
        return self._lanewise(arith.ExtUIOp, vector_ext.ExtUIOp, i64)

    def integer_to(self, element: AnyFloat) -> Num:
        """The float nearest to a signed integer."""
        return self._lanewise(arith.SIToFPOp, vector_ext.SIToFPOp, element)

    def abs(self) -> Num:
        return self.apply(math.AbsFOp)

    def sqrt(self) -> Num:
        return self.apply(math.SqrtOp)

    def floor(self) -> Num:
        return self.apply(math.FloorOp)

    def trunc(self) -> Num:
        return self.apply(math.TruncOp)

    def copysign(self, sign: Num) -> Num:
        """With the sign of another."""
        return self._emit(math.CopySignOp(self.ssa, sign.ssa))

    def clamp(self, low: float, high: float) -> Num:
        """Between two bounds; a NaN stays."""
        return self.at_least(low).at_most(high)

    def at_least(self, low: float) -> Num:
        """This, or a bound where that is greater; a NaN stays."""
        if not self.is_vector:
            return self.maximum(low)
        # one instruction (pmax), where one that looks for a NaN on either side takes an engine several
        bound = self.constant(low)
        return (self < bound).select(bound, self)

    def at_most(self, high: float) -> Num:
        """This, or a bound where that is less; a NaN stays."""
        if not self.is_vector:
            return self.minimum(high)
        bound = self.constant(high)
        return (bound < self).select(bound, self)


def where(cond: Num, then: Num, orelse: Num | float | int) -> Num:
    """Lane by lane one value or the other."""
    return cond.select(then, orelse)


def fma(a: Num, b: Num | float, c: Num | float) -> Num:
    """`a * b + c`, rounded once or twice: use it only where either will do."""
    return a.fma(b, c)


def polynomial(x: Num, coefficients: Sequence[float]) -> Num:
    """By Horner's rule; the constant term comes first."""
    result = x.constant(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result = result.fma(x, coefficient)
    return result


def any_lane(cond: Num) -> Num:
    """Whether a truth value holds in any lane."""
    if not cond.is_vector:
        return cond
    kind = vector.CombiningKindAttr(vector.CombiningKindFlag.OR)
    op = vector.ReductionOp.build(
        operands=[cond.extend_to_i32().ssa, None],
        result_types=[i32],
        properties={"kind": kind},
    )
    return cond.emitter.of(cond.emitter.add(op)).differs(0)
