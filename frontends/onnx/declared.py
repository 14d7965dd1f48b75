"""Compares the types that a file declares for its values with those that its operators give."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, TypeProto

from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.onnx.binding import describe_shape
from webdnn.frontends.onnx.graphs import all_graphs, describe, names_read
from webdnn.frontends.onnx.inference import types_of

SHOWN = 5
"""How many contradictions a message lists; what comes after the first one may follow from it."""


def check_declared(
    model: ModelProto,
    inferred: ModelProto | None,
    arrays: Mapping[str, Array],
    operators: Collection[tuple[str, str]] = (),
) -> None:
    """Compare what a model declares in all of its graphs: of initializers, results and outputs.

    Sizes must not be bound yet: what a file states of intermediate values may be of other sizes than those of a user.
    Dimensions with a symbol, or without a size, contradict nothing.

    Args:
        model: the model, without its weights.
        inferred: the same with the types that `infer_certain` finds.
        arrays: the weights.
        operators: domains and names of those whose shape functions are the user's.

    Raises:
        WebDNNError: a declaration contradicts what is computed; it names the values, with both types.
    """
    contradictions = [*_initializers(model.graph, arrays)]
    if inferred is not None:
        graphs = zip(all_graphs(model.graph), all_graphs(inferred.graph), strict=True)
        for stated, found in graphs:
            contradictions += _results(stated, found, _origins(stated, operators))
    if contradictions:
        more = len(contradictions) - SHOWN
        shown = [str(each) for each in contradictions[:SHOWN]]
        shown += [f"and {more} more"] if more > 0 else []
        is_users = any(each.origin for each in contradictions)
        count = len(contradictions)
        raise WebDNNError(
            f"the model declares {'a type' if count == 1 else 'types'} that its own operators contradict",
            where=shown,
            hint="correct the declaration, or leave it out"
            + (", or correct the shape function" if is_users else ""),
        )


@dataclass(frozen=True)
class _Contradiction:
    """One declaration, and what contradicts it.

    Attributes:
        text: both types.
        origin: the user's operator whose shape function the computed one follows from; "" if there is none.
    """

    text: str
    origin: str = ""

    def __str__(self) -> str:
        return self.text + (f", by the shape function of {self.origin}" if self.origin else "")


def _initializers(graph: GraphProto, arrays: Mapping[str, Array]) -> Iterator[_Contradiction]:
    """What inputs and `value_info` of all graphs declare of values that are initializers."""
    for inner in all_graphs(graph):
        actual = {t.name: _tensor_type(t.data_type, t.dims) for t in inner.initializer}
        if inner is graph:
            for name, array in arrays.items():
                enum = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
                actual[name] = _tensor_type(enum, array.shape)
        for value in [*inner.input, *inner.value_info]:
            if value.name in actual and not may_be(value.type, actual[value.name]):
                text = _text(value.name, value.type, actual[value.name], "the initializer is")
                yield _Contradiction(text)


def _origins(graph: GraphProto, operators: Collection[tuple[str, str]]) -> dict[str, str]:
    """Of values that are computed from the results of one of these operators, which one, for messages."""
    origins: dict[str, str] = {}
    for node in graph.node if operators else ():
        if (node.domain, node.op_type) in operators:
            origin = f"{node.domain or 'ai.onnx'}.{node.op_type} (node '{describe(node)}')"
        else:
            origin = next((origins[name] for name in names_read(node) if name in origins), "")
        if origin:
            origins |= dict.fromkeys(node.output, origin)
    return origins


def _results(
    stated: GraphProto, found: GraphProto, origins: Mapping[str, str]
) -> Iterator[_Contradiction]:
    """What a graph declares of the results of its nodes, and of inputs that are outputs.

    Args:
        origins: what `_origins` gives.
    """
    known = types_of(found)
    gives = {value.name: "the input is" for value in stated.input}
    known |= {value.name: value.type for value in stated.input}
    for node in stated.node:
        gives |= {name: f"{_node(node)} gives" for name in node.output if name}
    seen: set[str] = set()
    for value in [*stated.output, *stated.value_info]:
        actual = known.get(value.name)
        if actual is None or value.name not in gives or value.name in seen:
            continue
        if not may_be(value.type, actual):
            seen.add(value.name)
            text = _text(value.name, value.type, actual, gives[value.name])
            yield _Contradiction(text, origins.get(value.name, ""))


def element_only(type: TypeProto) -> TypeProto:
    """A type without its shape."""
    bare = TypeProto()
    bare.CopyFrom(type)
    if bare.WhichOneof("value") == "tensor_type":
        bare.tensor_type.ClearField("shape")
    return bare


def forget_examples(
    model: ModelProto, bound: ModelProto, operators: Collection[tuple[str, str]]
) -> None:
    """Take sizes that may be those of an exporter's example out of `bound`: of results of these operators, whose sizes
    inference may leave open, and then what is stated of them is all that is known.

    A shape with a symbol that got a size was written by someone who knew which sizes vary; so it stays whole. Where the
    inputs are as they were, all stays.

    Args:
        model: the model as it was.
        bound: the same with sizes and values bound; it is changed.
        operators: domains and names.
    """
    if list(model.graph.input) == list(bound.graph.input):
        return
    for before, after in zip(all_graphs(model.graph), all_graphs(bound.graph), strict=True):
        results = {
            name
            for node in before.node
            if (node.domain, node.op_type) in operators
            for name in node.output
        }
        stated = zip(
            [*before.value_info, *before.output], [*after.value_info, *after.output], strict=True
        )
        for old, new in stated:
            if new.name in results and old.type == new.type and _has_shape(new.type):
                for dim in new.type.tensor_type.shape.dim:
                    dim.ClearField("dim_value")


def _has_shape(type: TypeProto) -> bool:
    return type.WhichOneof("value") == "tensor_type" and type.tensor_type.HasField("shape")


def _node(node: NodeProto) -> str:
    return f"node '{describe(node)}' ({node.op_type})"


def _text(name: str, declared: TypeProto, actual: TypeProto, gives: str) -> str:
    return f"'{name}' is declared {type_text(declared)}, and {gives} {type_text(actual)}"


def may_be(a: TypeProto, b: TypeProto) -> bool:
    """Whether a value can have both types; what one of them leaves open contradicts nothing."""
    kinds = {a.WhichOneof("value"), b.WhichOneof("value")}
    if None in kinds:
        return True
    if len(kinds) > 1:
        return False
    kind = kinds.pop()
    if kind in ("sequence_type", "optional_type"):
        return may_be(getattr(a, kind).elem_type, getattr(b, kind).elem_type)
    if kind != "tensor_type":
        return True
    x, y = a.tensor_type, b.tensor_type
    if x.elem_type and y.elem_type and x.elem_type != y.elem_type:
        return False
    if not (x.HasField("shape") and y.HasField("shape")):
        return True
    return len(x.shape.dim) == len(y.shape.dim) and all(
        m.dim_value == n.dim_value or min(m.dim_value, n.dim_value) < 0
        for m, n in zip(x.shape.dim, y.shape.dim, strict=True)
        if m.HasField("dim_value") and n.HasField("dim_value")
    )


def type_text(type: TypeProto) -> str:
    """A type as people write it: `float[1, 3, h, w]`, `seq(int64[?])`."""
    kind = type.WhichOneof("value")
    if kind in ("sequence_type", "optional_type"):
        name = {"sequence_type": "seq", "optional_type": "optional"}[kind]
        return f"{name}({type_text(getattr(type, kind).elem_type)})"
    if kind != "tensor_type":
        return "of another kind"
    tensor = type.tensor_type
    enums = {value: name.lower() for name, value in TensorProto.DataType.items()}
    element = enums.get(tensor.elem_type, str(tensor.elem_type))
    return element + (describe_shape(tensor.shape) if tensor.HasField("shape") else "[...]")


def _tensor_type(enum: int, shape: Iterable[int]) -> TypeProto:
    return onnx.helper.make_tensor_type_proto(enum, list(shape))


__all__ = ["check_declared", "element_only", "forget_examples", "may_be", "type_text"]
