"""The form in which the cache keeps a shader, which is what a package for WebGPU holds of a kernel."""

from __future__ import annotations

from dataclasses import asdict

from webdnn.codegen.wgsl.module import KernelInfo, Shader
from webdnn.dialects import kernel
from webdnn.kernel_cache import CacheEntry, are_integers
from webdnn.lowering.loops_gpu.target import WEBGPU


def to_entry(compiled: Shader) -> CacheEntry:
    """The entry of the cache that keeps a shader."""
    (info,) = compiled.kernels
    return CacheEntry({"kernel": asdict(info)}, (compiled.source.encode(),))


def from_entry(entry: CacheEntry, func: kernel.FuncOp) -> Shader | None:
    """The shader of a kernel of stage `kernels` that an entry of the cache holds; None if it holds none."""
    match entry:
        case CacheEntry(
            fields={
                "kernel": {
                    "name": name,
                    "entry_point": str(entry_point),
                    "bindings": list(bindings),
                    "workgroups": list(grid),
                    "workgroup_size": list(size),
                    "features": list(features),
                    "part_bytes": int() | None as part,
                }
            },
            parts=(source,),
        ):
            type = func.function_type
            fits = (
                name == func.sym_name.data
                and all(b in ("read", "read_write") for b in bindings)
                and are_integers(grid, count=3, least=0)
                and are_integers(size, count=3, least=1)
                and all(isinstance(f, str) for f in features)
                and (part is None or are_integers([part], least=1))
            )
            if not fits:
                return None
            try:
                text = source.decode()
            except UnicodeDecodeError:
                return None
            x, y, z = grid
            info = KernelInfo(
                name, entry_point, tuple(bindings), (x, y, z), tuple(size), tuple(features), part
            )
            operands = (*type.inputs, *type.outputs)
            memory = WEBGPU.memory
            count = sum(len(info.parts(memory.tensor_bytes(t))) for t in operands)
            return Shader(text, (info,)) if count == len(bindings) else None
        case _:
            return None
