"""SqueezeNet 1.1: Iandola et al., "SqueezeNet", 2016 (arXiv:1602.07360), and version 1.1 of its authors' release."""

import onnx

from .builder import GraphBuilder
from .weights import LINEAR_GAIN

# (squeeze, expand) of fire2 to fire9; a 3x3 max pool of stride 2 stands before fire2, fire4 and fire6
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
POOL_BEFORE = (2, 4, 6)


def _fire(g: GraphBuilder, x: str, squeeze: int, expand: int, name: str) -> str:
    x = g.relu(g.conv(x, squeeze, 1, f"{name}/squeeze1x1"), f"{name}/relu_squeeze1x1")
    a = g.relu(g.conv(x, expand, 1, f"{name}/expand1x1"), f"{name}/relu_expand1x1")
    b = g.relu(g.conv(x, expand, 3, f"{name}/expand3x3", pad=1), f"{name}/relu_expand3x3")
    return g.concat([a, b], f"{name}/concat")


def build() -> onnx.ModelProto:
    g = GraphBuilder("squeezenet", opset=13)
    x = g.input("image", [1, 3, 224, 224], channels=3)
    x = g.relu(g.conv(x, 64, 3, "conv1", stride=2), "relu_conv1")
    for number, (squeeze, expand) in enumerate(FIRES, start=2):
        if number in POOL_BEFORE:
            x = g.pool("MaxPool", x, 3, f"pool{number - 1}", stride=2)
        x = _fire(g, x, squeeze, expand, f"fire{number}")
    x = g.relu(g.conv(x, 1000, 1, "conv10", gain=LINEAR_GAIN), "relu_conv10")
    x = g.global_average_pool(x, "pool10")
    g.output(g.node("Softmax", [x], "prob", axis=1), [1, 1000])
    return g.model()
