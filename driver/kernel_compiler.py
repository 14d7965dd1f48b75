"""One kernel of level `kernels` to what a package holds of it. Kernels are compiled alone, in parallel, and cached."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from io import StringIO

from xdsl.context import Context
from xdsl.dialects import vector
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser
from xdsl.passes import ModulePass
from xdsl.printer import Printer

from webdnn.codegen.wasm.compile import compile_object
from webdnn.codegen.wgsl.module import Shader, print_shaders
from webdnn.dialects import kernel
from webdnn.dialects.errors import WebDNNError, internal_errors
from webdnn.dialects.wasm_memory import PAGE, check_pages
from webdnn.dialects.webgpu_limits import MOST_BUFFER_BYTES
from webdnn.kernel_cache import KernelCache
from webdnn.lowering.kernels.plan_memory import tensor_bytes
from webdnn.lowering.target_wasm.expand_half import ExpandHalf
from webdnn.lowering.target_wasm.expand_math import ExpandMath
from webdnn.lowering.target_wasm.kernels_to_llvm import LowerKernelsToLLVM
from webdnn.lowering.target_wasm.launch_calls import KernelWork
from webdnn.lowering.target_wasm.layout import kernel_stack_bytes
from webdnn.stages import Target, context, passes_between

WASM_VARIANTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("relaxed-simd", ("simd128", "relaxed-simd")),
    ("simd128", ("simd128",)),
)
"""The wasm modules of a package, best first: name and WebAssembly features."""


@dataclass(frozen=True)
class WasmKernel:
    """An object file for each of WASM_VARIANTS, the bytes of stack that the kernel's own arrays take, and how its work
    can be shared."""

    objects: tuple[bytes, ...]
    stack_bytes: int
    work: KernelWork | None


CompiledKernel = WasmKernel | Shader


def kernel_text(func: kernel.FuncOp) -> str:
    """A module of the kernel alone. In generic form: upstream cannot parse its print of a generic with two results."""
    stream = StringIO()
    Printer(stream, print_generic_format=True).print_op(ModuleOp([func.clone()]))
    return stream.getvalue()


def _parse(ctx: Context, text: str) -> ModuleOp:
    return Parser(ctx, text).parse_module()


def compile_kernel(
    text: str,
    target: Target,
    extra: Sequence[tuple[str, ModulePass]] = (),
    wasm_variants: Sequence[tuple[str, tuple[str, ...]]] = WASM_VARIANTS,
) -> CompiledKernel:
    """Compile the kernel whose IR on level `kernels` is `text`.

    Args:
        extra: passes of the user's, each with the stage after which it runs (`loops` or `target`).
        wasm_variants: what of WASM_VARIANTS to make.
    """
    ctx = context()
    module = _parse(ctx, text)
    _lower(ctx, module, "kernels", "loops", target, extra)
    if target == "webgpu":
        _lower(ctx, module, "loops", "target", target, extra)
        (shader,) = print_shaders(module)
        return shader
    (func,) = [op for op in module.ops if isinstance(op, kernel.FuncOp)]
    ExpandHalf().apply(ctx, module)
    ExpandMath().apply(ctx, module)
    stack = kernel_stack_bytes(func)
    # The variants differ in how vectors are multiplied and added; without that they are one.
    differ = bool(extra) or any(isinstance(op, vector.FMAOp) for op in func.walk())
    variants = wasm_variants if differ else wasm_variants[-1:]
    objects: list[bytes] = []
    for _, features in variants:
        variant = module.clone()
        LowerKernelsToLLVM(relaxed="relaxed-simd" in features).apply(ctx, variant)
        for stage, step in extra:
            if stage == "target":
                step.apply(ctx, variant)
        objects.append(compile_object(variant, features))
    if not differ:
        objects *= len(wasm_variants)
    return WasmKernel(tuple(objects), stack, KernelWork.of(func))


def _lower(
    ctx: Context,
    module: ModuleOp,
    start: str,
    stop: str,
    target: Target,
    extra: Sequence[tuple[str, ModulePass]],
) -> None:
    for _, step in passes_between(start, stop, target):
        step.apply(ctx, module)
    for stage, step in extra:
        if stage == stop:
            step.apply(ctx, module)


def compile_kernels(
    kernels: Sequence[kernel.FuncOp],
    target: Target,
    *,
    extra: Sequence[tuple[str, ModulePass]] = (),
    cache: KernelCache,
    jobs: int | None = None,
    on_done: Callable[[], None] = lambda: None,
    nodes: Mapping[str, Sequence[str]] | None = None,
) -> list[CompiledKernel]:
    """Compile kernels in parallel, in their order.

    Args:
        kernels: kernels of level `kernels`.
        target: what to compile for.
        extra: passes of the user's (see `compile_kernel`); what comes out of them is not kept, because their code is
            not known.
        cache: where compiled kernels are looked for and kept.
        jobs: how many processes; by default one a core.
        on_done: called once for each kernel that is done.
        nodes: the nodes of the model that a kernel computes, by its name, for errors.
    """
    texts = [kernel_text(k) for k in kernels]
    if extra:
        cache = KernelCache(enabled=False)
    keys = [cache.key(target, text) for text in texts]
    results: dict[int, CompiledKernel] = {}
    for index, key in enumerate(keys):
        found = cache.get(key)
        if isinstance(found, WasmKernel | Shader):
            results[index] = found
            on_done()
    for func in kernels:
        with _errors_at(func, nodes, extra):
            _check_tensors(func, target)
    missing = [i for i in range(len(texts)) if i not in results]
    jobs = min(jobs or os.cpu_count() or 1, len(missing))
    if jobs <= 1:
        for index in missing:
            with _errors_at(kernels[index], nodes, extra):
                results[index] = compile_kernel(texts[index], target, extra)
            cache.put(keys[index], results[index])
            on_done()
        return [results[i] for i in range(len(texts))]
    start = multiprocessing.get_context(_start_method())
    with ProcessPoolExecutor(jobs, mp_context=start, initializer=_leave_interrupts) as pool:
        futures: dict[int, Future[CompiledKernel]] = {
            i: pool.submit(compile_kernel, texts[i], target, extra) for i in missing
        }
        try:
            for index, future in futures.items():
                with _errors_at(kernels[index], nodes, extra):
                    results[index] = future.result()
                cache.put(keys[index], results[index])
                on_done()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [results[i] for i in range(len(texts))]


def _check_tensors(func: kernel.FuncOp, target: Target) -> None:
    """Check that each tensor of a kernel can lie in a WebAssembly memory, or in a buffer that WGSL can address.
    (Whether all of them can is known when they have addresses.)"""
    tensors = (*func.function_type.inputs, *func.function_type.outputs)
    largest = max((tensor_bytes(t, target) for t in tensors), default=0)
    if target == "wasm":
        check_pages(-(-largest // PAGE))
    elif largest > MOST_BUFFER_BYTES:
        raise WebDNNError(
            f"the model has a tensor of {largest / 2**30:.1f} GiB",
            why="indices in WGSL have 32 bits, which reach 4 GiB",
            hint="a smaller input, batch or model",
        )


@contextmanager
def _errors_at(
    func: kernel.FuncOp,
    nodes: Mapping[str, Sequence[str]] | None,
    extra: Sequence[tuple[str, ModulePass]],
) -> Generator[None, None, None]:
    """Errors name the nodes that a kernel computes: its own module does not know them.

    What a pass of the user's raises stays what it is.
    """
    name = func.sym_name.data
    where = (nodes or {}).get(name, ())
    try:
        with nullcontext() if extra else internal_errors(f"compile the kernel {name}"):
            yield
    except WebDNNError as error:
        raise error.at(where) from (error.__cause__ or error)


def _leave_interrupts() -> None:
    """A Ctrl-C is for the process that waits: it takes back what has not begun, and workers end what has."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _start_method() -> str:
    """Forked workers have the compiler loaded already; where there is no fork (or it is not safe), they load it."""
    return "fork" if os.name == "posix" and os.uname().sysname == "Linux" else "spawn"
