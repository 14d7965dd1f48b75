"""`wgsl-expand-math`: what WGSL lacks or does badly, in what it does well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import arith, math, vector
from xdsl.dialects.builtin import (
    Float16Type,
    IntegerAttr,
    IntegerType,
    ModuleOp,
    VectorType,
    f32,
    i1,
    i32,
)
from xdsl.dialects.utils.fast_math import FastMathFlag
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass

from webdnn.dialects import vector_ext
from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.wgsl import ComposeOp
from webdnn.lowering.target_wgsl.exponential import exp_or_zero
from webdnn.lowering.target_wgsl.float_bits import is_nan
from webdnn.lowering.target_wgsl.helper_functions import HelperFunctions
from webdnn.lowering.target_wgsl.integer_functions import CALLED, DIVISIONS, INLINE
from webdnn.lowering.target_wgsl.keep_nans import in_f32, keep_nans
from webdnn.lowering.target_wgsl.math_functions import BRANCHING, FUNCTIONS
from webdnn.lowering.target_wgsl.power import powf
from webdnn.lowering.target_wgsl.values import Emitter
from webdnn.lowering.value_notation import element_type, with_element


@dataclass(frozen=True)
class WGSLExpandMathPass(ModulePass):
    """Replaces `math` operations by calls of helper functions, and a few `arith` ones where they stand.

    A helper function is a `func.func` that the pass adds to the module, one for each function and
    type. Comparisons that ask for NaN (`ord`, `uno`) become comparisons of bits, and so does what keeps a NaN
    (`keep_nans`).
    """

    name = "wgsl-expand-math"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        helpers = HelperFunctions(op)
        for kernel in list(op.ops):
            if isinstance(kernel, FuncOp) and kernel.is_lowered:
                for inner in list(kernel.body.walk()):
                    _expand(inner, helpers)


def _expand(op: Operation, helpers: HelperFunctions) -> None:
    kind = type(op)
    if kind in FUNCTIONS:
        _call(op, helpers)
    elif kind is math.FPowIOp:
        emitter = _emitter_before(op)
        exponent = emitter.value(op.operands[1]).to_float()
        call = helpers.call("accurate_powf", powf, [op.operands[0], exponent.ssa])
        _replace(op, emitter.add(call))
    elif kind in CALLED:
        call = helpers.call(op.name.partition(".")[2], CALLED[kind], list(op.operands))
        _replace(op, _emitter_before(op).add(call))
    elif kind in DIVISIONS and _may_divide_by_zero(op):
        emitter = _emitter_before(op)
        _replace(op, DIVISIONS[kind](*[emitter.value(o) for o in op.operands]).ssa)
    elif kind in _FLOAT_TO_INTEGER and element_type(op.results[0].type) == i32:
        _saturate(op, signed=_FLOAT_TO_INTEGER[kind])
    elif kind in INLINE:
        emitter = _emitter_before(op)
        _replace(op, INLINE[kind](*[emitter.value(o) for o in op.operands]).ssa)
    elif isinstance(op, arith.CmpfOp | vector_ext.CmpFOp):
        _compare(op)
    elif (kept := keep_nans(op, lambda: _emitter_before(op))) is not None:
        _replace(op, kept.ssa)
    elif kind in _ON_TRUTH_VALUES and op.results[0].type == i1:
        _replace(op, _emitter_before(op).add(_ON_TRUTH_VALUES[kind](*op.operands)))
    elif isinstance(op, arith.CmpiOp) and op.lhs.type == i1 and op.predicate.value.data > 1:
        _order_truth_values(op)


_ON_TRUTH_VALUES: dict[type[Operation], Callable[[SSAValue, SSAValue], Operation]] = {
    arith.AddiOp: arith.XOrIOp,
    arith.SubiOp: arith.XOrIOp,
    arith.MuliOp: arith.AndIOp,
    arith.MinUIOp: arith.AndIOp,
    arith.MaxUIOp: arith.OrIOp,
    arith.MinSIOp: arith.OrIOp,
    arith.MaxSIOp: arith.AndIOp,
}
"""Arithmetic on one bit as logic (of a signed bit, true is -1)."""


def _order_truth_values(op: arith.CmpiOp) -> None:
    """Only equality compares truth values in WGSL; any order compares them as integers."""
    emitter = _emitter_before(op)
    signed = arith.CMPI_COMPARISON_OPERATIONS[op.predicate.value.data].startswith("s")
    extend = arith.ExtSIOp if signed else arith.ExtUIOp
    lhs, rhs = (emitter.add(extend(o, i32)) for o in op.operands)
    _replace(op, emitter.add(arith.CmpiOp(lhs, rhs, op.predicate.value.data)))


_FLOAT_TO_INTEGER: dict[type[Operation], bool] = {
    arith.FPToSIOp: True,
    arith.FPToUIOp: False,
    vector_ext.FPToSIOp: True,
    vector_ext.FPToUIOp: False,
}
"""Conversions of floats to integers, and whether these have a sign."""


def _saturate(op: Operation, *, signed: bool) -> None:
    """The greatest integer of what is above all (WGSL stops at the greatest float below it), and 0 of a NaN."""
    emitter = _emitter_before(op)
    number = emitter.value(op.operands[0])
    converted = emitter.value(emitter.add(op.clone()))
    greatest = (1 << 31) - 1 if signed else -1
    wide = in_f32(number)
    is_above = wide >= 2.0 ** (31 if signed else 32)
    converted = is_above.select(converted.constant(greatest), converted)
    _replace(op, is_nan(wide).select(converted.constant(0), converted).ssa)


def _may_divide_by_zero(op: Operation) -> bool:
    """Whether numbers of the model are divided by others of the model: the compiler's own indices never by 0."""
    divisor = op.operands[1]
    if not isinstance(element_type(divisor.type), IntegerType):
        return False
    source = divisor.owner
    return not (
        isinstance(source, arith.ConstantOp)
        and isinstance(source.value, IntegerAttr)
        and source.value.value.data != 0
    )


