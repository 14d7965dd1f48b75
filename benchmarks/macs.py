"""What a model takes: multiply-adds, and bytes that must be moved at least."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import onnx
from onnx import helper, shape_inference


@dataclass(frozen=True)
class NodeCost:
    """The multiply-adds of one node, and the bytes of each value that it reads and writes."""

    macs: int
    reads: dict[str, int]
    writes: dict[str, int]


def node_costs(model: onnx.ModelProto) -> dict[str, NodeCost]:
    """The costs of all nodes, by the name of the node. All shapes must be static.

    Multiply-adds are those of Conv, ConvTranspose, Gemm and MatMul; everything else counts none.
    """
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes: dict[str, list[int]] = {t.name: list(t.dims) for t in graph.initializer}
    types: dict[str, int] = {t.name: t.data_type for t in graph.initializer}
    for info in [*graph.input, *graph.value_info, *graph.output]:
        shapes[info.name] = [d.dim_value for d in info.type.tensor_type.shape.dim]
        types[info.name] = info.type.tensor_type.elem_type

    def sizes(names: Iterable[str]) -> dict[str, int]:
        return {
            name: prod(shapes[name]) * helper.tensor_dtype_to_np_dtype(types[name]).itemsize
            for name in names
            if name in shapes
        }

    return {
        node.name: NodeCost(_macs(node, shapes), sizes(node.input), sizes(node.output))
        for node in graph.node
    }


def count_macs(model: onnx.ModelProto) -> int:
    """The multiply-adds of a model with static shapes."""
    return sum(cost.macs for cost in node_costs(model).values())


def fused_bytes(costs: dict[str, NodeCost], names: Iterable[str]) -> int:
    """The bytes that a kernel which computes these nodes at once reads and writes at least."""
    own = set(names)
    inside = [cost for name, cost in costs.items() if name in own]
    reads = {value: size for cost in inside for value, size in cost.reads.items()}
    writes = {value: size for cost in inside for value, size in cost.writes.items()}
    outside = [cost for name, cost in costs.items() if name not in own]
    wanted = {value for cost in outside for value in cost.reads}
    read = sum(size for value, size in reads.items() if value not in writes)
    # what nobody reads is an output of the model
    kept = [v for v in writes if v in wanted or v not in reads]
    return read + sum(writes[value] for value in kept)


def _macs(node: onnx.NodeProto, shapes: dict[str, list[int]]) -> int:
    match node.op_type:
        case "Conv":  # a filter is [M, C/group, kernel...]
            return prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:])
        case "ConvTranspose":  # a filter is [C, M/group, kernel...]
            return prod(shapes[node.input[0]]) * prod(shapes[node.input[1]][1:])
        case "MatMul":
            return prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
        case "Gemm":
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            depth = shapes[node.input[0]][0 if attributes.get("transA") else 1]
            return prod(shapes[node.output[0]]) * depth
        case _:
            return 0
