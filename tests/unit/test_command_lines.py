"""What the tools say to a command line that is wrong: one message, exit code 1, and nothing is written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

import webdnn
from webdnn.tools import webdnn as webdnn_tool
from webdnn.tools import webdnn_opt, webdnn_translate

RELU = '<ir_version: 10, opset_import: ["" : 21]> relu (float[2] x) => (float[2] y) { y = Relu(x) }'

MAINS: dict[str, Callable[[], None]] = {
    "webdnn": webdnn_tool.main,
    "webdnn-opt": webdnn_opt.main,
    "webdnn-translate": webdnn_translate.main,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    onnx.save(onnx.parser.parse_model(RELU), tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, tool: str, *arguments: str) -> int:
    """The exit code of a tool."""
    monkeypatch.setattr(sys, "argv", [tool, *arguments])
    with pytest.raises(SystemExit) as ended:
        MAINS[tool]()
    code = ended.value.code
    return code if isinstance(code, int) else int(code is not None)


WRONG = {
    "webdnn compile model.onnx -o out --target foo": "foo",
    "webdnn compile model.onnx -o out --without foo": "foo",
    "webdnn compile model.onnx -o out --print-stage foo": "there is no stage 'foo'",
    "webdnn compile model.onnx -o out --jobs 0": "--jobs: input should be greater than",
    "webdnn compile model.onnx -o out --jobs many": "--jobs: input should be a valid integer",
    "webdnn compile model.onnx -o out --time-limit -1": "-1.0 is no time limit",
    "webdnn compile model.onnx -o out --no-such-option": "no such option: --no-such-option",
    "webdnn compile model.onnx -o out --state x": "--state x names no state",
    "webdnn compile model.onnx -o out --state x=y --no-state": "--state and --no-state contradict",
    "webdnn compile model.onnx": "missing option '-o' / '--output' / '--out'",
    "webdnn compile -o out": "missing argument 'MODEL'",
    "webdnn compile model.onnx other.onnx -o out": "other.onnx",
    "webdnn compile model.onnx -o": "option '-o' requires an argument",
    "webdnn run out --input x=x.npy -o results --engine foo": "--engine: 'foo' is not one of 'wasmtime', 'wgpu'",
    "webdnn bench out --engine foo": "--engine: 'foo' is not one of 'wasmtime', 'wgpu', 'node', 'chromium'",
    "webdnn tune model.onnx -o out --engine foo": "--engine: 'foo' is not one of 'chromium', 'node'",
    "webdnn demo --style 1000": "--style: input should be less than",
    "webdnn foo": "no such command 'foo'",
    "webdnn-opt model.onnx --backend foo": "--backend: invalid choice: 'foo'",
    "webdnn-opt model.onnx --to-stage foo": "--to-stage: invalid choice: 'foo'",
    "webdnn-opt model.onnx -t foo": "--target: invalid choice: 'foo'",
    "webdnn-opt model.onnx -f foo": "--frontend: invalid choice: 'foo'",
    "webdnn-opt model.onnx --time-limit soon": "--time-limit: invalid float value: 'soon'",
    "webdnn-opt model.onnx --custom-ops": "--custom-ops: expected one argument",
    "webdnn-opt model.onnx --no-such-option": "unrecognized arguments: --no-such-option",
    "webdnn-translate model.onnx --to foo": "there is no output 'foo'",
    "webdnn-translate model.onnx": "missing option '--to'",
    "webdnn compile model.onnx -o ''": "-o / --output / --out: an empty text is no path",
    "webdnn compile model.onnx --out ''": "an empty text is no path",
    "webdnn compile '' -o out": "MODEL: an empty text is no path",
    "webdnn compile model.onnx -o out --dump-ir ''": "--dump-ir: an empty text is no path",
    "webdnn compile model.onnx -o out --dump-schedule ''": "--dump-schedule: an empty text is no path",
    "webdnn compile model.onnx -o out --schedule ''": "an empty text is no path",
    "webdnn compile model.onnx -o out --custom-ops ''": "--custom-ops: an empty text is no path",
    "webdnn compile model.onnx -o out --custom-objects ''": "--custom-objects: an empty text",
    "webdnn compile model.onnx -o out --labels ''": "--labels names no file",
    "webdnn convert model.onnx -o ''": "-o / --output / --out: an empty text is no path",
    "webdnn run '' --input x=x.npy -o results": "package: an empty text is no path",
    "webdnn run out --input x=x.npy -o ''": "an empty text is no path",
    "webdnn tune model.onnx -o ''": "an empty text is no path",
    "webdnn demo -o ''": "an empty text is no path",
    "webdnn-opt model.onnx -o ''": "-o: an empty text is no path",
    "webdnn-opt ''": "an empty text is no path",
    "webdnn-opt model.onnx --save-weights ''": "--save-weights: an empty text is no path",
    "webdnn-opt model.onnx --custom-ops ''": "--custom-ops: an empty text is no path",
    "webdnn-translate model.onnx --to wgsl -o ''": "-o: an empty text is no path",
    "webdnn-translate '' --to wgsl": "INPUT: an empty text is no path",
}


@pytest.mark.parametrize("line", WRONG)
def test_wrong_command_lines(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    before = sorted(folder.rglob("*"))
    assert call(monkeypatch, *(word.strip("'") for word in line.split())) == 1
    printed = capsys.readouterr()
    errors = [line for line in printed.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and WRONG[line] in errors[0]
    assert not printed.out
    assert "Traceback" not in printed.err and "Usage" not in printed.err
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("tool", ["webdnn", "webdnn-opt", "webdnn-translate"])
def test_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tool: str
) -> None:
    assert call(monkeypatch, tool, "--help") == 0
    assert "--help" in capsys.readouterr().out


def test_outputs_without_a_name(folder: Path) -> None:
    package = webdnn.compile("model.onnx", target="wasm")
    for write in (package.save, lambda name: webdnn.convert("model.onnx", name)):
        with pytest.raises(webdnn.WebDNNError, match="the output has no name"):
            write("")


PICTURE = (
    '<ir_version: 10, opset_import: ["" : 21]> '
    "scores (float[n, 3, h, w] image) => (float[n, 3] scores) "
    "{ mean = GlobalAveragePool(image) scores = Flatten(mean) }"
)
INTERFACE = (
    "--input-image", "image=uint8-rgba,size=8x6", "--shape", "image=1,3,6,8", "--softmax", "--top-k", "2",
    "--labels", "labels.txt", "--rename-output", "scores=best",
)  # fmt: skip


@pytest.fixture
def picture(folder: Path) -> Path:
    onnx.save(onnx.parser.parse_model(PICTURE), folder / "picture.onnx")
    (folder / "labels.txt").write_text("cat\ndog\nowl\n")
    return folder


def test_what_surrounds_a_model_is_the_same_for_all_that_compiles_it(
    picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = picture
    monkeypatch.setattr(sys, "exit", lambda code=0: None)
    for line in (
        "webdnn compile picture.onnx -o compiled",
        "webdnn-translate picture.onnx --to package -o translated",
    ):
        monkeypatch.setattr(sys, "argv", [*line.split(), *INTERFACE])
        MAINS[line.split()[0]]()
    for name in ("model.json", "wasm/simd128.wasm"):
        made = [(folder / each / name).read_bytes() for each in ("compiled", "translated")]
        assert made[0] == made[1]
    manifest = webdnn.Package.load(folder / "compiled").manifest
    assert manifest["inputs"][0]["dtype"] == "uint8"
    assert [each["name"] for each in manifest["outputs"]] == ["best_values", "best_indices"]
    assert manifest["outputs"][1]["labels"]["names"] == ["cat", "dog", "owl"]


def test_tuned_is_what_is_compiled(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels that read the picture are among those that are tuned."""
    seen: dict[str, object] = {}

    def tune(model: str, **arguments: object) -> None:
        seen.update(arguments)
        raise webdnn.WebDNNError("seen")

    monkeypatch.setattr(webdnn_tool, "tune_model", tune)
    assert call(monkeypatch, "webdnn", "tune", "picture.onnx", "-o", "t.toml", *INTERFACE) == 1
    assert seen["softmax"] == [""] and seen["top_k"] == {"": 2}
    assert seen["rename_outputs"] == {"scores": "best"}
    assert seen["shapes"] == {"image": [1, 3, 6, 8]}
    assert isinstance(seen["input_images"], dict) and "image" in seen["input_images"]


def test_ir_behind_stage_onnx_keeps_its_inputs(
    picture: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lowered = ("webdnn-opt", "picture.onnx", "--shape", "image=1,3,6,8", "--to-stage")
    for stage in ("onnx", "nn"):
        monkeypatch.setattr(sys, "argv", [*lowered, stage, "-o", f"{stage}.mlir"])
        webdnn_opt.main()
    translate = ("--to", "package", "-o", "out", "--softmax")
    assert call(monkeypatch, "webdnn-translate", "nn.mlir", *translate) == 1
    assert "IR at stage nn cannot be changed" in capsys.readouterr().err
    assert call(monkeypatch, "webdnn-translate", "onnx.mlir", *translate) == 0
    assert webdnn.Package.load(picture / "out").manifest["outputs"][0]["name"] == "scores"
