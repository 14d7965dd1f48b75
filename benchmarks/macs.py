"""The multiply-adds of an ONNX model, whatever a runtime makes of it."""

from math import prod

import onnx
from onnx import helper, shape_inference


def count_macs(model: onnx.ModelProto) -> int:
    """The multiply-adds of Conv, ConvTranspose, Gemm and MatMul in a model with static shapes."""
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes: dict[str, list[int]] = {t.name: list(t.dims) for t in graph.initializer}
    for info in [*graph.input, *graph.value_info, *graph.output]:
        shapes[info.name] = [d.dim_value for d in info.type.tensor_type.shape.dim]
    return sum(_macs(node, shapes) for node in graph.node)


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
