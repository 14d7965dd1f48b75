"""`expand-math`: elementary functions become arithmetic. WebAssembly has neither them nor a library that has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import arith, math, vector
from xdsl.dialects.arith import FastMathFlagsAttr
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, FloatAttr, ModuleOp
from xdsl.dialects.utils.fast_math import FastMathFlag
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass

from webdnn.dialects import arith_ext, kernel
from webdnn.lowering.target_wasm.elementary import (
    error_function,
    exponential,
    logarithm,
    power,
    remainder,
    rounding,
    trigonometric,
)
from webdnn.lowering.target_wasm.elementary.builder import Builder, Num, replace_ops

UNARY: dict[type[Operation], Callable[[Num], Num]] = {
    math.AcosOp: trigonometric.acos,
    math.AcoshOp: logarithm.acosh,
    math.AsinOp: trigonometric.asin,
    math.AsinhOp: logarithm.asinh,
    math.AtanOp: trigonometric.atan,
    math.AtanhOp: logarithm.atanh,
    math.CbrtOp: power.cbrt,
    math.CosOp: trigonometric.cos,
    math.CoshOp: exponential.cosh,
    math.ErfOp: error_function.erf,
    math.Exp2Op: exponential.exp2,
    math.ExpM1Op: exponential.expm1,
    math.ExpOp: exponential.exp,
    math.Log10Op: logarithm.log10,
    math.Log1pOp: logarithm.log1p,
    math.Log2Op: logarithm.log2,
    math.LogOp: logarithm.log,
    math.RoundOp: rounding.round_half_away,
    math.RsqrtOp: power.rsqrt,
    math.SinOp: trigonometric.sin,
    math.SinhOp: exponential.sinh,
    math.TanOp: trigonometric.tan,
    math.TanhOp: exponential.tanh,
}
"""What each unary op is expanded to."""

APPROXIMATE: dict[type[Operation], Callable[[Num], Num]] = {
    math.ErfOp: error_function.erf_beside_one,
    math.ExpOp: exponential.exp_or_zero,
}
"""What some of them are expanded to where less is asked of them: by the flag `afn`, or because 1 is added."""

BINARY: dict[type[Operation], Callable[[Num, Num], Num]] = {
    arith_ext.RemFOp: remainder.remainder,
    math.Atan2Op: trigonometric.atan2,
    math.FPowIOp: power.float_to_integer_power,
    math.IPowIOp: power.integer_power,
    math.PowFOp: power.pow,
}
"""What each binary op is expanded to."""


def _may_approximate(op: Operation) -> bool:
    flags = op.properties.get("fastmath")
    if isinstance(flags, FastMathFlagsAttr) and FastMathFlag.APPROX_FUNC in flags.data:
        return True
    users = [use.operation for use in op.results[0].uses]
    return isinstance(op, math.ErfOp) and all(
        isinstance(user, arith.AddfOp) and (_is_one(user.lhs) or _is_one(user.rhs))
        for user in users
    )


def _is_one(value: SSAValue) -> bool:
    op = value.owner
    if isinstance(op, vector.BroadcastOp):
        op = op.source.owner
    if not isinstance(op, arith.ConstantOp):
        return False
    if isinstance(op.value, FloatAttr):
        return op.value.value.data == 1
    return isinstance(op.value, DenseIntOrFPElementsAttr) and set(op.value.iter_values()) == {1.0}


def expand(func: kernel.FuncOp) -> None:
    """Expands all ops of UNARY and BINARY in a kernel."""

    def expanded(build: Builder, op: Operation) -> Sequence[Num] | None:
        if type(op) not in UNARY and type(op) not in BINARY:
            return None
        operands = [build.of(v) for v in op.operands]
        unary = APPROXIMATE.get(type(op)) if _may_approximate(op) else None
        unary = unary or UNARY.get(type(op))
        return [unary(operands[0]) if unary else BINARY[type(op)](*operands)]

    replace_ops(func, expanded)


@dataclass(frozen=True)
class ExpandMath(ModulePass):
    """Expands the elementary functions in all kernels of level `loops`, of scalars and of vectors.

    What is left of `math` are instructions of WebAssembly: sqrt, floor, ceil, trunc, roundeven, absf, copysign.
    """

    name = "expand-math"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for func in op.ops:
            if isinstance(func, kernel.FuncOp) and func.is_lowered:
                expand(func)
