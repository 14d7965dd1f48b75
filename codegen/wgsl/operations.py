"""The WGSL expression of each pure operation of level `target`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from xdsl.dialects import arith, math, vector
from xdsl.dialects.builtin import IndexType, IntegerType, VectorType, i1
from xdsl.ir import Attribute, Operation

from webdnn.codegen.wgsl.expressions import Expr, Level, arithmetic, binary, call, combine, unary
from webdnn.codegen.wgsl.types import wgsl_type
from webdnn.dialects import vector_ext, wgsl
from webdnn.dialects.errors import WebDNNError

Arguments = Sequence[Expr]
Builder = Callable[[Operation, Arguments], Expr]

COMPONENTS = "xyzw"


def element_type(type: Attribute) -> Attribute:
    """The element type of a vector type, or the type itself."""
    return type.element_type if isinstance(type, VectorType) else type


def _is_bool(type: Attribute) -> bool:
    element = element_type(type)
    return isinstance(element, IntegerType) and element.width.data == 1


def _unsigned(op: Operation, *operands: int) -> Callable[[Arguments], list[Expr]]:
    """Operands converted to the unsigned type of the same shape."""

    def convert(args: Arguments) -> list[Expr]:
        out: list[Expr] = []
        for i, arg in enumerate(args):
            if operands and i not in operands:
                out.append(arg)
            else:
                out.append(as_unsigned(arg, op.operands[i].type))
        return out

    return convert


def as_unsigned(expr: Expr, type: Attribute) -> Expr:
    """`u32(x)` (or `vec4u(x)`): the same bits, read as unsigned. A literal stays one."""
    if expr.literal and expr.text.removeprefix("-").isdigit():  # WGSL does not take u32(-3)
        return Expr(f"{int(expr.text) % 2**32}u", literal=True)
    return call(wgsl_type(type, integer="u32"), expr)


def _infix(symbol: str) -> Builder:
    return lambda op, args: binary(symbol, args[0], args[1])


def _arithmetic(symbol: str) -> Builder:
    return lambda op, args: arithmetic(symbol, args[0], args[1])


def _additive(op: Operation, args: Arguments) -> Expr:
    """`a + b`, and `a - 3` where b is the literal -3."""
    lhs, rhs = args
    if rhs.literal and rhs.text.startswith("-"):
        return binary("-", lhs, Expr(rhs.text[1:], literal=True))
    return arithmetic("+", lhs, rhs)


def _function(name: str) -> Builder:
    return lambda op, args: call(name, *args)


def _unsigned_infix(symbol: str) -> Builder:
    def build(op: Operation, args: Arguments) -> Expr:
        lhs, rhs = _unsigned(op)(args)
        return call(wgsl_type(op.results[0].type), binary(symbol, lhs, rhs))

    return build


def _unsigned_function(name: str) -> Builder:
    def build(op: Operation, args: Arguments) -> Expr:
        return call(wgsl_type(op.results[0].type), call(name, *_unsigned(op)(args)))

    return build


def _shift(symbol: str) -> Builder:
    def build(op: Operation, args: Arguments) -> Expr:
        return binary(symbol, args[0], as_unsigned(args[1], op.operands[1].type))

    return build


def _shift_right_logical(op: Operation, args: Arguments) -> Expr:
    lhs, rhs = _unsigned(op)(args)
    return call(wgsl_type(op.results[0].type), binary(">>", lhs, rhs))


def _logic(bitwise: str, logical: str) -> Builder:
    """Bitwise on integers and on vectors of bool, short-circuit spelling on bool."""

    def build(op: Operation, args: Arguments) -> Expr:
        scalar_bool = op.results[0].type == i1
        return binary(logical if scalar_bool else bitwise, args[0], args[1])

    return build


def _xor(op: Operation, args: Arguments) -> Expr:
    if not _is_bool(op.results[0].type):
        return binary("^", args[0], args[1])
    if args[1].text == "true" or args[1].text.endswith("<bool>(true)"):
        return unary("!", args[0])
    return binary("!=", args[0], args[1])


_SIGNED = {"eq": "==", "ne": "!=", "slt": "<", "sle": "<=", "sgt": ">", "sge": ">="}
_UNSIGNED = {"ult": "<", "ule": "<=", "ugt": ">", "uge": ">="}
_ORDERED = {"oeq": "==", "ogt": ">", "oge": ">=", "olt": "<", "ole": "<=", "one": "!="}
_UNORDERED = {"une": "==", "ueq": "!=", "ugt": "<=", "uge": "<", "ult": ">=", "ule": ">"}
"""Unordered comparisons are the negation of the opposite ordered one: compilers take WGSL's `!=` for ordered too."""


