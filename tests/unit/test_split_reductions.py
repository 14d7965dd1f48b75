"""Few long reductions are cut into parts: the same results on both back ends, with and without the pass."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import webdnn
from tests.tolerances import assert_close
from webdnn.dialects.dtypes import Array

LONG = 150_011
"""Elements: a prime number, so that no parts are whole."""

MODELS = {
    "the greatest, the first and the last": f"""
        (float[1, {LONG}] x) => (int64[1, 1] y, int64[1] z, float[1, 1] v, int64[1, 1] i) <int64[1] k = {{1}}> {{
            y = ArgMax <axis = 1> (x)
            z = ArgMin <axis = 1, keepdims = 0, select_last_index = 1> (x)
            v, i = TopK <largest = 0> (x, k) }}""",
    "sums": f"""
        (float[{LONG}] x) => (float y, float[1] z, float[1] u) {{
            y = ReduceMean <keepdims = 0> (x) z = ReduceL2 (x) u = ReduceLogSumExp (x) }}""",
    "integers": f"""
        (float[{LONG}] x) => (int32[1] y, int64[1] z, int64[1] at, uint8[1] most) {{
            v = Cast <to = 6> (x) y = ReduceSum (v)
            w = Cast <to = 7> (x) z = ReduceMin (w) at = ArgMax <axis = 0> (w)
            size = Abs (x) b = Cast <to = 2> (size) most = ReduceMax (b) }}""",
    "pictures": """
        (float[1, 2, 500, 277] x) => (float[1, 2, 1, 1] y, float[1, 2, 500, 277] z)
        <float[2] s = {1, 2}, float[2] b = {0, 1}>
        { y = GlobalAveragePool (x) z = InstanceNormalization (x, s, b) }""",
    "rows that lie apart": """
        (float[140000, 2] x) => (float[2] y, int64[1, 2] at) <int64[1] first = {0}>
        { y = ReduceMax <keepdims = 0> (x, first) at = ArgMin <axis = 0> (x) }""",
}


@pytest.mark.parametrize("target", ["wasm", "webgpu"])
@pytest.mark.parametrize("name", MODELS)
def test_long_reductions(name: str, target: str) -> None:
    model = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 18]> test {MODELS[name]}'
    )
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    rng = np.random.default_rng(0)
    inputs: dict[str, Array] = {"x": (rng.standard_normal(shape) * 3).astype(np.float32)}
    expected = ort.InferenceSession(model.SerializeToString()).run(None, inputs)
    package = webdnn.compile(model, target=target, jobs=1)
    whole = webdnn.compile(model, target=target, jobs=1, without=["split-reductions"])
    launches = [len(p.manifest["backends"][target]["launches"]) for p in (package, whole)]
    assert launches[0] > launches[1]
    for output, result, wanted in zip(
        model.graph.output, package.run(inputs).values(), expected, strict=True
    ):
        assert_close(result, np.asarray(wanted), name, output.name)


@pytest.mark.parametrize("at", [0, 149_999, LONG - 1])
def test_not_a_number_is_found_in_any_part(at: int) -> None:
    model = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 18]> test '
        f"(float[{LONG}] x) => (int64[1] y, float[1] z) {{ y = ArgMax <axis = 0> (x) z = ReduceMax (x) }}"
    )
    x = np.zeros(LONG, np.float32)
    x[at] = np.nan
    results = webdnn.compile(model, target="wasm", jobs=1).run({"x": x})
    assert results["y"] == at and np.isnan(results["z"])
