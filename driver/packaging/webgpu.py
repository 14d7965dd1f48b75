"""The section of a package for WebGPU."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from xdsl.dialects.func import FuncOp

from webdnn.codegen.wgsl.module import KernelInfo, Shader, label_comment
from webdnn.dialects import plan
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.onnx import (
    INPUT_DTYPES,
    INPUT_NAMES,
    OUTPUT_DTYPES,
    OUTPUT_NAMES,
    strings_of,
)
from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.sizes.questions import at_least, at_most
from webdnn.dialects.sizes.substitution import likely, substitute
from webdnn.dialects.webgpu_limits import WebGPULimits
from webdnn.lowering.loops_gpu.target import WEBGPU
from webdnn.manifest_sizes import expression_of
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
            (s.begin, s.begin + s.size)
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


_Launched = tuple[plan.LaunchIntoOp, KernelInfo]

_Memory = tuple[str, int]
"""What becomes a buffer: a space of the program, and a number in it (of weights, the offset)."""


class _Buffers:
    """The GPU's buffers, numbered: weights, then arena, then what is prepared at load, then states.

    Memory that is larger than the buffers of every device becomes several, cut where kernels' bindings are. It stays
    whole where an input or an output of the model in it is larger than a piece, because that is copied as one; and so
    does what has another size in each run.
    """

    def __init__(self, program: Program, launches: Sequence[_Launched]) -> None:
        self.cuts = list(_weight_buffers(program))
        self.entries: list[dict[str, Any]] = []
        self._first: dict[_Memory, int] = {}
        """The number of the first buffer of a memory."""
        self._piece = max(
            [WebGPULimits.binding_bytes, *(info.part_bytes or 0 for _, info in launches)]
        )
        copied = [
            plan.slice_of(op.slice)
            for role in ("input", "output", "past", "present")
            for op in program.bindings(role)
        ]
        whole = {self._memory(s)[0] for s in copied if at_most(s.size) > self._piece}

        def add(memory: _Memory, size: int, offset: int | None = None) -> None:
            self._first[memory] = len(self.entries)
            if is_symbolic(size):
                self.entries.append({"kind": memory[0], "bytes": size})
                return
            is_cut = size > WebGPULimits.buffer_bytes and memory not in whole
            step = self._piece if is_cut else max(size, 1)
            for start in range(0, max(size, 1), step):
                entry = {"kind": memory[0], "bytes": min(step, size - start)}
                self.entries.append(
                    entry if offset is None else {**entry, "offset": offset + start}
                )

        for offset, size in self.cuts:
            add(("weights", offset), size, offset)
        for kind, sizes in (
            ("arena", program.arena_buffers),
            ("prepared", program.prepared_buffers),
            ("state", program.state_buffers),
        ):
            for number, size in enumerate(sizes):
                add((kind, number), size)

    def _memory(self, slice: plan.SliceOp) -> tuple[_Memory, int]:
        """The memory in which a slice lies, and where in it."""
        offset = slice.begin
        if slice.space.data != "weights":
            return (slice.space.data, slice.buffer.value.data), offset
        start = next(start for start, size in self.cuts if start <= offset < start + size)
        return ("weights", start), offset - start

    def place(self, slice: plan.SliceOp, start: int = 0, size: int | None = None) -> dict[str, int]:
        """Where `size` bytes of a slice (by default all) lie: the number of a buffer, and the bytes in it."""
        memory, offset = self._memory(slice)
        number, offset = self._first[memory], offset + start
        while not is_symbolic(self.entries[number]["bytes"]) and (
            offset >= self.entries[number]["bytes"] > 0
        ):
            offset -= self.entries[number]["bytes"]
            number += 1
        return {"buffer": number, "offset": offset, "bytes": slice.size if size is None else size}

    def bound(self, op: plan.LaunchIntoOp, info: KernelInfo) -> list[dict[str, int]]:
        """The bindings of a launch."""
        return [
            self.place(slice, start, size)
            for slice in map(plan.slice_of, op.arguments)
            for start, size in info.parts(slice.size)
        ]


def _limits(
    buffers: Sequence[dict[str, Any]],
    launches: Sequence[dict[str, Any]],
    number: Callable[[int], int],
) -> dict[str, int]:
    """The limits of WebGPU that must be above their defaults, where each size is the `number` of its expression."""
    limits: dict[str, int] = {}
    binding = max(
        (number(b["bytes"]) for launch in launches for b in launch["bindings"]), default=0
    )
    if binding > WebGPULimits.binding_bytes:
        limits["maxStorageBufferBindingSize"] = binding
    largest = max((number(b["bytes"]) for b in buffers), default=0)
    if largest > WebGPULimits.buffer_bytes:
        limits["maxBufferSize"] = largest
    return limits


def _warn_of_limits(
    buffers: Sequence[dict[str, Any]], launches: Sequence[dict[str, Any]], limits: Mapping[str, int]
) -> None:
    """Say which nodes need the limits that likely sizes ask for."""
    nodes = dict.fromkeys(
        node
        for launch in launches
        if any(
            likely(b["bytes"]) > WebGPULimits.binding_bytes
            or likely(buffers[b["buffer"]]["bytes"]) > WebGPULimits.buffer_bytes
            for b in launch["bindings"]
        )
        for node in launch["label"]
    )
    asked = " and ".join(f"a {name} of {size}" for name, size in limits.items())
    more = f" and {len(nodes) - 5} more" if len(nodes) > 5 else ""
    warnings.warn(
        f"the WebGPU part of this package asks for {asked}, which not every device has, because of "
        f"{', '.join([*nodes][:5])}{more}; a smaller input or batch needs less",
        stacklevel=2,
    )


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
                **({"sizes": len(info.sizes)} if info.sizes else {}),
            }
        )
        source += text
    return entries, bytes(source)


def _workgroups(op: plan.LaunchIntoOp, info: KernelInfo) -> list[int]:
    """The numbers of workgroups of a launch."""
    sizes = dict(zip(info.sizes, op.kernel_sizes, strict=True))
    return [substitute(count, lambda symbol: sizes[symbol.name]) for count in info.workgroups]


def _written(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry with sizes as the manifest has them."""

    def written(value: Any) -> Any:
        if isinstance(value, list):
            return [written(each) for each in value]
        return expression_of(value) if is_symbolic(value) else value

    keys = ("offset", "bytes", "workgroups", "sizes")
    return {**entry, **{key: written(entry[key]) for key in keys if key in entry}}


