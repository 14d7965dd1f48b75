"""Schedules that were chosen before are not searched for again, and only where they are the same choice."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import webdnn
from webdnn.kernel_cache import KernelCache
from webdnn.lowering.loops_cpu import lower, pack


def _product(weight: float | None) -> onnx.ModelProto:
    """A matrix product of an input with a weight, or of two inputs."""
    inputs = [helper.make_tensor_value_info("a", TensorProto.FLOAT, [20, 24])]
    initializers: list[TensorProto] = []
    if weight is None:
        inputs.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, [24, 16]))
    else:
        values = np.full((24, 16), weight, np.float32)
        initializers.append(numpy_helper.from_array(values, "b"))
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        "product",
        inputs,
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, [20, 16])],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def _no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def searched(*arguments: object) -> None:
        raise AssertionError("the cost model was asked again")

    monkeypatch.setattr(lower, "choose", searched)
    monkeypatch.setattr(pack, "stage_cost", searched)


def test_new_weights_take_the_schedules_that_were_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = KernelCache(tmp_path)
    webdnn.compile(_product(1.0), target="wasm", cache=cache)
    _no_search(monkeypatch)
    package = webdnn.compile(_product(2.0), target="wasm", cache=cache)
    results = package.run({"a": np.ones((20, 24), np.float32)}, engine="wasmtime")
    np.testing.assert_array_equal(results["c"], np.full((20, 16), 48, np.float32))


def test_a_recalled_schedule_makes_the_same_package(tmp_path: Path) -> None:
    cache = KernelCache(tmp_path)
    first = webdnn.compile(_product(1.0), target="wasm", cache=cache)
    assert webdnn.compile(_product(1.0), target="wasm", cache=cache).files == first.files


@pytest.mark.parametrize("first", [1.0, None])
def test_what_is_no_weight_has_a_choice_of_its_own(tmp_path: Path, first: float | None) -> None:
    """The same kernel packs an operand only where it is a weight."""
    cache = KernelCache(tmp_path)
    webdnn.compile(_product(first), target="wasm", cache=cache)
    second = None if first is not None else 1.0
    found = webdnn.compile(_product(second), target="wasm", cache=cache)
    alone = webdnn.compile(_product(second), target="wasm", cache=KernelCache(enabled=False))
    assert found.files == alone.files
