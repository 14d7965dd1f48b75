"""Random ONNX models whose inputs have symbolic sizes: of matrices and sequences, and of pictures."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.helper import (
    make_graph,
    make_model,
    make_node,
    make_opsetid,
    make_tensor_value_info,
)

from webdnn.dialects.dtypes import Array

Shape = list[int | str]
"""The sizes of a tensor: numbers, and symbols or what has been made of them."""


@dataclass(frozen=True)
class SizedModel:
    """A model and sizes that it is run with.

    Attributes:
        dims: the range of each symbol, as `webdnn.compile(..., dims=...)` takes it.
        runs: values of the symbols.
    """

    model: ModelProto
    dims: Mapping[str, str]
    shape: Sequence[int | str]
    runs: Sequence[Mapping[str, int]]

    def input(self, values: Mapping[str, int], seed: int) -> Array:
        """A random input `x` of the sizes that the symbols have."""
        shape = [n if isinstance(n, int) else values[n] for n in self.shape]
        return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


class _Builder:
    """Appends nodes to a graph with the input `x`."""

    def __init__(self, seed: int, shape: Shape) -> None:
        self.random = random.Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.nodes: list[NodeProto] = []
        self.weights: dict[str, Array] = {}
        self.input = list(shape)
        self.value, self.shape = "x", list(shape)
        self.earlier: list[tuple[str, Shape]] = [("x", list(shape))]

    def weight(self, *shape: int | str) -> str:
        sizes = [n for n in shape if isinstance(n, int)]
        assert len(sizes) == len(shape), "weights have known sizes"
        return self.constant(self.numbers.standard_normal(sizes, dtype=np.float32) / 2)

    def constant(self, value: Array) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = value
        return name

    def indices(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(make_node(kind, list(inputs), [name], **attributes))
        return name

    def step(self, kind: str, inputs: Sequence[str], shape: Shape, **attributes: Any) -> None:
        self.value, self.shape = self.node(kind, inputs, **attributes), list(shape)
        self.earlier.append((self.value, self.shape))

    @property
    def channels(self) -> int | None:
        """The size of the last dimension, if that is known."""
        last = self.shape[-1]
        return last if isinstance(last, int) else None

    def replaced(self, axis: int, size: int | str) -> Shape:
        return [*self.shape[:axis], size, *self.shape[axis + 1 :]]

    def axis(self) -> int:
        return self.random.randrange(len(self.shape))

    def model(self) -> ModelProto:
        nodes = [*self.nodes, make_node("Identity", [self.value], ["y"])]
        graph = make_graph(
            nodes,
            "random",
            [make_tensor_value_info("x", TensorProto.FLOAT, self.input)],
            [make_tensor_value_info("y", TensorProto.FLOAT, [None] * len(self.shape))],
            [numpy_helper.from_array(array, name) for name, array in self.weights.items()],
        )
        return make_model(graph, opset_imports=[make_opsetid("", 17)], ir_version=8)


def _changed(size: int | str, change: Callable[[int], int], name: str) -> int | str:
    """A size after a step; of a symbol only that it is another one."""
    return change(size) if isinstance(size, int) else f"{name}({size})"


def _unary(b: _Builder) -> None:
    kind = b.random.choice(["Relu", "Sigmoid", "Tanh", "Exp", "Abs", "Neg"])
    b.step(kind, [b.value], b.shape)


def _matmul(b: _Builder) -> None:
    if (channels := b.channels) is not None:
        width = b.random.choice([3, 8, 16, 33])
        b.step("MatMul", [b.value, b.weight(channels, width)], [*b.shape[:-1], width])


def _gram(b: _Builder) -> None:
    rank = len(b.shape)
    transposed = b.node("Transpose", [b.value], perm=[*range(rank - 2), rank - 1, rank - 2])
    b.step("MatMul", [b.value, transposed], [*b.shape[:-1], b.shape[-2]])


def _softmax(b: _Builder) -> None:
    b.step("Softmax", [b.value], b.shape, axis=b.axis())


def _reduce(b: _Builder) -> None:
    axis, kind = b.axis(), b.random.choice(["ReduceMean", "ReduceMax"])
    if len(b.shape) == 2 or b.random.random() < 0.5:
        b.step(kind, [b.value], b.replaced(axis, 1), axes=[axis], keepdims=1)
    else:
        rest = [*b.shape[:axis], *b.shape[axis + 1 :]]
        b.step(kind, [b.value], rest, axes=[axis], keepdims=0)


def _transpose(b: _Builder) -> None:
    permutation = b.random.sample(range(len(b.shape)), len(b.shape))
    b.step("Transpose", [b.value], [b.shape[i] for i in permutation], perm=permutation)


def _concat(b: _Builder) -> None:
    axis = b.axis()
    shape = b.replaced(axis, _changed(b.shape[axis], lambda n: 2 * n, "twice"))
    b.step("Concat", [b.value, b.value], shape, axis=axis)


def _tile(b: _Builder) -> None:
    axis = b.axis()
    repeats = [2 if i == axis else 1 for i in range(len(b.shape))]
    shape = b.replaced(axis, _changed(b.shape[axis], lambda n: 2 * n, "twice"))
    b.step("Tile", [b.value, b.indices(*repeats)], shape)


def _binary(b: _Builder) -> None:
    other = b.random.choice([value for value, shape in b.earlier if shape == b.shape])
    b.step(b.random.choice(["Add", "Mul", "Sub", "Max"]), [b.value, other], b.shape)


def _bias(b: _Builder) -> None:
    if (channels := b.channels) is not None:
        b.step("Add", [b.value, b.weight(channels)], b.shape)


def _pad(b: _Builder) -> None:
    axis, rank = b.axis(), len(b.shape)
    pads = [0] * (2 * rank)
    pads[axis], pads[rank + axis] = 1, 2
    shape = b.replaced(axis, _changed(b.shape[axis], lambda n: n + 3, "padded"))
    border = b.constant(np.array(0.5, np.float32))
    b.step("Pad", [b.value, b.indices(*pads), border], shape)


def _slice(b: _Builder) -> None:
    axis, step = b.axis(), b.random.choice([1, 2])
    bounds = [b.indices(n) for n in (0, 2**31, axis, step)]
    size = b.shape[axis] if step == 1 else _changed(b.shape[axis], lambda n: (n + 1) // 2, "half")
    b.step("Slice", [b.value, *bounds], b.replaced(axis, size))


def _gather(b: _Builder) -> None:
    if (channels := b.channels) is not None:
        indices = b.indices(0, channels - 1, channels // 2, 0, 0)
        b.step("Gather", [b.value, indices], [*b.shape[:-1], 5], axis=len(b.shape) - 1)


def _layer_norm(b: _Builder) -> None:
    if (channels := b.channels) is not None:
        inputs = [b.value, b.weight(channels), b.weight(channels)]
        b.step("LayerNormalization", inputs, b.shape, axis=-1)


def _where(b: _Builder) -> None:
    limit, other = (b.constant(np.array(n, np.float32)) for n in (0.1, -1))
    condition = b.node("Greater", [b.value, limit])
    b.step("Where", [condition, b.value, other], b.shape)


_STEPS: Sequence[Callable[[_Builder], None]] = (
    _unary, _matmul, _gram, _softmax, _reduce, _transpose, _concat, _tile, _binary, _bias, _pad, _slice, _gather,
    _layer_norm, _where,
)  # fmt: skip

_MATRICES: Sequence[Shape] = (
    ["b", "s", 8], ["b", "s", 6], ["s", "p", 12], ["s", 4], ["b", 6, "s"], ["b", "s", "p"],
)  # fmt: skip
_MATRIX_DIMS = {"b": "1..4@2", "s": "1..40@9", "p": "1..30"}
_MATRIX_RUNS = (
    {"b": 1, "s": 1, "p": 1},
    {"b": 2, "s": 9, "p": 5},
    {"b": 3, "s": 17, "p": 12},
    {"b": 4, "s": 32, "p": 16},
    {"b": 4, "s": 40, "p": 30},
)


def random_matrix_model(seed: int) -> SizedModel:
    """A model of matrix products, rows and moves of data over batches, sequences and a past."""
    chosen = random.Random(seed)
    shape = chosen.choice(_MATRICES)
    builder = _Builder(seed, shape)
    for _ in range(chosen.randint(2, 6)):
        chosen.choice(_STEPS)(builder)
    dims = {name: text for name, text in _MATRIX_DIMS.items() if name in shape}
    return SizedModel(builder.model(), dims, shape, _MATRIX_RUNS)


def _convolution(b: _Builder) -> None:
    size, filters = b.random.choice([1, 3, 5]), b.random.choice([4, 7, 8, 12])
    dilation, stride = b.random.choice([1, 1, 2]), b.random.choice([1, 1, 2])
    pad = (size - 1) * dilation // 2
    inputs = [b.value, b.weight(filters, b.shape[1], size, size), b.weight(filters)]
    spatial: Shape = b.shape[2:] if stride == 1 else [f"half({n})" for n in b.shape[2:]]
    b.step(
        "Conv", inputs, [b.shape[0], filters, *spatial],
        strides=[stride] * 2, pads=[pad] * 4, dilations=[dilation] * 2,
    )  # fmt: skip


def _depthwise(b: _Builder) -> None:
    inputs = [b.value, b.weight(b.shape[1], 1, 3, 3)]
    b.step("Conv", inputs, b.shape, pads=[1] * 4, group=b.shape[1])


def _max_pool(b: _Builder) -> None:
    shape: Shape = [*b.shape[:2], *(f"half({n})" for n in b.shape[2:])]
    b.step("MaxPool", [b.value], shape, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)


def _average_pool(b: _Builder) -> None:
    b.step("AveragePool", [b.value], b.shape, kernel_shape=[2, 2], pads=[0, 0, 1, 1])


def _gate(b: _Builder) -> None:
    mean = b.node("GlobalAveragePool", [b.value])
    b.step("Mul", [b.value, mean], b.shape)


def _upsample(b: _Builder) -> None:
    scales = b.constant(np.array([1, 1, 2, 2], np.float32))
    shape: Shape = [*b.shape[:2], *(f"twice({n})" for n in b.shape[2:])]
    mode = b.random.choice(["nearest", "linear"])
    b.step("Resize", [b.value, "", scales], shape, mode=mode)


def _instance_norm(b: _Builder) -> None:
    scale, offset = b.weight(b.shape[1]), b.weight(b.shape[1])
    b.step("InstanceNormalization", [b.value, scale, offset], b.shape)


def _transposed_convolution(b: _Builder) -> None:
    weight = b.weight(b.shape[1], 6, 2, 2)
    shape: Shape = [b.shape[0], 6, *(f"twice({n})" for n in b.shape[2:])]
    b.step("ConvTranspose", [b.value, weight], shape, strides=[2, 2])


_PICTURE_STEPS: Sequence[Callable[[_Builder], None]] = (
    _convolution, _convolution, _depthwise, _max_pool, _average_pool, _gate, _upsample, _instance_norm,
    _transposed_convolution, _unary, _binary,
)  # fmt: skip

_PICTURE_RUNS = (
    {"b": 1, "h": 8, "w": 8},
    {"b": 2, "h": 13, "w": 22},
    {"b": 2, "h": 9, "w": 16},
    {"b": 1, "h": 31, "w": 10},
    {"b": 1, "h": 40, "w": 40},
)


def random_picture_model(seed: int) -> SizedModel:
    """A model of convolutions and pools over pictures of any size."""
    chosen = random.Random(seed)
    shape: Shape = ["b", chosen.choice([3, 4, 8]), "h", "w"]
    builder = _Builder(seed, shape)
    for _ in range(chosen.randint(2, 6)):
        chosen.choice(_PICTURE_STEPS)(builder)
    dims = {"b": "1..2", "h": "8..40", "w": "8..40@16"}
    return SizedModel(builder.model(), dims, shape, _PICTURE_RUNS)
