"""Softmax, the best classes, new names, labels and metadata: what stands between an application and a model."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import webdnn
from tests.unit.caffe_models import input_layer, layer
from webdnn import ImageInput
from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError
from webdnn.labels import class_labels
from webdnn.lowering.interface.names import parse_renamings
from webdnn.metadata import kept_metadata
from webdnn.package import Package
from webdnn.runner import best_classes
from webdnn.tools.arguments import parse_images, parse_labels, parse_top_k

ENGINES: Sequence[Any] = ("wasmtime", "wgpu")
LABELS = ["cat", "dog", "gnu", "emu", "ant"]
X = np.array([[0.5, 3, -1, 3, 2]], np.float32)


def model(text: str, **metadata: str) -> onnx.ModelProto:
    parsed = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> g {text}')
    onnx.helper.set_model_props(parsed, metadata)
    return parsed


SCORES = "(float[n, 5] x) => (float[n, 5] y) { y = Identity(x) }"
ONE = "(float[1, 5] x) => (float[1, 5] y) { y = Neg(x) }"
TWO = "(float[1, 5] x) => (float[1, 5] y, float[1, 5] z) { y = Identity(x) z = Neg(x) }"


def softmax(x: Array, axis: int = -1) -> Array:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def test_classes_on_both_back_ends() -> None:
    package = webdnn.compile(
        model(SCORES), shapes={"x": [1, 5]}, softmax=True, top_k=3, labels=LABELS, jobs=1
    )
    assert package.manifest["outputs"] == [
        {"name": "y_values", "dtype": "float32", "shape": [1, 3]},
        {"name": "y_indices", "dtype": "int32", "shape": [1, 3], "labels": {"names": LABELS}},
    ]
    for engine in ENGINES:
        results = package.run({"x": X}, engine)
        assert results["y_indices"].tolist() == [[1, 3, 4]]
        np.testing.assert_allclose(results["y_values"], softmax(X)[:, [1, 3, 4]], rtol=1e-5)


def test_the_dimension_of_classes_is_that_of_the_labels() -> None:
    x = np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32)
    package = webdnn.compile(
        model("(float[2, 5, 3] x) => (float[2, 5, 3] y) { y = Identity(x) }"),
        target="wasm", softmax="y", top_k={"y": 2}, labels={"y": LABELS}, jobs=1,
    )  # fmt: skip
    results = package.run({"x": x})
    order = np.argsort(-x, 1, kind="stable")[:, :2]
    assert np.array_equal(results["y_indices"], order)
    wanted = np.take_along_axis(softmax(x, 1), order, 1)
    np.testing.assert_allclose(results["y_values"], wanted, rtol=1e-5)


def test_classes_of_a_network_that_ends_with_a_picture_of_one_point() -> None:
    package = webdnn.compile(
        model("(float[1, 5, 1, 1] x) => (float[1, 5, 1, 1] y) { y = Identity(x) }"),
        target="wasm", softmax=True, top_k=2, jobs=1,
    )  # fmt: skip
    results = package.run({"x": X.reshape(1, 5, 1, 1)})
    assert results["y_indices"].shape == (1, 2, 1, 1)
    assert results["y_indices"].ravel().tolist() == [1, 3]
    np.testing.assert_allclose(results["y_values"].ravel(), softmax(X)[0, [1, 3]], rtol=1e-5)


def test_one_of_several_outputs() -> None:
    package = webdnn.compile(
        model(TWO), target="wasm", softmax=["z"], top_k={"y": 1}, labels={"z": LABELS}, jobs=1,
        rename_inputs={"x": "a=b:0"}, rename_outputs={"y": "best", "z": "x"},
    )  # fmt: skip
    assert [t["name"] for t in package.manifest["inputs"]] == ["a=b:0"]
    names = [t["name"] for t in package.manifest["outputs"]]
    assert names == ["best_values", "best_indices", "x"]
    assert package.labels("x") == LABELS and package.labels("best_indices") == ()
    assert package.manifest["outputs"][2]["labels"]["axis"] == 1
    results = package.run({"a=b:0": X})
    assert results["best_indices"].item() == 1
    np.testing.assert_allclose(results["x"], softmax(-X), rtol=1e-5)


def test_names_may_change_places() -> None:
    package = webdnn.compile(model(TWO), target="wasm", rename_outputs={"y": "z", "z": "y"}, jobs=1)
    results = package.run({"x": X})
    assert np.array_equal(results["z"], X) and np.array_equal(results["y"], -X)


def test_parts_of_the_best_may_be_renamed() -> None:
    package = webdnn.compile(
        model(SCORES), target="wasm", shapes={"x": [1, 5]}, top_k=1, labels=LABELS,
        rename_outputs={"y_indices": "which"}, jobs=1,
    )  # fmt: skip
    assert [t["name"] for t in package.manifest["outputs"]] == ["y_values", "which"]
    assert package.labels("which") == LABELS


def test_labels_of_numbers_of_classes() -> None:
    package = webdnn.compile(
        model("(float[1, 4, 6] x) => (int64[1, 6] y) { y = ArgMax<axis = 1, keepdims = 0>(x) }"),
        target="wasm", labels=LABELS, jobs=1,
    )  # fmt: skip
    assert package.manifest["outputs"][0]["labels"] == {"names": LABELS}


SIXTEEN = "(float16[1, 5] x) => (float16[1, 5] y) { y = Identity(x) }"
INTEGERS = "(int8[1, 5] x) => (int8[1, 5] y) { y = Identity(x) }"


@pytest.mark.parametrize(("text", "dtype"), [(SIXTEEN, np.float16), (INTEGERS, np.int8)])
def test_other_types(text: str, dtype: Any) -> None:
    package = webdnn.compile(model(text), top_k=5, labels=LABELS, jobs=1)
    x = np.array([[3, -7, 5, 5, 0]], dtype)
    for engine in ENGINES:
        results = package.run({"x": x}, engine)
        assert results["y_values"].dtype == dtype
        assert results["y_indices"].tolist() == [[2, 3, 0, 4, 1]]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (TWO, {"softmax": True}, r"the model has 2 outputs\n.*name one: its outputs are 'y', 'z'"),
        (TWO, {"top_k": 2}, "the model has 2 outputs"),
        (TWO, {"labels": LABELS}, "the model has 2 outputs"),
        (INTEGERS, {"top_k": {"": 2, "y": 1}}, "the output 'y' is given --top-k 2 and --top-k y=1"),
        (ONE, {"softmax": ["", "y"]}, "the output 'y' is given --softmax and --softmax-output y"),
        (TWO, {"top_k": {"w": 2}}, r"no output named 'w'\n.*its outputs are 'y', 'z'"),
        (TWO, {"top_k": {"y": 6}}, r"no 6 greatest values of the output 'y'\n  where: \[1, 5\]"),
        (TWO, {"top_k": {"y": 0}}, "no 0 greatest values"),
        (TWO, {"labels": {"y": LABELS[:4]}}, r"there are 4 labels, and the output 'y' has the shape \[1, 5\]"),
        (TWO, {"labels": {"y": LABELS[:4]}, "top_k": {"y": 1}}, "there are 4 labels"),
        (TWO, {"labels": {"y": LABELS[:4]}, "softmax": "y"}, "there are 4 labels"),
        (TWO, {"labels": {"y": ["cat"]}}, r"there is 1 label, and the output 'y' has the shape \[1, 5\]"),
        (TWO, {"labels": {"y": []}}, "there are no labels"),
        (TWO, {"rename_outputs": {"w": "v"}}, "no output named 'w'"),
        (TWO, {"rename_outputs": {"y": "z"}}, r"two outputs would be named 'z'\n  where: y, z"),
        (TWO, {"rename_outputs": {"y": ""}}, "'y' would have no name"),
        (TWO, {"rename_inputs": {"y": "z"}}, "no input named 'y'"),
        (INTEGERS, {"softmax": True}, "holds integers, and has no softmax"),
        ("(float[1, 5] x) => (float[1, 5] y) { y = Softmax(x) }", {"softmax": True}, "is a softmax already"),
        ("(float[1, 5] x) => (float y) { y = ReduceMax<keepdims = 0>(x) }", {"top_k": 1}, "is a single number"),
        ("(float[5] x) => (float[5] y, float[5] y_values) { y = Neg(x) y_values = Abs(x) }",
         {"top_k": {"y": 1}}, "two outputs would be named 'y_values'"),
    ],
)  # fmt: skip
def test_what_does_not_fit(text: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(WebDNNError, match=message):
        webdnn.compile(model(text), target="wasm", jobs=1, **options)


def test_an_output_that_is_constant() -> None:
    text = "(float[1] x) => (float[1, 3] y) <float[1, 3] w = {1, 3, 2}> { y = Identity(w) }"
    package = webdnn.compile(model(text), target="wasm", softmax=True, top_k=1, jobs=1)
    assert package.run({"x": np.zeros(1, np.float32)})["y_indices"].item() == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.txt", "cat\ndog\ngnu\nemu\nant\n"),
        ("windows.txt", "\ufeffcat\r\ndog\r\ngnu\r\nemu\r\nant\r\n\r\n"),
        ("list", f" {json.dumps(LABELS)}\n"),
        ("object.json", json.dumps({str(4 - n): name for n, name in enumerate(LABELS[::-1])})),
        ("config.json", json.dumps({"model_type": "vit", "id2label": dict(enumerate(LABELS))})),
        ("keras.json", json.dumps({n: [f"n{n}", name] for n, name in enumerate(LABELS)})),
    ],
)
def test_files_of_labels(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_bytes(content.encode())
    assert class_labels(tmp_path / name) == tuple(LABELS)
    assert class_labels(str(tmp_path / name)) == tuple(LABELS)


def test_labels_in_brackets(tmp_path: Path) -> None:
    (tmp_path / "vocabulary").write_text("[PAD]\n\n[a, b]\x0bc\u2028")
    assert class_labels(tmp_path / "vocabulary") == ("[PAD]", "", "[a, b]\x0bc")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "there are no labels"),
        (b"\n\n", "there are no labels"),
        (b"caf\xe9", "cannot be read.*UTF-8 with one label a line"),
        (b"[1, 2]", "the label of class 0 is no text"),
        (b"[1,]", "cannot be read"),
        (b'{"0": "a", "00": "b"}', "class 1 of 2 has no label"),
        (b'{"0": "a", "2": "b"}', "class 1 of 2 has no label"),
        (b'{"a": "b"}', "cannot be read"),
        (b'{"id2label": 3}', "neither a list nor an object"),
        (b"[" * 100_000 + b"]" * 100_000, "cannot be read"),
        (b"x" * (2 << 20), "too large for a package: 2,097,152 bytes"),
        (None, "No such file"),
    ],
)
def test_bad_files_of_labels(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "labels"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WebDNNError, match=f"(?s){message}"):
        class_labels(path)


def test_metadata_and_labels_are_saved_and_loaded(tmp_path: Path) -> None:
    metadata = {"author": "Ada", "__proto__": "x", "names": "{0: 'person'}", "": "π"}
    package = webdnn.compile(
        model(SCORES, **metadata), target="wasm", shapes={"x": [1, 5]}, labels=LABELS, jobs=1
    )
    loaded = Package.load(package.save(tmp_path / "package"))
    assert loaded.metadata == metadata
    assert loaded.labels("y") == LABELS
    with pytest.raises(WebDNNError, match=r"no output 'z'\n.*the outputs are y"):
        loaded.labels("z")
    manifest = tmp_path / "package" / "model.json"
    good = json.loads(manifest.read_text())
    (output,) = good["outputs"]
    for bad in (
        {**good, "metadata": {"a": 1}},
        {**good, "metadata": []},
        {**good, "outputs": [{**output, "labels": LABELS}]},
        {**good, "outputs": [{**output, "labels": {"axis": 1, "names": LABELS[1:]}}]},
        {**good, "outputs": [{**output, "labels": {"axis": 2, "names": LABELS}}]},
    ):
        manifest.write_text(json.dumps(bad))
        with pytest.raises(WebDNNError, match="this is not a package"):
            Package.load(tmp_path / "package")


def test_metadata_has_a_limit() -> None:
    pairs = [["small", "x"], ["large", "x" * (64 << 10)], ["other", "y" * 1000]]
    with pytest.warns(UserWarning, match="left out of the package: large"):
        assert list(kept_metadata(pairs)) == ["small", "other"]


def test_the_best_classes_in_a_table() -> None:
    package = webdnn.compile(
        model(SCORES), target="wasm", shapes={"x": [1, 5]}, labels=LABELS, jobs=1
    )
    table = best_classes(package, package.run({"x": X}), 2)
    assert [list(column.cells) for column in table.columns] == [
        ["y", "y"], ["1", "3"], ["dog", "emu"], ["3", "3"],
    ]  # fmt: skip


def test_a_picture_in_the_place_of_a_constant() -> None:
    text = "(float[1, 3, 2, 2] x) => (float[1, 3, 2, 2] y) { y = Neg(x) }"
    with pytest.raises(WebDNNError, match="the input 'x' is given a value and a picture"):
        webdnn.compile(
            model(text), values={"x": np.ones((1, 3, 2, 2))}, input_images={"x": ImageInput()}
        )


def test_the_best_classes_of_top_k() -> None:
    package = webdnn.compile(
        model(SCORES),
        target="wasm", shapes={"x": [1, 5]}, labels=LABELS, top_k=3, rename_outputs={"y": "score"}, jobs=1,
    )  # fmt: skip
    table = best_classes(package, package.run({"x": X}), 2)
    assert [list(column.cells) for column in table.columns] == [
        ["score_indices"] * 2, ["1", "3"], ["dog", "emu"], ["3", "3"],
    ]  # fmt: skip


def test_commands(tmp_path: Path) -> None:
    text = "(float[1, 3, 2, 2] x) => (float[1, 3, 1, 1] y) { y = GlobalAveragePool(x) }"
    onnx.save(model(text), tmp_path / "model.onnx")
    (tmp_path / "a=b.txt").write_text("red\ngreen\nblue\n")
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[..., 1] = 255
    np.save(tmp_path / "x.npy", pixels)

    def webdnn_tool(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "webdnn"), *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    done = webdnn_tool(
        "compile", "model.onnx", "-o", "package", "--target", "wasm", "--jobs", "1",
        "--input-image", "x=uint8-rgba", "--labels", "a=b.txt", "--softmax",
        "--rename-output", "y=color",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = webdnn_tool("run", "package", "--input", "x=x.npy", "-o", "out", "--top", "1")
    assert done.returncode == 0, done.stderr
    assert "green" in done.stdout and "color" in done.stdout
    done = webdnn_tool("compile", "model.onnx", "-o", "other", "--labels", "none.txt")
    assert done.returncode == 1
    assert "the labels cannot be read" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "other").exists()


def test_options(tmp_path: Path) -> None:
    assert parse_top_k(["5"]) == {"": 5}
    assert parse_top_k(["a=b=5", "c=3"]) == {"a=b": 5, "c": 3}
    assert parse_labels(["labels.txt"]) == {"": "labels.txt"}
    (tmp_path / "a=b").touch()
    assert parse_labels([f"{tmp_path}/a=b"]) == {"": f"{tmp_path}/a=b"}
    assert parse_labels(["a=b=c.txt"]) == {"a=b": "c.txt"}
    assert parse_renamings(["S:1=notes", "a=b=c"]) == {"S:1": "notes", "a=b": "c"}
    assert parse_images(["a=uint8-rgba", "b=uint8-rgb"]) == {
        "a": ImageInput(),
        "b": ImageInput("uint8-rgb"),
    }
    for parse, values, message in (
        (parse_top_k, ["many"], "--top-k many is not a number"),
        (parse_top_k, ["y=-1"], "--top-k -1 is not a number"),
        (parse_top_k, ["5", "6"], "--top-k is given twice"),
        (parse_labels, ["y=a", "y=b"], "--labels is given twice for output 'y'"),
        (parse_renamings, ["y"], "y renames nothing"),
        (parse_renamings, ["y="], "y= renames nothing"),
        (parse_renamings, ["y=a", "y=b"], "'y' is given two new names: 'a' and 'b'"),
        (parse_images, ["a=uint8-rgba"] * 2, "the input 'a' is given two pictures"),
    ):
        with pytest.raises(WebDNNError, match=message):
            parse(values)


def test_names_of_a_converted_model(tmp_path: Path) -> None:
    path = tmp_path / "deploy.prototxt"
    path.write_text(f"{input_layer(x=[1, 2])}{layer('ReLU', 'x', 'y')}")
    onnx_file = webdnn.convert(
        path, tmp_path / "model.onnx", rename_inputs={"x": "image"}, rename_outputs={"y": "a=b"}
    )
    graph = onnx.load(onnx_file).graph
    assert ([v.name for v in graph.input], [v.name for v in graph.output]) == (["image"], ["a=b"])
    onnx.checker.check_model(onnx_file, full_check=True)
    for wrong in ({"y": "x"}, {"z": "w"}):
        with pytest.raises(WebDNNError, match=r"cannot be named so: 'x'|no output named 'z'"):
            webdnn.convert(path, tmp_path / "other.onnx", rename_outputs=wrong)
        assert not (tmp_path / "other.onnx").exists()
