"""Whole models on level `nn`: lowered, rearranged by its passes, run in numpy and compared with ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.func import FuncOp

from tests.models import model_case, reference
from webdnn.dialects.numpy_meaning.nn import run_nn_block
from webdnn.dialects.weight_store import attach_weights
from webdnn.frontends.onnx import load
from webdnn.lowering.nn.fold_channel_affine import FoldScaleIntoConv
from webdnn.lowering.nn.sink_transposes import SinkTransposes
from webdnn.lowering.onnx_to_nn.convert import ConvertOnnxToNN
from webdnn.lowering.onnx_to_nn.registry import inlined_operators

TOLERANCES = {
    "multistyle26": 1e-4,  # a chain of 18 normalisations: ONNX Runtime is 3e-5 away from a computation in f64
    "rapidocr_det": 5e-5,  # ONNX Runtime is 2e-5 away from a computation in f64
    "basic_pitch": 5e-4,  # logarithms of faint spectra: ONNX Runtime is 1.6e-3 away from a computation in f64
}
"""Of the range of an output, where 1e-5 is too strict."""

MODELS = [
    "multistyle26", "magika", "rapidocr_det", "rapidocr_cls", "rapidocr_rec", "basic_pitch",
    "light_squeezenet", "light_shufflenet", "light_densenet121", "light_inception_v1", "light_inception_v2",
    "light_resnet50", "mobilenetv2", "minilm",
]  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_model_on_nn_agrees_with_onnx_runtime(name: str) -> None:
    case = model_case(name)
    imported = load(case.path, case.shapes, inline=inlined_operators())
    attach_weights(imported.module, imported.weights)
    for step in (ConvertOnnxToNN(), SinkTransposes(), FoldScaleIntoConv()):
        step.apply(Context(), imported.module)
    imported.module.verify()
    function = next(op for op in imported.module.ops if isinstance(op, FuncOp))
    inputs = case.inputs()
    results = run_nn_block(function.body.block, tuple(inputs.values()), imported.weights)
    expected = reference(case)
    assert len(results) == len(expected)
    for got, (output, want) in zip(results, expected.items(), strict=True):
        assert got.dtype == want.dtype and got.shape == want.shape, output
        span = np.abs(want).max() or 1.0
        assert np.abs(got - want).max() / span <= TOLERANCES.get(name, 1e-5), output
