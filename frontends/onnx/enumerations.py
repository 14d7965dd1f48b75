"""The attributes of operators that are one of a few words, and what these are in each version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnx import AttributeProto, ModelProto, NodeProto

from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.onnx.graphs import all_nodes, describe
from webdnn.frontends.onnx.validate import opsets_of

_RECURRENT = ("RNN", "GRU", "LSTM")
_WINDOWS = (
    "Conv", "ConvInteger", "QLinearConv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool",
)  # fmt: skip
_ACTIVATIONS = "relu tanh sigmoid affine leakyrelu thresholdedrelu scaledtanh hardsigmoid elu softsign softplus"
_RESIZE_11 = "half_pixel pytorch_half_pixel align_corners asymmetric tf_crop_and_resize"

_TABLE: Sequence[tuple[str | Sequence[str], str, Mapping[int, str]]] = (
    (_WINDOWS, "auto_pad", {1: "NOTSET SAME_UPPER SAME_LOWER VALID"}),
    (_RECURRENT, "direction", {1: "forward reverse bidirectional"}),
    (_RECURRENT, "activations", {1: _ACTIVATIONS}),
    ("BitShift", "direction", {11: "LEFT RIGHT"}),
    ("Pad", "mode", {1: "constant reflect edge", 19: "constant reflect edge wrap"}),
    ("Upsample", "mode", {1: "nearest linear"}),
    ("Resize", "mode", {10: "nearest linear", 11: "nearest linear cubic"}),
    ("Resize", "coordinate_transformation_mode", {
        11: f"{_RESIZE_11} tf_half_pixel_for_nn", 13: _RESIZE_11, 19: f"{_RESIZE_11} half_pixel_symmetric",
    }),
    ("Resize", "nearest_mode", {11: "round_prefer_floor round_prefer_ceil floor ceil"}),
    ("Resize", "keep_aspect_ratio_policy", {18: "stretch not_larger not_smaller"}),
    ("GridSample", "mode", {16: "bilinear nearest bicubic", 20: "linear nearest cubic"}),
    ("GridSample", "padding_mode", {16: "zeros border reflection"}),
    ("RoiAlign", "mode", {10: "avg max"}),
    ("RoiAlign", "coordinate_transformation_mode", {16: "half_pixel output_half_pixel"}),
    (("DepthToSpace", "SpaceToDepth"), "mode", {11: "DCR CRD"}),
    (("ScatterElements", "ScatterND"), "reduction", {16: "none add mul", 18: "none add mul max min"}),
    (("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"), "reduction", {12: "none sum mean"}),
    ("TensorScatter", "mode", {24: "linear circular"}),
    ("Gelu", "approximate", {20: "none tanh"}),
    (("Cast", "CastLike"), "round_mode", {24: "up down nearest"}),
    ("CausalConvWithState", "activation", {27: "none silu swish"}),
    ("LinearAttention", "update_rule", {27: "linear gated delta gated_delta"}),
    ("StringNormalizer", "case_change_action", {10: "LOWER UPPER NONE"}),
    ("TfIdfVectorizer", "mode", {9: "TF IDF TFIDF"}),
    ("ImageDecoder", "pixel_format", {20: "RGB BGR Grayscale"}),
)  # fmt: skip
"""Operators, an attribute, and its words from an opset on."""

WORDS: Mapping[tuple[str, str], Mapping[int, Sequence[str]]] = {
    (op_type, name): {opset: words.split() for opset, words in versions.items()}
    for op_types, name, versions in _TABLE
    for op_type in ([op_types] if isinstance(op_types, str) else op_types)
}
"""By operator and attribute: the words that it may be, from an opset on."""
CASE_DOES_NOT_MATTER = frozenset(("activations",))
"""Attributes whose words are found in either case, and read so by other runtimes too."""
GATES = {"RNN": 1, "GRU": 2, "LSTM": 3}
"""How many activations a direction of a recurrent operator has."""


def check_enumerations(model: ModelProto) -> None:
    """Check the attributes of all nodes that are words.

    Raises:
        WebDNNError: one is a word that its operator does not know; or a recurrent node lacks activations.
    """
    opset = opsets_of(model).get("")
    if opset is None:
        return
    for node in all_nodes(model.graph):
        if node.domain in ("", "ai.onnx"):
            for attribute in node.attribute:
                _check(node, attribute, opset)


def _check(node: NodeProto, attribute: AttributeProto, opset: int) -> None:
    versions = WORDS.get((node.op_type, attribute.name))
    if versions is None or attribute.type not in (AttributeProto.STRING, AttributeProto.STRINGS):
        return
    allowed = versions[max((v for v in versions if v <= opset), default=min(versions))]
    given = attribute.strings if attribute.type == AttributeProto.STRINGS else [attribute.s]
    for value in given:
        word = value.decode("utf-8", "replace")
        if (word.lower() if attribute.name in CASE_DOES_NOT_MATTER else word) not in allowed:
            raise WebDNNError(
                f"node '{describe(node)}' ({node.op_type}) has {attribute.name}='{word}', which ONNX does not know",
                where=describe(node),
                why=f"in opset {opset} it is one of {', '.join(allowed)}",
                hint="mend the node, or export the model again",
            )
    if attribute.name == "activations" and given:
        both = any(a.name == "direction" and a.s == b"bidirectional" for a in node.attribute)
        wanted = GATES[node.op_type] * (1 + both)
        if len(given) < wanted:
            raise WebDNNError(
                f"node '{describe(node)}' ({node.op_type}) has {len(given)} activations and needs {wanted}",
                where=describe(node),
                why="each gate has one, in each direction",
            )


__all__ = ["CASE_DOES_NOT_MATTER", "WORDS", "check_enumerations"]
