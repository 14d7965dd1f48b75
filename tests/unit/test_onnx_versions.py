"""The import of models of older opsets: operators come out in the newest one, with the same meaning."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx.helper import make_node

from tests.unit.onnx_import import (
    NEWEST,
    Array,
    check_meaning,
    check_text,
    feeds_of,
    ops_of,
    run_session,
    text_of,
)
from tests.unit.onnx_models import model_of, tensor
from webdnn.dialects.numpy_meaning.onnx import run_module
from webdnn.frontends.onnx import load

OPSETS = [7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23]


@pytest.mark.parametrize("opset", OPSETS)
def test_opsets(opset: int) -> None:
    """Operators that changed between opsets come out in the newest one, with the same meaning."""
    nodes = [
        make_node("Unsqueeze", ["x"], ["a"], name="U", axes=[0])
        if opset < 13
        else make_node("Unsqueeze", ["x", "axes"], ["a"], name="U"),
        make_node("Softmax", ["a"], ["b"], name="S", axis=2),
        make_node("Clip", ["b"], ["c"], name="C", min=0.1, max=0.4)
        if opset < 11
        else make_node("Clip", ["b", "lo", "hi"], ["c"], name="C"),
        make_node("ReduceSum", ["c"], ["y"], name="R", axes=[1], keepdims=0)
        if opset < 13
        else make_node("ReduceSum", ["c", "axes1"], ["y"], name="R", keepdims=0),
    ]
    initializers: dict[str, Array] = {}
    if opset >= 11:
        initializers |= {"lo": np.array(0.1, np.float32), "hi": np.array(0.4, np.float32)}
    if opset >= 13:
        initializers |= {"axes": np.array([0]), "axes1": np.array([1])}
    model = model_of(nodes, [tensor("x", [2, 3])], [tensor("y", [1, 3])], initializers, opset)
    imported = load(model)
    assert f"ai.onnx = {NEWEST} : i64" in text_of(imported.module)
    check_text(imported)
    check_meaning(model, imported, feeds_of(model))


def test_an_opset_that_cannot_be_converted_stays() -> None:
    """The converter does not look into subgraphs, so one that holds a changed operator keeps the model's opset."""
    then = onnx.helper.make_graph(
        [make_node("Softmax", ["x"], ["t"], name="S", axis=1)], "then", [], [tensor("t", [2, 3, 4])]
    )
    other = onnx.helper.make_graph(
        [make_node("Neg", ["x"], ["e"])], "else", [], [tensor("e", [2, 3, 4])]
    )
    node = make_node("If", ["c"], ["y"], then_branch=then, else_branch=other)
    inputs = [tensor("x", [2, 3, 4]), tensor("c", [], TensorProto.BOOL)]
    model = model_of([node], inputs, [tensor("y", [2, 3, 4])], opset=11)
    imported = load(model)
    assert len(ops_of(imported.module, "onnx.Softmax_11")) == 1
    check_text(imported)
    feeds = feeds_of(model) | {"c": np.array(True)}
    check_meaning(model, imported, feeds)


OLD = [
    (12, make_node("Softmax", ["x"], ["y"], axis=1), {}),
    (12, make_node("Softmax", ["x"], ["y"]), {}),
    (12, make_node("LogSoftmax", ["x"], ["y"], axis=2), {}),
    (12, make_node("Hardmax", ["x"], ["y"], axis=1), {}),
    (10, make_node("Resize", ["x", "s"], ["y"], mode="linear"), {"s": [1, 1, 2.5, 1.5]}),
    (10, make_node("Resize", ["x", "s"], ["y"], mode="nearest"), {"s": [1, 1, 2, 3]}),
    (9, make_node("Upsample", ["x", "s"], ["y"], mode="nearest"), {"s": [1, 1, 2, 3]}),
    (7, make_node("Upsample", ["x"], ["y"], mode="linear", scales=[1.0, 1.0, 2.0, 2.0]), {}),
]


@pytest.mark.parametrize(("opset", "node", "initializers"), OLD)
@pytest.mark.parametrize("convert", [True, False])
def test_old_versions(
    opset: int,
    node: onnx.NodeProto,
    initializers: dict[str, list[float]],
    convert: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Old versions of operators that the reference implements as the new one, converted and as they are."""
    arrays = {name: np.array(values, np.float32) for name, values in initializers.items()}
    model = model_of([node], [tensor("x", [2, 3, 4, 5])], [tensor("y", None)], arrays, opset)
    if not convert:
        monkeypatch.setattr("webdnn.frontends.onnx.importer.upgrade", lambda model: model)
    imported = load(model)
    is_newest = f"ai.onnx = {NEWEST}" in text_of(imported.module)
    assert is_newest == (convert and node.op_type != "Hardmax")
    check_text(imported)
    feeds = feeds_of(model)
    expected = run_session(model, feeds)
    (result,) = run_module(imported.module, imported.weights, list(feeds.values()))
    np.testing.assert_allclose(result, expected[0], rtol=1e-5, atol=1e-6)


def test_scan_of_version_8_stays() -> None:
    """Everything that it takes has a batch axis, which the converter leaves out."""
    body = onnx.helper.make_graph(
        [make_node("Add", ["s", "e"], ["t"]), make_node("Identity", ["t"], ["o"])],
        "body",
        [tensor("s", [2]), tensor("e", [2])],
        [tensor("t", [2]), tensor("o", [2])],
    )
    node = make_node("Scan", ["", "init", "x"], ["last", "all"], num_scan_inputs=1, body=body)
    inputs = [tensor("init", [2, 2]), tensor("x", [2, 3, 2])]
    outputs = [tensor("last", [2, 2]), tensor("all", [2, 3, 2])]
    model = model_of([node], inputs, outputs, opset=8)
    imported = load(model)
    assert len(ops_of(imported.module, "onnx.Scan_8")) == 1
    check_text(imported)
    check_meaning(model, imported, feeds_of(model))
