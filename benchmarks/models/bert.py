"""An encoder of the size of BERT base: Devlin et al., "BERT", 2018 (arXiv:1810.04805)."""

import onnx

from .transformer import Config, build_encoder

CONFIG = Config("bert", layers=12, hidden=768, heads=12, intermediate=3072)


def build() -> onnx.ModelProto:
    return build_encoder(CONFIG)
