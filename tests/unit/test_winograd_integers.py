"""Quantised convolutions by Winograd's minimal filtering, which is exact."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import ModelProto
from onnx.helper import make_node

import webdnn
from tests.unit.onnx_models import model_of, tensor
from webdnn.lowering.linalg.winograd import WinogradConvolutions
from webdnn.lowering.linalg.winograd_integers import (
    integer_matrices,
    inverse,
    transformed_range,
)

STEP = 0.5
"""The scale of the result of `quantised`."""


def quantised(
    shape: tuple[int, int, int, int],
    weights: NDArray[np.int8],
    pads: tuple[int, int, int, int] = (1, 1, 1, 1),
    zero_point: int = 7,
) -> ModelProto:
    """A convolution between QuantizeLinear and DequantizeLinear, of an input `(n, c, h, w)` with scale 1."""
    rng = np.random.default_rng(0)
    out, _, *taps = weights.shape
    scales = rng.uniform(0.1, 1, out) / np.prod(weights.shape[1:])
    constants: dict[str, NDArray[Any]] = {
        "one": np.array(1, np.float32),
        "zero": np.array(zero_point, np.uint8),
        "w": weights,
        "ws": scales.astype(np.float32),
        "wz": np.zeros(out, np.int8),
        "step": np.array(STEP, np.float32),
        "middle": np.array(100, np.uint8),
    }
    nodes = [
        make_node("QuantizeLinear", ["x", "one", "zero"], ["q"]),
        make_node("DequantizeLinear", ["q", "one", "zero"], ["d"]),
        make_node("DequantizeLinear", ["w", "ws", "wz"], ["dw"], axis=0),
        make_node("Conv", ["d", "dw"], ["c"], pads=pads),
        make_node("QuantizeLinear", ["c", "step", "middle"], ["qy"]),
        make_node("DequantizeLinear", ["qy", "step", "middle"], ["y"]),
    ]
    n, _, h, w = shape
    top, left, bottom, right = pads
    result = [n, out, h + top + bottom - taps[0] + 1, w + left + right - taps[1] + 1]
    return model_of(nodes, [tensor("x", list(shape))], [tensor("y", result)], constants)


def random_weights(*shape: int) -> NDArray[np.int8]:
    return np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)


def run(model: ModelProto, x: NDArray[np.float32], window: int) -> NDArray[np.float32]:
    """The result by windows of `window` results, or directly where it is 0."""
    passes = {"linalg": [WinogradConvolutions(window=window)]} if window else {}
    package = webdnn.compile(
        model, target="wasm", passes=passes, without=["winograd-convolutions"], jobs=1
    )
    launched = {launch["kernel"] for launch in package.manifest["backends"]["wasm"]["launches"]}
    assert any(name.startswith("winograd_product") for name in launched) == bool(window)
    return np.asarray(package.run({"x": x}, engine="wasmtime")["y"])


@pytest.mark.parametrize(("m", "r", "scale"), [(1, 1, 1), (2, 3, 2), (4, 3, 30), (2, 5, 30)])
def test_matrices_are_whole_and_exact(m: int, r: int, scale: int) -> None:
    found = integer_matrices(m, r)
    assert found.scale == scale
    matrices = found.matrices
    for matrix in (matrices.input, matrices.filter, matrices.output):
        assert all(Fraction(c).denominator == 1 for row in matrix for c in row)
    d, g = [3 * i * i - 7 for i in range(m + r - 1)], [5 - i * i for i in range(r)]
    products = [
        sum(c * x for c, x in zip(row, d, strict=True))
        * sum(c * x for c, x in zip(taps, g, strict=True))
        for row, taps in zip(matrices.input, matrices.filter, strict=True)
    ]
    result = [sum(c * x for c, x in zip(row, products, strict=True)) for row in matrices.output]
    assert result == [scale * sum(g[k] * d[i + k] for k in range(r)) for i in range(m)]


@pytest.mark.parametrize("scale", [1, 2, 4, 30, 60, 900])
def test_division_modulo_a_word(scale: int) -> None:
    factor, shift = inverse(scale)
    bits = 32 - shift
    for y in (0, 1, -1, 12345, -98765, (1 << (bits - 1)) - 1, -(1 << (bits - 1))):
        word = scale * y * factor % (1 << 32)
        assert (word - (word >> 31 << 32)) >> shift == y


def test_factors_of_8_bits_stay_within_16() -> None:
    matrices = integer_matrices(4, 3).matrices
    assert transformed_range(matrices.input, matrices.input, (0, 255)) == (-24990, 24990)
    assert transformed_range(matrices.filter, matrices.filter, (-128, 127)) == (-28800, 28800)


SHAPES = [
    # input, output channels, taps, pads
    ((1, 16, 8, 8), 16, (3, 3), (1, 1, 1, 1)),
    ((1, 18, 13, 9), 12, (3, 3), (1, 1, 1, 1)),  # ragged windows, channels no multiple of a panel
    ((2, 20, 7, 5), 24, (3, 3), (0, 0, 0, 0)),  # a batch, no pad
    ((1, 16, 1, 1), 16, (3, 3), (1, 1, 1, 1)),
    ((1, 16, 5, 11), 16, (1, 3), (0, 1, 0, 1)),  # one axis
]


@pytest.mark.parametrize(("shape", "out", "taps", "pads"), SHAPES)
def test_same_bits_as_directly(
    shape: tuple[int, int, int, int],
    out: int,
    taps: tuple[int, int],
    pads: tuple[int, int, int, int],
) -> None:
    model = quantised(shape, random_weights(out, shape[1], *taps), pads)
    x = np.random.default_rng(2).uniform(-7, 248, shape).astype(np.float32)
    direct = run(model, x, 0)
    session = ort.InferenceSession(model.SerializeToString())
    (reference,) = session.run(None, {"x": x})
    assert np.abs(direct - np.asarray(reference)).max() <= STEP  # rounds floats in another order
    assert np.ptp(direct) > 20 * STEP
    for window in (2, 4):
        np.testing.assert_array_equal(run(model, x, window), direct)


@pytest.mark.parametrize("sign", [1, -1])
def test_extreme_elements(sign: int) -> None:
    """Each transformed window and filter, and the sums in between, are as large as they can be; sums overflow."""
    shape = (1, 1024, 6, 6)
    b = np.array(integer_matrices(4, 3).matrices.input, float)
    row = b[0] if sign > 0 else b[1]
    x = np.where(np.outer(row, row) * sign > 0, 255, 0).astype(np.float32)
    weights = np.full((4, 1024, 3, 3), -128, np.int8)
    weights[1], weights[2, :, ::2] = 127, 127
    weights[3] = random_weights(1024, 3, 3)
    model = quantised(shape, weights, zero_point=0)
    x = np.broadcast_to(x, shape).copy()
    np.testing.assert_array_equal(run(model, x, 4), run(model, x, 0))


def test_sums_that_may_not_fit_stay_direct() -> None:
    """2^29 is too little for 2048 channels of 9 products; windows of 2 x 2 have as many bits."""
    shape = (1, 2048, 4, 4)
    model = quantised(shape, random_weights(4, 2048, 3, 3))
    x = np.random.default_rng(2).uniform(-7, 248, shape).astype(np.float32)
    passes = {"linalg": [WinogradConvolutions(window=4)]}
    package = webdnn.compile(
        model, target="wasm", passes=passes, without=["winograd-convolutions"], jobs=1
    )
    names = [launch["kernel"] for launch in package.manifest["backends"]["wasm"]["launches"]]
    assert not any(name.startswith("winograd") for name in names)
    session = ort.InferenceSession(model.SerializeToString())
    (reference,) = session.run(None, {"x": x})
    result = np.asarray(package.run({"x": x}, engine="wasmtime")["y"])
    assert np.abs(result - np.asarray(reference)).max() <= STEP
