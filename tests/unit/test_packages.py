"""Every model, compiled for both back ends and run in wasmtime and wgpu, gives what ONNX Runtime gives."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import numpy as np
import pytest

import webdnn
from tests.models import all_models, model_case, reference
from tests.tolerances import assert_close
from webdnn.manifest import SCHEMA
from webdnn.package import ENGINES, Package
from webdnn.report import gzipped_code_bytes

NIGHTLY = ("vgg16", "bert", "light_vgg19", "inception_v3", "resnet50", "light_inception_v2")
"""Models that take minutes in an engine without a GPU."""
MAX_CODE_BYTES = 140_000
"""Gzipped, without the runtime: together they must stay under 150 KB."""

CASES = [
    pytest.param(name, marks=[pytest.mark.nightly] if name in NIGHTLY else [])
    for name in all_models()
]


@pytest.mark.parametrize("name", CASES)
def test_model(name: str, tmp_path: Path) -> None:
    case = model_case(name)
    expected = reference(case)
    package = webdnn.compile(case.path, shapes=case.shapes)
    jsonschema.validate(package.manifest, SCHEMA)
    package.save(tmp_path / "package")
    loaded = Package.load(tmp_path / "package")
    for engine, backend in ENGINES.items():
        results = loaded.run(case.inputs(), engine=engine)
        assert list(results) == list(expected)
        for output, array in results.items():
            assert_close(array, np.asarray(expected[output]), name, f"{output} on {backend}")
        assert gzipped_code_bytes(package, backend) < MAX_CODE_BYTES
