"""The section of a package for WebGPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from xdsl.dialects.func import FuncOp

from webdnn.codegen.wgsl.module import Shader, label_comment
from webdnn.compiled_kernel import CompiledKernel
from webdnn.dialects import plan
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.onnx import (
    INPUT_DTYPES,
    INPUT_NAMES,
    OUTPUT_DTYPES,
    OUTPUT_NAMES,
    strings_of,
)
from webdnn.dialects.webgpu_limits import WebGPULimits
from webdnn.package import describe_file
from webdnn.packaging.program import (
    Array,
    Files,
    Program,
    launched_nodes,
    used_bytes,
    weights_image,
    write_shards,
)

SHADERS = "webgpu/kernels.wgsl"
"""One file for all kernels, because a file is a request; each kernel is a module of its own in it."""


_STORAGE_OF_DTYPE = {
    "float32": "f32",
    "float16": "f32",
    "bool": "u32",
    "uint8": "u32",
    "uint16": "u32",
    "uint32": "u32",
    "int8": "i32",
    "int16": "i32",
    "int32": "i32",
    "int64": "i64",
    "uint64": "i64",
}


def check_element_types(main: FuncOp) -> None:
    """WebGPU must be able to hold the inputs and outputs of a model.

    Raises:
        WebDNNError: it cannot hold one of them.
    """
    for names, dtypes in ((INPUT_NAMES, INPUT_DTYPES), (OUTPUT_NAMES, OUTPUT_DTYPES)):
        for name, dtype in zip(strings_of(main, names), strings_of(main, dtypes), strict=True):
            if dtype not in _STORAGE_OF_DTYPE:
                raise WebDNNError(
                    f"'{name}' has elements of type {dtype}, which WebGPU does not have",
                    where=name,
                    hint="compile for wasm, or give the model inputs and outputs of another type",
                )


def _weight_buffers(program: Program) -> Iterator[tuple[int, int]]:
    """Cuts of the weights (offset and bytes) that fit a buffer, between two weights."""
    ends = sorted(
        {
            (s.offset.value.data, s.offset.value.data + s.bytes.value.data)
            for op in program.launches
            for s in map(plan.slice_of, op.arguments)
            if s.space.data == "weights"
        }
    )
    start = end = 0
    for offset, stop in ends:
        if stop - start > WebGPULimits.binding_bytes and end > start:
            yield start, end - start
            start = offset
        end = max(end, stop)
    if end > start:
        yield start, end - start


class _Buffers:
    """The GPU's buffers, numbered: weights, then arena, then what is prepared at load."""

    def __init__(self, program: Program) -> None:
        self.cuts = list(_weight_buffers(program))
        self.entries: list[dict[str, Any]] = [
            {"kind": "weights", "bytes": size, "offset": offset} for offset, size in self.cuts
        ]
        self.first: dict[str, int] = {}
        """The number of the first buffer of a kind."""
        for kind, sizes in (
            ("arena", program.arena_buffers),
            ("prepared", program.prepared_buffers),
        ):
            self.first[kind] = len(self.entries)
            self.entries.extend({"kind": kind, "bytes": size} for size in sizes)

    def place(self, slice: plan.SliceOp) -> dict[str, int]:
        """Where a slice is bound: the number of a buffer, and the bytes in it."""
        offset, size = slice.offset.value.data, slice.bytes.value.data
        if slice.space.data != "weights":
            number = self.first[slice.space.data] + slice.buffer.value.data
            return {"buffer": number, "offset": offset, "bytes": size}
        number = next(
            i for i, (start, length) in enumerate(self.cuts) if start <= offset < start + length
        )
        return {"buffer": number, "offset": offset - self.cuts[number][0], "bytes": size}

    def limits(self, program: Program) -> dict[str, int]:
        """The limits of WebGPU that must be above their defaults."""
        limits: dict[str, int] = {}
        slices = [plan.slice_of(v) for op in program.launches for v in op.arguments]
        binding = max((s.bytes.value.data for s in slices), default=0)
        if binding > WebGPULimits.binding_bytes:
            limits["maxStorageBufferBindingSize"] = binding
        largest = max((b["bytes"] for b in self.entries), default=0)
        if largest > WebGPULimits.buffer_bytes:
            limits["maxBufferSize"] = largest
        return limits


def _kernels(
    program: Program, compiled: Mapping[str, Shader]
) -> tuple[list[dict[str, Any]], bytes]:
    """The manifest's entries for kernels, and the source of all of them."""
    labels: dict[str, list[str]] = {}
    for op in program.launches:
        labels.setdefault(op.kernel.string_value(), []).extend(launched_nodes([op]))
    source = bytearray()
    entries: list[dict[str, Any]] = []
    for name, shader in compiled.items():
        (info,) = shader.kernels
        comment = label_comment([name]) + label_comment(labels.get(name, []))
        text = f"{comment}{shader.source}\n".encode()
        entries.append(
            {
                "name": name,
                "shader": 0,
                "range": {"offset": len(source), "bytes": len(text)},
                "entryPoint": info.entry_point,
                "bindings": list(info.bindings),
            }
        )
        source += text
    return entries, bytes(source)


def webgpu_section(
    program: Program, compiled: Mapping[str, CompiledKernel], arrays: Sequence[Array]
) -> tuple[dict[str, Any], Files]:
    """The manifest's section `webgpu`, and its files."""
    files: Files = {}
    shaders = {name: shader for name, shader in compiled.items() if isinstance(shader, Shader)}
    kernels, source = _kernels(program, shaders)
    if source:
        files[SHADERS] = source
    infos = {name: shader.kernels[0] for name, shader in shaders.items()}
    numbers = {name: number for number, name in enumerate(infos)}
    buffers = _Buffers(program)

    def bound(role: str) -> list[dict[str, Any]]:
        return [
            {
                **buffers.place(plan.slice_of(op.slice)),
                "bytes": used_bytes(plan.slice_of(op.slice)),
                "storage": _STORAGE_OF_DTYPE[op.dtype.data],
            }
            for op in program.bindings(role)
        ]

    launched = [
        op for op in program.launches if 0 not in infos[op.kernel.string_value()].workgroups
    ]
    image = weights_image(program, arrays, "webgpu")
    section: dict[str, Any] = {
        "features": sorted({feature for info in infos.values() for feature in info.features}),
        "limits": buffers.limits(program),
        "weights": {"bytes": len(image), "shards": write_shards(image, "webgpu", files)},
        "arenaLowerBound": program.arena_bound,
        "buffers": buffers.entries,
        "shaders": [describe_file(SHADERS, source)] if source else [],
        "kernels": kernels,
        "launches": [
            {
                "kernel": numbers[op.kernel.string_value()],
                "workgroups": list(infos[op.kernel.string_value()].workgroups),
                "bindings": [buffers.place(plan.slice_of(v)) for v in op.arguments],
                "label": launched_nodes([op]),
            }
            for op in launched
        ],
        "inputs": bound("input"),
        "outputs": bound("output"),
    }
    if at_load := plan.count_at_load(launched):
        section["prepare"] = at_load
    return section, files
