"""Models of the opsets 1 to 8 whose operators read otherwise today, beside the same computation in a new opset."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import ModelProto

import webdnn
from tests.tolerances import assert_close
from tests.unit.onnx_import import Array, run_session
from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.onnx import load
from webdnn.frontends.onnx.old_operators import find_rewrite

SAME = {
    # operator and opset: (graph in the old opset, the same in opset 21)
    "Add 6, along channels of one pixel": (
        6,
        "(float[1,4,1,1] x, float[4] w) => (float[1,4,1,1] y) { y = Add <broadcast=1, axis=1> (x, w) }",
        """(float[1,4,1,1] x, float[4] w) => (float[1,4,1,1] y) <int64[2] at = {1, 2}>
        { v = Unsqueeze(w, at) y = Add(x, v) }""",
    ),
    "Mul 1, in the middle": (
        1,
        """(float[2,3,4,5] x, float[3,4] w) => (float[2,3,4,5] y)
        { y = Mul <broadcast=1, axis=1, consumed_inputs=[0, 0]> (x, w) }""",
        """(float[2,3,4,5] x, float[3,4] w) => (float[2,3,4,5] y) <int64[1] at = {2}>
        { v = Unsqueeze(w, at) y = Mul(x, v) }""",
    ),
    "Sub 6, at the front": (
        6,
        "(float[2,2,2] x, float[2] w) => (float[2,2,2] y) { y = Sub <broadcast=1, axis=0> (x, w) }",
        """(float[2,2,2] x, float[2] w) => (float[2,2,2] y) <int64[2] at = {1, 2}>
        { v = Unsqueeze(w, at) y = Sub(x, v) }""",
    ),
    "Div 6, at the end, and by one element": (
        6,
        """(float[2,3,3] x, float[3] w, float[1,1] one) => (float[2,3,3] y) {
            a = Div <broadcast=1> (x, w) b = Div <broadcast=1, axis=2> (a, w) y = Div <broadcast=1, axis=0>
                (b, one) }""",
        """(float[2,3,3] x, float[3] w, float[1,1] one) => (float[2,3,3] y)
        { a = Div(x, w) b = Div(a, w) y = Div(b, one) }""",
    ),
    "Pow 1, along an axis that is known from a Reshape": (
        1,
        """(float[6,2] x, float[3] w) => (float[2,3,2] y) {
            a = Abs(x) v = Reshape <shape=[2, 3, -1]> (a) y = Pow <broadcast=1, axis=1> (v, w) }""",
        """(float[6,2] x, float[3] w) => (float[2,3,2] y) <int64[3] s = {2, 3, 2}, int64[1] at = {1}> {
            a = Abs(x) v = Reshape(a, s) u = Unsqueeze(w, at) y = Pow(v, u) }""",
    ),
    "comparisons and logic 1": (
        1,
        """(float[2,3,3] x, float[3] w) => (bool[2,3,3] y, bool[2,3,3] z) {
            a = Greater <broadcast=1, axis=1> (x, w) b = Less <broadcast=1> (x, w) c = Greater <broadcast=1> (w, zero)
            zero = Constant <value = float[1] {0}> ()
            d = And <broadcast=1, axis=1> (a, c) e = Or <broadcast=1, axis=0> (b, few)
                few = Constant <value = bool[2] {1, 0}> ()
            y = Xor(d, e) f = Equal <broadcast=1, axis=1> (y, c) z = Not(f) }""",
        """(float[2,3,3] x, float[3] w) => (bool[2,3,3] y, bool[2,3,3] z)
        <int64[1] at = {1}, float[1] zero = {0}, bool[2,1,1] few = {1, 0}> {
            v = Unsqueeze(w, at) a = Greater(x, v) b = Less(x, w) c = Greater(v, zero)
            d = And(a, c) e = Or(b, few) y = Xor(d, e) f = Equal(y, c) z = Not(f) }""",
    ),
    "PRelu 6, a slope a channel": (
        6,
        "(float[2,3,3,3] x, float[3] w) => (float[2,3,3,3] y) { y = PRelu(x, w) }",
        """(float[2,3,3,3] x, float[3] w) => (float[2,3,3,3] y) <int64[2] at = {1, 2}>
        { v = Unsqueeze(w, at) y = PRelu(x, v) }""",
    ),
    "PRelu 1, one slope": (
        1,
        "(float[2,3,3] x, float[1] w) => (float[2,3,3] y) { y = PRelu <consumed_inputs=[0, 0]> (x, w) }",
        "(float[2,3,3] x, float[1] w) => (float[2,3,3] y) { y = PRelu(x, w) }",
    ),
    "consumed inputs 1": (
        1,
        """(float[2,3] x) => (float[2,3] y) {
            a = Relu <consumed_inputs=[0]> (x) b = Elu <consumed_inputs=[0], alpha=0.7> (x)
                c = Tanh <consumed_inputs=[0]> (b)
            d = Clip <consumed_inputs=[0], min=-0.5, max=0.5> (c) e = HardSigmoid <consumed_inputs=[0]> (d)
            f = LeakyRelu <consumed_inputs=[0]> (e) g = Sum <consumed_inputs=[0, 0]> (f, a)
            h = Max <consumed_inputs=[0, 0]> (g, x) i = Mean(h, x) j = Neg <consumed_inputs=[0]> (i) k = Exp(j)
            l = Sqrt <consumed_inputs=[0]> (k) y = Min(l, k) }""",
        """(float[2,3] x) => (float[2,3] y) <float lo = {-0.5}, float hi = {0.5}> {
            a = Relu(x) b = Elu <alpha=0.7> (x) c = Tanh(b) d = Clip(c, lo, hi) e = HardSigmoid(d)
            f = LeakyRelu(e) g = Sum(f, a) h = Max(g, x) i = Mean(h, x) j = Neg(i) k = Exp(j) l = Sqrt(k)
                y = Min(l, k) }""",
    ),
    "Selu 1, whose values had four digits": (
        1,
        "(float[2,3] x) => (float[2,3] y) { y = Selu(x) }",
        "(float[2,3] x) => (float[2,3] y) { y = Selu <alpha=1.6732, gamma=1.0507> (x) }",
    ),
    "Cast 1, to a name": (
        1,
        "(float[2,3] x) => (int64[2,3] y) { v = Cast <to=\"INT32\"> (x) y = Cast <to=\"int64\"> (v) }",
        "(float[2,3] x) => (int64[2,3] y) { v = Cast <to=6> (x) y = Cast <to=7> (v) }",
    ),
    "Concat 1, without an axis": (
        1,
        "(float[2,3] x) => (float[2,6] y) { y = Concat(x, x) }",
        "(float[2,3] x) => (float[2,6] y) { y = Concat <axis=1> (x, x) }",
    ),
    "Reshape 1, Pad 1": (
        1,
        """(float[2,3,1] x) => (float[n,m] y)
        { v = Reshape <shape=[0, -1], consumed_inputs=[0]> (x) y = Pad <paddings=[0, 1, 2, 0], value=2.5> (v) }""",
        """(float[2,3,1] x) => (float[n,m] y) <int64[2] s = {0, -1}, int64[4] p = {0, 1, 2, 0}, float c = {2.5}>
        { v = Reshape(x, s) y = Pad(v, p, c) }""",
    ),
    "Pad 2, which mirrors": (
        2,
        "(float[4,3] x) => (float[n,m] y) { y = Pad <pads=[2, 0, 1, 1], mode=\"reflect\"> (x) }",
        "(float[4,3] x) => (float[n,m] y) <int64[4] p = {2, 0, 1, 1}> { y = Pad <mode=\"reflect\"> (x, p) }",
    ),
    "Split 1, sizes as an input": (
        1,
        """(float[2,5] x) => (float[2,2] y, float[2,3] z, float[1,5] a, float[1,5] b) <float[2] sizes = {2, 3}>
        { y, z = Split <axis=1> (x, sizes) a, b = Split <axis=0> (x) }""",
        """(float[2,5] x) => (float[2,2] y, float[2,3] z, float[1,5] a, float[1,5] b) <int64[2] sizes = {2, 3}>
        { y, z = Split <axis=1> (x, sizes) a, b = Split <axis=0, num_outputs=2> (x) }""",
    ),
    "Tile 1, along one axis": (
        1,
        "(float[2,3,1] x) => (float[2,6,1] y) <float tiles = {2}, float axis = {1}> { y = Tile(x, tiles, axis) }",
        "(float[2,3,1] x) => (float[2,6,1] y) <int64[3] r = {1, 2, 1}> { y = Tile(x, r) }",
    ),
    "Tile 6": (
        6,
        "(float[2,3] x) => (float[2,6] y) <int64[2] r = {1, 2}> { y = Tile(x, r) }",
        "(float[2,3] x) => (float[2,6] y) <int64[2] r = {1, 2}> { y = Tile(x, r) }",
    ),
    "Upsample 1": (
        1,
        """(float[1,2,3,3] x) => (float[1,2,6,9] y, float[1,2,6,6] z) {
            y = Upsample <height_scale=2.0, width_scale=3.0> (x)
            z = Upsample <height_scale=2.0, width_scale=2.0, mode="bilinear"> (x) }""",
        """(float[1,2,3,3] x) => (float[1,2,6,9] y, float[1,2,6,6] z)
            <float[4] a = {1, 1, 2, 3}, float[4] b = {1, 1, 2, 2}> {
            y = Resize <coordinate_transformation_mode="asymmetric", nearest_mode="floor"> (x, , a)
            z = Resize <coordinate_transformation_mode="asymmetric", mode="linear"> (x, , b) }""",
    ),
    "pools 1": (
        1,
        """(float[1,2,5,5] x) => (float[1,2,3,3] y, float[1,2,3,3] z, float[1,2,1,1] u, float[1,2,3,3] v) {
            y = AveragePool <kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]> (x)
            z = LpPool <kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER", p=2.0> (x)
                u = GlobalLpPool <p=1.0> (x)
            v = MaxPool <kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_UPPER"> (x) }""",
        """(float[1,2,5,5] x) => (float[1,2,3,3] y, float[1,2,3,3] z, float[1,2,1,1] u, float[1,2,3,3] v) {
            y = AveragePool <kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]> (x)
            z = LpPool <kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], p=2> (x) u = GlobalLpPool <p=1> (x)
            v = MaxPool <kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1]> (x) }""",
    ),
    "Gemm 6, broadcast": (
        6,
        """(float[2,3] x, float[4,3] w, float[4] c) => (float[2,4] y)
        { y = Gemm <broadcast=1, transB=1, alpha=0.5> (x, w, c) }""",
        "(float[2,3] x, float[4,3] w, float[4] c) => (float[2,4] y) { y = Gemm <transB=1, alpha=0.5> (x, w, c) }",
    ),
    "Gemm 1, as it is": (
        1,
        "(float[2,3] x, float[3,2] w, float[2,2] c) => (float[2,2] y) { y = Gemm <beta=0.25> (x, w, c) }",
        "(float[2,3] x, float[3,2] w, float[2,2] c) => (float[2,2] y) { y = Gemm <beta=0.25> (x, w, c) }",
    ),
    "Dropout 6 and BatchNormalization 6": (
        6,
        """(float[2,3,4] x, float[3] s, float[3] b, float[3] m, float[3] r) => (float[2,3,4] y) {
            v, mask = Dropout <is_test=1> (x) u = Dropout (v) w = Abs(r)
            y = BatchNormalization <is_test=1, epsilon=0.01> (u, s, b, m, w) }""",
        """(float[2,3,4] x, float[3] s, float[3] b, float[3] m, float[3] r) => (float[2,3,4] y)
        { w = Abs(r) y = BatchNormalization <epsilon=0.01> (x, s, b, m, w) }""",
    ),
    "BatchNormalization 1": (
        1,
        """(float[2,3] x, float[3] s, float[3] b, float[3] m, float[3] r) => (float[2,3] y)
        { w = Abs(r) y = BatchNormalization <is_test=1, consumed_inputs=[0, 0, 0, 1, 1], spatial=0>
            (x, s, b, m, w) }""",
        """(float[2,3] x, float[3] s, float[3] b, float[3] m, float[3] r) => (float[2,3] y)
        { w = Abs(r) y = BatchNormalization (x, s, b, m, w) }""",
    ),
    "GRU 1": (
        1,
        """(float[3,1,2] x, float[1,6,2] w, float[1,6,2] r) => (float[1,1,2] y)
        { all, y = GRU <output_sequence=1, hidden_size=2, direction="foward"> (x, w, r) }""",
        """(float[3,1,2] x, float[1,6,2] w, float[1,6,2] r) => (float[1,1,2] y)
        { all, y = GRU <hidden_size=2> (x, w, r) }""",
    ),
    "LSTM 1 and RNN 1": (
        1,
        """(float[3,1,2] x, float[1,8,2] w, float[1,8,2] r, float[1,2,2] v) => (float[1,1,2] y, float[3,1,1,2] z) {
            a, y, c = LSTM <output_sequence=0, hidden_size=2, direction="reverse"> (x, w, r)
            z = RNN <output_sequence=1, hidden_size=2, activations=["Relu"]> (x, v, v) }""",
        """(float[3,1,2] x, float[1,8,2] w, float[1,8,2] r, float[1,2,2] v) => (float[1,1,2] y, float[3,1,1,2] z) {
            a, y, c = LSTM <hidden_size=2, direction="reverse"> (x, w, r)
            z = RNN <hidden_size=2, activations=["Relu"]> (x, v, v) }""",
    ),
    "Softmax 1, over all dimensions from axis on; TopK 1, Slice 1, Squeeze 1, Unsqueeze 1": (
        1,
        """(float[2,3,4] x) => (float[2,2,4] y, int64[2,2,4] at) {
            v = Softmax <axis=1> (x) u = Unsqueeze <axes=[0]> (v) w = Slice <axes=[3], starts=[0], ends=[9]> (u)
            s = Squeeze <axes=[0]> (w) y, at = TopK <k=2, axis=1> (s) }""",
        """(float[2,3,4] x) => (float[2,2,4] y, int64[2,2,4] at)
            <int64[2] f = {2, 12}, int64[3] d = {2, 3, 4}, int64[1] k = {2}> {
            a = Reshape(x, f) b = Softmax <axis=1> (a) c = Reshape(b, d) y, at = TopK <axis=1> (c, k) }""",
    ),
    "inside of If": (
        6,
        """(float[2,3,1] x, float[3] w) => (float[2,3,1] y) {
            c = Greater <broadcast=1> (most, zero) most = ReduceMax <keepdims=0> (x)
            zero = Constant <value = float {-100}> ()
            v = If (c) <
                then_branch = t () => (float[2,3,1] a) { a = Add <broadcast=1, axis=1> (x, w) },
                else_branch = e () => (float[2,3,1] b) { b = PRelu(x, w) }>
            y = Mul <broadcast=1, axis=1> (v, w) }""",
        """(float[2,3,1] x, float[3] w) => (float[2,3,1] y) <int64[1] at = {1}> {
            u = Unsqueeze(w, at) v = Add(x, u) y = Mul(v, u) }""",
    ),
}  # fmt: skip


