"""ResNet50 in 8 bits: see `quantised`."""

import onnx

from ..inputs import photograph
from . import resnet50
from .quantised import quantise_static


def build() -> onnx.ModelProto:
    pixels = (photograph(224, 224) - 0.45) / 0.225
    return quantise_static(resnet50.build(), pixels.transpose(2, 0, 1)[None].astype("float32"))
