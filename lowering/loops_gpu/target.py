"""WebGPU, as far as the lowering knows it."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import Attribute, SSAValue

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp, panels_of
from webdnn.dialects.sizes.expression import is_symbolic, maximum
from webdnn.dialects.sizes.questions import divides
from webdnn.dialects.sizes.types import element_of, size_of
from webdnn.dialects.webgpu_limits import WebGPULimits
from webdnn.lowering.loops_gpu.read_kernel import read_kernel
from webdnn.lowering.loops_gpu.schedules import schedule_for
from webdnn.lowering.loops_gpu.strategy import from_attribute, to_attribute
from webdnn.lowering.loops_gpu.tiles import WIDTH
from webdnn.lowering.target import LoweringTarget, MemoryModel, register


class GPUMemory(MemoryModel):
    """Storage buffers."""

    def tensor_bytes(self, type: Attribute) -> int:
        """See `MemoryModel`. What has any number of vectors may be bound as an array of them: of that, one at least."""
        count = size_of(type)
        if is_symbolic(count) and divides(WIDTH, count):
            return maximum(count, WIDTH) * self.element_bytes(element_of(type))
        return super().tensor_bytes(type)

    def _operand_count(self, value: SSAValue) -> int:
        """One where the size depends on symbols: it is bound whole."""
        return 1 if is_symbolic(size_of(value)) else super()._operand_count(value)


class GPUTarget(LoweringTarget):
    """Storage buffers of 32-bit words; workgroups of invocations."""

    name = "webgpu"
    memory = GPUMemory(
        word=4,
        alignment=WebGPULimits.offset_alignment,
        is_linear=False,
        max_operands=WebGPULimits.storage_buffers,
        max_operand_bytes=WebGPULimits.binding_bytes,
    )

    def choose_schedule(self, func: FuncOp) -> None:
        if func.schedule is None:
            func.schedule = to_attribute(schedule_for(read_kernel(func)))

    def check_schedule(self, func: FuncOp, weights: Sequence[int]) -> None:
        name = func.sym_name.data
        if any(panels_of(func) or ()):
            raise WebDNNError("weights have no panels on WebGPU", where=name)
        if func.schedule is not None:
            from_attribute(func.schedule, name)


WEBGPU = register(GPUTarget())
