"""Models that mean nothing in ONNX, each of which is one error that names the node or the value."""

from __future__ import annotations

import onnx
import pytest
from onnx.defs import OpSchema

from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.onnx import load
from webdnn.frontends.onnx.enumerations import CASE_DOES_NOT_MATTER, WORDS
from webdnn.lowering.onnx_to_nn.convert import convert_onnx_to_nn

X = "(float[2,3] x) => (float[a,b] y)"
IMAGE = "(float[1,2,4,4] x) => (float[a,b,c,d] y)"
RECURRENT = "(float[1,3,2] x, float[1,8,2] w, float[1,8,2] r) => (float[a,b,c,d] y)"

INVALID = {
    # indices
    f"{X} <int64[1] i = {{3}}> {{ [N] y = Gather <axis = 1> (x, i) }}": "holds the index 3, and dimension 1 of [2, 3]",
    f"{X} <int64[2] i = {{0, -4}}> {{ [N] y = Gather <axis = 1> (x, i) }}": "holds the index -4",
    f"{X} <int64[1,2] i = {{1, 2}}> {{ [N] y = GatherElements (x, i) }}": "holds the index 2, and dimension 0",
    f"{X} <int64[1,9] i = {{0, 0, 0, 0, 0, 0, 0, 0, 0}}> {{ [N] y = GatherElements (x, i) }}": (
        "does not fit into [2, 3]"
    ),
    f"{X} <int64[1,1,2] i = {{1, 3}}> {{ [N] y = GatherND (x, i) }}": "holds the index 3, and dimension 1",
    f"{X} <int64[1,3] i = {{1, 1, 1}}> {{ [N] y = GatherND (x, i) }}": "takes 3 indices for an operand of rank 2",
    f"{X} <int64[1,1] i = {{-3}}, float[1,1] u = {{1}}> {{ [N] y = ScatterElements (x, i, u) }}": "holds the index -3",
    f"{X} <int64[1,1] i = {{0}}, float[1] u = {{1}}> {{ [N] y = ScatterElements (x, i, u) }}": (
        "'updates' has the shape [1]"
    ),
    f"{X} <int64[1,2] i = {{1, 3}}, float[1] u = {{1}}> {{ [N] y = ScatterND (x, i, u) }}": "holds the index 3",
    f"{X} <int64[1,1] i = {{1}}, float[1] u = {{1}}> {{ [N] y = ScatterND (x, i, u) }}": (
        "its updates have the shape [1]"
    ),
    f"{X} <bool[5] c = {{0, 0, 0, 0, 1}}> {{ [N] y = Compress <axis = 1> (x, c) }}": "chooses element 4 of 3",
    f"{IMAGE} <float[1,4] r = {{0, 0, 1, 1}}, int64[1] i = {{3}}> {{ [N] y = RoiAlign (x, r, i) }}": "the index 3",
    f"{IMAGE} <float[1,1,1,1] v = {{2}}, int64[1,1,1,1] i = {{9}}> {{ z = Relu(x) "
    f"[N] y = MaxUnpool <kernel_shape = [2, 2]> (v, i) }}": (
        "indices that are not from 0 to 3"
    ),
    f"{X} <int64[2] l = {{1, 4}}> {{ [N] y = ReverseSequence <time_axis = 1, batch_axis = 0> (x, l) }}": (
        "the lengths [1, 4]"
    ),
    f"{X} <int64[2] l = {{1, 1}}> {{ [N] y = ReverseSequence <time_axis = 1, batch_axis = 1> (x, l) }}": (
        "must be 0 and 1"
    ),
    # dimensions
    f"{X} <int64[3] s = {{1, 1, 1}}> {{ [N] y = CenterCropPad <axes = [0, 1]> (x, s) }}": (
        "has 3 numbers, and 2 are needed"
    ),
    "(float[2,3] x) => (uint8[2,3] y) <float[2] s = {1, 2}> { [N] y = QuantizeLinear <axis = 5> (x, s) }": (
        "'axis' is 5"
    ),
    "(float[2,3] x) => (uint8[2,3] y) <float[2] s = {1, 2}> { [N] y = QuantizeLinear <block_size = 2> (x, s) }": (
        "does not fit [2, 3] in blocks of 2"
    ),
    # sizes and scales
    f"{X} <float[2] s = {{1, 0}}> {{ [N] y = Resize (x, , s) }}": "its scales are [1.0, 0.0]",
    f"{X} <float[1] s = {{2}}> {{ [N] y = Resize (x, , s) }}": "'scales' has 1 numbers, and 2 are needed",
    f"{X} <int64[2] s = {{1, -2}}> {{ [N] y = Resize (x, , , s) }}": "its sizes are [1, -2]",
    f"{X} <float[2] s = {{1, 2}}, int64[2] n = {{2, 6}}> {{ [N] y = Resize (x, , s, n) }}": "only one of them",
    "(float[2] x) => (uint8[2] y) <float s = {0}> { [N] y = QuantizeLinear (x, s) }": "its scale is 0 or NaN",
    f"{X} <int64[2] r = {{1, -2}}> {{ [N] y = Tile (x, r) }}": "its repeats are [1, -2]",
    f"{X} <int64[2] r = {{1, 1}}> {{ [N] y, z = Split <axis = 1> (x, r) }}": "the sizes [1, 1], and dimension 1 has 3",
    f"{X} <int64[2] r = {{4, -1}}> {{ [N] y, z = Split <axis = 1> (x, r) }}": "the sizes [4, -1]",
    f"{X} <int64[1] r = {{5}}> {{ [N] y = Unsqueeze (x, r) }}": "axis 5 is outside a tensor of 3 dimensions",
    f"{X} <int64[2] r = {{0, 0}}> {{ [N] y = Unsqueeze (x, r) }}": "its axes are [0, 0]",
    f"{X} <int64[2] r = {{0, -4}}> {{ [N] y = Unsqueeze (x, r) }}": "its axes are [0, -4]",
    f"{X} <int64[1] a = {{0}}, int64[1] e = {{2}}> {{ [N] y = Slice (x, a, e, a, a) }}": "its steps are [0]",
    f"{X} <int64[1] a = {{0}}, int64[2] e = {{2, 3}}> {{ [N] y = Slice (x, e, e, a) }}": "2 starts, 2 ends, 1 axes",
    f"{X} <int64[1] a = {{2}}, int64[1] e = {{2}}> {{ [N] y = Slice (x, a, e, a) }}": "axis 2 is outside",
    # equations, on some of which ONNX's own library does not end
    f"{X} {{ [N] y = Einsum <equation = \"ij;->i\"> (x) }}": "its terms are letters",
    f"{X} {{ [N] y = Einsum <equation = \"ij->->i\"> (x) }}": "its terms are letters",
    f"{X} {{ [N] y = Einsum <equation = \"i1->i\"> (x) }}": "its terms are letters",
    f"{X} {{ [N] y = Einsum <equation = \"ij,jk->ik\"> (x) }}": "terms for 2 operands, and there are 1",
    f"{X} {{ [N] y = Einsum <equation = \"ij->z\"> (x) }}": "the label 'z', which is in no operand",
    f"{X} {{ [N] y = Einsum <equation = \"ij->ii\"> (x) }}": "its result 'ii' has a label twice",
    "(int64[2] x) => (float[a,b] y) <int64 d = {0}, float[2] v = {0, 1}> { [N] y = OneHot (x, d, v) }": (
        "its depth is 0"
    ),
    "(int64[2] x) => (float[a,b] y) <int64 d = {3}, float[3] v = {0, 1, 2}> { [N] y = OneHot (x, d, v) }": (
        "its values have the shape [3]"
    ),
    "(float[1,2,3,3] x, float[4,2,1,1] w) => (float[a,b,c,d] y) { [N] y = Conv <kernel_shape = [3, 3]> (x, w) }": (
        "its kernel_shape is [3, 3], and its filter has [1, 1]"
    ),
    # words
    f"{IMAGE} {{ [N] y = MaxPool <kernel_shape = [2, 2], auto_pad = \"SAME\"> (x) }}": "auto_pad='SAME'",
    f"{X} <int64[4] p = {{0, 0, 0, 0}}> {{ [N] y = Pad <mode = \"mirror\"> (x, p) }}": "mode='mirror'",
    f"{X} <float[2] s = {{1, 2}}> {{ [N] y = Resize <nearest_mode = \"round\"> (x, , s) }}": "nearest_mode='round'",
    f"{X} <float[2] s = {{1, 2}}> {{ [N] y = Resize <coordinate_transformation_mode = \"half\"> (x, , s) }}": "='half'",
    f"{X} <int64[1,1] i = {{0}}, float[1,1] u = {{1}}> {{ "
    f"[N] y = ScatterElements <reduction = \"mean\"> (x, i, u) }}": (
        "reduction='mean'"
    ),
    f"{RECURRENT} {{ [N] y = LSTM <hidden_size = 2, direction = \"backward\"> (x, w, r) }}": "direction='backward'",
    f"{RECURRENT} {{ [N] y = LSTM <hidden_size = 2, activations = [\"Tanh\", \"Gelu\", \"Tanh\"]> (x, w, r) }}": (
        "'Gelu'"
    ),
    f"{RECURRENT} {{ [N] y = LSTM <hidden_size = 2, activations = [\"Tanh\"]> (x, w, r) }}": (
        "1 activations and needs 3"
    ),
}  # fmt: skip


