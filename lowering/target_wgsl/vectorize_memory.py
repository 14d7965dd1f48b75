"""`wgsl-vectorize-memory`: memory that is only accessed four aligned elements at a time becomes an array of vectors."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import memref, vector
from xdsl.dialects.builtin import DYNAMIC_INDEX, FunctionType, MemRefType, ModuleOp, VectorType
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from webdnn.dialects.kernel import FuncOp, lengths_of
from webdnn.dialects.sizes.questions import divides
from webdnn.lowering.target_wgsl.divisibility import Divisibility

_SIZE = 4


@dataclass(frozen=True)
class WGSLVectorizeMemoryPass(ModulePass):
    """`memref<Nxf32>` becomes `memref<N/4xvector<4xf32>>` (`array<vec4f, N/4>`), and `memref<?xf32>` of a kernel whose
    `lengths` say that `N` is a multiple of four `memref<?xvector<4xf32>>`. Of these a binding holds one element at
    least, also where `N` is 0.

    All accesses must be of four elements at a multiple of four. That goes for operands and for the
    kernel's own memory alike; the bytes stay where they are.
    """

    name = "wgsl-vectorize-memory"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for kernel in op.ops:
            if isinstance(kernel, FuncOp) and kernel.is_lowered:
                vectorize_memory(kernel)


def vectorize_memory(kernel: FuncOp) -> None:
    """Convert what can be converted in one kernel."""
    analysis = Divisibility()
    memories: list[SSAValue] = list(kernel.memories)
    lengths = dict(zip(memories, lengths_of(kernel), strict=False))
    memories += [op.memref for op in kernel.body.walk() if isinstance(op, memref.AllocaOp)]
    changed = False
    for memory in memories:
        if _is_vectorizable(memory, lengths.get(memory), analysis):
            _convert(memory, analysis)
            changed = True
    if changed:
        types = [a.type for a in kernel.body.block.args]
        kernel.function_type = FunctionType.from_lists(types, [])


def _is_vectorizable(memory: SSAValue, length: int | None, analysis: Divisibility) -> bool:
    type = memory.type
    assert isinstance(type, MemRefType)
    shape = type.get_shape()
    if len(shape) != 1 or memory.first_use is None:
        return False
    if shape[0] != DYNAMIC_INDEX:
        if shape[0] % _SIZE:
            return False
    elif length is None or not divides(_SIZE, length):
        return False
    for use in memory.uses:
        op = use.operation
        if isinstance(op, vector.LoadOp):
            accessed = op.result.type
        elif isinstance(op, vector.StoreOp) and op.base is memory:
            accessed = op.vector.type
        else:
            return False
        assert isinstance(accessed, VectorType)
        if accessed.get_shape() != (_SIZE,) or not analysis.divides(_SIZE, op.indices[0]):
            return False
    return True


def _convert(memory: SSAValue, analysis: Divisibility) -> None:
    type = memory.type
    assert isinstance(type, MemRefType)
    element = VectorType(type.element_type, [_SIZE])
    (count,) = type.get_shape()
    if count != DYNAMIC_INDEX:
        count //= _SIZE
    memory = Rewriter.replace_value_with_new_type(
        memory, MemRefType(element, [count], type.layout, type.memory_space)
    )
    for use in list(memory.uses):
        op = use.operation
        block = op.parent_block()
        assert block is not None and isinstance(op, vector.LoadOp | vector.StoreOp)
        index = analysis.quotient(op.indices[0], _SIZE)
        if isinstance(op, vector.LoadOp):
            new = memref.LoadOp.get(memory, [index])
            new.res.name_hint = op.result.name_hint
            block.insert_op_before(new, op)
            op.result.replace_all_uses_with(new.res)
        else:
            block.insert_op_before(memref.StoreOp.get(op.vector, memory, [index]), op)
        op.detach()
        op.erase()
