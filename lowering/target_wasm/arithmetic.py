"""`arith`, and its vector forms in `vector_ext`, to the `llvm` dialect. Nothing here may trap or call a library."""

from __future__ import annotations

from math import isnan
from typing import Any, cast

import numpy as np
from xdsl.dialects import arith, llvm, vector
from xdsl.dialects.builtin import (
    BFloat16Type,
    DenseIntOrFPElementsAttr,
    Float16Type,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    VectorType,
    f32,
    f64,
    i32,
)
from xdsl.dialects.utils.fast_math import FastMathFlag
from xdsl.ir import Attribute, Operation, SSAValue

from webdnn.dialects import llvm_ext, vector_ext
from webdnn.dialects.dtypes import array_of_dense
from webdnn.lowering.target_wasm import index_arithmetic
from webdnn.lowering.target_wasm.emitter import Emitter, Handler
from webdnn.lowering.target_wasm.half_bits import bits_of
from webdnn.lowering.target_wasm.index_arithmetic import is_index
from webdnn.lowering.target_wasm.types import convert_type, mangled
from webdnn.lowering.value_notation import element_type, with_element


def _constant(emitter: Emitter, op: Operation) -> None:
    assert isinstance(op, arith.ConstantOp)
    if is_index(op.result):
        return index_arithmetic.constant(emitter, op)
    type, value = op.result.type, op.value
    if isinstance(element_type(type), Float16Type | BFloat16Type):
        emitter.set(op.result, emitter.constant(bits_of(value), convert_type(type)))
        return None
    lowered = convert_type(type)
    if isinstance(value, DenseIntOrFPElementsAttr) and lowered != type:
        assert isinstance(lowered, VectorType)
        value = DenseIntOrFPElementsAttr.from_list(
            lowered, [cast(int, v) for v in value.iter_values()]
        )
    assert isinstance(value, IntegerAttr | FloatAttr | DenseIntOrFPElementsAttr)
    emitter.set(op.result, emitter.constant(value, lowered))
    return None


_BINARY: dict[type[Operation], Any] = {
    arith.AddfOp: llvm.FAddOp,
    arith.SubfOp: llvm.FSubOp,
    arith.MulfOp: llvm.FMulOp,
    arith.DivfOp: llvm.FDivOp,
    arith.AddiOp: llvm.AddOp,
    arith.SubiOp: llvm.SubOp,
    arith.MuliOp: llvm.MulOp,
    arith.AndIOp: llvm.AndOp,
    arith.OrIOp: llvm.OrOp,
    arith.XOrIOp: llvm.XOrOp,
}


def _binary(emitter: Emitter, op: Operation) -> None:
    lhs, rhs = op.operands
    result = op.results[0]
    if is_index(result) and isinstance(op, arith.AddiOp | arith.SubiOp | arith.MuliOp):
        index_arithmetic.binary(emitter, op)
        return
    emitter.set(result, emitter.binary(_BINARY[type(op)], emitter.get(lhs), emitter.get(rhs)))
    if is_index(result) and isinstance(op, arith.AndIOp):
        mask = min(
            (i.high for v in op.operands if (i := emitter.interval(v)).is_natural), default=-1
        )
        if mask >= 0:
            emitter.intervals[result] = index_arithmetic.Interval(0, mask)


def _width(type: Attribute) -> int:
    element = element_type(type)
    assert isinstance(element, IntegerType)
    return element.width.data


_SHIFT: dict[type[Operation], Any] = {
    arith.ShLIOp: llvm.ShlOp,
    arith.ShRUIOp: llvm.LShrOp,
    arith.ShRSIOp: llvm.AShrOp,
}


def _shift(emitter: Emitter, op: Operation) -> None:
    """A shift by the width or more gives 0 (or all sign bits), where LLVM would give poison."""
    x, count = emitter.get(op.operands[0]), emitter.get(op.operands[1])
    limit = emitter.int(_width(x.type) - 1, x.type)
    inside = emitter.icmp("ule", count, limit)
    safe = emitter.select(inside, count, limit)
    shifted = emitter.add(_SHIFT[type(op)](x, safe))
    if not isinstance(op, arith.ShRSIOp):
        shifted = emitter.select(inside, shifted, emitter.int(0, x.type))
    emitter.set(op.results[0], shifted)