def _predicate(op: Operation) -> str:
    match op:
        case arith.CmpiOp():
            return arith.CMPI_COMPARISON_OPERATIONS[op.predicate.value.data]
        case arith.CmpfOp():
            return arith.CMPF_COMPARISON_OPERATIONS[op.predicate.value.data]
        case vector_ext.CmpIOp() | vector_ext.CmpFOp():
            return op.predicate.data
        case _:
            raise TypeError(op.name)


def _compare_integers(op: Operation, args: Arguments) -> Expr:
    predicate = _predicate(op)
    if predicate in _UNSIGNED:
        return binary(_UNSIGNED[predicate], *_unsigned(op)(args))
    return binary(_SIGNED[predicate], args[0], args[1])


def _compare_floats(op: Operation, args: Arguments) -> Expr:
    predicate = _predicate(op)
    lhs, rhs = args
    if predicate in _ORDERED:
        return binary(_ORDERED[predicate], lhs, rhs)
    if predicate in _UNORDERED:
        return unary("!", binary(_UNORDERED[predicate], lhs, rhs))
    raise WebDNNError(
        f"WGSL cannot compare floats with {predicate!r}", hint="run `lower-to-wgsl` first"
    )


def _select(op: Operation, args: Arguments) -> Expr:
    """`select(if_false, if_true, condition)`."""
    condition, if_true, if_false = args
    return call("select", if_false, if_true, condition)


def _convert(op: Operation, args: Arguments) -> Expr:
    return call(wgsl_type(op.results[0].type), args[0])


def _index_cast(op: Operation, args: Arguments) -> Expr:
    for type in (op.operands[0].type, op.results[0].type):
        if not isinstance(type, IndexType) and not (
            isinstance(type, IntegerType) and type.width.data == 32
        ):
            raise WebDNNError(
                f"WGSL has no index_cast with {type}", hint="run `lower-to-wgsl` first"
            )
    return args[0]


def _uitofp(op: Operation, args: Arguments) -> Expr:
    if _is_bool(op.operands[0].type):
        return _convert(op, args)
    return call(wgsl_type(op.results[0].type), as_unsigned(args[0], op.operands[0].type))


def _sitofp(op: Operation, args: Arguments) -> Expr:
    # The signed reading of a true i1 is -1.
    converted = _convert(op, args)
    return unary("-", converted) if _is_bool(op.operands[0].type) else converted


def _fptoui(op: Operation, args: Arguments) -> Expr:
    type = op.results[0].type
    return call(wgsl_type(type), call(wgsl_type(type, integer="u32"), args[0]))


def _extend_signed(op: Operation, args: Arguments) -> Expr:
    assert _is_bool(op.operands[0].type)
    return unary("-", _convert(op, args))


def _bitcast(op: Operation, args: Arguments) -> Expr:
    return call(f"bitcast<{wgsl_type(op.results[0].type)}>", args[0])


def _truncate(op: Operation, args: Arguments) -> Expr:
    """i32 to i1: the lowest bit."""
    assert _is_bool(op.results[0].type)
    return binary("!=", binary("&", args[0], Expr("1", literal=True)), Expr("0", literal=True))


def _splat(op: Operation, args: Arguments) -> Expr:
    if isinstance(op.operands[0].type, VectorType):
        return args[0]
    (element,) = args
    return replace(
        call(wgsl_type(op.results[0].type), element), literal=element.literal, splat=element
    )


def _extract(op: Operation, args: Arguments) -> Expr:
    assert isinstance(op, vector.ExtractOp)
    position = op.get_mixed_position()
    if len(position) != 1:
        raise WebDNNError("WGSL vectors have one dimension")
    if isinstance(position[0], int):
        return combine(
            f"{args[0].at(Level.PRIMARY)}.{COMPONENTS[position[0]]}", Level.PRIMARY, args
        )
    return combine(f"{args[0].at(Level.PRIMARY)}[{args[1].text}]", Level.PRIMARY, args)


def _insert(op: Operation, args: Arguments) -> Expr:
    assert isinstance(op, vector.InsertOp)
    position = op.get_mixed_position()
    type = op.result.type
    assert isinstance(type, VectorType)
    if len(position) != 1 or not isinstance(position[0], int):
        raise WebDNNError("a WGSL vector is written at a constant position")
    scalar, source = args
    parts = [
        scalar.argument if i == position[0] else f"{source.at(Level.PRIMARY)}.{COMPONENTS[i]}"
        for i in range(type.get_shape()[0])
    ]
    return combine(f"{wgsl_type(type)}({', '.join(parts)})", Level.PRIMARY, args)


