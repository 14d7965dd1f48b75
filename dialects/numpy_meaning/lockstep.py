"""Runs ops on all iterations of a parallel loop at once, in lockstep.

Every scalar is an array with an element (a lane) for each iteration of the `scf.parallel` loops around it,
or for each GPU invocation; a vector has its own dimension behind. What is the same in all lanes stays a
single element. `scf.for` steps through its iterations with all lanes; where lanes disagree about a
condition or a bound, those that do not take part are masked. A barrier has nothing to do: no lane is ever
ahead of another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from xdsl.dialects import memref, scf
from xdsl.dialects.builtin import MemRefType, StringAttr, VectorType
from xdsl.ir import Block, Operation, SSAValue

from webdnn.dialects.dtypes import Array
from webdnn.dialects.kernel import ReturnOp
from webdnn.dialects.numpy_meaning.arith import ARITH_MEANING, dtype_of
from webdnn.dialects.numpy_meaning.math import MATH_MEANING

LANES = 8192
"""Iterations that run in lockstep at a time, so that the values of all of them stay small."""


@dataclass
class Memory:
    """What a memref names: one array for all lanes, or a row for each of some lanes."""

    data: Array
    depth: int = 0
    """The number of the lane set that has a row each; 0 where all lanes share one."""
    per_group: bool = False


@dataclass
class Lanes:
    """A set of lanes that run in lockstep; each comes from a lane of the set around it."""

    count: int
    parent: Array
    mask: Array | None = None
    group: Array | None = None
    defined: list[SSAValue] = field(default_factory=list[SSAValue])
    ids: dict[str, Array] = field(default_factory=dict[str, Array])
    spread: dict[SSAValue, Any] = field(default_factory=dict[SSAValue, Any])
    """Values of the sets around, with an element for each lane of this one."""


class LoopsError(Exception):
    """IR of level `loops` that reads or writes outside of its memory, or holds an op that has no meaning
    there."""


class Execution:
    """Runs the body of one kernel.

    Args:
        meanings: what runs ops other than those of `arith` and `math`.
        work: the part of the kernel's work that is done.
    """

    def __init__(self, meanings: Meanings, work: tuple[int, int] = (0, 0)) -> None:
        self.meanings = meanings
        self.work = work
        self.lanes = [Lanes(1, np.zeros(1, np.intp))]
        self.values: dict[SSAValue, tuple[Any, int]] = {}

    # values

    @property
    def depth(self) -> int:
        return len(self.lanes) - 1

    def set(self, value: SSAValue, array: Any) -> None:
        self.values[value] = (array, self.depth)
        self.lanes[-1].defined.append(value)

    def get(self, value: SSAValue) -> Any:
        array, depth = self.values[value]
        if depth < self.depth and not isinstance(array, Memory) and self._has_lanes(value, array):
            spread = self.lanes[-1].spread
            if value not in spread:
                spread[value] = array[self.ancestors(depth)]
            return spread[value]
        return array

    def _has_lanes(self, value: SSAValue, array: Any) -> bool:
        return np.ndim(array) > (1 if isinstance(value.type, VectorType) else 0)

    def ancestors(self, depth: int) -> Array:
        """For each lane, the lane that it comes from in the set number `depth`."""
        index = np.arange(self.lanes[-1].count)
        for lanes in reversed(self.lanes[depth + 1 :]):
            index = lanes.parent[index]
        return index

    def enter(self, count: int, parent: Array) -> None:
        around = self.lanes[-1]
        mask = None if around.mask is None else around.mask[parent]
        group = None if around.group is None else around.group[parent]
        self.lanes.append(Lanes(count, parent, mask, group))

    def leave(self) -> None:
        for value in self.lanes.pop().defined:
            self.values.pop(value, None)

    def uniform(self, value: SSAValue) -> int:
        """A scalar that all lanes agree on."""
        array = np.asarray(self.get(value))
        if array.ndim:
            if array.size and (array != array.flat[0]).any():
                raise _NotUniform
            array = array.reshape(-1)[0]
        return int(array)

    # control flow

    def block(self, block: Block) -> tuple[Any, ...]:
        """Runs a block; gives what its terminator passes on."""
        for op in block.ops:
            if isinstance(op, scf.YieldOp | scf.ReduceOp | ReturnOp):
                return tuple(self.get(v) for v in op.operands)
            self.op(op)
        return ()

    def op(self, op: Operation) -> None:
        run = self.meanings.get(type(op))
        if run is not None:
            run(self, op)
            return
        meaning = ARITH_MEANING.get(type(op)) or MATH_MEANING.get(type(op))
        if meaning is None:
            raise LoopsError(f"{op.name} has no meaning on level loops")
        args = [self.get(v) for v in op.operands]
        self.set(op.results[0], meaning(op, *args))

    def parallel(self, op: scf.ParallelOp) -> None:
        try:
            bounds = [
                (self.uniform(lb), self.uniform(ub), self.uniform(step))
                for lb, ub, step in zip(op.lowerBound, op.upperBound, op.step, strict=True)
            ]
        except _NotUniform:
            self._ragged_parallel(op)
            return
        ranges = [np.arange(lb, ub, step, dtype=np.int64) for lb, ub, step in bounds]
        points = prod(len(r) for r in ranges)
        grid = [g.reshape(-1) for g in np.meshgrid(*ranges, indexing="ij")] if ranges else []
        outer = self.lanes[-1].count
        each = max(1, LANES // outer)
        for start in range(0, points, each):
            count = min(each, points - start)
            self.enter(outer * count, np.repeat(np.arange(outer), count))
            for arg, values in zip(op.body.block.args, grid, strict=True):
                self.set(arg, np.tile(values[start : start + count], outer))
            self.block(op.body.block)
            self.leave()

    def _ragged_parallel(self, op: scf.ParallelOp) -> None:
        """Lanes have different bounds: all run as many iterations as any, masked behind their own last one."""
        if len(op.lowerBound) != 1:
            raise LoopsError("the bounds of an scf.parallel of several dimensions differ")
        lb, ub = (np.asarray(self.get(v[0])) for v in (op.lowerBound, op.upperBound))
        step = self.uniform(op.step[0])
        outer = self.lanes[-1].count
        lb, ub = np.broadcast_to(lb, outer), np.broadcast_to(ub, outer)
        longest = max(int(np.max(-((lb - ub) // step), initial=0)), 0)
        each = max(1, LANES // max(outer, 1))
        for start in range(0, longest, each):
            count = min(each, longest - start)
            parent = np.repeat(np.arange(outer), count)
            values = lb[parent] + step * np.tile(np.arange(start, start + count), outer)
            self.enter(outer * count, parent)
            lanes = self.lanes[-1]
            active = values < ub[parent]
            lanes.mask = active if lanes.mask is None else active & lanes.mask
            self.set(op.body.block.args[0], values)
            self.block(op.body.block)
            self.leave()

    def loop(self, op: scf.ForOp) -> None:
        carried = [self.get(v) for v in op.iter_args]
        body = op.body.block
        try:
            lb, ub, step = (self.uniform(v) for v in (op.lb, op.ub, op.step))
        except _NotUniform:
            self._ragged_loop(op, carried)
            return
        for i in range(lb, ub, step):
            self.set(body.args[0], np.int64(i))
            for arg, value in zip(body.args[1:], carried, strict=True):
                self.set(arg, value)
            carried = list(self.block(body))
        for result, value in zip(op.results, carried, strict=True):
            self.set(result, value)

    def _ragged_loop(self, op: scf.ForOp, carried: list[Any]) -> None:
        """Lanes have different bounds: those that are done are masked."""
        body = op.body.block
        lb, ub, step = (np.asarray(self.get(v)) for v in (op.lb, op.ub, op.step))
        lanes = self.lanes[-1]
        before = lanes.mask
        iv = np.broadcast_to(lb, lanes.count).copy()
        while True:
            active = iv < ub
            if before is not None:
                active = active & before
            if not active.any():
                break
            lanes.mask = active
            self.set(body.args[0], iv)
            for arg, value in zip(body.args[1:], carried, strict=True):
                self.set(arg, value)
            new = self.block(body)
            carried = [
                _where(active, n, c, v) for n, c, v in zip(new, carried, op.results, strict=True)
            ]
            iv = iv + step
        lanes.mask = before
        for result, value in zip(op.results, carried, strict=True):
            self.set(result, value)

    def branch(self, op: scf.IfOp) -> None:
        cond = np.asarray(self.get(op.cond))
        then, other = op.true_region, op.false_region
        if cond.ndim == 0 or (cond == cond.flat[0]).all():
            region = then if cond.reshape(-1)[0] else other
            results = self.block(region.block) if region.blocks else ()
        else:
            lanes = self.lanes[-1]
            before = lanes.mask
            lanes.mask = cond if before is None else cond & before
            first = self.block(then.block)
            lanes.mask = ~cond if before is None else ~cond & before
            second = self.block(other.block) if other.blocks else ()
            lanes.mask = before
            results = tuple(
                _where(cond, a, b, r) for a, b, r in zip(first, second, op.results, strict=True)
            )
        for result, value in zip(op.results, results, strict=True):
            self.set(result, value)

    # memory

    def alloca(self, op: memref.AllocaOp) -> None:
        type = op.memref.type
        assert isinstance(type, MemRefType)
        size, dtype = prod(type.get_shape()), dtype_of(type.element_type)
        lanes = self.lanes[-1]
        if not self.depth:
            self.set(op.memref, Memory(np.zeros(size, dtype)))
            return
        if isinstance(type.memory_space, StringAttr) and type.memory_space.data == "workgroup":
            group = self.group()
            rows = int(group.max()) + 1
            self.set(op.memref, Memory(np.zeros((rows, size), dtype), self.depth, True))
            return
        self.set(op.memref, Memory(np.zeros((lanes.count, size), dtype), self.depth))

    def group(self) -> Array:
        """The workgroup of each lane, counted from 0 in those that run at a time."""
        group = self.lanes[-1].group
        return np.zeros(self.lanes[-1].count, np.intp) if group is None else group

    def _place(self, memory: Memory, index: Any, width: int) -> tuple[Any, ...]:
        """The numpy index of elements of a memory: lanes first, `width` neighbours behind (0 for a
        scalar)."""
        index = np.asarray(index)
        mask = self.lanes[-1].mask
        size = memory.data.shape[-1]
        last = max(width, 1) - 1
        if mask is not None:
            index = np.where(mask, index, 0)
        if index.size and (index.min() < 0 or index.max() + last >= size):
            raise LoopsError(
                f"an access from {index.min()} to {index.max() + last} leaves a memref of {size}"
            )
        return self._rows(memory, index, width)

    def _rows(self, memory: Memory, index: Array, width: int) -> tuple[Any, ...]:
        at = index[..., None] + np.arange(width) if width else index
        if memory.data.ndim == 1:
            return (at,)
        rows = self.group() if memory.per_group else self.ancestors(memory.depth)
        return (rows[:, None] if width else rows, at)

    def load(self, memory: Memory, index: Any, width: int) -> Any:
        lanes = self.lanes[-1]
        if lanes.mask is not None and not lanes.mask.any():  # the memory may be empty
            shape = (lanes.count, width) if width else (lanes.count,)
            return np.zeros(shape, memory.data.dtype)
        return memory.data[self._place(memory, index, width)]

    def store(self, memory: Memory, index: Any, value: Any, width: int) -> None:
        mask = self.lanes[-1].mask
        if mask is not None and not mask.any():
            return
        place = self._place(memory, index, width)
        if mask is None:
            memory.data[place] = value
            return
        shape = (self.lanes[-1].count, width) if width else (self.lanes[-1].count,)
        kept = tuple(np.broadcast_to(p, shape)[mask] for p in place)
        memory.data[kept] = np.broadcast_to(value, shape)[mask]


class _NotUniform(Exception):
    """Lanes disagree about a scalar."""


def _where(cond: Array, a: Any, b: Any, like: SSAValue) -> Any:
    if isinstance(like.type, VectorType):
        cond = cond[:, None]
    return np.where(cond, a, b)


Meaning = Callable[[Execution, Any], None]
Meanings = Mapping[type[Operation], Meaning]
