"""The shell of a lowered kernel: destination-passing form over flat memory."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from xdsl.dialects.builtin import MemRefType, TensorType
from xdsl.ir import Attribute, Block, Region

from webdnn.dialects.kernel import FuncOp, ReturnOp
from webdnn.lowering.loops_common.emitter import Emitter
from webdnn.lowering.loops_common.expression import Buffer
from webdnn.lowering.loops_common.stages import Group


def argument_buffers(func: FuncOp, groups: Sequence[Group]) -> dict[int, list[Buffer]]:
    """The buffers of each operand of the lowered kernel that its stages use."""
    found: dict[int, dict[int, Buffer]] = {}
    for group in groups:
        for stage in group.stages:
            for buffer in [access.buffer for access in (*stage.stores, *stage.loads())]:
                if buffer.argument is not None:
                    found.setdefault(buffer.argument, {})[id(buffer)] = buffer
    return {number: list(buffers.values()) for number, buffers in found.items()}


def begin_function(func: FuncOp, groups: Sequence[Group]) -> Emitter:
    """An emitter on a block with one memref for each input and each result of the kernel; the buffers get
    them as values."""
    types = [*func.function_type.inputs, *func.function_type.outputs]
    block = Block(arg_types=[_memref(t, func.strides_of(i)) for i, t in enumerate(types)])
    emitter = Emitter(block)
    for number, buffers in argument_buffers(func, groups).items():
        for buffer in buffers:
            buffer.value = block.args[number]
    return emitter


def end_function(func: FuncOp, emitter: Emitter) -> FuncOp:
    """The lowered kernel, of the same name and attributes."""
    emitter.append(ReturnOp())
    return FuncOp(
        func.sym_name.data,
        ([a.type for a in emitter.block.args], []),
        Region(emitter.block),
        schedule=func.schedule,
        num_outputs=len(func.function_type.outputs),
        attributes=func.attributes,
    )


def _memref(type: Attribute, strides: Sequence[int]) -> MemRefType:
    assert isinstance(type, TensorType)
    shape = type.get_shape()
    count = prod(shape)
    if strides and count:  # from the first to the last element
        count = 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    return MemRefType(type.element_type, [count])
