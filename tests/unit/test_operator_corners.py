"""Operators with values and attributes at the edge of what they allow: on level `nn` with ONNX Runtime, and errors."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.conformance.nn_level import run_on_nn
from tests.tolerances import assert_close
from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError

MODELS = {
    # the neutral element of a minimum is no double
    "the least of 64-bit integers": """
        (int64[4] x) => (int64[4] y, int64[4] z)
        <int64[2] at = {1, 1}, int64[2] w = {3, -5}, int64[2, 1] rows = {0, 3}> {
            y = ScatterElements <reduction = "min"> (x, at, w)
            z = ScatterND <reduction = "min"> (x, rows, w) }""",
    "a pad that is no double": """
        (int64[2] x) => (int64[4] y) <int64[2] pads = {1, 1}, int64 value = {9007199254740993}>
        { y = Pad(x, pads, value) }""",
    # 4.5 is rounded, then reflected
    "the nearest of a tie outside": """
        (float[1, 1, 4, 4] x) => (float[1, 1, 1, 2] y)
        <float[1, 1, 2, 2] grid = {1.5, 0.25, -0.75, -1.5}>
        { y = GridSample <mode = "nearest", padding_mode = "reflection"> (x, grid) }""",
    "unique elements in their order": """
        (float[1] x) => (int64[n] a, int64[n] b, int64[m] c, int64[n] d, int64[r] e)
        <int64[2, 3] w = {7, 2, 7, 5, 2, 1}> {
            a, b, c, d = Unique <sorted = 0> (w)
            e = Unique <sorted = 0> (w) }""",
    "unique columns in their order": """
        (float[1] x) => (int64[2, n] a, int64[n] b, int64[m] c, int64[n] d)
        <int64[2, 4] w = {7, 2, 7, 1, 5, 2, 5, 0}>
        { a, b, c, d = Unique <sorted = 0, axis = -1> (w) }""",
    "a region scaled": """
        (float[1, 1, 4, 4] x) => (float[1, 1, 8, 2] y)
        <float[8] roi = {0, 0, 0.25, 0, 1, 1, 1, 0.5}, float[4] scales = {1, 1, 2, 0.5}> {
            y = Resize <mode = "linear", coordinate_transformation_mode = "tf_crop_and_resize">
                (x, roi, scales) }""",
    "few of many elements are weighed": """
        (float[1, 2, 40, 33] x) => (float[1, 2, 9, 50] a, float[1, 2, 9, 50] b, float[1, 2, 9, 50] c)
        <int64[4] sizes = {1, 2, 9, 50}> {
            a = Resize <mode = "cubic"> (x, , , sizes)
            b = Resize <mode = "cubic", antialias = 1> (x, , , sizes)
            c = Resize <mode = "linear", antialias = 1> (x, , , sizes) }""",
    "the size of a transposed convolution without pads": """
        (float[1, 1, 2, 4] x) => (float[1, 1, 4, 3] y) <float[1, 1, 2, 1] w = {2, -3}> {
            y = ConvTranspose <strides = [2, 1], auto_pad = "VALID", output_shape = [4, 3]> (x, w) }""",
    "activations by names in lower case": """
        (float[2, 1, 1] x) => (float[2, 1, 1, 1] y, float[1, 1, 1] z)
        <float[1, 3, 1] w = {0.5, -1, 2}, float[1, 3, 1] r = {1, 0.25, -0.5}> {
            y, z = GRU <hidden_size = 1, activations = ["hardsigmoid", "leakyrelu"],
                activation_alpha = [0.3, 0.4], activation_beta = [0.1]> (x, w, r) }""",
    "a loop without iterations": """
        (float[2, 3] x) => (float[2, 3] last, float[n, 2, 3] all, int64[n, 1] numbers, float[1] kept)
        <int64 none = {0}, bool no = {0}, int64 many = {5}, int64[1] one = {1}, int64[1] one0 = {0}> {
            last, all, numbers = Loop <body = body (int64 i, bool c, float[2, 3] s)
                => (bool go, float[2, 3] t, float[2, 3] row, int64[1] number) {
                    go = Identity(c) t = Add(s, x) row = Neg(t) number = Reshape(i, one)
                }> (none, , x)
            other, rows = Loop <body = body2 (int64 j, bool d, float[2, 3] u)
                => (bool go2, float[2, 3] v, float[3, 2] w) {
                    go2 = Identity(d) v = Add(u, x) w = Transpose(v)
                }> (many, no, x)
            size = Size(rows)
            sized = Unsqueeze(size, one0)
            kept = Cast <to = 1> (sized) }""",
    "labels that are a weight": """
        (float[2, 3] x) => (float[2] y) <int64[2] labels = {2, 0}>
        { y = SoftmaxCrossEntropyLoss <reduction = "none"> (x, labels) }""",
}


def _parsed(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> test {text}')


@pytest.mark.parametrize("name", MODELS)
def test_operator(name: str) -> None:
    model = _parsed(MODELS[name])
    type = model.graph.input[0].type.tensor_type
    shape = [d.dim_value for d in type.shape.dim]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(type.elem_type)
    x: Array = (np.random.default_rng(0).standard_normal(shape) * 4).astype(dtype)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    expected = session.run(None, {"x": x})
    outputs = [o.name for o in model.graph.output]
    for output, result, wanted in zip(outputs, run_on_nn(model, [x]), expected, strict=True):
        assert_close(result, np.asarray(wanted), name, output, 1e-6)


def test_scan_without_steps() -> None:
    """ONNX Runtime refuses it, and ONNX says: the states stay, and nothing is stacked."""
    model = _parsed("""
        (float[2, 3] x) => (float[3] last, float[3, 0] all)
        <float[0, 3] w = {}, int64[1] axis = {0}> {
            start = ReduceSum <keepdims = 0> (x, axis)
            last, all = Scan <num_scan_inputs = 1, scan_output_axes = [-1],
                body = body (float[3] s, float[3] r) => (float[3] t, float[3] row) {
                    t = Add(s, r) row = Neg(t)
                }> (start, w) }""")
    x = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    last, rows = run_on_nn(model, [x])
    np.testing.assert_array_equal(last, x.sum(0))
    assert (rows.shape, rows.dtype) == ((3, 0), np.float32)


def test_not_a_number_has_a_place() -> None:
    model = _parsed(
        "(float[5] x) => (float[5] y, int64[5] at) <int64[1] k = {5}> { y, at = TopK(x, k) }"
    )
    x = np.array([1, np.nan, 3, np.nan, 2], np.float32)
    y, at = run_on_nn(model, [x])
    assert at.tolist() == [1, 3, 2, 4, 0]
    np.testing.assert_array_equal(y, x[at])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "(float[2, 0] x) => (int64[2, 1] y) { y = ArgMax <axis = 1> (x) }",
            "ArgMax (it selects 1 of the 0 elements of dimension 1 (of [2, 0])): 'y'",
        ),
        (
            "(float[2, 3] x) => (float[2, 5] y, int64[2, 5] i) <int64[1] k = {5}> { y, i = TopK(x, k) }",
            "TopK (it selects 5 of the 3 elements of dimension 1 (of [2, 3])): 'y'",
        ),
        (
            "(float[1, 1, 2] x) => (float[1, 1, n] y) { y = MaxPool <kernel_shape = [4]> (x) }",
            "MaxPool (its window of 4 is larger than the 2 padded elements of dimension 2): 'y'",
        ),
        (
            "(float[1, 1, 2] x) => (float[1, 1, n] y) <float[1, 1, 3] w = {1, 2, 3}> { y = Conv(x, w) }",
            "Conv (its window of 3 is larger than the 2 padded elements of dimension 2): 'y'",
        ),
        (
            "(float[2, 3] x) => (float[n, m] y) <int64[1] axes = {2}> { y = ReduceSum(x, axes) }",
            "ReduceSum (axis 2 is outside a tensor of 2 dimensions): 'y'",
        ),
        (
            "(float[2, 3] x) => (float[n, m] y) { y = MeanVarianceNormalization <axes = [-3]> (x) }",
            "MeanVarianceNormalization (axis -3 is outside a tensor of 2 dimensions): 'y'",
        ),
        (
            "(float[1, 1, 1] x) => (float[1, 1, n] y) <float[1, 1, 1] w = {1}> "
            "{ y = ConvTranspose <pads = [2, 0]> (x, w) }",
            "ConvTranspose (its pads take 2 of the 1 elements of dimension 2): 'y'",
        ),
        (
            "(float[3] x) => (float[n] y) <int64[2] pads = {-2, -2}> { y = Pad(x, pads) }",
            "Pad (its pads -2 and -2 of dimension 0 take more than its 3 elements): 'y'",
        ),
        (
            '(float[0] x) => (float[n] y) <int64[2] pads = {1, 0}> { y = Pad <mode = "edge"> (x, pads) }',
            "Pad (its mode 'edge' repeats elements of dimension 0, of which none are left): 'y'",
        ),
    ],
)
def test_what_means_nothing_asks_for_no_lowering(text: str, message: str) -> None:
    with pytest.raises(WebDNNError) as error:
        run_on_nn(_parsed(text), [np.zeros(_shape(text), np.float32)])
    assert error.value.where == (message,)
    assert "adding-an-operator" not in error.value.hint


def _shape(text: str) -> list[int]:
    type = _parsed(text).graph.input[0].type.tensor_type
    return [d.dim_value for d in type.shape.dim]
