"""Finds what is wrong with a model, in terms of its own names, before anything else looks at it."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, TypeProto

from webdnn.dialects.errors import WebDNNError, listed, shortened
from webdnn.dialects.onnx import OperatorSet
from webdnn.frontends.onnx import library
from webdnn.frontends.onnx.graphs import all_graphs, all_nodes, describe, names_read, subgraphs

_QDQ_HINT = (
    "quantise the model in ONNX's operators: quantize_static(..., quant_format=QuantFormat.QDQ)"
)
_ATEN_HINT = (
    "these call PyTorch itself: export the model again, with a newer PyTorch and without "
    "operator_export_type=ONNX_ATEN_FALLBACK"
)
_HINTS = {
    # what ONNX Runtime's quantiser writes in its format QOperator
    "com.microsoft.QLinear": _QDQ_HINT,
    "com.microsoft.QGemm": _QDQ_HINT,
    # what PyTorch wrote where it had no operator of ONNX
    "ai.onnx.ATen": _ATEN_HINT,
    "org.pytorch.aten.ATen": _ATEN_HINT,
}
"""What helps with operators whose names hold these."""


def opsets_of(model: ModelProto) -> dict[str, int]:
    """The versions of the domains that a model imports; the default domain is `""`."""
    opsets: dict[str, int] = {}
    for entry in model.opset_import:
        opsets["" if entry.domain == "ai.onnx" else entry.domain] = entry.version
    if "" not in opsets and model.ir_version < 3:
        opsets[""] = 1  # Before IR version 3 there was no opset_import.
    return opsets


def check_opsets(model: ModelProto) -> dict[str, int]:
    """The versions of the domains that a model imports.

    Raises:
        WebDNNError: it imports no opset, or one that is newer than the `onnx` package.
    """
    opsets = opsets_of(model)
    if not opsets:
        raise WebDNNError(
            "the model does not say which opset its operators are of, or the file is truncated",
            why="a model of this IR version has an opset_import",
            hint="export or download the model again",
        )
    newest = {"": onnx.defs.onnx_opset_version(), "ai.onnx.ml": onnx.defs.onnx_ml_opset_version()}
    for domain, version in opsets.items():
        if version > newest.get(domain, version):
            raise WebDNNError(
                f"the model is of opset {version} of {domain or 'ai.onnx'}, "
                f"and the newest that is known here is {newest[domain]}",
                hint="upgrade the Python package onnx, or export the model with an older opset",
            )
    return opsets


def check_text(model: ModelProto) -> None:
    """Raises a WebDNNError where a name is not UTF-8: it could be neither printed nor written to a package."""
    for function in model.functions:
        _check_text(function.name, "a function", function.name)
        for node in function.node:
            _check_node_text(node)
    for graph in all_graphs(model.graph):
        _check_text(graph.name, "a graph", graph.name)
        for value in [*graph.input, *graph.output, *graph.value_info]:
            _check_text(value.name, "a value", value.name)
            if value.type.WhichOneof("value") == "tensor_type":
                for dim in value.type.tensor_type.shape.dim:
                    _check_text(dim.dim_param, "a dimension", value.name)
        for tensor in [*graph.initializer, *(s.values for s in graph.sparse_initializer)]:
            _check_text(tensor.name, "an initializer", tensor.name)
        for node in graph.node:
            _check_node_text(node)


def _check_node_text(node: NodeProto) -> None:
    name = describe(node)
    _check_text(node.name, "a node", name)
    _check_text(node.op_type, "the operator of a node", name)
    _check_text(node.domain, "the domain of a node", name)
    for value in [*node.input, *node.output]:
        _check_text(value, "a value that a node reads or gives", name)
    for attribute in node.attribute:
        _check_text(attribute.name, "an attribute of a node", name)


def _check_text(text: str | bytes, what: str, where: str | bytes) -> None:
    # Protobuf gives bytes where a string is not UTF-8.
    if isinstance(text, bytes):
        shown = where.decode("utf-8", "backslashreplace") if isinstance(where, bytes) else where
        raise WebDNNError(
            f"the name of {what} is not UTF-8",
            where=shown,
            why=f"its bytes are {text[:40]!r}",
            hint="the file is damaged: export or download the model again",
        )


def check_types(model: ModelProto) -> None:
    """Raises a WebDNNError where a value's element type is none that ONNX defines."""
    known = set(TensorProto.DataType.values())
    for graph in all_graphs(model.graph):
        for value in [*graph.input, *graph.output, *graph.value_info]:
            unknown = [n for n in _element_types(value.type) if n not in known]
            if unknown:
                raise WebDNNError(
                    f"value '{value.name}' has an element type that is not known here: number {unknown[0]}",
                    where=value.name,
                    hint="upgrade the Python package onnx, or export the model again",
                )


