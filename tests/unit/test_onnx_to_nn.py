"""The lowering to `nn`: single operators against ONNX Runtime where ONNX's own node tests do not look, and errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from xdsl.context import Context
from xdsl.dialects.func import FuncOp

from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.nn import reduction as rd
from webdnn.dialects.numpy_meaning.nn import run_nn_block
from webdnn.dialects.weight_store import WeightStore
from webdnn.frontends.onnx import load
from webdnn.lowering.nn.fold_channel_affine import FoldScaleIntoConv
from webdnn.lowering.nn.sink_transposes import SinkTransposes
from webdnn.lowering.onnx_to_nn.convert import convert_onnx_to_nn
from webdnn.lowering.onnx_to_nn.registry import inlined_operators

RNG = np.random.default_rng(0)
TRAINING: dict[str, Array] = {"ratio": np.array(0.5, np.float32), "training": np.array(True)}
"""The operands of a Dropout that cannot be compiled."""


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, Array],
    weights: dict[str, Array] | None = None,
    outputs: Sequence[str] = ("y",),
    opset: int = 18,
) -> onnx.ModelProto:
    """A model of these nodes; types of the outputs are inferred."""
    graph = helper.make_graph(
        nodes,
        "test",
        [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
            for n, v in inputs.items()
        ],
        [onnx.ValueInfoProto(name=n) for n in outputs],
        [numpy_helper.from_array(v, n) for n, v in (weights or {}).items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    inferred = onnx.shape_inference.infer_shapes(made)
    known = {v.name: v for v in inferred.graph.value_info}
    for value in made.graph.output:
        if value.name in known:
            value.CopyFrom(known[value.name])
        else:
            value.CopyFrom(next(v for v in inferred.graph.output if v.name == value.name))
    return made


def lowered(made: onnx.ModelProto) -> tuple[FuncOp, WeightStore]:
    imported = load(made, inline=inlined_operators())
    convert_onnx_to_nn(imported.module, imported.weights)
    imported.module.verify()
    return next(op for op in imported.module.ops if isinstance(op, FuncOp)), imported.weights


def on_nn(made: onnx.ModelProto, inputs: dict[str, Array]) -> list[Array]:
    function, weights = lowered(made)
    return run_nn_block(function.body.block, tuple(inputs.values()), weights)


def on_runtime(made: onnx.ModelProto, inputs: dict[str, Array]) -> list[Array]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(made.SerializeToString(), options)
    return [np.asarray(result) for result in session.run(None, inputs)]


def check(made: onnx.ModelProto, inputs: dict[str, Array], rtol: float = 1e-5) -> None:
    """The same types, shapes and values as ONNX Runtime, within `rtol` of the range."""
    for got, want in zip(on_nn(made, inputs), on_runtime(made, inputs), strict=True):
        assert got.dtype == want.dtype and got.shape == want.shape
        if want.dtype.kind in "biu":
            np.testing.assert_array_equal(got, want)
        else:
            span = float(np.abs(want[np.isfinite(want)]).max(initial=0)) or 1.0
            np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol * span)


def floats(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("auto_pad", ["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"])
def test_conv(auto_pad: str, groups: int) -> None:
    attributes: dict[str, Any] = {"auto_pad": auto_pad, "strides": [2, 1], "group": groups}
    if auto_pad == "NOTSET":
        attributes |= {"pads": [0, 1, 2, 1], "dilations": [1, 2]}
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], **attributes)
    weights = {"w": floats(8, 4 // groups, 3, 2), "b": floats(8)}
    x = {"x": floats(2, 4, 7, 9)}
    check(model([node], x, weights), x)


@pytest.mark.parametrize("rank", [1, 3])
def test_conv_of_other_ranks(rank: int) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1] * 2 * rank)
    x = {"x": floats(1, 3, *[6] * rank)}
    check(model([node], x, {"w": floats(5, 3, *[3] * rank)}), x)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": [2, 3], "pads": [1, 0, 0, 2], "output_padding": [1, 1]},
        {"strides": [2, 2], "group": 2, "dilations": [2, 1]},
        {"strides": [3, 2], "output_shape": [13, 8]},
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
    ],
)
def test_conv_transpose(attributes: dict[str, Any]) -> None:
    node = helper.make_node("ConvTranspose", ["x", "w", "b"], ["y"], **attributes)
    groups = attributes.get("group", 1)
    weights = {"w": floats(4, 3, 3, 3), "b": floats(3 * groups)}
    x = {"x": floats(2, 4, 5, 4)}
    check(model([node], x, weights), x)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "LpPool"])
@pytest.mark.parametrize("ceil_mode", [0, 1])
@pytest.mark.parametrize("size", [6, 7, 8])
@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 0, 1, 1]])
def test_pooling(op: str, ceil_mode: int, size: int, pads: list[int]) -> None:
    attributes: dict[str, Any] = {
        "kernel_shape": [3, 2],
        "strides": [2, 2],
        "pads": pads,
        "ceil_mode": ceil_mode,
    }
    node = helper.make_node(op, ["x"], ["y"], **attributes)
    x = {"x": floats(1, 2, size, 9)}
    check(model([node], x), x)


@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("size", [5, 6, 7, 8])
def test_average_pool_counts(include: int, size: int) -> None:
    node = helper.make_node(
        "AveragePool", ["x"], ["y"], kernel_shape=[4], strides=[3], pads=[1, 2],
        ceil_mode=1, count_include_pad=include,
    )  # fmt: skip
    x = {"x": floats(1, 1, size)}
    check(model([node], x, opset=22), x)


def test_max_pool_keeps_nan_out_of_the_padding_and_indices_right() -> None:
    node = helper.make_node(
        "MaxPool", ["x"], ["y", "i"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]
    )
    x = {"x": -np.abs(floats(2, 3, 6, 5))}
    check(model([node], x, outputs=["y", "i"]), x)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize(
    "transform", ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
)
@pytest.mark.parametrize("sizes", [(10, 14), (3, 4), (1, 7), (5, 7)])
def test_resize(mode: str, transform: str, sizes: tuple[int, int]) -> None:
    attributes: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": transform}
    if mode == "nearest":
        attributes["nearest_mode"] = "floor" if transform == "asymmetric" else "round_prefer_floor"
    node = helper.make_node("Resize", ["x", "", "", "s"], ["y"], **attributes)
    x = {"x": floats(1, 2, 5, 7)}
    check(model([node], x, {"s": np.array([1, 2, *sizes])}, opset=19), x, rtol=2e-5)


@pytest.mark.parametrize("factor", [1.5, 2.0, 3.0, 0.4])
def test_resize_by_factors(factor: float) -> None:
    node = helper.make_node("Resize", ["x", "", "s"], ["y"], mode="nearest")
    x = {"x": floats(1, 1, 7, 10)}
    check(model([node], x, {"s": np.array([1, 1, factor, factor], np.float32)}, opset=13), x)


def test_nearest_upsampling_is_a_broadcast() -> None:
    node = helper.make_node(
        "Resize", ["x", "", "s"], ["y"], mode="nearest",
        nearest_mode="floor", coordinate_transformation_mode="asymmetric",
    )  # fmt: skip
    x = {"x": floats(1, 2, 3, 4)}
    function, _ = lowered(model([node], x, {"s": np.array([1, 1, 2, 2], np.float32)}))
    names = {op.name for op in function.body.block.ops}
    assert names == {"nn.reshape", "nn.broadcast", "func.return"}


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_recurrent(op: str, direction: str) -> None:
    gates, count = {"LSTM": 4, "GRU": 3, "RNN": 1}[op], 2 if direction == "bidirectional" else 1
    node = helper.make_node(
        op, ["x", "w", "r", "b", "n", "h"], ["y", "last"], hidden_size=5, direction=direction
    )
    weights = {
        "w": floats(count, gates * 5, 3),
        "r": floats(count, gates * 5, 5),
        "b": floats(count, 2 * gates * 5),
        "n": np.array([4, 2], np.int32),
        "h": floats(count, 2, 5),
    }
    x = {"x": floats(4, 2, 3)}
    check(model([node], x, weights, outputs=["y", "last"]), x)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]),
        ("bhqd,bhkd->bhqk", [(2, 2, 3, 4), (2, 2, 5, 4)]),
        ("...ij,jk->...ik", [(2, 3, 4, 5), (5, 2)]),
        ("ij->ji", [(3, 4)]),
        ("ii->i", [(4, 4)]),
        ("ij,ij->", [(3, 4), (3, 4)]),
        ("i,j->ij", [(3,), (4,)]),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)]),
        ("ab,cd", [(2, 3), (1, 4)]),
    ],
)
def test_einsum(equation: str, shapes: list[tuple[int, ...]]) -> None:
    names = [f"x{i}" for i in range(len(shapes))]
    node = helper.make_node("Einsum", names, ["y"], equation=equation)
    inputs = {n: floats(*s) for n, s in zip(names, shapes, strict=True)}
    check(model([node], inputs), inputs)


@pytest.mark.parametrize(
    "op", ["ReduceMean", "ReduceMax", "ReduceL2", "ReduceLogSumExp", "ReduceProd"]
)
@pytest.mark.parametrize("axes", [[-1], [0, 2], None])
@pytest.mark.parametrize("keep", [0, 1])
def test_reductions(op: str, axes: list[int] | None, keep: int) -> None:
    names = ["x"] if axes is None else ["x", "a"]
    node = helper.make_node(op, names, ["y"], keepdims=keep)
    x = {"x": floats(3, 1, 4)}
    check(model([node], x, {} if axes is None else {"a": np.array(axes)}), x)


@pytest.mark.parametrize("op", ["Add", "Mul", "Max", "Mod", "Div", "Sub", "Pow"])
def test_int64_is_not_narrowed(op: str) -> None:
    x = {"x": np.array([[2**40 + 1, -7, 3]]), "z": np.array([[3], [2]])}
    node = helper.make_node(op, ["x", "z"], ["y"])
    if op == "Pow":
        x["x"] = np.array([[2**20 + 1, -7, 3]])
    check(model([node], x), x)


@pytest.mark.parametrize("op", ["Relu", "Sigmoid", "Tanh", "Softplus", "Elu", "HardSigmoid", "Abs"])
def test_nan_and_infinity(op: str) -> None:
    x = {"x": np.array([np.nan, np.inf, -np.inf, -0.0, 1e-30, 90.0, -90.0], np.float32)}
    check(model([helper.make_node(op, ["x"], ["y"])], x), x)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (1, 1)])
def test_empty_and_single_sizes(shape: tuple[int, int]) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"]),
        helper.make_node("Concat", ["t", "t"], ["c"], axis=1),
        helper.make_node("ReduceSum", ["c", "a"], ["y"], keepdims=0),
    ]
    x = {"x": floats(*shape)}
    check(model(nodes, x, {"a": np.array([1])}), x)


@pytest.mark.parametrize("symmetric", [True, False])
def test_quantised_convolution(symmetric: bool) -> None:
    zero = np.int8(0) if symmetric else np.int8(-3)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["q"]),
        helper.make_node(
            "QLinearConv", ["q", "xs", "xz", "w", "ws", "wz", "ys", "xz", "b"], ["r"], pads=[1] * 4
        ),
        helper.make_node("DequantizeLinear", ["r", "ys", "xz"], ["y"]),
    ]
    weights = {
        "xs": np.float32(0.02), "xz": np.asarray(zero), "ys": np.float32(0.05),
        "w": RNG.integers(-100, 100, (4, 3, 3, 3)).astype(np.int8),
        "ws": np.full(4, 0.01, np.float32), "wz": np.zeros(4, np.int8),
        "b": RNG.integers(-1000, 1000, 4).astype(np.int32),
    }  # fmt: skip
    weights = {n: np.asarray(v) for n, v in weights.items()}
    x = {"x": floats(1, 3, 6, 6)}
    check(model(nodes, x, weights), x)


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("k", [1, 3, 6])
def test_top_k_with_ties(largest: int, k: int) -> None:
    node = helper.make_node("TopK", ["x", "k"], ["y", "i"], axis=1, largest=largest)
    x = {"x": np.array([[3, 1, 3, 2, 1, 3], [0, 0, 0, 0, 0, 0]], np.float32)}
    check(model([node], x, {"k": np.array([k])}, outputs=["y", "i"]), x)


def test_condition_known_at_run_time_computes_both_branches() -> None:
    def branch(op: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(f"{op}_out", TensorProto.FLOAT, [3])
        return helper.make_graph([helper.make_node(op, ["x"], [f"{op}_out"])], op, [], [out])

    node = helper.make_node(
        "If", ["c"], ["y"], then_branch=branch("Neg"), else_branch=branch("Abs")
    )
    for truth in (True, False):
        inputs = {"x": floats(3), "c": np.array(truth)}
        check(model([node], inputs), inputs)


def batch_norm(opset: int) -> tuple[onnx.ModelProto, dict[str, Array]]:
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1] * 4),
        helper.make_node("BatchNormalization", ["c", "s", "t", "m", "v"], ["n"]),
        helper.make_node("Relu", ["n"], ["y"]),
    ]
    weights = {
        "w": floats(6, 4, 3, 3), "b": floats(6), "s": floats(6), "t": floats(6),
        "m": floats(6), "v": np.abs(floats(6)),
    }  # fmt: skip
    x = {"x": floats(2, 4, 5, 6)}
    return model(nodes, x, weights, opset=opset), x


@pytest.mark.parametrize("opset", [7, 9, 14, 15])
def test_batch_normalisation_is_folded_into_the_convolution(opset: int) -> None:
    made, x = batch_norm(opset)
    check(made, x)
    imported = load(made)
    convert_onnx_to_nn(imported.module, imported.weights)
    for step in (SinkTransposes(), FoldScaleIntoConv()):
        step.apply(Context(), imported.module)
    imported.module.verify()
    function = next(op for op in imported.module.ops if isinstance(op, FuncOp))
    ops = list(function.body.block.ops)
    at = next(i for i, op in enumerate(ops) if isinstance(op, rd.ConvOp))
    assert [op.name for op in ops[at + 1 :]] == ["nn.add", "nn.relu", "nn.transpose", "func.return"]
    (got,) = run_nn_block(function.body.block, tuple(x.values()), imported.weights)
    np.testing.assert_allclose(got, on_runtime(made, x)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("opset", [7, 10, 11, 13])
def test_old_opsets(opset: int) -> None:
    """Attributes that became inputs: clips, softmax over a flattened rest, squeezed axes."""
    squeeze: dict[str, Any] = {"axes": [1]} if opset < 13 else {}
    nodes = [
        helper.make_node("Softmax", ["x"], ["s"], axis=1),
        helper.make_node("Squeeze", ["s"] if opset < 13 else ["s", "a"], ["y"], **squeeze),
    ]
    x = {"x": floats(2, 1, 3)}
    check(model(nodes, x, {} if opset < 13 else {"a": np.array([1])}, opset=opset), x)


def test_weights_stay_out_of_the_ir() -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    made = model([node], {"x": floats(1, 3, 9, 9)}, {"w": floats(4, 3, 3, 3)})
    function, weights = lowered(made)
    assert not any(isinstance(op, dm.ConstantOp) for op in function.body.block.ops)
    (weight,) = [op for op in function.body.block.ops if isinstance(op, dm.WeightOp)]
    assert weight.key.data == "w" and weights["w"].shape == (4, 3, 3, 3)


def test_unknown_ranks_are_one_error_with_the_option_to_give() -> None:
    text = """<ir_version: 10, opset_import: ["" : 21]> g
        (float[1, 3, 8, 8] image, float[batch, seq] mask, float s) => (float[n, 3, h, w] y)
        { y = Neg(image) }"""
    made = onnx.parser.parse_model(text)
    for value in made.graph.input[:2]:
        value.type.tensor_type.ClearField("shape")
    with pytest.raises(WebDNNError) as error:
        lowered(made)
    assert error.value.where == ("image: its rank is unknown", "mask: its rank is unknown")
    assert "--shape image=1,3,224,224 --shape mask=1,3,224,224, with" in error.value.hint


def test_nodes_behind_one_that_cannot_be_compiled_are_looked_at() -> None:
    nodes = [
        helper.make_node("Dropout", ["x", *TRAINING], ["a"], name="first"),
        helper.make_node("Neg", ["a"], ["b"], name="fine"),
        helper.make_node("Dropout", ["b", *TRAINING], ["c"], name="second"),
        helper.make_node("NonZero", ["c"], ["d"], name="third"),
        helper.make_node("Neg", ["d"], ["e"], name="unseen"),
        helper.make_node("Abs", ["e"], ["y"], name="unseen too"),
    ]
    with pytest.raises(WebDNNError) as error:
        lowered(model(nodes, {"x": floats(4)}, TRAINING))
    text = str(error.value)
    assert error.value.what == "3 nodes of the model cannot be compiled"
    assert all(f"'{name}'" in text for name in ("first", "second", "third"))
    assert "fine" not in text and "unseen" not in text
    assert error.value.why == "2 more, behind them, could not be checked"


def test_many_nodes_of_one_kind_are_five_and_a_count() -> None:
    nodes = [
        helper.make_node("Dropout", ["x", *TRAINING], [f"y{i}"], name=f"n{i}") for i in range(180)
    ]
    with pytest.raises(WebDNNError) as error:
        lowered(model([*nodes, helper.make_node("Neg", ["x"], ["y"])], {"x": floats(4)}, TRAINING))
    assert error.value.what == "180 nodes of the model cannot be compiled"
    assert "'n4', ... (180 in all)" in str(error.value) and "'n5'" not in str(error.value)


def test_all_nodes_that_cannot_be_compiled_are_named_at_once() -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["i"], name="find"),
        helper.make_node("Transpose", ["i"], ["t"], name="blameless"),
        helper.make_node("Dropout", ["x", *TRAINING], ["r"], name="dice"),
        helper.make_node("Gather", ["r", "t"], ["y"], name="read"),
    ]
    with pytest.raises(WebDNNError) as error:
        lowered(model(nodes, {"x": floats(4)}, TRAINING))
    assert "2 nodes" in error.value.what
    text = str(error.value)
    assert (
        "'find'" in text and "'dice'" in text and "blameless" not in text and "'read'" not in text
    )
