"""One kernel of level `kernels` to what a package holds of it. Kernels are compiled alone, in parallel, and cached."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any

from xdsl.dialects.builtin import ModuleOp

from webdnn.dialects import kernel
from webdnn.dialects.errors import WebDNNError, internal_errors
from webdnn.dialects.ir_printer import ir_text
from webdnn.dialects.sizes.expression import bounds
from webdnn.dialects.termination import restore_signals
from webdnn.kernel_cache import KernelCache
from webdnn.targets import find_target
from webdnn.targets.target import AnyTarget, UserPasses


def kernel_text(func: kernel.FuncOp) -> str:
    """A module of the kernel alone."""
    return ir_text(ModuleOp([func.clone()]), locations=False)


def compile_kernels(
    kernels: Sequence[kernel.FuncOp],
    target: str | AnyTarget,
    *,
    extra: UserPasses = (),
    cache: KernelCache,
    jobs: int | None = None,
    on_done: Callable[[], None] = lambda: None,
    nodes: Mapping[str, Sequence[str]] | None = None,
) -> list[Any]:
    """Compile kernels in parallel, in their order.

    Args:
        kernels: kernels of level `kernels`.
        target: what to compile for, or its name.
        extra: passes of the user's (see `Target.compile_kernel`); what comes out of them is not kept, because their
            code is not known.
        cache: where compiled kernels are looked for and kept.
        jobs: how many processes; by default one a core.
        on_done: called once for each kernel that is done.
        nodes: the nodes of the model that a kernel computes, by its name, for errors.
    """
    target = find_target(target) if isinstance(target, str) else target
    texts = [kernel_text(k) for k in kernels]
    if extra:
        cache = KernelCache(enabled=False)
    keys = [cache.key(target.name, text) for text in texts]
    results: dict[int, Any] = {}
    for index, key in enumerate(keys):
        entry = cache.get(key)
        found = None if entry is None else target.from_entry(entry, kernels[index])
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
                results[index] = target.compile_kernel(texts[index], extra)
            cache.put(keys[index], target.to_entry(results[index]))
            on_done()
        return [results[i] for i in range(len(texts))]
    start = multiprocessing.get_context(_start_method())
    with ProcessPoolExecutor(jobs, mp_context=start, initializer=_leave_interrupts) as pool:
        futures: dict[int, Future[Any]] = {
            i: pool.submit(target.compile_kernel, texts[i], extra) for i in missing
        }
        try:
            for index, future in futures.items():
                with _errors_at(kernels[index], nodes, extra):
                    results[index] = future.result()
                cache.put(keys[index], target.to_entry(results[index]))
                on_done()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [results[i] for i in range(len(texts))]


def _check_tensors(func: kernel.FuncOp, target: AnyTarget) -> None:
    """Check that each tensor of a kernel can lie in the memory of the target, for some sizes at least. (Whether all of
    them can is known when they have addresses, or when sizes are.)"""
    tensors = (*func.function_type.inputs, *func.function_type.outputs)
    sizes = map(target.lowering.memory.tensor_bytes, tensors)
    target.check_tensor(max((bounds(size)[0] for size in sizes), default=0))


@contextmanager
def _errors_at(
    func: kernel.FuncOp,
    nodes: Mapping[str, Sequence[str]] | None,
    extra: UserPasses,
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
    """A Ctrl-C is for the process that waits: it takes back what has not begun, and workers end what has. Any other
    signal ends a worker at once."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    restore_signals()


def _start_method() -> str:
    """Forked workers have the compiler loaded already; where there is no fork (or it is not safe), they load it."""
    return "fork" if os.name == "posix" and os.uname().sysname == "Linux" else "spawn"
