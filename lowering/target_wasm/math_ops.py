"""The ops of `math` that WebAssembly has as instructions; `expand-math` makes all others of these."""

from __future__ import annotations

from xdsl.dialects import llvm, math
from xdsl.dialects.builtin import i1
from xdsl.ir import Operation

from webdnn.lowering.target_wasm.emitter import Emitter, Handler

_INTRINSICS: dict[type[Operation], str] = {
    math.AbsFOp: "llvm.fabs.{}",
    math.CeilOp: "llvm.ceil.{}",
    math.FloorOp: "llvm.floor.{}",
    math.TruncOp: "llvm.trunc.{}",
    math.RoundEvenOp: "llvm.roundeven.{}",
    math.SqrtOp: "llvm.sqrt.{}",
    math.CopySignOp: "llvm.copysign.{}",
    math.CtPopOp: "llvm.ctpop.{}",
}


def _intrinsic(emitter: Emitter, op: Operation) -> None:
    args = [emitter.get(v) for v in op.operands]
    emitter.set(op.results[0], emitter.intrinsic(_INTRINSICS[type(op)], args, args[0].type))


def _count_zeros(emitter: Emitter, op: Operation) -> None:
    name = "ctlz" if isinstance(op, math.CountLeadingZerosOp) else "cttz"
    value = emitter.get(op.operands[0])
    of_zero_is_poison = emitter.int(0, i1)
    result = emitter.intrinsic(f"llvm.{name}.{{}}", [value, of_zero_is_poison], value.type)
    emitter.set(op.results[0], result)


def _absi(emitter: Emitter, op: Operation) -> None:
    """The least integer has no absolute value and stays as it is."""
    value = emitter.get(op.operands[0])
    zero = emitter.int(0, value.type)
    negated = emitter.add(llvm.SubOp(zero, value))
    emitter.set(op.results[0], emitter.select(emitter.icmp("slt", value, zero), negated, value))


HANDLERS: dict[type[Operation], Handler] = {
    **dict.fromkeys(_INTRINSICS, _intrinsic),
    math.CountLeadingZerosOp: _count_zeros,
    math.CountTrailingZerosOp: _count_zeros,
    math.AbsIOp: _absi,
}