FLAT = "(float[1,2,6] x) => (float[a,b,c] y)"
INVALID_IN_OPSET = {
    (17, "(float[1,4,2] x) => (float[a,b,c] y) { [N] y = DFT <axis = 5, onesided = 1> (x) }"): "axis 5 is",
    (23, f"{X} <float[3] s = {{1, 1, 1}}> {{ [N] y = RMSNormalization <axis = 7> (x, s) }}"): "'axis' is 7",
    (23, f"{FLAT} {{ [N] y = Attention (x, x, x) }}"): "0 heads do not make up",
    (23, f"{FLAT} {{ [N] y = Attention <q_num_heads = 4, kv_num_heads = 3> (x, x, x) }}"): (
        "4 heads do not make up a dimension of 6"
    ),
    (23, f"{FLAT} {{ [N] y = Attention <q_num_heads = 3, kv_num_heads = 2> (x, x, x) }}"): (
        "3 heads of queries cannot share 2"
    ),
    (23, "(float[1,2,6] x, float[2,6] k) => (float[a,b,c] y) "
     "{ [N] y = Attention <q_num_heads = 2, kv_num_heads = 2> (x, k, k) }"): "must be of rank 3",
}  # fmt: skip
"""What is not there, or not so, in the opset of the others."""


def message(graph: str, opset: int = 21) -> str:
    text = f'<ir_version: 10, opset_import: ["" : {opset}]> test {graph}'
    with pytest.raises(WebDNNError) as error:
        imported = load(onnx.parser.parse_model(text))
        convert_onnx_to_nn(imported.module, imported.weights)
    return str(error.value)


