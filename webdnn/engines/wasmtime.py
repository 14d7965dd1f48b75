"""Runs WebAssembly in wasmtime: one kernel, for tests and timings, or a compiled package."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import wasmtime
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

from webdnn.codegen.wasm.compile import compile_object
from webdnn.codegen.wasm.link import PAGE, link
from webdnn.dialects import kernel
from webdnn.lowering.target_wasm.kernels_to_llvm import LowerKernelsToLLVM

Array = npt.NDArray[Any]

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
    """

    def __init__(
        self, module: ModuleOp, name: str, arrays: Sequence[Array], *, relaxed: bool = False
    ) -> None:
        self.wasm = kernel_wasm(module, name, relaxed=relaxed)
        self.offsets, pages = place(arrays)
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

    def __call__(self) -> None:
        """Runs the kernel once."""
        self._function(self._store, *self.offsets)


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


def time_kernel(
    module: ModuleOp,
    name: str,
    arrays: Sequence[Array],
    *,
    relaxed: bool = False,
    seconds: float = 0.5,
) -> float:
    """The best time of one run of a kernel in wasmtime, in seconds.

    Args:
        arrays: an array for each operand, outputs too.
        seconds: how long to go on trying.
    """
    instance = KernelInstance(module, name, arrays, relaxed=relaxed)
    instance()
    best, stop = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < stop:
        start = time.perf_counter()
        instance()
        best = min(best, time.perf_counter() - start)
    return best