def _element_types(type: TypeProto) -> Iterable[int]:
    """The numbers of the element types in a type."""
    kind = type.WhichOneof("value")
    if kind == "tensor_type":
        yield type.tensor_type.elem_type
    elif kind == "sparse_tensor_type":
        yield type.sparse_tensor_type.elem_type
    elif kind == "sequence_type":
        yield from _element_types(type.sequence_type.elem_type)
    elif kind == "optional_type":
        yield from _element_types(type.optional_type.elem_type)
    elif kind == "map_type":
        yield type.map_type.key_type
        yield from _element_types(type.map_type.value_type)


def import_domains(model: ModelProto, opsets: dict[str, int], operators: OperatorSet) -> None:
    """Add what a model does not say: the versions of domains whose operators were given. Exporters that do not know an
    operator leave that out. Both `model` and `opsets` are changed."""
    nodes = [*all_nodes(model.graph)]
    for domain in dict.fromkeys(node.domain for node in nodes):
        version = operators.newest(domain)
        if domain and domain not in opsets and version is not None:
            opsets[domain] = version
            model.opset_import.append(onnx.helper.make_opsetid(domain, version))


def check_operators(model: ModelProto, opsets: Mapping[str, int], operators: OperatorSet) -> None:
    """Raises a WebDNNError that lists all nodes whose operators are not among these."""
    local = {(function.domain, function.name) for function in model.functions}
    unknown: dict[str, list[str]] = {}

    def check(nodes: Iterable[NodeProto], versions: Mapping[str, int]) -> None:
        for node in nodes:
            domain = "" if node.domain == "ai.onnx" else node.domain
            if (node.domain, node.op_type) in local:
                continue
            version = versions.get(domain)
            if version is None or operators.find(node.op_type, version, domain) is None:
                operator = f"{domain or 'ai.onnx'}.{node.op_type}"
                if version is None:
                    operator += " (of a domain that the model does not import)"
                elif operators.exists(node.op_type, domain):
                    operator += f" (not in opset {version})"
                unknown.setdefault(operator, []).append(describe(node))

    check(all_nodes(model.graph), opsets)
    for function in model.functions:
        versions = {
            e.domain.replace("ai.onnx", "", 1) if e.domain == "ai.onnx" else e.domain: e.version
            for e in function.opset_import
        }
        check((inner for node in function.node for inner in _with_inner(node)), versions)
    if not unknown:
        return
    hint = next(
        (hint for part, hint in _HINTS.items() if any(part in operator for operator in unknown)),
        "export the model with standard operators, or with these as model-local functions, or say what they mean in a "
        "Python file (--custom-ops FILE, docs/custom-operators.md)",
    )
    count = sum(len(nodes) for nodes in unknown.values())
    raise WebDNNError(
        f"{count} node{'s use operators' if count > 1 else ' uses an operator'} that ONNX does not define",
        where=[f"{operator}: {listed(nodes)}" for operator, nodes in unknown.items()],
        why="operators of custom domains have no meaning outside the runtime they were made for"
        + _given(operators),
        hint=hint,
    )


def _given(operators: OperatorSet) -> str:
    """Which operators there are beside ONNX's own, and where they come from."""
    by_origin: dict[str, list[str]] = {}
    for op in operators.others:
        name = f"{op.domain or 'ai.onnx'}.{op.op_type}"
        if name not in by_origin.setdefault(op.origin, []):
            by_origin[op.origin].append(name)
    given = [f"{origin} defines {listed(names)}" for origin, names in by_origin.items()]
    return f"; {'; '.join(shortened(given))}" if given else ""


def _with_inner(node: NodeProto) -> Iterable[NodeProto]:
    yield node
    for graph in subgraphs(node):
        yield from all_nodes(graph)


def check_names(graph: GraphProto) -> None:
    """Raises a WebDNNError where a value is defined twice or is never defined, or is two outputs of the model."""
    outputs = Counter(value.name for value in graph.output)
    if twice := [f"'{name}'" for name, count in outputs.items() if count > 1]:
        raise WebDNNError(
            "the model has more than one output of the same name",
            where=twice,
            why="results are known by their names",
        )
    _check_names(graph, frozenset(), graph.name or "the graph")


