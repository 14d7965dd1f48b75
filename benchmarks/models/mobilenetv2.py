"""MobileNetV2, width 1.0: Sandler et al., "Inverted Residuals and Linear Bottlenecks", 2018 (arXiv:1801.04381)."""

import onnx

from .builder import GraphBuilder
from .weights import LINEAR_GAIN, RELU_GAIN

# (expansion t, output channels c, repeats n, stride of the first s): table 2 of the paper
BOTTLENECKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class _Network:
    def __init__(self) -> None:
        self.g = GraphBuilder("mobilenetv2", opset=13)
        self.zero = self.g.scalar("zero", 0.0)
        self.six = self.g.scalar("six", 6.0)

    def conv(
        self,
        x: str,
        channels: int,
        kernel: int,
        name: str,
        *,
        stride: int = 1,
        group: int = 1,
        relu6: bool = True,
    ) -> str:
        gain = RELU_GAIN if relu6 else LINEAR_GAIN
        x = self.g.conv(
            x,
            channels,
            kernel,
            name,
            stride=stride,
            pad=kernel // 2,
            group=group,
            bias=False,
            gain=gain,
        )
        x = self.g.batch_norm(x, f"{name}/bn")
        return self.g.node("Clip", [x, self.zero, self.six], f"{name}/relu6") if relu6 else x

    def bottleneck(
        self, x: str, channels_in: int, expansion: int, channels: int, stride: int, name: str
    ) -> str:
        hidden = channels_in * expansion
        y = x
        if expansion != 1:
            y = self.conv(y, hidden, 1, f"{name}/expand")
        y = self.conv(y, hidden, 3, f"{name}/depthwise", stride=stride, group=hidden)
        y = self.conv(y, channels, 1, f"{name}/project", relu6=False)
        if stride == 1 and channels == channels_in:
            y = self.g.node("Add", [x, y], f"{name}/add")
        return y


def build() -> onnx.ModelProto:
    net = _Network()
    g = net.g
    x = g.input("image", [1, 3, 224, 224], channels=3)
    x = net.conv(x, 32, 3, "conv1", stride=2)
    channels_in = 32
    number = 0
    for expansion, channels, repeats, first_stride in BOTTLENECKS:
        for repeat in range(repeats):
            number += 1
            stride = first_stride if repeat == 0 else 1
            x = net.bottleneck(x, channels_in, expansion, channels, stride, f"bottleneck{number}")
            channels_in = channels
    x = net.conv(x, 1280, 1, "conv_last")
    x = g.global_average_pool(x, "pool")
    x = g.dense(x, 1280, 1000, "classifier")
    g.output(g.node("Softmax", [x], "prob", axis=1), [1, 1000])
    return g.model()
