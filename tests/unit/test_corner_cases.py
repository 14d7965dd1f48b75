"""Small models that were computed wrongly once, on both back ends against ONNX Runtime; random programs found most."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import webdnn
from tests.tolerances import assert_close
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
    "rows without elements": """
        (float[2, 0] x) => (float[2, 0] a, float[2, 0] b, float[1, 2, 0] c)
        <float[2] one = {1, 1}, int64[3] shape = {1, 2, 0}> {
            a = Softmax(x) b = Hardmax(x)
            channels = Reshape <allowzero = 1> (x, shape) c = InstanceNormalization(channels, one, one) }""",
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
    "a window that is only begun": """
        (float[1, 2, 1] x) => (float[1, 2, 1] y, float[1, 2, 1] z) {
            y = AveragePool <kernel_shape = [2], strides = [2], ceil_mode = 1> (x)
            z = MaxPool <kernel_shape = [3], strides = [3], ceil_mode = 1> (x) }""",
    "windows larger than what they slide over": """
        (float[1, 2, 2, 5] x) => (float[1, 2, 0, 4] a, float[1, 2, 0, 3] b, float[1, 2, 0, 4] c, int64[1, 2, 0, 4] d,
        float[1, 2, 1, 5] e, float[1, 2, 1, 5] f, float[1, 2, 0, 5] g, float[1, 2, 1, 5] h) {
            a = AveragePool <kernel_shape = [3, 2]> (x)
            b = LpPool <kernel_shape = [2, 2], dilations = [2, 2]> (x)
            c, d = MaxPool <kernel_shape = [3, 2]> (x)
            e = MaxPool <kernel_shape = [3, 1], strides = [2, 1]> (x)
            f = AveragePool <kernel_shape = [4, 1], strides = [3, 1]> (x)
            g = AveragePool <kernel_shape = [4, 1], strides = [2, 1]> (x)
            h = LpPool <kernel_shape = [3, 1], strides = [3, 1], auto_pad = "VALID"> (x) }""",
    "normalised without images": """
        (float[3, 4] x) => (float[3, 4] y, float[3, 4] z, float[3, 2, 2] u, float[12] v)
        <int64[3] rows = {3, 2, 2}, int64[1] flat = {12}> {
            y = MeanVarianceNormalization (x) z = MeanVarianceNormalization <axes = [0, -2, 1]> (x)
            r = Reshape(x, rows) u = MeanVarianceNormalization (r)
            f = Reshape(x, flat) v = MeanVarianceNormalization (f) }""",
    "an axis twice": """
        (float[3, 4] x) => (float[1, 4] y, float[4] z) <int64[3] axes = {0, -2, 0}>
        { y = ReduceMean(x, axes) z = ReduceL2 <keepdims = 0> (x, axes) }""",
    # 64-bit integers are two words on WebGPU, and the low words are compared without a sign
    "a number below zero and 64-bit integers": """
        (float[4] x) => (int64[4] y, bool[4] z) <int64[1] w = {-3}, float[1] scale = {9}> {
            large = Mul(x, scale) v = Cast <to = 7> (large) square = Mul(v, v) wide = Mul(square, square)
            much = Mul(wide, v) y = Min(w, much) z = Less(much, w) }""",
    # 2^63 - 1 is no double
    "the greatest 64-bit integer": """
        (float[4] x) => (int64[4] y, int64[6] z)
        <int64[2] at = {0, 2}, int64[2] pads = {1, 1}, int64[1] most = {9223372036854775807}> {
            v = Cast <to = 7> (x) few = Slice(v, zero, two)
            y = ScatterElements <reduction = "min"> (v, at, few) z = Pad(v, pads, most_scalar)
            zero = Constant <value_ints = [0]> () two = Constant <value_ints = [2]> ()
            none = Constant <value_ints = [0]> () most_scalar = Squeeze(most, none) }""",
    "integers between integers": """
        (float[1, 1, 2, 3] x) => (uint8[1, 1, 4, 6] y) <float[4] scales = {1, 1, 2, 2}, float[1] ten = {10}> {
            size = Abs(x) large = Mul(size, ten) v = Cast <to = 2> (large)
            y = Resize <mode = "linear"> (v, , scales) }""",
    "filters as wide as the picture": """
        (float[1, 1, 8, 8] x) => (float[1, 1, 3, 1] y, float[1, 1, 1, 4] z)
        <int64[4] few = {1, 1, 3, 1}, int64[4] one = {1, 1, 1, 4}> {
            y = Resize <mode = "linear", antialias = 1, coordinate_transformation_mode = "align_corners"> (x, , , few)
            z = Resize <mode = "cubic", antialias = 1, coordinate_transformation_mode = "pytorch_half_pixel">
                (x, , , one) }""",
    "nothing is resized": """
        (float[0, 1, 2, 3] x) => (float[0, 1, 4, 6] y) <int64[4] sizes = {0, 1, 4, 6}>
        { y = Resize <mode = "linear"> (x, , , sizes) }""",
    "the greatest of nothing": """
        (float[0, 0, 3] x) => (int64[1, 0, 3] y) { y = ArgMax <axis = 0> (x) }""",
    "rows of nothing": """
        (float[0, 3] x) => (float[0, 3] y, float[0, 3] z)
        { y = Softmax <axis = 0> (x) z = Hardmax <axis = 0> (x) }""",
    "zeros are quantised": """
        (float[4] x) => (uint8[4] y, float scale, uint8 zero) <float[1] w = {0}>
        { v = Mul(x, w) y, scale, zero = DynamicQuantizeLinear(v) }""",
    "a maximum of -inf beside the padding": """
        (float[1, 1, 3] x) => (float[1, 1, 3] y, int64[1, 1, 3] at) <float[1] one = {1}, float[1] zero = {0}> {
            v = Mul(x, zero) u = Add(v, one) w = Div(u, zero) z = Neg(w)
            y, at = MaxPool <kernel_shape = [3], pads = [1, 1]> (z) }""",
    # 5 * 0.8 is 4 in f32, and a bin of 2 has 2 points; in f64 it would have 3
    "a region of whole bins": """
        (float[1, 1, 6, 6] x) => (float[1, 1, 2, 2] y) <float[1, 4] regions = {0, 0, 5, 5}, int64[1] at = {0}> {
            y = RoiAlign <output_height = 2, output_width = 2, spatial_scale = 0.8> (x, regions, at) }""",
    # halves are rounded away from zero, bins overlap, and some lie outside of the picture
    "the greatest of regions that are computed": """
        (float[2, 2, 5, 3] x) => (float[4, 2, 3, 2] y) <float none = {0},
        float[4, 5] regions = {1, 1, 1, 5, 9, 0, 0, 0, 0, 0, 1, -3, -5, 3, 3, 0, 4, 8, 30, 30}> {
            most = ReduceMax <keepdims = 0> (x) zero = Mul(most, none) at = Add(regions, zero)
            y = MaxRoiPool <pooled_shape = [3, 2], spatial_scale = 0.5> (x, at) }""",
    "no regions": """
        (float[1, 2, 5, 3] x) => (float[0, 2, 3, 2] y) <float[0, 5] at = {}>
        { y = MaxRoiPool <pooled_shape = [3, 2]> (x, at) }""",
    # ONNX's reference implementation of these is wrong, so lowerings fold them
    "constants that windows pass over": """
        (float[1] x) => (float[1, 4, 2] y, float[1, 1, 2] z, float[1, 1, 2] u)
        <float[1, 4, 1] w = {1, 2, 3, 4},
        float[4, 2, 2] filters = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
        float[1, 1, 5] line = {1, 2, 3, 4, 5}> {
            full = ConvTranspose <group = 2> (w, filters) y = Add(full, x)
            most = MaxPool <kernel_shape = [2], strides = [2], dilations = [2]> (line) z = Add(most, x)
            norm = LpPool <kernel_shape = [2], strides = [2], p = 3> (line) u = Add(norm, x) }""",
    "constants that are gathered": """
        (float[1] x) => (float[1, 2] y) <float[2, 3] w = {1, 2, 3, 4, 5, 6}, int64[1, 2] at = {1, 0}>
        { v = GatherElements <axis = 1> (w, at) y = Add(v, x) }""",
    "more numbers than are folded": """
        (float[1] x) => (float[3000] y) <int64 first = {0}, int64 end = {3000}, int64 step = {1}>
        { all = Range(first, end, step) v = Cast <to = 1> (all) y = Add(v, x) }""",
    # the quotient of the first two is rounded to a whole number, the products of the others are rounded
    "remainders of floats": """
        (float[6] x) => (float[6] y) <float[1] none = {0}, float[6] w = {-3.3, 7000000, 100000, -12345.678, 5, 0.1},
        float[6] by = {1.1, 0.7, 0.3, 0.1, -3, 7}>
        { v = Mul(x, none) u = Add(v, w) y = Mod <fmod = 1> (u, by) }""",
    # as paraphrase-MiniLM-L3-v2 is exported: the keys' heads are read before those of the queries
    "keys before queries": """
        (float[1, 3, 4] x) => (float[1, 2, 3, 3] y)
        <float[4, 4] wq = {1, 2, 0, -1, 3, 1, -2, 0, 1, 1, 2, -3, 0, 1, 0, 2},
        float[4, 4] wk = {0, 1, -1, 2, 1, 0, 3, 1, -2, 1, 1, 0, 2, 0, 1, -1}, int64[4] heads = {0, 0, 2, 2}> {
            q = MatMul(x, wq) k = MatMul(x, wk)
            kh = Reshape(k, heads) kt = Transpose <perm = [0, 2, 3, 1]> (kh)
            qh = Reshape(q, heads) qt = Transpose <perm = [0, 2, 1, 3]> (qh) y = MatMul(qt, kt) }""",
    # both the weight and the part of the concatenation are copied by a kernel
    "a weight is a result beside a concatenation": """
        (float[2, 4] x) => (float[2, 8] y, int64[6] z) <int64[6] w = {0, 2, -5, 7, 8, 9}>
        { v = Relu(x) y = Concat <axis = 1> (x, v) z = Identity(w) }""",
}


@pytest.mark.parametrize("target", ["wasm", "webgpu"])
@pytest.mark.parametrize("name", MODELS)
def test_corner_case(name: str, target: str) -> None:
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
