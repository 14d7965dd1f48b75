"""Channel shuffles, depth to space and its inverse, and upsampling between convolutions: as in ONNX Runtime, and with
no more copies than needed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

import webdnn
from webdnn.dialects.dtypes import Array

TOLERANCE = 1e-4
"""Of the range of the result: sums in another order."""


class Network:
    """A chain of ONNX nodes on images."""

    def __init__(self, *shape: int) -> None:
        self.rng = np.random.default_rng(0)
        self.x = self.rng.standard_normal(shape).astype(np.float32)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, array: Array) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def add(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def conv(
        self, x: str, shape: Sequence[int], group: int = 1, pad: int = 0, stride: int = 1
    ) -> str:
        spread = np.sqrt(np.prod(shape[1:]))
        filters = (self.rng.standard_normal(shape) / spread).astype(np.float32)
        bias = self.rng.standard_normal(shape[0]).astype(np.float32)
        return self.add(
            "Conv",
            [x, self.weight(filters), self.weight(bias)],
            group=group,
            pads=[pad] * 4,
            strides=[stride] * 2,
        )

    def reshape(self, x: str, *shape: int) -> str:
        return self.add("Reshape", [x, self.weight(np.array(shape))])

    def shuffle(self, x: str, groups: int, n: int, c: int, h: int, w: int) -> str:
        apart = self.reshape(x, n, groups, c // groups, h, w)
        moved = self.add("Transpose", [apart], perm=[0, 2, 1, 3, 4])
        return self.reshape(moved, n, c, h, w)

    def check(self, *outputs: str) -> list[str]:
        """Compare wasm with ONNX Runtime; the kernels that are launched."""
        values = [onnx.ValueInfoProto(name=n) for n in outputs]
        x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, self.x.shape)
        graph = helper.make_graph(self.nodes, "test", [x], values, self.weights)
        made = onnx.shape_inference.infer_shapes(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        )
        wanted = ort.InferenceSession(made.SerializeToString()).run(None, {"x": self.x})
        package = webdnn.compile(made, target="wasm")
        found = package.run({"x": self.x}, engine="wasmtime")
        for name, value in zip(outputs, wanted, strict=True):
            assert isinstance(value, np.ndarray)
            scale = max(1.0, float(np.abs(value).max(initial=0)))
            np.testing.assert_allclose(found[name], value, atol=TOLERANCE * scale, rtol=0)
        return [launch["kernel"] for launch in package.manifest["backends"]["wasm"]["launches"]]


def moves(launched: Sequence[str]) -> list[str]:
    """The kernels that only move elements: those of the model's inputs and outputs, which are channels-first, too."""
    return [k for k in launched if k.startswith(("transpose", "broadcast", "slice"))]


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@pytest.mark.parametrize("size", [(5, 7), (1, 1), (1, 6)])
def test_depth_to_space(mode: str, size: tuple[int, int]) -> None:
    net = Network(2, 3, *size)
    x = net.conv("x", (12, 3, 1, 1))
    x = net.add("DepthToSpace", [x], blocksize=2, mode=mode)
    y = net.conv(x, (4, 3, 3, 3), pad=1)
    assert len(moves(net.check(y))) <= 1 + 2


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space_at_the_end(mode: str) -> None:
    net = Network(1, 3, 5, 7)
    x = net.conv("x", (12, 3, 1, 1))
    y = net.add("DepthToSpace", [x], blocksize=2, mode=mode)
    assert len(moves(net.check(y))) <= 1 + 1


def test_space_to_depth() -> None:
    net = Network(2, 3, 6, 10)
    x = net.conv("x", (5, 3, 1, 1))
    x = net.add("SpaceToDepth", [x], blocksize=2)
    y = net.conv(x, (4, 20, 3, 3), pad=1)
    assert len(moves(net.check(y))) <= 1 + 2