def _shuffle(op: Operation, args: Arguments) -> Expr:
    assert isinstance(op, vector.ShuffleOp)
    assert isinstance(op.v1.type, VectorType)
    first = op.v1.type.get_shape()[0]
    mask = [max(m, 0) for m in op.mask.get_values()]
    if all(m < first for m in mask):
        swizzle = "".join(COMPONENTS[m] for m in mask)
        return combine(f"{args[0].at(Level.PRIMARY)}.{swizzle}", Level.PRIMARY, args[:1])
    parts = [
        f"{args[0].at(Level.PRIMARY)}.{COMPONENTS[m]}"
        if m < first
        else f"{args[1].at(Level.PRIMARY)}.{COMPONENTS[m - first]}"
        for m in mask
    ]
    return combine(f"{wgsl_type(op.result.type)}({', '.join(parts)})", Level.PRIMARY, args)


_BUILDERS: dict[type[Operation], Builder] = {
    arith.AddiOp: _additive,
    arith.SubiOp: _arithmetic("-"),
    arith.MuliOp: _arithmetic("*"),
    arith.DivSIOp: _arithmetic("/"),
    arith.RemSIOp: _infix("%"),
    arith.DivUIOp: _unsigned_infix("/"),
    arith.RemUIOp: _unsigned_infix("%"),
    arith.MinSIOp: _function("min"),
    arith.MaxSIOp: _function("max"),
    arith.MinUIOp: _unsigned_function("min"),
    arith.MaxUIOp: _unsigned_function("max"),
    arith.AndIOp: _logic("&", "&&"),
    arith.OrIOp: _logic("|", "||"),
    arith.XOrIOp: _xor,
    arith.ShLIOp: _shift("<<"),
    arith.ShRSIOp: _shift(">>"),
    arith.ShRUIOp: _shift_right_logical,
    arith.CmpiOp: _compare_integers,
    arith.CmpfOp: _compare_floats,
    arith.SelectOp: _select,
    arith.AddfOp: _arithmetic("+"),
    arith.SubfOp: _arithmetic("-"),
    arith.MulfOp: _arithmetic("*"),
    arith.DivfOp: _arithmetic("/"),
    arith.NegfOp: lambda op, args: unary("-", args[0]),
    arith.MaximumfOp: _function("max"),
    arith.MinimumfOp: _function("min"),
    arith.MaxnumfOp: _function("max"),
    arith.MinnumfOp: _function("min"),
    arith.BitcastOp: _bitcast,
    arith.IndexCastOp: _index_cast,
    arith.FPToSIOp: _convert,
    arith.FPToUIOp: _fptoui,
    arith.SIToFPOp: _sitofp,
    arith.UIToFPOp: _uitofp,
    arith.ExtFOp: _convert,
    arith.TruncFOp: _convert,
    arith.ExtUIOp: _convert,
    arith.ExtSIOp: _extend_signed,
    arith.TruncIOp: _truncate,
    math.AbsFOp: _function("abs"),
    math.AbsIOp: _function("abs"),
    math.AcosOp: _function("acos"),
    math.AsinOp: _function("asin"),
    math.AtanOp: _function("atan"),
    math.Atan2Op: _function("atan2"),
    math.CeilOp: _function("ceil"),
    math.CosOp: _function("cos"),
    math.CountLeadingZerosOp: _function("countLeadingZeros"),
    math.CountTrailingZerosOp: _function("countTrailingZeros"),
    math.CtPopOp: _function("countOneBits"),
    math.ExpOp: _function("exp"),
    math.Exp2Op: _function("exp2"),
    math.FloorOp: _function("floor"),
    math.FmaOp: _function("fma"),
    math.LogOp: _function("log"),
    math.Log2Op: _function("log2"),
    math.PowFOp: _function("pow"),
    math.RoundEvenOp: _function("round"),
    math.RsqrtOp: _function("inverseSqrt"),
    math.SinOp: _function("sin"),
    math.SqrtOp: _function("sqrt"),
    math.TanOp: _function("tan"),
    math.TruncOp: _function("trunc"),
    vector.BroadcastOp: _splat,
    vector.FMAOp: _function("fma"),
    vector.ExtractOp: _extract,
    vector.InsertOp: _insert,
    vector.ShuffleOp: _shuffle,
    vector.BitcastOp: _bitcast,
    vector_ext.CmpIOp: _compare_integers,
    vector_ext.CmpFOp: _compare_floats,
    vector_ext.SelectOp: _select,
    vector_ext.SIToFPOp: _sitofp,
    vector_ext.UIToFPOp: _uitofp,
    vector_ext.FPToSIOp: _convert,
    vector_ext.FPToUIOp: _fptoui,
    vector_ext.ExtSIOp: _extend_signed,
    vector_ext.ExtUIOp: _convert,
    vector_ext.TruncIOp: _truncate,
    wgsl.ComposeOp: lambda op, args: call(wgsl_type(op.results[0].type), *args),
}

REPEATS_OPERANDS = (vector.InsertOp, vector.ShuffleOp)
"""Operations whose text names an operand several times, so that the operand must be a name."""


def builder_of(op: Operation) -> Builder | None:
    """What prints `op` as an expression; None where it is a statement (or not of this level)."""
    return _BUILDERS.get(type(op))
