"""Where tensors of the host program lie: in memory of their own, or in a part of another tensor's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from xdsl.ir import Block, SSAValue

from webdnn.dialects import plan
from webdnn.dialects.plan import storage_of
from webdnn.dialects.sizes.questions import divides
from webdnn.dialects.sizes.types import shape_of

Strides = tuple[int, ...]
"""The distance in elements between neighbours along each dimension; 0 along one of size 1."""


@dataclass(frozen=True)
class Layout:
    """The elements of a tensor in the memory of `root`: the first one at `offset`, the others at `strides` from it."""

    root: SSAValue
    offset: int
    strides: Strides


def row_major(shape: Sequence[int]) -> Strides:
    """The strides of a tensor whose elements lie one after the other."""
    return tuple(0 if n == 1 else prod(shape[i + 1 :]) for i, n in enumerate(shape))


def reshaped(shape: Sequence[int], strides: Strides, new: Sequence[int]) -> Strides | None:
    """The strides of the same elements under another shape; None where there are none."""
    if 0 in shape:
        return row_major(new)
    runs: list[
        tuple[int, int]
    ] = []  # dimensions that are one in memory: their size, and the stride inside
    for size, stride in zip(shape, strides, strict=True):
        if size == 1:
            continue
        if runs and runs[-1][1] == size * stride:
            runs[-1] = (runs[-1][0] * size, stride)
        else:
            runs.append((size, stride))
    result: list[int] = []
    left, stride = 1, 0
    for size in reversed(new):
        if size == 1:
            result.append(0)
            continue
        if left == 1:
            left, stride = runs.pop()
        if not divides(size, left):
            return None
        result.append(stride)
        left, stride = left // size, stride * size
    return tuple(reversed(result))


def seen_as(value: SSAValue, strides: Strides, other: SSAValue) -> Strides | None:
    """The strides of `other`, a view of `value` or what `value` is a view of."""
    return reshaped(shape_of(value), strides, shape_of(other))


def narrowed(value: SSAValue, strides: Strides) -> Strides:
    """The strides of a part of a tensor that has `strides`."""
    return tuple(0 if n == 1 else s for n, s in zip(shape_of(value), strides, strict=True))


def span(shape: Sequence[int], strides: Strides) -> int:
    """How many elements there are from the first to the last element of a tensor."""
    if 0 in shape:
        return 0
    return 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))


class Layouts:
    """Where the tensors of a host program lie, as long as parts and views stay what they are.

    A launch may still be made to write over an operand, if nothing has asked for its result."""

    def __init__(self, block: Block) -> None:
        self._first: dict[SSAValue, SSAValue] = {}
        self._layouts: dict[SSAValue, Layout] = {}
        for op in reversed(block.ops):  # a whole before its parts
            if isinstance(op, plan.ConcatOp):
                whole, offsets = self.of(op.res), op.offsets()
                for part, offset in zip(op.parts, offsets, strict=True):
                    start = whole.offset + offset * whole.strides[op.axis.value.data]
                    own = Layout(whole.root, start, narrowed(part, whole.strides))
                    while isinstance(part.owner, plan.ViewOp):
                        own, part = _under(own, part, part.owner.source), part.owner.source
                    self._layouts.setdefault(part, own)

    def of(self, value: SSAValue) -> Layout:
        """Where a tensor lies.

        Raises:
            ValueError: it is a view that cannot be told from a part by strides.
        """
        if (known := self._layouts.get(value)) is not None:
            return known
        storage = self.first_storage(value)
        found = self._layouts.get(storage)
        if found is None:
            found = Layout(storage, 0, row_major(shape_of(storage)))
            self._layouts[storage] = found
        if value is not storage:
            found = self._layouts[value] = _under(found, storage, value)
        return found

    def first_storage(self, value: SSAValue) -> SSAValue:
        """The value whose memory `value` is: what it is a view of, and what that has been written over."""
        passed: list[SSAValue] = []
        while value not in self._first:
            value = storage_of(value)
            passed.append(value)
            launch = value.owner
            if not isinstance(launch, plan.LaunchOp) or launch.over is None:
                self._first[value] = value
                break
            value = launch.arguments[launch.over.value.data]
        first = self._first[value]
        self._first.update(dict.fromkeys(passed, first))
        return first


def _under(layout: Layout, value: SSAValue, other: SSAValue) -> Layout:
    strides = seen_as(value, layout.strides, other)
    if strides is None:
        raise ValueError(f"no strides make {value.type} in {layout.strides} a {other.type}")
    return Layout(layout.root, layout.offset, strides)
