"""Models of other frameworks, as these frameworks wrote them, against what they compute there."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import webdnn
from tests.unit import framework_models
from webdnn.dialects.dtypes import Array
from webdnn.frontends.conversion import installation, process
from webdnn.frontends.conversion.keras import KERAS
from webdnn.frontends.conversion.pytorch import convert as export_program
from webdnn.frontends.conversion.tflite_operators import replace_operators
from webdnn.frontends.formats import recognise_file, recognise_folder

Arrays = dict[str, Array]


def _made(kind: str, folder: Path) -> Path:
    """What the script makes, in a process of its own: a framework in this one would stay."""
    command = [sys.executable, str(Path(framework_models.__file__)), kind, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def keras_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _made("keras", tmp_path_factory.mktemp("keras"))


@pytest.fixture(scope="module")
def torch_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _made("torch", tmp_path_factory.mktemp("torch"))


def _arrays(path: Path, *names: str) -> Arrays:
    with np.load(path) as arrays:
        return {name: arrays[name] for name in names}


def _check(
    folder: Path,
    model: str,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    tolerance: float = 1e-5,
    **options: Any,
) -> None:
    """Compile a model for both back ends and compare the results with the framework's, relative to their range."""
    given, expected = (
        _arrays(folder / "inputs.npz", *inputs),
        _arrays(folder / "outputs.npz", *outputs),
    )
    shapes = {name: array.shape for name, array in given.items()}
    package = webdnn.compile(folder / model, shapes=shapes, jobs=1, **options)
    assert [entry["name"] for entry in package.manifest["inputs"]] == list(inputs)
    for engine in ("wasmtime", "wgpu"):
        results = package.run(given, engine=engine)
        assert set(results) == set(outputs)
        for name, array in expected.items():
            scale = max(float(np.ptp(array)), 1e-3)
            np.testing.assert_allclose(results[name], array, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("model", ["net.h5", "net.keras"])
def test_keras(keras_folder: Path, model: str) -> None:
    _check(keras_folder, model, ("image",), ("scores",))


def test_keras_with_two_inputs_and_outputs(keras_folder: Path) -> None:
    _check(keras_folder, "two.keras", ("a", "b"), ("joined", "state"))


def test_keras_with_a_layer_of_the_users(keras_folder: Path, tmp_path: Path) -> None:
    _check(keras_folder, "custom.keras", ("x",), ("y",), custom_objects=keras_folder / "custom.py")
    with pytest.raises(
        webdnn.WebDNNError, match=r"(?s)cannot load.*keras, doubled.*Doubled.*--custom-objects"
    ):
        webdnn.convert(keras_folder / "custom.keras", tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_keras_with_code_in_the_file(keras_folder: Path) -> None:
    _check(keras_folder, "lambda.keras", ("x",), ("z",), custom_objects=keras_folder / "lambdas.py")


def test_saved_model(keras_folder: Path) -> None:
    expected = _arrays(keras_folder / "outputs.npz", "scores")["scores"]
    image = _arrays(keras_folder / "inputs.npz", "image")["image"]
    package = webdnn.compile(keras_folder / "saved_model", target="wasm", shapes=[image.shape])
    (entry,) = package.manifest["inputs"]
    (result,) = package.run({entry["name"]: image}).values()
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_tensorflow_lite(keras_folder: Path) -> None:
    _check(keras_folder, "net.tflite", ("image",), ("scores",))


def test_gelu_of_tensorflow_lite(keras_folder: Path, tmp_path: Path) -> None:
    _check(keras_folder, "gelu.tflite", ("x",), ("gelu", "curve"))
    path = webdnn.convert(keras_folder / "gelu.tflite", tmp_path / "gelu.onnx")
    onnx.checker.check_model(onnx.load(path))


def test_what_tf2onnx_leaves_of_tensorflow_lite() -> None:
    node = onnx.helper.make_node("TFL_STRANGE", ["x"], ["y"], name="mine")
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], []))
    with pytest.raises(webdnn.WebDNNError, match=r"TensorFlow Lite's STRANGE .*\n  where: mine"):
        replace_operators(model)