def parse(graph: str, opset: int) -> ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : {opset}]> test {graph}')


def feeds_of(model: ModelProto) -> dict[str, Array]:
    rng = np.random.default_rng(5)
    given = {tensor.name for tensor in model.graph.initializer}
    return {
        v.name: rng.standard_normal([d.dim_value for d in v.type.tensor_type.shape.dim]).astype(
            np.float32
        )
        for v in model.graph.input
        if v.name not in given
    }


def check(model: ModelProto, expected: ModelProto, target: str, name: str) -> None:
    feeds = feeds_of(model)
    results = webdnn.compile(model, target=target, jobs=1).run(feeds)
    for output, array in zip(model.graph.output, run_session(expected, feeds), strict=True):
        assert results[output.name].dtype == array.dtype
        assert_close(results[output.name], array, name, output.name)


@pytest.mark.parametrize("name", SAME)
def test_old_operators(name: str) -> None:
    """They mean what they meant, whatever onnx's converter makes of them."""
    opset, old, new = SAME[name]
    check(parse(old, opset), parse(new, 21), "wasm", name)


@pytest.mark.parametrize("opset", [6, 7, 10])
def test_bounds_that_are_left_out(opset: int) -> None:
    """Before opset 11 they are the greatest finite numbers, so infinity is clipped."""
    model = parse(
        "(float[5] x) => (float[5] y, float[5] z) { y = Clip <min=-1.0> (x) z = Clip (x) }", opset
    )
    feeds = {"x": np.array([np.inf, -np.inf, 3e38, -2, np.nan], np.float32)}
    results = webdnn.compile(model, target="wasm", jobs=1).run(feeds)
    for name, array in zip(("y", "z"), run_session(model, feeds), strict=True):
        np.testing.assert_array_equal(results[name], array)


