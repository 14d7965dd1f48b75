"""Runs WebGPU packages and single kernels from Python, on `wgpu` (naga on Vulkan).

Where there is no GPU, Mesa's llvmpipe does the work.
"""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from xdsl.context import Context
from xdsl.dialects.builtin import (
    Float16Type,
    Float32Type,
    IntegerType,
    MemRefType,
    ModuleOp,
)
from xdsl.ir import Attribute
from xdsl.passes import ModulePass

from webdnn.codegen.wgsl import KernelInfo, Shader, print_shaders
from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp, lengths_of
from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.sizes.substitution import evaluate
from webdnn.dialects.threefry import seed_words
from webdnn.engines.model_state import ModelState, StatesOnDevice, sizes_after
from webdnn.lowering.target_wgsl.pipeline import LowerToWGSLPass
from webdnn.manifest_checks import manifest_for_run
from webdnn.manifest_sizes import bound_values

_OPTIONAL_FEATURES = ("shader-f16", "subgroups", "subgroup", "timestamp-query")
_RAISED_LIMITS = (
    "max-storage-buffer-binding-size",
    "max-buffer-size",
    "max-storage-buffers-per-shader-stage",
)


_LEAST_BYTES = 16
"""Of a buffer: a binding holds one element of its array at the least, which may be a vector of four words."""


def _wgpu() -> Any:
    # Vulkan loaders and EGL complain on stderr where this folder is not set.
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    try:
        import wgpu
    except ImportError as error:
        raise WebDNNError(
            "the Python package `wgpu` is not installed", hint="pip install wgpu"
        ) from error
    return wgpu


@cache
def device() -> Any:
    """The process's WebGPU device: a GPU where there is one, else a CPU adapter."""
    wgpu = _wgpu()
    adapter: Any = None
    for cpu_only in (False, True):
        try:
            adapter = adapter or wgpu.gpu.request_adapter_sync(
                power_preference="high-performance", force_fallback_adapter=cpu_only
            )
        except RuntimeError:
            continue
    if adapter is None:
        raise WebDNNError(
            "no WebGPU adapter was found",
            hint="install a Vulkan driver; Debian's mesa-vulkan-drivers has one for CPUs",
        )
    features = [f for f in _OPTIONAL_FEATURES if f in adapter.features]
    limits = {name: adapter.limits[name] for name in _RAISED_LIMITS if name in adapter.limits}
    return adapter.request_device_sync(required_features=features, required_limits=limits)


class ComputeKernel:
    """A compiled kernel: its pipeline and the layout of its operands."""

    def __init__(self, module: Any, info: KernelInfo) -> None:
        wgpu = _wgpu()
        gpu = device()
        entries = [
            {
                "binding": i,
                "visibility": wgpu.ShaderStage.COMPUTE,
                "buffer": {"type": "read-only-storage" if access == "read" else "storage"},
            }
            for i, access in enumerate(info.bindings)
        ]
        if info.sizes:
            entries.append(
                {
                    "binding": len(entries),
                    "visibility": wgpu.ShaderStage.COMPUTE,
                    "buffer": {"type": "uniform"},
                }
            )
        self.info = info
        self.layout = gpu.create_bind_group_layout(entries=entries)
        self.pipeline = gpu.create_compute_pipeline(
            layout=gpu.create_pipeline_layout(bind_group_layouts=[self.layout]),
            compute={"module": module, "entry_point": info.entry_point},
        )

    def bind(self, buffers: Sequence[tuple[Any, int, int]]) -> Any:
        """A bind group of `(buffer, offset, bytes)`, one for each operand (an empty one binds 4 bytes)."""
        return device().create_bind_group(
            layout=self.layout,
            entries=[
                {"binding": i, "resource": {"buffer": b, "offset": o, "size": max(n, 4)}}
                for i, (b, o, n) in enumerate(buffers)
            ],
        )

    def encode(self, compute_pass: Any, group: Any, workgroups: Sequence[int]) -> None:
        """Add a dispatch to a compute pass."""
        compute_pass.set_pipeline(self.pipeline)
        compute_pass.set_bind_group(0, group)
        compute_pass.dispatch_workgroups(*workgroups)


