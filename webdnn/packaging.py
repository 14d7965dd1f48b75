"""From a planned host program, compiled kernels and arrays of weights to a `Package`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import ArrayAttr, IntegerAttr, MemRefType, ModuleOp
from xdsl.ir import Operation, SSAValue

from webdnn.codegen.wasm.compile import compile_object
from webdnn.codegen.wasm.link import link
from webdnn.codegen.wgsl.module import Shader, label_comment
from webdnn.dialects import plan
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.locations import location_names
from webdnn.dialects.webgpu_limits import WebGPULimits
from webdnn.kernel_compiler import WASM_VARIANTS, CompiledKernel, WasmKernel
from webdnn.lowering.kernels.cost import KernelCost
from webdnn.lowering.target_wasm.layout import MemoryLayout, memory_layout, stack_for
from webdnn.lowering.target_wasm.plan_to_llvm import entry_points, program_module
from webdnn.package import PIECE_BYTES, SHARD_BYTES, describe_file
from webdnn.stages import Target

Array = npt.NDArray[Any]
Files = dict[str, bytes | memoryview]

SHADERS = "webgpu/kernels.wgsl"
"""One file for all kernels, because a file is a request; each kernel is a module of its own in it."""


@dataclass(frozen=True)
class Program:
    """The host program of one target, with every address planned."""

    op: plan.ProgramOp

    def _ints(self, name: str) -> list[int]:
        attr = self.op.attributes[name]
        assert isinstance(attr, ArrayAttr)
        return [v.value.data for v in attr.data if isinstance(v, IntegerAttr)]

    @property
    def arena_buffers(self) -> list[int]:
        return self._ints(plan.ARENA_BUFFERS)

    @property
    def prepared_buffers(self) -> list[int]:
        return (
            self._ints(plan.PREPARED_BUFFERS) if plan.PREPARED_BUFFERS in self.op.attributes else []
        )

    @property
    def weight_offsets(self) -> list[int]:
        return self._ints(plan.WEIGHT_OFFSETS)

    def _int(self, name: str) -> int:
        attr = self.op.attributes[name]
        assert isinstance(attr, IntegerAttr)
        return attr.value.data

    @property
    def weight_bytes(self) -> int:
        return self._int(plan.WEIGHT_BYTES)

    @property
    def packed_bytes(self) -> int:
        return self._int(plan.PACKED_BYTES)

    @property
    def arena_bound(self) -> int:
        return self._int(plan.ARENA_BOUND)

    @property
    def launches(self) -> list[plan.LaunchIntoOp]:
        return [op for op in self.op.body.block.ops if isinstance(op, plan.LaunchIntoOp)]

    def bindings(self, role: str) -> list[plan.BindOp]:
        return [
            op
            for op in self.op.body.block.ops
            if isinstance(op, plan.BindOp) and op.role.data == role
        ]

    def tensors(self, role: str) -> list[dict[str, Any]]:
        """The manifest's entries for the model's inputs or outputs."""
        return [
            {
                "name": op.tensor_name.data,
                "dtype": op.dtype.data,
                "shape": [n.value.data for n in op.shape.data],
            }
            for op in self.bindings(role)
        ]


def planned_program(module: ModuleOp) -> Program:
    """The `plan.program` of a module."""
    (op,) = [op for op in module.ops if isinstance(op, plan.ProgramOp)]
    return Program(op)


def _slice(value: SSAValue) -> plan.SliceOp:
    assert isinstance(value.owner, plan.SliceOp)
    return value.owner


def launched_nodes(launches: Iterable[Operation]) -> list[str]:
    """The nodes of the model that launches compute, each once."""
    return list(dict.fromkeys(name for op in launches for name in location_names(op.location)))


def _weights_image(program: Program, arrays: Sequence[Array], target: Target) -> memoryview:
    """All weights at their offsets, in the form in which the target stores them."""
    image = np.zeros(program.weight_bytes, np.uint8)
    for offset, array in zip(program.weight_offsets, arrays, strict=True):
        stored = array if target == "wasm" else _widened(array)
        raw = np.ascontiguousarray(stored).reshape(-1).view(np.uint8)
        image[offset : offset + raw.size] = raw
    return image.data


def _widened(array: Array) -> Array:
    """The 32-bit words as which WebGPU stores the elements of smaller types."""
    if array.dtype.itemsize >= 4:
        return array
    if array.dtype.kind == "b":
        return array.astype(np.uint32)
    if array.dtype.kind in "iu":
        return array.astype(np.int32 if array.dtype.kind == "i" else np.uint32)
    return array.astype(np.float32)


def _shards(image: memoryview, folder: str, files: Files) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for number, start in enumerate(range(0, len(image), SHARD_BYTES)):
        name = f"{folder}/weights-{number}.bin"
        files[name] = image[start : start + SHARD_BYTES]
        entries.append(describe_file(name, files[name], PIECE_BYTES))
    return entries


def wasm_section(
    program: Program,
    compiled: Mapping[str, CompiledKernel],
    arrays: Sequence[Array],
    *,
    threads: bool = True,
) -> tuple[dict[str, Any], Files]:
    """The manifest's section `wasm`, and its files. `threads`: with modules for several threads."""
    kernels = [k for k in compiled.values() if isinstance(k, WasmKernel)]
    layout = memory_layout(program.op, stack_bytes=stack_for(k.stack_bytes for k in kernels))
    works = {
        name: kernel.work
        for name, kernel in compiled.items()
        if isinstance(kernel, WasmKernel) and kernel.work is not None
    }
    files: Files = {}
    modules: list[dict[str, Any]] = []

    def linked(threaded: bool, variant: int) -> bytes:
        return link(
            [hosts[threaded], *(k.objects[variant] for k in kernels)],
            exports=entry_points(program.op, threads=threaded),
            stack_size=layout.stack_bytes,
            memory_pages=layout.pages,
            max_pages=layout.max_pages if threaded else None,
            data_limit=layout.control_offset,
        )

    kinds = (True, False) if threads else (False,)
    # the host program does not multiply: one object does for all variants
    hosts = {
        threaded: compile_object(
            program_module(program.op, layout, works, threads=threaded), WASM_VARIANTS[-1][1]
        )
        for threaded in kinds
    }
    wanted = [(threaded, variant) for threaded in kinds for variant in range(len(WASM_VARIANTS))]
    with ThreadPoolExecutor() as pool:  # the linker is a process of its own
        results = pool.map(linked, *zip(*wanted, strict=True))
        for (threaded, variant), module in zip(wanted, results, strict=True):
            name, features = WASM_VARIANTS[variant]
            needed = [*features, *(["threads"] if threaded else [])]
            file = f"wasm/{'threads-' if threaded else ''}{name}.wasm"
            files[file] = module
            modules.append({**describe_file(file, module), "features": needed})

    def places(role: str) -> list[dict[str, int]]:
        slices = [_slice(op.slice) for op in program.bindings(role)]
        return [{"offset": layout.address(s), "bytes": _used_bytes(s)} for s in slices]

    image = _weights_image(program, arrays, "wasm")
    section: dict[str, Any] = {
        "modules": modules,
        "memory": {"pages": layout.pages},
        **({"threads": _threads(layout)} if threads else {}),
        "weights": {
            "offset": layout.weights_offset,
            "bytes": len(image),
            "packed": program.packed_bytes,
            "shards": _shards(image, "wasm", files),
        },
        "arena": {"offset": layout.arena_offset, "bytes": sum(program.arena_buffers)},
        "arenaLowerBound": program.arena_bound,
        "inputs": places("input"),
        "outputs": places("output"),
        "launches": [
            {
                "kernel": op.kernel.string_value(),
                "label": launched_nodes([op]),
                "weights": _weights_needed(op),
                **({} if op.at_load is None else {"before": op.at_load.value.data}),
            }
            for op in program.launches
        ],
    }
    if at_load := _count_at_load(program.launches):
        section["prepare"] = at_load
        section["prepared"] = {"offset": layout.prepared_offset, "bytes": layout.prepared_bytes}
    return section, files


