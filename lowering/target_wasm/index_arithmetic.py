"""`arith` on values of type `index`: as on i32, with what is known of their range made known to LLVM.

WebAssembly's loads and stores add a constant offset without wrapping, so LLVM may fold a constant into them only where
it can prove that the address before it does not wrap. All bounds of loops are constants here, which makes the proof
easy: intervals give the `nuw` and `nsw` flags, and sums remember their constant part. Of a kernel whose sizes are
symbols intervals are only what the ranges of the symbols say; but a program refuses sizes at which its memory would be
2 GiB, and so no natural number that is part of an address leaves 31 bits (`Emitter.sizes_fit`).
"""

from __future__ import annotations

from collections.abc import Callable

from xdsl.dialects import arith, llvm
from xdsl.dialects.builtin import IndexType, IntegerAttr, IntegerType, i32
from xdsl.ir import Operation, SSAValue

from webdnn.lowering.target_wasm import ops
from webdnn.lowering.target_wasm.emitter import Emitter
from webdnn.lowering.target_wasm.intervals import FULL, INT_MAX, Interval


def is_index(value: SSAValue) -> bool:
    """Whether the value is a scalar of type `index`."""
    return isinstance(value.type, IndexType)


def constant(emitter: Emitter, op: arith.ConstantOp) -> None:
    """An `index` constant."""
    assert isinstance(op.value, IntegerAttr)
    value = op.value.value.data
    emitter.set(op.result, emitter.int(value))
    emitter.intervals[op.result] = Interval(value, value)
    emitter.sums[op.result] = (None, value)


def _flags(result: Interval, *operands: Interval) -> int:
    if not result.fits:
        return ops.NO_WRAP
    if result.is_natural and all(i.is_natural for i in operands):
        return ops.SIGNED_AND_UNSIGNED
    return ops.SIGNED


_COMBINE: dict[
    type[Operation],
    tuple[
        type[llvm.AddOp] | type[llvm.SubOp] | type[llvm.MulOp],
        Callable[[Interval, Interval], Interval],
    ],
] = {
    arith.AddiOp: (llvm.AddOp, Interval.__add__),
    arith.SubiOp: (llvm.SubOp, Interval.__sub__),
    arith.MuliOp: (llvm.MulOp, Interval.__mul__),
}


def binary(emitter: Emitter, op: Operation) -> None:
    """`addi`, `subi` and `muli`."""
    make, combine = _COMBINE[type(op)]
    lhs, rhs = op.operands
    a, b = emitter.interval(lhs), emitter.interval(rhs)
    exact = combine(a, b)
    if (
        emitter.sizes_fit
        and a.is_natural
        and b.is_natural
        and 0 <= exact.low <= INT_MAX < exact.high
    ):
        exact = Interval(exact.low, INT_MAX)
    lowered = emitter.binary(make, emitter.get(lhs), emitter.get(rhs), _flags(exact, a, b))
    emitter.set(op.results[0], lowered)
    emitter.intervals[op.results[0]] = exact.clamped()
    if isinstance(op, arith.AddiOp) and exact.fits and a.is_natural and b.is_natural:
        _remember_sum(emitter, op, a, b)


def _remember_sum(emitter: Emitter, op: arith.AddiOp, a: Interval, b: Interval) -> None:
    """Notes `x + constant`, through chains of such sums, for the addresses that are made of it."""
    for value, other in ((op.lhs, b), (op.rhs, a)):
        if other.low == other.high:
            base, offset = emitter.sums.get(value, (value, 0))
            emitter.sums[op.result] = (base, offset + other.low)
            return


def divide(emitter: Emitter, op: Operation) -> bool:
    """Division or remainder where both operands are known to be natural, by an unsigned instruction.

    Returns:
        Whether the op was lowered; if not, the general way (with its guards) is needed.
    """
    lhs, rhs = op.operands
    a, b = emitter.interval(lhs), emitter.interval(rhs)
    if not (a.is_natural and b.low > 0):
        return False
    x, y = emitter.get(lhs), emitter.get(rhs)
    if isinstance(op, arith.RemUIOp | arith.RemSIOp):
        result, interval = emitter.binary(llvm.URemOp, x, y), Interval(0, min(a.high, b.high - 1))
    elif isinstance(op, arith.CeilDivSIOp | arith.CeilDivUIOp):
        if a.high + b.high - 1 <= FULL.high:
            less = emitter.binary(llvm.SubOp, y, emitter.int(1))
            result = emitter.binary(llvm.UDivOp, emitter.binary(llvm.AddOp, x, less), y)
        elif emitter.sizes_fit:
            inexact = emitter.icmp("ne", emitter.binary(llvm.URemOp, x, y), emitter.int(0))
            quotient = emitter.binary(llvm.UDivOp, x, y)
            next = emitter.binary(llvm.AddOp, quotient, emitter.int(1))
            result = emitter.select(inexact, next, quotient)
        else:
            return False
        interval = Interval(-(-a.low // b.high), -(-a.high // b.low))
    else:
        result, interval = (
            emitter.binary(llvm.UDivOp, x, y),
            Interval(a.low // b.high, a.high // b.low),
        )
    emitter.set(op.results[0], result)
    emitter.intervals[op.results[0]] = interval
    return True


def note_min_max(emitter: Emitter, op: Operation) -> None:
    """The range of a minimum or maximum that has been lowered."""
    a, b = (emitter.interval(v) for v in op.operands)
    signed = isinstance(op, arith.MinSIOp | arith.MaxSIOp) or (a.is_natural and b.is_natural)
    if signed:
        minimum = isinstance(op, arith.MinSIOp | arith.MinUIOp)
        emitter.intervals[op.results[0]] = a.minimum(b) if minimum else a.maximum(b)


def cast(emitter: Emitter, op: arith.IndexCastOp) -> None:
    """Between an integer (read with its sign) and an index."""
    source = emitter.get(op.input)
    type = i32 if is_index(op.result) else op.result.type
    emitter.set(op.result, emitter.resize(source, type))
    assert isinstance(source.type, IntegerType)
    width = source.type.width.data
    if is_index(op.result) and width < 32:
        emitter.intervals[op.result] = Interval(-(2 ** (width - 1)), 2 ** (width - 1) - 1)