SPATIAL = """(float[2,3,2,2] x, float[3,2,2] s, float[3,2,2] b, float[3,2,2] m, float[3,2,2] r) => (float[2,3,2,2] y)
    { w = Abs(r) y = BatchNormalization <spatial=0, epsilon=0.1 {is_test}> (x, s, b, m, w) }"""


@pytest.mark.parametrize("target", ["wasm", "webgpu"])
@pytest.mark.parametrize("opset", [6, 7, 8])
def test_statistics_of_each_activation(opset: int, target: str) -> None:
    model = parse(SPATIAL.replace("{is_test}", ", is_test=1" if opset < 7 else ""), opset)
    check(model, parse(SPATIAL.replace("{is_test}", ""), 7), target, "spatial=0")


LOOP = """(float[{n},3,2] x, float[3] w) => (float[{n},3,2] y) <int64 trips = {{2}}, bool go = {{1}}> {{
    y = Loop (trips, go, x) <body = b (int64 i, bool c, float{s} s) => (bool d, float{s} t)
        {{ d = Identity(c) v = Add <broadcast=1, axis=1> (s, w) t = PRelu(v, w) }}> }}"""


@pytest.mark.parametrize("shape", ["[n,3,2]", "[]"])
def test_symbols_and_loops(shape: str) -> None:
    """The rank of a state is that of its first value, where the body does not say it."""
    old = parse(LOOP.format(n="n", s="[n,3,2]"), 6)
    if shape == "[]":
        for value in [
            *old.graph.node[0].attribute[0].g.input,
            *old.graph.node[0].attribute[0].g.output,
        ]:
            if value.name in ("s", "t"):
                value.type.tensor_type.ClearField("shape")
    old.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    new = parse(
        """(float[4,3,2] x, float[3] w) => (float[4,3,2] y) <int64[1] at = {1}>
        { v = Unsqueeze(w, at) a = Add(x, v) b = PRelu(a, v) c = Add(b, v) y = PRelu(c, v) }""",
        21,
    )
    feeds = feeds_of(new)
    result = webdnn.compile(old, target="wasm", jobs=1, shapes={"x": (4, 3, 2)}).run(feeds)["y"]
    assert_close(result, run_session(new, feeds)[0], "a loop", "y")


