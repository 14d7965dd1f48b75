"""The import of ONNX models: what the IR says, that it prints and parses, that it computes what ONNX Runtime does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto
from onnx.helper import make_function, make_node, make_opsetid
from xdsl.dialects.builtin import TensorType

from tests.unit.onnx_import import (
    Array,
    check_meaning,
    check_text,
    feeds_of,
    main_of,
    name_of,
    ops_of,
    text_of,
)
from tests.unit.onnx_models import convolution, model_of, tensor, with_if, with_loop
from webdnn.dialects.numpy_meaning.onnx import run_module, run_node, to_model_proto
from webdnn.dialects.onnx import NoneOp, OnnxOp, WeightOp
from webdnn.dialects.onnx.types import DYNAMIC
from webdnn.frontends.onnx import load
from webdnn.frontends.onnx.wire import cut


def test_convolution() -> None:
    imported = load(convolution(), {"x": [1, 3, 5, 7]})
    conv, relu = (op for op in imported.module.walk() if isinstance(op, OnnxOp))
    assert [conv.name, relu.name] == ["onnx.Conv", "onnx.Relu"]
    assert [name_of(conv), name_of(relu)] == ["Conv_0", "Relu_1"]
    assert conv.ints_of("pads") == [1, 1, 1, 1]
    assert conv.int_of("group") == 1  # The schema's default.
    assert conv.ints_of("strides") is None
    assert conv.operand_named("X") is main_of(imported.module).body.block.args[0]
    weight = conv.operands[1].owner
    assert isinstance(weight, WeightOp) and weight.key.data == "w"
    assert str(relu.results[0].type) == "tensor<1x4x5x7xf32>"
    text = text_of(imported.module)
    assert "dense" not in text and len(text) < 1500
    assert 'webdnn.input_names = ["x"]' in text
    check_text(imported)
    check_meaning(convolution(), imported, feeds_of(convolution(), {"h": 5, "w_": 7}))


def test_symbols_stay_unknown_until_they_are_bound() -> None:
    imported = load(convolution())
    type = main_of(imported.module).function_type.outputs.data[0]
    assert isinstance(type, TensorType) and type.get_shape() == (1, 4, DYNAMIC, DYNAMIC)
    text = text_of(imported.module)
    assert 'webdnn.input_symbols = [["", "", "h", "w_"]]' in text
    exported = to_model_proto(imported.module, imported.weights)
    dims = exported.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param for d in dims] == ["", "", "h", "w_"]


def test_a_symbol_is_bound_everywhere() -> None:
    inputs = [tensor("a", ["n", 2]), tensor("b", ["n", 2])]
    model = model_of([make_node("Add", ["a", "b"], ["y"])], inputs, [tensor("y", ["n", 2])])
    function = main_of(load(model, {"a": [5, 2]}).module)
    assert str(function.function_type) == "(tensor<5x2xf32>, tensor<5x2xf32>) -> tensor<5x2xf32>"


def test_stated_shapes_of_other_sizes_do_not_matter() -> None:
    model = model_of(
        [make_node("Relu", ["x"], ["a"]), make_node("Abs", ["a"], ["y"])],
        [tensor("x", ["n"])],
        [tensor("y", [99])],
    )
    model.graph.value_info.append(tensor("a", [77]))
    assert "77" not in text_of(load(model, {"x": [4]}).module)
    assert (
        str(main_of(load(model, {"x": [4]}).module).function_type.outputs.data[0])
        == "tensor<4xf32>"
    )


@pytest.mark.parametrize("kind", ["path", "str", "bytes", "proto"])
def test_ways_to_give_a_model(kind: str, tmp_path: Path) -> None:
    model = convolution()
    path = tmp_path / "m.onnx"
    content = model.SerializeToString()
    path.write_bytes(content)
    given = {"path": path, "str": str(path), "bytes": content, "proto": model}[kind]
    imported = load(given)
    wanted = onnx.numpy_helper.to_array(model.graph.initializer[0])
    np.testing.assert_array_equal(imported.weights["w"], wanted)
    assert model.SerializeToString() == content
    assert text_of(imported.module) == text_of(load(model).module)


def test_external_data_is_mapped(tmp_path: Path) -> None:
    model, path = convolution(), tmp_path / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    imported = load(path)
    for name, array in (("w", imported.weights["w"]), ("b", imported.weights["b"])):
        wanted = next(t for t in convolution().graph.initializer if t.name == name)
        np.testing.assert_array_equal(array, onnx.numpy_helper.to_array(wanted))
    base: Any = imported.weights["w"]
    while not isinstance(base, np.memmap):
        base = base.base
    assert not imported.weights["w"].flags.writeable


def test_big_data_is_not_copied() -> None:
    content = convolution().SerializeToString()
    skeleton, blobs = cut(memoryview(content))
    assert not blobs  # 432 bytes are not worth it.
    model = convolution()
    model.graph.initializer[0].CopyFrom(
        onnx.numpy_helper.from_array(
            np.arange(40 * 3 * 9, dtype=np.float32).reshape(40, 3, 3, 3), "w"
        )
    )
    model.graph.initializer[1].CopyFrom(onnx.numpy_helper.from_array(np.zeros(40, np.float32), "b"))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 40
    content = model.SerializeToString()
    skeleton, blobs = cut(memoryview(content))
    assert [len(blob) for blob in blobs] == [40 * 3 * 9 * 4]
    assert len(skeleton) < len(content) - 40 * 3 * 9 * 4 + 60
    array = load(content).weights["w"]
    whole = np.frombuffer(content, np.uint8)
    assert np.shares_memory(array, whole)
    np.testing.assert_array_equal(array.ravel(), np.arange(40 * 3 * 9))


def test_initializers_that_are_inputs_are_weights() -> None:
    model = convolution()
    model.graph.input.extend([tensor("w", [4, 3, 3, 3]), tensor("b", [4])])
    imported = load(model)
    assert [a.name_hint for a in main_of(imported.module).body.block.args] == ["x"]
    assert sorted(imported.weights) == ["b", "w"]


def test_absent_optional_inputs() -> None:
    node = make_node("Clip", ["x", "", "hi"], ["y"], name="Clip_0")
    hi = {"hi": np.array(1.0, np.float32)}
    model = model_of([node], [tensor("x", [3])], [tensor("y", [3])], hi)
    imported = load(model)
    (clip,) = (op for op in imported.module.walk() if isinstance(op, OnnxOp))
    assert isinstance(clip.operands[1].owner, NoneOp)
    assert clip.operand_named("min") is None and clip.operand_named("max") is not None
    check_text(imported)
    check_meaning(model, imported, feeds_of(model))


def test_identity_and_empty_graphs() -> None:
    model = model_of([], [tensor("x", [2])], [tensor("x", [2])])
    imported = load(model)
    check_text(imported)
    np.testing.assert_array_equal(
        run_module(imported.module, imported.weights, [np.ones(2, np.float32)])[0], [1, 1]
    )


def test_unsorted_nodes_are_sorted() -> None:
    nodes = [make_node("Abs", ["a"], ["y"], name="A"), make_node("Neg", ["x"], ["a"], name="N")]
    imported = load(model_of(nodes, [tensor("x", [2])], [tensor("y", [2])]))
    assert [name_of(op) for op in imported.module.walk() if isinstance(op, OnnxOp)] == ["N", "A"]


def test_constants_of_every_kind_are_weights() -> None:
    big = onnx.numpy_helper.from_array(np.arange(100, dtype=np.int64))
    values = onnx.numpy_helper.from_array(np.array([5.0], np.float32), "s")
    indices = onnx.numpy_helper.from_array(np.array([2], np.int64), "s_i")
    sparse = onnx.helper.make_sparse_tensor(values, indices, [4])
    nodes = [
        make_node("Constant", [], ["big"], value=big),
        make_node("Constant", [], ["one"], value_int=1),
        make_node("Constant", [], ["floats"], value_floats=[1.5, 2.5]),
        make_node("Constant", [], ["text"], value_string="häß"),
        make_node("Constant", [], ["sparse"], sparse_value=sparse),
    ]
    outputs = [
        tensor("big", [100], TensorProto.INT64),
        tensor("one", [], TensorProto.INT64),
        tensor("floats", [2]),
        tensor("text", [], TensorProto.STRING),
        tensor("sparse", [4]),
    ]
    imported = load(model_of(nodes, [], outputs))
    check_text(imported)
    assert not any(isinstance(op, OnnxOp) for op in imported.module.walk())
    results = run_module(imported.module, imported.weights, [])
    assert results[0].tolist() == list(range(100)) and results[1].dtype == np.int64
    assert results[2].dtype == np.float32 and results[3].tolist() == "häß"
    assert results[4].tolist() == [0, 0, 5, 0]


@pytest.mark.parametrize("condition", [True, False])
def test_if(condition: bool) -> None:
    imported = load(with_if())
    check_text(imported)
    feeds = feeds_of(with_if()) | {"c": np.array(condition)}
    check_meaning(with_if(), imported, feeds)
    assert sorted(array[0] for array in imported.weights.values()) == [2, 3]


@pytest.mark.parametrize("trips", [0, 1, 4])
def test_loop(trips: int) -> None:
    imported = load(with_loop())
    check_text(imported)
    feeds = feeds_of(with_loop()) | {"n": np.array(trips, np.int64)}
    check_meaning(with_loop(), imported, feeds)


def with_function() -> ModelProto:
    body = [
        make_node("Mul", ["a", "a"], ["square"], name="Mul_f"),
        make_node("Add", ["square", "a"], ["out"], name="Add_f"),
    ]
    function = make_function("local", "Poly", ["a"], ["out"], body, [make_opsetid("", 21)])
    nodes = [
        make_node("Poly", ["x"], ["p"], name="P1", domain="local"),
        make_node("Poly", ["p"], ["y"], name="P2", domain="local"),
    ]
    imports = [make_opsetid("", 21), make_opsetid("local", 1)]
    x, y = tensor("x", [3]), tensor("y", [3])
    return model_of(nodes, [x], [y], opset_imports=imports, functions=[function])


def test_local_functions_are_inlined() -> None:
    imported = load(with_function())
    assert len(ops_of(imported.module, "onnx.Mul")) == 2
    check_text(imported)
    check_meaning(with_function(), imported, feeds_of(with_function()))


def test_selected_operators_are_inlined() -> None:
    nodes = [make_node("HardSwish", ["x"], ["a"], name="H"), make_node("Mish", ["a"], ["y"])]
    model = model_of(nodes, [tensor("x", [5])], [tensor("y", [5])])
    imported = load(model, inline=["HardSwish"])
    assert not ops_of(imported.module, "onnx.HardSwish") and ops_of(imported.module, "onnx.Mish")
    check_text(imported)
    check_meaning(model, imported, feeds_of(model))


def test_shapes_of_computed_shapes_are_found() -> None:
    """Shape, Gather, Concat, Reshape: data propagation follows them once the sizes are bound."""
    initializers = {"zero": np.array([0]), "rest": np.array([-1])}
    nodes = [
        make_node("Shape", ["x"], ["s"]),
        make_node("Gather", ["s", "zero"], ["n"]),
        make_node("Concat", ["n", "rest"], ["to"], axis=0),
        make_node("Reshape", ["x", "to"], ["y"]),
    ]
    model = model_of(nodes, [tensor("x", ["n", "c", 4])], [tensor("y", ["n", "m"])], initializers)
    function = main_of(load(model, {"x": [2, 3, 4]}).module)
    assert str(function.function_type.outputs.data[0]) == "tensor<2x12xf32>"


@pytest.mark.parametrize("rank", [3, 4, 5])
def test_corrected_global_max_pool(rank: int) -> None:
    shape = [2, 3, 4, 5, 6][:rank]
    model = model_of(
        [make_node("GlobalMaxPool", ["x"], ["y"])], [tensor("x", shape)], [tensor("y", None)]
    )
    check_meaning(model, load(model), feeds_of(model))


@pytest.mark.parametrize(
    ("node", "inputs", "expected"),
    [
        (make_node("Shape", ["x"], ["y"], start=1), [np.zeros((2, 3, 4))], np.array([3, 4])),
        (
            make_node("Cast", ["x"], ["y"], to=TensorProto.UINT8),
            [np.array([1.7])],
            np.array([1], np.uint8),
        ),
        (make_node("Mul", ["x", "x"], ["y"]), [np.array([1 << 31])], np.array([1 << 62])),
    ],
)
def test_run_node(node: onnx.NodeProto, inputs: list[Array], expected: Array) -> None:
    protos = [
        tensor(name, array.shape, onnx.helper.np_dtype_to_tensor_dtype(array.dtype))
        for name, array in zip(dict.fromkeys(node.input), inputs, strict=True)
    ]
    dtype = onnx.helper.np_dtype_to_tensor_dtype(expected.dtype)
    model = model_of([node], protos, [tensor("y", expected.shape, dtype)])
    (op,) = (op for op in load(model).module.walk() if isinstance(op, OnnxOp))
    (result,) = run_node(op, [inputs[0]] * len(op.operands))
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result, expected)


def test_attributes_that_are_not_finite() -> None:
    inf, nan = float("inf"), float("nan")
    node = make_node(
        "LabelEncoder",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        keys_floats=[1.0, nan, inf],
        values_floats=[2.0, -inf, nan],
        default_float=-inf,
    )
    imports = [make_opsetid("", 21), make_opsetid("ai.onnx.ml", 4)]
    model = model_of([node], [tensor("x", [3])], [tensor("y", [3])], opset_imports=imports)
    imported = load(model)
    check_text(imported)
    exported = to_model_proto(imported.module, imported.weights).graph.node[0]
    given = {a.name: onnx.helper.get_attribute_value(a) for a in exported.attribute}
    np.testing.assert_array_equal(given["keys_floats"], [1.0, nan, inf])
    np.testing.assert_array_equal(given["values_floats"], [2.0, -inf, nan])
    assert given["default_float"] == -inf


Make = Callable[[], ModelProto]


@pytest.mark.parametrize("make", [convolution, with_if, with_loop])
def test_nothing_of_the_weights_is_printed(make: Make) -> None:
    text = text_of(load(make()).module)
    assert "dense<" not in text and max(map(len, text.splitlines())) < 600
