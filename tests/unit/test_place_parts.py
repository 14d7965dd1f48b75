"""Concatenation without copies: the same results at each stage and in wasm, whatever is concatenated and read."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from xdsl.dialects.builtin import ModuleOp

import webdnn
from webdnn.dialects import plan
from webdnn.dialects.dtypes import Array
from webdnn.dialects.numpy_meaning.program import run_module
from webdnn.dialects.weight_store import attach_weights
from webdnn.frontends.onnx import load
from webdnn.lowering.kernels.layouts import reshaped
from webdnn.stages import run_stages

TOLERANCE = 1e-5  # Exp and Sin are within 4 ulp


def model_of(body: str, shape: str, outputs: str) -> onnx.ModelProto:
    """A model of one input `x`; `a`, `b` and `c` are computed from it."""
    text = f"""
    <ir_version: 10, opset_import: ["" : 21]>
    example (float[{shape}] x) => ({outputs}) {{
      a = Exp(x)
      b = Sin(x)
      c = Cos(x)
      {body}
    }}"""
    return onnx.parser.parse_model(text)


def check(model: onnx.ModelProto) -> tuple[list[str], ModuleOp]:
    """Compare all stages and wasm with ONNX Runtime; the kernels that are launched, and level `kernels`."""
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    inputs = {"x": np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
    wanted = ort.InferenceSession(model.SerializeToString()).run(None, inputs)
    names = [o.name for o in model.graph.output]

    def compare(found: dict[str, Array]) -> None:
        for name, value in zip(names, wanted, strict=True):
            assert isinstance(value, np.ndarray)
            np.testing.assert_allclose(found[name], value, rtol=TOLERANCE, atol=TOLERANCE)

    imported = load(model)
    attach_weights(imported.module, imported.weights)
    run_stages(imported.module, "onnx", "kernels", "wasm")
    compare(run_module(imported.module, imported.weights, inputs))
    kernels = imported.module.clone()
    run_stages(imported.module, "kernels", "loops", "wasm")
    compare(run_module(imported.module, imported.weights, inputs))
    package = webdnn.compile(model, target="wasm")
    compare(package.run(inputs, engine="wasmtime"))
    compare(package.run(inputs, engine="wasmtime"))  # memory is used again
    launches = package.manifest["backends"]["wasm"]["launches"]
    return [launch["kernel"] for launch in launches], kernels


def copies(launched: list[str]) -> int:
    return sum(name.startswith(("copy", "concat")) for name in launched)


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
@pytest.mark.parametrize("shape", [(1, 3, 5, 8), (2, 1, 3, 7), (1, 1, 1, 4)])
def test_axes(axis: int, shape: tuple[int, ...]) -> None:
    whole = list(shape)
    whole[axis] *= 3
    text = ",".join(map(str, whole))
    model = model_of(
        f"y = Concat<axis={axis}>(a, b, c)", ",".join(map(str, shape)), f"float[{text}] y"
    )
    launched, _ = check(model)
    assert copies(launched) == 0


def test_nested_and_read_in_between() -> None:
    model = model_of(
        """d = Concat<axis=2>(a, b)
        e = Relu(d)
        f = Concat<axis=2>(d, c)
        g = Concat<axis=1>(f, f)
        h = Relu(f)
        i = Concat<axis=2>(e, c)
        j = Add(h, i)
        y = Concat<axis=1>(g, j)""",
        "3,5,4",
        "float[3,15,12] y",
    )
    launched, _ = check(model)
    assert copies(launched) == 2  # f, where it comes the second time, and c, which is in f


def test_chain_that_grows() -> None:
    """As in DenseNet: one buffer, of which each layer reads what is there."""
    model = model_of(
        """k = Constant<value_ints=[1]>()
        d0 = Concat<axis=1>(a, b)
        m0 = ReduceMean(d0, k)
        e0 = Mul(c, m0)
        d1 = Concat<axis=1>(d0, e0)
        m1 = ReduceMax(d1, k)
        e1 = Mul(c, m1)
        d2 = Concat<axis=1>(d1, e1)
        y = Relu(d2)""",
        "2,6,5",
        "float[2,24,5] y",
    )
    launched, module = check(model)
    assert copies(launched) == 0
    assert sum(isinstance(op, plan.ConcatOp) for op in module.walk()) == 3


@pytest.mark.parametrize(
    ("body", "outputs", "count"),
    [
        ("y = Concat<axis=1>(x, a)", "float[4,12] y", 1),  # an input of the model
        ("y = Concat<axis=1>(a, a)", "float[4,12] y", 1),  # twice the same
        ("y = Concat<axis=1>(a, b)\nz = Relu(a)", "float[4,12] y, float[4,6] z", 0),
        ("y = Concat<axis=1>(a, b)\nz = Identity(a)", "float[4,12] y, float[4,6] z", 1),  # an output
        ("d = Concat<axis=1>(a, b)\ny = Concat<axis=1>(d, x)\nz = Identity(d)",
         "float[4,18] y, float[4,12] z", 1),
        ("w = Constant<value=float[4,2]{1,2,3,4,5,6,7,8}>()\ny = Concat<axis=1>(a, w)", "float[4,8] y", 1),
        ("s = Shape(x)\nn = ConstantOfShape(s)\ny = Concat<axis=0>(n, a)", "float[8,6] y", 1),
        ("k = Constant<value_ints=[24,1]>()\nv = Reshape(a, k)\nw = Reshape(b, k)\n"
         "y = Concat<axis=1>(v, w)", "float[24,2] y", 1),  # rows of one element: not worth it
        ("k = Constant<value_ints=[4,0]>()\nl = Constant<value_ints=[0]>()\n"
         "o = Constant<value_ints=[1]>()\ne = Slice(a, l, l, o)\ny = Concat<axis=1>(a, e, b)",
         "float[4,12] y", 0),  # an empty part
        ("k = Constant<value_ints=[2,2,6]>()\nv = Reshape(a, k)\nw = Reshape(b, k)\n"
         "y = Concat<axis=2>(v, w)\nz = Relu(v)", "float[2,2,12] y, float[2,2,6] z", 0),  # views
        ("k = Constant<value_ints=[2,12]>()\nv = Reshape(a, k)\nu = Relu(v)\n"
         "y = Concat<axis=1>(a, b)\nz = Identity(u)", "float[4,12] y, float[2,12] z", 1),
    ],
)  # fmt: skip
def test_what_is_copied(body: str, outputs: str, count: int) -> None:
    launched, _ = check(model_of(body, "4,6", outputs))
    assert copies(launched) == count


def test_memory_does_not_grow() -> None:
    """What is concatenated at the very end with something large does not keep the large place from the beginning."""
    body = "d = Concat<axis=0>(a, b, c, a)\n"
    body += "k = Constant<value_ints=[0]>()\n"
    body += "s = ReduceMax<keepdims=1>(x, k)\n"  # early and small
    body += "e = Relu(d)\nf = Exp(e)\ng = Sin(f)\nh = ReduceMax(g, k)\nt = Constant<value_ints=[64,6]>()\n"
    body += "u = Expand(h, t)\ny = Concat<axis=0>(s, u)"
    model = model_of(body, "8,6", "float[65,6] y")
    check(model)
    sizes = [
        webdnn.compile(model, target="wasm", without=without).manifest["backends"]["wasm"]["arena"]
        for without in ((), ("place-parts",))
    ]
    assert sizes[0]["bytes"] <= sizes[1]["bytes"]


def test_halves_and_bytes() -> None:
    model = model_of(
        """d = Cast<to=10>(a)
        e = Cast<to=10>(b)
        f = Concat<axis=1>(d, e)
        g = Cast<to=1>(f)
        h = Greater(a, b)
        i = Less(b, c)
        j = Concat<axis=1>(h, i)
        y = Where(j, g, g)""",
        "4,24",
        "float[4,48] y",
    )
    launched, _ = check(model)
    assert copies(launched) == 0


@pytest.mark.parametrize(
    ("shape", "strides", "new", "wanted"),
    [
        ((2, 3, 4), (12, 4, 1), (6, 4), (4, 1)),
        ((2, 3, 4), (48, 16, 1), (6, 4), (16, 1)),
        ((2, 3, 4), (48, 16, 1), (6, 2, 2), (16, 2, 1)),
        ((2, 3, 4), (48, 16, 1), (2, 12), None),
        ((6, 4), (16, 1), (3, 1, 2, 4), (32, 0, 16, 1)),
        ((2, 3, 4), (96, 16, 1), (6, 4), None),
        ((1, 1), (0, 0), (1,), (0,)),
        ((4, 6), (1, 4), (24,), None),
        ((0, 3), (3, 1), (3, 0, 2), (0, 2, 1)),
    ],
)
def test_reshaped(
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    new: tuple[int, ...],
    wanted: tuple[int, ...] | None,
) -> None:
    assert reshaped(shape, strides, new) == wanted


def overwritten(module: ModuleOp) -> int:
    launches = [op for op in module.walk() if isinstance(op, plan.LaunchOp)]
    return sum(op.over is not None for op in launches)


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ("p = MatMul(a, b)\nm = MatMul(x, a)\ny = Add(m, p)", 1),  # a residual, at the end of a product
        ("p = MatMul(a, b)\nm = MatMul(p, x)\ny = Add(m, p)", 0),  # the product reads it too
        ("p = MatMul(a, b)\nm = MatMul(x, a)\nt = Transpose(p)\ny = Sub(m, t)", 0),
        ("p = MatMul(a, b)\ny = MatMul(p, p)", 0),
        ("d = Concat<axis=1>(a, b)\ne = MatMul(x, d)\nf = Concat<axis=1>(b, c)\ny = Add(e, f)", 1),
        ("p = MatMul(a, b)\ny = Softmax(p)", 0),
    ],
)  # fmt: skip
def test_overwritten_operands(body: str, count: int) -> None:
    width = 10 if "Concat" in body else 5
    _, module = check(model_of(body, "5,5", f"float[5,{width}] y"))
    assert overwritten(module) == count


def test_copies_of_parts_beside_other_copies() -> None:
    """A kernel that copies, made elsewhere, keeps its name; those that place-parts makes get others."""
    model = model_of(
        "z = Identity(x)\nd = Concat<axis=0>(a, b)\ny = Concat<axis=0>(d, d)",
        "2,3",
        "float[8,3] y, float[2,3] z",
    )
    check(model)
