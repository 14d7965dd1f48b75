"""The numpy meaning of kernels of level `loops`, for a CPU and for a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from webdnn.dialects.dtypes import Array
from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.numpy_meaning.lockstep import LANES, Execution, Memory
from webdnn.dialects.numpy_meaning.loop_ops import LOOP_MEANING
from webdnn.dialects.sizes.substitution import evaluate


def run_loops(
    func: FuncOp,
    memories: Sequence[Array],
    work: tuple[int, int] | None = None,
    *,
    sizes: Sequence[int] = (),
) -> None:
    """Runs a kernel of level `loops` on flat arrays, one for each memref, outputs last; the outputs are
    written to.

    Args:
        work: the part of the kernel's work that is done, by default all.
        sizes: the value of each of the kernel's symbols.

    Raises:
        LoopsError: an access leaves its memory, or an op has no meaning on this level.
    """
    values = {s.name: n for s, n in zip(func.symbols, sizes, strict=True)}
    operands = [*(np.int64(n) for n in sizes), *map(Memory, memories)]
    with np.errstate(all="ignore"):
        if func.grid is None:
            whole = (0, evaluate(func.work_size, values))
            _run_body(func, operands, Execution(LOOP_MEANING, work or whole))
            return
        grid = [evaluate(size, values) for size in func.grid_sizes]
        workgroup = [1, 1, 1]
        if func.workgroup is not None:
            workgroup = [n.value.data for n in func.workgroup.data]
        groups, threads = prod(grid), prod(workgroup)
        each = max(1, LANES // threads)
        for start in range(0, groups, each):
            _run_groups(func, operands, grid, workgroup, range(start, min(start + each, groups)))


def _run_body(func: FuncOp, operands: Sequence[Any], run: Execution) -> None:
    for arg, operand in zip(func.body.block.args, operands, strict=True):
        run.set(arg, operand)
    run.block(func.body.block)


def _run_groups(
    func: FuncOp,
    operands: Sequence[Any],
    grid: Sequence[int],
    workgroup: Sequence[int],
    groups: range,
) -> None:
    threads = prod(workgroup)
    count = len(groups) * threads
    run = Execution(LOOP_MEANING)
    run.enter(count, np.zeros(count, np.intp))
    lanes = run.lanes[-1]
    group = np.repeat(np.asarray(groups), threads)
    thread = np.tile(np.arange(threads), len(groups))
    lanes.group = group - groups.start
    for i, axis in enumerate("xyz"):
        block = group // prod(grid[:i]) % grid[i]
        local = thread // prod(workgroup[:i]) % workgroup[i]
        lanes.ids[f"gpu.block_id.{axis}"] = block
        lanes.ids[f"gpu.thread_id.{axis}"] = local
        lanes.ids[f"gpu.global_id.{axis}"] = block * workgroup[i] + local
    _run_body(func, operands, run)
