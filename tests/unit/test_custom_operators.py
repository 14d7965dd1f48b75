"""Operators that ONNX does not define: from files, packages and Python, on both back ends, and wrong ones."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto

import webdnn
from tests.unit.custom_operator_files import BLUR, HEAD, SWISH, model_of, named
from webdnn import custom_operators
from webdnn.custom_operators import operator_classes, read_operators
from webdnn.dialects.dtypes import Array
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.numpy_meaning.onnx import run_node
from webdnn.frontends.onnx import library, load
from webdnn.tools import webdnn as tool
from webdnn.tools import webdnn_opt, webdnn_translate

RNG = np.random.default_rng(0)


def write(folder: Path, text: str, name: str = "operators.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def swish(x: Array, beta: float = 1.0) -> Array:
    return x / (1 + np.exp(-np.float32(beta) * x))


def run(model: ModelProto, file: Path, x: Array, *, target: Any = "wasm") -> Array:
    package = webdnn.compile(model, custom_ops=[file], target=target)
    return package.run({"x": x})["y"]


def error_of(folder: Path, text: str, model: ModelProto | None = None) -> str:
    """The message about a model with one node, `mine`, of com.example.Swish."""
    file = write(folder, text)
    chosen = model or named(model_of("y = com.example.Swish (x)"), "mine")
    with pytest.raises(webdnn.WebDNNError) as raised:
        webdnn.compile(chosen, custom_ops=[file], target="wasm")
    assert "bug of WebDNN" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("target", ["wasm", "webgpu"])
def test_special_values_and_odd_shapes(tmp_path: Path, target: str) -> None:
    file = write(tmp_path, SWISH)
    for shape in ((), (1,), (3, 1, 7), (2, 0, 3)):
        x = np.resize(np.array([0.5, -0.0, np.nan, -3, 40, np.inf], np.float32), shape)
        sizes = ", ".join(map(str, shape))
        given, wanted = (f"float[{sizes}] {n}" if shape else f"float {n}" for n in "xy")
        model = model_of("y = com.example.Swish <beta = 0.5> (x)", given, wanted)
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(run(model, file, x, target=target), swish(x, 0.5), rtol=1e-5)


@pytest.mark.parametrize("target", ["wasm", "webgpu"])
def test_an_op_of_its_own_between_others(tmp_path: Path, target: str) -> None:
    body = "a = Relu (x) b = com.example.Pairs (a) c = com.example.Pairs (b) y = Exp (c)"
    model = model_of(body, y="float[2, 3] y")
    x = RNG.normal(size=(2, 5)).astype(np.float32)
    a = np.maximum(x, 0)
    b = a[:, :-1] + a[:, 1:]
    expected = np.exp(b[:, :-1] + b[:, 1:])
    found = run(model, write(tmp_path, BLUR), x, target=target)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_of_weights_it_is_computed_when_compiling(tmp_path: Path) -> None:
    """Small ones are folded, large ones run when the package is written: both by the numpy meaning of the op."""
    for size in (4, 5000):
        model = model_of(
            "p = com.example.Pairs (w) y = Add (x, p)",
            f"float[{size - 1}] x",
            f"float[{size - 1}] y",
        )
        w = RNG.normal(size=size).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(w, "w"))
        x = RNG.normal(size=size - 1).astype(np.float32)
        package = webdnn.compile(model, custom_ops=[write(tmp_path, BLUR)], target="wasm")
        np.testing.assert_allclose(package.run({"x": x})["y"], x + (w[:-1] + w[1:]), rtol=1e-6)
        kernels = [kernel["name"] for kernel in package.manifest["backends"]["wasm"]["kernels"]]
        assert len(kernels) == 1 and "pairs" not in kernels[0]


def test_sizes_come_from_the_shape_function(tmp_path: Path) -> None:
    """A normalisation that ONNX defines as a function wants to know the types of what it reads."""
    body = "p = com.example.Pairs (x) r = Cast <to = 1> (p) y = MeanVarianceNormalization <axes = [1]> (r)"
    model = model_of(body, "float[2, n] x", "float[2, m] y")
    file = write(tmp_path, BLUR)
    package = webdnn.compile(model, custom_ops=[file], shapes={"x": [2, 6]}, target="wasm")
    x = RNG.normal(size=(2, 6)).astype(np.float32)
    pairs = x[:, :-1] + x[:, 1:]
    centered = pairs - pairs.mean(1, keepdims=True)
    expected = centered / np.sqrt(np.square(centered).mean(1, keepdims=True))
    np.testing.assert_allclose(package.run({"x": x})["y"], expected, rtol=1e-4, atol=1e-5)
    classes = operator_classes(read_operators(file))
    module = load(model, {"x": [2, 6]}, operators=classes).module
    assert "onnx.com.example.Pairs" in str(module) and "tensor<2x5xf32>" in str(module)


def test_in_a_branch_and_of_a_domain_that_is_not_imported(tmp_path: Path) -> None:
    model = model_of(
        "y = If (c) <then_branch = one () => (float[2, 5] t) { t = com.example.Swish (x) }, "
        "else_branch = two () => (float[2, 5] e) { e = Neg (x) }>",
        "float[2, 5] x, bool c",
    )
    del model.opset_import[1]
    package = webdnn.compile(model, custom_ops=[write(tmp_path, SWISH)], target="wasm")
    x = RNG.normal(size=(2, 5)).astype(np.float32)
    for condition, expected in ((True, swish(x)), (False, -x)):
        found = package.run({"x": x, "c": np.array(condition)})["y"]
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_names_of_onnx_in_another_domain(tmp_path: Path) -> None:
    """The rules of ONNX's Conv, Range, Shape and If are not those of another domain's."""
    for name in ("Conv", "Range", "Shape", "If", "LayerNormalization", "Constant", "Dropout"):
        text = HEAD + f'operator = webdnn.CustomOperator(schema("{name}"), lower, swish)\n'
        x = RNG.normal(size=(2, 5)).astype(np.float32)
        found = run(model_of(f"y = com.example.{name} (x)"), write(tmp_path, text), x)
        np.testing.assert_allclose(found, swish(x), rtol=1e-5)


@pytest.mark.parametrize(
    ("domain", "name"), [("", "Mine"), ("ai.onnx", "Mine"), ("ai.onnx.ml", "Normalizer")]
)
def test_without_a_domain_and_of_one_that_is_not_lowered(
    tmp_path: Path, domain: str, name: str
) -> None:
    text = (
        HEAD
        + f'operator = webdnn.CustomOperator(schema("{name}", domain="{domain}"), lower, swish, same)\n'
    )
    operator = f"{domain}.{name}" if domain == "ai.onnx.ml" else name
    model = model_of(f"t = {operator} (x) y = Identity (t)")
    model.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", 3))
    x = RNG.normal(size=(2, 5)).astype(np.float32)
    np.testing.assert_allclose(run(model, write(tmp_path, text), x), swish(x), rtol=1e-5)


def test_the_version_that_the_model_imports(tmp_path: Path) -> None:
    text = HEAD + (
        "one = webdnn.CustomOperator(schema(version=1), lower, swish)\n"
        "three = webdnn.CustomOperator(schema(version=3), lambda node, b: b(ew.NegOp, node[0]))\n"
    )
    x = RNG.normal(size=(2, 5)).astype(np.float32)
    for version, expected in ((1, swish(x)), (2, swish(x)), (3, -x), (4, -x)):
        model = model_of("y = com.example.Swish (x)")
        model.opset_import[1].version = version
        np.testing.assert_allclose(run(model, write(tmp_path, text), x), expected, rtol=1e-5)


def test_several_results_and_absent_inputs(tmp_path: Path) -> None:
    text = HEAD + (
        "parameter, kinds = OpSchema.FormalParameter, OpSchema.FormalParameterOption\n"
        'two = OpSchema("Two", "com.example", 1, inputs=[parameter("a", "tensor(int64)"),\n'
        '    parameter("b", "tensor(int64)", param_option=kinds.Optional), parameter("c", "tensor(int64)")],\n'
        '    outputs=[parameter("d", "tensor(int64)"), parameter("e", "tensor(int64)")])\n'
        "def lower_two(node, b):\n"
        "    assert not node.has(1)\n"
        "    return [b(ew.AddOp, node[0], node[2]), b(ew.SubOp, node[0], node[2])]\n"
        "operator = webdnn.CustomOperator(two, lower_two)\n"
    )
    model = model_of('d, e = com.example.Two (x, "", x) y = Add (d, e)', "int64[3] x", "int64[3] y")
    x = np.array([1, -(2**40), 3], np.int64)
    np.testing.assert_array_equal(run(model, write(tmp_path, text), x), 2 * x)


def test_meaning_of_level_onnx(tmp_path: Path) -> None:
    (cls,) = operator_classes(read_operators(write(tmp_path, SWISH)))
    module = load(model_of("y = com.example.Swish <beta = 2.0> (x)"), operators=[cls]).module
    (op,) = [op for op in module.walk() if isinstance(op, cls)]
    x = RNG.normal(size=(2, 5)).astype(np.float32)
    np.testing.assert_array_equal(run_node(op, [x])[0], swish(x, 2.0))


def test_compilations_do_not_mix(tmp_path: Path) -> None:
    """Two files define one operator differently; in threads, and where ONNX's library cannot be forked."""
    model = model_of("y = com.example.Swish (x)")
    negative = (
        HEAD
        + "operator = webdnn.CustomOperator(schema(), lambda node, b: b(ew.NegOp, node[0]), infer=same)\n"
    )
    files = [write(tmp_path, SWISH, "a.py"), write(tmp_path, negative, "b.py")]
    x = RNG.normal(size=(2, 5)).astype(np.float32)
    with ThreadPoolExecutor(2) as pool:
        found = [*pool.map(lambda i: run(model, files[i % 2], x), range(4))]
    for i, y in enumerate(found):
        np.testing.assert_allclose(y, (swish(x), -x)[i % 2], rtol=1e-5)
    assert not onnx.defs.has("Swish", "com.example")
    with pytest.raises(webdnn.WebDNNError, match="--custom-ops FILE"):
        webdnn.compile(model)


