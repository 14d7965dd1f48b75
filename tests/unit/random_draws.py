"""Models that draw random numbers, on level `nn`."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from webdnn.dialects.dtypes import Array
from webdnn.dialects.numpy_meaning.program import run_module
from webdnn.frontends.onnx import load
from webdnn.lowering.onnx_to_nn.convert import convert_onnx_to_nn

SEED = 20111118
TYPES = {
    number: onnx.TensorProto.DataType.Name(number).lower()
    for number in onnx.TensorProto.DataType.values()
}
"""The names of element types as models spell them, by their numbers."""


def parsed(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 22]> test {text}')


def on_nn(
    model: onnx.ModelProto, inputs: Mapping[str, Array] | None = None, seed: int | None = SEED
) -> dict[str, Array]:
    """The outputs of a model on level `nn`."""
    imported = load(model, {})
    convert_onnx_to_nn(imported.module, imported.weights)
    imported.module.verify()
    return run_module(imported.module, imported.weights, inputs or {}, seed=seed)
