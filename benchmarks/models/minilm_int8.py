"""MiniLM in 8 bits: see `quantised`."""

import onnx

from . import minilm
from .quantised import quantise_dynamic


def build() -> onnx.ModelProto:
    return quantise_dynamic(minilm.build())