def _weights_needed(launch: plan.LaunchIntoOp) -> int:
    """How many bytes of the weights, from their beginning, must be there for a launch."""
    slices = (_slice(v) for v in launch.arguments)
    ends = (s.offset.value.data + s.bytes.value.data for s in slices if s.space.data == "weights")
    return max(ends, default=0)


def _count_at_load(launches: Sequence[plan.LaunchIntoOp]) -> int:
    """How many launches, the first ones, run once at load."""
    return sum(op.at_load is not None for op in launches)


def _threads(layout: MemoryLayout) -> dict[str, int]:
    """What the manifest says of modules for threads."""
    return {
        "max": layout.max_threads,
        "maxPages": layout.max_pages,
        "stackBytes": layout.stack_bytes,
    }


def describe_cost(section: dict[str, Any], costs: Mapping[str, KernelCost]) -> None:
    """Say in a back end's section what each kernel has to do in one launch, for profilers."""
    entries = section.setdefault("kernels", [{"name": name} for name in costs])
    for entry in entries:
        cost = costs[entry["name"]]
        entry.update(flops=cost.flops, bytes=cost.bytes)


def _used_bytes(slice: plan.SliceOp) -> int:
    """Bytes that hold elements: an empty tensor has memory but no elements."""
    type = slice.res.type
    assert isinstance(type, MemRefType)
    (size,) = type.get_shape()
    return slice.bytes.value.data if size else 0


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


