"""What a model declares, of values and of the graphs inside it, against what its operators give."""

from __future__ import annotations

import onnx
import pytest

from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.onnx import load

IF = """(float[2] x, bool c) => (float[2] y) {{ [N] y = If(c)
    <then_branch = t () => ({then}, else_branch = e () => (float[2] b) {{ b = Neg(x) }}> }}"""
LOOP = """(float[2] x, int64 n, bool c) => (float[2] y, float[n, 2] z)
    {{ [N] y, z = Loop (n, c, x) <body = b (int64 i, bool go, {body}> }}"""
SCAN = """(float[2] x, float[3,2] s) => (float[2] y, float[3,2] z)
    {{ [N] y, z = Scan <num_scan_inputs = {inputs}, body = b ({body}> (x, s) }}"""

CONTRADICTIONS = {
    "(float[2] x) => (int32[1] y) { [N] y = Shape(x) }": (
        "'y' is declared int32[1], and node 'N' (Shape) gives int64[1]"
    ),
    "(float[2] x) => (float[3] y) { [N] y = Neg(x) }": "'y' is declared float[3], and node 'N' (Neg) gives float[2]",
    "(float[n, 2] x) => (float[n, 2, 1] y) { [N] y = Neg(x) }": (
        "'y' is declared float[n, 2, 1], and node 'N' (Neg) gives float[n, 2]"
    ),
    "(float[2] x) => (float[2] y) <float[4] a> { [N] a = Neg(x) y = Neg(a) }": (
        "'a' is declared float[4], and node 'N' (Neg) gives float[2]"
    ),
    "(float[2] x) => (int64[1] y, int32[2] x) { y = Shape(x) }": (
        "'x' is declared int32[2], and the input is float[2]"
    ),
    "(float[2] x, float[3] w) => (float[2] y) <float[2] w = {1, 2}> { y = Add(x, w) }": (
        "'w' is declared float[3], and the initializer is float[2]"
    ),
    "(float[2] x) => (seq(int64[2]) y) { [N] y = SequenceConstruct(x) }": (
        "'y' is declared seq(int64[2]), and node 'N' (SequenceConstruct) gives seq(float[2])"
    ),
    IF.format(then="float[3] a) { [N] a = Abs(x) }"): (
        "'a' is declared float[3], and node 'N' (Abs) gives float[2]"
    ),
}


def message(graph: str) -> str:
    text = f'<ir_version: 10, opset_import: ["" : 21]> test {graph}'
    with pytest.raises(WebDNNError) as error:
        load(onnx.parser.parse_model(text))
    return str(error.value)


@pytest.mark.parametrize("graph", CONTRADICTIONS)
def test_contradictions(graph: str) -> None:
    """Each is an error that names the value, with both types."""
    text = message(graph)
    assert text.startswith("the model declares a type that its own operators contradict")
    assert CONTRADICTIONS[graph] in text


def test_a_large_weight_that_is_declared_otherwise() -> None:
    graph = "(float[100] x, float[99] w) => (float[100] y) { y = Add(x, w) }"
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> test {graph}')
    model.graph.initializer.append(onnx.helper.make_tensor("w", 1, [100], [1.0] * 100))
    with pytest.raises(
        WebDNNError, match=r"'w' is declared float\[99\], and the initializer is float\[100\]"
    ):
        load(model)


CONSISTENT = [
    "(float[n, 2] x) => (float[m, 2] y) <float[3, k] a> { a = Neg(x) y = Neg(a) }",
    "(float[2] x) => (float y) <float[-1] a> { a = Neg(x) y = ReduceSum <keepdims = 0> (a) }",
    # the last window would begin in the padding; inference counts it
    """(float[1, 1, 2] x) => (float[1, 1, 1] y)
    { v = MaxPool <kernel_shape = [1], strides = [2], ceil_mode = 1> (x) y = Neg(v) }""",
    """(float[1, 1, 2] x, bool c) => (float[1, 1, 1] y) { y = If (c) <
        then_branch = t () => (float[1, 1, 1] a)
            { a = MaxPool <kernel_shape = [1], strides = [2], ceil_mode = 1> (x) },
        else_branch = e () => (float[1, 1, 1] b)
            { b = AveragePool <kernel_shape = [1], strides = [2], ceil_mode = 1> (x) }> }""",
    # the sizes are those of the two spatial dimensions; inference takes them for all of the last ones
    """(float[1, 1, 2, 4] x, float[1, 1, 2, 1] w) => (float[1, 1, 4, 3] y)
    { y = ConvTranspose <strides = [2, 1], auto_pad = "VALID", output_shape = [4, 3]> (x, w) }""",
]