@pytest.mark.parametrize("graph", INVALID)
def test_invalid_nodes(graph: str) -> None:
    text = message(graph)
    assert INVALID[graph] in text
    assert "'N'" in text


@pytest.mark.parametrize(("opset", "graph"), INVALID_IN_OPSET)
def test_invalid_nodes_in_opset(opset: int, graph: str) -> None:
    text = message(graph, opset)
    assert INVALID_IN_OPSET[opset, graph] in text
    assert "'N'" in text


def test_impossible_version() -> None:
    model = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 21]> test {X} {{ y = Relu (x) }}'
    )
    model.opset_import.add(domain="ai.onnx.ml", version=-(2**40))
    model.graph.node[0].domain = "ai.onnx.ml"
    with pytest.raises(WebDNNError, match=r"ai\.onnx\.ml\.Relu"):
        load(model)


def test_words_that_another_opset_knows() -> None:
    assert "mode='wrap'" in message(
        '(float[2] x) => (float[2] y) { y = Pad <pads = [0, 0], mode = "wrap"> (x) }', 10
    )


def test_two_outputs_of_one_name() -> None:
    text = message("(float[2] x) => (float[2] y, float[2] y) { y = Neg(x) }")
    assert text.startswith("the model has more than one output of the same name\n  where: 'y'")


FREE = {
    "delimiter",
    "equation",
    "locale",
    "pattern",
    "pool_strings",
    "stopwords",
    "to",
    "value_string",
    "value_strings",
}
"""Attributes that are any text."""


def test_every_word_is_in_the_table() -> None:
    for schema in onnx.defs.get_all_schemas_with_history():
        for name, attribute in schema.attributes.items():
            if schema.domain or name in FREE:
                continue
            if attribute.type in (OpSchema.AttrType.STRING, OpSchema.AttrType.STRINGS):
                words = WORDS[schema.name, name]
                default = attribute.default_value
                texts = [*default.strings, *([default.s] if default.s else [])]
                known = words[
                    max((v for v in words if v <= schema.since_version), default=min(words))
                ]
                for text in (t.decode() for t in texts):
                    word = text.lower() if name in CASE_DOES_NOT_MATTER else text
                    assert word in known or word == "foward", (schema.name, name)
