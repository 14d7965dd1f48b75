"""Resize and Upsample: which operand elements each result element is made of is computed here, at compile time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from xdsl.dialects.builtin import f32, i64
from xdsl.ir import SSAValue

from webdnn.dialects.dtypes import Array, is_float
from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.sizes.expression import bounds, is_symbolic, undecided
from webdnn.dialects.sizes.ratio import F32_BITS, ratio_of
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.errors import Invalid, Unsupported
from webdnn.lowering.onnx_to_nn.interpolation import Band, band_of, interpolation_matrix
from webdnn.lowering.onnx_to_nn.node import Node
from webdnn.lowering.onnx_to_nn.registry import onnx_lowering
from webdnn.lowering.onnx_to_nn.resize_at_run_time import (
    Cubic,
    Varying,
    cubic_at,
    positions_at_run_time,
    read_at_run_time,
    varies,
)

DENSE = 4
"""A matrix of interpolation is multiplied as one where its rows have more than one element in so many that is not 0:
products of matrices are that much faster than sums of elements read one by one."""


@dataclass(frozen=True)
class Dimension:
    """One dimension that is resampled. Result index i reads at `(i + offset_in) / scale + offset_out`.

    `density` is how many result elements the node asks for per operand element; `scale` may be another one, so that
    corners meet.
    """

    axis: int
    size: int
    outputs: int
    scale: float
    offset_in: float
    offset_out: float
    density: float

    @property
    def positions(self) -> Array:
        """Where each result index reads, in f32 as ONNX Runtime computes it: ties are broken by its rounding."""
        at = np.arange(self.outputs, dtype=np.float32) + np.float32(self.offset_in)
        return at / np.float32(self.scale) + np.float32(self.offset_out)


def check_of_any_size(d: Dimension | Varying, mode: str, antialias: bool, transform: str) -> None:
    """Refuse what is computed when a model is compiled, for a dimension of unknown size.

    Raises:
        UndecidedSize: it is.
    """
    if antialias or transform == "tf_crop_and_resize":
        what = "antialiased" if antialias else transform
        raise undecided(f"its weights ({what}) depend on {d.size}", d.size, d.outputs)


def dimension(
    transform: str, axis: int, size: int, outputs: int, scale: float, roi: tuple[float, float]
) -> Dimension:
    """A dimension by ONNX's `coordinate_transformation_mode`."""

    density = scale

    def of(scale: float, offset_in: float, offset_out: float) -> Dimension:
        return Dimension(axis, size, outputs, scale, offset_in, offset_out, density)

    match transform:
        case "half_pixel":
            return of(scale, 0.5, -0.5)
        case "half_pixel_symmetric":
            if is_symbolic(size):
                raise undecided(f"where it reads depends on {size}", size)
            wanted = size * scale
            offset = size / 2 * (1 - outputs / wanted) if wanted else 0.0
            return of(scale, 0.5, offset - 0.5)
        case "pytorch_half_pixel":
            return of(scale, 0.5, -0.5) if outputs > 1 else of(math.inf, 0.0, 0.0)
        case "align_corners":
            if outputs == 1 or size == 1:
                return of(math.inf, 0.0, 0.0)
            return of(_quotient(outputs - 1, size - 1), 0.0, 0.0)
        case "asymmetric":
            return of(scale, 0.0, 0.0)
        case "tf_half_pixel_for_nn":
            return of(scale, 0.5, 0.0)
        case "tf_crop_and_resize":
            start, end = roi
            if outputs == 1:
                return of(math.inf, 0.0, 0.5 * (start + end) * (size - 1))
            step = (end - start) * (size - 1) / (outputs - 1)
            return of(1.0 / step if step else math.inf, 0.0, start * (size - 1))
        case _:
            raise Unsupported(f"its coordinate_transformation_mode is '{transform}'")


ROUNDING: dict[str, Callable[[Array], Array]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda p: np.ceil(p - np.float32(0.5)),
    "round_prefer_ceil": lambda p: np.floor(p + np.float32(0.5)),
}


