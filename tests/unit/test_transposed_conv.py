"""Transposed convolutions by sub-pixels: what ONNX Runtime gives, at every alignment of taps, strides and pads."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from onnx.helper import make_node

from tests.tolerances import relative_error
from tests.unit.onnx_models import model_of, tensor
from webdnn.dialects.nn.data_movement import PadOp
from webdnn.dialects.numpy_meaning.program import run_module
from webdnn.dialects.weight_store import attach_weights
from webdnn.frontends.onnx import load
from webdnn.passes import context
from webdnn.stages import passes_between

TOLERANCE = 1e-6
"""Of the range of the result: sums of at most a few hundred terms."""

CASES = [
    # input, output channels, taps, strides, pads, output padding
    ([1, 8, 5, 6], 4, [3, 3], [2, 2], [1, 1, 1, 1], 1),
    ([1, 8, 5, 6], 4, [2, 2], [2, 2], [0, 0, 0, 0], 0),
    ([2, 3, 4, 5], 5, [4, 4], [2, 2], [1, 1, 1, 1], 0),
    ([1, 3, 4, 5], 5, [5, 3], [3, 2], [2, 0, 1, 1], 1),
    ([1, 3, 4], 5, [2], [4], [0, 0], 0),  # fewer taps than a stride
    ([1, 3, 4], 5, [7], [3], [2, 3], 2),
    ([1, 3, 2, 3, 2], 2, [3, 3, 3], [2, 2, 2], [1] * 6, 1),
    ([1, 8, 1, 1], 4, [3, 3], [2, 2], [1, 1, 1, 1], 0),
    ([1, 4, 5, 5], 4, [3, 3], [2, 1], [1, 1, 1, 1], 0),
    ([1, 4, 3, 4], 2, [4, 3], [2, 3], [3, 2, 3, 2], 0),  # all but a corner is cut away
]


@pytest.mark.parametrize(("shape", "out", "taps", "strides", "pads", "extra"), CASES)
def test_transposed_convolution(
    shape: list[int], out: int, taps: list[int], strides: list[int], pads: list[int], extra: int
) -> None:
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.standard_normal((shape[1], out, *taps), dtype=np.float32),
        "b": rng.standard_normal(out, dtype=np.float32),
    }
    node = make_node(
        "ConvTranspose", ["x", "w", "b"], ["y"], name="up",
        strides=strides, pads=pads, output_padding=[extra] * len(taps),
    )  # fmt: skip
    model = model_of([node], [tensor("x", shape)], [tensor("y", None)], weights)
    x = rng.standard_normal(shape, dtype=np.float32)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = np.asarray(session.run(None, {"x": x})[0])
    imported = load(model)
    attach_weights(imported.module, imported.weights)
    ctx = context()
    for _, step in passes_between("onnx", "nn", "wasm"):
        step.apply(ctx, imported.module)
    spread = [op for op in imported.module.walk() if isinstance(op, PadOp)]
    assert not any(any(i.value.data for i in op.interior) for op in spread)
    (at_nn,) = run_module(imported.module, imported.weights, {"x": x}).values()
    assert relative_error(at_nn, expected) <= TOLERANCE
    for _, step in passes_between("nn", "loops", "wasm"):
        step.apply(ctx, imported.module)
    (at_loops,) = run_module(imported.module, imported.weights, {"x": x}).values()
    assert relative_error(at_loops, expected) <= TOLERANCE
