"""What a package says to wrong inputs and engines, what it takes, and what it says when it is damaged itself."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import webdnn
from webdnn.array_files import write_arrays
from webdnn.dialects.errors import WebDNNError
from webdnn.package import Package
from webdnn.runner import run_files

MODEL = onnx.parser.parse_model(
    """
    <ir_version: 10, opset_import: ["" : 21]>
    example (float[3, 4] x, int64 n) => (float[4, 3] y, int64 m) { y = Transpose(x) m = Neg(n) }
    """
)
X = np.arange(12, dtype=np.float32).reshape(3, 4)
N = np.array(5)


@pytest.fixture(scope="module")
def package() -> Package:
    return webdnn.compile(MODEL, target="wasm", jobs=1)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": X}, "missing inputs"),
        ({"x": X, "n": N, "z": X}, "unknown inputs"),
        ({"x": X.T, "n": N}, r"float32\[4, 3\] and not float32\[3, 4\]"),
        ({"x": X.astype(np.float64), "n": N}, r"float64\[3, 4\] and not float32"),
        ({"x": X, "n": N.reshape(1)}, r"int64\[1\] and not int64\[\]"),
        ({"x": X, "n": N.astype(np.int32)}, r"int32\[\] and not int64\[\]"),
        ({"x": X.tolist(), "n": N}, "float64"),
        ({"x": None, "n": N}, "object"),
    ],
)
def test_wrong_inputs(package: Package, inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(WebDNNError, match=message):
        package.run(inputs)


@pytest.mark.parametrize(
    "x",
    [
        np.asfortranarray(X),
        np.repeat(X, 2, axis=1)[:, ::2],
        X[::-1, ::-1][::-1, ::-1],
        X.astype(">f4"),
    ],
    ids=["by columns", "strided", "reversed", "big-endian"],
)
def test_any_layout_will_do(package: Package, x: np.ndarray[Any, Any]) -> None:
    results = package.run({"x": x, "n": N})
    assert np.array_equal(results["y"], X.T)
    assert results["m"] == -5


@pytest.mark.parametrize(
    ("engine", "message"), [("wgpu", "no webgpu back end"), ("v8", "no engine 'v8'")]
)
def test_wrong_engine(package: Package, engine: Any, message: str) -> None:
    with pytest.raises(WebDNNError, match=message):
        package.run({"x": X, "n": N}, engine=engine)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"1,2,3,4", r"not a file in NumPy's \.npy format"),
        (b"PK\x03\x04 an archive of several", r"not a file in NumPy's \.npy format"),
        (b"\x93NUMPY", "an input cannot be read"),
        (None, r"\n  why:   No such file or directory"),
    ],
)
def test_wrong_files(package: Package, tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "x.npy"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WebDNNError, match=message):
        run_files(package, [f"x={path}"], None)


def test_files_twice_and_without_a_name(package: Package, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    for inputs in (["x.npy"], [f"x={tmp_path}/x.npy"] * 2):
        with pytest.raises(WebDNNError, match=r"names no file|'x' is given twice"):
            run_files(package, inputs, None)


def test_equals_signs_in_names_and_paths(tmp_path: Path) -> None:
    one = onnx.helper.make_tensor_value_info("a", onnx.TensorProto.FLOAT, [2])
    two = onnx.helper.make_tensor_value_info("a=b", onnx.TensorProto.FLOAT, [2])
    result = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [2])
    node = onnx.helper.make_node("Sub", ["a", "a=b"], ["y"])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [one, two], [result]))
    package = webdnn.compile(model, target="wasm", jobs=1)
    for name, value in (("rate=1.npy", [3, 4]), ("x.npy", [1, 1])):
        np.save(tmp_path / name, np.array(value, np.float32))
    files = [f"a={tmp_path}/rate=1.npy", f"a=b={tmp_path}/x.npy"]
    np.testing.assert_array_equal(run_files(package, files, None)["y"], [2, 3])


def test_bfloat16_in_files(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 21]> g (bfloat16[3] x) => (bfloat16[3] y) { y = Neg(x) }'
    )
    x = np.array([1, -2, 0.5], np.float32).astype(np.dtype("bfloat16"))
    np.save(tmp_path / "x.npy", x)
    package = webdnn.compile(model, target="wasm", jobs=1)
    paths = write_arrays(run_files(package, [f"x={tmp_path}/x.npy"], None), tmp_path)
    np.testing.assert_array_equal(np.load(paths["y"]).view(x.dtype), -x)


def test_damaged_manifest(package: Package, tmp_path: Path) -> None:
    folder = package.save(tmp_path / "package")
    manifest = folder / "model.json"
    good = json.loads(manifest.read_text())
    for bad in (
        [],
        {},
        {**good, "version": 1},
        {**good, "backends": []},
        {**good, "backends": {"wasm": {}}},
        {key: value for key, value in good.items() if key != "inputs"},
    ):
        manifest.write_text(json.dumps(bad))
        with pytest.raises(WebDNNError, match=r"this is not a package\n.*\n.*model\.json"):
            Package.load(folder)
    for raw in (b"", b"{", b"\xff\xfe"):
        manifest.write_bytes(raw)
        with pytest.raises(WebDNNError, match="this is not a package"):
            Package.load(folder)


def test_errors_survive_another_process() -> None:
    error = WebDNNError("what", where=("a", "b"), why="why", hint="hint")
    copied = pickle.loads(pickle.dumps(error))
    assert (copied.what, copied.where, copied.why, copied.hint) == (
        "what",
        ("a", "b"),
        "why",
        "hint",
    )
    assert str(copied) == str(error)
