"""What a rewrite of an old node can ask: types and constants of the values around it, and names for new ones."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, TypeProto, ValueInfoProto

from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.onnx import library
from webdnn.frontends.onnx.graphs import describe
from webdnn.frontends.onnx.tensors import constant_tensor

Dims = list[int | None]
"""A shape of known rank; None where a size is not known."""


@dataclass
class Scope:
    """The values that are visible at a place in a graph.

    Attributes:
        types: their types, as far as they are known.
        constants: those that are small tensors in the model.
        taken: all names of the model, so that new ones are new.
    """

    types: MutableMapping[str, TypeProto]
    constants: MutableMapping[str, TensorProto]
    taken: set[str]
    node: NodeProto = field(default_factory=NodeProto)

    def inner(self) -> Scope:
        """A scope for a subgraph, whose values are not seen from outside of it."""
        types, constants = ChainMap({}, self.types), ChainMap({}, self.constants)
        return Scope(types, constants, self.taken)

    def dims(self, name: str) -> Dims | None:
        """The shape of a value, or None where its rank is not known."""
        type = self.types.get(name)
        if type is None or not type.tensor_type.HasField("shape"):
            return None
        return [
            d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else None
            for d in type.tensor_type.shape.dim
        ]

    def known_dims(self, name: str) -> Dims:
        """The shape of a value.

        Raises:
            WebDNNError: its rank is not known.
        """
        dims = self.dims(name)
        if dims is None:
            raise self.invalid(
                f"the rank of '{name}' is not known, and in this opset the result depends on it",
                hint="declare the shapes of the model's inputs, or export it with opset 7 or newer",
            )
        return dims

    def dtype(self, name: str) -> np.dtype[Any]:
        """The numpy dtype of a value; f32 where it is not known, as it is of nearly all old models."""
        type = self.types.get(name)
        enum = 0 if type is None else type.tensor_type.elem_type
        return onnx.helper.tensor_dtype_to_np_dtype(enum or TensorProto.FLOAT)

    def constant(self, name: str) -> np.ndarray[Any, Any] | None:
        """The value of a small tensor of the model, None of every other value."""
        tensor = self.constants.get(name)
        return None if tensor is None else onnx.numpy_helper.to_array(tensor)

    def fresh(self, hint: str) -> str:
        """A name that no value of the model has."""
        name, number = hint, 0
        while name in self.taken:
            number += 1
            name = f"{hint}_{number}"
        self.taken.add(name)
        return name

    def invalid(self, why: str, hint: str = "") -> WebDNNError:
        """The error that the node that is rewritten is invalid."""
        return WebDNNError(
            f"node '{describe(self.node)}' ({self.node.op_type}) is invalid in the opset of the model",
            where=describe(self.node),
            why=why,
            hint=hint or "mend the node, or export the model with a newer opset",
        )


class Rewriting:
    """The nodes that take the place of an old one.

    Attributes:
        node: the old node, which may be changed and kept.
        scope: what is known of the values that it reads.
        nodes: the new nodes, in order.
    """

    def __init__(self, node: NodeProto, scope: Scope) -> None:
        self.node = node
        self.scope = scope
        self.nodes: list[NodeProto] = []
        scope.node = node

    def attribute(self, name: str, default: Any = None) -> Any:
        """The value of an attribute; strings are bytes."""
        for attribute in self.node.attribute:
            if attribute.name == name:
                return onnx.helper.get_attribute_value(attribute)
        return default

    def drop(self, *names: str) -> None:
        """Take attributes away from the node."""
        kept = [a for a in self.node.attribute if a.name not in names]
        if len(kept) < len(self.node.attribute):
            copies = [AttributeProto.FromString(a.SerializeToString()) for a in kept]
            del self.node.attribute[:]
            self.node.attribute.extend(copies)

    def set(self, name: str, value: Any) -> None:
        """Give the node an attribute, whatever it had under this name."""
        self.drop(name)
        self.node.attribute.append(onnx.helper.make_attribute(name, value))

    def add(self, op_type: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Append a node of opset 7, which has the name of the old one; gives the name of its result."""
        output = output or self.scope.fresh(f"{self.node.output[0]}_{op_type}")
        name = describe(self.node)
        self.nodes.append(onnx.helper.make_node(op_type, inputs, [output], name, **attributes))
        return output

    def constant(self, value: np.ndarray[Any, Any]) -> str:
        """Append a Constant node; gives the name of its result."""
        return self.add("Constant", value=onnx.numpy_helper.from_array(value))

    def keep(self) -> None:
        """Append the old node, as it is by now."""
        self.nodes.append(self.node)


def names_of(graphs: Iterator[GraphProto]) -> set[str]:
    """The names of all values of graphs."""
    names: set[str] = set()
    for graph in graphs:
        names.update(value.name for value in graph.input)
        names.update(tensor.name for tensor in graph.initializer)
        for node in graph.node:
            names.update(node.output)
    return names


def declare(graph: GraphProto, scope: Scope) -> None:
    """Put what a graph declares of its values into the scope; initializers overrule inputs."""
    for value in [*graph.value_info, *graph.input]:
        if value.type.tensor_type.HasField("shape") or value.name not in scope.types:
            scope.types[value.name] = value.type
    for tensor in graph.initializer:
        scope.types[tensor.name] = onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
        scope.constants[tensor.name] = tensor


def _named(tensor: TensorProto, name: str) -> TensorProto:
    result = TensorProto()
    result.CopyFrom(tensor)
    result.name = name
    return result


def learn(node: NodeProto, scope: Scope, read: Sequence[str], version: int) -> None:
    """Put the types of a node's results into the scope, as far as ONNX's inference finds them.

    Args:
        node: a node of opset `version`.
        scope: holds the types of what it reads.
        read: the values that it reads, with those that its subgraphs capture.
        version: the opset.
    """
    tensor = constant_tensor(node)
    if tensor is not None:
        # The schema of opset 7 knows constants of floats only.
        type = onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
        scope.types[node.output[0]], scope.constants[node.output[0]] = type, tensor
        return
    if node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type, version):
        return
    given = dict.fromkeys(read)
    graph = onnx.helper.make_graph(
        [node],
        "node",
        [
            onnx.helper.make_value_info(n, scope.types[n])
            for n in given
            if n in scope.types.keys() - scope.constants.keys()
        ],
        [ValueInfoProto(name=name) for name in node.output if name],
        [_named(scope.constants[name], name) for name in given if name in scope.constants],
    )
    imports = [onnx.helper.make_opsetid("", version)]
    model = onnx.helper.make_model(graph, opset_imports=imports, ir_version=10)
    try:
        inferred = library.call(onnx.shape_inference.infer_shapes, model, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        return  # Something does not fit, which its lowering says.
    for value in inferred.graph.output:
        if value.HasField("type") and (
            value.type.tensor_type.HasField("shape") or value.name not in scope.types
        ):
            scope.types[value.name] = value.type
