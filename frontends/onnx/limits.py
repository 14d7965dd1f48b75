"""How large a model's structure may become, before anything is spent on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from onnx import FunctionProto, ModelProto, NodeProto

from webdnn.dialects.budget import MOST_NODES
from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.onnx.graphs import all_nodes, describe, subgraphs

_Key = tuple[str, str]


def check_functions(model: ModelProto) -> None:
    """Check that a model's functions end, and that inlining them gives no more than `MOST_NODES` nodes.

    Raises:
        WebDNNError: a function calls itself, directly or through others, or the calls multiply too often.
    """
    functions = {(f.domain, f.name): f for f in model.functions}
    sizes = _inlined_sizes(functions)
    total = 0
    for node in all_nodes(model.graph):
        total += sizes.get((node.domain, node.op_type), 1)
        if total > MOST_NODES:
            raise WebDNNError(
                f"the model's functions make more than {MOST_NODES:,} nodes of it",
                where=describe(node),
                why="functions are inlined when a model is compiled",
                hint="export the model without functions that call others many times over",
            )


def _inlined_sizes(functions: Mapping[_Key, FunctionProto]) -> dict[_Key, int]:
    """How many nodes each function becomes, at most one more than `MOST_NODES`; without recursion of our own."""
    calls = {key: [(n.domain, n.op_type) for n in _nodes(f.node)] for key, f in functions.items()}
    sizes: dict[_Key, int] = {}
    for start in functions:
        path, waiting = [start], {start}
        while path:
            key = path[-1]
            inner = next((c for c in calls[key] if c in functions and c not in sizes), None)
            if inner is None:
                total = sum(sizes.get(c, 1) for c in calls[key])
                sizes[key] = min(total, MOST_NODES + 1)
                waiting.discard(path.pop())
            elif inner in waiting:
                _fail_recursive(path[path.index(inner) :])
            else:
                path.append(inner)
                waiting.add(inner)
    return sizes


def _nodes(nodes: Sequence[NodeProto]) -> list[NodeProto]:
    found: list[NodeProto] = []
    for node in nodes:
        found.append(node)
        for graph in subgraphs(node):
            found.extend(all_nodes(graph))
    return found


def _fail_recursive(cycle: Sequence[_Key]) -> NoReturn:
    raise WebDNNError(
        "a function of the model calls itself",
        where=[f"{domain}.{name}" for domain, name in cycle],
        why="functions of a model are inlined, and may not be recursive",
        hint="export the model without functions",
    )


__all__ = ["check_functions"]
