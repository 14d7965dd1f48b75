"""The scalar meaning of each elementwise `nn` op in `arith` and `math`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from xdsl.builder import Builder
from xdsl.dialects import arith, math
from xdsl.dialects.builtin import AnyFloat, IndexType, IntegerType, Signedness, f32, i1
from xdsl.dialects.utils.fast_math import FastMathFlag
from xdsl.ir import Attribute, Operation, SSAValue

from webdnn.dialects import arith_ext
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.sizes.types import element_of
from webdnn.lowering.nn_to_linalg.region_builder import scalar_constant, signless

Emit: TypeAlias = Callable[[Builder, Attribute, Sequence[SSAValue]], SSAValue]
"""Emits one element: builder, the `nn` element type of the first operand (with its sign), operand elements."""


def is_unsigned(element: Attribute) -> bool:
    """Whether an `nn` element type is read as an unsigned integer (truth values are)."""
    return isinstance(element, IntegerType) and (
        element.signedness.data == Signedness.UNSIGNED or element.width.data == 1
    )


def _insert(b: Builder, op: Operation) -> SSAValue:
    return b.insert(op).results[0]


def compare(b: Builder, predicate: str, lhs: SSAValue, rhs: SSAValue, unsigned: bool) -> SSAValue:
    """`lhs predicate rhs` for `eq`, `ne`, `lt`, `le`, `gt`, `ge`; on floats false where either is NaN (but `ne`)."""
    if isinstance(lhs.type, AnyFloat):
        return _insert(b, arith.CmpfOp(lhs, rhs, ("u" if predicate == "ne" else "o") + predicate))
    prefix = "" if predicate in ("eq", "ne") else "u" if unsigned else "s"
    return _insert(b, arith.CmpiOp(lhs, rhs, prefix + predicate))


def select(b: Builder, cond: SSAValue, on_true: SSAValue, on_false: SSAValue) -> SSAValue:
    """`arith.select`."""
    return _insert(b, arith.SelectOp(cond, on_true, on_false))


def _math(op_type: type[Operation]) -> Emit:
    return lambda b, _, args: _insert(b, op_type(*args))  # pyright: ignore[reportCallIssue]


def _by_kind(
    float_op: type[Operation],
    signed_op: type[Operation],
    unsigned_op: type[Operation] | None = None,
) -> Emit:
    def emit(b: Builder, element: Attribute, args: Sequence[SSAValue]) -> SSAValue:
        if isinstance(element, AnyFloat):
            op_type = float_op
        elif is_unsigned(element) and unsigned_op is not None:
            op_type = unsigned_op
        else:
            op_type = signed_op
        return _insert(b, op_type(*args))  # pyright: ignore[reportCallIssue]

    return emit


def _abs(b: Builder, element: Attribute, args: Sequence[SSAValue]) -> SSAValue:
    (x,) = args
    if isinstance(element, AnyFloat):
        return _insert(b, math.AbsFOp(x))
    if is_unsigned(element):
        return x
    zero = scalar_constant(b, 0, x.type)
    return select(b, compare(b, "lt", x, zero, False), _insert(b, arith.SubiOp(zero, x)), x)


def _neg(b: Builder, element: Attribute, args: Sequence[SSAValue]) -> SSAValue:
    (x,) = args
    if isinstance(element, AnyFloat):
        return _insert(b, arith.NegfOp(x))
    return _insert(b, arith.SubiOp(scalar_constant(b, 0, x.type), x))


def _sign(b: Builder, element: Attribute, args: Sequence[SSAValue]) -> SSAValue:
    (x,) = args
    unsigned = is_unsigned(element)
    zero, one = scalar_constant(b, 0, x.type), scalar_constant(b, 1, x.type)
    below = x
    if not unsigned:
        minus_one = scalar_constant(b, -1, x.type)
        below = select(b, compare(b, "lt", x, zero, False), minus_one, x)
    return select(b, compare(b, "gt", x, zero, unsigned), one, below)


def _relu(b: Builder, element: Attribute, args: Sequence[SSAValue]) -> SSAValue:
    return _MAX(b, element, [*args, scalar_constant(b, 0, args[0].type)])


def _sigmoid(b: Builder, element: Attribute, args: Sequence[SSAValue]) -> SSAValue:
    (x,) = args
    one = scalar_constant(b, 1, x.type)
    exp = _insert(b, math.ExpOp(_insert(b, arith.NegfOp(x))))
    return _insert(b, arith.DivfOp(one, _insert(b, arith.AddfOp(one, exp))))


def _reciprocal(b: Builder, element: Attribute, args: Sequence[SSAValue]) -> SSAValue:
    return _insert(b, arith.DivfOp(scalar_constant(b, 1, args[0].type), args[0]))


def _not(b: Builder, element: Attribute, args: Sequence[SSAValue]) -> SSAValue:
    return _insert(b, arith.XOrIOp(args[0], scalar_constant(b, -1, args[0].type)))


def _is_nan(b: Builder, element: Attribute, args: Sequence[SSAValue]) -> SSAValue:
    return _insert(b, arith.CmpfOp(args[0], args[0], "uno"))


def _is_inf(b: Builder, element: Attribute, args: Sequence[SSAValue]) -> SSAValue:
    inf = scalar_constant(b, float("inf"), args[0].type)
    return compare(b, "eq", _insert(b, math.AbsFOp(args[0])), inf, False)


def _trunc_mod(b: Builder, element: Attribute, args: Sequence[SSAValue]) -> SSAValue:
    x, y = args
    if not isinstance(element, AnyFloat):
        if is_unsigned(element):
            return _insert(b, arith.RemUIOp(x, y))
        return _insert(b, arith.RemSIOp(x, y))
    if element.bitwidth < 32:
        wide = [_insert(b, arith.ExtFOp(v, f32)) for v in args]
        return _insert(b, arith.TruncFOp(_trunc_mod(b, f32, wide), element))
    return _insert(b, arith_ext.RemFOp(x, y))


def _floor_mod(b: Builder, element: Attribute, args: Sequence[SSAValue]) -> SSAValue:
    """The remainder that truncation leaves, and the divisor where the signs differ; 0 has the divisor's sign."""
    is_float = isinstance(element, AnyFloat)
    if is_float and element.bitwidth < 32:
        wide = [_insert(b, arith.ExtFOp(v, f32)) for v in args]
        return _insert(b, arith.TruncFOp(_floor_mod(b, f32, wide), element))
    y = args[1]
    remainder = _trunc_mod(b, element, args)
    if is_unsigned(element):
        return remainder
    zero = scalar_constant(b, 0, y.type)
    nonzero = compare(b, "ne", remainder, zero, False)
    signs_differ = _insert(
        b,
        arith.XOrIOp(compare(b, "lt", remainder, zero, False), compare(b, "lt", y, zero, False)),
    )
    fixed = _insert(b, arith.AddfOp(remainder, y) if is_float else arith.AddiOp(remainder, y))
    result = select(b, _insert(b, arith.AndIOp(nonzero, signs_differ)), fixed, remainder)
    if not is_float:
        return result
    signed_zero = _insert(b, math.CopySignOp(zero, y))
    return select(b, compare(b, "eq", remainder, zero, False), signed_zero, result)