_DIVIDE: dict[type[Operation], Any] = {
    arith.DivUIOp: llvm.UDivOp,
    arith.RemUIOp: llvm.URemOp,
    arith.DivSIOp: llvm.SDivOp,
    arith.RemSIOp: llvm.SRemOp,
}


def _guarded_division(
    emitter: Emitter, make: Any, x: SSAValue, y: SSAValue, *, signed: bool, remainder: bool
) -> SSAValue:
    """Division that cannot trap: x / 0 and x % 0 are 0, and the least integer over -1 wraps."""
    zero, one = emitter.int(0, x.type), emitter.int(1, x.type)
    by_zero = emitter.icmp("eq", y, zero)
    divisor = emitter.select(by_zero, one, y)
    if signed:
        minus = emitter.icmp("eq", y, emitter.int(-1, x.type))
        divisor = emitter.select(minus, one, divisor)
    result = emitter.add(make(x, divisor))
    if signed and not remainder:
        negated = emitter.binary(llvm.SubOp, zero, x)
        result = emitter.select(minus, negated, result)  # pyright: ignore[reportPossiblyUnboundVariable]
    # x % 1 is 0 as it should be for the divisors 0 and -1.
    return result if remainder else emitter.select(by_zero, zero, result)


def _divide(emitter: Emitter, op: Operation) -> None:
    if is_index(op.results[0]) and index_arithmetic.divide(emitter, op):
        return
    x, y = (emitter.get(v) for v in op.operands)
    result = _guarded_division(
        emitter,
        _DIVIDE[type(op)],
        x,
        y,
        signed=isinstance(op, arith.DivSIOp | arith.RemSIOp),
        remainder=isinstance(op, arith.RemSIOp | arith.RemUIOp),
    )
    emitter.set(op.results[0], result)


def _rounded_division(emitter: Emitter, op: Operation) -> None:
    """`floordivsi`, `ceildivsi`, `ceildivui`: the quotient toward zero, corrected where there is a remainder."""
    if is_index(op.results[0]) and index_arithmetic.divide(emitter, op):
        return
    x, y = (emitter.get(v) for v in op.operands)
    signed = not isinstance(op, arith.CeilDivUIOp)
    make = llvm.SDivOp if signed else llvm.UDivOp
    quotient = _guarded_division(emitter, make, x, y, signed=signed, remainder=False)
    product = emitter.binary(llvm.MulOp, quotient, y)
    zero = emitter.int(0, x.type)
    inexact = emitter.icmp("ne", product, x)
    if signed:
        opposite = emitter.icmp("slt", emitter.binary(llvm.XOrOp, x, y), zero)
        if isinstance(op, arith.CeilDivSIOp):
            opposite = emitter.icmp("eq", opposite, emitter.int(0, opposite.type))
        inexact = emitter.binary(llvm.AndOp, inexact, opposite)
    inexact = emitter.binary(llvm.AndOp, inexact, emitter.icmp("ne", y, zero))
    delta = emitter.int(-1 if isinstance(op, arith.FloorDivSIOp) else 1, x.type)
    result = emitter.select(inexact, emitter.binary(llvm.AddOp, quotient, delta), quotient)
    emitter.set(op.results[0], result)


_MIN_MAX_INTEGER: dict[type[Operation], str] = {
    arith.MinSIOp: "llvm.smin.{}",
    arith.MaxSIOp: "llvm.smax.{}",
    arith.MinUIOp: "llvm.umin.{}",
    arith.MaxUIOp: "llvm.umax.{}",
}


def _min_max_integer(emitter: Emitter, op: Operation) -> None:
    x, y = (emitter.get(v) for v in op.operands)
    emitter.set(op.results[0], emitter.intrinsic(_MIN_MAX_INTEGER[type(op)], [x, y], x.type))
    if is_index(op.results[0]):
        index_arithmetic.note_min_max(emitter, op)


