"""Public networks of Caffe as text: their topologies, with fewer channels where `divide` is more than 1."""

from __future__ import annotations

from collections.abc import Callable

from tests.unit.caffe_models import input_layer, layer


class Text:
    """A network that grows by layers that read what the last one made."""

    def __init__(self, divide: int, **shapes: tuple[int, ...]) -> None:
        self.divide = divide
        self.text = input_layer(**shapes)
        self.last = next(iter(shapes))

    def add(self, type: str, name: str, parameters: str = "", bottoms: str = "") -> str:
        self.text += layer(type, bottoms or self.last, name, parameters)
        self.last = name
        return name

    def in_place(self, type: str, name: str, parameters: str = "") -> None:
        self.text += layer(type, self.last, self.last, parameters, name)

    def conv(
        self, name: str, channels: int, parameters: str, *, bottom: str = "", relu: bool = True
    ) -> str:
        """A convolution and, in place, a ReLU."""
        channels = max(1, channels // self.divide)
        self.add(
            "Convolution",
            name,
            f"convolution_param {{ num_output: {channels} {parameters} }}",
            bottom,
        )
        if relu:
            self.in_place("ReLU", f"{name}/relu")
        return name

    def pool(self, name: str, parameters: str, bottom: str = "") -> str:
        return self.add("Pooling", name, f"pooling_param {{ {parameters} }}", bottom)

    def dense(self, name: str, count: int, *, whole: bool = False) -> None:
        count = count if whole else max(1, count // self.divide)
        self.add("InnerProduct", name, f"inner_product_param {{ num_output: {count} }}")


def alexnet(divide: int = 1) -> str:
    net = Text(divide, data=(1, 3, 227, 227))
    norm = "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }"
    net.conv("conv1", 96, "kernel_size: 11 stride: 4")
    net.add("LRN", "norm1", norm)
    net.pool("pool1", "kernel_size: 3 stride: 2")
    net.conv("conv2", 256, "kernel_size: 5 pad: 2 group: 2")
    net.add("LRN", "norm2", norm)
    net.pool("pool2", "kernel_size: 3 stride: 2")
    net.conv("conv3", 384, "kernel_size: 3 pad: 1")
    net.conv("conv4", 384, "kernel_size: 3 pad: 1 group: 2")
    net.conv("conv5", 256, "kernel_size: 3 pad: 1 group: 2")
    net.pool("pool5", "kernel_size: 3 stride: 2")
    for name in ("fc6", "fc7"):
        net.dense(name, 4096)
        net.in_place("ReLU", f"{name}/relu")
        net.in_place("Dropout", f"{name}/drop", "dropout_param { dropout_ratio: 0.5 }")
    net.dense("fc8", 1000, whole=True)
    net.add("Softmax", "prob")
    return net.text


INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def googlenet(divide: int = 1) -> str:
    net = Text(divide, data=(1, 3, 224, 224))
    net.conv("conv1", 64, "kernel_size: 7 stride: 2 pad: 3")
    net.pool("pool1", "kernel_size: 3 stride: 2")
    net.add("LRN", "norm1", "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }")
    net.conv("conv2/reduce", 64, "kernel_size: 1")
    net.conv("conv2", 192, "kernel_size: 3 pad: 1")
    net.add("LRN", "norm2", "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }")
    net.pool("pool2", "kernel_size: 3 stride: 2")
    for name, (one, before3, three, before5, five, pooled) in INCEPTIONS.items():
        x = net.last
        parts = [net.conv(f"{name}/1x1", one, "kernel_size: 1", bottom=x)]
        net.conv(f"{name}/3x3/reduce", before3, "kernel_size: 1", bottom=x)
        parts.append(net.conv(f"{name}/3x3", three, "kernel_size: 3 pad: 1"))
        net.conv(f"{name}/5x5/reduce", before5, "kernel_size: 1", bottom=x)
        parts.append(net.conv(f"{name}/5x5", five, "kernel_size: 5 pad: 2"))
        net.pool(f"{name}/pool", "kernel_size: 3 stride: 1 pad: 1", x)
        parts.append(net.conv(f"{name}/pool/1x1", pooled, "kernel_size: 1"))
        net.add("Concat", f"{name}/output", "", " ".join(parts))
        if name in ("3b", "4e"):
            net.pool(f"{name}/down", "kernel_size: 3 stride: 2")
    net.pool("pool5", "pool: AVE kernel_size: 7 stride: 1")
    net.in_place("Dropout", "pool5/drop")
    net.dense("classifier", 1000, whole=True)
    net.add("Softmax", "prob")
    return net.text


def resnet50(divide: int = 1) -> str:
    net = Text(divide, data=(1, 3, 224, 224))

    def normalised(name: str, channels: int, parameters: str, bottom: str, relu: bool) -> str:
        net.conv(name, channels, f"bias_term: false {parameters}", bottom=bottom, relu=False)
        net.in_place("BatchNorm", f"bn_{name}", "batch_norm_param { use_global_stats: true }")
        net.in_place("Scale", f"scale_{name}", "scale_param { bias_term: true }")
        if relu:
            net.in_place("ReLU", f"{name}/relu")
        return name

    normalised("conv1", 64, "kernel_size: 7 stride: 2 pad: 3", "data", True)
    x = net.pool("pool1", "kernel_size: 3 stride: 2")
    for stage, (blocks, channels) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), 2):
        for block in "abcdef"[:blocks]:
            name = f"res{stage}{block}"
            stride = "stride: 2" if block == "a" and stage > 2 else ""
            short = x
            if block == "a":
                short = normalised(
                    f"{name}_1", 4 * channels, f"kernel_size: 1 {stride}", x, relu=False
                )
            a = normalised(f"{name}_2a", channels, f"kernel_size: 1 {stride}", x, relu=True)
            b = normalised(f"{name}_2b", channels, "kernel_size: 3 pad: 1", a, relu=True)
            c = normalised(f"{name}_2c", 4 * channels, "kernel_size: 1", b, relu=False)
            x = net.add("Eltwise", name, "eltwise_param { operation: SUM }", f"{short} {c}")
            net.in_place("ReLU", f"{name}_relu")
    net.pool("pool5", "pool: AVE kernel_size: 7 stride: 1")
    net.dense("fc1000", 1000, whole=True)
    net.add("Softmax", "prob")
    return net.text