@pytest.mark.parametrize("graph", CONSISTENT)
def test_what_contradicts_nothing(graph: str) -> None:
    load(onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> test {graph}'))


def test_bound_sizes_overrule_stale_ones() -> None:
    """Sizes of intermediate values are often those of the example that a model was exported with."""
    graph = "(float[n, 2] x) => (float[1, 2] y) <float[1, 2] a> { a = Neg(x) y = Neg(a) }"
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> test {graph}')
    load(model, {"x": [4, 2]})


BODIES = {
    IF.format(then="int64[1] a) { a = Shape(x) }"): "give 'a' of int64[1] and 'b' of float[2]",
    IF.format(then="float[2] a, float[2] d) { a = Abs(x) d = Neg(x) }"): "its then_branch has 2 outputs, and it has 1",
    LOOP.format(body="float[2] s) => (bool d, float[2] t) { d = Identity(go) t = Neg(s) }"): (
        "it has 1 states and 2 outputs, and its body has 2 outputs"
    ),
    LOOP.format(body="int64[2] s) => (bool d, int64[2] t, float[2] u) { d = Identity(go) t = Neg(s) u = Neg(x) }"): (
        "its body takes a state 's' of int64[2], and 'x' is float[2]"
    ),
    LOOP.format(body="float[2] s) => (bool d, int64[1] t, float[2] u) { d = Identity(go) t = Shape(s) u = Neg(x) }"): (
        "takes a state 's' of float[2] and gives it back as 't' of int64[1]"
    ),
    LOOP.format(
        body="float[2] s, float q) "
        "=> (bool d, float[2] t, float[2] u) { d = Identity(go) t = Neg(s) u = Neg(x) }"): (
        "its body has 4 inputs, and it gives 3 values"
    ),
    SCAN.format(inputs=1,
        body="float[2] a, float[2] e, float q) "
        "=> (float[2] t, float[2] u) { t = Add(a, e) u = Neg(t) }"): (
        "its body has 3 inputs, and it gives 2 values"
    ),
    SCAN.format(inputs=3, body="float[2] a, float[2] e) => (float[2] t, float[2] u) { t = Add(a, e) u = Neg(t) }"): (
        "num_scan_inputs is 3, and it has 2 inputs"
    ),
    SCAN.format(inputs=1, body="float[2] a, float[5] e) => (float[2] t, float[2] u) { t = Neg(a) u = Neg(t) }"): (
        "its body takes a slice 'e' of float[5], and 's' is float[3, 2]"
    ),
    SCAN.format(inputs=1,
        body="float[2] a, float[2] e) "
        "=> (float[1, 2] t, float[2] u) { t = Unsqueeze(a, z) u = Neg(e) z = Constant <value_ints = [0]> () }"): (
        "takes a state 'a' of float[2] and gives it back as 't' of float[1, 2]"
    ),
    SCAN.format(inputs="1, scan_input_axes = [2]",
        body="float[2] a, float[2] e) "
        "=> (float[2] t, float[2] u) { t = Add(a, e) u = Neg(t) }"): (
        "it scans axis 2 of 's', which is float[3, 2]"
    ),
    SCAN.format(inputs="1, scan_output_directions = [0, 1]",
        body="float[2] a, float[2] e) "
        "=> (float[2] t, float[2] u) { t = Add(a, e) u = Neg(t) }"): (
        "its scan_output_directions are [0, 1], and 1 are needed"
    ),
}  # fmt: skip


@pytest.mark.parametrize("graph", BODIES)
def test_bodies_that_do_not_fit_their_node(graph: str) -> None:
    text = message(graph)
    assert text.startswith("node 'N' (")
    assert "does not fit its own graph" in text
    assert BODIES[graph] in text