@pytest.mark.parametrize(("model", "tolerance"), [("frozen.pb", 1e-6), ("int8.tflite", 0.02)])
def test_frozen_graphs(keras_folder: Path, model: str, tolerance: float) -> None:
    """Their outputs have the names of nodes."""
    image = _arrays(keras_folder / "inputs.npz", "image")
    package = webdnn.compile(keras_folder / model, target="wasm")
    (result,) = package.run(image).values()
    expected = _arrays(keras_folder / "outputs.npz", "scores")["scores"]
    np.testing.assert_allclose(result, expected, atol=tolerance)


def test_weights_alone(keras_folder: Path) -> None:
    with pytest.raises(webdnn.WebDNNError, match="holds weights alone"):
        webdnn.compile(keras_folder / "weights.weights.h5")


def test_shapes_that_do_not_fit(keras_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(webdnn.WebDNNError, match=r"(?s)does not fit.*where: image"):
        webdnn.convert(keras_folder / "net.keras", tmp_path / "a.onnx", shapes=[(1, 24, 24, 4)])
    with pytest.raises(webdnn.WebDNNError, match="2 input shapes were given"):
        shapes = [(1, 24, 24, 3), (1,)]
        webdnn.convert(keras_folder / "net.keras", tmp_path / "a.onnx", shapes=shapes)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file(keras_folder: Path, tmp_path: Path) -> None:
    content = (keras_folder / "net.h5").read_bytes()
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(content[: len(content) // 2])
    with pytest.raises(webdnn.WebDNNError, match=r"(?s)Keras.*damaged\.h5"):
        webdnn.compile(damaged)


def test_damaged_files_of_tensorflow(keras_folder: Path, tmp_path: Path) -> None:
    content = (keras_folder / "net.tflite").read_bytes()
    lite = tmp_path / "cut.tflite"
    lite.write_bytes(content[: len(content) // 2])
    with pytest.raises(webdnn.WebDNNError, match=r"(?s)is damaged.*cut\.tflite.*again"):
        webdnn.convert(lite, tmp_path / "model.onnx")
    folder = tmp_path / "saved"
    shutil.copytree(keras_folder / "saved_model", folder)
    shutil.rmtree(folder / "variables")
    with pytest.raises(webdnn.WebDNNError, match=r"(?s)cannot load the SavedModel.*whole folder"):
        webdnn.convert(folder, tmp_path / "model.onnx")


def test_what_is_converted_is_told_by_its_content(keras_folder: Path) -> None:
    names = {
        "net.h5": "Keras", "net.keras": "Keras", "net.tflite": "TensorFlow", "frozen.pb": "TensorFlow",
    }  # fmt: skip
    for name, framework in names.items():
        found = recognise_file(keras_folder / name)
        assert found is not None and found.converter is not None
        assert found.converter.framework == framework
    found = recognise_folder(keras_folder / "saved_model")
    assert found is not None and found.converter is not None


def test_exported_program(torch_folder: Path) -> None:
    _check(torch_folder, "net.pt2", ("image",), ("linear",))


def test_dynamic_sizes_stay_symbols(torch_folder: Path, tmp_path: Path) -> None:
    model = onnx.load(webdnn.convert(torch_folder / "net.pt2", tmp_path / "net.onnx"))
    first, *rest = model.graph.input[0].type.tensor_type.shape.dim
    assert first.dim_param
    assert [dim.dim_value for dim in rest] == [3, 8, 8]


def test_function_that_makes_a_module(
    torch_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(torch_folder)
    image = _arrays(torch_folder / "inputs.npz", "image")
    package = webdnn.compile("network:make", target="wasm", shapes=[(1, 3, 8, 8)])
    assert package.manifest["name"] == "make"
    expected = _arrays(torch_folder / "outputs.npz", "linear")["linear"]
    np.testing.assert_allclose(package.run(image)["linear"], expected, atol=1e-6)
    with pytest.raises(webdnn.WebDNNError, match="sizes of the module's inputs are not known"):
        webdnn.convert("network:make", tmp_path / "model.onnx")
    with pytest.raises(webdnn.WebDNNError, match="no function nothing"):
        webdnn.convert("network:nothing", tmp_path / "model.onnx")
    with pytest.raises(webdnn.WebDNNError, match="cannot be imported"):
        webdnn.convert("nowhere:make", tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("def make():\n    return 5\n", "gives 'int', not a module"),
        ("make = Net\n", "gives the class Net, not a module"),
        ("def make():\n    raise SystemExit(0)\n", r"(?s)wrong\.py:5.*SystemExit: 0"),
        ("def make():\n    return {}['x']\n", r"(?s)wrong\.py:5.*KeyError: 'x'"),
        ("{}['x']\n", r"(?s)cannot be imported.*wrong\.py:4.*KeyError: 'x'"),
    ],
)
def test_functions_that_make_no_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, expected: str
) -> None:
    head = "def Net():\n    return type('Net', (), {})\n\n"
    (tmp_path / "wrong.py").write_text(head + function)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "wrong", raising=False)
    with pytest.raises(webdnn.WebDNNError, match=expected):
        export_program(process.Job("wrong:make", "model.onnx", shapes_in_order=[[1]]))


def test_module_of_this_process(torch_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(torch_folder))
    torch: Any = importlib.import_module("torch")
    module = importlib.import_module("network").make()
    image = torch.rand(1, 3, 8, 8)
    package = webdnn.compile(module, target="wasm", example_inputs=(image,))
    assert package.manifest["name"] == "Net"
    expected = module(image).detach().numpy()
    np.testing.assert_allclose(package.run({"image": image.numpy()})["linear"], expected, atol=1e-6)
    assert module.training
    with pytest.raises(webdnn.WebDNNError, match="give example_inputs"):
        webdnn.compile(module)


def test_weights_of_pytorch_alone(torch_folder: Path) -> None:
    with pytest.raises(webdnn.WebDNNError, match=r"(?s)torch\.save.*torch\.onnx\.export"):
        webdnn.compile(torch_folder / "weights.pt")


ORIGINS: dict[str, tuple[dict[str, Any] | None, str]] = {
    "an index": (None, "pip install 'webdnn[keras]'"),
    "a folder that is edited": (
        {"url": "file:///home/a%20b/webdnn", "dir_info": {"editable": True}},
        "pip install -e '/home/a b/webdnn[keras]'",
    ),
    "a folder": ({"url": "file:///src/webdnn", "dir_info": {}}, "pip install '/src/webdnn[keras]'"),
    "a repository": (
        {"url": "https://example.org/webdnn.git", "vcs_info": {"vcs": "git", "commit_id": "ab12"}},
        "pip install 'webdnn[keras] @ git+https://example.org/webdnn.git@ab12'",
    ),
    "an archive": (
        {"url": "https://example.org/webdnn.whl", "archive_info": {}},
        "pip install 'webdnn[keras] @ https://example.org/webdnn.whl'",
    ),
}


@pytest.mark.parametrize("origin", ORIGINS)
def test_what_is_not_installed_is_a_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, origin: str
) -> None:
    """One that installs it from where WebDNN was installed from."""
    noted, command = ORIGINS[origin]
    text = None if noted is None else json.dumps(noted)

    class Distribution:
        def read_text(self, name: str) -> str | None:
            return text if name == "direct_url.json" else None

    monkeypatch.setattr(installation, "distributions", lambda name: [Distribution()])
    monkeypatch.setattr(process.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(webdnn.WebDNNError) as raised:
        process.run(KERAS, process.Job("model.h5", str(tmp_path / "model.onnx")))
    assert raised.value.hint == command


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("print('I0000 a: log line', file=sys.stderr)", r"exit code 0"),
        ("print('I0000 a: log line', file=sys.stderr); sys.exit(3)", r"exit code 3"),
        ("atexit.register(print, 'E0000 log line', file=sys.stderr); {}['x']", r"KeyError: 'x'"),
    ],
)
def test_a_converter_that_ends_without_a_word(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, expected: str
) -> None:
    command = [sys.executable, "-c", f"import atexit, sys; {script}"]
    monkeypatch.setattr(process, "_command", lambda *_: command)
    with pytest.raises(webdnn.WebDNNError, match=expected):
        process.run(KERAS, process.Job("model.h5", str(tmp_path / "model.onnx")))


def test_a_converter_that_dies_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    monkeypatch.setattr(process, "_command", lambda *_: [sys.executable, "-c", script])
    with pytest.raises(webdnn.WebDNNError, match=r"(?s)could not convert.*SIGKILL.*memory"):
        process.run(KERAS, process.Job("model.h5", str(tmp_path / "model.onnx")))
