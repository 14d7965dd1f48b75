"""Random graphs of the operators that passes fuse, move and place: the same seed gives the same model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import ModelProto
from onnx.helper import make_node
from onnx.shape_inference import infer_shapes

from tests.unit.onnx_models import model_of, tensor

Shape = tuple[int, ...]


class RandomGraph:
    """Grows a graph of maps `(n, c, h, w)`: each step applies an operator to values that are there already.

    Values are read again later and some are results of the model, so that what a pass may do to a value with one
    reader, it meets with several too.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.weights: dict[str, np.ndarray[Any, Any]] = {}
        shape = (1 + int(self.rng.integers(2)), self.among(1, 3, 4, 8, 13), *self.sizes())
        self.values: dict[str, Shape] = {"x": shape}

    def among(self, *choices: Any) -> Any:
        """One of these."""
        return choices[int(self.rng.integers(len(choices)))]

    def sizes(self) -> tuple[int, int]:
        return int(self.rng.integers(1, 14)), int(self.rng.integers(1, 14))

    def value(self) -> str:
        """A value that is there: mostly one of the last."""
        names = list(self.values)
        return names[max(0, len(names) - 1 - int(self.rng.exponential(1.5)))]

    def add(self, kind: str, inputs: list[str], shape: Shape, **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(make_node(kind, inputs, [name], name=f"{kind}_{name}", **attributes))
        self.values[name] = shape
        return name

    def weight(self, shape: Shape, spread: float) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = (self.rng.standard_normal(shape) * spread).astype(np.float32)
        return name

    def constant(self, values: list[int]) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = np.array(values, np.int64)
        return name

    # operators

    def pointwise(self) -> None:
        x = self.value()
        kind = self.among("Relu", "Sigmoid", "Tanh", "Abs", "Neg", "HardSwish")
        self.add(kind, [x], self.values[x])

    def binary(self) -> None:
        x = self.value()
        shape = self.values[x]
        same = [name for name, other in self.values.items() if other == shape]
        other = self.among(*same, "row", "channels")
        if other == "row":
            other = self.weight((shape[-1],), 1.0)
        elif other == "channels":
            other = self.weight((shape[1], 1, 1), 1.0)
        self.add(self.among("Add", "Mul", "Sub", "Max"), [x, other], shape)

    def convolution(self) -> None:
        x = self.value()
        n, c, h, w = self.values[x]
        taps = [self.among(1, 1, 3, 3, 5), self.among(1, 3, 3)]
        pads = [self.among(0, t // 2, t - 1) for t in (*taps, *taps)]
        strides = [self.among(1, 1, 1, 2) for _ in range(2)]
        reach = [h + pads[0] + pads[2] - taps[0], w + pads[1] + pads[3] - taps[1]]
        if min(reach) < 0:
            return
        group = self.among(1, 1, c)
        filters = c if group > 1 else self.among(1, 4, 8, 16, 19)
        depth = c // group
        filter = self.weight((filters, depth, *taps), 1 / np.sqrt(depth * taps[0] * taps[1]))
        shape = (n, filters, *(r // s + 1 for r, s in zip(reach, strides, strict=True)))
        inputs = [x, filter, *([self.weight((filters,), 0.5)] if self.rng.random() < 0.5 else [])]
        self.add("Conv", inputs, shape, group=group, pads=pads, strides=strides)

    def pool(self) -> None:
        x = self.value()
        n, c, h, w = self.values[x]
        size = self.among(2, 3)
        if min(h, w) < size:
            return
        stride = self.among(1, 2)
        kind = self.among("MaxPool", "AveragePool")
        shape = (n, c, (h - size) // stride + 1, (w - size) // stride + 1)
        self.add(kind, [x], shape, kernel_shape=[size, size], strides=[stride, stride])

    def concat(self) -> None:
        x = self.value()
        axis = self.among(1, 1, 1, 0, 2, 3)
        shape = self.values[x]
        fits = [
            name
            for name, other in self.values.items()
            if all(a == b for d, (a, b) in enumerate(zip(shape, other, strict=True)) if d != axis)
        ]
        parts = [x, *(self.among(*fits) for _ in range(self.among(1, 1, 2)))]
        self.rng.shuffle(parts)
        total = sum(self.values[name][axis] for name in parts)
        self.add("Concat", parts, (*shape[:axis], total, *shape[axis + 1 :]), axis=axis)

    def slice(self) -> None:
        x = self.value()
        shape = self.values[x]
        axis = self.among(1, 1, 2, 3)
        if shape[axis] < 2:
            return
        begin = int(self.rng.integers(shape[axis] - 1))
        step = self.among(1, 1, 2)
        size = -(-(shape[axis] - begin) // step)
        bounds = [self.constant([v]) for v in (begin, shape[axis], axis, step)]
        self.add("Slice", [x, *bounds], (*shape[:axis], size, *shape[axis + 1 :]))

    def pad(self) -> None:
        x = self.value()
        shape = self.values[x]
        pads = [self.among(0, 0, 1, 2) if d > 1 else 0 for d in range(4)] * 2
        padded = tuple(s + 2 * p for s, p in zip(shape, pads[:4], strict=True))
        self.add("Pad", [x, self.constant(pads)], padded, mode="constant")

    def transpose(self) -> None:
        x = self.value()
        perm = [int(d) for d in self.rng.permutation(4)]
        self.add("Transpose", [x], tuple(self.values[x][d] for d in perm), perm=perm)

    def product(self) -> None:
        x = self.value()
        shape = self.values[x]
        columns = self.among(1, 4, 9, 16)
        weight = self.weight((shape[-1], columns), 1 / np.sqrt(shape[-1]))
        self.add("MatMul", [x, weight], (*shape[:-1], columns))

    def rows(self) -> None:
        x = self.value()
        self.add("Softmax", [x], self.values[x], axis=self.among(1, -1))

    def mean(self) -> None:
        x = self.value()
        shape = self.values[x]
        self.add("ReduceMean", [x, self.constant([2, 3])], (*shape[:2], 1, 1), keepdims=1)

    def model(self, steps: int) -> ModelProto:
        """A model of about `steps` nodes. Its results are the last value and some others."""
        kinds: list[Callable[[], None]] = [
            self.convolution,
            self.convolution,
            self.concat,
            self.concat,
            self.pointwise,
            self.binary,
            self.slice,
            self.pool,
            self.pad,
            self.transpose,
            self.product,
            self.rows,
            self.mean,
        ]
        self.pointwise()
        for _ in range(steps):
            self.among(*kinds)()
        names = list(self.values)[1:]
        results = {names[-1], self.among(*names), self.among(*names)}
        outputs = [tensor(name, self.values[name]) for name in names if name in results]
        model = model_of(self.nodes, [tensor("x", self.values["x"])], outputs, self.weights)
        return infer_shapes(model, strict_mode=True)


def random_model(seed: int, steps: int = 12) -> ModelProto:
    """The model of a seed, with one input `x`."""
    return RandomGraph(seed).model(steps)
