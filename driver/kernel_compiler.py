"""One kernel of level `kernels` to what a package holds of it. Kernels are compiled alone, in parallel, and cached."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, nullcontext

from xdsl.context import Context
from xdsl.dialects import vector
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from webdnn.codegen.wasm.compile import compile_object
from webdnn.codegen.wgsl.module import print_shaders
from webdnn.compiled_kernel import (
    WASM_VARIANTS,
    CompiledKernel,
    WasmKernel,
    from_entry,
    to_entry,
)
from webdnn.dialects import kernel
from webdnn.dialects.errors import WebDNNError, internal_errors
from webdnn.dialects.ir_parser import IRParser
from webdnn.dialects.ir_printer import ir_text
from webdnn.dialects.wasm_memory import PAGE, check_pages
from webdnn.dialects.webgpu_limits import MOST_BUFFER_BYTES
from webdnn.kernel_cache import KernelCache
from webdnn.lowering.storage_size import tensor_bytes
from webdnn.lowering.target_wasm.expand_half import ExpandHalf
from webdnn.lowering.target_wasm.expand_math import ExpandMath
from webdnn.lowering.target_wasm.kernels_to_llvm import LowerKernelsToLLVM
from webdnn.lowering.target_wasm.launch_calls import KernelWork
from webdnn.lowering.target_wasm.layout import kernel_stack_bytes
from webdnn.stages import Target, apply_pass, context, passes_between


def kernel_text(func: kernel.FuncOp) -> str:
    """A module of the kernel alone."""
    return ir_text(ModuleOp([func.clone()]), locations=False)


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
    module = IRParser(ctx, text).parse_module()
    _lower(ctx, module, "kernels", "loops", target, extra)
    if target == "webgpu":
        _lower(ctx, module, "loops", "target", target, extra)
        (shader,) = print_shaders(module)
        return shader
    (func,) = [op for op in module.ops if isinstance(op, kernel.FuncOp)]
    apply_pass(ExpandHalf(), ctx, module)
    apply_pass(ExpandMath(), ctx, module)
    stack = kernel_stack_bytes(func)
    # The variants differ in how vectors are multiplied and added; without that they are one.
    differ = bool(extra) or any(isinstance(op, vector.FMAOp) for op in func.walk())
    variants = wasm_variants if differ else wasm_variants[-1:]
    objects: list[bytes] = []
    for _, features in variants:
        variant = module.clone()
        apply_pass(LowerKernelsToLLVM(relaxed="relaxed-simd" in features), ctx, variant)
        for stage, step in extra:
            if stage == "target":
                apply_pass(step, ctx, variant)
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
        apply_pass(step, ctx, module)
    for stage, step in extra:
        if stage == stop:
            apply_pass(step, ctx, module)


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
        entry = cache.get(key)
        found = None if entry is None else from_entry(entry, kernels[index], target)
        if found is not None:
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
            cache.put(keys[index], to_entry(results[index]))
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
                cache.put(keys[index], to_entry(results[index]))
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
