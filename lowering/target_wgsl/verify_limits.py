"""`verify-wgsl-limits`: refuse a shader that a device would refuse, with the names of the model's nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from xdsl.context import Context
from xdsl.dialects import memref
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    FixedBitwidthType,
    IndexType,
    IntegerType,
    MemRefType,
    ModuleOp,
    StringAttr,
    VectorType,
)
from xdsl.ir import Attribute
from xdsl.passes import ModulePass

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.locations import location_names
from webdnn.dialects.sizes.questions import at_most
from webdnn.dialects.webgpu_limits import GUARANTEED, WebGPULimits
from webdnn.dialects.wgsl import WORKGROUP_SPACE
from webdnn.lowering.value_notation import element_type


@dataclass(frozen=True)
class VerifyWGSLLimitsPass(ModulePass):
    """Checks every kernel of level `target`; one error lists all that is wrong with the first bad kernel.

    Args: see `WebGPULimits`.
    """

    name = "verify-wgsl-limits"

    invocations: int = WebGPULimits.invocations
    workgroup_x: int = WebGPULimits.workgroup_x
    workgroup_y: int = WebGPULimits.workgroup_y
    workgroup_z: int = WebGPULimits.workgroup_z
    workgroup_storage: int = WebGPULimits.workgroup_storage
    function_storage: int = WebGPULimits.function_storage
    storage_buffers: int = WebGPULimits.storage_buffers
    workgroups: int = WebGPULimits.workgroups
    binding_bytes: int = WebGPULimits.binding_bytes

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        limits = WebGPULimits(
            self.invocations,
            self.workgroup_x,
            self.workgroup_y,
            self.workgroup_z,
            self.workgroup_storage,
            self.function_storage,
            self.storage_buffers,
            self.workgroups,
            self.binding_bytes,
        )
        for kernel in op.ops:
            if isinstance(kernel, FuncOp) and kernel.is_lowered:
                verify_limits(kernel, limits)


def verify_limits(kernel: FuncOp, limits: WebGPULimits = GUARANTEED) -> None:
    """Raise an error where the kernel exceeds a limit."""
    problems = list(_problems(kernel, limits))
    if problems:
        raise WebDNNError(
            f"the kernel {kernel.sym_name.data} does not fit WebGPU",
            where=tuple(location_names(kernel.location)),
            why="; ".join(problems),
            hint="a smaller input or batch, or the wasm back end; or change the kernel's schedule, if it is its tiles",
        )


def _problems(kernel: FuncOp, limits: WebGPULimits) -> Iterator[str]:
    if kernel.workgroup is None or kernel.grid is None:
        yield "it has no grid or no workgroup size"
        return
    size = [s.value.data for s in kernel.workgroup.data]
    grid = kernel.grid_sizes
    if len(size) != 3 or len(grid) != 3:
        yield "its grid and its workgroup size must have three dimensions"
        return
    if prod(size) > limits.invocations:
        yield f"a workgroup has {prod(size)} invocations of at most {limits.invocations}"
    bounds = (limits.workgroup_x, limits.workgroup_y, limits.workgroup_z)
    for axis, length, bound in zip("xyz", size, bounds, strict=True):
        if not 1 <= length <= bound:
            yield f"a workgroup is {length} long in {axis}, which must be 1 to {bound}"
    for axis, length in zip("xyz", grid, strict=True):
        if at_most(length) > limits.workgroups:
            yield f"the grid has {at_most(length)} workgroups in {axis} of at most {limits.workgroups}"
    shared = own = 0
    for op in kernel.body.walk():
        if isinstance(op, memref.AllocaOp):
            if _is_shared(op.memref.type):
                shared += memory_bytes(op.memref.type)
            else:
                own += memory_bytes(op.memref.type)
    if shared > limits.workgroup_storage:
        yield f"it needs {shared} bytes of workgroup memory of at most {limits.workgroup_storage}"
    if own > limits.function_storage:
        yield f"an invocation's arrays take {own} bytes of at most {limits.function_storage}"
    buffers = len(kernel.memories)
    if buffers > limits.storage_buffers:
        yield f"it has {buffers} storage buffers of at most {limits.storage_buffers}"
    for number, argument in enumerate(kernel.memories):
        if (size_bytes := memory_bytes(argument.type)) > limits.binding_bytes:
            yield (
                f"operand {argument.name_hint or number} has {size_bytes} bytes of at most "
                f"{limits.binding_bytes} for one binding"
            )


def _is_shared(type: Attribute) -> bool:
    return isinstance(type, MemRefType) and type.memory_space == StringAttr(WORKGROUP_SPACE)


def memory_bytes(type: Attribute) -> int:
    """The bytes of a memref, 0 where its size depends on symbols; WGSL rounds an array of three-element vectors up to
    four."""
    assert isinstance(type, MemRefType)
    if DYNAMIC_INDEX in type.get_shape():
        return 0
    element = type.element_type
    lanes = element.get_shape()[0] if isinstance(element, VectorType) else 1
    lanes = 4 if lanes == 3 else lanes
    return prod(type.get_shape()) * lanes * _scalar_bytes(element_type(element))


def _scalar_bytes(type: Attribute) -> int:
    if isinstance(type, IndexType) or (isinstance(type, IntegerType) and type.width.data == 1):
        return 4
    assert isinstance(type, FixedBitwidthType)
    return -(-type.bitwidth // 8)
