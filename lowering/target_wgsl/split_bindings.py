"""`wgsl-split-bindings`: an operand of more bytes than one binding holds is bound in parts.

By default a binding holds 128 MiB (`maxStorageBufferBindingSize`). The memory of a tensor stays as it is: only what a
kernel sees of it becomes several arrays of one length (the last one may be shorter), and each access chooses among them
by its index. So whatever an operator does with a large tensor, it needs no rule of its own. An operand whose size
depends on symbols is bound whole, since most runs are far below the bound: whether the device binds as much is for the
run to see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import arith, memref, scf
from xdsl.dialects.builtin import FunctionType, IntegerAttr, MemRefType, ModuleOp, i64
from xdsl.ir import Attribute, Block, BlockArgument, Operation, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.webgpu_limits import WebGPULimits
from webdnn.dialects.wgsl import PART_BYTES
from webdnn.lowering.target_wgsl.values import Emitter
from webdnn.lowering.target_wgsl.verify_limits import memory_bytes

_LARGEST_PART = 2**30
"""The largest power of two that some devices bind at once: 2 GiB less 4 bytes is the most that any does."""


@dataclass(frozen=True)
class WGSLSplitBindingsPass(ModulePass):
    """Sets `wgsl.part_bytes` on the kernels that it changes: operands of more bytes are bound in parts of that size.

    Where all parts are more than `storage_buffers`, parts are as much larger as need be (and the package then asks for
    a device that binds so much).

    Args: see `WebGPULimits`.
    """

    name = "wgsl-split-bindings"

    binding_bytes: int = WebGPULimits.binding_bytes
    storage_buffers: int = WebGPULimits.storage_buffers

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for kernel in op.ops:
            if isinstance(kernel, FuncOp) and kernel.is_lowered:
                split_bindings(kernel, self.binding_bytes, self.storage_buffers)


def split_bindings(kernel: FuncOp, binding_bytes: int, storage_buffers: int) -> None:
    """Split the operands of one kernel that are larger than a binding."""
    memories = kernel.memories
    sizes = [memory_bytes(m.type) for m in memories]
    if max(sizes, default=0) <= binding_bytes:
        return
    part = binding_bytes
    while sum(_parts(size, part) for size in sizes) > storage_buffers and part < _LARGEST_PART:
        part *= 2
    if max(sizes) <= part:
        return
    outputs = 0 if kernel.num_outputs is None else kernel.num_outputs.value.data
    for argument, size in zip(memories, sizes, strict=True):
        if size > part:
            assert isinstance(argument, BlockArgument)
            if argument.index >= len(kernel.body.block.args) - outputs:
                outputs += _parts(size, part) - 1
            _split(argument, part // (size // _length(argument.type)))
    types = [a.type for a in kernel.body.block.args]
    kernel.function_type = FunctionType.from_lists(types, [])
    kernel.num_outputs = IntegerAttr(outputs, i64)
    kernel.attributes[PART_BYTES] = IntegerAttr(part, i64)


def _parts(size: int, part: int) -> int:
    return max(-(-size // part), 1)


def _length(type: Attribute) -> int:
    assert isinstance(type, MemRefType)
    return type.get_shape()[0]


def _split(memory: SSAValue, length: int) -> None:
    """Replace an argument of a kernel by parts of `length` elements."""
    block = memory.owner
    assert isinstance(block, Block) and isinstance(memory.type, MemRefType)
    index = block.args.index(memory)
    parts: list[SSAValue] = []
    for number, start in enumerate(range(0, _length(memory.type), length)):
        rest = min(length, _length(memory.type) - start)
        type = MemRefType(memory.type.element_type, [rest])
        part = block.insert_arg(type, index + 1 + number)
        part.name_hint = memory.name_hint and f"{memory.name_hint}_part{number}"
        parts.append(part)
    for use in list(memory.uses):
        _access(use.operation, parts, length)
    block.erase_arg(block.args[index])


def _access(op: Operation, parts: Sequence[SSAValue], length: int) -> None:
    """An access of the whole as one of the part in which its index lies."""
    block = op.parent_block()
    assert block is not None and isinstance(op, memref.LoadOp | memref.StoreOp)
    (index,) = op.indices
    results = [r.type for r in op.results]

    def of_part(emitter: Emitter, number: int) -> Sequence[SSAValue]:
        place = index
        if number:
            start = emitter.constant(number * length, index.type)
            place = emitter.add(arith.SubiOp(index, start))
        if isinstance(op, memref.LoadOp):
            return (emitter.add(memref.LoadOp.get(parts[number], [place])),)
        emitter.insert(memref.StoreOp.get(op.value, parts[number], [place]))
        return ()

    def from_part(emitter: Emitter, number: int) -> Sequence[SSAValue]:
        if number == len(parts) - 1:
            return of_part(emitter, number)
        bound = emitter.constant((number + 1) * length, index.type)
        inside = emitter.add(arith.CmpiOp(index, bound, "ult"))
        here, beyond = _branch(of_part, number), _branch(from_part, number + 1)
        chosen = scf.IfOp(inside, results, here, beyond)
        emitter.insert(chosen)
        return chosen.output

    values = from_part(Emitter(block, op), 0)
    for old, new in zip(op.results, values, strict=True):
        new.name_hint = old.name_hint
        old.replace_all_uses_with(new)
    Rewriter.erase_op(op)


def _branch(emit: Callable[[Emitter, int], Sequence[SSAValue]], number: int) -> Region:
    block = Block()
    block.add_op(scf.YieldOp(*emit(Emitter(block), number)))
    return Region(block)