def test_operators_that_share_a_schema() -> None:
    """A schema is not changed by a compilation, so it can be of another operator afterwards."""
    schema = onnx.defs.OpSchema(
        "Same",
        "com.example",
        1,
        "its text",
        inputs=[onnx.defs.OpSchema.FormalParameter("x", "T", min_arity=1)],
        outputs=[onnx.defs.OpSchema.FormalParameter("y", "T")],
        type_constraints=[("T", ["tensor(float)", "tensor(int64)"], "numbers")],
        attributes=[
            onnx.defs.OpSchema.Attribute("k", onnx.defs.OpSchema.AttrType.INTS, "", required=False)
        ],
    )

    def same(types: Any) -> None:
        types.set_output_type(0, types.get_input_type(0))

    first = webdnn.CustomOperator(schema, lambda node, b: b(ew.NegOp, node[0]), infer=same)
    second = replace(first, lowering=lambda node, b: b(ew.AbsOp, node[0]))
    x = np.array([1, -2, 3], np.int64)
    for operator, expected in ((first, -x), (second, np.abs(x))):
        package = webdnn.compile(
            model_of("y = com.example.Same (x)", "int64[3] x", "int64[3] y"),
            custom_ops=[operator],
            target="wasm",
        )
        np.testing.assert_array_equal(package.run({"x": x})["y"], expected)
        again = replace(operator, meaning=np.negative)
        assert repr(operator_classes([again])[0].schema) == repr(schema)


