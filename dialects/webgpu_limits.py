"""What every WebGPU device guarantees, in one place (WebGPU specification, section 3.6.2, "Limits")."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WebGPULimits:
    """What a device can do; the defaults are those that every WebGPU device guarantees.

    Args:
        invocations: invocations of a workgroup.
        workgroup_x, workgroup_y, workgroup_z: the size of a workgroup in each dimension.
        workgroup_storage: bytes of workgroup memory of a kernel.
        function_storage: bytes of an invocation's own arrays (a limit of WGSL itself).
        storage_buffers: storage buffers of a kernel.
        workgroups: workgroups in each dimension of a grid.
        binding_bytes: bytes of one binding.
        buffer_bytes: bytes of one buffer.
        offset_alignment: what the offset of a binding in its buffer is a multiple of.
    """

    invocations: int = 256
    workgroup_x: int = 256
    workgroup_y: int = 256
    workgroup_z: int = 64
    workgroup_storage: int = 16 * 1024
    function_storage: int = 8 * 1024
    storage_buffers: int = 8
    workgroups: int = 65_535
    binding_bytes: int = 128 * 1024 * 1024
    buffer_bytes: int = 256 * 1024 * 1024
    offset_alignment: int = 256


GUARANTEED = WebGPULimits()
"""The limits that a package may count on without asking."""

MOST_BUFFER_BYTES = 2**32
"""What no adapter goes beyond: an index in WGSL has 32 bits, so bytes after these could not be reached."""
