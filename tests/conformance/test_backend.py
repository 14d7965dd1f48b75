"""The classes that ONNX's own test runner takes."""

from __future__ import annotations

import unittest

import pytest
from onnx.backend.test import BackendTest

from tests.conformance.backend import WasmBackend, WebGPUBackend
from tests.conformance.cases import compare, node_cases


@pytest.mark.parametrize("backend", [WasmBackend, WebGPUBackend])
def test_prepare_and_run(backend: type[WasmBackend]) -> None:
    assert backend.supports_device("CPU") and not backend.supports_device("CUDA")
    case = node_cases()["test_gemm_all_attributes"]
    ((inputs, outputs),) = case.data_sets
    compare(case, list(backend.prepare(case.model).run(inputs)), outputs)


def test_onnx_runner_takes_the_backend() -> None:
    runner = BackendTest(WasmBackend, __name__)
    runner.include(r"test_reshape_negative_dim_cpu").include(r"test_squeeze_cpu")
    suite = unittest.TestSuite(
        unittest.defaultTestLoader.loadTestsFromTestCase(case)
        for case in runner.test_cases.values()
    )
    result = unittest.TestResult()
    suite.run(result)
    assert result.testsRun > len(result.skipped)
    assert not result.failures and not result.errors