def test_without_forks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "FORKS", False)
    x = RNG.normal(size=(2, 5)).astype(np.float32)
    body = "p = com.example.Pairs (x) y = Relu (p)"
    found = run(model_of(body, y="float[2, 4] y"), write(tmp_path, BLUR), x)
    np.testing.assert_allclose(found, np.maximum(x[:, :-1] + x[:, 1:], 0), rtol=1e-6)
    assert not onnx.defs.has("Pairs", "com.example")


def test_compiled_by_processes_that_know_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webdnn.kernel_compiler._start_method", lambda: "spawn")
    model = model_of(
        "p = com.example.Pairs (x) m = MatMul (p, w) y = Softmax (m)", y="float[2, 3] y"
    )
    w = RNG.normal(size=(4, 3)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(w, "w"))
    package = webdnn.compile(
        model,
        custom_ops=[write(tmp_path, BLUR)],
        target="wasm",
        jobs=2,
        cache=webdnn.KernelCache(enabled=False),
    )
    x = RNG.normal(size=(2, 5)).astype(np.float32)
    scores = np.exp((x[:, :-1] + x[:, 1:]) @ w)
    expected = scores / scores.sum(1, keepdims=True)
    np.testing.assert_allclose(package.run({"x": x})["y"], expected, rtol=1e-5)


