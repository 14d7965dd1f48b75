"""The numpy meaning of kernels of level `loops`, for a CPU and for a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, cast

import numpy as np

from webdnn.dialects.dtypes import Array
from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.numpy_meaning.lockstep import LANES, Execution, Memory
from webdnn.dialects.numpy_meaning.loop_ops import LOOP_MEANING


def _numbers(attr: Any) -> list[int]:
    return [cast(int, a.value.data) for a in attr.data]


def run_loops(func: FuncOp, memories: Sequence[Array], work: tuple[int, int] | None = None) -> None:
    """Runs a kernel of level `loops` on flat arrays, one for each operand, outputs last; the outputs are
    written to.

    Args:
        work: the part of the kernel's work that is done, by default all.

    Raises:
        LoopsError: an access leaves its memory, or an op has no meaning on this level.
    """
    with np.errstate(all="ignore"):
        if func.grid is None:
            whole = (0, func.work.value.data if func.work is not None else 0)
            _run_body(func, memories, Execution(LOOP_MEANING, work or whole))
            return
        grid = _numbers(func.grid)
        workgroup = _numbers(func.workgroup) if func.workgroup is not None else [1, 1, 1]
        groups, threads = prod(grid), prod(workgroup)
        each = max(1, LANES // threads)
        for start in range(0, groups, each):
            _run_groups(func, memories, grid, workgroup, range(start, min(start + each, groups)))


def _run_body(func: FuncOp, memories: Sequence[Array], run: Execution) -> None:
    for arg, memory in zip(func.body.block.args, memories, strict=True):
        run.set(arg, Memory(memory))
    run.block(func.body.block)


def _run_groups(
    func: FuncOp,
    memories: Sequence[Array],
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
    _run_body(func, memories, run)
