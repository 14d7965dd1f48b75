"""Small models that were computed wrongly once, on both back ends against ONNX Runtime; random programs found most."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import webdnn
from tests.tolerances import assert_close
from webdnn.compiler import TargetChoice
from webdnn.dialects.dtypes import Array

MODELS = {
    # ONNX clamps the start of a slice backwards to the first element, numpy to before it
    "backwards from before the first element": """
        (float[4] x) => (float[n] y, int64[m] of_weight)
        <int64[1] start = {-7}, int64[1] end = {-100}, int64[1] axis = {0}, int64[1] step = {-1},
        int64[3] w = {5, 6, 7}>
        { y = Slice(x, start, end, axis, step) of_weight = Slice(w, start, end, axis, step) }""",
    "pads below zero of a weight": """
        (float[2] x) => (float[n] y) <float[4] w = {1, 2, 3, 4}, int64[2] pads = {-1, -1}>
        { v = Pad(w, pads) y = Add(v, x) }""",
    "an operand without elements": """
        (float[2, 0] x) => (float[2, 0] y) <float[2, 0] w = {}> { v = Add(x, w) y = Mul(v, w) }""",
    "rows without elements are scattered": """
        (float[3, 0] x) => (float[3, 0] y) <int64[1, 1] at = {1}, float[1, 0] w = {}>
        { y = ScatterND(x, at, w) }""",
    "nothing is scattered": """
        (float[3, 2] x) => (float[3, 2] y, float[3, 2] z)
        <int64[0, 1] at = {}, float[0, 2] w = {}, int64[0, 2] along = {}>
        { y = ScatterND(x, at, w) z = ScatterElements(x, along, w) }""",
    "a window of one element": """
        (float[1, 2, 5] x) => (float[1, 2, 5] y, float[1, 2, 3] z) {
            y = AveragePool <kernel_shape = [1], count_include_pad = 1> (x)
            z = MaxPool <kernel_shape = [1], strides = [2]> (x) }""",
    # 64-bit integers are two words on WebGPU, and the low words are compared without a sign
    "a number below zero and 64-bit integers": """
        (float[4] x) => (int64[4] y, bool[4] z) <int64[1] w = {-3}, float[1] scale = {9}> {
            large = Mul(x, scale) v = Cast <to = 7> (large) square = Mul(v, v) wide = Mul(square, square)
            much = Mul(wide, v) y = Min(w, much) z = Less(much, w) }""",
    # both the weight and the part of the concatenation are copied by a kernel
    "a weight is a result beside a concatenation": """
        (float[2, 4] x) => (float[2, 8] y, int64[6] z) <int64[6] w = {0, 2, -5, 7, 8, 9}>
        { v = Relu(x) y = Concat <axis = 1> (x, v) z = Identity(w) }""",
}


@pytest.mark.parametrize("target", ["wasm", "webgpu"])
@pytest.mark.parametrize("name", MODELS)
def test_corner_case(name: str, target: TargetChoice) -> None:
    model = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 21]> test {MODELS[name]}'
    )
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    inputs: dict[str, Array] = {
        "x": np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    }
    session = ort.InferenceSession(model.SerializeToString())
    outputs = [o.name for o in model.graph.output]
    results = webdnn.compile(model, target=target, jobs=1).run(inputs)
    for output, expected in zip(outputs, session.run(None, inputs), strict=True):
        assert_close(results[output], np.asarray(expected), name, output)
