"""Whole models on level `onnx`: they verify, print, parse again, and mean what ONNX Runtime computes."""

from __future__ import annotations

import numpy as np
import pytest

from tests.models import all_models, model_case, reference
from tests.unit.test_onnx_import import check_text, text_of
from webdnn.dialects.numpy_meaning.onnx import run_module
from webdnn.dialects.onnx import WeightOp
from webdnn.dialects.onnx.types import type_of_array
from webdnn.frontends.onnx import load

TO_RUN = ("magika", "rapidocr_cls", "light_squeezenet", "mobilenetv2")
LARGE = ("vgg16", "bert", "light_vgg19")
"""Models whose weights take long to make; what is tested here does not depend on the size of weights."""


@pytest.mark.parametrize("name", [name for name in all_models() if name not in LARGE])
def test_text(name: str) -> None:
    case = model_case(name)
    imported = load(case.path, case.shapes)
    check_text(imported)
    assert len(text_of(imported.module)) < 600_000
    for op in imported.module.walk():
        if isinstance(op, WeightOp):
            assert op.res.type == type_of_array(imported.weights[op.key.data])


@pytest.mark.parametrize("name", TO_RUN)
def test_meaning(name: str) -> None:
    case = model_case(name)
    imported = load(case.path, case.shapes)
    results = run_module(imported.module, imported.weights, list(case.inputs().values()))
    for result, wanted in zip(results, reference(case).values(), strict=True):
        assert result.dtype == wanted.dtype and result.shape == wanted.shape
        assert np.abs(result - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_weights_are_not_copied() -> None:
    """The initializers of a file are views of one memory map."""
    case = model_case("light_squeezenet")
    imported = load(case.path, case.shapes)
    big = [array for array in imported.weights.values() if array.nbytes > 4096]
    assert big and all(not array.flags.writeable and not array.flags.owndata for array in big)