def compile_source(source: str, label: str = "") -> Any:
    """A shader module; where naga refuses it, an error that shows the line of the WGSL."""
    wgpu = _wgpu()
    try:
        return device().create_shader_module(label=label, code=source)
    except wgpu.GPUError as error:
        raise WebDNNError(f"the shader {label} does not compile", why=str(error)) from error


def compile_shader(shader: Shader) -> dict[str, ComputeKernel]:
    """The kernels of one WGSL source, by name."""
    wgpu = _wgpu()
    module = compile_source(shader.source, ", ".join(k.name for k in shader.kernels))
    out: dict[str, ComputeKernel] = {}
    for info in shader.kernels:
        try:
            out[info.name] = ComputeKernel(module, info)
        except wgpu.GPUError as error:
            raise WebDNNError(f"no pipeline for the kernel {info.name}", why=str(error)) from error
    return out


def storage_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """The type as which elements of `dtype` lie in a storage buffer: 32 bits, or 64 for such integers."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return np.dtype(np.uint32)
    if dtype.kind in "iu" and dtype.itemsize == 8:
        return dtype
    if dtype.itemsize > 4:
        raise WebDNNError(
            f"WebGPU has no storage for {dtype}", hint="convert the tensor to 32 bits"
        )
    return np.dtype({"f": np.float32, "i": np.int32, "u": np.uint32}[dtype.kind])


def from_storage(words: Array, dtype: npt.DTypeLike) -> Array:
    """Elements of `dtype` out of stored words; of an integer, only the low bits count."""
    dtype = np.dtype(dtype)
    return words != 0 if dtype.kind == "b" else words.astype(dtype)


def _upload(array: Array) -> Any:
    usage = _wgpu().BufferUsage
    data = np.ascontiguousarray(array)
    if data.nbytes == 0:
        data = np.zeros(_LEAST_BYTES // 4, np.uint32)
    return device().create_buffer_with_data(
        data=data, usage=usage.STORAGE | usage.COPY_DST | usage.COPY_SRC
    )


def _buffer(size: int) -> Any:
    usage = _wgpu().BufferUsage
    return device().create_buffer(
        size=max(-(-size // 4) * 4, _LEAST_BYTES),
        usage=usage.STORAGE | usage.COPY_DST | usage.COPY_SRC,
    )


def _element_dtype(type: Attribute) -> np.dtype[Any]:
    match type:
        case Float32Type():
            return np.dtype(np.float32)
        case Float16Type():
            return np.dtype(np.float16)
        case IntegerType() if type.width.data == 1:
            return np.dtype(np.bool_)
        case IntegerType() if type.width.data in (8, 16, 32, 64):
            return np.dtype(f"int{type.width.data}")
        case _:
            raise WebDNNError(f"WebGPU has no storage for {type}")


def run_kernel(
    module: ModuleOp,
    name: str,
    arrays: Sequence[Array],
    lowering: ModulePass | None = None,
    sizes: Mapping[str, int] | None = None,
) -> list[Array]:
    """Lower one GPU kernel of level `loops` to WGSL and run it.

    Args:
        module: holds the kernel; it is not changed.
        name: the kernel's symbol.
        arrays: its inputs; each is flattened, and widened to the 32 bits that WGSL stores.
        lowering: what lowers it to level `target`; by default `lower-to-wgsl`.
        sizes: the values of the kernel's symbols.

    Returns:
        The outputs, flat, with the element types of the kernel's operands (signed where signless).
    """
    kernel = next(
        (op for op in module.ops if isinstance(op, FuncOp) and op.sym_name.data == name), None
    )
    if kernel is None or kernel.num_outputs is None:
        raise WebDNNError(f"the module has no kernel {name} of level `loops`")
    values = dict(sizes or {})
    types = [cast("MemRefType[Attribute]", m.type) for m in kernel.memories]
    lengths = lengths_of(kernel) or tuple(math.prod(t.get_shape()) for t in types)
    num_inputs = len(types) - kernel.num_outputs.value.data
    if len(arrays) != num_inputs:
        raise WebDNNError(f"the kernel {name} takes {num_inputs} inputs, not {len(arrays)}")
    lowered = ModuleOp([kernel.clone()])
    (lowering or LowerToWGSLPass()).apply(Context(), lowered)
    (shader,) = print_shaders(lowered)
    compiled = compile_shader(shader)[name]
    buffers = [_upload(a.ravel().astype(storage_dtype(a.dtype))) for a in arrays]
    dtypes = [_element_dtype(t.element_type) for t in types]
    bytes_of = [
        evaluate(length, values) * storage_dtype(d).itemsize
        for length, d in zip(lengths, dtypes, strict=True)
    ]
    buffers += [_buffer(size) for size in bytes_of[num_inputs:]]
    slices = [
        (buffer, start, bytes)
        for buffer, length in zip(buffers, lengths, strict=True)
        for start, bytes in (
            [(0, buffer.size)] if is_symbolic(length) else compiled.info.parts(buffer.size)
        )
    ]
    if compiled.info.sizes:
        numbers = [values[name] for name in compiled.info.sizes]
        slices.append((_uniform(numbers), 0, 4 * len(numbers)))
    group = compiled.bind(slices)
    grid = [evaluate(count, values) for count in compiled.info.workgroups]
    encoder = device().create_command_encoder()
    compute_pass = encoder.begin_compute_pass()
    compiled.encode(compute_pass, group, grid)
    compute_pass.end()
    device().queue.submit([encoder.finish()])
    outputs: list[Array] = []
    for buffer, dtype, size in list(zip(buffers, dtypes, bytes_of, strict=True))[num_inputs:]:
        data = device().queue.read_buffer(buffer, 0, size) if size else b""
        outputs.append(from_storage(np.frombuffer(data, storage_dtype(dtype)), dtype))
    return outputs


def run_webgpu(
    package_dir: Path, inputs: Mapping[str, Array], seed: int | None = None
) -> dict[str, Array]:
    """Run the WebGPU back end of a package (see `docs/architecture.md`, "The package").

    Args:
        package_dir: the folder that holds `model.json`.
        inputs: an array for each of the model's inputs, by name.
        seed: of the random numbers; a fresh one if it is not given.
    """
    manifest = json.loads((package_dir / "model.json").read_text())
    section = manifest["backends"].get("webgpu")
    if section is None:
        raise WebDNNError("the package has no WebGPU back end", where=str(package_dir))
    return WebGPUProgram(package_dir, manifest).run(inputs, seed)


def _kernel_source(sources: Sequence[bytes], kernel: Mapping[str, Any]) -> str:
    """The WGSL module of a kernel of the manifest: its part of the shader's file."""
    text = sources[kernel["shader"]]
    part = kernel.get("range", {"offset": 0, "bytes": len(text)})
    return text[part["offset"] : part["offset"] + part["bytes"]].decode()