def nearest(x: SSAValue, dims: Sequence[Dimension], rounding: str, b: NNBuilder) -> SSAValue:
    """The nearest elements along several dimensions: repetitions or slices where they are, else gathers."""
    times: dict[int, int] = {}
    for d in dims:
        if is_symbolic(d.size) or is_symbolic(d.outputs):
            if (repetition := _repetition_of_any_size(d, rounding)) is not None:
                times[d.axis] = repetition
            else:
                x = _resized(x, [d], "nearest", b, rounding)
            continue
        index = ROUNDING[rounding](d.positions).clip(0, max(d.size - 1, 0)).astype(np.int64)
        repetition = _repetition(index, d.size)
        if repetition is not None:
            times[d.axis] = repetition
        else:
            x = read_along(x, d.axis, index, b)
    return _repeated(x, times, b)


def _repetition(index: Array, size: int) -> int | None:
    """How many times in a row constant indices take each element of a dimension; None where they do not."""
    if not len(index) or len(index) % size:
        return None
    times = len(index) // size
    return times if (index == np.arange(len(index)) // times).all() else None


_SAMPLES = (1, 2, 7, 64)


def _repetition_of_any_size(d: Dimension, rounding: str) -> int | None:
    """How many times in a row each element of a dimension is taken, however many there are; None where that is no
    whole number."""
    times = round(d.scale) if math.isfinite(d.scale) else 0
    if times < 1 or times != d.scale or d.outputs != d.size * times:
        return None
    for size in _SAMPLES:
        sample = replace(d, size=size, outputs=size * times)
        index = ROUNDING[rounding](sample.positions).clip(0, size - 1).astype(np.int64)
        if _repetition(index, size) != times:
            return None
    return times


def _repeated(x: SSAValue, times: Mapping[int, int], b: NNBuilder) -> SSAValue:
    """Each element so many times in a row along each of these dimensions: one copy for all of them."""
    if all(count == 1 for count in times.values()):
        return x
    apart, spread, joined = list[int](), list[int](), list[int]()
    for axis, size in enumerate(shape_of(x)):
        repeated = axis in times
        apart += [size, 1] if repeated else [size]
        spread += [size, times[axis]] if repeated else [size]
        joined.append(size * times.get(axis, 1))
    return b.reshape(b.broadcast(b.reshape(x, apart), spread), joined)


def read_along(x: SSAValue, axis: int, index: Array, b: NNBuilder) -> SSAValue:
    """`x` at constant indices along `axis`, in the cheapest way that says it."""
    count = len(index)
    times = _repetition(index, shape_of(x)[axis])
    if times is not None:
        return _repeated(x, {axis: times}, b)
    step = int(index[1] - index[0]) if count > 1 else 1
    if step and count and (index == index[0] + step * np.arange(count)).all():
        return b.slice_axis(x, axis, int(index[0]), count, step)
    return b.insert(dm.GatherOp(x, b.constant(index), axis))


def linear(x: SSAValue, dims: Sequence[Dimension], b: NNBuilder) -> SSAValue:
    """Linear interpolation along several dimensions; of integers in f32, cut to whole numbers, as ONNX Runtime does."""
    element = element_of(x)
    if not is_float(element):
        return b.cast(linear(b.cast(x, f32), dims, b), element)
    return _resized(x, dims, "linear", b)


def _resized(
    x: SSAValue, dims: Sequence[Dimension], mode: str, b: NNBuilder, rounding: str = "floor"
) -> SSAValue:
    rank = len(shape_of(x))
    shape = list(shape_of(x))
    scale, offset_in, offset_out = [1.0] * rank, [0.0] * rank, [0.0] * rank
    for d in dims:
        shape[d.axis], scale[d.axis] = d.outputs, 1.0 / d.scale
        offset_in[d.axis], offset_out[d.axis] = d.offset_in, d.offset_out
    return b.insert(
        dm.ResizeOp(
            x,
            shape,
            scale=scale,
            offset_in=offset_in,
            offset_out=offset_out,
            mode=mode,
            rounding=rounding,
        )
    )


def by_matrix(x: SSAValue, axis: int, matrix: Array, b: NNBuilder) -> SSAValue:
    """`matrix [outputs, size]` times `x` along `axis`; integers become f32."""
    band = band_of(matrix)
    if band.indices.shape[1] * DENSE <= matrix.shape[1]:
        return _by_band(x, axis, band, b)
    x = x if is_float(element_of(x)) else b.cast(x, f32)
    rank = len(shape_of(x))
    order = [*(d for d in range(rank) if d != axis), axis]
    moved = b.transpose(x, order)
    flat = b.reshape(moved, [-1, shape_of(x)[axis]])
    result = b.matmul(flat, b.constant(np.ascontiguousarray(matrix.T), element_of(x)))
    result = b.reshape(result, [*shape_of(moved)[:-1], matrix.shape[0]])
    return b.transpose(result, [order.index(d) for d in range(rank)])


def _by_band(x: SSAValue, axis: int, band: Band, b: NNBuilder) -> SSAValue:
    """The few elements that each result is made of are read, weighed and added up."""
    outputs, taps = band.indices.shape
    read = b.insert(dm.GatherOp(x, b.constant(band.indices.astype(np.int32)), axis))
    element = element_of(x) if is_float(element_of(x)) else f32
    behind = [1] * (len(shape_of(x)) - axis - 1)
    weights = b.constant(band.weights.reshape(outputs, taps, *behind), element)
    weighed = b(ew.MulOp, b.cast(read, element), weights)
    return b.reduce("sum", weighed, [axis + 1], keep_dims=False)


@onnx_lowering("Resize", since=10, static=[1, 2, 3])
def resize(node: Node, b: NNBuilder) -> SSAValue:
    rank = node.rank()
    axes = node.dimensions(node.ints("axes") or range(rank))
    if node.version == 10:
        transform, rounding = "asymmetric", "floor"
        scales, sizes, roi = node.known(1), None, None
    else:
        transform = node.str("coordinate_transformation_mode", "half_pixel")
        rounding = node.str("nearest_mode", "round_prefer_floor")
        roi = node.known(1) if node.has(1) and transform == "tf_crop_and_resize" else None
        scales = node.known(2) if node.has(2) and node.shape(2) != (0,) else None
        sizes = node.known_ints(3) if node.has(3) else None
    dims = _dimensions(node, axes, transform, scales, sizes, roi)
    return _resampled(node, dims, rounding, transform, b)


@onnx_lowering("Upsample", since=7, static=[1])
def upsample(node: Node, b: NNBuilder) -> SSAValue:
    scales = np.array(node.attr("scales"), np.float32) if node.version < 9 else node.known(1)
    dims = _dimensions(node, list(range(node.rank())), "asymmetric", scales, None, None)
    return _resampled(node, dims, "floor", "asymmetric", b)


def _dimensions(
    node: Node,
    axes: Sequence[int],
    transform: str,
    scales: Array | None,
    sizes: list[int] | None,
    roi: Array | None,
) -> list[Dimension | Varying]:
    """The dimensions that change, by the scales or by the sizes that the node gives."""
    shape = node.shape()
    if scales is not None and sizes is not None:
        raise Invalid("it has scales and sizes, and only one of them may be there")
    for name, values in (("scales", scales), ("sizes", sizes)):
        if values is not None and len(values) != len(axes):
            raise Invalid(f"it has {len(values)} {name} for {len(axes)} dimensions")
    if scales is not None and not all(0 < scale < math.inf for scale in scales):
        raise Invalid(f"its scales are {[float(s) for s in scales]}, and each must be positive")
    if sizes is not None and any(bounds(n)[1] < 0 for n in sizes):
        raise Invalid(f"its sizes are {sizes}, and none may be negative")
    dims: list[Dimension | Varying] = []
    policy = node.str("keep_aspect_ratio_policy", "stretch")
    if sizes is not None and policy != "stretch":
        pick = min if policy == "not_larger" else max
        common = pick(
            _quotient(n, shape[a]) if shape[a] != 0 else 1.0
            for n, a in zip(sizes, axes, strict=True)
        )
        sizes = [math.floor(common * shape[a] + 0.5) for a in axes]
        scales = np.full(len(axes), common)
    for i, axis in enumerate(axes):
        start, end = (float(roi[i]), float(roi[i + len(axes)])) if roi is not None else (0.0, 1.0)
        if sizes is not None:
            outputs = sizes[i]
            if shape[axis] == 0:
                if outputs:
                    raise Unsupported(f"it makes {outputs} elements of none")
                continue
            if scales is None and varies(transform, outputs, shape[axis]):
                dims.append(Varying(axis, shape[axis], outputs))
                continue
            scale = _quotient(outputs, shape[axis]) if scales is None else float(scales[i])
        elif scales is not None:
            scale = float(scales[i])
            # So in ONNX's shape inference, its reference and ONNX Runtime; its text has the size of the region.
            outputs = _scaled(shape[axis], np.float32(scale))
            if varies(transform, outputs, shape[axis]):
                dims.append(Varying(axis, shape[axis], outputs, scale))
                continue
        else:
            raise Invalid("it has neither scales nor sizes")
        unchanged = outputs == shape[axis] and scale == 1.0 and (start, end) == (0.0, 1.0)
        if unchanged and is_symbolic(outputs):
            continue
        d = dimension(transform, axis, shape[axis], outputs, scale, (start, end))
        if not unchanged:
            dims.append(d)
    return dims


def _quotient(outputs: int, size: int) -> float:
    """How many result elements there are per operand element.

    Raises:
        UndecidedSize: that depends on symbols.
    """
    if not is_symbolic(outputs) and not is_symbolic(size):
        return outputs / size
    found = ratio_of(outputs, size)
    assert isinstance(found, float)
    return found


_DENOMINATORS = (16, 256, 4096, 65536)
"""The simplest fraction that stands for a scale is looked for among those with denominators up to these."""


def _scaled(size: int, scale: np.float32) -> int:
    """The whole part of a product in f32."""
    if not is_symbolic(size):
        return math.floor(np.float32(size) * scale)
    low, high = bounds(size)
    if high < 1 << F32_BITS:
        every = np.arange(max(low, 0), high + 1)
        wanted = np.floor(every.astype(np.float32) * scale).astype(np.int64)
        for limit in _DENOMINATORS:
            part = Fraction(float(scale)).limit_denominator(limit)
            if (every * part.numerator // part.denominator == wanted).all():
                return size * part.numerator // part.denominator
    raise undecided(f"the whole part of {size} * {scale}", size)


def _resampled(
    node: Node, every: list[Dimension | Varying], rounding: str, transform: str, b: NNBuilder
) -> SSAValue:
    x, mode = node[0], node.str("mode", "nearest")
    antialias = bool(node.int("antialias"))
    dims = [d for d in every if isinstance(d, Dimension)]
    weighed = mode != "nearest" and (mode != "linear" or antialias)
    if weighed and not is_float(element_of(x)):
        raise Unsupported(f"mode '{mode}' on integers")
    cubic = Cubic(node.float("cubic_coeff_a", -0.75), bool(node.int("exclude_outside")))
    for d in every:
        if isinstance(d, Varying):
            check_of_any_size(d, mode, antialias, transform)
            if mode == "cubic":
                x = cubic_at(x, d.axis, positions_at_run_time(d, transform, b), cubic, b)
            else:
                x = read_at_run_time(x, d, mode, transform, rounding, b)
    for d in dims:
        if is_symbolic(d.size) or is_symbolic(d.outputs):
            check_of_any_size(d, mode, antialias, transform)
            continue
        b.reserve([d.outputs, d.size if mode == "cubic" or antialias else 1])
    if mode == "nearest":
        x = nearest(x, dims, rounding, b)
    elif mode == "linear" and not antialias:
        x = linear(x, dims, b) if dims else x
    else:
        for d in dims:
            if is_symbolic(d.size) or is_symbolic(d.outputs):
                x = cubic_at(x, d.axis, _positions_of_any_size(d, b), cubic, b)
                continue
            matrix = interpolation_matrix(
                d.positions,
                d.size,
                d.density,
                mode,
                cubic=cubic.a,
                exclude_outside=cubic.exclude_outside,
                antialias=antialias,
            )
            x = by_matrix(x, d.axis, matrix, b)
    if transform == "tf_crop_and_resize":
        x = _extrapolated(x, dims, node.float("extrapolation_value"), b)
    return x


def _positions_of_any_size(d: Dimension, b: NNBuilder) -> SSAValue:
    """`Dimension.positions` where their number is known to a run alone."""
    at = b(ew.AddOp, b.cast(b.iota([d.outputs], 0, i64), f32), d.offset_in)
    scaled = b(ew.MulOp, at, 0.0) if math.isinf(d.scale) else b(ew.DivOp, at, d.scale)
    return b(ew.AddOp, scaled, d.offset_out)


def _extrapolated(x: SSAValue, dims: list[Dimension], value: float, b: NNBuilder) -> SSAValue:
    """`value` where a position is outside the operand."""
    rank = len(shape_of(x))
    for d in dims:
        at = d.positions
        inside = ((at >= 0) & (at <= d.size - 1)).reshape(
            [-1 if e == d.axis else 1 for e in range(rank)]
        )
        if not inside.all():
            x = b(ew.SelectOp, b.constant(inside), x, value)
    return x
