"""Where tensors of the host program lie: in memory of their own, or in a part of another tensor's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from xdsl.ir import SSAValue

from webdnn.dialects import plan
from webdnn.dialects.plan import storage_of
from webdnn.dialects.sizes.expression import divides
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


def layout_of(value: SSAValue) -> Layout:
    """Where a tensor lies.

    Raises:
        ValueError: it is a view that cannot be told from a part by strides.
    """
    storage = first_storage(value)
    layout = _as_part(storage) or Layout(storage, 0, row_major(shape_of(storage)))
    return layout if value is storage else _under(layout, storage, value)


def first_storage(value: SSAValue) -> SSAValue:
    """The value whose memory `value` is: what it is a view of, and what that has been written over."""
    while True:
        value = storage_of(value)
        launch = value.owner
        if not isinstance(launch, plan.LaunchOp) or launch.over is None:
            return value
        value = launch.arguments[launch.over.value.data]


def _as_part(value: SSAValue) -> Layout | None:
    """Where a tensor lies that is a part of another one; None if it is not."""
    for use in value.uses:
        match use.operation:
            case plan.ConcatOp() as op:
                whole = layout_of(op.res)
                offset = op.offsets()[use.index] * whole.strides[op.axis.value.data]
                own = narrowed(value, whole.strides)
                return Layout(whole.root, whole.offset + offset, own)
            case plan.ViewOp() as op:
                if (layout := _as_part(op.res)) is not None:
                    return _under(layout, op.res, value)
            case _:
                pass
    return None


def _under(layout: Layout, value: SSAValue, other: SSAValue) -> Layout:
    strides = seen_as(value, layout.strides, other)
    if strides is None:
        raise ValueError(f"no strides make {value.type} in {layout.strides} a {other.type}")
    return Layout(layout.root, layout.offset, strides)
