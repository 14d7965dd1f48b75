"""Brings a model to the newest opset that the `onnx` package knows, where its converter can."""

from __future__ import annotations

import onnx
from onnx import GraphProto, ModelProto

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.onnx import op_class
from webdnn.frontends.onnx.graphs import all_graphs, subgraphs
from webdnn.frontends.onnx.validate import check_model, opsets_of

OLDEST_OPSET = 7
"""Models older than this are accepted only where the converter can convert them."""


def upgrade(model: ModelProto) -> ModelProto:
    """The same model in the newest opset, or `model` itself where the converter cannot convert all of its nodes.

    Raises:
        WebDNNError: the opset is older than `OLDEST_OPSET` and cannot be converted.
    """
    opset = opsets_of(model).get("")
    newest = onnx.defs.onnx_opset_version()
    if opset is None or opset == newest:
        return model
    converted, why = _convert(model, opset, newest)
    if converted is not None:
        return converted
    if opset < OLDEST_OPSET:
        raise WebDNNError(
            f"the model is of opset {opset}, which is too old, and cannot be converted",
            why=why,
            hint=f"export the model with opset {OLDEST_OPSET} or newer",
        )
    return model


def _convert(model: ModelProto, opset: int, newest: int) -> tuple[ModelProto | None, str]:
    """The converted model, or None and the reason."""
    if not _subgraphs_are_the_same(model.graph, opset, newest):
        return None, "a subgraph holds an operator that has changed"
    try:
        converted = onnx.version_converter.convert_version(model, newest)
        check_model(converted)
    except WebDNNError as error:
        return None, error.why
    except (onnx.version_converter.ConvertError, RuntimeError) as error:
        return None, str(error).splitlines()[0]
    if not _same_interface(model.graph, converted.graph):
        return None, "the converter changed the inputs or outputs"
    return converted, ""


def _subgraphs_are_the_same(graph: GraphProto, opset: int, newest: int) -> bool:
    """Whether all operators in subgraphs are the same in both opsets: the converter does not look into subgraphs."""
    for node in graph.node:
        for outer in subgraphs(node):
            for inner in all_graphs(outer):
                for each in inner.node:
                    if each.domain in ("", "ai.onnx") and (
                        op_class(each.op_type, opset) is not op_class(each.op_type, newest)
                    ):
                        return False
    return True


def _same_interface(before: GraphProto, after: GraphProto) -> bool:
    def names(graph: GraphProto) -> tuple[list[str], list[str]]:
        return [v.name for v in graph.input], [v.name for v in graph.output]

    return names(before) == names(after)
