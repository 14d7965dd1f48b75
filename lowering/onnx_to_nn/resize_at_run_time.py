"""Resampling by a factor that each run has: positions are computed on the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

from xdsl.dialects.builtin import f32, i64
from xdsl.ir import SSAValue

from webdnn.dialects.dtypes import is_float
from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.sizes.expression import UndecidedSize, is_symbolic, maximum, undecided
from webdnn.dialects.sizes.questions import is_known
from webdnn.dialects.sizes.ratio import ratio_of
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder


@dataclass(frozen=True)
class Varying:
    """One dimension that is resampled by a factor that each run has: `scale`, or `outputs / size`."""

    axis: int
    size: int
    outputs: int
    scale: float | None = None


_ROUNDING_OPS: dict[str, Callable[[SSAValue, NNBuilder], SSAValue]] = {
    "floor": lambda p, b: b(ew.FloorOp, p),
    "ceil": lambda p, b: b(ew.CeilOp, p),
    "round_prefer_floor": lambda p, b: b(ew.CeilOp, b(ew.SubOp, p, 0.5)),
    "round_prefer_ceil": lambda p, b: b(ew.FloorOp, b(ew.AddOp, p, 0.5)),
}


def read_at_run_time(
    x: SSAValue, d: Varying, mode: str, transform: str, rounding: str, b: NNBuilder
) -> SSAValue:
    """The nearest elements along a dimension, or what lies between two, at positions that are computed in each run."""
    last = maximum(d.size - 1, 0)
    position = b(ew.MaxOp, positions_at_run_time(d, transform, b), 0.0)
    if mode == "nearest":
        index = b.cast(_ROUNDING_OPS[rounding](position, b), i64)
        return b.insert(dm.GatherOp(x, b(ew.MinOp, index, last), d.axis))
    element = element_of(x)
    if not is_float(element):
        return b.cast(read_at_run_time(b.cast(x, f32), d, mode, transform, rounding, b), element)
    position = b(ew.MinOp, position, b.cast(b.constant(last, i64), f32))
    floor = b(ew.FloorOp, position)
    low = b.cast(floor, i64)
    high = b(ew.MinOp, b(ew.AddOp, low, 1), last)
    below, above = (b.insert(dm.GatherOp(x, index, d.axis)) for index in (low, high))
    behind = [1] * (len(shape_of(x)) - d.axis - 1)
    fraction = b.reshape(b(ew.SubOp, position, floor), [d.outputs, *behind])
    return b(ew.AddOp, below, b(ew.MulOp, b(ew.SubOp, above, below), b.cast(fraction, element)))


@dataclass(frozen=True)
class Cubic:
    """Cubic interpolation: `a`, the parameter of the kernel, and whether only elements inside the operand count."""

    a: float
    exclude_outside: bool

    def weights(self, fraction: SSAValue, b: NNBuilder) -> dict[int, SSAValue]:
        """The weights of the four elements around a position by their distance from the element at or before it, in the
        type of `fraction`, which is how far the position is from that one (Keys 1981)."""

        def polynomial(x: SSAValue, first: float, *others: float) -> SSAValue:
            value = b(ew.AddOp, b(ew.MulOp, x, first), others[0])
            for c in others[1:]:
                value = b(ew.AddOp, b(ew.MulOp, value, x), c)
            return value

        a = self.a
        near, far = (a + 2, -(a + 3), 0.0, 1.0), (a, -5 * a, 8 * a, -4 * a)
        rest = b(ew.SubOp, 1.0, fraction)
        return {
            -1: polynomial(b(ew.AddOp, fraction, 1.0), *far),
            0: polynomial(fraction, *near),
            1: polynomial(rest, *near),
            2: polynomial(b(ew.AddOp, rest, 1.0), *far),
        }


def cubic_at(x: SSAValue, axis: int, position: SSAValue, cubic: Cubic, b: NNBuilder) -> SSAValue:
    """What lies at positions `[outputs]` along a dimension of floats, by cubic interpolation."""
    last = maximum(shape_of(x)[axis] - 1, 0)
    floor = b(ew.FloorOp, position)
    low = b.cast(floor, i64)
    indices = {step: b(ew.AddOp, low, step) for step in (-1, 0, 1, 2)}
    weights = cubic.weights(b(ew.SubOp, position, floor), b)
    if cubic.exclude_outside:
        for step, index in indices.items():
            outside = b(ew.OrOp, b(ew.LessOp, index, 0), b(ew.LessOp, last, index))
            weights[step] = b(ew.SelectOp, outside, 0.0, weights[step])
        total = _sum([*weights.values()], b)
        weights = {step: b(ew.DivOp, weight, total) for step, weight in weights.items()}
    behind = [1] * (len(shape_of(x)) - axis - 1)
    parts: list[SSAValue] = []
    for step, index in indices.items():
        element = b.insert(dm.GatherOp(x, b(ew.MinOp, b(ew.MaxOp, index, 0), last), axis))
        weight = b.reshape(weights[step], [*shape_of(position), *behind])
        parts.append(b(ew.MulOp, element, b.cast(weight, element_of(x))))
    return _sum(parts, b)


def _sum(values: Sequence[SSAValue], b: NNBuilder) -> SSAValue:
    return reduce(lambda total, value: b(ew.AddOp, total, value), values)


def positions_at_run_time(d: Varying, transform: str, b: NNBuilder) -> SSAValue:
    """Where each result index reads, in f32, not clamped."""

    def number(size: int) -> SSAValue:
        return b.cast(b.constant(size, i64), f32)

    at = b.cast(b.iota([d.outputs], 0, i64), f32)
    if transform == "align_corners":
        scale = b(ew.DivOp, number(d.size - 1), number(maximum(d.outputs - 1, 1)))
        return b(ew.MulOp, at, scale)
    scale = b(ew.DivOp, number(d.outputs), number(d.size)) if d.scale is None else d.scale
    if transform == "asymmetric":
        return b(ew.DivOp, at, scale)
    if transform not in ("half_pixel", "pytorch_half_pixel"):
        raise undecided(f"where it reads ({transform}) depends on {d.size}", d.size, d.outputs)
    half = b(ew.SubOp, b(ew.DivOp, b(ew.AddOp, at, 0.5), scale), 0.5)
    if transform == "half_pixel":
        return half
    return b(ew.SelectOp, b(ew.LessOp, b.constant(1, i64), d.outputs), half, 0.0)


def varies(transform: str, outputs: int, size: int) -> bool:
    """Whether positions depend on symbols otherwise than by how many there are."""
    if not (is_symbolic(outputs) or is_symbolic(size)) or outputs == size:
        return False
    if transform == "align_corners":
        return True
    if transform == "pytorch_half_pixel" and not is_known(outputs, lambda n: n > 1):
        return True
    try:
        ratio_of(outputs, size)
    except UndecidedSize:
        return True
    return False
