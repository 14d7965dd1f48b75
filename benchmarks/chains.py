"""Models that are long, wide or deep, of any length: what the compiler's time is measured with, and its tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
SIZE = (5, 7)
"""Of the tensor that goes through an elementwise chain."""


class Chain:
    """A graph in the making, whose latest value is `at`."""

    def __init__(self, shape: tuple[int, ...] = SIZE) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.input = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
        self.at = "x"
        self._random = np.random.default_rng(0)

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; the name of its result."""
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def then(self, op: str, *others: str, **attributes: Any) -> None:
        """Let a node read the latest value, and `others` after it."""
        self.at = self.node(op, self.at, *others, **attributes)

    def constant(self, value: object, dtype: str = "float32") -> str:
        """Add a constant; its name."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def weights(self, *shape: int, scale: float = 1) -> str:
        """Add a constant of random numbers about 0; its name."""
        return self.constant(self._random.standard_normal(shape) * scale)

    def model(self) -> onnx.ModelProto:
        """The model that gives the latest value."""
        y = helper.make_empty_tensor_value_info(self.at)
        y.type.tensor_type.elem_type = TensorProto.FLOAT
        graph = helper.make_graph(self.nodes, "chain", [self.input], [y], self.constants)
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9
        )


def unary(n: int) -> onnx.ModelProto:
    """Elementwise operators of one input."""
    chain = Chain()
    for i in range(n):
        chain.then(("Sigmoid", "Tanh", "Neg", "Softsign")[i % 4])
    return chain.model()


def residual(n: int) -> onnx.ModelProto:
    """`x = f(x) + x`: as a tree, such a chain has 2^n leaves."""
    chain = Chain()
    for _ in range(n // 2):
        chain.then("Add", chain.node("Softsign", chain.at))
    return chain.model()


def constants(n: int) -> onnx.ModelProto:
    """A tensor of constants a step: operands without end."""
    chain = Chain()
    for i in range(n):
        chain.then(("Add", "Mul")[i % 2], chain.weights(*SIZE))
    return chain.model()


def recalled(n: int) -> onnx.ModelProto:
    """Each step reads the input again, and the value of eight steps ago."""
    chain = Chain()
    past: list[str] = [chain.at] * 8
    for i in range(n // 2):
        chain.then("Sub", past[i % 8])
        past[i % 8] = chain.at
        chain.then("Softsign")
    return chain.model()


def transposed(n: int) -> onnx.ModelProto:
    """`x = softsign(x + x^T)`: each step reads the one before at two places."""
    chain = Chain((6, 6))
    for _ in range(n // 3):
        chain.then("Add", chain.node("Transpose", chain.at, perm=[1, 0]))
        chain.then("Softsign")
    return chain.model()


def mixed(n: int) -> onnx.ModelProto:
    """Elementwise operators between reshapes, transposes and casts."""
    chain = Chain((6, 4))
    shapes = [chain.constant(s, "int64") for s in ((4, 6), (6, 4))]
    for i in range(n // 6):
        chain.then("Sin")
        chain.then("Reshape", shapes[i % 2])
        chain.then("Abs")
        chain.then("Transpose", perm=[1, 0])
        chain.then("Cast", to=TensorProto.FLOAT16)
        chain.then("Cast", to=TensorProto.FLOAT)
        chain.then("Reshape", shapes[i % 2])
        chain.then("Transpose", perm=[1, 0])
    return chain.model()


def transposes(n: int) -> onnx.ModelProto:
    """Transposes between elementwise operators that let them pass."""
    chain = Chain((3, 4, 5))
    for i in range(n // 2):
        chain.then("Transpose", perm=[1, 2, 0])
        chain.then(("Sin", "Neg")[i % 2])
    return chain.model()


def matmuls(n: int) -> onnx.ModelProto:
    """Matrix products, each with a bias and an activation."""
    chain = Chain((4, 8))
    for _ in range(n // 3):
        chain.then("MatMul", chain.weights(8, 8, scale=0.3))
        chain.then("Add", chain.weights(8))
        chain.then("Relu")
    return chain.model()


def convolutions(n: int) -> onnx.ModelProto:
    """Convolutions with batch normalisation and an activation."""
    chain = Chain((1, 4, 6, 5))
    for _ in range(n // 3):
        chain.then("Conv", chain.weights(4, 4, 3, 3, scale=0.2), pads=[1, 1, 1, 1])
        ones, zeros = chain.constant(np.ones(4)), chain.constant(np.zeros(4))
        chain.then("BatchNormalization", ones, zeros, zeros, ones)
        chain.then("Relu")
    return chain.model()


def normalisations(n: int) -> onnx.ModelProto:
    """Softmax over rows, with a residual."""
    chain = Chain()
    for _ in range(n // 2):
        chain.then("Add", chain.node("Softmax", chain.at, axis=-1))
    return chain.model()


def slices(n: int) -> onnx.ModelProto:
    """A tensor is cut in two, and joined the other way round."""
    chain = Chain((4, 6))
    zero, two, six, axis = (chain.constant([v], "int64") for v in (0, 2, 6, 1))
    for _ in range(n // 4):
        tail = chain.node("Sin", chain.node("Slice", chain.at, two, six, axis))
        head = chain.node("Slice", chain.at, zero, two, axis)
        chain.at = chain.node("Concat", tail, head, axis=1)
    return chain.model()


def growing(n: int) -> onnx.ModelProto:
    """A tensor to which each step appends a row, as a dense block does; the next step reads all of it."""
    chain = Chain((1, 4))
    axis = chain.constant([0], "int64")
    for _ in range(n // 3):
        row = chain.node("Softsign", chain.node("ReduceMean", chain.at, axes=[0], keepdims=1))
        chain.at = chain.node("Concat", chain.at, row, axis=0)
    chain.then("ReduceSum", axis)
    return chain.model()


def readers(n: int) -> onnx.ModelProto:
    """A tensor that n nodes read, and one sum of all."""
    chain = Chain()
    parts = [chain.node("Mul", chain.at, chain.constant(i / n)) for i in range(n)]
    chain.at = chain.node("Sum", *parts)
    return chain.model()


def joined(n: int) -> onnx.ModelProto:
    """One concatenation of n parts."""
    chain = Chain()
    parts = [chain.node("Add", chain.at, chain.constant(i / n)) for i in range(n)]
    chain.at = chain.node("Concat", *parts, axis=0)
    return chain.model()


def split(n: int) -> onnx.ModelProto:
    """A tensor in n parts, which are added up one after the other."""
    chain = Chain((n, 4))
    names = [f"part_{i}" for i in range(n)]
    chain.nodes.append(helper.make_node("Split", ["x"], names, axis=0, name="split"))
    chain.at = names[0]
    for name in names[1:]:
        chain.then("Add", name)
    return chain.model()


def shape_arithmetic(n: int) -> onnx.ModelProto:
    """Sizes that are computed from sizes, and a reshape by them."""
    chain = Chain((4, 6))
    one, index = chain.constant([1], "int64"), chain.constant([0], "int64")
    size = chain.node("Gather", chain.node("Shape", "x"), index)
    for _ in range(n // 2):
        size = chain.node("Sub", chain.node("Add", size, one), one)
    shape = chain.node("Concat", size, chain.constant([-1], "int64"), axis=0)
    chain.then("Reshape", shape)
    chain.then("Neg")
    return chain.model()


def loop(n: int) -> onnx.ModelProto:
    """A Loop of n steps, each of three nodes."""
    body = Chain()
    state = helper.make_tensor_value_info("state", TensorProto.FLOAT, SIZE)
    number = helper.make_tensor_value_info("number", TensorProto.INT64, [])
    condition = helper.make_tensor_value_info("condition", TensorProto.BOOL, [])
    body.nodes = [
        helper.make_node("Identity", ["condition"], ["again"]),
        helper.make_node("Softsign", ["state"], ["bounded"]),
        helper.make_node("Add", ["bounded", "x"], ["next"]),
    ]
    outputs = [
        helper.make_tensor_value_info("again", TensorProto.BOOL, []),
        helper.make_tensor_value_info("next", TensorProto.FLOAT, SIZE),
    ]
    graph = helper.make_graph(body.nodes, "body", [number, condition, state], outputs)
    chain = Chain()
    steps, true = chain.constant(n, "int64"), chain.constant(True, "bool")
    chain.then("Neg")
    chain.at = chain.node("Loop", steps, true, chain.at, body=graph)
    return chain.model()


def nested_ifs(n: int) -> onnx.ModelProto:
    """An If in an If in an If. (A file has at most about 30 of them: a message of protobuf is nested to 100 levels.)"""
    chain = Chain((2, 3))
    largest = chain.node("ReduceMax", "x", keepdims=0)
    condition = chain.node("Greater", largest, chain.constant(0))

    def branch(name: str, *nodes: onnx.NodeProto) -> onnx.GraphProto:
        (result,) = nodes[-1].output
        out = helper.make_tensor_value_info(result, TensorProto.FLOAT, (2, 3))
        return helper.make_graph(nodes, name, [], [out])

    inner = branch("innermost", helper.make_node("Sin", ["x"], ["sine"]))
    for depth in range(n):
        other = branch(f"else_{depth}", helper.make_node("Cos", ["x"], [f"cosine_{depth}"]))
        chosen = helper.make_node(
            "If", [condition], [f"chosen_{depth}"], then_branch=inner, else_branch=other
        )
        inner = branch(f"then_{depth}", chosen)
    (outermost,) = inner.node
    chain.nodes.append(outermost)
    (chain.at,) = outermost.output
    return chain.model()


def lstm(n: int) -> onnx.ModelProto:
    """An LSTM of n steps."""
    chain = Chain((n, 1, 8))
    w, r, b = chain.weights(1, 64, 8), chain.weights(1, 64, 16), chain.weights(1, 128)
    chain.nodes.append(helper.make_node("LSTM", ["x", w, r, b], ["y"], name="lstm", hidden_size=16))
    chain.at = "y"
    return chain.model()


def shared_kernels(n: int) -> onnx.ModelProto:
    """Reductions that one kernel computes, n times: many launches and little else."""
    chain = Chain()
    for _ in range(n // 2):
        chain.then("Sub", chain.node("ReduceMean", chain.at, axes=[1], keepdims=1))
    return chain.model()


CHAINS: dict[str, Callable[[int], onnx.ModelProto]] = {
    f.__name__: f
    for f in (
        unary,
        residual,
        constants,
        recalled,
        transposed,
        mixed,
        transposes,
        matmuls,
        convolutions,
        normalisations,
        slices,
        growing,
        readers,
        joined,
        split,
        shape_arithmetic,
        loop,
        nested_ifs,
        lstm,
        shared_kernels,
    )
}
"""By name. The argument is about the number of nodes (of `loop` and `lstm` the number of steps)."""
