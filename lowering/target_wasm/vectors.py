"""`vector` (but for its loads and stores) to the `llvm` dialect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xdsl.dialects import llvm, vector
from xdsl.dialects import math as xmath
from xdsl.dialects.builtin import (
    Float32Type,
    Float64Type,
    VectorType,
    i32,
)
from xdsl.dialects.utils.fast_math import FastMathFlag
from xdsl.ir import Attribute, Operation, SSAValue

from webdnn.dialects import llvm_ext, vector_ext
from webdnn.lowering.target_wasm import ops
from webdnn.lowering.target_wasm.arithmetic import has_flag, min_max_float
from webdnn.lowering.target_wasm.emitter import Emitter, Handler
from webdnn.lowering.target_wasm.types import convert_type, lanes
from webdnn.lowering.value_notation import element_type


def shuffle(emitter: Emitter, x: SSAValue, y: SSAValue, mask: Sequence[int]) -> SSAValue:
    """The lanes of `x` and `y`, one after the other, that `mask` names; -1 names any lane."""
    assert isinstance(x.type, VectorType)
    type = ops.vector_type(x.type.element_type, len(mask))
    return emitter.add(ops.shuffle(x, y, [max(lane, 0) for lane in mask], type))


def splat(emitter: Emitter, scalar: SSAValue, type: VectorType[Any]) -> SSAValue:
    """A vector with the scalar in each lane."""
    undef = emitter.undef(type)
    first = emitter.add(ops.insert_element(undef, scalar, emitter.int(0)))
    return shuffle(emitter, first, undef, [0] * type.get_shape()[0])


def _broadcast(emitter: Emitter, op: Operation) -> None:
    assert isinstance(op, vector.BroadcastOp)
    source, type = emitter.get(op.source), convert_type(op.vector.type)
    assert isinstance(type, VectorType)
    if isinstance(source.type, VectorType):
        mask = [0] * type.get_shape()[0] if lanes(source.type) == 1 else None
        result = source if mask is None else shuffle(emitter, source, source, mask)
    else:
        result = splat(emitter, source, type)
    emitter.set(op.vector, result)


def _position(emitter: Emitter, op: vector.ExtractOp | vector.InsertOp) -> SSAValue:
    (position,) = op.get_mixed_position()
    return emitter.int(position) if isinstance(position, int) else emitter.get(position)


def _extract(emitter: Emitter, op: Operation) -> None:
    assert isinstance(op, vector.ExtractOp)
    index = _position(emitter, op)
    element = emitter.add(llvm_ext.ExtractElementOp(emitter.get(op.vector), index))
    emitter.set(op.result, element)


def _insert(emitter: Emitter, op: Operation) -> None:
    assert isinstance(op, vector.InsertOp)
    index = _position(emitter, op)
    dest, source = emitter.get(op.dest), emitter.get(op.source)
    emitter.set(op.result, emitter.add(ops.insert_element(dest, source, index)))


def _shuffle(emitter: Emitter, op: Operation) -> None:
    assert isinstance(op, vector.ShuffleOp)
    mask = [int(i) for i in op.mask.get_values()]
    x, y = emitter.get(op.v1), emitter.get(op.v2)
    if lanes(x.type) != lanes(y.type):
        x, y, mask = _same_length(emitter, x, y, mask)
    emitter.set(op.result, shuffle(emitter, x, y, mask))


def _same_length(
    emitter: Emitter, x: SSAValue, y: SSAValue, mask: list[int]
) -> tuple[SSAValue, SSAValue, list[int]]:
    """LLVM shuffles vectors of one length only: the shorter one gets lanes that nobody reads."""
    nx, ny = lanes(x.type), lanes(y.type)
    assert nx is not None and ny is not None
    length = max(nx, ny)
    if nx < length:
        mask = [i if i < nx else i - nx + length for i in mask]
        x = shuffle(emitter, x, x, [*range(nx), *[-1] * (length - nx)])
    else:
        y = shuffle(emitter, y, y, [*range(ny), *[-1] * (length - ny)])
    return x, y, mask


def _fma(emitter: Emitter, op: Operation) -> None:
    """A multiply and an add, or (relaxed) one instruction that may or may not round in between."""
    a, b, c = (emitter.get(v) for v in op.operands)
    result = op.results[0]
    emitter.set(result, multiply_add(emitter, a, b, c, in_order=_is_accumulated(op)))


def _dot(emitter: Emitter, op: Operation) -> None:
    """`i32x4.dot_i16x8_s` and an addition, for vectors of four sums."""
    a, b, c = (emitter.get(v) for v in op.operands)
    count = lanes(c.type)
    assert count is not None
    in_order = _is_accumulated(op)
    part = ops.vector_type(i32, _DOT_LANES)
    parts: list[SSAValue] = []
    for start in range(0, count, _DOT_LANES):
        x, y, z = a, b, c
        if count != _DOT_LANES:
            end = min(start + _DOT_LANES, count)
            wide = [min(i, 2 * end - 1) for i in range(2 * start, 2 * (start + _DOT_LANES))]
            x, y = (shuffle(emitter, v, v, wide) for v in (a, b))
            z = shuffle(emitter, c, c, [min(i, end - 1) for i in range(start, start + _DOT_LANES)])
        products = emitter.intrinsic("llvm.wasm.dot", [x, y], part)
        result = emitter.binary(llvm.AddOp, products, z)
        parts.append(_in_order(emitter, result) if in_order else result)
    result = concatenate(emitter, parts)
    if count % _DOT_LANES:
        result = shuffle(emitter, result, result, list(range(count)))
    emitter.set(op.results[0], result)


_DOT_LANES = 4


def _is_accumulated(op: Operation) -> bool:
    """Whether a later multiply-add of the same block adds to this one's result (an unrolled sum)."""
    return any(
        use.index == 2
        and isinstance(user := use.operation, vector.FMAOp | vector_ext.DotOp)
        and user.parent is op.parent
        for use in op.results[0].uses
    )


