"""Brings a model of the opsets 1 to 6 to opset 7, with rewrites of our own: onnx's converter is wrong for many of them.

Between these opsets broadcasting changed from `axis` to numpy's rules, and attributes became inputs. What an operator
needs is in the table of `old_operators`; most need their ranks, so types are inferred node by node on the way.
"""

from __future__ import annotations

import onnx
from onnx import GraphProto, ModelProto, NodeProto

from webdnn.frontends.onnx.graphs import all_graphs, names_read, subgraphs
from webdnn.frontends.onnx.old_graph import Rewriting, Scope, declare, learn, names_of
from webdnn.frontends.onnx.old_operators import find_rewrite
from webdnn.frontends.onnx.validate import check_names, opsets_of

OLDEST = 7
"""The oldest opset after the rewrites."""


def to_opset_7(model: ModelProto) -> ModelProto:
    """The same model in opset 7 where it is older; `model` itself where nothing is to be rewritten.

    Also rewritten is what newer opsets still had and onnx's converter does not carry on: `spatial` of
    BatchNormalization (until 8), and the bounds that Clip has where it says none (until 10).

    Raises:
        WebDNNError: a node is invalid in its opset, or means something that depends on a rank that is not known.
    """
    opset = opsets_of(model).get("")
    if opset is None or not _is_old(model, opset):
        return model
    copy = ModelProto()
    copy.CopyFrom(model)
    scope = Scope({}, {}, names_of(all_graphs(copy.graph)))
    _rewrite(copy.graph, opset, scope)
    for entry in copy.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = max(opset, OLDEST)
    check_names(copy.graph)  # An output that is not filled may be read.
    return copy


def _is_old(model: ModelProto, opset: int) -> bool:
    return opset < OLDEST or any(
        find_rewrite(node, opset) for graph in all_graphs(model.graph) for node in graph.node
    )


def _rewrite(graph: GraphProto, opset: int, scope: Scope) -> None:
    """Rewrite the nodes of a graph, which is changed, and of the graphs inside it."""
    declare(graph, scope)
    nodes: list[NodeProto] = []
    for node in graph.node:
        for inner in subgraphs(node):
            within = scope.inner()
            if node.op_type == "Loop":
                _declare_states(node, inner, within)
            _rewrite(inner, opset, within)
        rewriting = Rewriting(NodeProto.FromString(node.SerializeToString()), scope)
        if (rewrite := find_rewrite(node, opset)) is not None:
            rewrite(rewriting)
        else:
            rewriting.keep()
        for new in rewriting.nodes:
            learn(new, scope, list(names_read(new)), max(opset, OLDEST))
        nodes += rewriting.nodes
    del graph.node[:]
    graph.node.extend(nodes)


def _declare_states(loop: NodeProto, body: GraphProto, scope: Scope) -> None:
    """Give the states of a loop's body the ranks of their first values; what the body declares overrules them."""
    for name, state in zip(loop.input[2:], body.input[2:], strict=False):
        if (dims := scope.dims(name)) is not None:
            element = scope.types[name].tensor_type.elem_type
            unknown = [None] * len(dims)
            scope.types[state.name] = onnx.helper.make_tensor_type_proto(element, unknown)
