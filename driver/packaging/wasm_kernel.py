"""What a package for WebAssembly holds of a kernel, and the form in which the cache keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xdsl.utils.exceptions import ParseError

from webdnn.dialects.sizes.expression import symbols_of, unique_symbols
from webdnn.dialects.sizes.text import parse_size_text, size_text, symbol_text
from webdnn.kernel_cache import CacheEntry, are_integers
from webdnn.lowering.target_wasm.launch_calls import KernelWork

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


def to_entry(compiled: WasmKernel) -> CacheEntry:
    """The entry of the cache that keeps a kernel."""
    distinct = list(dict.fromkeys(compiled.objects))
    fields = {
        "objects": [distinct.index(content) for content in compiled.objects],
        "stack": compiled.stack_bytes,
        "work": None if compiled.work is None else _work_fields(compiled.work),
    }
    return CacheEntry(fields, tuple(distinct))


def from_entry(entry: CacheEntry) -> WasmKernel | None:
    """The kernel that an entry of the cache holds; None if it holds none."""
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


def _work_fields(work: KernelWork) -> list[Any]:
    sizes = [size_text(work.work), *(symbol_text(symbol) for symbol in work.symbols)]
    return [work.work if len(sizes) == 1 else sizes, work.grain]


def _work(found: Any) -> KernelWork | None:
    match found:
        case [list(sizes), int(grain)] if sizes and all(isinstance(text, str) for text in sizes):
            try:
                work, *symbols = (parse_size_text(text) for text in sizes)
            except ParseError:
                return None
            known = tuple(unique_symbols(symbols))
            fits = [s.size for s in known] == symbols and {*symbols_of(work)} <= {*known}
            return KernelWork(work, grain, symbols=known) if fits and grain > 0 else None
        case _ if are_integers(found, count=2, least=1):
            work, grain = found
            return KernelWork(work, grain)
        case _:
            return None
