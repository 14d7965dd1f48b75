"""Runs WebAssembly in wasmtime: one kernel, for tests and timings, or a compiled package."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import wasmtime
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

from webdnn.codegen.wasm.compile import compile_object
from webdnn.codegen.wasm.link import link
from webdnn.dialects import kernel
from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.sizes.substitution import evaluate
from webdnn.dialects.threefry import seed_words
from webdnn.dialects.wasm_memory import PAGE
from webdnn.engines.model_state import ModelState, StatesOnDevice, sizes_after
from webdnn.lowering.target_wasm.kernels_to_llvm import LowerKernelsToLLVM
from webdnn.manifest_checks import manifest_for_run
from webdnn.manifest_sizes import bound_values, likely_values, tensor_dtype

_KERNEL_STACK = 2**22


@cache
def _engine() -> wasmtime.Engine:
    config = wasmtime.Config()
    config.wasm_simd = True
    config.wasm_relaxed_simd = True
    config.cranelift_opt_level = "speed"
    return wasmtime.Engine(config)


def kernel_wasm(module: ModuleOp, name: str, *, relaxed: bool = False) -> bytes:
    """The linked module of one kernel of level `loops`, exported under its own name. `module` is not changed."""
    module = module.clone()
    for func in list(module.ops):
        if isinstance(func, kernel.FuncOp) and func.sym_name.data != name:
            module.body.block.erase_op(func)
    LowerKernelsToLLVM(relaxed=relaxed).apply(Context(), module)
    features = ("simd128", "relaxed-simd") if relaxed else ("simd128",)
    return link([compile_object(module, features)], exports=(name,), stack_size=_KERNEL_STACK)


def work_arguments(module: ModuleOp, name: str, sizes: Sequence[int] = ()) -> list[int]:
    """What a kernel of level `loops` wants behind its pointers to do all of its work, where its symbols are `sizes`."""
    func = kernel.kernels_of(module)[name]
    if func.work is None:
        return []
    values = {symbol.name: n for symbol, n in zip(func.symbols, sizes, strict=True)}
    return [0, evaluate(func.work_size, values)]


def place(arrays: Sequence[Array]) -> tuple[list[int], int]:
    """Where the operands of a lone kernel lie in memory (behind the stack), and the pages needed."""
    base = 2 * _KERNEL_STACK
    offsets: list[int] = []
    for array in arrays:
        offsets.append(base)
        base += -(-max(array.nbytes, 1) // 64) * 64
    return offsets, -(-base // PAGE) + 1


class KernelInstance:
    """One kernel in wasmtime with room for its operands.

    Args:
        module: holds the kernel, at level `loops`.
        name: its name.
        arrays: an array for each operand, inputs first. Outputs are arrays of the right size too.
        relaxed: use relaxed SIMD.
        sizes: the value of each of the kernel's symbols.
        wasm: what `kernel_wasm` gives, if it is there already.
    """

    def __init__(
        self,
        module: ModuleOp,
        name: str,
        arrays: Sequence[Array],
        *,
        relaxed: bool = False,
        sizes: Sequence[int] = (),
        wasm: bytes = b"",
    ) -> None:
        self.wasm = wasm or kernel_wasm(module, name, relaxed=relaxed)
        self.offsets, pages = place(arrays)
        self._sizes = sizes
        self._work = work_arguments(module, name, sizes)
        self._store = wasmtime.Store(_engine())
        limits = wasmtime.Limits(pages, None)
        self._memory = wasmtime.Memory(self._store, wasmtime.MemoryType(limits))
        instance = wasmtime.Instance(
            self._store, wasmtime.Module(_engine(), self.wasm), [self._memory]
        )
        function = instance.exports(self._store)[name]
        assert isinstance(function, wasmtime.Func)
        self._function = function
        for offset, array in zip(self.offsets, arrays, strict=True):
            self.write(offset, array)

    def write(self, offset: int, array: Array) -> None:
        """Copies an array into the memory."""
        self._memory.write(self._store, np.ascontiguousarray(array).tobytes(), offset)

    def read(self, index: int, like: Array) -> Array:
        """The operand `index`, with the shape and type of `like`."""
        offset = self.offsets[index]
        data = self._memory.read(self._store, offset, offset + like.nbytes)
        return np.frombuffer(bytes(data), like.dtype).reshape(like.shape).copy()

    def __call__(self, work: tuple[int, int] | None = None) -> None:
        """Runs the kernel once, or does the part of its work from `work[0]` to before `work[1]`."""
        self._function(self._store, *self._sizes, *self.offsets, *(work or self._work))


def instantiate(module: bytes, pages: int) -> Callable[..., Any]:
    """Load a module that imports nothing but a memory of so many pages, in whose every page something is written: a
    function that calls an export by name."""
    store = wasmtime.Store(_engine())
    memory = wasmtime.Memory(store, wasmtime.MemoryType(wasmtime.Limits(pages, pages)))
    ones = np.ones(PAGE // 4, np.float32).tobytes()
    for page in range(pages):
        memory.write(store, ones, page * PAGE)
    exports = wasmtime.Instance(store, wasmtime.Module(_engine(), module), [memory]).exports(store)

    def call(name: str, *arguments: Any) -> Any:
        function = exports[name]
        assert isinstance(function, wasmtime.Func)
        return function(store, *arguments)

    return call


class WasmModel:
    """The wasm back end of a package, loaded into wasmtime.

    Args:
        folder: one that a `Package` has written: what is in it is not checked again.

    Raises:
        WebDNNError: the package has no wasm back end, or wasmtime can run none of its modules.
    """

    def __init__(self, folder: Path) -> None:
        self._manifest = json.loads((folder / "model.json").read_text())
        if (section := self._manifest["backends"].get("wasm")) is None:
            raise WebDNNError("the package has no wasm back end", where=str(folder))
        self._section = section
        self._at_turns: dict[int, tuple[dict[str, int], dict[str, Any]]] = {}
        """The last sizes at each turn of the states, and the manifest with these."""
        self.states = StatesOnDevice(self._manifest, self._read_state, self._write_state)
        self._told = self._manifest
        """The one for which the table has been written."""
        self._store = wasmtime.Store(_engine())
        pages = section["memory"]["pages"]
        most = section["memory"].get("maxPages", pages)
        type = wasmtime.MemoryType(wasmtime.Limits(pages, most))
        try:
            self._memory = wasmtime.Memory(self._store, type)
        except wasmtime.WasmtimeError as error:
            raise WebDNNError(f"{pages} pages of memory cannot be had", why=str(error)) from error
        self._exports = self._instantiate(folder)
        offset = section["weights"]["offset"]
        for shard in section["weights"]["shards"]:
            data = (folder / shard["file"]).read_bytes()
            self._memory.write(self._store, data, offset)
            offset += len(data)
        if section.get("prepare"):
            self._call("prepare")

    @property
    def memory_pages(self) -> int:
        """The size of the memory, as far as it has grown."""
        return self._memory.size(self._store)

    def _instantiate(self, folder: Path) -> Any:
        failures: list[str] = []
        for entry in self._section["modules"]:
            if "threads" in entry.get("features", ()):
                continue  # they want shared memory and other threads
            try:
                module = wasmtime.Module(_engine(), (folder / entry["file"]).read_bytes())
                return wasmtime.Instance(self._store, module, [self._memory]).exports(self._store)
            except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
                failures.append(f"{entry['file']}: {error}")
        raise WebDNNError("wasmtime can run none of the wasm modules", why="; ".join(failures))

    def _call(self, name: str, *arguments: int) -> None:
        """Call an export.

        Raises:
            WebDNNError: there is none, or it fails.
        """
        function = self._exports.get(name)
        try:
            if not isinstance(function, wasmtime.Func):
                raise TypeError(f"it does not export the function {name}")
            function(self._store, *arguments)
        except (wasmtime.WasmtimeError, wasmtime.Trap, TypeError) as error:
            raise WebDNNError("the wasm module of the package fails", why=str(error)) from error

    def run(
        self,
        inputs: Mapping[str, Array],
        seed: int | None = None,
        state: ModelState | None = None,
    ) -> dict[str, Array]:
        """Runs the model once; arrays are converted to the dtype of the manifest where they differ.

        Args:
            state: what the run begins with and leaves behind; a new one if it is not given.

        Raises:
            WebDNNError: sizes are out of range, or need more memory than there is.
        """
        is_kept, state = state is not None, state or ModelState()
        shapes = {n: np.shape(a) for n, a in inputs.items()}
        sizes = bound_values(self._manifest, shapes, state.known(self._manifest))
        following = sizes_after(self._manifest, sizes)
        manifest = self._at_sizes(sizes)
        self.states.enter(state, sizes)
        section = manifest["backends"]["wasm"]
        for tensor, place in zip(manifest["inputs"], section["inputs"], strict=True):
            array = np.ascontiguousarray(inputs[tensor["name"]], dtype=tensor_dtype(tensor))
            self._memory.write(self._store, array.tobytes(), place["offset"])
        if (place := section.get("seed")) is not None:
            self._memory.write(self._store, seed_words(seed).tobytes(), place["offset"])
        self._call("run")
        outputs = self._outputs(manifest)
        self.states.done(state, following)
        if not is_kept:
            self.states.forget()
        return outputs

    def _state_place(self, number: int) -> int:
        place = self._section["states"][number]
        return place["offset"] + self.states.turn * place["bytes"]

    def _read_state(self, number: int, shape: tuple[int, ...]) -> Array:
        dtype = tensor_dtype(self._manifest["states"][number])
        start = self._state_place(number)
        data = self._memory.read(self._store, start, start + prod(shape) * dtype.itemsize)
        return np.frombuffer(bytes(data), dtype).reshape(shape).copy()

    def _write_state(self, number: int, array: Array) -> None:
        self._memory.write(self._store, array.tobytes(), self._state_place(number))

    def _at_sizes(self, sizes: dict[str, int]) -> dict[str, Any]:
        """The manifest with these sizes; the memory has room for them, and the module has been told."""
        if not self._manifest.get("symbols") and not self._manifest.get("states"):
            return self._manifest
        turn = self.states.turn
        known = self._at_turns.get(turn)
        if known is not None and known[0] == sizes:
            manifest = known[1]
        else:
            manifest = manifest_for_run(self._manifest, sizes, turn)
        if manifest is self._told:
            return manifest
        section = manifest["backends"]["wasm"]
        needed = -(-(section["arena"]["offset"] + section["arena"]["bytes"]) // PAGE)
        more = needed - self.memory_pages
        try:
            if more > 0:
                self._memory.grow(self._store, more)
        except wasmtime.WasmtimeError as error:
            raise WebDNNError(
                f"{needed * PAGE / 2**20:.0f} MiB of memory cannot be had for inputs of these sizes",
                why=str(error),
                hint="smaller inputs need less",
            ) from error
        if "table" in section:
            words = np.array(section["table"]["words"], np.uint32)
            self._memory.write(self._store, words.tobytes(), section["table"]["offset"])
        self._at_turns[turn] = sizes, manifest
        self._told = manifest
        return manifest

    def time_launches(self, inputs: Mapping[str, Array], rounds: int) -> list[list[float]]:
        """The milliseconds of each launch of a run, in rounds; the last entry of each round is that of a whole run."""
        self.run(inputs, state=ModelState(likely_values(self._manifest)))
        first, count = self._section.get("prepare", 0), len(self._section["launches"])
        times: list[list[float]] = []
        for _ in range(rounds):
            row: list[float] = []
            for i in range(first, count):
                start = time.perf_counter()
                self._call("run_range", i, i + 1)
                row.append((time.perf_counter() - start) * 1000)
            start = time.perf_counter()
            self._call("run")
            times.append([*row, (time.perf_counter() - start) * 1000])
        return times

    def _outputs(self, manifest: Mapping[str, Any]) -> dict[str, Array]:
        section = manifest["backends"]["wasm"]
        results: dict[str, Array] = {}
        for tensor, place in zip(manifest["outputs"], section["outputs"], strict=True):
            start, dtype = place["offset"], tensor_dtype(tensor)
            end = start + prod(tensor["shape"]) * dtype.itemsize
            array = np.frombuffer(bytes(self._memory.read(self._store, start, end)), dtype)
            results[tensor["name"]] = array.reshape(tensor["shape"]).copy()
        return results


@lru_cache(maxsize=2)
def _loaded(folder: Path, digest: bytes) -> WasmModel:
    return WasmModel(folder)


def loaded_wasm(package_dir: Path) -> WasmModel:
    """The wasm back end of a package in wasmtime. The last packages stay loaded."""
    folder = Path(package_dir).resolve()
    return _loaded(folder, sha256((folder / "model.json").read_bytes()).digest())


def run_wasm(
    package_dir: Path, inputs: Mapping[str, Array], seed: int | None = None
) -> dict[str, Array]:
    """Run the wasm back end of a package in wasmtime.

    The last packages stay loaded, so that a second run costs no loading.

    Args:
        package_dir: the folder of the package.
        inputs: an array for each input of the model, by name.
        seed: of the random numbers; a fresh one if it is not given.
    """
    return loaded_wasm(package_dir).run(inputs, seed)


def run_kernel(
    module: ModuleOp,
    name: str,
    arrays: Sequence[Array],
    outputs: Sequence[tuple[Sequence[int], npt.DTypeLike]],
    *,
    relaxed: bool = False,
) -> list[Array]:
    """Compile one kernel of level `loops`, run it in wasmtime, and give its outputs.

    Args:
        module: holds the kernel; it is not changed.
        name: the kernel's name.
        arrays: the inputs, in the order of the kernel's operands.
        outputs: shape and dtype of each output. Outputs begin filled with bytes 0xA5, to show what is not written.
        relaxed: use relaxed SIMD.
    """
    results = [
        np.full(int(np.prod(shape)) * np.dtype(dtype).itemsize, 0xA5, np.uint8)
        for shape, dtype in outputs
    ]
    instance = KernelInstance(module, name, [*arrays, *results], relaxed=relaxed)
    instance()
    return [
        instance.read(len(arrays) + i, np.empty(tuple(shape), dtype))
        for i, (shape, dtype) in enumerate(outputs)
    ]
