"""What only a GPU has: workgroup memory, barriers, and the ids of an invocation."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects import gpu, memref
from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Attribute, Block, SSAValue

from webdnn.dialects.sizes.expression import Symbol
from webdnn.lowering.loops_common.emitter import Emitter
from webdnn.lowering.loops_common.linear import Lin


class GPUEmitter(Emitter):
    """Builds the program of one invocation."""

    def __init__(self, block: Block, symbols: Sequence[Symbol] = ()) -> None:
        super().__init__(block, symbols)
        self.workgroup_bytes = 0

    def workgroup_memory(self, type: Attribute, count: int) -> SSAValue:
        """Memory that the invocations of a workgroup share."""
        op = memref.AllocaOp.get(type, shape=[count], memory_space=StringAttr("workgroup"))
        self.block.add_op(op)
        self.workgroup_bytes += count * 4  # WGSL stores no type in less than a word
        return op.memref

    def barrier(self) -> None:
        """Wait until all invocations of the workgroup are here; what they wrote to workgroup memory is seen."""
        self.append(gpu.BarrierOp())

    def identifier(self, kind: type[gpu.ThreadIdOp | gpu.BlockIdOp], axis: int) -> SSAValue:
        """`gpu.thread_id` or `gpu.block_id` along axis 0, 1 or 2."""
        dimension = (gpu.DimensionEnum.X, gpu.DimensionEnum.Y, gpu.DimensionEnum.Z)[axis]
        return self.pure((kind, axis), (), lambda: kind(gpu.DimensionAttr(dimension)))

    def remainder(self, form: Lin, divisor: int) -> Lin:
        # The quotient is needed too, as a rule, and no compiler of shaders makes one division of the two.
        return self.divide(form, divisor)[1]
