"""A small builder of ONNX graphs for the networks in this folder."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from .weights import LINEAR_GAIN, RELU_GAIN, RandomWeights


class GraphBuilder:
    """Collects nodes and random weights; every method that adds a layer returns its output's name.

    Feature maps are NCHW. The number of channels of each is tracked, so that layers only state what they produce.
    """

    def __init__(self, name: str, *, opset: int, seed: int = 0) -> None:
        self.name = name
        self.opset = opset
        self.weights = RandomWeights(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._channels: dict[str, int] = {}

    def input(
        self, name: str, shape: Sequence[int], dtype: int = TensorProto.FLOAT, channels: int = 0
    ) -> str:
        self._inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        self._channels[name] = channels
        return name

    def output(self, name: str, shape: Sequence[int], dtype: int = TensorProto.FLOAT) -> None:
        self._outputs.append(helper.make_tensor_value_info(name, dtype, shape))

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """An initializer."""
        self._initializers.append(numpy_helper.from_array(value, name))
        return name

    def node(self, op: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """One operator with one output, which has the name of the node."""
        self._nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        self._channels[name] = self._channels.get(inputs[0], 0)
        return name

    def conv(
        self,
        x: str,
        channels: int,
        kernel: int | tuple[int, int],
        name: str,
        *,
        stride: int = 1,
        pad: int | tuple[int, int] = 0,
        group: int = 1,
        bias: bool = True,
        gain: float = RELU_GAIN,
    ) -> str:
        kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
        ph, pw = (pad, pad) if isinstance(pad, int) else pad
        per_group = self._channels[x] // group
        weight = self.weights.he_normal(
            f"{name}.weight", (channels, per_group, kh, kw), per_group * kh * kw, gain
        )
        inputs = [x, self.constant(f"{name}.weight", weight)]
        if bias:
            values = self.weights.normal(f"{name}.bias", (channels,), 0.05)
            inputs.append(self.constant(f"{name}.bias", values))
        self.node(
            "Conv",
            inputs,
            name,
            kernel_shape=[kh, kw],
            strides=[stride, stride],
            pads=[ph, pw, ph, pw],
            dilations=[1, 1],
            group=group,
        )
        self._channels[name] = channels
        return name

    def batch_norm(self, x: str, name: str, *, scale: float = 1.0) -> str:
        """Batch normalisation with statistics near mean 0 and variance 1; `scale` is the middle of gamma."""
        shape = (self._channels[x],)
        make = self.weights
        parameters = {
            "gamma": make.uniform(f"{name}.gamma", shape, 0.8 * scale, 1.2 * scale),
            "beta": make.normal(f"{name}.beta", shape, 0.1),
            "mean": make.normal(f"{name}.mean", shape, 0.1),
            "var": make.uniform(f"{name}.var", shape, 0.8, 1.2),
        }
        names = [self.constant(f"{name}.{key}", value) for key, value in parameters.items()]
        return self.node("BatchNormalization", [x, *names], name, epsilon=1e-5)

    def relu(self, x: str, name: str) -> str:
        return self.node("Relu", [x], name)

    def pool(
        self, op: str, x: str, kernel: int, name: str, *, stride: int = 1, pad: int = 0
    ) -> str:
        """`op` is `MaxPool` or `AveragePool`; an average does not count the padding."""
        return self.node(
            op, [x], name, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4
        )

    def concat(self, parts: Sequence[str], name: str) -> str:
        channels = sum(self._channels[part] for part in parts)
        self.node("Concat", parts, name, axis=1)
        self._channels[name] = channels
        return name

    def global_average_pool(self, x: str, name: str) -> str:
        """[N, C, H, W] -> [N, C]."""
        pooled = self.node("GlobalAveragePool", [x], name)
        return self.node("Flatten", [pooled], f"{name}.flatten", axis=1)

    def dense(
        self, x: str, fan_in: int, features: int, name: str, *, gain: float = LINEAR_GAIN
    ) -> str:
        """[N, fan_in] -> [N, features], as `Gemm` with the weight in the transposed form of PyTorch."""
        weight = self.weights.he_normal(f"{name}.weight", (features, fan_in), fan_in, gain)
        bias = self.weights.normal(f"{name}.bias", (features,), 0.05)
        names = [self.constant(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)]
        self.node("Gemm", [x, *names], name, transB=1)
        self._channels[name] = features
        return name

    def linear(self, x: str, fan_in: int, features: int, name: str) -> str:
        """[..., fan_in] -> [..., features], as `MatMul` and `Add`."""
        weight = self.weights.he_normal(f"{name}.weight", (fan_in, features), fan_in, LINEAR_GAIN)
        bias = self.weights.normal(f"{name}.bias", (features,), 0.05)
        product = self.node(
            "MatMul", [x, self.constant(f"{name}.weight", weight)], f"{name}.matmul"
        )
        return self.node("Add", [product, self.constant(f"{name}.bias", bias)], name)

    def scalar(self, name: str, value: float) -> str:
        return self.constant(name, np.array(value, dtype=np.float32))

    def model(self) -> onnx.ModelProto:
        """The finished model. IR version 8 is the oldest that has all opsets used here."""
        graph = helper.make_graph(
            self._nodes, self.name, self._inputs, self._outputs, self._initializers
        )
        return helper.make_model(
            graph,
            ir_version=8,
            opset_imports=[helper.make_opsetid("", self.opset)],
            producer_name="webdnn.benchmarks",
        )