def _check_names(graph: GraphProto, outer: frozenset[str], where: str) -> None:
    owners: dict[str, str] = {}
    duplicates: dict[str, list[str]] = {}

    def define(name: str, owner: str) -> None:
        if not name:
            return
        if name in owners:
            duplicates.setdefault(name, [owners[name]]).append(owner)
        owners.setdefault(name, owner)

    for value in graph.input:
        define(value.name, "an input")
    inputs = set(owners)
    initializers: set[str] = set()
    for tensor in [*graph.initializer, *(s.values for s in graph.sparse_initializer)]:
        # An initializer may give an input its value, but there is one initializer of a name.
        if tensor.name in initializers or tensor.name not in inputs:
            define(tensor.name, "an initializer")
        initializers.add(tensor.name)
    for node in graph.node:
        for name in node.output:
            define(name, f"node {describe(node)}")
    if duplicates:
        raise WebDNNError(
            f"{where} defines more than one value of the same name",
            where=shortened(
                [f"'{name}' by {' and by '.join(by)}" for name, by in duplicates.items()]
            ),
            why="each value of a graph has one definition",
        )
    visible = outer | owners.keys()
    undefined = [
        f"'{name}', read by node {describe(node)}"
        for node in graph.node
        for name in node.input
        if name and name not in visible
    ]
    undefined += [f"output '{v.name}'" for v in graph.output if v.name not in visible]
    if undefined:
        raise WebDNNError(f"{where} reads values that nothing defines", where=shortened(undefined))
    for node in graph.node:
        for inner in subgraphs(node):
            _check_names(inner, visible, f"the subgraph of node {describe(node)}")


def sort_nodes(graph: GraphProto) -> None:
    """Put the nodes of a graph and of its subgraphs in an order in which each reads what is already computed.

    ONNX demands this order, but files that do not keep it are found, and other runtimes accept them.

    Raises:
        WebDNNError: the graph has a cycle; the message names the nodes on it.
    """
    for node in graph.node:
        for inner in subgraphs(node):
            sort_nodes(inner)
    nodes = list(graph.node)
    producer = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    reads = [{producer[n] for n in names_read(node) if n in producer} for node in nodes]
    if all(all(source < i for source in sources) for i, sources in enumerate(reads)):
        return
    readers: list[list[int]] = [[] for _ in nodes]
    for i, sources in enumerate(reads):
        for source in sources:
            readers[source].append(i)
    missing = [len(sources) for sources in reads]
    ready = [i for i, count in enumerate(missing) if count == 0]  # Sorted, so it is a heap.
    order: list[int] = []
    while ready:
        i = heapq.heappop(ready)
        order.append(i)
        for reader in readers[i]:
            missing[reader] -= 1
            if missing[reader] == 0:
                heapq.heappush(ready, reader)
    if len(order) < len(nodes):
        raise WebDNNError(
            "the graph has a cycle",
            where=shortened(
                [describe(nodes[i]) for i in _cycle(reads, {i for i, c in enumerate(missing) if c})]
            ),
            why="a node's input depends on its own output",
        )
    ordered = [NodeProto.FromString(nodes[i].SerializeToString()) for i in order]
    del graph.node[:]
    graph.node.extend(ordered)


def _cycle(reads: list[set[int]], stuck: set[int]) -> list[int]:
    """The nodes of one cycle among `stuck`, each of which waits for another one of them; in the order of the data."""
    path: list[int] = []
    position: dict[int, int] = {}
    at = min(stuck)
    while at not in position:
        position[at] = len(path)
        path.append(at)
        at = min(source for source in reads[at] if source in stuck)
    return path[position[at] :][::-1]


def check_model(model: ModelProto) -> None:
    """Raises a WebDNNError with what ONNX's own checker finds wrong.

    The model must hold no external data any more. Unlike the checker, other runtimes accept inputs and outputs whose
    rank is unknown, and so does this.
    """
    try:
        library.call(onnx.checker.check_model, _with_all_ranks(model))
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise WebDNNError(
            "the model breaks the rules of ONNX",
            where=[line for line in lines[1:] if "node name" in line or line.startswith("==>")],
            why=lines[0] if lines else type(error).__name__,
            hint="export the model again, with a newer exporter",
        ) from None


def _with_all_ranks(model: ModelProto) -> ModelProto:
    """The model, or a copy in which inputs and outputs of unknown rank are scalars."""

    def open_types(of: ModelProto) -> list[TypeProto.Tensor]:
        types = [value.type for value in [*of.graph.input, *of.graph.output]]
        tensors = [t.tensor_type for t in types if t.WhichOneof("value") == "tensor_type"]
        return [tensor for tensor in tensors if not tensor.HasField("shape")]

    if not open_types(model):
        return model
    copy = ModelProto()
    copy.CopyFrom(model)
    for tensor in open_types(copy):
        tensor.shape.SetInParent()
    return copy


__all__ = [
    "check_model",
    "check_names",
    "check_operators",
    "check_opsets",
    "check_text",
    "check_types",
    "import_domains",
    "opsets_of",
    "sort_nodes",
]
