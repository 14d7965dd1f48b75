"""An encoder of the size of MiniLM-L6-H384: Wang et al., "MiniLM", 2020 (arXiv:2002.10957)."""

import onnx

from .transformer import Config, build_encoder

CONFIG = Config("minilm", layers=6, hidden=384, heads=12, intermediate=1536, decomposed_norm=True)


def build() -> onnx.ModelProto:
    return build_encoder(CONFIG)