def _in_order(emitter: Emitter, value: SSAValue) -> SSAValue:
    """Keeps what comes before the value's definition before what comes after it, at no cost at run time.

    LLVM's back end for WebAssembly moves a value that is used once to its use. In an unrolled
    sum it would put one accumulator's multiply-adds together, one behind the other, and keep
    all that they read alive over all others: far more registers than there are.
    """
    return emitter.add(llvm.InlineAsmOp("", "=r,0", [value], [value.type], has_side_effects=True))


_MADD_LANES: dict[type[Attribute], int] = {Float32Type: 4, Float64Type: 2}


def multiply_add(
    emitter: Emitter, a: SSAValue, b: SSAValue, c: SSAValue, *, in_order: bool = False
) -> SSAValue:
    """`a * b + c`, by relaxed SIMD for vectors where the target has it.

    Args:
        in_order: keep the order of the program around this instruction.
    """
    element, count = element_type(a.type), lanes(a.type)
    width = _MADD_LANES.get(type(element))
    if count is None or width is None or count % width:
        return emitter.binary(llvm.FAddOp, emitter.binary(llvm.FMulOp, a, b), c)
    part = ops.vector_type(element, width)
    parts: list[SSAValue] = []
    for start in range(0, count, width):
        x, y, z = a, b, c
        if count > width:
            mask = list(range(start, start + width))
            x, y, z = (shuffle(emitter, v, v, mask) for v in (a, b, c))
        if emitter.relaxed:
            result = emitter.intrinsic("llvm.wasm.relaxed.madd.{}", [x, y, z], part)
        else:
            result = emitter.binary(llvm.FAddOp, emitter.binary(llvm.FMulOp, x, y), z)
        parts.append(_in_order(emitter, result) if in_order else result)
    return concatenate(emitter, parts)


def concatenate(emitter: Emitter, parts: list[SSAValue]) -> SSAValue:
    """Vectors of one length, one after the other."""
    while len(parts) > 1:
        joined: list[SSAValue] = []
        for i in range(0, len(parts) - 1, 2):
            x, y = parts[i], parts[i + 1]
            nx, ny = lanes(x.type), lanes(y.type)
            assert nx is not None and ny is not None
            mask = list(range(nx + ny))
            if nx != ny:
                x, y, mask = _same_length(emitter, x, y, mask)
            joined.append(shuffle(emitter, x, y, mask))
        if len(parts) % 2:
            joined.append(parts[-1])
        parts = joined
    return parts[0]


_REDUCE_INTEGER = {
    "add": llvm.AddOp,
    "mul": llvm.MulOp,
    "and": llvm.AndOp,
    "or": llvm.OrOp,
    "xor": llvm.XOrOp,
}
_REDUCE_FLOAT = {"add": llvm.FAddOp, "mul": llvm.FMulOp}
_MIN_MAX = {"minsi": "smin", "maxsi": "smax", "minui": "umin", "maxui": "umax"}


def _combine(
    emitter: Emitter, kind: str, x: SSAValue, y: SSAValue, *, no_nans: bool = False
) -> SSAValue:
    if kind in _MIN_MAX:
        return emitter.intrinsic(f"llvm.{_MIN_MAX[kind]}.{{}}", [x, y], x.type)
    if kind in ("maximumf", "minimumf", "maxnumf", "minnumf"):
        return min_max_float(emitter, kind, x, y, no_nans=no_nans)
    is_float = isinstance(element_type(x.type), Float32Type | Float64Type)
    make: Any = (_REDUCE_FLOAT if is_float else _REDUCE_INTEGER)[kind]
    return emitter.binary(make, x, y)


def _reduction(emitter: Emitter, op: Operation) -> None:
    """By halves, as a tree: the order of a sum is ours to choose, and this one is fast and accurate."""
    assert isinstance(op, vector.ReductionOp)
    kind, no_nans = op.kind.data.value, has_flag(op, FastMathFlag.NO_NANS)
    value = emitter.get(op.vector)
    count = lanes(value.type)
    assert count is not None
    rest: list[SSAValue] = []
    while count > 1:
        half = count // 2
        if count % 2:
            last = emitter.add(llvm_ext.ExtractElementOp(value, emitter.int(count - 1)))
            rest.append(last)
        low = shuffle(emitter, value, value, list(range(half)))
        high = shuffle(emitter, value, value, list(range(half, 2 * half)))
        value = _combine(emitter, kind, low, high, no_nans=no_nans)
        count = half
    result = emitter.add(llvm_ext.ExtractElementOp(value, emitter.int(0)))
    for scalar in rest:
        result = _combine(emitter, kind, result, scalar, no_nans=no_nans)
    if op.acc is not None:
        result = _combine(emitter, kind, emitter.get(op.acc), result, no_nans=no_nans)
    emitter.set(op.dest, result)


def _bitcast(emitter: Emitter, op: Operation) -> None:
    source, type = emitter.get(op.operands[0]), convert_type(op.results[0].type)
    result = source if source.type == type else emitter.add(llvm.BitcastOp(source, type))
    emitter.set(op.results[0], result)


HANDLERS: dict[type[Operation], Handler] = {
    vector.BroadcastOp: _broadcast,
    vector.ExtractOp: _extract,
    vector.InsertOp: _insert,
    vector.ShuffleOp: _shuffle,
    vector.FMAOp: _fma,
    vector_ext.DotOp: _dot,
    vector.ReductionOp: _reduction,
    vector.BitcastOp: _bitcast,
    xmath.FmaOp: _fma,
}