def webgpu_section(
    program: Program, shaders: Mapping[str, Shader], arrays: Sequence[Array]
) -> tuple[dict[str, Any], Files]:
    """The manifest's section `webgpu`, and its files."""
    files: Files = {}
    kernels, source = _kernels(program, shaders)
    if source:
        files[SHADERS] = source
    infos = {name: shader.kernels[0] for name, shader in shaders.items()}
    numbers = {name: number for number, name in enumerate(infos)}
    launches = [
        (op, info)
        for op in program.launches
        if 0 not in (info := infos[op.kernel.string_value()]).workgroups
    ]
    buffers = _Buffers(program, launches)

    def bound(role: str) -> list[dict[str, Any]]:
        return [
            {
                **buffers.place(plan.slice_of(op.slice)),
                "bytes": used_bytes(op, WEBGPU.memory),
                "storage": _STORAGE_OF_DTYPE[op.dtype.data],
            }
            for op in program.bindings(role)
        ]

    launched: list[dict[str, Any]] = [
        {
            "kernel": numbers[op.kernel.string_value()],
            "workgroups": _workgroups(op, info),
            "bindings": buffers.bound(op, info),
            **({"sizes": [*op.kernel_sizes]} if info.sizes else {}),
            "label": launched_nodes([op]),
        }
        for op, info in launches
    ]
    image = weights_image(program, arrays, WEBGPU.memory)
    least, usual, largest = (
        _limits(buffers.entries, launched, number) for number in (at_least, likely, at_most)
    )
    if usual:
        _warn_of_limits(buffers.entries, launched, usual)
    section: dict[str, Any] = {
        "features": sorted({feature for info in infos.values() for feature in info.features}),
        "limits": least,
        **({"largestLimits": largest} if largest != least else {}),
        "weights": {"bytes": len(image), "shards": write_shards(image, "webgpu", files)},
        "arenaLowerBound": program.arena_bound,
        **program.definitions(),
        "buffers": [_written(entry) for entry in buffers.entries],
        "shaders": [describe_file(SHADERS, source)] if source else [],
        "kernels": kernels,
        "launches": [
            {**_written(entry), "bindings": [_written(each) for each in entry["bindings"]]}
            for entry in launched
        ],
        "inputs": [_written(entry) for entry in bound("input")],
        "outputs": [_written(entry) for entry in bound("output")],
    }
    states = [
        {"buffers": [past["buffer"], present["buffer"]], "storage": past["storage"]}
        for past, present in zip(bound("past"), bound("present"), strict=True)
    ]
    if states:
        section["states"] = states
    for place in bound("seed"):
        section["seed"] = _written(place)
    if at_load := plan.count_at_load([op for op, _ in launches]):
        section["prepare"] = at_load
    return section, files