def _pow(b: Builder, element: Attribute, args: Sequence[SSAValue]) -> SSAValue:
    if isinstance(element, AnyFloat):
        base, exponent = args
        return _insert(b, math.PowFOp(base, exponent))
    # square and multiply: exact modulo 2^width; a negative exponent gives 0 unless the base is 1 or -1
    base, exponent = args
    assert isinstance(base.type, IntegerType)
    width = base.type.width.data
    zero, one = scalar_constant(b, 0, base.type), scalar_constant(b, 1, base.type)
    result, square = one, base
    for bit in range(width):
        mask = scalar_constant(b, 1 << bit, base.type)
        has_bit = compare(b, "ne", _insert(b, arith.AndIOp(exponent, mask)), zero, False)
        result = select(b, has_bit, _insert(b, arith.MuliOp(result, square)), result)
        if bit + 1 < width:
            square = _insert(b, arith.MuliOp(square, square))
    if is_unsigned(element):
        return result
    # for bases 1 and -1 the product above is right modulo 2^width for negative exponents too
    magnitude_one = compare(b, "eq", _insert(b, arith.MuliOp(base, base)), one, False)
    negative = compare(b, "lt", exponent, zero, False)
    not_one = _insert(b, arith.XOrIOp(magnitude_one, scalar_constant(b, 1, i1)))
    return select(b, _insert(b, arith.AndIOp(negative, not_one)), zero, result)


