"""NaNs and infinities come through a model on WebGPU as they do on wasm, whatever compiles the shaders (naga, Tint)."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from wgsl_kernels import run_elementwise

import webdnn
from webdnn.dialects.dtypes import Array
from webdnn.package import Package

SCRIPT = Path(__file__).parents[1] / "e2e" / "run_package.mjs"

ELEMENTWISE = [
    "y = Relu(x)", "y = Max(x, z)", "y = Min(x, z)", "y = Clip(x, low, high)", "y = Mul(x, zero)", "y = Sub(x, x)",
    "y = Div(x, x)", "y = LeakyRelu(x)", "y = PRelu(x, two)", "y = HardSigmoid(x)", "y = HardSwish(x)", "y = Elu(x)",
    "y = Selu(x)", "y = Celu(x)", "y = Sigmoid(x)", "y = Tanh(x)", "y = Gelu(x)", "y = Softplus(x)", "y = Softsign(x)",
    "y = ThresholdedRelu(x)", "y = Shrink(x)", "y = Mish(x)", "y = Sign(x)", "y = Abs(x)", "y = Neg(x)",
    "y = Floor(x)", "y = Round(x)", "y = Sqrt(x)", "y = Reciprocal(x)", "y = Exp(x)", "y = Log(x)", "y = Sin(x)",
    "y = Cos(x)", "y = Erf(x)", "y = Pow(x, two)", "y = Pow(x, z)", "c = Greater(x, zero) y = Where(c, x, zero)",
    "h = Cast <to = 10> (x) r = Relu(h) y = Cast <to = 1> (r)",
    "h = Cast <to = 10> (x) g = Cast <to = 10> (z) r = Max(h, g) y = Cast <to = 1> (r)",
    "y = Div(x, zero)", "c = Neg(zero) y = Div(x, c)", "y = Div(zero, x)", "y = Div(two, x)", "y = Add(x, infinite)",
    "y = Mul(x, infinite)", "y = Div(x, infinite)", "y = Div(infinite, x)", "y = Sub(infinite, x)",
    "y = Max(x, infinite)", "c = Add(x, two) y = Mul(c, zero)", "c = Mul(x, two) y = Sub(c, c)",
    "c = Reciprocal(zero) y = Mul(c, x)",
    *(f"c = {op} y = Cast <to = 1> (c)" for op in (
        "IsNaN(x)", "IsInf(x)", "Equal(x, x)", "Greater(x, z)", "GreaterOrEqual(x, z)", "Less(x, z)",
        "LessOrEqual(x, z)", "Cast <to = 9> (x)",
    )),
    *(f"d = {op}(x, z) c = Not(d) y = Cast <to = 1> (c)" for op in ("Less", "Equal", "GreaterOrEqual")),
]  # fmt: skip

ROWS = [
    "y = ReduceMax(x, last)", "y = ReduceMin(x, last)", "y = ReduceSum(x, last)", "y = ReduceL1(x, last)",
    "y = ReduceLogSumExp(x, last)", "y = Softmax(x)", "y = LogSoftmax(x)", "c = Add(x, mask) y = Softmax(c)",
    "c = Add(x, masked) y = Softmax(c)", "y = MaxPool <kernel_shape = [1, 3], pads = [0, 1, 0, 1]> (x)",
    "y = AveragePool <kernel_shape = [1, 3]> (x)", "y = GlobalMaxPool(x)", "y = LpNormalization <axis = 3> (x)",
    "c = Conv(x, filter) y = Relu(c)", "c = MatMul(x, matrix) y = Clip(c, low, high)",
    "y = LayerNormalization <axis = 3> (x, ones)",
]  # fmt: skip

_SHAPE = (1, 1, 7, 8)


def _model() -> onnx.ModelProto:
    """A model whose output i is what the i-th of ELEMENTWISE and ROWS makes of its inputs."""
    nodes: list[str] = []
    for i, text in enumerate([*ELEMENTWISE, *ROWS]):
        renamed = re.sub(r"\b([cdhgr])\b(?=\s*[,)=])", rf"\g<1>{i}", text)
        nodes.append(re.sub(r"\by =", f"y{i} =", renamed))
    outputs = ", ".join(f"float[a{i}, b{i}, c{i}, d{i}] y{i}" for i in range(len(nodes)))
    inputs = ", ".join(
        f"float[{', '.join(map(str, _SHAPE))}] {name}" for name in ("x", "z", "mask")
    )
    model = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 21]> test ({inputs}) => ({outputs}) '
        "<float zero = {0}, float low = {-1}, float high = {6}, float two = {2}, int64[1] last = {3},"
        f"float[1, 1, 1, 1] filter = {{2}}> {{ {' '.join(nodes)} }}"
    )
    masked = np.zeros((1, 1, 1, 8), np.float32)
    masked[..., 5:] = -np.inf
    for name, array in (
        ("masked", masked),
        ("infinite", np.float32(np.inf)),
        ("ones", np.ones(8, np.float32)),
        ("matrix", np.eye(8, dtype=np.float32)),
    ):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    return model


def _inputs() -> dict[str, Array]:
    rng = np.random.default_rng(0)
    x, z = (rng.standard_normal(_SHAPE).astype(np.float32) for _ in range(2))
    rows = x[0, 0]
    rows[0, 3] = np.nan
    rows[1, 0] = np.inf
    rows[2, 5] = rows[3] = -np.inf
    rows[4, 6:] = -np.inf, np.nan
    rows[6, :2] = 0, -0.0
    # the NaN that x86 makes of infinity less infinity has a sign
    rows[5, 1] = np.array(0xFFC00000, np.uint32).view(np.float32)
    z[0, 0, 1, 5] = np.nan
    mask = np.zeros(_SHAPE, np.float32)
    mask[0, 0, 6, 2:] = mask[0, 0, 5] = -np.inf
    return {"x": x, "z": z, "mask": mask}


def _same(actual: Array, expected: Array, text: str) -> None:
    for kind in (np.isnan, np.isposinf, np.isneginf):
        np.testing.assert_array_equal(kind(actual), kind(expected), f"{text}: {kind.__name__}")
    finite = np.isfinite(expected)
    np.testing.assert_allclose(actual[finite], expected[finite], 1e-3, 1e-6, err_msg=text)


def _in_chromium(package: Package, inputs: dict[str, Array], folder: Path) -> dict[str, Array]:
    package.save(folder / "package")
    (folder / "in").mkdir()
    for number, tensor in enumerate(package.manifest["inputs"]):
        inputs[tensor["name"]].tofile(folder / "in" / f"{number}.bin")
    node = shutil.which("node")
    assert node is not None, "Node.js is not installed"
    command = [node, str(SCRIPT), str(folder / "package"), "--backend", "webgpu"]
    folders = ["--inputs", str(folder / "in"), "--outputs", str(folder / "out")]
    done = subprocess.run([*command, *folders], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {
        tensor["name"]: np.fromfile(folder / "out" / f"{number}.bin", np.float32).reshape(
            tensor["shape"]
        )
        for number, tensor in enumerate(package.manifest["outputs"])
    }


def test_what_is_not_finite_comes_through(tmp_path: Path) -> None:
    model, inputs = _model(), _inputs()
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    expected = ort.InferenceSession(model.SerializeToString(), options).run(None, inputs)
    package = webdnn.compile(model, jobs=1)
    wasm = package.run(inputs, engine="wasmtime")
    for i, text in enumerate(ELEMENTWISE):  # of rows ONNX Runtime loses NaNs itself
        _same(wasm[f"y{i}"], np.asarray(expected[i]), text)
    naga = package.run(inputs, engine="wgpu")
    tint = _in_chromium(package, inputs, tmp_path)
    for i, text in enumerate([*ELEMENTWISE, *ROWS]):
        _same(naga[f"y{i}"], wasm[f"y{i}"], f"naga: {text}")
        _same(tint[f"y{i}"], wasm[f"y{i}"], f"Tint: {text}")


@pytest.mark.parametrize("op", ["maximumf", "minimumf"])
@pytest.mark.parametrize("lanes", [1, 4])
def test_extrema_of_any_numbers(op: str, lanes: int) -> None:
    special = np.array([0, 1, -2, np.inf, -np.inf, np.nan, -np.nan], np.float32)
    x, y = (m.ravel() for m in np.meshgrid(special, special))
    body = f"%r = arith.{op} %a, %b : f32"
    if lanes > 1:
        body = f"""%v = vector.broadcast %a : f32 to vector<4xf32>
    %w = vector.broadcast %b : f32 to vector<4xf32>
    %u = arith.{op} %v, %w : vector<4xf32>
    %r = vector.extract %u[2] : f32 from vector<4xf32>"""
    expected = (np.maximum if op == "maximumf" else np.minimum)(x, y)
    np.testing.assert_array_equal(run_elementwise(body, [x, y], "f32"), expected)
