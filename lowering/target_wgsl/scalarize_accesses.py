"""`wgsl-scalarize-accesses`: vector loads and stores of scalar memory, element by element."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import arith, memref, vector
from xdsl.dialects.builtin import ModuleOp, VectorType
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.wgsl import ComposeOp
from webdnn.lowering.target_wgsl.values import Emitter


@dataclass(frozen=True)
class WGSLScalarizeAccessesPass(ModulePass):
    """WGSL reads a vector only from an array of vectors: any other vector is put together from its elements."""

    name = "wgsl-scalarize-accesses"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for kernel in op.ops:
            if not isinstance(kernel, FuncOp) or not kernel.is_lowered:
                continue
            for inner in list(kernel.body.walk()):
                if isinstance(inner, vector.LoadOp | vector.StoreOp):
                    scalarize(inner)


def scalarize(op: vector.LoadOp | vector.StoreOp) -> None:
    """Replace one access."""
    block = op.parent_block()
    assert block is not None
    emitter = Emitter(block, op)
    index = op.indices[0]

    def position(lane: int) -> SSAValue:
        if not lane:
            return index
        return emitter.add(arith.AddiOp(index, emitter.constant(lane, index.type)))

    if isinstance(op, vector.LoadOp):
        type = op.result.type
        assert isinstance(type, VectorType)
        elements = [
            emitter.add(memref.LoadOp.get(op.base, [position(i)]))
            for i in range(type.get_shape()[0])
        ]
        whole = emitter.add(ComposeOp(elements, type))
        whole.name_hint = op.result.name_hint
        op.result.replace_all_uses_with(whole)
    else:
        type = op.vector.type
        assert isinstance(type, VectorType)
        for i in range(type.get_shape()[0]):
            element = emitter.add(vector.ExtractOp(op.vector, [i], type.element_type))
            block.insert_op_before(memref.StoreOp.get(element, op.base, [position(i)]), op)
    op.detach()
    op.erase()