def _emitter_before(op: Operation) -> Emitter:
    block = op.parent_block()
    assert block is not None
    return Emitter(block, op)


def _replace(op: Operation, value: SSAValue) -> None:
    value.name_hint = op.results[0].name_hint
    op.results[0].replace_all_uses_with(value)
    op.detach()
    op.erase()


def _call(op: Operation, helpers: HelperFunctions) -> None:
    """A call in f32, whatever the type of the operation is."""
    emitter = _emitter_before(op)
    result_type = op.results[0].type
    half = isinstance(element_type(result_type), Float16Type)
    wide = with_element(result_type, f32)
    operands = [emitter.add(arith.ExtFOp(o, wide)) if half else o for o in op.operands]
    name, function = "accurate_" + op.name.partition(".")[2], FUNCTIONS[type(op)]
    if isinstance(op, math.ExpOp) and (half or FastMathFlag.APPROX_FUNC in op.fastmath.data):
        name, function = "exp_or_zero", exp_or_zero
    if isinstance(wide, VectorType) and type(op) in BRANCHING:
        lanes = [
            emitter.add(helpers.call(name, function, [_lane(emitter, o, i) for o in operands]))
            for i in range(wide.get_shape()[0])
        ]
        result = emitter.add(ComposeOp(lanes, wide))
    else:
        result = emitter.add(helpers.call(name, function, operands))
    if half:
        result = emitter.add(arith.TruncFOp(result, result_type))
    _replace(op, result)


def _lane(emitter: Emitter, vector_value: SSAValue, lane: int) -> SSAValue:
    return emitter.add(vector.ExtractOp(vector_value, [lane], f32))


def _predicate(op: arith.CmpfOp | vector_ext.CmpFOp) -> str:
    if isinstance(op, vector_ext.CmpFOp):
        return op.predicate.data
    return arith.CMPF_COMPARISON_OPERATIONS[op.predicate.value.data]


def _compare(op: arith.CmpfOp | vector_ext.CmpFOp) -> None:
    predicate = _predicate(op)
    if predicate in ("true", "false"):
        emitter = _emitter_before(op)
        _replace(op, emitter.constant(predicate == "true", op.results[0].type))
    elif predicate in ("ord", "uno"):
        emitter = _emitter_before(op)
        lhs, rhs = (in_f32(emitter.value(o)) for o in op.operands)
        nan = is_nan(lhs) if op.operands[0] is op.operands[1] else is_nan(lhs) | is_nan(rhs)
        _replace(op, (nan if predicate == "uno" else ~nan).ssa)