def has_flag(op: Operation, flag: FastMathFlag) -> bool:
    """Whether a flag for fast arithmetic is set on an op."""
    flags = op.properties.get("fastmath")
    return isinstance(flags, arith.FastMathFlagsAttr) and flag in flags.data


_REGISTERS = (VectorType(f32, [4]), VectorType(f64, [2]))
"""The vectors of floats that a register of wasm holds."""


def min_max_float(
    emitter: Emitter, name: str, x: SSAValue, y: SSAValue, *, no_nans: bool = False
) -> SSAValue:
    """`maximumf`, `minimumf` (a NaN wins) or `maxnumf`, `minnumf` (a NaN loses); with `no_nans`, y where x is a NaN."""
    if no_nans:
        if x.type in _REGISTERS:
            # one instruction, which LLVM does not make of a comparison with zero
            return emitter.intrinsic(f"llvm.wasm.p{name[:3]}.{{}}", [y, x], x.type)
        return emitter.select(emitter.fcmp("olt" if "max" in name else "ogt", y, x), x, y)
    if name in ("maximumf", "minimumf"):
        return emitter.intrinsic(f"llvm.{name[:-1]}.{{}}", [x, y], x.type)
    # LLVM would call fmaxf for these. An ordered comparison is false for a NaN on either side.
    wins = emitter.fcmp("ogt" if name == "maxnumf" else "olt", x, y)
    y_is_nan = emitter.fcmp("uno", y, y)
    return emitter.select(emitter.binary(llvm.OrOp, wins, y_is_nan), x, y)


def _min_max_float(emitter: Emitter, op: Operation) -> None:
    operands = list(op.operands)
    name = op.name.removeprefix("arith.")
    one = has_flag(op, FastMathFlag.NO_NANS)
    if not one and "num" not in name and has_flag(op, FastMathFlag.NO_SIGNED_ZEROS):
        # beside a known number, one instruction lets a NaN win too
        operands.sort(key=_is_known_number, reverse=True)
        one = _is_known_number(operands[0])
    x, y = (emitter.get(v) for v in operands)
    emitter.set(op.results[0], min_max_float(emitter, name, x, y, no_nans=one))


def _is_known_number(value: SSAValue) -> bool:
    """Whether a value is a constant, in all lanes, and no NaN."""
    if isinstance(value.owner, vector.BroadcastOp):
        value = value.owner.source
    match value.owner:
        case arith.ConstantOp(value=FloatAttr() as number):
            return not isnan(number.value.data)
        case arith.ConstantOp(value=DenseIntOrFPElementsAttr() as numbers):
            return not np.isnan(array_of_dense(numbers)).any()
        case _:
            return False


def _negf(emitter: Emitter, op: Operation) -> None:
    emitter.set(op.results[0], emitter.add(llvm.FNegOp(emitter.get(op.operands[0]))))


def _cmpi(emitter: Emitter, op: Operation) -> None:
    if isinstance(op, vector_ext.CmpIOp):
        predicate = op.predicate.data
    else:
        assert isinstance(op, arith.CmpiOp)
        predicate = arith.CMPI_COMPARISON_OPERATIONS[op.predicate.value.data]
    x, y = (emitter.get(v) for v in op.operands)
    emitter.set(op.results[0], emitter.icmp(predicate, x, y))


def _cmpf(emitter: Emitter, op: Operation) -> None:
    if isinstance(op, vector_ext.CmpFOp):
        predicate = op.predicate.data
    else:
        assert isinstance(op, arith.CmpfOp)
        predicate = arith.CMPF_COMPARISON_OPERATIONS[op.predicate.value.data]
    x, y = (emitter.get(v) for v in op.operands)
    if predicate in ("true", "false"):
        result = emitter.int(predicate == "true", convert_type(op.results[0].type))
    else:
        result = emitter.fcmp(predicate, x, y)
    emitter.set(op.results[0], result)


def _select(emitter: Emitter, op: Operation) -> None:
    cond, x, y = op.operands
    emitter.set(op.results[0], emitter.select(emitter.get(cond), emitter.get(x), emitter.get(y)))
    if is_index(op.results[0]):
        emitter.intervals[op.results[0]] = emitter.interval(x).union(emitter.interval(y))


