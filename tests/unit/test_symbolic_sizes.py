"""Models with symbols in their sizes: lowered once, run at any size."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import webdnn
from tests.unit.symbolic_models import check_sizes, inputs_of, lowered_to_nn
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.numpy_meaning.program import run_module
from webdnn.frontends.onnx import load
from webdnn.ir_files import parse_ir, verify_ir
from webdnn.passes import context


def graph(inputs: str, outputs: str, body: str, opset: int = 21) -> str:
    return (
        f'<ir_version: 10, opset_import: ["" : {opset}]> g ({inputs}) => ({outputs}) {{\n{body}\n}}'
    )


def with_weights(text: str, **shapes: tuple[int, ...]) -> onnx.ModelProto:
    """A model whose inputs of these names are weights."""
    model = onnx.parser.parse_model(text)
    rng = np.random.default_rng(1)
    for name, shape in shapes.items():
        array = (rng.standard_normal(shape) / 3).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    for value in [v for v in model.graph.input if v.name in shapes]:
        model.graph.input.remove(value)
    return model


SEQ = [dict(batch=b, seq=s) for b, s in ((1, 1), (2, 7), (4, 32), (3, 2), (1, 31))]
IMAGE = [
    dict(n=n, h=h, w=w) for n, h, w in ((1, 8, 8), (2, 31, 9), (4, 64, 33), (1, 17, 18), (3, 9, 64))
]
SEQ_DIMS = {"batch": "1..4", "seq": "1..32@16"}
IMAGE_DIMS = {"n": "1..4", "h": "8..64", "w": "8..64"}


def test_layers_of_a_batch() -> None:
    text = graph(
        "float[batch, 4] x, float[4, 8] w, float[8] c, float[8, 3] v",
        "float[batch, 3] y",
        "a = MatMul(x, w)  b = Add(a, c)  r = Relu(b)  m = MatMul(r, v)  y = Softmax <axis = -1> (m)",
    )
    runs = [dict(batch=n) for n in (1, 2, 7, 64, 33)]
    check_sizes(with_weights(text, w=(4, 8), c=(8,), v=(8, 3)), {"batch": "1..64"}, runs)


def test_an_image_of_any_size() -> None:
    text = graph(
        "float[n, 3, h, w] x, float[8, 3, 3, 3] f, float[8, 4, 4, 4] t, float[8, 1, 3, 3] d",
        "float[n, 8, 1, 1] y, float[n, 4, p, q] z, float[n, 8, r, s] u",
        """
        a = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (x, f)
        b = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (a)
        c = Conv <auto_pad = "SAME_UPPER", strides = [2, 2], group = 8> (b, d)
        e = AveragePool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (a)
        y = GlobalAveragePool(c)
        z = ConvTranspose <strides = [2, 2], pads = [1, 1, 1, 1]> (b, t)
        u = AveragePool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (e)
        """,
    )
    made = with_weights(text, f=(8, 3, 3, 3), t=(8, 4, 4, 4), d=(8, 1, 3, 3))
    check_sizes(made, IMAGE_DIMS, IMAGE)


@pytest.mark.parametrize("count_include_pad", [0, 1])
@pytest.mark.parametrize("ceil_mode", [0, 1])
def test_averages_at_the_edges(ceil_mode: int, count_include_pad: int) -> None:
    text = graph(
        "float[1, 2, h, w] x",
        "float[1, 2, p, q] y",
        f"y = AveragePool <kernel_shape = [3, 2], strides = [2, 3], pads = [1, 0, 1, 1], "
        f"ceil_mode = {ceil_mode}, count_include_pad = {count_include_pad}> (x)",
    )
    check_sizes(text, {"h": "4..40", "w": "4..40"}, [*IMAGE[:2], dict(h=4, w=5), dict(h=7, w=6)])


def test_a_transformer_block_with_the_idioms_of_exporters() -> None:
    text = graph(
        "int64[batch, seq] ids, float[10, 16] e, float[40, 16] p, float[16, 48] w, float[16, 16] o",
        "float[batch, seq, 16] y, float[batch, 16] last",
        """
        zero = Constant <value_int = 0> ()   one = Constant <value_int = 1> ()
        shape = Shape(ids)   b = Gather(shape, zero)   s = Gather(shape, one)
        at = Range(zero, s, one)
        words = Gather(e, ids)   places = Gather(p, at)   x = Add(words, places)
        qkv = MatMul(x, w)
        parts = Constant <value_ints = [16, 16, 16]> ()
        q, k, v = Split <axis = 2> (qkv, parts)
        axes = Constant <value_ints = [0]> ()
        b1 = Unsqueeze(b, axes)   s1 = Unsqueeze(s, axes)
        heads = Constant <value_ints = [2]> ()   size = Constant <value_ints = [8]> ()
        cut = Concat <axis = 0> (b1, s1, heads, size)
        qr = Reshape(q, cut)   kr = Reshape(k, cut)   vr = Reshape(v, cut)
        qt = Transpose <perm = [0, 2, 1, 3]> (qr)
        kt = Transpose <perm = [0, 2, 3, 1]> (kr)
        vt = Transpose <perm = [0, 2, 1, 3]> (vr)
        scores = MatMul(qt, kt)
        rows = Unsqueeze(at, ones)   ones = Constant <value_ints = [1]> ()
        seen = GreaterOrEqual(rows, at)
        least = Constant <value_float = -10000.0> ()
        masked = Where(seen, scores, least)
        weights = Softmax <axis = -1> (masked)
        mixed = MatMul(weights, vt)
        back = Transpose <perm = [0, 2, 1, 3]> (mixed)
        rest = Constant <value_ints = [-1]> ()
        flat = Concat <axis = 0> (b1, s1, rest)
        joined = Reshape(back, flat)
        out = MatMul(joined, o)   y = Add(x, out)
        end = Constant <value_int = -1> ()
        last = Gather <axis = 1> (y, end)
        """,
    )
    made = with_weights(text, e=(10, 16), p=(40, 16), w=(16, 48), o=(16, 16))
    module = check_sizes(made, SEQ_DIMS, SEQ)
    assert not any(isinstance(op, dm.SizesOp) for op in module.walk())


PAST = [
    dict(batch=b, seq=s, past=p, whole=p + s)
    for b, s, p in ((1, 1, 0), (2, 3, 5), (1, 32, 64), (3, 1, 17), (1, 4, 1))
]


def test_keys_of_the_past() -> None:
    text = graph(
        "float[batch, 2, seq, 8] q, float[batch, 2, seq, 8] k, float[batch, 2, past, 8] old, "
        "int64[batch, whole] mask",
        "float[batch, 2, seq, total] y, float[batch, 2, total, 8] new",
        """
        new = Concat <axis = 2> (old, k)
        shape = Shape <start = 2, end = 3> (new)   own = Shape <start = 2, end = 3> (q)
        zero = Constant <value_int = 0> ()   one = Constant <value_int = 1> ()
        ones = Constant <value_ints = [1]> ()  none = Constant <value_ints = [0]> ()
        total = Squeeze(shape, none)   count = Squeeze(own, none)
        past = Sub(total, count)
        columns = Range(zero, total, one)
        rows = Range(past, total, one)
        side = Unsqueeze(rows, ones)
        causal = LessOrEqual(columns, side)
        kt = Transpose <perm = [0, 1, 3, 2]> (new)
        scores = MatMul(q, kt)
        width = CastLike(total, scores)
        scaled = Div(scores, width)
        valid = Cast <to = 9> (mask)
        both = Constant <value_ints = [1, 2]> ()
        m = Unsqueeze(valid, both)
        allowed = And(m, causal)
        least = Constant <value_float = -10000.0> ()
        y = Where(allowed, scaled, least)
        """,
    )
    dims = {"batch": "1..4", "seq": "1..32", "past": "0..64"}
    check_sizes(text, {**dims, "whole": "past + seq"}, PAST)
    made = onnx.parser.parse_model(text)
    with pytest.raises(WebDNNError, match="whether whole and past \\+ seq are the same size"):
        lowered_to_nn(made, dims)
    made.graph.input[3].type.tensor_type.shape.dim[1].dim_param = "past + seq"
    check_sizes(made, dims, PAST)


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_recurrences_of_a_batch(op: str) -> None:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    text = graph(
        "float[6, batch, 4] x, float[2, g, 4] w, float[2, g, 5] r",
        "float[6, 2, batch, 5] y, float[2, batch, 5] h",
        f'y, h = {op} <hidden_size = 5, direction = "bidirectional"> (x, w, r)',
    )
    made = with_weights(text, w=(2, gates * 5, 4), r=(2, gates * 5, 5))
    check_sizes(made, {"batch": "1..16"}, [dict(batch=n) for n in (1, 2, 16, 5, 3)])


MOVES = {
    "padded to a multiple": """
        four = Constant <value_ints = [4]> ()  n = Shape <start = 1, end = 2> (x)  minus = Neg(n)
        more = Mod(minus, four)  z = Constant <value_ints = [0, 0, 0, 0]> ()  t = Constant <value_ints = [0]> ()
        pads = Concat <axis = 0> (z, more, t)  p = Pad(x, pads)
        cut = Constant <value_ints = [0, -1, 4, 6]> ()  y = Reshape(p, cut)""",
    "the first half": """
        two = Constant <value_ints = [2]> ()  n = Shape <start = 1, end = 2> (x)  half = Div(n, two)
        z = Constant <value_ints = [0]> ()  one = Constant <value_ints = [1]> ()  y = Slice(x, z, half, one)""",
    "the last three": """
        a = Constant <value_ints = [-3]> ()  e = Constant <value_ints = [9223372036854775807]> ()
        one = Constant <value_ints = [1]> ()  y = Slice(x, a, e, one)""",
    "every second, backwards": """
        a = Constant <value_ints = [-1]> ()  e = Constant <value_ints = [-9223372036854775807]> ()
        one = Constant <value_ints = [1]> ()  step = Constant <value_ints = [-2]> ()  y = Slice(x, a, e, one, step)""",
    "repeated": """
        b = Shape <end = 1> (x)  r = Constant <value_ints = [2, 1]> ()  times = Concat <axis = 0> (b, r)
        y = Tile(x, times)""",
    "running sums": "a = Constant <value_int = 1> ()  y = CumSum <exclusive = 1> (x, a)",
    "running sums from the end": "a = Constant <value_int = -2> ()  y = CumSum <reverse = 1> (x, a)",
    "expanded": """
        n = Shape(x)  m = Constant <value_ints = [-1, 1, -1]> ()  minus = Constant <value_int = -1> ()
        is = Equal(m, minus)  w = Where(is, n, m)  s = ReduceMax <keepdims = 1> (x, k)
        k = Constant <value_ints = [1]> ()  y = Expand(s, w)""",
    "a constant of a shape": """
        n = Shape <start = 0, end = 2> (x)  c = ConstantOfShape <value = float[1] {2.5}> (n)
        k = Constant <value_ints = [2]> ()  u = Unsqueeze(c, k)  y = Mul(x, u)""",
    "a mean by its count": """
        k = Constant <value_ints = [1]> ()  t = ReduceSum(x, k)  n = Shape <start = 1, end = 2> (x)
        f = Cast <to = 1> (n)  y = Div(t, f)""",
    "all in a row": "n = Size(x)  k = Constant <value_ints = [1]> ()  s = Reshape(n, k)  y = Reshape(x, s)",
    "flattened": "y = Flatten <axis = 2> (x)",
    "split in two": """
        n = Shape <start = 1, end = 2> (x)  one = Constant <value_ints = [1]> ()  rest = Sub(n, one)
        s = Concat <axis = 0> (one, rest)  a, y = Split <axis = 1> (x, s)""",
    "a triangle": """
        k = Constant <value_ints = [2]> ()  m = ReduceSum <keepdims = 0> (x, k)
        c = Constant <value_int = 1> ()  y = Trilu(m, c)""",
    "a diagonal": """
        k = Constant <value_ints = [2]> ()  m = ReduceSum <keepdims = 0> (x, k)  y = EyeLike <k = 1> (m)""",
    "an equation": 'y = Einsum <equation = "bsd,btd->bst"> (x, x)',
    "classes": """
        n = Shape <start = 1, end = 2> (x)  k = Constant <value_ints = [2]> ()
        v = Constant <value_floats = [0.0, 1.0]> ()  i = ArgMax <axis = 1, keepdims = 0> (x)  y = OneHot(i, n, v)""",
    "the greatest": "y = ReduceLogSumExp(x, k)  k = Constant <value_ints = [1]> ()",
    "normalised": """
        g = Constant <value_floats = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]> ()  y = LayerNormalization <axis = -1> (x, g)""",
    "a branch that sizes decide": """
        n = Shape <start = 1, end = 2> (x)  z = Constant <value_ints = [0]> ()  c = Greater(n, z)
        y = If (c) <then_branch = t () => (float[batch, seq, 6] a) { a = Neg(x) },
                    else_branch = f () => (float[batch, seq] d) { k = Constant <value_ints = [2]> ()
                                                                  d = ReduceSum <keepdims = 0> (x, k) }>""",
}  # fmt: skip


@pytest.mark.parametrize("name", MOVES)
def test_what_models_do_with_sizes(name: str) -> None:
    kind = "float[a, b, c]" if name != "flattened" else "float[a, b]"
    made = onnx.parser.parse_model(graph("float[batch, seq, 6] x", f"{kind} y", MOVES[name]))
    made.graph.output[0].type.tensor_type.ClearField("shape")
    ordered(made)
    check_sizes(made, SEQ_DIMS, SEQ)


def ordered(model: onnx.ModelProto) -> None:
    """Put constants first, which the texts have where it reads well."""
    nodes = sorted(model.graph.node, key=lambda node: node.op_type != "Constant")
    del model.graph.node[:]
    model.graph.node.extend(nodes)


RESIZES = {
    "twice, nearest": ('mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"', 2.0),
    "twice": ('mode = "linear", coordinate_transformation_mode = "half_pixel"', 2.0),
    "half": ('mode = "linear", coordinate_transformation_mode = "half_pixel"', 0.5),
    "half, nearest": ('mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"', 0.5),
    "0.6": ('mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"', 0.6),
    "1.3": ('mode = "linear", coordinate_transformation_mode = "half_pixel"', 1.3),
    "1.5": ('mode = "linear", coordinate_transformation_mode = "asymmetric"', 1.5),
    "2, cubic": ('mode = "cubic", coordinate_transformation_mode = "half_pixel", cubic_coeff_a = -0.5', 2.0),
    "half, cubic": ('mode = "cubic", exclude_outside = 1', 0.5),
    "1.3, cubic": ('mode = "cubic", coordinate_transformation_mode = "asymmetric", exclude_outside = 1', 1.3),
}  # fmt: skip


@pytest.mark.parametrize("name", RESIZES)
def test_resizing_by_scales(name: str) -> None:
    attributes, scale = RESIZES[name]
    text = graph(
        "float[n, 2, h, w] x",
        "float[n, 2, p, q] y",
        f"s = Constant <value_floats = [1.0, 1.0, {scale}, {scale}]> ()  y = Resize <{attributes}> (x, , s)",
    )
    check_sizes(text, IMAGE_DIMS, IMAGE)


def test_resizing_to_the_size_of_another() -> None:
    text = graph(
        "float[n, 2, h, w] x",
        "float[n, 2, h, w] y",
        """
        a = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (x)
        s = Shape(x)  y = Resize <mode = "nearest"> (a, , , s)
        """,
    )
    runs = [dict(n=1, h=8, w=16), dict(n=2, h=30, w=10), dict(n=4, h=64, w=64)]
    check_sizes(text, {"n": "1..4", "h": "8..64:2", "w": "8..64:2"}, runs)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize(
    "transform", ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]
)
def test_resizing_by_a_factor_that_each_run_has(transform: str, mode: str) -> None:
    text = graph(
        "float[n, 2, h, w] x, float[n, 2, p, q] of",
        "float[n, 2, p, q] y",
        f"""
        s = Shape(of)
        y = Resize <mode = "{mode}", coordinate_transformation_mode = "{transform}",
                    nearest_mode = "floor"> (x, , , s)
        """,
    )
    runs = [
        dict(n=n, h=h, w=w, p=p, q=q)
        for n, h, w, p, q in ((1, 8, 8, 8, 8), (2, 7, 9, 15, 4), (1, 1, 5, 3, 1), (1, 16, 5, 8, 10))
    ]
    dims = {"n": "1..4", "h": "1..64", "w": "1..64", "p": "1..64", "q": "1..64"}
    check_sizes(text, dims, runs)


ATTENTIONS = {
    "plain": ("", "float[batch, 2, past, 8] k", ""),
    "causal": (" <is_causal = 1>", "float[batch, 2, seq, 8] k", ""),
    "of groups": (" <is_causal = 1>", "float[batch, 1, seq, 8] k", ""),
    "masked": ("", "float[batch, 2, past, 8] k, float[seq, past] m", "m"),
    "masked by truth values": ("", "float[batch, 2, past, 8] k, bool[batch, 1, seq, past] m", "m"),
    "with a past": (
        " <is_causal = 1>",
        "float[batch, 2, seq, 8] k, float[batch, 2, past, 8] o",
        ", o, o",
    ),
}


@pytest.mark.parametrize("name", ATTENTIONS)
def test_attention(name: str) -> None:
    attributes, inputs, rest = ATTENTIONS[name]
    given = f", {rest}" if rest else ""
    text = graph(
        f"float[batch, 2, seq, 8] q, {inputs}",
        "float[batch, 2, seq, 8] y"
        + (", float[a, b, c, d] pk, float[e, f, g, h] pv" if "o" in rest else ""),
        f"y{', pk, pv' if 'o' in rest else ''} = Attention{attributes} (q, k, k{given})",
        23,
    )
    used = {"batch", "seq"} | ({"past"} if "past" in inputs else set())
    dims = {"batch": "1..4", "seq": "1..32", "past": "1..64"}
    runs = [{n: v for n, v in sizes.items() if n in used} for sizes in PAST if sizes["past"]]
    check_sizes(text, {n: v for n, v in dims.items() if n in used}, runs)


def test_ir_whose_sizes_may_not_fit() -> None:
    x, y = (f"tensor<?xf32, #nn.sizes<{name}[1 to 8]>>" for name in "st")
    text = f"""func.func @main(%x: {x}, %y: {y}) {{
      %z = nn.max %x, %y : {x}, {y} -> {x}
      func.return
    }}"""
    module = parse_ir(context(), text.encode(), "a.mlir")
    with pytest.raises(WebDNNError, match=r"nn\.max: whether s and t are the same size"):
        verify_ir(module, "a.mlir")


# What a user says of sizes


def sizes_of(model: str, **options: object) -> list[str]:
    imported = load(onnx.parser.parse_model(model), **options)  # pyright: ignore[reportArgumentType]
    main = next(iter(imported.module.ops))
    return [str(type) for type in main.function_type.inputs.data]  # pyright: ignore


PICTURE = graph("float[n, 3, ?, ?] x", "float[n, 3, h, w] y", "y = Neg(x)")
TWO = graph("float[s] a, float[t] b", "float[s] y", "y = Add(a, b)")


def test_names_and_ranges_of_sizes() -> None:
    assert sizes_of(PICTURE, shapes={"x": [1, 3, "h:64..1024", "w:64..1024:32@256"]}) == [
        "tensor<1x3x?x?xf32, #nn.sizes<1, 3, h[64 to 1024], w[64 to 1024 by 32 likely 256]>>"
    ]
    assert sizes_of(PICTURE, shapes=[["n", 3, "h", "h"]], dims={"n": 2, "h": "8..16"}) == [
        "tensor<2x3x?x?xf32, #nn.sizes<2, 3, h[8 to 16], h[8 to 16]>>"
    ]
    assert sizes_of(PICTURE, dims={"n": "1", "x_d2": "5", "x_d3": "5..5"}) == [
        "tensor<1x3x5x5xf32>"
    ]
    assert sizes_of(TWO, dims={"t": "s", "s": "1..8"}) == [
        "tensor<?xf32, #nn.sizes<s[1 to 8]>>", "tensor<?xf32, #nn.sizes<s[1 to 8]>>"
    ]  # fmt: skip


def test_sizes_of_which_nothing_is_said_have_a_range_that_is_told() -> None:
    imported = load(onnx.parser.parse_model(PICTURE), dims={"n": 1})
    assert imported.assumed == [
        "size 'x_d2' of input 'x' is 1 to 1024: --dim x_d2=1..512 changes that",
        "size 'x_d3' of input 'x' is 1 to 1024: --dim x_d3=1..512 changes that",
    ]


def test_expressions_of_other_sizes() -> None:
    made = onnx.parser.parse_model(
        graph("float[s] a, float[t] b, float[u] c", "float[s] y", "y = Neg(a)")
    )
    for value, name in zip(made.graph.input, ("past", "past + 1", "other * 2"), strict=True):
        value.type.tensor_type.shape.dim[0].dim_param = name
    text = made.SerializeToString()
    imported = load(text, dims={"past": "0..8"})
    types = [str(t) for t in next(iter(imported.module.ops)).function_type.inputs.data]  # pyright: ignore
    assert types[1] == "tensor<?xf32, #nn.sizes<past[0 to 8] + 1>>"
    assert '"other * 2"[1 to 1024' in types[2]  # what it is made of is no size of its own
    imported = load(text, dims={"past": 3})
    types = [str(t) for t in next(iter(imported.module.ops)).function_type.inputs.data]  # pyright: ignore
    assert types[:2] == ["tensor<3xf32>", "tensor<4xf32>"]


WRONG = {
    "unknown": ({"dims": {"sq": 3}}, TWO, "the model has no dimension named 'sq'", "its open dimensions are 's', 't'"),
    "empty": ({"dims": {"s": "5..4"}}, TWO, "the range 5..4 holds no size", ""),
    "multiple": ({"dims": {"s": "5..7:8"}}, TWO, "the range 5..7:8 holds no size", ""),
    "likely": ({"dims": {"s": "1..4@5"}}, TWO, "the size to optimise for, 5, is not in its range", ""),
    "no size": ({"dims": {"s": "1.."}}, TWO, "'1..' is not a size", "write a number, a name"),
    "circle": ({"dims": {"s": "t", "t": "s"}}, TWO, "dimensions are said to be each other", ""),
    "circle of sums": ({"dims": {"s": "t + 1", "t": "s + 1"}}, TWO, "dimensions are said to be each other", ""),
    "fixed": (
        {"shapes": {"x": ["n", "c:1..4", "h", "w"]}}, PICTURE,
        "dimension 1 of input 'x' is 3 in the model, not c:1..4", "",
    ),
    "twice": (
        {"shapes": {"a": [3]}, "dims": {"s": 4}}, TWO,
        "dimension 's' is given two sizes: 4 by s=4 and 3 by input 'a'", "",
    ),
    "outside": (
        {"shapes": {"a": [9]}, "dims": {"s": "1..8"}}, TWO,
        "dimension 's' is given two sizes: 1..8 by s=1..8 and 9 by input 'a'", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_said_of_sizes(name: str) -> None:
    options, model, what, hint = WRONG[name]
    with pytest.raises(WebDNNError) as error:
        load(onnx.parser.parse_model(model), **options)  # pyright: ignore[reportArgumentType]
    assert error.value.what == what
    assert hint in error.value.hint


def test_two_names_of_one_size() -> None:
    with pytest.raises(WebDNNError) as error:
        lowered_to_nn(onnx.parser.parse_model(TWO), {"s": "1..8", "t": "1..8"})
    text = str(error.value)
    assert "whether s and t are the same size: s is 1 to 8, t is 1 to 8" in text
    assert "give them one name: --dim t=s" in text


def test_a_window_larger_than_the_least_image() -> None:
    text = graph(
        "float[1, 1, h, 9] x", "float[1, 1, p, q] y", "y = MaxPool <kernel_shape = [4, 4]> (x)"
    )
    with pytest.raises(WebDNNError) as error:
        lowered_to_nn(onnx.parser.parse_model(text), {"h": "1..100"})
    assert "let it be larger: --dim h=4..100" in error.value.hint


FITTING = {
    "y = Squeeze(x)": "whether s and 1 are the same size",
    "k = Constant <value_ints = [3]> ()  y, i = TopK <axis = 0> (x, k)": "let it be larger: --dim s=3..8",
    "p = Constant <value_ints = [-2, 0]> ()  y = Pad(x, p)": "let it be larger: --dim s=2..8",
}


@pytest.mark.parametrize("body", FITTING)
def test_what_does_not_fit_all_sizes(body: str) -> None:
    made = onnx.parser.parse_model(graph("float[s] x", "float[t] y", body))
    with pytest.raises(WebDNNError) as error:
        lowered_to_nn(made, {"s": "1..8"})
    assert FITTING[body] in str(error.value)


def test_sizes_that_a_run_may_not_have() -> None:
    model = onnx.parser.parse_model(TWO)
    module, weights = lowered_to_nn(model, {"s": "2..8:2", "t": "s"})
    with pytest.raises(WebDNNError) as error:
        run_module(module, weights, {"a": np.ones(9, np.float32), "b": np.ones(9, np.float32)})
    assert error.value.what == (
        "dimension 0 of input 'a' is 9, and 's' is 2 to 8, and a multiple of 2"
    )
    with pytest.raises(WebDNNError) as error:
        run_module(module, weights, {"a": np.ones(4, np.float32), "b": np.ones(6, np.float32)})
    assert error.value.what == "dimension 0 of input 'b' is 6, and must be s = 4"
    with pytest.raises(WebDNNError, match=r"has the shape \[4, 1\], and 1 dimensions are needed"):
        run_module(module, weights, {"a": np.ones((4, 1), np.float32), "b": np.ones(4, np.float32)})
    assert inputs_of(model, {"s": 3, "t": 3})["a"].shape == (3,)


def test_ranges_that_are_too_wide_for_a_module() -> None:
    """The message names the sizes, and holds no expression of the compiler's."""
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 21]> g (float[n,h,w] x) => (float[n,h,w] z, float[h,w] y) '
        "<int64[1] axes = {0}> { y = ReduceSum<keepdims = 0>(x, axes) z = Softmax(x) }"
    )
    with pytest.raises(WebDNNError) as error:
        webdnn.compile(
            model, dims={"n": "1..2048", "h": "1..2048", "w": "1..2048"}, target="wasm", jobs=1
        )
    assert "the sizes of the inputs vary too widely" in str(error.value)
    assert "n: 1 to 2048" in str(error.value)
    assert "--dim n=LOW..HIGH" in str(error.value)