def test_installed_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, SWISH, "example_operators.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    entries = [EntryPoint("example", "example_operators", custom_operators.ENTRY_POINTS)]
    monkeypatch.setattr(custom_operators, "entry_points", lambda group: entries)
    custom_operators.installed_operators.cache_clear()
    other = r"the package example_operators defines com\.example\.Swish"
    try:
        with pytest.raises(webdnn.WebDNNError, match=other):
            webdnn.compile(model_of("y = com.example.Swash (x)"))
        package = webdnn.compile(model_of("y = com.example.Swish (x)"), target="wasm")
        x = RNG.normal(size=(2, 5)).astype(np.float32)
        np.testing.assert_allclose(package.run({"x": x})["y"], swish(x), rtol=1e-5)
        entries[:] = [EntryPoint("broken", "no_such_module", custom_operators.ENTRY_POINTS)]
        custom_operators.installed_operators.cache_clear()
        with pytest.raises(webdnn.WebDNNError, match=r"no_such_module cannot be loaded"):
            webdnn.compile(model_of("y = Relu (x)"))
        write(tmp_path, "raise SystemExit(0)\n", "exiting_operators.py")
        entries[:] = [EntryPoint("exits", "exiting_operators", custom_operators.ENTRY_POINTS)]
        custom_operators.installed_operators.cache_clear()
        with pytest.raises(webdnn.WebDNNError, match=r"exiting_operators cannot be loaded"):
            webdnn.compile(model_of("y = Relu (x)"))
    finally:
        custom_operators.installed_operators.cache_clear()


def test_the_tools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, BLUR)
    model = model_of("p = com.example.Pairs (x) y = Relu (p)", y="float[2, 4] y")
    onnx.save(model, "model.onnx")
    option = ["--custom-ops", "operators.py"]
    call = ["compile", "model.onnx", "-o", "one", "--target", "wasm", *option]
    tool.app(call, standalone_mode=False)
    for stage, op in (("onnx", "onnx.com.example.Pairs"), ("nn", "example.pairs")):
        webdnn_opt.main(["model.onnx", "--to-stage", stage, "-o", f"{stage}.mlir", *option])
        text = Path(f"{stage}.mlir").read_text()
        assert f"{op}" in text
        capsys.readouterr()
        webdnn_opt.main([f"{stage}.mlir", *option])
        assert capsys.readouterr().out.strip() == text.strip()
        call = [f"{stage}.mlir", "--to", "package", "-o", stage, *option]
        webdnn_translate.app(call, standalone_mode=False)
        wasm = "wasm/simd128.wasm"
        assert Path(stage, wasm).read_bytes() == Path("one", wasm).read_bytes()
    with pytest.raises(SystemExit):
        webdnn_opt.main(["nn.mlir"])
    assert "example.pairs" in capsys.readouterr().err


FILES_THAT_CANNOT_BE_READ = {
    "x = (\n": "operators.py:1",
    "import no_such_module\n": "operators.py:1\n  why:   ModuleNotFoundError",
    "\nraise ValueError('mine')\n": "operators.py:2\n  why:   ValueError: mine",
    "import sys\nsys.exit(3)\n": "operators.py:2\n  why:   SystemExit: 3",
    "x = 1\n": "defines no custom operator",
    HEAD + 's = schema(types=["tensor(flot)"])\n': "flot",
    HEAD + "o = webdnn.CustomOperator(schema(version=0), lower)\n": "its version is 0",
    HEAD + "o = webdnn.CustomOperator(schema(), 3)\n": "its lowering is not a function",
    HEAD + 'o = webdnn.CustomOperator("Swish", lower)\n': "is an onnx.defs.OpSchema",
    HEAD
    + 'o = webdnn.CustomOperator(schema("Relu", domain=""), lower)\n': "defines this operator itself",
    HEAD
    + "o = webdnn.CustomOperator(schema(), lower, nn_ops=[ew.AbsOp])\n": "nn.abs lacks the trait",
    HEAD
    + "a = webdnn.CustomOperator(schema(), lower)\nb = webdnn.CustomOperator(schema(), lower)\n": "declared twice",
    HEAD
    + 's = OpSchema("Swish", "com.example", 1, inputs=[OpSchema.FormalParameter("x", "T")])\n'
    + "o = webdnn.CustomOperator(s, lower)\n": "invalid data type string 'T'",
}


