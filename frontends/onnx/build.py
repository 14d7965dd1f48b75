"""Builds the module of `onnx` ops from a model whose weights were taken out and whose types are known."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TypeProto
from xdsl.dialects.builtin import (
    ArrayAttr,
    DictionaryAttr,
    IntegerAttr,
    LocationAttr,
    ModuleOp,
    NameLoc,
    NoneAttr,
    StringAttr,
    TensorType,
    UnrankedTensorType,
    i64,
)
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Region, SSAValue

from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError, internal_errors
from webdnn.dialects.onnx import (
    INPUT_DTYPES,
    INPUT_NAMES,
    INPUT_SYMBOLS,
    METADATA,
    MODEL_NAME,
    OPSETS,
    OUTPUT_DTYPES,
    OUTPUT_NAMES,
    OUTPUT_SYMBOLS,
    NoneOp,
    OnnxOp,
    OperatorSet,
    UnknownType,
    WeightOp,
    YieldOp,
)
from webdnn.dialects.onnx.attributes import attribute_from_proto
from webdnn.dialects.onnx.types import dtype_name, type_from_proto, type_of_array
from webdnn.dialects.sizes.types import tensor_type
from webdnn.dialects.weight_store import WeightStore
from webdnn.frontends.onnx.binding import ANONYMOUS
from webdnn.frontends.onnx.graphs import all_graphs, describe
from webdnn.frontends.onnx.inference import Types, types_of
from webdnn.frontends.onnx.tensor_data import TensorReader
from webdnn.frontends.onnx.validate import opsets_of

Scope = ChainMap[str, SSAValue]

HINT_LENGTH = 60
"""The longest name of a value in the printed IR, not counting the number that makes it unique."""


def build(
    model: ModelProto,
    arrays: Mapping[str, Array],
    weights: WeightStore,
    operators: OperatorSet | None = None,
    metadata: Mapping[str, str] | None = None,
    sizes: Mapping[str, Sequence[int]] | None = None,
) -> ModuleOp:
    """The module of a model.

    Args:
        model: a valid model with types in its `value_info`; its nodes are in the order of the data.
        arrays: the weights that were taken out of it, by the name of the input that stands for each.
        weights: gets all the weights.
        operators: those that the model may use; by default ONNX's own.
        metadata: what the module says of the model beside what it computes.
        sizes: of inputs that have symbols in their sizes, all of these, by the inputs' names.

    Raises:
        WebDNNError: a node has something that the dialect cannot say.
    """
    module = _Builder(model, arrays, weights, operators or OperatorSet()).module(sizes or {})
    if metadata:
        module.attributes[METADATA] = ArrayAttr(_strings(pair) for pair in metadata.items())
    return module


def location(name: str) -> LocationAttr:
    """The location of what comes from the node, or the tensor, of this name: `loc("Conv_3")`."""
    return NameLoc(StringAttr(name), NoneAttr())


class _Builder:
    def __init__(
        self,
        model: ModelProto,
        arrays: Mapping[str, Array],
        weights: WeightStore,
        operators: OperatorSet,
    ) -> None:
        self.model = model
        self.arrays = arrays
        self.weights = weights
        self.operators = operators
        self.opsets = opsets_of(model)
        self.none: NoneOp | None = None
        self.reader = TensorReader()

    def module(self, sizes: Mapping[str, Sequence[int]]) -> ModuleOp:
        graph = self.model.graph
        weight_names = self.arrays.keys() | {tensor.name for tensor in graph.initializer}
        inputs = [value for value in graph.input if value.name not in weight_names]
        types = types_of(graph)
        input_types = [_sized(type_from_proto(v.type), sizes.get(v.name)) for v in inputs]
        block = Block(arg_types=input_types)
        scope = Scope()
        for value, argument in zip(inputs, block.args, strict=True):
            argument.name_hint = name_hint(value.name)
            argument.location = location(value.name)
            scope[value.name] = argument
        used = _names_used(graph)
        for name, array in self.arrays.items():
            if name in used:
                scope[name] = self._weight(block, name, array)
        self._fill(block, graph, scope, types)
        results = [scope[value.name] for value in graph.output]
        block.add_op(ReturnOp(*results))
        if self.none is not None and block.first_op is not None:
            block.insert_op_before(self.none, block.first_op)
        function = FuncOp("main", (input_types, [r.type for r in results]), Region(block))
        function.attributes.update(
            {
                INPUT_NAMES: _strings(value.name for value in inputs),
                INPUT_DTYPES: _strings(_dtype(type) for type in input_types),
                INPUT_SYMBOLS: ArrayAttr([_symbols(value.type) for value in inputs]),
                OUTPUT_NAMES: _strings(value.name for value in graph.output),
                OUTPUT_DTYPES: _strings(_dtype(result.type) for result in results),
                OUTPUT_SYMBOLS: ArrayAttr([_symbols(value.type) for value in graph.output]),
            }
        )
        return ModuleOp(
            [function],
            {
                MODEL_NAME: StringAttr(graph.name),
                OPSETS: DictionaryAttr(
                    {d or "ai.onnx": IntegerAttr(v, i64) for d, v in sorted(self.opsets.items())}
                ),
            },
        )

    def _fill(self, block: Block, graph: GraphProto, scope: Scope, types: Types) -> None:
        """Append the initializers and nodes of a graph to a block, and their values to the scope."""
        for tensor in graph.initializer:
            if tensor.name not in self.arrays:
                scope[tensor.name] = self._weight(block, tensor.name, self.reader.array(tensor))
        for node in graph.node:
            self._node(block, node, scope, types)

    def _weight(self, block: Block, name: str, array: Array) -> SSAValue:
        op = WeightOp(self.weights.add(name, array), type_of_array(array))
        op.location = location(name)
        op.res.name_hint = name_hint(name)
        block.add_op(op)
        return op.res

    def _node(self, block: Block, node: NodeProto, scope: Scope, types: Types) -> None:
        with internal_errors(f"import node '{describe(node)}'", lambda _: [describe(node)]):
            self._build(block, node, scope, types)

    def _build(self, block: Block, node: NodeProto, scope: Scope, types: Types) -> None:
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
            scope[node.output[0]] = self._weight(block, node.output[0], self._constant(node))
            return
        domain = "" if node.domain == "ai.onnx" else node.domain
        cls = self.operators.find(node.op_type, self.opsets.get(domain, 0), domain)
        assert cls is not None  # check_operators has seen it.
        operands = [self._operand(name, scope) for name in _without_trailing(node.input)]
        outputs = _without_trailing(node.output)
        attributes: dict[str, Attribute] = {}
        graphs: dict[str, GraphProto] = {}
        for proto in node.attribute:
            if proto.type == AttributeProto.GRAPH:
                graphs[proto.name] = proto.g
            else:
                attributes[proto.name] = self._attribute(node, proto)
        regions = [
            self._region(graphs[name], scope) if name in graphs else Region()
            for name in cls.graph_names
        ]
        op = cls.create(
            operands=operands,
            result_types=_result_types(cls, operands, outputs, types),
            attributes=attributes,
            regions=regions,
            location=location(describe(node)),
        )
        for name, result in zip(outputs, op.results, strict=True):
            if name:
                result.name_hint = name_hint(name)
                scope[name] = result
        block.add_op(op)

    def _constant(self, node: NodeProto) -> Array:
        """The value of a Constant node; its scalars and lists are those of the attribute that it has."""
        proto = next((a for a in node.attribute if "value" in a.name), None)
        if proto is None:
            raise WebDNNError(f"the Constant node '{describe(node)}' has no value")
        if proto.name == "value":
            return self.reader.array(proto.t)
        value: Any = onnx.helper.get_attribute_value(proto)
        if proto.name == "sparse_value":
            return self.reader.dense(proto.sparse_tensor)
        if proto.name in ("value_int", "value_ints"):
            return np.array(value, np.int64)
        if proto.name in ("value_float", "value_floats"):
            return np.array(value, np.float32)
        if proto.name in ("value_string", "value_strings"):
            strings = value if proto.name == "value_strings" else [value]
            texts = np.array([s.decode("utf-8", "surrogateescape") for s in strings], object)
            return texts if proto.name == "value_strings" else texts.reshape(())
        raise WebDNNError(f"the Constant node '{describe(node)}' has no value that can be read")

    def _operand(self, name: str, scope: Scope) -> SSAValue:
        if name:
            return scope[name]
        if self.none is None:
            self.none = NoneOp()
        return self.none.res

    def _attribute(self, node: NodeProto, proto: AttributeProto) -> Attribute:
        def add_weight(name: str, array: Array) -> str:
            return self.weights.add(f"{describe(node)}.{name}", array)

        try:
            return attribute_from_proto(proto, add_weight)
        except ValueError as error:
            raise WebDNNError(
                f"node '{describe(node)}' has an attribute that cannot be read", why=str(error)
            ) from None

    def _region(self, graph: GraphProto, outer: Scope) -> Region:
        types = types_of(graph)
        names = [value.name for value in graph.input]
        block = Block(arg_types=[type_from_proto(types.get(name)) for name in names])
        scope = outer.new_child()
        for name, argument in zip(names, block.args, strict=True):
            argument.name_hint = name_hint(name)
            argument.location = location(name)
            scope[name] = argument
        self._fill(block, graph, scope, types)
        block.add_op(YieldOp(*(scope[value.name] for value in graph.output)))
        return Region(block)


def _sized(type: Attribute, sizes: Sequence[int] | None) -> Attribute:
    """A tensor type with sizes in the place of those that ONNX calls by a name."""
    if sizes is None or not isinstance(type, TensorType):
        return type
    return tensor_type(type.element_type, sizes)


def name_hint(name: str) -> str | None:
    """A value's name in MLIR's alphabet, or None where nothing is left of it.

    Numbers at the end go, because xDSL makes names unique with them; of a long name the end stays, which says most.
    """
    text = re.sub(r"[^A-Za-z0-9_$]+", "_", name)
    text = re.sub(r"(_\d+)+$", "", text)[-HINT_LENGTH:].strip("_")
    if not text:
        return None
    return f"v{text}" if text[0].isdigit() else text


def _without_trailing(names: Sequence[str]) -> list[str]:
    """The names without the absent ones (`""`) at the end."""
    end = len(names)
    while end and not names[end - 1]:
        end -= 1
    return list(names[:end])


def _result_types(
    cls: type[OnnxOp], operands: Sequence[SSAValue], outputs: Sequence[str], types: Types
) -> list[Attribute]:
    result: list[Attribute] = []
    for index, name in enumerate(outputs):
        type = type_from_proto(types.get(name))
        if isinstance(type, UnknownType):
            type = _type_by_constraint(cls, operands, index)
        result.append(type)
    return result


def _type_by_constraint(cls: type[OnnxOp], operands: Sequence[SSAValue], index: int) -> Attribute:
    """What the schema alone says of a result: the element type of an operand of the same type variable."""
    schema = cls.schema
    parameter = schema.outputs[min(index, len(schema.outputs) - 1)]
    for operand, formal in zip(operands, schema.inputs, strict=False):
        if formal.type_str == parameter.type_str and isinstance(
            operand.type, TensorType | UnrankedTensorType
        ):
            return UnrankedTensorType(operand.type.element_type)
    return UnknownType()


def _names_used(graph: GraphProto) -> set[str]:
    used: set[str] = set()
    for inner in all_graphs(graph):
        used.update(name for node in inner.node for name in node.input)
        used.update(value.name for value in inner.output)
    return used


def _strings(values: Any) -> ArrayAttr[StringAttr]:
    return ArrayAttr([StringAttr(value) for value in values])


def _dtype(type: Attribute) -> str:
    """The name of the element type of a tensor, or of the type of what is none."""
    if isinstance(type, TensorType | UnrankedTensorType):
        return dtype_name(type.element_type)
    return str(type)


def _symbols(type: TypeProto) -> ArrayAttr[StringAttr]:
    """The symbols of the dimensions of a tensor, `""` where a dimension has none that says something, or is known."""
    if type.WhichOneof("value") != "tensor_type":
        return ArrayAttr([])
    dims = type.tensor_type.shape.dim
    return _strings(
        "" if d.HasField("dim_value") or d.dim_param in ANONYMOUS else d.dim_param for d in dims
    )


__all__ = ["build", "location", "name_hint"]
