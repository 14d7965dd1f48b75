"""Tiny ONNX models for the tests of the front end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

FLOAT = TensorProto.FLOAT


def tensor(name: str, shape: Sequence[int | str] | None, dtype: int = FLOAT) -> ValueInfoProto:
    return make_tensor_value_info(name, dtype, shape)


def model_of(
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    initializers: dict[str, np.ndarray[Any, Any]] | None = None,
    opset: int = 21,
    **extra: Any,
) -> ModelProto:
    """A model of these nodes; its IR version is one that ONNX Runtime knows."""
    tensors = [onnx.numpy_helper.from_array(a, n) for n, a in (initializers or {}).items()]
    graph = make_graph(nodes, "test", inputs, outputs, tensors)
    imports = extra.pop("opset_imports", [make_opsetid("", opset)])
    return make_model(graph, opset_imports=imports, ir_version=10, **extra)


def convolution(opset: int = 21) -> ModelProto:
    """Conv with a weight too big to stay inline, and Relu; the sizes of the image are symbols."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.standard_normal((4, 3, 3, 3)).astype(np.float32)}
    weights["b"] = np.arange(4, dtype=np.float32)
    nodes = [
        make_node("Conv", ["x", "w", "b"], ["c"], name="Conv_0", pads=[1, 1, 1, 1]),
        make_node("Relu", ["c"], ["y"], name="Relu_1"),
    ]
    x, y = tensor("x", [1, 3, "h", "w_"]), tensor("y", [1, 4, "h", "w_"])
    return model_of(nodes, [x], [y], weights, opset)


def with_if(opset: int = 21) -> ModelProto:
    """If whose branches capture a value of the main graph and hold weights of the same name."""
    scale = onnx.numpy_helper.from_array(np.full((70,), 2.0, np.float32), "k")
    shift = onnx.numpy_helper.from_array(np.full((70,), 3.0, np.float32), "k")
    then = make_graph(
        [make_node("Mul", ["a", "k"], ["t"], name="Mul_t")],
        "then",
        [],
        [tensor("t", [70])],
        [scale],
    )
    other = make_graph(
        [make_node("Add", ["a", "k"], ["e"], name="Add_e")],
        "else",
        [],
        [tensor("e", [70])],
        [shift],
    )
    nodes = [
        make_node("Neg", ["x"], ["a"], name="Neg_0"),
        make_node("If", ["c"], ["y"], name="If_1", then_branch=then, else_branch=other),
    ]
    inputs = [tensor("x", [70]), tensor("c", [], TensorProto.BOOL)]
    return model_of(nodes, inputs, [tensor("y", [70])], opset=opset)


def with_loop(opset: int = 21) -> ModelProto:
    """Loop that carries a matrix, captures another one and stacks one scan output of rank 2 and one of rank 0."""
    body: GraphProto = make_graph(
        [
            make_node("Identity", ["cond_in"], ["cond_out"]),
            make_node("Add", ["s_in", "x"], ["s_out"], name="Add_body"),
            make_node("Identity", ["s_out"], ["each"]),
            make_node("Identity", ["i"], ["index"]),
        ],
        "body",
        [
            tensor("i", [], TensorProto.INT64),
            tensor("cond_in", [], TensorProto.BOOL),
            tensor("s_in", [2, 3]),
        ],
        [
            tensor("cond_out", [], TensorProto.BOOL),
            tensor("s_out", [2, 3]),
            tensor("each", [2, 3]),
            tensor("index", [], TensorProto.INT64),
        ],
    )
    nodes = [
        make_node("Loop", ["n", "", "x"], ["last", "all", "indices"], name="Loop_0", body=body)
    ]
    inputs = [tensor("x", [2, 3]), tensor("n", [], TensorProto.INT64)]
    outputs = [
        tensor("last", [2, 3]),
        tensor("all", ["n", 2, 3]),
        tensor("indices", ["n"], TensorProto.INT64),
    ]
    return model_of(nodes, inputs, outputs, opset=opset)
