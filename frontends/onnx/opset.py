"""Brings a model to the newest opset that the `onnx` package knows, where its converter can."""

from __future__ import annotations

import onnx
from onnx import GraphProto, ModelProto
from onnx.defs import OpSchema

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.onnx import op_class
from webdnn.frontends.onnx import library
from webdnn.frontends.onnx.graphs import all_graphs, subgraphs
from webdnn.frontends.onnx.validate import check_model, opsets_of

_ASYMMETRIC = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
"""How Resize finds its samples before opset 11."""


def upgrade(model: ModelProto) -> ModelProto:
    """The same model in the newest opset, or `model` itself where the converter cannot convert all of its nodes.

    Args:
        model: a model of opset 7 or newer; `old_opsets` makes it one.
    """
    opset = opsets_of(model).get("")
    newest = onnx.defs.onnx_opset_version()
    if opset is None or opset == newest:
        return model
    return _convert(model, opset, newest) or model


def _convert(model: ModelProto, opset: int, newest: int) -> ModelProto | None:
    """The converted model, or None where the converter cannot convert it or would change what it computes."""
    if not _subgraphs_are_the_same(model.graph, opset, newest):
        return None
    if _silently_changed(model.graph, opset):
        return None
    try:
        converted = library.call(onnx.version_converter.convert_version, model, newest)
        check_model(converted)
    except (
        WebDNNError,
        onnx.version_converter.ConvertError,
        onnx.shape_inference.InferenceError,
        RuntimeError,
        ValueError,
    ):
        return None
    if not _same_interface(model.graph, converted.graph):
        return None
    # The converter changes the names of some values.
    return converted if _keep_asymmetric(model.graph, converted.graph, opset) else None


def _silently_changed(graph: GraphProto, opset: int) -> bool:
    """Whether the converter passes a node through although a newer opset reads it in another way."""
    for node in graph.node:
        if node.domain not in ("", "ai.onnx") or opset >= 13:
            continue
        # Before 13, Hardmax was over all axes from `axis` on; the converter knows this of Softmax only.
        if node.op_type == "Hardmax":
            return True
        # Before 9, all that Scan takes has a batch axis.
        if node.op_type == "Scan" and opset < 9:
            return True
        # This mode of Resize was removed in 13.
        modes = [a.s for a in node.attribute if a.name == "coordinate_transformation_mode"]
        if node.op_type == "Resize" and modes == [b"tf_half_pixel_for_nn"]:
            return True
    return False


def _keep_asymmetric(before: GraphProto, after: GraphProto, opset: int) -> bool:
    """Say in the converted Resize nodes what Upsample, and Resize before 11, did: the converter leaves it out.

    Returns:
        whether all of these nodes were found again.
    """
    old = {"Upsample"} | ({"Resize"} if opset < 11 else set[str]())
    wanted = {node.output[0] for node in before.node if node.op_type in old and not node.domain}
    for node in after.node:
        if node.op_type == "Resize" and node.output[0] in wanted:
            wanted.remove(node.output[0])
            for name, value in _ASYMMETRIC.items():
                node.attribute.append(onnx.helper.make_attribute(name, value))
    return not wanted


def _subgraphs_are_the_same(graph: GraphProto, opset: int, newest: int) -> bool:
    """Whether all operators in subgraphs read the same in both opsets: the converter does not look into subgraphs."""
    for node in graph.node:
        for outer in subgraphs(node):
            for inner in all_graphs(outer):
                for each in inner.node:
                    if each.domain in ("", "ai.onnx") and not _reads_the_same(
                        each.op_type, opset, newest
                    ):
                        return False
    return True


_REDEFINED = {"Hardmax": 13, "Resize": 13, "BatchNormalization": 15, "Dropout": 13, "RoiAlign": 16}
"""Operators whose results changed in this opset while their signature did not, or not in all ways."""


def _reads_the_same(op_type: str, opset: int, newest: int) -> bool:
    """Whether an operator of one opset means the same in another: nothing but the types that it takes has changed."""
    old, new = op_class(op_type, opset), op_class(op_type, newest)
    if old is None or new is None or old is new:
        return old is new
    if new.schema.deprecated or opset < _REDEFINED.get(op_type, 0):
        return False

    def signature(schema: OpSchema) -> object:
        attributes = {
            name: (a.required, str(a.type), a.default_value.SerializeToString())
            for name, a in schema.attributes.items()
        }
        inputs = [(p.name, str(p.option)) for p in schema.inputs]
        return attributes, inputs, [(p.name, str(p.option)) for p in schema.outputs]

    return signature(old.schema) == signature(new.schema)


def _same_interface(before: GraphProto, after: GraphProto) -> bool:
    def names(graph: GraphProto) -> tuple[list[str], list[str]]:
        return [v.name for v in graph.input], [v.name for v in graph.output]

    return names(before) == names(after)
