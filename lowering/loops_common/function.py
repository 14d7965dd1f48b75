"""The shell of a lowered kernel: destination-passing form over flat memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xdsl.dialects.builtin import DYNAMIC_INDEX, IndexType, MemRefType
from xdsl.ir import Attribute, Block, Region

from webdnn.dialects.kernel import FuncOp, ReturnOp, ScheduleAttr
from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.loops_common.expression import Load, Store
from webdnn.lowering.loops_common.linear import span


def begin_function(func: FuncOp, accesses: Iterable[Load | Store]) -> Block:
    """A block with an index for each symbol of the kernel's sizes, then one memref for each input and each result; the
    buffers of its accesses get them as values."""
    types = [*func.function_type.inputs, *func.function_type.outputs]
    sizes = [IndexType()] * len(func.symbols)
    memrefs = [_memref(t, func.strides_of(i)) for i, t in enumerate(types)]
    block = Block(arg_types=[*sizes, *memrefs])
    for access in accesses:
        if (number := access.buffer.argument) is not None:
            access.buffer.value = block.args[len(sizes) + number]
    return block


def end_function(
    func: FuncOp,
    block: Block,
    schedule: ScheduleAttr | None = None,
    *,
    grid: tuple[int, int, int] | None = None,
    workgroup: tuple[int, int, int] | None = None,
) -> FuncOp:
    """The lowered kernel, of the same name and attributes."""
    block.add_op(ReturnOp())
    lowered = FuncOp(
        func.sym_name.data,
        ([a.type for a in block.args], []),
        Region(block),
        schedule=schedule,
        num_outputs=len(func.function_type.outputs),
        symbols=func.symbols,
        grid=grid,
        workgroup=workgroup,
        attributes=func.attributes,
    )
    lowered.location = func.location
    return lowered


def _memref(type: Attribute, strides: Sequence[int]) -> MemRefType:
    count = span(shape_of(type), strides)
    return MemRefType(element_of(type), [DYNAMIC_INDEX if is_symbolic(count) else count])
