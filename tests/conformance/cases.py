"""ONNX's own node tests: a model of one node each, its inputs and its expected outputs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx.backend.test.loader import load_model_tests

from webdnn.dialects.onnx import op_class
from webdnn.dialects.onnx.attributes import tensor_to_proto
from webdnn.lowering.onnx_to_nn.folding import DRAWING, SHAPE_ONLY
from webdnn.lowering.onnx_to_nn.registry import find_lowering

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    """One test; each data set is a pair of inputs and outputs, which are arrays, or lists of them for sequences."""

    name: str
    model: onnx.ModelProto
    data_sets: Sequence[tuple[list[Any], list[Any]]]
    rtol: float
    atol: float

    @property
    def operators(self) -> list[str]:
        """The operators of the model, with their domain where it is not ONNX's."""
        return [f"{n.domain}.{n.op_type}".lstrip(".") for n in self.model.graph.node]

    @property
    def is_random(self) -> bool:
        """Whether it draws random numbers, which are others in each implementation."""
        return not DRAWING.isdisjoint(self.operators)


def _array(value: Any) -> Any:
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, np.generic | float | int) else value


@cache
def node_cases() -> dict[str, Case]:
    """All node tests by name."""
    cases: dict[str, Case] = {}
    with warnings.catch_warnings(action="ignore"):  # the cases divide by zero when they are made
        loaded = load_model_tests(kind="node")
    for case in loaded:
        assert case.model is not None and case.data_sets is not None
        data = [([_array(v) for v in i], [_array(v) for v in o]) for i, o in case.data_sets]
        cases[case.name] = Case(case.name, case.model, data, case.rtol, case.atol)
    return dict(sorted(cases.items()))


def bound(model: onnx.ModelProto, inputs: Sequence[Any]) -> tuple[onnx.ModelProto, list[Any]]:
    """The model with those inputs as constants that decide about shapes, and the inputs that are left.

    ONNX's tests hand over everything as inputs: axes and target shapes too, which are compile-time constants here.
    """
    static: set[str] = set()
    opsets = {i.domain: i.version for i in model.opset_import}
    for node in reversed(model.graph.node):
        op = op_class(node.op_type, opsets.get(node.domain, 1), node.domain)
        entry = None if op is None else find_lowering(op)
        if entry is not None:
            static.update(node.input[i] for i in entry.static if i < len(node.input))
        # What such a value is computed from has to be known too, but for what only its shape is asked of.
        if static.intersection(node.output) and node.op_type not in SHAPE_ONLY:
            static.update(node.input)
    names = [v.name for v in model.graph.input]
    values = dict(zip(names, inputs, strict=False))
    constants = {n: v for n, v in values.items() if n in static and isinstance(v, np.ndarray)}
    if not constants:
        return model, list(inputs)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.input[:]
    copy.graph.input.extend(v for v in model.graph.input if v.name not in constants)
    copy.graph.initializer.extend(tensor_to_proto(v, n) for n, v in constants.items())
    return copy, [v for n, v in values.items() if n not in constants]


def must_pass(level: str) -> list[str]:
    """The names of the tests that must pass on a level; the list may only grow."""
    return (FOLDER / f"{level}_must_pass.txt").read_text().split()


def compare(case: Case, actual: Sequence[Any], expected: Sequence[Any]) -> None:
    """The same types and shapes, and values within the test's own tolerance, unless they are random."""
    assert len(actual) == len(expected)
    for got, want in zip(actual, expected, strict=True):
        want = np.asarray(want)
        assert got.dtype == want.dtype, f"{got.dtype} in place of {want.dtype}"
        assert got.shape == want.shape, f"{got.shape} in place of {want.shape}"
        if case.is_random:
            continue
        if want.dtype.kind in "biu":
            np.testing.assert_array_equal(got, want)
        else:
            wide = np.complex128 if want.dtype.kind == "c" else np.float64
            np.testing.assert_allclose(
                got.astype(wide), want.astype(wide), rtol=case.rtol, atol=case.atol
            )
