"""Every stage of every model, run in numpy, gives what ONNX Runtime gives."""

from __future__ import annotations

import numpy as np
import pytest

from tests.models import all_models, model_case, reference
from tests.tolerances import assert_close
from webdnn.dialects.numpy_meaning.program import run_module
from webdnn.dialects.weight_store import attach_weights
from webdnn.frontends.onnx import load
from webdnn.passes import apply_pass, context
from webdnn.stages import passes_between
from webdnn.targets import TARGETS

LOOPS = ("magika", "rapidocr_cls", "light_squeezenet")
"""Models whose loops are run here too; those of the others take minutes and are run nightly."""
STAGES = ("nn", "linalg", "kernels", "loops")
LARGE = ("vgg16", "bert", "light_vgg19")


def _parameters() -> list[object]:
    parameters: list[object] = []
    for name in all_models():
        for target in TARGETS:
            last = "loops" if name in LOOPS else "kernels"
            marks = [pytest.mark.nightly] if name in LARGE else []
            parameters.append(pytest.param(name, target, last, marks=marks, id=f"{name}-{target}"))
            if last != "loops":
                mark = pytest.mark.nightly
                parameters.append(
                    pytest.param(name, target, "loops", marks=mark, id=f"{name}-{target}-loops")
                )
    return parameters


@pytest.mark.parametrize(("name", "target", "last"), _parameters())
def test_stages(name: str, target: str, last: str) -> None:
    case = model_case(name)
    expected = reference(case)
    imported = load(case.path, case.shapes)
    attach_weights(imported.module, imported.weights)
    ctx = context()
    before = "onnx"
    for stage in STAGES[: STAGES.index(last) + 1]:
        for _, step in passes_between(before, stage, target):
            apply_pass(step, ctx, imported.module)
        imported.module.verify()
        before = stage
        if stage in ("nn", last):
            results = run_module(imported.module, imported.weights, case.inputs())
            assert list(results) == list(expected)
            for output, array in results.items():
                assert_close(array, np.asarray(expected[output]), name, f"{output} at {stage}")