def _storage(dtype: str, name: str) -> str:
    """How WebGPU holds the elements of an input or output of a model."""
    if dtype not in _STORAGE_OF_DTYPE:
        raise WebDNNError(
            f"'{name}' has elements of type {dtype}, which WebGPU does not have",
            where=name,
            hint="compile for wasm, or give the model inputs and outputs of another type",
        )
    return _STORAGE_OF_DTYPE[dtype]


def _weight_buffers(program: Program) -> Iterator[tuple[int, int]]:
    """Cuts of the weights (offset and bytes) that fit a buffer, between two weights."""
    ends = sorted(
        {
            (s.offset.value.data, s.offset.value.data + s.bytes.value.data)
            for op in program.launches
            for s in map(_slice, op.arguments)
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


def webgpu_section(
    program: Program, compiled: Mapping[str, CompiledKernel], arrays: Sequence[Array]
) -> tuple[dict[str, Any], Files]:
    """The manifest's section `webgpu`, and its files."""
    files: Files = {}
    source = bytearray()
    kernels: list[dict[str, Any]] = []
    numbers: dict[str, int] = {}
    features: set[str] = set()
    workgroups: dict[str, tuple[int, int, int]] = {}
    labels: dict[str, list[str]] = {}
    for op in program.launches:
        labels.setdefault(op.kernel.string_value(), []).extend(launched_nodes([op]))
    for name, kernel in compiled.items():
        assert isinstance(kernel, Shader)
        (info,) = kernel.kernels
        comment = f"// {name}\n{label_comment(labels.get(name, []))}"
        text = f"{comment}{kernel.source}\n".encode()
        numbers[name] = len(kernels)
        workgroups[name] = info.workgroups
        features.update(info.features)
        kernels.append(
            {
                "name": name,
                "shader": 0,
                "range": {"offset": len(source), "bytes": len(text)},
                "entryPoint": info.entry_point,
                "bindings": list(info.bindings),
            }
        )
        source += text
    shaders: list[dict[str, Any]] = []
    if source:
        files[SHADERS] = bytes(source)
        shaders.append(describe_file(SHADERS, files[SHADERS]))
    cuts = list(_weight_buffers(program))
    buffers: list[dict[str, Any]] = [
        {"kind": "weights", "bytes": size, "offset": offset} for offset, size in cuts
    ]
    first_arena = len(buffers)
    buffers.extend({"kind": "arena", "bytes": size} for size in program.arena_buffers)
    first_prepared = len(buffers)
    buffers.extend({"kind": "prepared", "bytes": size} for size in program.prepared_buffers)

    def place(slice: plan.SliceOp) -> dict[str, int]:
        offset, size = slice.offset.value.data, slice.bytes.value.data
        if slice.space.data != "weights":
            first = first_arena if slice.space.data == "arena" else first_prepared
            number = first + slice.buffer.value.data
            return {"buffer": number, "offset": offset, "bytes": size}
        number = next(
            i for i, (start, length) in enumerate(cuts) if start <= offset < start + length
        )
        return {"buffer": number, "offset": offset - cuts[number][0], "bytes": size}

    def bound(role: str) -> list[dict[str, Any]]:
        return [
            {
                **place(_slice(op.slice)),
                "bytes": _used_bytes(_slice(op.slice)),
                "storage": _storage(op.dtype.data, op.tensor_name.data),
            }
            for op in program.bindings(role)
        ]

    launched = [op for op in program.launches if 0 not in workgroups[op.kernel.string_value()]]
    launches = [
        {
            "kernel": numbers[op.kernel.string_value()],
            "workgroups": list(workgroups[op.kernel.string_value()]),
            "bindings": [place(_slice(v)) for v in op.arguments],
            "label": launched_nodes([op]),
        }
        for op in launched
    ]
    limits: dict[str, int] = {}
    slices = [_slice(v) for op in program.launches for v in op.arguments]
    binding = max((s.bytes.value.data for s in slices), default=0)
    if binding > WebGPULimits.binding_bytes:
        limits["maxStorageBufferBindingSize"] = binding
    largest = max((b["bytes"] for b in buffers), default=0)
    if largest > WebGPULimits.buffer_bytes:
        limits["maxBufferSize"] = largest
    image = _weights_image(program, arrays, "webgpu")
    section: dict[str, Any] = {
        "features": sorted(features),
        "limits": limits,
        "weights": {"bytes": len(image), "shards": _shards(image, "webgpu", files)},
        "arenaLowerBound": program.arena_bound,
        "buffers": buffers,
        "shaders": shaders,
        "kernels": kernels,
        "launches": launches,
        "inputs": bound("input"),
        "outputs": bound("output"),
    }
    if at_load := _count_at_load(launched):
        section["prepare"] = at_load
    return section, files
