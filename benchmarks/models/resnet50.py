"""ResNet50: He et al., "Deep Residual Learning for Image Recognition", 2015 (arXiv:1512.03385).

The stride of a block that halves the map sits in its 3x3 convolution, as everybody trains it today (4.09 GMAC; with
the stride in the first 1x1 convolution it would be 3.86). Batch normalisation stays a node of its own.
"""

import onnx

from .builder import GraphBuilder
from .weights import LINEAR_GAIN

# (blocks, width) of conv2_x to conv5_x; a block's output has four times its width
STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))


def _conv_bn(
    g: GraphBuilder, x: str, channels: int, kernel: int, name: str, stride: int, relu: bool = True
) -> str:
    gain = 2.0**0.5 if relu else LINEAR_GAIN
    x = g.conv(x, channels, kernel, name, stride=stride, pad=kernel // 2, bias=False, gain=gain)
    # the branches of a sum are damped, so that 16 sums do not let the activations grow
    x = g.batch_norm(x, f"{name}/bn", scale=1.0 if relu else 0.7)
    return g.relu(x, f"{name}/relu") if relu else x


def _block(g: GraphBuilder, x: str, width: int, name: str, stride: int, project: bool) -> str:
    y = _conv_bn(g, x, width, 1, f"{name}/conv1", 1)
    y = _conv_bn(g, y, width, 3, f"{name}/conv2", stride)
    y = _conv_bn(g, y, 4 * width, 1, f"{name}/conv3", 1, relu=False)
    if project:
        x = _conv_bn(g, x, 4 * width, 1, f"{name}/shortcut", stride, relu=False)
    return g.relu(g.node("Add", [y, x], f"{name}/add"), f"{name}/relu")


def build() -> onnx.ModelProto:
    g = GraphBuilder("resnet50", opset=13)
    x = g.input("image", [1, 3, 224, 224], channels=3)
    x = _conv_bn(g, x, 64, 7, "conv1", 2)
    x = g.pool("MaxPool", x, 3, "pool1", stride=2, pad=1)
    for stage, (blocks, width) in enumerate(STAGES, start=2):
        for block in range(1, blocks + 1):
            stride = 2 if stage > 2 and block == 1 else 1
            x = _block(g, x, width, f"conv{stage}_{block}", stride, project=block == 1)
    x = g.global_average_pool(x, "pool5")
    x = g.dense(x, 2048, 1000, "fc1000")
    g.output(g.node("Softmax", [x], "prob", axis=1), [1, 1000])
    return g.model()