@pytest.mark.parametrize("scales", [(2, 2), (2, 3), (1, 2), (4, 1)])
def test_upsampling(scales: tuple[int, int]) -> None:
    """It stays channels-last, and is one copy or none."""
    net = Network(1, 3, 4, 5)
    x = net.conv("x", (6, 3, 1, 1))
    factors = net.weight(np.array([1, 1, *scales], np.float32))
    up = net.add(
        "Resize",
        [x, "", factors],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    y = net.conv(up, (4, 6, 3, 3), pad=1)
    other = net.conv(net.add("Relu", [up]), (4, 6, 1, 1))
    assert len(moves(net.check(y, other))) <= 1 + 3


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("size", [(5, 7), (1, 1), (1, 6)])
def test_shuffle_before_a_convolution(groups: int, size: tuple[int, int]) -> None:
    """Past what works channel by channel; the channels are in runs of 6."""
    net = Network(2, 4, *size)
    x = net.conv("x", (24, 2, 1, 1), group=2)
    x = net.shuffle(x, 4, 2, 24, *size)
    x = net.add("Sigmoid", [x])
    x = net.add("Mul", [x, net.weight(net.rng.standard_normal((24, 1, 1)).astype(np.float32))])
    x = net.conv(x, (24, 1, 3, 3), group=24, pad=1, stride=2)
    y = net.conv(x, (12, 24 // groups, 3, 3), group=groups, pad=1)
    launched = net.check(y)
    if size == (5, 7):
        assert len(moves(launched)) == 1 + 2  # the shuffle is one copy


def test_shuffle_between_groups_that_do_not_fit() -> None:
    net = Network(1, 4, 5, 7)
    x = net.conv("x", (18, 2, 1, 1), group=2)
    x = net.shuffle(x, 3, 1, 18, 5, 7)
    y = net.conv(x, (8, 9, 1, 1), group=2)  # halves of runs of 6 would do, but not with 4 groups
    other = net.conv(net.shuffle(x, 6, 1, 18, 5, 7), (8, 9, 1, 1), group=2)
    net.check(y, other)


def test_shuffle_and_split() -> None:
    """As in ShuffleNet V2: half of the shuffled channels go on, half are convolved."""
    net = Network(1, 6, 5, 7)
    x = net.conv("x", (12, 6, 1, 1))
    x = net.shuffle(x, 2, 1, 12, 5, 7)
    left, right = "left", "right"
    net.nodes.append(helper.make_node("Split", [x], [left, right], axis=1, num_outputs=2))
    right = net.conv(right, (6, 6, 1, 1))
    right = net.conv(right, (6, 1, 3, 3), group=6, pad=1)
    joined = net.add("Concat", [left, net.add("Relu", [right])], axis=1)
    y = net.conv(net.shuffle(joined, 2, 1, 12, 5, 7), (5, 12, 1, 1))
    net.check(y, joined)


@pytest.mark.parametrize("size", [(5, 7), (1, 1)])
def test_halves_that_are_kept(size: tuple[int, int]) -> None:
    """As in YOLO's C2f: of two halves one goes on, and all are concatenated. Nothing is copied."""
    net = Network(1, 6, *size)
    x = net.add("Relu", [net.conv("x", (16, 6, 1, 1))])
    left, right = "left", "right"
    net.nodes.append(helper.make_node("Split", [x], [left, right], axis=1, num_outputs=2))
    deeper = net.add("Relu", [net.conv(right, (8, 8, 3, 3), pad=1)])
    deeper = net.add("Relu", [net.conv(deeper, (8, 8, 3, 3), pad=1)])
    joined = net.add("Concat", [left, right, deeper], axis=1)
    y = net.conv(joined, (5, 24, 1, 1))
    launched = net.check(y)
    if size == (5, 7):
        assert not [k for k in launched if re.match(r"(copy|concat|slice)_\d", k)]


@pytest.mark.parametrize(
    ("pieces", "axis"),
    [
        ([(0, 3, 1), (3, 8, 1)], 1),
        ([(0, 3, 1), (3, 3, 1), (3, 8, 1)], 1),  # an empty one
        ([(7, 3, -1), (3, -9, -1)], 1),  # all, backwards
        ([(0, 4, 2), (4, 7, 2)], 2),
        ([(6, 2, -2), (2, -9, -2)], 2),
        ([(0, 1, 1), (1, 2, 1), (2, 3, 1), (4, 5, 1)], 3),
        ([(3, 8, 1), (0, 3, 1)], 1),
    ],
)
def test_slices_side_by_side(pieces: list[tuple[int, int, int]], axis: int) -> None:
    net = Network(2, 8, 7, 5)
    x = net.add("Exp", ["x"])
    bounds = [[net.weight(np.array([v])) for v in (a, b, axis, s)] for a, b, s in pieces]
    parts = [net.add("Slice", [x, *bound]) for bound in bounds]
    net.check(net.add("Concat", parts, axis=axis))


@pytest.mark.parametrize("pick", [(0, 6), (6, 12), (3, 9), (2, 3)])
@pytest.mark.parametrize("step", [1, 2, -1])
def test_slice_of_channels_into_convolutions(pick: tuple[int, int], step: int) -> None:
    net = Network(1, 4, 5, 3)
    x = net.conv("x", (12, 4, 1, 1))
    start, end = pick if step > 0 else (pick[1] - 1, pick[0] - 13)
    bounds = [net.weight(np.array([v])) for v in (start, end, 1, step)]
    part = net.add("Slice", [x, *bounds])
    count = len(range(*pick, abs(step)))
    net.check(net.conv(part, (5, count, 1, 1)), net.conv(x, (3, 12, 3, 3)))