EXPERIMENTAL = [
    "Affine <alpha = 2.0, beta = 3.0>", "ImageScaler <scale = 2.0, bias = [1.0, 2.0, 3.0]>",
    "Crop <border = [1, 0, 2, 1]>",
    "Crop <border = [1, 1, 0, 0], scale = [2, 3]>", "Scale <scale = 3.0>", "ScaledTanh <alpha = 2.0, beta = 0.5>",
    "ParametricSoftplus <alpha = 2.0, beta = 0.5>", "ThresholdedRelu <alpha = -0.5>", "ThresholdedRelu",
    "MeanVarianceNormalization", "MeanVarianceNormalization <across_channels = 1>",
    "MeanVarianceNormalization <normalize_variance = 0>",
]  # fmt: skip


@pytest.mark.parametrize("opset", [1, 8])
@pytest.mark.parametrize("node", EXPERIMENTAL)
def test_experimental_operators(node: str, opset: int) -> None:
    """They are part of no specification any more; ONNX Runtime still has them."""
    graph = f"(float[2,3,4,6] x) => (float[a,b,c,d] y) {{ y = {node} (x) }}"
    expected = parse(graph, 8)
    check(parse(graph, opset), expected, "wasm", node)


FILLS = {
    "ConstantFill <shape = [2, 3, 4, 6], value = 2.5> ()": (1, "k"),
    "ConstantFill <value = 2.5> (x)": (1, "k"),
    "ConstantFill <value = 2.5, input_as_shape = 1> (sizes)": (8, "k"),
    "GivenTensorFill <shape = [1, 3, 1, 1], values = [1.0, -2.0, 3.0]> ()": (1, "c"),
    "GivenTensorFill <input_as_shape = 1, values = [1.0, -2.0, 3.0]> (few)": (5, "c"),
}
"""By node: the first opset in which it is expanded, and the constant that it is, or that broadcasts to it."""


