"""What a package holds of a kernel, and the form in which the cache keeps it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from webdnn.codegen.wgsl.module import KernelInfo, Shader
from webdnn.dialects import kernel
from webdnn.kernel_cache import CacheEntry, are_integers
from webdnn.lowering.storage_size import tensor_bytes
from webdnn.lowering.target_wasm.launch_calls import KernelWork
from webdnn.stages import Target

WASM_VARIANTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("relaxed-simd", ("simd128", "relaxed-simd")),
    ("simd128", ("simd128",)),
)
"""The wasm modules of a package, best first: name and WebAssembly features."""

_WASM_MAGIC = b"\0asm"


@dataclass(frozen=True)
class WasmKernel:
    """An object file for each of WASM_VARIANTS, the bytes of stack that the kernel's own arrays take, and how its work
    can be shared."""

    objects: tuple[bytes, ...]
    stack_bytes: int
    work: KernelWork | None


CompiledKernel = WasmKernel | Shader


def to_entry(compiled: CompiledKernel) -> CacheEntry:
    """The entry of the cache that keeps a compiled kernel."""
    if isinstance(compiled, Shader):
        (info,) = compiled.kernels
        return CacheEntry({"kernel": asdict(info)}, (compiled.source.encode(),))
    distinct = list(dict.fromkeys(compiled.objects))
    fields = {
        "objects": [distinct.index(content) for content in compiled.objects],
        "stack": compiled.stack_bytes,
        "work": None if compiled.work is None else [compiled.work.work, compiled.work.grain],
    }
    return CacheEntry(fields, tuple(distinct))


def from_entry(entry: CacheEntry, func: kernel.FuncOp, target: Target) -> CompiledKernel | None:
    """The compiled form of the kernel `func` of level `kernels`; None if the entry does not hold one."""
    return _wasm_kernel(entry) if target == "wasm" else _shader(entry, func)


def _wasm_kernel(entry: CacheEntry) -> WasmKernel | None:
    match entry.fields:
        case {"objects": list(numbers), "stack": int(stack), "work": found}:
            work = _work(found)
            fits = (
                are_integers(numbers, count=len(WASM_VARIANTS), least=0, below=len(entry.parts))
                and are_integers([stack], least=0)
                and (work is None) == (found is None)
            )
            if not fits:
                return None
            objects = tuple(entry.parts[n] for n in numbers)
            if not all(content.startswith(_WASM_MAGIC) for content in objects):
                return None
            return WasmKernel(objects, stack, work)
        case _:
            return None


def _work(found: Any) -> KernelWork | None:
    if not are_integers(found, count=2, least=1):
        return None
    work, grain = found
    return KernelWork(work, grain)


def _shader(entry: CacheEntry, func: kernel.FuncOp) -> Shader | None:
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
            count = sum(len(info.parts(tensor_bytes(t, "webgpu"))) for t in operands)
            return Shader(text, (info,)) if count == len(bindings) else None
        case _:
            return None
