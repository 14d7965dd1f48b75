"""Convolutions by Winograd's minimal filtering."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto
from onnx.helper import make_node
from xdsl.dialects.builtin import ModuleOp

import webdnn
from tests.tolerances import relative_error
from tests.unit.onnx_models import model_of, tensor
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.numpy_meaning.program import run_module
from webdnn.dialects.weight_store import attach_weights
from webdnn.frontends.onnx import load
from webdnn.lowering.linalg.winograd import WinogradConvolutions
from webdnn.lowering.linalg.winograd_matrices import winograd_matrices
from webdnn.passes import context
from webdnn.stages import passes_between

TOLERANCE = 2e-5
"""Of the range of the result; F(4, 3) in single precision is good for about 1e-5 (Lavin and Gray, 2016)."""


def convolution(
    shape: tuple[int, int, int, int],
    out_channels: int,
    taps: tuple[int, int],
    pads: tuple[int, int, int, int],
    *,
    residual: bool = False,
) -> ModelProto:
    """A convolution with bias, residual and ReLU of an input `(n, c, h, w)`."""
    rng = np.random.default_rng(0)
    n, c, h, w = shape
    scale = np.sqrt(c * taps[0] * taps[1])
    filter = rng.standard_normal((out_channels, c, *taps)) / scale
    weights = {"w": filter.astype(np.float32), "b": rng.standard_normal(out_channels).astype("f4")}
    nodes = [make_node("Conv", ["x", "w", "b"], ["c"], name="conv", pads=pads)]
    top, left, bottom, right = pads
    result = [n, out_channels, h + top + bottom - taps[0] + 1, w + left + right - taps[1] + 1]
    inputs = [tensor("x", list(shape))]
    if residual:
        nodes.append(make_node("Add", ["c", "r"], ["s"], name="add"))
        inputs.append(tensor("r", result))
    nodes.append(make_node("Relu", [nodes[-1].output[0]], ["y"], name="relu"))
    return model_of(nodes, inputs, [tensor("y", result)], weights)


def inputs_of(model: ModelProto) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        i.name: rng.standard_normal(
            [d.dim_value for d in i.type.tensor_type.shape.dim], dtype=np.float32
        )
        for i in model.graph.input
    }


def reference(model: ModelProto, inputs: dict[str, np.ndarray]) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (result,) = session.run(None, inputs)
    return np.asarray(result)


@pytest.mark.parametrize(("m", "r"), [(1, 1), (2, 3), (4, 3), (2, 5), (4, 5), (2, 7)])
def test_matrices_compute_a_filter_exactly(m: int, r: int) -> None:
    matrices = winograd_matrices(m, r)
    size = m + r - 1
    d = [Fraction(3 * i * i - 7, 4) for i in range(size)]
    g = [Fraction(5 - i * i, 3) for i in range(r)]
    transformed = [
        sum(c * x for c, x in zip(row, d, strict=True))
        * sum(c * x for c, x in zip(taps, g, strict=True))
        for row, taps in zip(matrices.input, matrices.filter, strict=True)
    ]
    result = [sum(c * x for c, x in zip(row, transformed, strict=True)) for row in matrices.output]
    assert result == [sum(g[k] * d[i + k] for k in range(r)) for i in range(m)]


def test_too_many_points() -> None:
    with pytest.raises(ValueError, match="more than 7 points"):
        winograd_matrices(4, 7)


SHAPES = [
    # input, output channels, taps, pads, residual
    ((1, 16, 8, 8), 16, (3, 3), (1, 1, 1, 1), False),
    ((1, 20, 13, 9), 12, (3, 3), (1, 1, 1, 1), True),  # ragged windows, channels no multiple of a panel
    ((2, 17, 7, 5), 24, (3, 3), (0, 0, 0, 0), False),  # a batch, odd channels, no pad
    ((1, 16, 1, 1), 16, (3, 3), (1, 1, 1, 1), False),
    ((1, 16, 6, 7), 20, (3, 3), (0, 2, 3, 1), False),  # uneven pads
    ((1, 3, 6, 6), 4, (3, 3), (1, 1, 1, 1), False),  # fewer channels than a vector
    ((1, 16, 5, 11), 16, (1, 7), (0, 3, 0, 3), False),
    ((1, 16, 11, 5), 16, (7, 1), (3, 0, 3, 0), True),
    ((1, 16, 9, 9), 16, (5, 5), (2, 2, 2, 2), False),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "out", "taps", "pads", "residual"), SHAPES)
def test_convolutions_in_wasm(
    shape: tuple[int, int, int, int],
    out: int,
    taps: tuple[int, int],
    pads: tuple[int, int, int, int],
    residual: bool,
) -> None:
    model = convolution(shape, out, taps, pads, residual=residual)
    inputs = inputs_of(model)
    for window in (2, 4) if max(taps) == 3 else (2,):
        package = webdnn.compile(
            model, target="wasm", passes={"linalg": [WinogradConvolutions(window=window)]}, jobs=1
        )
        launched = {launch["kernel"] for launch in package.manifest["backends"]["wasm"]["launches"]}
        assert any(name.startswith("winograd_product") for name in launched)
        result = package.run(inputs, engine="wasmtime")["y"]
        error = relative_error(result, reference(model, inputs))
        assert error <= TOLERANCE, f"windows of {window}: off by {error:.2g} of the range"


@pytest.mark.parametrize("stage", ["linalg", "kernels", "loops"])
def test_each_stage_in_numpy(stage: str) -> None:
    model = convolution((1, 16, 7, 9), 8, (3, 3), (1, 1, 1, 1), residual=True)
    inputs = inputs_of(model)
    imported = load(model)
    attach_weights(imported.module, imported.weights)
    ctx = context()
    for _, step in passes_between("onnx", "linalg", "wasm"):
        step.apply(ctx, imported.module)
    WinogradConvolutions(window=4).apply(ctx, imported.module)
    for _, step in passes_between("linalg", stage, "wasm"):
        step.apply(ctx, imported.module)
    imported.module.verify()
    (result,) = run_module(imported.module, imported.weights, inputs).values()
    error = relative_error(result, reference(model, inputs))
    assert error <= TOLERANCE, f"off by {error:.2g} of the range"


def launches(model: ModelProto, target: str = "wasm", without: tuple[str, ...] = ()) -> list[str]:
    seen: list[str] = []

    def hook(stage: str, _: str | None, module: ModuleOp) -> None:
        if stage == "kernels":
            seen.append(str(module))

    webdnn.compile(model, target=target, hook=hook, without=without)
    return seen


def test_only_where_it_is_faster() -> None:
    wide = convolution((1, 32, 28, 28), 32, (3, 3), (1, 1, 1, 1))
    narrow = convolution((1, 3, 28, 28), 32, (3, 3), (1, 1, 1, 1))
    assert all("winograd" in text for text in launches(wide))
    assert not any("winograd" in text for text in launches(narrow))
    assert not any("winograd" in text for text in launches(wide, "webgpu"))


def test_filters_too_long_for_a_window_stay_direct() -> None:
    model = convolution((1, 16, 5, 11), 16, (1, 7), (0, 3, 0, 3))
    forced = {"linalg": [WinogradConvolutions(window=4)]}
    package = webdnn.compile(
        model, target="wasm", passes=forced, without=["winograd-convolutions"], jobs=1
    )
    launched = {launch["kernel"] for launch in package.manifest["backends"]["wasm"]["launches"]}
    assert not any(name.startswith("winograd") for name in launched)


def test_may_be_left_out() -> None:
    model = convolution((1, 32, 28, 28), 32, (3, 3), (1, 1, 1, 1))
    assert not any("winograd" in t for t in launches(model, without=("winograd-convolutions",)))
    with pytest.raises(WebDNNError, match="'outline-kernels' cannot be left out"):
        webdnn.compile(model, without=["outline-kernels"])


def test_lanes_of_every_table_position() -> None:
    """The epilogue sees each result once, wherever the windows end."""
    for height, width in product((3, 4, 5), (3, 4, 5)):
        model = convolution((1, 16, height, width), 16, (3, 3), (1, 1, 1, 1), residual=True)
        inputs = inputs_of(model)
        package = webdnn.compile(
            model, target="wasm", passes={"linalg": [WinogradConvolutions(window=4)]}, jobs=1
        )
        error = relative_error(
            package.run(inputs, engine="wasmtime")["y"], reference(model, inputs)
        )
        assert error <= TOLERANCE, f"{height} x {width}: off by {error:.2g} of the range"
