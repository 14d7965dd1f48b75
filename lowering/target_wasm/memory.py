"""`memref` and the loads and stores of `vector` to the `llvm` dialect."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects import llvm, memref, vector
from xdsl.dialects.builtin import DYNAMIC_INDEX, IntegerType, MemRefType
from xdsl.ir import Attribute, Operation, SSAValue

from webdnn.lowering.target_wasm import ops
from webdnn.lowering.target_wasm.emitter import Emitter, Handler
from webdnn.lowering.target_wasm.types import byte_size, memory_type
from webdnn.lowering.value_notation import element_type, with_element

_STACK_ALIGNMENT = 16


def _address(emitter: Emitter, ref: SSAValue, indices: Sequence[SSAValue]) -> SSAValue:
    """The address of an element; a constant part of the index comes last, where an instruction can hold it."""
    assert isinstance(ref.type, MemRefType)
    (index,) = indices
    (count,) = ref.type.get_shape()
    element = memory_type(ref.type.element_type)
    # LLVM reads offsets with a sign, and may only be told of no overflow where there is none. What has no known length
    # is part of a memory that is at most that large.
    is_short = count * byte_size(ref.type.element_type) < 2**31
    inbounds = count == DYNAMIC_INDEX or is_short

    variable, constant = emitter.sums.get(index, (index, 0))
    base = emitter.get(ref)
    if variable is not None:
        base = emitter.add(ops.address(base, emitter.get(variable), element, inbounds=inbounds))
    if constant == 0:
        return base
    return emitter.add(ops.address(base, constant, element, inbounds=inbounds))


def _is_truth(type: Attribute) -> bool:
    element = element_type(type)
    return isinstance(element, IntegerType) and element.width.data == 1


def _load(emitter: Emitter, op: Operation) -> None:
    ref, *indices = op.operands
    type = op.results[0].type
    stored = with_element(type, memory_type(element_type(type)))
    address = _address(emitter, ref, indices)
    value = emitter.add(ops.load(address, stored, byte_size(element_type(type))))
    if _is_truth(type):
        value = emitter.icmp("ne", value, emitter.int(0, stored))
    emitter.set(op.results[0], value)


def _store(emitter: Emitter, op: Operation) -> None:
    value, ref, *indices = op.operands
    lowered = emitter.get(value)
    type = value.type
    if _is_truth(type):
        lowered = emitter.add(
            llvm.ZExtOp(lowered, with_element(type, memory_type(element_type(type))))
        )
    address = _address(emitter, ref, indices)
    emitter.block.add_op(ops.store(lowered, address, byte_size(element_type(type))))


def _alloca(emitter: Emitter, op: Operation) -> None:
    assert isinstance(op, memref.AllocaOp)
    type = op.memref.type
    assert isinstance(type, MemRefType)
    (count,) = type.get_shape()
    element = memory_type(type.element_type)
    emitter.set(op.memref, emitter.stack_slot(count, element, _STACK_ALIGNMENT))


def alloca_bytes(op: memref.AllocaOp) -> int:
    """The room that an allocation takes in the frame."""
    type = op.memref.type
    assert isinstance(type, MemRefType)
    (count,) = type.get_shape()
    size = count * byte_size(type.element_type)
    return -(-size // _STACK_ALIGNMENT) * _STACK_ALIGNMENT


HANDLERS: dict[type[Operation], Handler] = {
    memref.LoadOp: _load,
    memref.StoreOp: _store,
    memref.AllocaOp: _alloca,
    vector.LoadOp: _load,
    vector.StoreOp: _store,
}