_CAST: dict[type[Operation], Any] = {
    arith.SIToFPOp: llvm.SIToFPOp,
    arith.UIToFPOp: llvm_ext.UIToFPOp,
    arith.ExtSIOp: llvm.SExtOp,
    arith.ExtUIOp: llvm.ZExtOp,
    arith.TruncIOp: llvm.TruncOp,
    arith.ExtFOp: llvm.FPExtOp,
    arith.TruncFOp: llvm.FPTruncOp,
    vector_ext.SIToFPOp: llvm.SIToFPOp,
    vector_ext.UIToFPOp: llvm_ext.UIToFPOp,
    vector_ext.ExtSIOp: llvm.SExtOp,
    vector_ext.ExtUIOp: llvm.ZExtOp,
    vector_ext.TruncIOp: llvm.TruncOp,
}


def _cast(emitter: Emitter, op: Operation) -> None:
    source, type_ = emitter.get(op.operands[0]), convert_type(op.results[0].type)
    emitter.set(op.results[0], emitter.add(_CAST[type(op)](source, type_)))


def _float_to_integer(emitter: Emitter, op: Operation) -> None:
    """Toward zero; out of range gives the nearest integer and a NaN 0, where LLVM would give poison.

    By way of 32 bits, where WebAssembly has an instruction for vectors: LLVM would convert to narrower integers lane
    by lane.
    """
    signed = isinstance(op, arith.FPToSIOp | vector_ext.FPToSIOp)
    source, type_ = emitter.get(op.operands[0]), convert_type(op.results[0].type)
    width = _width(type_)
    wide = with_element(type_, i32) if width < 32 else type_
    name = f"llvm.fpto{'s' if signed else 'u'}i.sat.{{}}.{mangled(source.type)}"
    value = emitter.intrinsic(name, [source], wide)
    if width < 32:
        prefix, bits = ("s", width - 1) if signed else ("u", width)
        most = emitter.int((1 << bits) - 1, wide)
        value = emitter.intrinsic(f"llvm.{prefix}min.{{}}", [value, most], wide)
        if signed:
            least = emitter.int(-(1 << bits), wide)
            value = emitter.intrinsic("llvm.smax.{}", [value, least], wide)
        value = emitter.add(llvm.TruncOp(value, type_))
    emitter.set(op.results[0], value)


def _bitcast(emitter: Emitter, op: Operation) -> None:
    source, type = emitter.get(op.operands[0]), convert_type(op.results[0].type)
    result = source if source.type == type else emitter.add(llvm.BitcastOp(source, type))
    emitter.set(op.results[0], result)


def _index_cast(emitter: Emitter, op: Operation) -> None:
    assert isinstance(op, arith.IndexCastOp)
    index_arithmetic.cast(emitter, op)


HANDLERS: dict[type[Operation], Handler] = {
    arith.ConstantOp: _constant,
    **dict.fromkeys(_BINARY, _binary),
    **dict.fromkeys(_SHIFT, _shift),
    **dict.fromkeys(_DIVIDE, _divide),
    arith.FloorDivSIOp: _rounded_division,
    arith.CeilDivSIOp: _rounded_division,
    arith.CeilDivUIOp: _rounded_division,
    **dict.fromkeys(_MIN_MAX_INTEGER, _min_max_integer),
    arith.MaximumfOp: _min_max_float,
    arith.MinimumfOp: _min_max_float,
    arith.MaxnumfOp: _min_max_float,
    arith.MinnumfOp: _min_max_float,
    arith.NegfOp: _negf,
    arith.CmpiOp: _cmpi,
    arith.CmpfOp: _cmpf,
    vector_ext.CmpIOp: _cmpi,
    vector_ext.CmpFOp: _cmpf,
    arith.SelectOp: _select,
    vector_ext.SelectOp: _select,
    **dict.fromkeys(_CAST, _cast),
    arith.FPToSIOp: _float_to_integer,
    arith.FPToUIOp: _float_to_integer,
    vector_ext.FPToSIOp: _float_to_integer,
    vector_ext.FPToUIOp: _float_to_integer,
    arith.BitcastOp: _bitcast,
    arith.IndexCastOp: _index_cast,
}
