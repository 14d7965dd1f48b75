"""Names in a model may be anything: they reach WGSL, manifests and objects of JavaScript, and must do nothing there."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

import webdnn
from webdnn.codegen.wgsl.module import label_comment
from webdnn.package import Engine, Package

ODD = (
    "a\0b",
    "a\nb\rc\u2028d\x85e\vf",
    "*/ const x = 1; /*",
    "// @compute",
    "é🎉",
    "\u202eltr",
    "\x1b[31m",
    "x" * 50_000,
    "__proto__",
    "constructor",
    "hasOwnProperty",
    "[/bold]",
    '"%s"\\',
    " ",
)


def test_comments_hold_one_line_that_can_be_seen() -> None:
    comment = label_comment(ODD)
    assert all(line.startswith("// ") and line.isprintable() for line in comment.split("\n")[:-1])
    assert len(comment) < 1000
    assert label_comment([" ", "\n"]) == ""
    assert label_comment(["a\0b"]) == "// a\ufffdb\n"
    assert label_comment(["/encoder/é 1"]) == "// /encoder/é 1\n"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """An input, a node and an output of each name."""
    nodes = [helper.make_node("Neg", [name], [f"{name}."], name=name) for name in ODD]
    inputs, outputs = (
        [
            helper.make_tensor_value_info(name + end, TensorProto.FLOAT, [i + 1])
            for i, name in enumerate(ODD)
        ]
        for end in ("", ".")
    )
    graph = helper.make_graph(nodes, "a\0b*/", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    folder = webdnn.compile(model, jobs=1).save(tmp_path_factory.mktemp("odd") / "package")
    return Package.load(folder)


@pytest.mark.parametrize("engine", ["wasmtime", "wgpu"])
def test_models_with_odd_names_run(package: Package, engine: Engine) -> None:
    inputs = {name: np.full(i + 1, i, np.float32) for i, name in enumerate(ODD)}
    results = package.run(inputs, engine)
    assert list(results) == [f"{name}." for name in ODD]
    for name, x in inputs.items():
        np.testing.assert_array_equal(results[f"{name}."], -x)


def test_labels_are_the_names_of_the_model(package: Package) -> None:
    for backend in package.backends:
        launches = package.section(backend)["launches"]
        assert {name for launch in launches for name in launch["label"]} == {*ODD}


def test_files_have_names_of_their_own(package: Package) -> None:
    assert all(file.isascii() for file in package.files)
