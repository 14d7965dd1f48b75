"""The inverse of the import: an op of the `onnx` dialect as a `NodeProto`, a module as a `ModelProto`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto
from xdsl.dialects.builtin import (
    DictionaryAttr,
    IntegerAttr,
    ModuleOp,
    NameLoc,
    NoneType,
    StringAttr,
)
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, SSAValue

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.onnx import (
    INPUT_NAMES,
    INPUT_SYMBOLS,
    METADATA,
    MODEL_NAME,
    OPSETS,
    OUTPUT_NAMES,
    OUTPUT_SYMBOLS,
    NoneOp,
    OnnxOp,
    WeightOp,
    YieldOp,
    string_lists_of,
    strings_of,
)
from webdnn.dialects.onnx.attributes import attribute_to_proto, tensor_to_proto
from webdnn.dialects.onnx.types import type_to_proto

Weights = Mapping[str, npt.NDArray[Any]]


class Exporter:
    """Names values and makes protos of ops; each value has one name in everything that one exporter makes."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.names: dict[SSAValue, str] = {}
        self.taken: set[str] = set()

    def name(self, value: SSAValue) -> str:
        """The name of a value, `""` for the absent one."""
        if isinstance(value.type, NoneType):
            return ""
        if value not in self.names:
            self.assign(value, value.name_hint or "value")
        return self.names[value]

    def assign(self, value: SSAValue, wanted: str) -> str:
        """Give a value a name: the wanted one, or that with a number where it is taken."""
        self.names[value] = self.fresh(wanted)
        return self.names[value]

    def fresh(self, wanted: str) -> str:
        """A name that no value has."""
        name, n = wanted, 0
        while name in self.taken:
            n += 1
            name = f"{wanted}_{n}"
        self.taken.add(name)
        return name

    def node(self, op: OnnxOp) -> NodeProto:
        """The node of an op, its regions as graphs."""
        node = NodeProto(op_type=op.op_type, domain=op.domain, name=_name_of(op))
        node.input.extend(self.name(operand) for operand in op.operands)
        node.output.extend(self.name(result) for result in op.results)
        for name, attr in op.attributes.items():
            if "." not in name:
                node.attribute.append(attribute_to_proto(name, attr, self.weights.__getitem__))
        for name, region in zip(op.graph_names, op.regions, strict=True):
            if region.blocks:
                graph = self.graph(name, region.block)
                node.attribute.append(AttributeProto(name=name, type=AttributeProto.GRAPH, g=graph))
        return node

    def graph(
        self, name: str, block: Block, output_names: Mapping[int, str] | None = None
    ) -> GraphProto:
        """The graph of a block that ends with a return or a yield.

        Args:
            name: the name of the graph.
            block: its arguments become the inputs of the graph.
            output_names: names that outputs must have, by position.
        """
        graph = GraphProto(name=name)
        for argument in block.args:
            graph.input.add(name=self.name(argument), type=type_to_proto(argument.type))
        last = block.last_op
        assert isinstance(last, YieldOp | ReturnOp)
        outputs = self._outputs(block, last, output_names or {})
        for op in block.ops:
            if isinstance(op, OnnxOp):
                graph.node.append(self.node(op))
            elif isinstance(op, WeightOp):
                array = self.weights[op.key.data]
                graph.initializer.append(tensor_to_proto(array, self.name(op.res)))
            elif not isinstance(op, NoneOp) and op is not last:
                raise WebDNNError(f"{op.name} is not an ONNX operator and cannot be exported")
        for value, output in zip(last.operands, outputs, strict=True):
            if output != self.name(value):
                identity = onnx.helper.make_node("Identity", [self.name(value)], [output])
                graph.node.append(identity)
            graph.output.add(name=output, type=type_to_proto(value.type))
        return graph

    def _outputs(self, block: Block, last: Operation, wanted: Mapping[int, str]) -> list[str]:
        """The names of the outputs of a block: each is made by one node of it, so some need an Identity."""
        outputs: list[str] = []
        for index, value in enumerate(last.operands):
            owner = value.owner
            is_made_here = isinstance(owner, OnnxOp) and owner.parent is block
            if is_made_here and value not in self.names:
                outputs.append(self.assign(value, wanted.get(index, value.name_hint or "value")))
            elif is_made_here and index not in wanted and self.names[value] not in outputs:
                outputs.append(self.names[value])
            else:
                outputs.append(self.fresh(wanted.get(index, "output")))
        return outputs


def _name_of(op: Operation) -> str:
    return op.location.desc.data if isinstance(op.location, NameLoc) else ""


def to_node_proto(op: OnnxOp, weights: Weights | None = None) -> NodeProto:
    """The ONNX node of one op; its values are named after the IR's hints.

    Args:
        op: any operator of the dialect.
        weights: needed where the op has tensors as attributes or weights in its regions.
    """
    return Exporter(weights or {}).node(op)


def to_model_proto(module: ModuleOp, weights: Weights) -> ModelProto:
    """The ONNX model of a module that holds `func.func @main` of `onnx` ops, with a copy of all weights that it uses.

    Raises:
        WebDNNError: the module holds something else than `onnx` ops.
    """
    function = next(op for op in module.ops if isinstance(op, FuncOp))
    block = function.body.block
    exporter = Exporter(weights)
    inputs = strings_of(function, INPUT_NAMES)
    for index, argument in enumerate(block.args):
        exporter.assign(argument, inputs[index] if inputs else argument.name_hint or "input")
    outputs = strings_of(function, OUTPUT_NAMES)
    name = module.attributes.get(MODEL_NAME)
    graph_name = name.data if isinstance(name, StringAttr) and name.data else "main"
    graph = exporter.graph(graph_name, block, dict(enumerate(outputs)))
    for values, key in ((graph.input, INPUT_SYMBOLS), (graph.output, OUTPUT_SYMBOLS)):
        for value, symbols in zip(values, string_lists_of(function, key), strict=False):
            for dim, symbol in zip(value.type.tensor_type.shape.dim, symbols, strict=False):
                if symbol and not dim.HasField("dim_value"):
                    dim.dim_param = symbol
    imports = [onnx.helper.make_opsetid(d, v) for d, v in opset_imports(module).items()]
    model = onnx.helper.make_model(graph, opset_imports=imports, producer_name="webdnn")
    metadata = dict(p for p in string_lists_of(module, METADATA) if len(p) == 2)
    onnx.helper.set_model_props(model, metadata)
    model.ir_version = onnx.helper.find_min_ir_version_for(imports, ignore_unknown=True)
    return model


def opset_imports(module: ModuleOp) -> dict[str, int]:
    """The versions of the domains that a module uses; the default domain is `""`."""
    attr = module.attributes.get(OPSETS)
    if not isinstance(attr, DictionaryAttr):
        return {"": onnx.defs.onnx_opset_version()}
    versions: dict[str, int] = {}
    for domain, version in attr.data.items():
        assert isinstance(version, IntegerAttr)
        versions["" if domain == "ai.onnx" else domain] = version.value.data
    return versions
