"""Fourier transforms (as products with constant matrices) and window functions."""

from __future__ import annotations

import numpy as np
from xdsl.ir import SSAValue

from webdnn.dialects.dtypes import Array
from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.sizes.types import shape_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.errors import Invalid, Unsupported
from webdnn.lowering.onnx_to_nn.node import Node
from webdnn.lowering.onnx_to_nn.registry import onnx_lowering
from webdnn.lowering.onnx_to_nn.resize import by_matrix


def fourier_matrix(length: int, outputs: int, *, inverse: bool) -> tuple[Array, Array]:
    """The real and the imaginary part of the matrix `[outputs, length]` of a discrete Fourier transform."""
    # Angles are reduced in integers, so that they are exact for long transforms too.
    turns = np.outer(np.arange(outputs), np.arange(length)) % length
    angle = 2 * np.pi * turns / length * (1 if inverse else -1)
    scale = 1 / length if inverse else 1.0
    return np.cos(angle) * scale, np.sin(angle) * scale


def transform(
    real: SSAValue,
    imaginary: SSAValue | None,
    axis: int,
    matrices: tuple[Array, Array],
    b: NNBuilder,
) -> tuple[SSAValue, SSAValue]:
    """A complex matrix times a complex (or real) tensor along `axis`."""
    cos, sin = matrices
    first, second = by_matrix(real, axis, cos, b), by_matrix(real, axis, sin, b)
    if imaginary is None:
        return first, second
    return (
        b(ew.SubOp, first, by_matrix(imaginary, axis, sin, b)),
        b(ew.AddOp, second, by_matrix(imaginary, axis, cos, b)),
    )


def _parts(x: SSAValue, b: NNBuilder) -> tuple[SSAValue, SSAValue | None]:
    """Real and imaginary part: the last dimension has size 1 or 2."""
    *shape, count = shape_of(x)
    parts = [b.reshape(b.slice_axis(x, len(shape), i, 1), shape) for i in range(count)]
    return parts[0], parts[1] if count > 1 else None


def resized(x: SSAValue, axis: int, length: int, b: NNBuilder) -> SSAValue:
    """Cut, or filled up with zeros, to `length` along `axis`."""
    high = [0] * len(shape_of(x))
    high[axis] = length - shape_of(x)[axis]
    return b.pad(x, [0] * len(high), high)


def _joined(real: SSAValue, imaginary: SSAValue, b: NNBuilder) -> SSAValue:
    rank = len(shape_of(real))
    return b.concat([b.reshape(v, [*shape_of(v), 1]) for v in (real, imaginary)], rank)


def _half(length: int) -> int:
    return length // 2 + 1


@onnx_lowering("DFT", static=[1, 2])
def dft(node: Node, b: NNBuilder) -> SSAValue:
    rank = node.rank()
    axis = node.int("axis", 1)
    if node.version >= 20:
        axis = node.known_int(2) if node.has(2) else -2
    (axis,) = node.dimensions([axis])
    if axis == rank - 1:
        raise Invalid("its axis is the last dimension, that of real and imaginary parts")
    length = node.known_int(1) if node.has(1) else node.shape()[axis]
    inverse, one_sided = bool(node.int("inverse")), bool(node.int("onesided"))
    real, imaginary = _parts(node[0], b)
    if inverse and one_sided:
        return _real_from_half(real, imaginary, axis, node, b)
    real = resized(real, axis, length, b)
    imaginary = None if imaginary is None else resized(imaginary, axis, length, b)
    outputs = _half(length) if one_sided else length
    b.reserve([2, outputs, length])
    matrices = fourier_matrix(length, outputs, inverse=inverse)
    return _joined(*transform(real, imaginary, axis, matrices, b), b)


def _real_from_half(
    real: SSAValue, imaginary: SSAValue | None, axis: int, node: Node, b: NNBuilder
) -> SSAValue:
    """The real signal whose spectrum has the given first half; the other half is its mirrored conjugate."""
    have = shape_of(real)[axis]
    length = node.known_int(1) if node.has(1) else 2 * (have - 1)
    if imaginary is None:
        raise Unsupported("a one-sided inverse transform of a real tensor")
    real, imaginary = (resized(v, axis, _half(length), b) for v in (real, imaginary))
    b.reserve([2, _half(length), length])
    k, n = np.arange(_half(length)), np.arange(length)
    angle = 2 * np.pi * (np.outer(n, k) % length) / length
    # All but the first and (for an even length) the last stand for their mirror image too.
    weight = np.where((k == 0) | (2 * k == length), 1.0, 2.0) / length
    cos, sin = np.cos(angle) * weight, np.sin(angle) * weight
    result = b(ew.SubOp, by_matrix(real, axis, cos, b), by_matrix(imaginary, axis, sin, b))
    return b.reshape(result, [*shape_of(result), 1])


@onnx_lowering("STFT", static=[1, 3])
def stft(node: Node, b: NNBuilder) -> SSAValue:
    """Frames cut out of the signal, times the window, transformed."""
    real, imaginary = _parts(node[0], b)
    step = node.known_int(1)
    window = node.optional(2)
    length = node.known_int(3) if node.has(3) else shape_of(window)[0] if window else 0
    if not length:
        raise Invalid("it has neither a window nor a frame length")
    frames = (shape_of(real)[1] - length) // step + 1
    b.reserve([2, length, length])
    b.reserve([frames, length])
    at = np.arange(frames)[:, None] * step + np.arange(length)
    index = b.constant(at.astype(np.int64))
    one_sided = bool(node.int("onesided", 1))
    matrices = fourier_matrix(length, _half(length) if one_sided else length, inverse=False)

    def framed(x: SSAValue) -> SSAValue:
        cut = b.insert(dm.GatherOp(x, index, 1))
        if window is None:
            return cut
        missing = length - shape_of(window)[0]
        return b(ew.MulOp, cut, b.pad(window, [missing // 2], [missing - missing // 2]))

    parts = (framed(real), None if imaginary is None else framed(imaginary))
    return _joined(*transform(*parts, 2, matrices, b), b)


@onnx_lowering("BlackmanWindow", "HammingWindow", "HannWindow", static=[0])
@onnx_lowering("MelWeightMatrix", static=[0, 1, 2, 3, 4])
@onnx_lowering("Range", static=[0, 1, 2])
@onnx_lowering("NonZero", static=[0])
@onnx_lowering("Unique", static=[0])
def only_constant(node: Node, b: NNBuilder) -> SSAValue:
    """The shape of the result depends on operands' values: computed at compile time, or not at all."""
    for index in range(len(node.operands)):
        node.known(index)
    raise Unsupported("it could not be computed at compile time")


@onnx_lowering("NonMaxSuppression")
def data_dependent(node: Node, b: NNBuilder) -> SSAValue:
    raise Unsupported(
        "how many results it has depends on the model's inputs, and shapes are fixed at compile time",
        "cut the model before it, and select the boxes in the application",
    )
