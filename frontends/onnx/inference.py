"""Types and shapes of all values of a model, from ONNX's own inference."""

from __future__ import annotations

import re
from typing import TypeAlias

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TypeProto, ValueInfoProto

from webdnn.frontends.onnx import library
from webdnn.frontends.onnx.graphs import all_graphs, all_nodes, names_read, subgraphs

Types: TypeAlias = dict[str, TypeProto]


def infer(model: ModelProto) -> ModelProto:
    """The model with the types that inference finds in its `value_info`.

    Intermediate and output shapes that the file states are not trusted, because they are often those of other sizes
    than the ones that were bound: they only fill what inference leaves open.
    """
    inferred = _infer_alone(model)
    if inferred is None:
        return model  # What the file states is left.
    for stated, found in zip(all_graphs(model.graph), all_graphs(inferred.graph), strict=True):
        _fill(stated, found)
    return inferred


def _infer_alone(model: ModelProto) -> ModelProto | None:
    """The model with the types that follow from those of its inputs, and none that it states of anything else.

    None where inference gives up on the whole model, because a node contradicts itself.
    """
    try:
        return _infer(_without_stated(model))
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        return None


def _infer(model: ModelProto, *, strict: bool = False) -> ModelProto:
    def infer_shapes(values: bool) -> ModelProto:
        return library.call(
            onnx.shape_inference.infer_shapes, model, strict_mode=strict, data_prop=values
        )

    try:
        return infer_shapes(values=True)
    except library.LibraryError:  # the values of a Range of a million million numbers, for instance
        return infer_shapes(values=False)


def infer_certain(model: ModelProto) -> ModelProto | None:
    """The model with the types that follow from those of its inputs, without shapes that inference may get wrong.

    None where inference gives up on the whole model.
    """
    inferred = _infer_alone(model)
    unsure: set[str] = set()
    for graph in all_graphs(inferred.graph) if inferred is not None else ():
        for node in graph.node:
            inner = (each for body in subgraphs(node) for each in all_nodes(body))
            if any(map(_is_misjudged, (node, *inner))) or not unsure.isdisjoint(names_read(node)):
                unsure.update(node.output)
        for value in [*graph.value_info, *graph.output]:
            if value.name in unsure and value.type.WhichOneof("value") == "tensor_type":
                value.type.tensor_type.ClearField("shape")
    return inferred


def _is_misjudged(node: NodeProto) -> bool:
    """Whether inference may give a wrong shape.

    It counts the windows of a pool that begin in the padding at the end, which ONNX leaves out; it takes the sizes that
    a transposed convolution states for all of its dimensions; and STFT is one-sided where it does not say so.
    """
    attributes = {attribute.name: attribute for attribute in node.attribute}
    counts_all = "ceil_mode" in attributes and attributes["ceil_mode"].i != 0
    return counts_all or "output_shape" in attributes or node.op_type == "STFT"


def contradiction(model: ModelProto) -> str:
    """What strict inference finds wrong with the shapes of a model, `""` where it finds nothing.

    The branches of an If are not looked at: one that does not fit need not be taken.
    """
    bare = _without_stated(model)
    for node in all_nodes(bare.graph):
        if node.op_type == "If":
            node.domain = "unknown"  # of which inference says nothing
    try:
        _infer(bare, strict=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        text = " ".join(str(error).split())
        return re.sub(r"\[\w+\] |Inference error\(s\): ", "", text)
    return ""


def _without_stated(model: ModelProto) -> ModelProto:
    """A copy without the types of intermediate values and outputs that the file states."""
    bare = ModelProto()
    bare.CopyFrom(model)
    for graph in all_graphs(bare.graph):
        del graph.value_info[:]
        inputs = {value.name for value in graph.input}
        for output in graph.output:
            if output.name not in inputs:
                output.ClearField("type")
    return bare


def _fill(stated: GraphProto, found: GraphProto) -> None:
    known = {value.name: value for value in [*found.value_info, *found.output]}
    for value in [*stated.value_info, *stated.output]:
        if value.name not in known:
            found.value_info.append(value)
        else:
            _merge(value, known[value.name])


def _merge(stated: ValueInfoProto, found: ValueInfoProto) -> None:
    """Where the found type is open and the stated one agrees with the rest, take the stated one."""
    if found.type.WhichOneof("value") is None:
        found.type.CopyFrom(stated.type)
        return
    kinds = {found.type.WhichOneof("value"), stated.type.WhichOneof("value")}
    if kinds != {"tensor_type"}:
        return
    ours, theirs = found.type.tensor_type, stated.type.tensor_type
    if ours.elem_type == onnx.TensorProto.UNDEFINED:
        ours.elem_type = theirs.elem_type
    if not theirs.HasField("shape"):
        return
    if not ours.HasField("shape"):
        ours.shape.CopyFrom(theirs.shape)
        return
    if len(ours.shape.dim) != len(theirs.shape.dim):
        return
    for mine, other in zip(ours.shape.dim, theirs.shape.dim, strict=True):
        if not mine.HasField("dim_value") and (other.HasField("dim_value") or not mine.dim_param):
            mine.CopyFrom(other)


def types_of(graph: GraphProto) -> Types:
    """The types of the values of one graph by name."""
    return {v.name: v.type for v in [*graph.value_info, *graph.input, *graph.output]}
