"""The form in which the cache keeps a shader, which is what a package for WebGPU holds of a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from xdsl.utils.exceptions import ParseError

from webdnn.codegen.wgsl.module import KernelInfo, Shader
from webdnn.dialects import kernel
from webdnn.dialects.sizes.expression import Symbol, is_symbolic, unique_symbols
from webdnn.dialects.sizes.text import parse_size_text, size_text
from webdnn.kernel_cache import CacheEntry, are_integers
from webdnn.lowering.loops_gpu.target import WEBGPU


def to_entry(compiled: Shader) -> CacheEntry:
    """The entry of the cache that keeps a shader."""
    (info,) = compiled.kernels
    fields = asdict(info)
    fields["workgroups"] = [size_text(n) if is_symbolic(n) else n for n in info.workgroups]
    return CacheEntry({"kernel": fields}, (compiled.source.encode(),))


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
                    "sizes": list(sizes),
                }
            },
            parts=(source,),
        ):
            type = func.function_type
            fits = (
                name == func.sym_name.data
                and all(b in ("read", "read_write") for b in bindings)
                and sizes == [symbol.name for symbol in func.symbols]
                and are_integers(size, count=3, least=1)
                and all(isinstance(f, str) for f in features)
                and (part is None or are_integers([part], least=1))
            )
            workgroups = _workgroups(grid, func.symbols)
            if not fits or workgroups is None:
                return None
            try:
                text = source.decode()
            except UnicodeDecodeError:
                return None
            info = KernelInfo(
                name,
                entry_point,
                tuple(bindings),
                workgroups,
                tuple(size),
                tuple(features),
                part,
                tuple(sizes),
            )
            operands = (*type.inputs, *type.outputs)
            memory = WEBGPU.memory
            count = sum(len(info.parts(memory.tensor_bytes(t))) for t in operands)
            return Shader(text, (info,)) if count == len(bindings) else None
        case _:
            return None


def _workgroups(found: Sequence[Any], symbols: Sequence[Symbol]) -> tuple[int, int, int] | None:
    """The numbers of workgroups that an entry says."""
    try:
        sizes = [parse_size_text(n) if isinstance(n, str) else n for n in found]
    except ParseError:
        return None
    numbers = [n for n in sizes if not is_symbolic(n)]
    if len(sizes) != 3 or not are_integers(numbers, least=0):
        return None
    x, y, z = sizes
    return (x, y, z) if {*unique_symbols(sizes)} <= {*symbols} else None
