"""The remainder of floats. WGSL's `%` rounds the quotient before it is cut off."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.dialects import arith, scf, vector
from xdsl.dialects.builtin import IndexType, VectorType, i32
from xdsl.ir import Block, Region

from webdnn.lowering.float_remainder import remainder_bits
from webdnn.lowering.target_wgsl.values import Emitter, Value


def remainder(x: Value, y: Value) -> Value:
    """x - y * trunc(x / y), exactly, in f32. (A device that flushes numbers below the normal ones reads them as 0.)"""
    bits = remainder_bits(x.bits(), y.bits(), mantissa=23, exponent=8, repeat=_repeat)
    return bits.from_bits()


def _repeat(times: Value, start: Value, step: Callable[[Value], Value]) -> Value:
    emitter = start.emitter
    index = IndexType()
    body = Block(arg_types=[index, start.type])
    inside = Emitter(body)
    value = inside.value(body.args[1])
    following = step(value)
    if isinstance(start.type, VectorType):
        number = inside.add(arith.IndexCastOp(body.args[0], i32))
        number = inside.value(inside.add(vector.BroadcastOp(number, start.type)))
        following = (number < times).select(following, value)
    body.add_op(scf.YieldOp(following.ssa))
    end = emitter.add(arith.IndexCastOp(_greatest(times).ssa, index))
    zero, one = emitter.constant(0, index), emitter.constant(1, index)
    return emitter.value(emitter.add(scf.ForOp(zero, end, one, [start.ssa], Region(body))))


def _greatest(x: Value) -> Value:
    """The greatest lane of a vector."""
    if not isinstance(x.type, VectorType):
        return x
    first, *others = (
        x.emitter.value(x.emitter.add(vector.ExtractOp(x.ssa, [lane], i32)))
        for lane in range(x.type.get_shape()[0])
    )
    for other in others:
        first = first.maximum(other)
    return first
