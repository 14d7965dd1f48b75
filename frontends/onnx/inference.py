"""Types and shapes of all values of a model, from ONNX's own inference."""

from __future__ import annotations

import re
from typing import TypeAlias

import onnx
from onnx import GraphProto, ModelProto, TypeProto, ValueInfoProto

from webdnn.frontends.onnx import library
from webdnn.frontends.onnx.graphs import all_graphs

Types: TypeAlias = dict[str, TypeProto]


def infer(model: ModelProto) -> ModelProto:
    """The model with the types that inference finds in its `value_info`.

    Intermediate and output shapes that the file states are not trusted, because they are often those of other sizes
    than the ones that were bound: they only fill what inference leaves open.
    """
    try:
        inferred = _infer(_without_stated(model))
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        # Inference gives up on the whole model where one node contradicts itself; what the file states is left.
        return model
    for stated, found in zip(all_graphs(model.graph), all_graphs(inferred.graph), strict=True):
        _fill(stated, found)
    return inferred


def _infer(model: ModelProto, *, strict: bool = False) -> ModelProto:
    def infer_shapes(values: bool) -> ModelProto:
        return library.call(
            onnx.shape_inference.infer_shapes, model, strict_mode=strict, data_prop=values
        )

    try:
        return infer_shapes(values=True)
    except (
        library.LibraryError
    ):  # The values of a Range of a million million numbers, for instance.
        return infer_shapes(values=False)


def contradiction(model: ModelProto) -> str:
    """What strict inference finds wrong with the shapes of a model, `""` where it finds nothing."""
    try:
        _infer(_without_stated(model), strict=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        text = " ".join(str(error).split())
        return re.sub(r"\[\w+\] |Inference error\(s\): ", "", text)
    return ""


def _without_stated(model: ModelProto) -> ModelProto:
    """A copy without the shapes of intermediate values and outputs that the file states."""
    bare = ModelProto()
    bare.CopyFrom(model)
    for graph in all_graphs(bare.graph):
        del graph.value_info[:]
    for output in bare.graph.output:
        if output.type.WhichOneof("value") == "tensor_type":
            output.type.tensor_type.ClearField("shape")
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