def squeezenet(divide: int = 1) -> str:
    """Version 1.1."""
    net = Text(divide, data=(1, 3, 227, 227))
    net.conv("conv1", 64, "kernel_size: 3 stride: 2")
    net.pool("pool1", "kernel_size: 3 stride: 2")
    fires = {2: (16, 64), 3: (16, 64), 4: (32, 128), 5: (32, 128)}
    fires |= {6: (48, 192), 7: (48, 192), 8: (64, 256), 9: (64, 256)}
    for number, (squeezed, expanded) in fires.items():
        name = f"fire{number}"
        x = net.conv(f"{name}/squeeze", squeezed, "kernel_size: 1")
        parts = [
            net.conv(f"{name}/expand1x1", expanded, "kernel_size: 1", bottom=x),
            net.conv(f"{name}/expand3x3", expanded, "kernel_size: 3 pad: 1", bottom=x),
        ]
        net.add("Concat", f"{name}/concat", "", " ".join(parts))
        if number in (3, 5):
            net.pool(f"pool{number}", "kernel_size: 3 stride: 2")
    net.in_place("Dropout", "drop9")
    net.conv("conv10", 1000 * divide, "kernel_size: 1")
    net.pool("pool10", "pool: AVE global_pooling: true")
    net.add("Softmax", "prob")
    return net.text


