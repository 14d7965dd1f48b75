"""Walks over graphs and their subgraphs."""

from __future__ import annotations

from collections.abc import Iterator

from onnx import AttributeProto, GraphProto, NodeProto


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs that are attributes of a node."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == AttributeProto.GRAPHS:
            yield from attribute.graphs


def all_graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """A graph and all graphs inside it, outer ones first."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from all_graphs(inner)


def all_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """The nodes of a graph and of all graphs inside it."""
    for inner in all_graphs(graph):
        yield from inner.node


def describe(node: NodeProto) -> str:
    """The name of a node for messages and locations: its own, or the name of its first output."""
    return node.name or next((name for name in node.output if name), node.op_type)


def names_read(node: NodeProto) -> Iterator[str]:
    """The values that a node reads, those that its subgraphs capture included."""
    yield from (name for name in node.input if name)
    for graph in subgraphs(node):
        yield from captured(graph)


def captured(graph: GraphProto) -> list[str]:
    """The values of outer graphs that a subgraph reads, each once."""
    own = {value.name for value in graph.input}
    own.update(tensor.name for tensor in graph.initializer)
    own.update(tensor.values.name for tensor in graph.sparse_initializer)
    for node in graph.node:
        own.update(node.output)
    read: dict[str, None] = {}
    for node in graph.node:
        read.update(dict.fromkeys(names_read(node)))
    read.update(dict.fromkeys(value.name for value in graph.output))
    return [name for name in read if name not in own]
