"""Checks the graphs inside If, Loop and Scan against the nodes that run them: numbers of values, and their types."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import MutableMapping, Sequence

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TypeProto, ValueInfoProto
from onnx.helper import get_attribute_value

from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.onnx.declared import element_only, may_be, type_text
from webdnn.frontends.onnx.graphs import describe, subgraphs
from webdnn.frontends.onnx.inference import types_of
from webdnn.frontends.onnx.validate import opsets_of

Types = MutableMapping[str, TypeProto]


def check_bodies(model: ModelProto) -> None:
    """Check all nodes with subgraphs.

    Args:
        model: a model with inferred types.

    Raises:
        WebDNNError: a graph takes or gives another number of values than its node, or values of other types.
    """
    _check(model.graph, {}, opsets_of(model).get("", 0))


def _check(graph: GraphProto, outer: Types, opset: int) -> None:
    types: Types = ChainMap({}, outer)
    for tensor in graph.initializer:
        types[tensor.name] = _tensor(tensor.data_type, tensor.dims)
    types.update(types_of(graph))
    for node in graph.node:
        if node.domain in ("", "ai.onnx"):
            graphs = {a.name: a.g for a in node.attribute if a.type == AttributeProto.GRAPH}
            if node.op_type == "If" and graphs.keys() >= {"then_branch", "else_branch"}:
                _if(node, graphs["then_branch"], graphs["else_branch"])
            elif node.op_type == "Loop" and "body" in graphs:
                _loop(node, graphs["body"], types)
            elif node.op_type == "Scan" and "body" in graphs:
                _scan(node, graphs["body"], types, opset)
        for inner in subgraphs(node):
            _check(inner, types, opset)


def _tensor(enum: int, dims: Sequence[int]) -> TypeProto:
    type = TypeProto()
    type.tensor_type.elem_type = enum
    type.tensor_type.shape.SetInParent()
    for size in dims:
        type.tensor_type.shape.dim.add().dim_value = size
    return type


def _content(type: TypeProto) -> TypeProto:
    """What an optional value holds: a state may be optional before the first iteration only."""
    return type.optional_type.elem_type if type.WhichOneof("value") == "optional_type" else type


def _without_axis(type: TypeProto, axis: int) -> TypeProto:
    """The type of a slice of a tensor."""
    bare = element_only(type)
    if type.tensor_type.HasField("shape"):
        dims = list(type.tensor_type.shape.dim)
        axis += len(dims) * (axis < 0)
        bare.tensor_type.shape.SetInParent()
        bare.tensor_type.shape.dim.extend(dims[:axis] + dims[axis + 1 :])
    return bare


def _invalid(node: NodeProto, why: str) -> WebDNNError:
    return WebDNNError(
        f"node '{describe(node)}' ({node.op_type}) does not fit its own graph",
        where=describe(node),
        why=why,
        hint="export the model again, with a newer exporter",
    )


def _outputs(node: NodeProto, body: GraphProto, more: int, states: int) -> None:
    """Check that a body gives what its node does: the states, what is stacked, and `more` values."""
    if len(body.output) < len(node.output) + more or len(node.output) < states:
        raise _invalid(
            node,
            f"it has {states} states and {len(node.output)} outputs, and its body has {len(body.output)} outputs",
        )


def _inputs(node: NodeProto, body: GraphProto, wanted: int) -> None:
    if len(body.input) != wanted:
        raise _invalid(node, f"its body has {len(body.input)} inputs, and it gives {wanted} values")


def _if(node: NodeProto, then: GraphProto, other: GraphProto) -> None:
    for branch, name in ((then, "then_branch"), (other, "else_branch")):
        if branch.input:
            raise _invalid(node, f"its {name} has inputs, and a branch has none")
        if len(branch.output) != len(node.output):
            raise _invalid(
                node,
                f"its {name} has {len(branch.output)} outputs, and it has {len(node.output)} itself",
            )
    for one, two in zip(then.output, other.output, strict=True):
        if not may_be(element_only(one.type), element_only(two.type)):
            raise _invalid(
                node,
                f"its branches give '{one.name}' of {type_text(one.type)} and '{two.name}' of {type_text(two.type)}",
            )


def _states(
    node: NodeProto,
    types: Types,
    given: Sequence[str],
    taken: Sequence[ValueInfoProto],
    left: Sequence[ValueInfoProto],
    keep_shapes: bool,
) -> None:
    """Check that states keep their types from one iteration to the next, and begin with them."""
    for name, before, after in zip(given, taken, left, strict=True):
        first = types.get(name, TypeProto())
        if not may_be(_content(first), _content(before.type)):
            raise _invalid(
                node,
                f"its body takes a state '{before.name}' of {type_text(before.type)}, "
                f"and '{name}' is {type_text(first)}",
            )
        one, two = _content(before.type), _content(after.type)
        if not may_be(*((one, two) if keep_shapes else (element_only(one), element_only(two)))):
            raise _invalid(
                node,
                f"its body takes a state '{before.name}' of {type_text(one)} and gives it back "
                f"as '{after.name}' of {type_text(two)}",
            )


def _loop(node: NodeProto, body: GraphProto, types: Types) -> None:
    states = max(len(node.input) - 2, 0)
    _inputs(node, body, states + 2)
    _outputs(node, body, 1, states)
    left = body.output[1 : 1 + states]
    _states(node, types, node.input[2:], body.input[2:], left, keep_shapes=False)


def _scan(node: NodeProto, body: GraphProto, types: Types, opset: int) -> None:
    attributes = {a.name: get_attribute_value(a) for a in node.attribute if a.name != "body"}
    scanned = attributes.get("num_scan_inputs", 0)
    # Before opset 9 the lengths of the sequences come first.
    given = node.input[1:] if opset < 9 else node.input
    if not 1 <= scanned <= len(given):
        raise _invalid(node, f"num_scan_inputs is {scanned}, and it has {len(given)} inputs")
    states = len(given) - scanned
    _inputs(node, body, len(given))
    _outputs(node, body, 0, states)
    outputs = len(body.output) - states
    for name, count in {
        "directions": scanned, "scan_input_axes": scanned, "scan_input_directions": scanned,
        "scan_output_axes": outputs, "scan_output_directions": outputs,
    }.items():  # fmt: skip
        values = attributes.get(name)
        if values is not None and len(values) != count:
            raise _invalid(node, f"its {name} are {list(values)}, and {count} are needed")
        if values is not None and name.endswith("directions") and not set(values) <= {0, 1}:
            raise _invalid(node, f"its {name} are {list(values)}, and each must be 0 or 1")
    if opset < 9:
        return  # All that it takes and gives has a batch axis more.
    _states(
        node, types, given[:states], body.input[:states], body.output[:states], keep_shapes=True
    )
    axes = attributes.get("scan_input_axes", [0] * scanned)
    for name, axis, inner in zip(given[states:], axes, body.input[states:], strict=True):
        type = types.get(name, TypeProto())
        rank = len(type.tensor_type.shape.dim)
        if type.tensor_type.HasField("shape") and not -rank <= axis < rank:
            raise _invalid(node, f"it scans axis {axis} of '{name}', which is {type_text(type)}")
        if not may_be(_without_axis(type, axis), inner.type):
            raise _invalid(
                node,
                f"its body takes a slice '{inner.name}' of {type_text(inner.type)}, and '{name}' is {type_text(type)}",
            )


__all__ = ["check_bodies"]