@pytest.mark.parametrize("text", FILES_THAT_CANNOT_BE_READ, ids=lambda text: text.splitlines()[-1])
def test_files_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    assert FILES_THAT_CANNOT_BE_READ[text] in error_of(tmp_path, text)


def test_a_file_of_other_operators(tmp_path: Path) -> None:
    """The error says which file was read, and what it defines."""
    others = SWISH + "other = webdnn.CustomOperator(schema('Blur'), lower, swish, same)\n"
    message = error_of(tmp_path, others, model_of("y = com.example.Swash (x)"))
    assert "com.example.Swash" in message
    defined = "defines com.example.Swish, com.example.Blur"
    assert f"{tmp_path / 'operators.py'} {defined}" in message


def test_other_operators_of_the_program(tmp_path: Path) -> None:
    operators = custom_operators.read_operators(write(tmp_path, SWISH))
    given = webdnn.CustomOperator(operators[0].schema, operators[0].lowering)
    with pytest.raises(webdnn.WebDNNError, match=r"the program \(.*\) defines com\.example\.Swish"):
        webdnn.compile(model_of("y = com.example.Swash (x)"), custom_ops=[given])


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(webdnn.WebDNNError, match=r"no such file of custom operators(.|\n)*absent"):
        webdnn.compile(model_of("y = Relu (x)"), custom_ops=[tmp_path / "absent.py"])


WRONG_FUNCTIONS = {
    "def infer(types):\n    return {}['a']\n": (
        "the shape function of com.example.Swish fails",
        "KeyError: 'a'",
    ),
    "def infer(types):\n    t = types.get_input_type(0)\n    t.tensor_type.shape.dim[1].dim_value = 4\n"
    "    types.set_output_type(0, t)\n": (
        "gives float32[2, 5] as output 0, and its shape function says float32[2, 4]",
    ),
    "def infer(types):\n    t = types.get_input_type(0)\n    t.tensor_type.elem_type = 7\n"
    "    types.set_output_type(0, t)\n": ("its shape function", "unsupported type tensor(int64)"),
    "def lowering(node, b):\n    return node.nothing\n": (
        "its lowering fails at",
        "AttributeError",
    ),
    "def lowering(node, b):\n    raise SystemExit(0)\n": (
        "its lowering fails at",
        "SystemExit: 0",
    ),
    "def infer(types):\n    raise SystemExit(0)\n": (
        "the shape function of com.example.Swish fails",
        "SystemExit: 0",
    ),
    "def lowering(node, b):\n    return None\n": ("gives nothing, where 1 value is needed",),
    "def lowering(node, b):\n    return [3]\n": ("gives a int as output 0",),
    "def lowering(node, b):\n    return b(ew.LessOp, node[0], 0.0)\n": (
        "gives bool[2, 5] as output 0",
    ),
    "def lowering(node, b):\n    return b(ew.AddOp, node[0], b.constant([1.0] * 4, node.element()))\n": (
        "its lowering fails at",
        "do not broadcast",
    ),
}


@pytest.mark.parametrize("text", WRONG_FUNCTIONS, ids=lambda text: text.splitlines()[-1].strip())
def test_functions_that_are_wrong(tmp_path: Path, text: str) -> None:
    """The message says which node it is of, and where in the file the function stands."""
    head = HEAD + "infer, lowering = same, lower\n"
    line = len(head.splitlines()) + 1
    end = "operator = webdnn.CustomOperator(schema(), lowering, swish, infer)\n"
    body = "t = com.example.Swish (x) y = Cast <to = 1> (t)"
    model = named(model_of(body, y="float[rows, columns] y"), "mine", "cast")
    message = error_of(tmp_path, head + text + end, model)
    assert "mine" in message
    for part in WRONG_FUNCTIONS[text]:
        assert part in message
    if "infer" not in text or "{}" in text:
        assert f"operators.py:{line}" in message or f"operators.py:{line + 1}" in message


