"""ONNX's node tests with symbols in the sizes of their inputs: the right values, or an error that says what to bind."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from tests.conformance.cases import Case, bound, node_cases
from tests.unit.symbolic_models import lowered_to_nn
from webdnn.dialects.errors import InternalError, WebDNNError
from webdnn.dialects.numpy_meaning.program import run_module

SAMPLED = 23
"""Of so many cases CI runs one."""


def _is_of_arrays(case: Case) -> bool:
    return all(
        value.type.tensor_type.elem_type not in (0, onnx.TensorProto.STRING)
        for value in [*case.model.graph.input, *case.model.graph.output]
    )


def _check(case: Case) -> None:
    inputs, expected = case.data_sets[0]
    made, arrays = bound(case.model, inputs)
    model = onnx.ModelProto()
    model.CopyFrom(made)
    dims: dict[str, str] = {}
    for value in model.graph.input:
        shape = value.type.tensor_type.shape.dim
        for axis, dim in enumerate(shape):
            if dim.dim_value >= 2 and (axis != 1 or len(shape) == 2):
                dim.dim_param = f"d{dim.dim_value}"
                size = int(dim.dim_param[1:])
                dims[dim.dim_param] = f"{size - 1}..{size + 2}"
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        module, weights = lowered_to_nn(model, dims)
    except InternalError:
        raise
    except WebDNNError:
        return
    names = [value.name for value in model.graph.input]
    results = run_module(module, weights, dict(zip(names, arrays, strict=True)))
    for got, want in zip(results.values(), expected, strict=True):
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
        np.testing.assert_allclose(
            got.astype(np.complex128),
            want.astype(np.complex128),
            rtol=max(case.rtol, 1e-3),
            atol=max(case.atol, 2e-2 if want.dtype.itemsize == 2 else 1e-4),
        )


NAMES = [name for name, case in node_cases().items() if _is_of_arrays(case)]


@pytest.mark.parametrize("name", NAMES[::SAMPLED])
def test_a_sample_of_operators(name: str) -> None:
    _check(node_cases()[name])


@pytest.mark.nightly
@pytest.mark.parametrize("name", NAMES)
def test_operators(name: str) -> None:
    _check(node_cases()[name])