@pytest.mark.parametrize("opset", [1, 6, 7, 8, 9])
@pytest.mark.parametrize("node", FILLS)
def test_experimental_fills(node: str, opset: int) -> None:
    """As Caffe2 wrote them; x may hold what is no number."""
    first, constant = FILLS[node]
    sizes = "int64[4] sizes = {2, 3, 4, 6}, int64[4] few = {1, 3, 1, 1}"
    broadcast = "<broadcast = 1>" if opset < 7 else ""
    old = parse(
        f"""(float[2,3,4,6] x) => (float[2,3,4,6] y) <{sizes}>
        {{ f = {node} z = Log (x) g = {node.replace("(x)", "(z)")}
            h = Add {broadcast} (x, f) y = Add {broadcast} (h, g) }}""",
        opset,
    )
    new = parse(
        f"""(float[2,3,4,6] x) => (float[2,3,4,6] y)
        <float k = {{2.5}}, float[1,3,1,1] c = {{1, -2, 3}}> {{ h = Add (x, {constant}) y = Add (h, {constant}) }}""",
        21,
    )
    if opset < first:
        with pytest.raises(webdnn.WebDNNError, match=r"is not supported|export with opset 8"):
            webdnn.compile(old)
    else:
        check(old, new, "wasm", node)


@pytest.mark.parametrize("opset", [1, 7])
def test_experimental_fully_connected(opset: int) -> None:
    old = """(float[2,3,4] x, float[5,12] w, float[5] b) => (float[2,5] y) { y = FC (x, w, b) }"""
    new = """(float[2,3,4] x, float[5,12] w, float[5] b) => (float[2,5] y)
        { r = Flatten (x) y = Gemm <transB = 1> (r, w, b) }"""
    check(parse(old, opset), parse(new, 21), "wasm", "FC")