def test_a_shape_function_that_the_model_contradicts(tmp_path: Path) -> None:
    text = HEAD + (
        "def infer(types):\n    t = types.get_input_type(0)\n    t.tensor_type.shape.dim[1].dim_value = 4\n"
        "    types.set_output_type(0, t)\n"
        "operator = webdnn.CustomOperator(schema(), lower, swish, infer)\n"
    )
    model = named(model_of("t = com.example.Swish (x) y = Relu (t)"), "mine", "relu")
    message = error_of(tmp_path, text, model)
    assert "'y' is declared float[2, 5], and node 'relu' (Relu) gives float[2, 4]" in message
    assert "by the shape function of com.example.Swish (node 'mine')" in message
    assert "correct the shape function" in message


def test_sizes_of_an_example_contradict_nothing(tmp_path: Path) -> None:
    """Exporters leave those of their example in what lies behind an input whose sizes vary."""
    model = model_of("y = com.example.Swish (x)", "float[n, 5] x", "float[1, 5] y")
    text = HEAD + "operator = webdnn.CustomOperator(schema(), lower)\n"
    package = webdnn.compile(
        model, shapes={"x": [2, 5]}, custom_ops=[write(tmp_path, text)], target="wasm"
    )
    x = RNG.normal(size=(2, 5)).astype(np.float32)
    np.testing.assert_allclose(package.run({"x": x})["y"], swish(x), rtol=1e-5)


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        ("float[2, 5] x", "float[2, 5] y", "float32[2, 5]"),
        ("float[N, 5] x", "float[N, 5] y", "float32[2, 5]"),
        ("float[N, 5] x", "float[M, 5] y", ""),
        ("float[N, 5] x", "float[M, K] y", ""),
    ],
)
def test_results_of_other_sizes_than_the_model_declares(
    tmp_path: Path, x: str, y: str, expected: str
) -> None:
    text = HEAD + (
        "def lowering(node, b):\n    return b.constant([[0.0] * 9] * 9, node.element())\n"
        "operator = webdnn.CustomOperator(schema(), lowering)\n"
    )
    file = write(tmp_path, text)
    model = named(model_of("y = com.example.Swish (x)", x, y), "mine")
    shapes = {"x": [2, 5]}
    if not expected:
        package = webdnn.compile(model, shapes=shapes, custom_ops=[file], target="wasm")
        assert package.manifest["outputs"][0]["shape"] == [9, 9]
        return
    message = (
        rf"gives float32\[9, 9\] as output 0, and the model says {re.escape(expected)}\): 'mine'"
    )
    with pytest.raises(webdnn.WebDNNError, match=message):
        webdnn.compile(model, shapes=shapes, custom_ops=[file], target="wasm")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("    return r.finish(*r", "    return r.nothing(*r", "the lowering of example.pairs to linalg fails"),
        ("    (x,) = r.args\n", "    return r.finish(r.args[0])\n", "and the op is of tensor<2x4xf32>"),
    ],
)  # fmt: skip
def test_linalg_that_is_wrong(tmp_path: Path, old: str, new: str, expected: str) -> None:
    model = named(model_of("y = com.example.Pairs (x)", y="float[2, 4] y"), "mine")
    message = error_of(tmp_path, BLUR.replace(old, new), model)
    assert expected in message and "mine" in message and "operators.py:" in message


def test_a_meaning_that_is_wrong(tmp_path: Path) -> None:
    model = model_of("p = com.example.Pairs (w) y = Add (x, p)", "float[4] x", "float[4] y")
    w = np.ones(5, np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(w, "w"))
    text = BLUR.replace("return x[..., :-1] + x[..., 1:]", "return x")
    message = error_of(tmp_path, text, named(model, "mine", "add"))
    assert "the numpy meaning of example.pairs fails" in message and "mine" in message


def test_what_it_cannot_express(tmp_path: Path) -> None:
    text = HEAD + (
        "from webdnn.lowering.onnx_to_nn.errors import Unsupported\n"
        "def lowering(node, b):\n    raise Unsupported('it has a negative beta', 'train it anew')\n"
        "operator = webdnn.CustomOperator(schema(), lowering, swish, same)\n"
    )
    message = error_of(tmp_path, text)
    assert "it has a negative beta" in message and "train it anew" in message and "mine" in message