def _check_requirements(section: Mapping[str, Any]) -> None:
    """Raise an error where the device lacks a feature or has a lower limit than the package needs."""
    gpu = device()
    missing = [f for f in section["features"] if f not in gpu.features]
    if missing:
        raise WebDNNError(f"the WebGPU device lacks {', '.join(missing)}")
    for name, needed in section["limits"].items():
        hyphenated = re.sub(r"[A-Z]", lambda m: "-" + m.group().lower(), name)
        if needed > gpu.limits.get(hyphenated, 0):
            raise WebDNNError(
                f"the package needs a {name} of {needed}; the WebGPU device has "
                f"{gpu.limits.get(hyphenated, 0)}",
                hint="run it on another device, or on the wasm back end",
            )


@contextmanager
def _said_of_device() -> Generator[None, None, None]:
    """What the device says against a package is an error of the package's."""
    try:
        yield
    except (_wgpu().GPUError, ValueError, OverflowError) as error:  # what it and its bindings say
        raise WebDNNError("the WebGPU device cannot run the package", why=str(error)) from error


_Bound = tuple[ComputeKernel, Any, list[int]]
"""A launch: its kernel, its bind group and its workgroups."""


class WebGPUProgram:
    """A package's WebGPU back end, loaded: buffers filled, pipelines made, all launches bound.

    Args:
        package_dir: a folder that a `Package` has written: what is in it is not checked again.
        manifest: that of the package.

    Raises:
        WebDNNError: the device cannot run it.
    """

    @_said_of_device()
    def __init__(self, package_dir: Path, manifest: dict[str, Any]) -> None:
        section: dict[str, Any] = manifest["backends"]["webgpu"]
        self._manifest = manifest
        self._section = section
        _check_requirements(section)
        weights = bytearray()
        for shard in section["weights"]["shards"]:
            weights += (package_dir / shard["file"]).read_bytes()
        self._weights = [
            _upload(np.frombuffer(weights, np.uint8, entry["bytes"], entry["offset"]))
            if entry["kind"] == "weights"
            else _buffer(entry["bytes"])
            if entry["kind"] in ("prepared", "state")
            else None
            for entry in section["buffers"]
        ]
        """The buffers that do not depend on sizes; None for others."""
        sources = [(package_dir / s["file"]).read_bytes() for s in section["shaders"]]
        self._kernels = [
            ComputeKernel(
                compile_source(_kernel_source(sources, k), k["name"]),
                KernelInfo(
                    k["name"],
                    k["entryPoint"],
                    tuple(k["bindings"]),
                    (1, 1, 1),
                    (1, 1, 1),
                    sizes=tuple(f"n{i}" for i in range(k.get("sizes", 0))),
                ),
            )
            for k in section["kernels"]
        ]
        self._sizes: dict[str, int] | None = None
        self.states = StatesOnDevice(manifest, self._read_state, self._write_state)
        least = {symbol["name"]: symbol["low"] for symbol in manifest.get("symbols", ())}
        self._resize(least)
        at_load = section.get("prepare", 0)
        if at_load:
            self._submit(self._launches[:at_load])

    def _resize(self, sizes: dict[str, int]) -> None:
        """Make all that depends on sizes, where they are others than before, and bind it in the order of the states."""
        turn = self.states.turn
        if self._sizes != sizes:
            self._sizes = None
            self._at_sizes = manifest_for_run(self._manifest, sizes, turn)
            self._buffers: list[Any] = [
                buffer if buffer is not None else _buffer(entry["bytes"])
                for buffer, entry in zip(
                    self._weights, self._at_sizes["backends"]["webgpu"]["buffers"], strict=True
                )
            ]
            self._at_turns: dict[int, list[_Bound]] = {}
            self._sizes = sizes
        if turn not in self._at_turns:
            self._at_turns[turn] = self._bound(turn)
        self._launches = self._at_turns[turn]

    def _bound(self, turn: int) -> list[_Bound]:
        """All launches, with the buffers of each state in their order, or (`turn`) in the other one."""
        section = self._at_sizes["backends"]["webgpu"]
        buffers = [*self._buffers]
        for first, second in self._state_buffers() if turn else ():
            buffers[first], buffers[second] = buffers[second], buffers[first]
        uniforms: dict[tuple[int, ...], Any] = {}
        launches: list[_Bound] = []
        for launch in section["launches"]:
            kernel = self._kernels[launch["kernel"]]
            slices = [(buffers[b["buffer"]], b["offset"], b["bytes"]) for b in launch["bindings"]]
            if numbers := tuple(launch.get("sizes", ())):
                if numbers not in uniforms:
                    uniforms[numbers] = _uniform(numbers)
                slices.append((uniforms[numbers], 0, 4 * len(numbers)))
            launches.append((kernel, kernel.bind(slices), launch["workgroups"]))
        return launches

    def _state_buffers(self) -> list[tuple[int, int]]:
        return [tuple(state["buffers"]) for state in self._section.get("states", ())]

    def _state_memory(self, number: int) -> tuple[Any, np.dtype[Any]]:
        """The buffer that is read of a state, and the type of its words."""
        place = self._section["states"][number]
        buffer = self._weights[place["buffers"][self.states.turn]]
        return buffer, np.dtype(_STORAGE[place["storage"]])

    def _read_state(self, number: int, shape: tuple[int, ...]) -> Array:
        buffer, dtype = self._state_memory(number)
        words = np.zeros(0, dtype)
        if size := math.prod(shape) * dtype.itemsize:
            words = np.frombuffer(device().queue.read_buffer(buffer, 0, size), dtype)
        return from_storage(words, self._manifest["states"][number]["dtype"]).reshape(shape)

    def _write_state(self, number: int, array: Array) -> None:
        buffer, dtype = self._state_memory(number)
        words = np.ascontiguousarray(array.astype(dtype))
        if words.size:
            device().queue.write_buffer(buffer, 0, words)

    @staticmethod
    def _submit(launches: Sequence[_Bound]) -> None:
        """All launches in one command buffer."""
        encoder = device().create_command_encoder()
        compute_pass = encoder.begin_compute_pass()
        for kernel, group, workgroups in launches:
            if 0 in workgroups:
                continue
            kernel.encode(compute_pass, group, workgroups)
        compute_pass.end()
        device().queue.submit([encoder.finish()])

    @_said_of_device()
    def run(
        self,
        inputs: Mapping[str, Array],
        seed: int | None = None,
        state: ModelState | None = None,
    ) -> dict[str, Array]:
        """One inference: all launches in one command buffer.

        Args:
            state: what the run begins with and leaves behind; a new one if it is not given.
        """
        is_kept, state = state is not None, state or ModelState()
        gpu = device()
        for tensor in self._manifest["inputs"]:
            if tensor["name"] not in inputs:
                raise WebDNNError("an input is missing", where=tensor["name"])
        arrays = {name: np.asarray(array) for name, array in inputs.items()}
        shapes = {n: a.shape for n, a in arrays.items()}
        sizes = bound_values(self._manifest, shapes, state.known(self._manifest))
        following = sizes_after(self._manifest, sizes)
        self._resize(sizes)
        self.states.enter(state, sizes)
        manifest = self._at_sizes
        section = manifest["backends"]["webgpu"]
        for tensor, place in zip(manifest["inputs"], section["inputs"], strict=True):
            array = arrays[tensor["name"]]
            words = np.ascontiguousarray(array.astype(_STORAGE[place["storage"]]))
            if words.size:
                gpu.queue.write_buffer(self._buffers[place["buffer"]], place["offset"], words)
        if (place := section.get("seed")) is not None:
            buffer = self._buffers[place["buffer"]]
            gpu.queue.write_buffer(buffer, place["offset"], seed_words(seed))
        self._submit(self._launches[section.get("prepare", 0) :])
        outputs: dict[str, Array] = {}
        for tensor, place in zip(manifest["outputs"], section["outputs"], strict=True):
            words = np.zeros(0, _STORAGE[place["storage"]])
            if size := math.prod(tensor["shape"]) * words.itemsize:
                data = gpu.queue.read_buffer(self._buffers[place["buffer"]], place["offset"], size)
                words = np.frombuffer(data, words.dtype)
            array = from_storage(words, tensor["dtype"])
            outputs[tensor["name"]] = array.reshape(tensor["shape"])
        self.states.done(state, following)
        if not is_kept:
            self.states.forget()
        return outputs


def _uniform(numbers: Sequence[int]) -> Any:
    """A uniform buffer with these numbers."""
    data = np.array(numbers, np.int32)
    return device().create_buffer_with_data(data=data, usage=_wgpu().BufferUsage.UNIFORM)


_STORAGE = {"f32": np.float32, "i32": np.int32, "u32": np.uint32, "i64": np.int64}