WRITTEN_DOWN_LATER = {("Clip", "min"), ("Clip", "max")}
"""Defaults that the text of an old version states and its schema does not."""


def test_every_operator_has_been_thought_of() -> None:
    """What an operator has in an opset from 1 to 6 and no more in opset 7 is in the table."""

    for old in onnx.defs.get_all_schemas_with_history():
        if old.domain or old.since_version > 6:
            continue
        if find_rewrite(onnx.helper.make_node(old.name, [], []), old.since_version) is None:
            new = onnx.defs.get_schema(old.name, 7)
            for name, attribute in old.attributes.items():
                if name != "consumed_inputs" and (old.name, name) not in WRITTEN_DOWN_LATER:
                    assert new.attributes[name].type == attribute.type, old.name
                    assert new.attributes[name].default_value == attribute.default_value, old.name
            assert [p.name for p in new.inputs][: len(old.inputs)] == [p.name for p in old.inputs]


WRONG = {
    "shapes that differ and no broadcast": (
        6,
        "(float[2,3] x, float[3] w) => (float[2,3] y) { [N] y = Add(x, w) }",
        ["node 'N' (Add)", "[2, 3] and [3], and it does not say broadcast=1"],
    ),
    "not at the end": (
        6,
        "(float[1,4,1,1] x, float[4] w) => (float[1,4,1,1] y) { [N] y = Add <broadcast=1> (x, w) }",
        ["node 'N' (Add)", "shape [4], which does not lie at its last dimensions of [1, 4, 1, 1]"],
    ),
    "beyond the end": (
        6,
        "(float[2,3] x, float[3] w) => (float[2,3] y) { [N] y = Mul <broadcast=1, axis=2> (x, w) }",
        ["node 'N' (Mul)", "does not lie at axis 2"],
    ),
    "sums of what differs": (
        6,
        "(float[2,3] x, float[3] w) => (float[2,3] y) { [N] y = Sum(x, w) }",
        ["node 'N' (Sum)", "does not broadcast"],
    ),
    "a rank that matters": (
        6,
        """(float x, float[3] w) => (float y)
        { v = Reshape(x, s) [N] y = Add <broadcast=1, axis=1> (v, w) s = Cast <to=7> (w) }""",
        ["node 'N' (Add)", "the rank of 'v' is not known"],
    ),
    "training": (
        6,
        "(float[2,3] x) => (float[2,3] y, bool[2,3] m) { [N] y, m = Dropout(x) }",
        ["node 'N' (Dropout)", "for training"],
    ),
    "an output that is not filled": (
        6,
        "(float[2,3] x) => (float[2,3] y, bool[2,3] m) { [N] y, m = Dropout <is_test=1> (x) }",
        ["nothing defines", "'m'"],
    ),
    "a number a channel": (
        7,
        """(float[2,3,4] x, float[3] s) => (float[2,3,4] y)
        { [N] y = BatchNormalization <spatial=0> (x, s, s, s, s) }""",
        ["node 'N' (BatchNormalization)", "[3, 4], not [3]", "set spatial=1"],
    ),
    "no such type": (
        1,
        "(float[2,3] x) => (float[2,3] y) { [N] y = Cast <to=\"float33\"> (x) }",
        ["node 'N' (Cast)", "'float33' is not the name of a type"],
    ),
    "an experimental operator": (
        1,
        "(float[2,3,4,4] x) => (float[2,3,4,4] y) { [N] y = Crop <border=[1, 2]> (x) }",
        ["node 'N' (Crop, an experimental operator) is invalid", "4 numbers border"],
    ),
    "no axis": (
        1,
        "(float[2,4] x) => (float[2,2] y, float[2,2] z) { [N] y, z = Split(x) }",
        ["node 'N' (Split)", "does not say its axis"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_invalid_in_its_opset(name: str) -> None:
    opset, graph, parts = WRONG[name]
    with pytest.raises(WebDNNError) as error:
        load(parse(graph, opset))
    for part in parts:
        assert part in str(error.value)
