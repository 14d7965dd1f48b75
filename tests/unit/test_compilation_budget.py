"""Models of a few bytes that ask for more than there is: each is one error that names the node, soon and without the
memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto
from onnx.helper import make_function, make_graph, make_node, make_opsetid

from tests.unit.mutant_worker import Outcome, compile_in_worker
from tests.unit.onnx_models import model_of, tensor

INT64 = onnx.TensorProto.INT64
MILLION, MILLION_MILLION = 10**6, 10**12
SECONDS = 10.0
"""It takes well under one; the machine may be busy."""

Arrays = dict[str, np.ndarray[Any, Any]]


def ints(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.int64)


def scalar(value: float, dtype: Any = np.int64) -> np.ndarray[Any, Any]:
    return np.array(value, dtype)


EMPTY = np.zeros(0, np.float32)


def folded(operator: str, operands: Arrays, **attributes: Any) -> ModelProto:
    """A node `big` of constants alone, whose sum is added to the input."""
    nodes = [
        make_node(operator, list(operands), ["big_out"], name="big", **attributes),
        make_node("Cast", ["big_out"], ["floats"], to=1),
        make_node("ReduceSum", ["floats"], ["sum"], keepdims=0),
        make_node("Add", ["sum", "x"], ["y"]),
    ]
    return model_of(nodes, [tensor("x", [2, 2])], [tensor("y", None)], operands)


def computed(
    operator: str, shape: list[int], operands: Arrays | None = None, **attributes: Any
) -> ModelProto:
    """A node `big` that reads the input."""
    operands = operands or {}
    node = make_node(operator, ["x", *operands], ["y"], name="big", **attributes)
    return model_of([node], [tensor("x", shape)], [tensor("y", None)], operands)


def doubling(of_sizes: bool) -> ModelProto:
    """40 concatenations of a vector with itself."""
    nodes = [
        make_node("Concat", [f"c{k}"] * 2, [f"c{k + 1}"], axis=0, name=f"big{k}") for k in range(40)
    ]
    nodes.append(
        make_node(
            "ConstantOfShape" if of_sizes else "ReduceSum", ["c40"], ["last"], name="big_last"
        )
    )
    nodes.append(make_node("Add", ["last", "x"], ["y"]))
    start = np.ones(4, np.int64 if of_sizes else np.float32)
    return model_of(nodes, [tensor("x", [2, 2])], [tensor("y", None)], {"c0": start})


def sparse() -> ModelProto:
    nodes = [make_node("ReduceSum", ["big"], ["sum"]), make_node("Add", ["sum", "x"], ["y"])]
    model = model_of(nodes, [tensor("x", [2, 2])], [tensor("y", None)])
    values = onnx.numpy_helper.from_array(np.ones(1, np.float32), "big")
    indices = onnx.numpy_helper.from_array(ints(3))
    dims = [MILLION, MILLION]
    model.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, indices, dims))
    return model


def one_hot() -> ModelProto:
    operands = {"depth": scalar(MILLION_MILLION), "values": np.array([0, 1], np.float32)}
    nodes = [
        make_node("Cast", ["x"], ["classes"], to=INT64),
        make_node("OneHot", ["classes", "depth", "values"], ["y"], name="big"),
    ]
    return model_of(nodes, [tensor("x", [2])], [tensor("y", None)], operands)


def transposed(size: int) -> ModelProto:
    weight = {"w": np.ones((1, 1, 3), np.float32)}
    return computed("ConvTranspose", [1, 1, size], weight, strides=[10**9])


def loops(outer: int, inner: int) -> ModelProto:
    """A loop `big` in a loop."""
    boolean = onnx.TensorProto.BOOL
    add = [make_node("Identity", ["c"], ["c2"]), make_node("Add", ["s", "one"], ["s2"])]
    body = make_graph(
        add,
        "inner",
        [tensor("i", [], INT64), tensor("c", [], boolean), tensor("s", [])],
        [tensor("c2", [], boolean), tensor("s2", [])],
    )
    call = [
        make_node("Identity", ["oc"], ["oc2"]),
        make_node("Loop", ["inner_count", "", "os"], ["os2"], body=body, name="big"),
    ]
    outer_body = make_graph(
        call,
        "outer",
        [tensor("oi", [], INT64), tensor("oc", [], boolean), tensor("os", [])],
        [tensor("oc2", [], boolean), tensor("os2", [])],
    )
    operands = {
        "outer_count": scalar(outer),
        "inner_count": scalar(inner),
        "one": scalar(1, np.float32),
    }
    node = make_node("Loop", ["outer_count", "", "x"], ["y"], body=outer_body, name="big_outer")
    return model_of([node], [tensor("x", [])], [tensor("y", [])], operands)


def functions(count: int, *, recursive: bool = False) -> ModelProto:
    """Functions each of which calls the next one twice; the last one may call the first."""
    imports = [make_opsetid("", 17), make_opsetid("big", 1)]

    def calls(name: str) -> list[onnx.NodeProto]:
        middle = make_node(name, ["x"], ["t"], domain="big")
        return [middle, make_node(name, ["t"], ["y"], domain="big")]

    made = [
        make_function("big", f"f{i}", ["x"], ["y"], calls(f"f{i + 1}"), imports)
        for i in range(count)
    ]
    last = calls("f0") if recursive else [make_node("Neg", ["x"], ["y"])]
    made.append(make_function("big", f"f{count}", ["x"], ["y"], last, imports))
    node = make_node("f0", ["x"], ["y"], domain="big", name="big")
    return model_of(
        [node], [tensor("x", [2])], [tensor("y", [2])], opset_imports=imports, functions=made
    )


def pool_of(kernel: int, operator: str = "AveragePool") -> ModelProto:
    return computed(operator, [1, 1, 8], kernel_shape=[kernel], pads=[kernel - 1] * 2)


CASES: dict[str, Callable[[], ModelProto]] = {
    "ConstantOfShape": lambda: folded("ConstantOfShape", {"shape": ints(MILLION, MILLION)}),
    "Range": lambda: folded("Range", {"a": scalar(0), "b": scalar(MILLION_MILLION), "c": scalar(1)}),
    "Range of floats": lambda: folded(
        "Range", {n: scalar(v, np.float32) for n, v in (("a", 0), ("b", 3e38), ("c", 1e-38))}
    ),
    "HammingWindow": lambda: folded("HammingWindow", {"size": scalar(MILLION_MILLION)}),
    "HannWindow": lambda: folded("HannWindow", {"size": scalar(10**10)}),
    "MelWeightMatrix": lambda: folded(
        "MelWeightMatrix",
        {"a": scalar(10**9), "b": scalar(10**9), "c": scalar(16000), "d": scalar(0, np.float32),
         "e": scalar(8e3, np.float32)},
    ),
    "OneHot": lambda: folded(
        "OneHot", {"a": ints(1), "depth": scalar(MILLION_MILLION), "v": np.array([0, 1], np.float32)}
    ),
    "Expand": lambda: folded("Expand", {"a": np.ones(1, np.float32), "s": ints(MILLION, MILLION)}),
    "Tile": lambda: folded("Tile", {"a": np.ones(1, np.float32), "n": ints(MILLION_MILLION)}),
    "Pad": lambda: folded("Pad", {"a": np.ones(1, np.float32), "n": ints(0, MILLION_MILLION)}),
    "Resize": lambda: folded(
        "Resize",
        {"a": np.ones((1, 1, 2, 2), np.float32), "roi": EMPTY, "s": np.array([1, 1, 1e6, 1e6], np.float32)},
    ),
    "doubling Concats": lambda: doubling(False),
    "doubling Concats of sizes": lambda: doubling(True),
    "a sparse initializer": sparse,
    "ConvTranspose": lambda: transposed(3),
    "EyeLike": lambda: computed("EyeLike", [200_000, 200_000]),
    "OneHot of an input": one_hot,
    "Expand of an input": lambda: computed("Expand", [2, 2], {"s": ints(MILLION, MILLION, 2, 2)}),
    "Pad of an input": lambda: computed("Pad", [2, 2], {"n": ints(0, 0, MILLION, MILLION)}),
    "Resize of an input": lambda: computed(
        "Resize", [1, 1, 2, 2], {"roi": EMPTY, "s": np.array([1, 1, 1e9, 1], np.float32)}, mode="cubic"
    ),
    "DFT": lambda: computed("DFT", [1, 8, 1], {"length": scalar(10**9)}),
    "AveragePool": lambda: pool_of(10**9),
    "MaxPool": lambda: pool_of(10**9, "MaxPool"),
    "Trilu": lambda: computed("Trilu", [200_000, 200_000]),
    "Einsum of a diagonal": lambda: computed("Einsum", [10**5] * 2, equation="ii->i"),
    "AffineGrid": lambda: computed("AffineGrid", [1, 2, 3], {"s": ints(1, 1, MILLION, MILLION)}),
    "CenterCropPad": lambda: computed("CenterCropPad", [2, 2], {"s": ints(MILLION, MILLION)}),
    "RoiAlign": lambda: computed(
        "RoiAlign",
        [1, 1, 4, 4],
        {"rois": np.array([[0, 0, 1, 1]], np.float32), "of": ints(0)},
        output_height=MILLION,
        output_width=MILLION,
    ),
    "LRN": lambda: computed("LRN", [1, 3, 4, 4], size=10**9),
    "a loop": lambda: loops(MILLION_MILLION, 1),
    "a loop in a loop": lambda: loops(4000, 1000),
    "functions that double": lambda: functions(25),
    "functions that call each other": lambda: functions(3, recursive=True),
}  # fmt: skip


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    """What becomes of each case, in one process."""
    made = [make().SerializeToString() for make in CASES.values()]
    return dict(zip(CASES, compile_in_worker(made), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_too_much_is_one_error(case: str, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[case]
    assert outcome.kind == "refused", outcome
    assert "big" in outcome.text
    assert outcome.seconds < SECONDS