def _shift(op_type: type[Operation], signed_op: type[Operation]) -> Emit:
    def emit(b: Builder, element: Attribute, args: Sequence[SSAValue]) -> SSAValue:
        x, distance = args
        assert isinstance(x.type, IntegerType)
        width = scalar_constant(b, x.type.width.data, x.type)
        chosen = op_type if is_unsigned(element) else signed_op
        in_range = compare(b, "lt", distance, width, True)
        if chosen is arith.ShRSIOp:  # far out there is nothing but the sign
            last = scalar_constant(b, x.type.width.data - 1, x.type)
            return _insert(b, arith.ShRSIOp(x, select(b, in_range, distance, last)))
        shifted = _insert(b, chosen(x, distance))  # pyright: ignore[reportCallIssue]
        return select(b, in_range, shifted, scalar_constant(b, 0, x.type))

    return emit


def _compare(predicate: str) -> Emit:
    return lambda b, element, args: compare(b, predicate, args[0], args[1], is_unsigned(element))


def _extremum(
    float_op: type[arith.MaximumfOp] | type[arith.MinimumfOp],
    signed_op: type[Operation],
    unsigned_op: type[Operation],
) -> Emit:
    """The greater or the lesser of two numbers; a NaN wins. ONNX does not say which zero of two is the greater."""
    of_integers = _by_kind(float_op, signed_op, unsigned_op)

    def emit(b: Builder, element: Attribute, args: Sequence[SSAValue]) -> SSAValue:
        if isinstance(element, AnyFloat):
            flags = arith.FastMathFlagsAttr([FastMathFlag.NO_SIGNED_ZEROS])
            x, y = args
            return _insert(b, float_op(x, y, flags))
        return of_integers(b, element, args)

    return emit


_MAX = _extremum(arith.MaximumfOp, arith.MaxSIOp, arith.MaxUIOp)