def ssd(divide: int = 1, classes: int = 21, *, detections: bool = True) -> str:
    """SSD300 on VGG16."""
    net = Text(divide, data=(1, 3, 300, 300))
    for stage, (count, channels) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), 1):
        for index in range(1, count + 1):
            net.conv(f"conv{stage}_{index}", channels, "kernel_size: 3 pad: 1")
        shape = "kernel_size: 2 stride: 2" if stage < 5 else "kernel_size: 3 stride: 1 pad: 1"
        net.pool(f"pool{stage}", shape)
    net.conv("fc6", 1024, "kernel_size: 3 pad: 6 dilation: 6")
    sources = [("conv4_3_norm", 30, 60, 8, 1), (net.conv("fc7", 1024, "kernel_size: 1"), 60, 111, 16, 2)]  # fmt: skip
    extras = (
        ("conv6", 256, 512, "pad: 1 stride: 2", 111, 162, 32, 2),
        ("conv7", 128, 256, "pad: 1 stride: 2", 162, 213, 64, 2),
        ("conv8", 128, 256, "", 213, 264, 100, 1),
        ("conv9", 128, 256, "", 264, 315, 300, 1),
    )
    for name, narrow, wide, parameters, least, most, step, ratios in extras:
        net.conv(f"{name}_1", narrow, "kernel_size: 1")
        x = net.conv(f"{name}_2", wide, f"kernel_size: 3 {parameters}")
        sources.append((x, least, most, step, ratios))
    net.add(
        "Normalize", "conv4_3_norm", "norm_param { across_spatial: false channel_shared: false }", "conv4_3"
    )  # fmt: skip
    parts: dict[str, list[str]] = {"loc": [], "conf": [], "priorbox": []}
    for x, least, most, step, ratios in sources:
        boxes = 2 + 2 * ratios
        for kind, count in (("loc", 4 * boxes), ("conf", classes * boxes)):
            name = f"{x}_mbox_{kind}"
            net.conv(name, count * divide, "kernel_size: 3 pad: 1", bottom=x, relu=False)
            net.add(
                "Permute", f"{name}_perm", "permute_param { order: 0 order: 2 order: 3 order: 1 }"
            )
            parts[kind].append(net.add("Flatten", f"{name}_flat", "flatten_param { axis: 1 }"))
        aspects = " ".join(f"aspect_ratio: {ratio}" for ratio in (2, 3)[:ratios])
        parts["priorbox"].append(
            net.add(
                "PriorBox",
                f"{x}_mbox_priorbox",
                f"""prior_box_param {{ min_size: {least} max_size: {most} {aspects} flip: true clip: false step: {step}
                    offset: 0.5 variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 }}""",
                f"{x} data",
            )
        )
    for kind, names in parts.items():
        axis = 2 if kind == "priorbox" else 1
        net.add("Concat", f"mbox_{kind}", f"concat_param {{ axis: {axis} }}", " ".join(names))
    rows = f"reshape_param {{ shape {{ dim: 0 dim: -1 dim: {classes} }} }}"
    net.add("Reshape", "conf_rows", rows, "mbox_conf")
    net.add("Softmax", "conf_softmax", "softmax_param { axis: 2 }")
    net.add("Flatten", "conf_flat", "flatten_param { axis: 1 }")
    if detections:
        net.add(
            "DetectionOutput",
            "detection_out",
            f"""detection_output_param {{ num_classes: {classes} nms_param {{ nms_threshold: 0.45 top_k: 100 }}
                code_type: CENTER_SIZE keep_top_k: 50 confidence_threshold: 0.01 }}""",
            "mbox_loc conf_flat mbox_priorbox",
        )
    return net.text


NETWORKS: dict[str, Callable[[int], str]] = {
    "alexnet": alexnet,
    "googlenet": googlenet,
    "resnet50": resnet50,
    "squeezenet": squeezenet,
    "ssd": lambda divide: ssd(divide, classes=5 if divide > 1 else 21),
}
