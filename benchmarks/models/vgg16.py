"""VGG16, configuration D: Simonyan and Zisserman, "Very Deep Convolutional Networks", 2014 (arXiv:1409.1556)."""

import onnx

from .builder import GraphBuilder
from .weights import RELU_GAIN

# (convolutions, channels) of each group; each ends with a 2x2 max pool
GROUPS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))


def build() -> onnx.ModelProto:
    g = GraphBuilder("vgg16", opset=13)
    x = g.input("image", [1, 3, 224, 224], channels=3)
    for group, (layers, channels) in enumerate(GROUPS, start=1):
        for layer in range(1, layers + 1):
            name = f"{group}_{layer}"
            x = g.relu(g.conv(x, channels, 3, f"conv{name}", pad=1), f"relu{name}")
        x = g.pool("MaxPool", x, 2, f"pool{group}", stride=2)
    x = g.node("Flatten", [x], "flatten", axis=1)
    x = g.relu(g.dense(x, 512 * 7 * 7, 4096, "fc6", gain=RELU_GAIN), "relu6")
    x = g.relu(g.dense(x, 4096, 4096, "fc7", gain=RELU_GAIN), "relu7")
    x = g.dense(x, 4096, 1000, "fc8")
    g.output(g.node("Softmax", [x], "prob", axis=1), [1, 1000])
    return g.model()