EMITTERS: dict[type[Operation], Emit] = {
    ew.AbsOp: _abs,
    ew.NegOp: _neg,
    ew.SignOp: _sign,
    ew.ReluOp: _relu,
    ew.SigmoidOp: _sigmoid,
    ew.SqrtOp: _math(math.SqrtOp),
    ew.ReciprocalOp: _reciprocal,
    ew.ExpOp: _math(math.ExpOp),
    ew.LogOp: _math(math.LogOp),
    ew.ErfOp: _math(math.ErfOp),
    ew.SinOp: _math(math.SinOp),
    ew.CosOp: _math(math.CosOp),
    ew.TanOp: _math(math.TanOp),
    ew.AsinOp: _math(math.AsinOp),
    ew.AcosOp: _math(math.AcosOp),
    ew.AtanOp: _math(math.AtanOp),
    ew.SinhOp: _math(math.SinhOp),
    ew.CoshOp: _math(math.CoshOp),
    ew.TanhOp: _math(math.TanhOp),
    ew.AsinhOp: _math(math.AsinhOp),
    ew.AcoshOp: _math(math.AcoshOp),
    ew.AtanhOp: _math(math.AtanhOp),
    ew.FloorOp: _math(math.FloorOp),
    ew.CeilOp: _math(math.CeilOp),
    ew.RoundOp: _math(math.RoundEvenOp),
    ew.TruncOp: _math(math.TruncOp),
    ew.NotOp: _not,
    ew.IsNanOp: _is_nan,
    ew.IsInfOp: _is_inf,
    ew.AddOp: _by_kind(arith.AddfOp, arith.AddiOp),
    ew.SubOp: _by_kind(arith.SubfOp, arith.SubiOp),
    ew.MulOp: _by_kind(arith.MulfOp, arith.MuliOp),
    ew.DivOp: _by_kind(arith.DivfOp, arith.DivSIOp, arith.DivUIOp),
    ew.FloorModOp: _floor_mod,
    ew.TruncModOp: _trunc_mod,
    ew.PowOp: _pow,
    ew.MaxOp: _MAX,
    ew.MinOp: _extremum(arith.MinimumfOp, arith.MinSIOp, arith.MinUIOp),
    ew.AndOp: _math(arith.AndIOp),
    ew.OrOp: _math(arith.OrIOp),
    ew.XorOp: _math(arith.XOrIOp),
    ew.ShlOp: _shift(arith.ShLIOp, arith.ShLIOp),
    ew.ShrOp: _shift(arith.ShRUIOp, arith.ShRSIOp),
    ew.EqualOp: _compare("eq"),
    ew.LessOp: _compare("lt"),
    ew.LessEqualOp: _compare("le"),
    ew.SelectOp: lambda b, _, args: select(b, *args),
}
"""The emitter of each elementwise op but `nn.cast`, whose result type matters too."""


def emit_cast(b: Builder, x: SSAValue, source: Attribute, target: Attribute) -> SSAValue:
    """`x` of `nn` element type `source` as `target` (see `nn.cast` for the rules)."""
    result = signless(target)
    if source == target:
        return x
    if isinstance(target, IntegerType) and target.width.data == 1:
        return compare(b, "ne", x, scalar_constant(b, 0, x.type), True)
    if isinstance(source, AnyFloat) and isinstance(target, AnyFloat):
        if source.bitwidth == target.bitwidth:  # f16 and bf16: by way of f32
            return _insert(b, arith.TruncFOp(_insert(b, arith.ExtFOp(x, f32)), target))
        op_type = arith.ExtFOp if source.bitwidth < target.bitwidth else arith.TruncFOp
        return _insert(b, op_type(x, target))
    if isinstance(source, AnyFloat):
        assert isinstance(result, IntegerType)
        op_type = arith.FPToUIOp if is_unsigned(target) else arith.FPToSIOp
        return _insert(b, op_type(x, result))
    if isinstance(target, AnyFloat):
        op_type = arith.UIToFPOp if is_unsigned(source) else arith.SIToFPOp
        return _insert(b, op_type(x, target))
    assert isinstance(source, IntegerType) and isinstance(target, IntegerType)
    assert isinstance(result, IntegerType)
    if source.width.data == target.width.data:
        return x
    if source.width.data > target.width.data:
        return _insert(b, arith.TruncIOp(x, result))
    extend = arith.ExtUIOp if is_unsigned(source) else arith.ExtSIOp
    return _insert(b, extend(x, result))


def emit_elementwise(b: Builder, op: Operation, args: Sequence[SSAValue]) -> SSAValue:
    """The result element of an elementwise `nn` op from its operands' elements."""
    if isinstance(op, ew.CastOp):
        return emit_cast(b, args[0], element_of(op.x), element_of(op.res))
    # a select's first operand is the condition: the values say how integers are read
    typed = op.operands[1] if isinstance(op, ew.SelectOp) else op.operands[0]
    return EMITTERS[type(op)](b, element_of(typed), args)


def to_index(b: Builder, x: SSAValue) -> SSAValue:
    """An integer element as an index."""
    return x if isinstance(x.type, IndexType) else _insert(b, arith.IndexCastOp(x, IndexType()))
