"""Inception-v3: Szegedy et al., "Rethinking the Inception Architecture", 2015 (arXiv:1512.00567).

The layer names and the exact widths are those of the authors' released network, without the auxiliary classifier, which
only training uses. Average pools do not count the padding, as there.
"""

import onnx

from .builder import GraphBuilder


class _Network:
    def __init__(self) -> None:
        self.g = GraphBuilder("inception_v3", opset=13)

    def conv(
        self,
        x: str,
        channels: int,
        kernel: int | tuple[int, int],
        name: str,
        *,
        stride: int = 1,
        same: bool = True,
    ) -> str:
        """Convolution, batch normalisation and ReLU; `same` pads for an output of the input's size."""
        kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
        pad = (kh // 2, kw // 2) if same else (0, 0)
        x = self.g.conv(x, channels, (kh, kw), name, stride=stride, pad=pad, bias=False)
        return self.g.relu(self.g.batch_norm(x, f"{name}/bn"), f"{name}/relu")

    def average(self, x: str, name: str) -> str:
        return self.g.pool("AveragePool", x, 3, name, pad=1)

    def mixed_35(self, x: str, pool_channels: int, name: str) -> str:
        """Figure 5 of the paper, on the 35x35 grid."""
        a = self.conv(x, 64, 1, f"{name}/branch1x1")
        b = self.conv(x, 48, 1, f"{name}/branch5x5_1")
        b = self.conv(b, 64, 5, f"{name}/branch5x5_2")
        c = self.conv(x, 64, 1, f"{name}/branch3x3dbl_1")
        c = self.conv(c, 96, 3, f"{name}/branch3x3dbl_2")
        c = self.conv(c, 96, 3, f"{name}/branch3x3dbl_3")
        d = self.conv(self.average(x, f"{name}/pool"), pool_channels, 1, f"{name}/branch_pool")
        return self.g.concat([a, b, c, d], name)

    def reduce_35(self, x: str, name: str) -> str:
        a = self.conv(x, 384, 3, f"{name}/branch3x3", stride=2, same=False)
        b = self.conv(x, 64, 1, f"{name}/branch3x3dbl_1")
        b = self.conv(b, 96, 3, f"{name}/branch3x3dbl_2")
        b = self.conv(b, 96, 3, f"{name}/branch3x3dbl_3", stride=2, same=False)
        c = self.g.pool("MaxPool", x, 3, f"{name}/branch_pool", stride=2)
        return self.g.concat([a, b, c], name)

    def mixed_17(self, x: str, width: int, name: str) -> str:
        """Figure 6 of the paper with n = 7, on the 17x17 grid."""
        a = self.conv(x, 192, 1, f"{name}/branch1x1")
        b = self.conv(x, width, 1, f"{name}/branch7x7_1")
        b = self.conv(b, width, (1, 7), f"{name}/branch7x7_2")
        b = self.conv(b, 192, (7, 1), f"{name}/branch7x7_3")
        c = self.conv(x, width, 1, f"{name}/branch7x7dbl_1")
        c = self.conv(c, width, (7, 1), f"{name}/branch7x7dbl_2")
        c = self.conv(c, width, (1, 7), f"{name}/branch7x7dbl_3")
        c = self.conv(c, width, (7, 1), f"{name}/branch7x7dbl_4")
        c = self.conv(c, 192, (1, 7), f"{name}/branch7x7dbl_5")
        d = self.conv(self.average(x, f"{name}/pool"), 192, 1, f"{name}/branch_pool")
        return self.g.concat([a, b, c, d], name)

    def reduce_17(self, x: str, name: str) -> str:
        a = self.conv(x, 192, 1, f"{name}/branch3x3_1")
        a = self.conv(a, 320, 3, f"{name}/branch3x3_2", stride=2, same=False)
        b = self.conv(x, 192, 1, f"{name}/branch7x7x3_1")
        b = self.conv(b, 192, (1, 7), f"{name}/branch7x7x3_2")
        b = self.conv(b, 192, (7, 1), f"{name}/branch7x7x3_3")
        b = self.conv(b, 192, 3, f"{name}/branch7x7x3_4", stride=2, same=False)
        c = self.g.pool("MaxPool", x, 3, f"{name}/branch_pool", stride=2)
        return self.g.concat([a, b, c], name)

    def mixed_8(self, x: str, name: str) -> str:
        """Figure 7 of the paper, on the 8x8 grid: the 3x3 layers are split side by side."""
        a = self.conv(x, 320, 1, f"{name}/branch1x1")
        b = self.conv(x, 384, 1, f"{name}/branch3x3_1")
        c = self.conv(x, 448, 1, f"{name}/branch3x3dbl_1")
        c = self.conv(c, 384, 3, f"{name}/branch3x3dbl_2")
        halves = [
            self.conv(b, 384, (1, 3), f"{name}/branch3x3_2a"),
            self.conv(b, 384, (3, 1), f"{name}/branch3x3_2b"),
            self.conv(c, 384, (1, 3), f"{name}/branch3x3dbl_3a"),
            self.conv(c, 384, (3, 1), f"{name}/branch3x3dbl_3b"),
        ]
        d = self.conv(self.average(x, f"{name}/pool"), 192, 1, f"{name}/branch_pool")
        return self.g.concat([a, *halves, d], name)


def build() -> onnx.ModelProto:
    net = _Network()
    g = net.g
    x = g.input("image", [1, 3, 299, 299], channels=3)
    x = net.conv(x, 32, 3, "Conv2d_1a_3x3", stride=2, same=False)
    x = net.conv(x, 32, 3, "Conv2d_2a_3x3", same=False)
    x = net.conv(x, 64, 3, "Conv2d_2b_3x3")
    x = g.pool("MaxPool", x, 3, "MaxPool_3a_3x3", stride=2)
    x = net.conv(x, 80, 1, "Conv2d_3b_1x1")
    x = net.conv(x, 192, 3, "Conv2d_4a_3x3", same=False)
    x = g.pool("MaxPool", x, 3, "MaxPool_5a_3x3", stride=2)
    x = net.mixed_35(x, 32, "Mixed_5b")
    x = net.mixed_35(x, 64, "Mixed_5c")
    x = net.mixed_35(x, 64, "Mixed_5d")
    x = net.reduce_35(x, "Mixed_6a")
    for width, name in ((128, "6b"), (160, "6c"), (160, "6d"), (192, "6e")):
        x = net.mixed_17(x, width, f"Mixed_{name}")
    x = net.reduce_17(x, "Mixed_7a")
    x = net.mixed_8(x, "Mixed_7b")
    x = net.mixed_8(x, "Mixed_7c")
    x = g.global_average_pool(x, "AvgPool_8a")
    x = g.dense(x, 2048, 1000, "Logits")
    g.output(g.node("Softmax", [x], "Predictions", axis=1), [1, 1000])
    return g.model()
