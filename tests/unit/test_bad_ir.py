"""What is wrong with an IR file is said in one message, soon, and without a traceback; nothing is written then."""

from __future__ import annotations

import random
import time
from pathlib import Path

import onnx
import pytest

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.ir_printer import ir_text
from webdnn.dialects.weight_store import attach_weights
from webdnn.frontends.onnx import load
from webdnn.ir_files import parse_ir, verify_ir
from webdnn.passes import context
from webdnn.stages import run_stages
from webdnn.targets import TARGETS
from webdnn.tools import webdnn_opt, webdnn_translate

MODEL = """
    <ir_version: 10, opset_import: ["" : 21]>
    example (float[2, 3] x) => (float[3, 2] z) { y = Transpose(x) z = Relu(y) }
"""
EVERYTHING = (Path(__file__).parent / "everything.mlir").read_text()

SECONDS = 10.0
"""Far more than any of these files takes, and far less than those that would hang."""


def _attribute(value: str) -> str:
    return f'"test.op"() {{a = {value}}} : () -> ()'


ABSURD = {
    "width": (_attribute("1 : i99999999999"), "at most 128 bits"),
    "type": (_attribute("i99999999999"), "at most 128 bits"),
    "digits": (_attribute("9" * 5000), "4300 digits"),
    "vector": (_attribute("vector<99999999999xf32>"), "at most 4096 elements"),
    "vectors": (_attribute("vector<4096x4096xf32>"), "at most 4096 elements"),
    "shape": (_attribute("tensor<99999999999x99999999999xf32>"), "2\\^63"),
    "memref": (_attribute("memref<99999999999999999999xf32>"), "2\\^63"),
    "splat": (_attribute("dense<1> : tensor<9999999999xi8>"), "1048576 elements"),
    "hexadecimal splat": (_attribute('dense<"0x01"> : tensor<9999999999xi8>'), "1048576 elements"),
    "splats": (
        "\n".join(_attribute(f"dense<{i}> : tensor<99999xi8>") for i in range(99)),
        "1048576 elements",
    ),
    "wide elements": (_attribute("dense<1> : tensor<2xi128>"), "at most 64 bits"),
    "lists": (_attribute("[" * 5000 + "]" * 5000), "nested too deeply"),
    "tuples": (_attribute("tuple<" * 5000), "nested too deeply"),
    "affine": (_attribute(f"affine_map<(d0) -> ({'(' * 5000}d0"), "nested too deeply"),
    "regions": ('"builtin.module"() ({\n' * 5000, "nested too deeply"),
    "aliases": (
        "#a0 = [1, 1]\n" + "".join(f"#a{i + 1} = [#a{i}, #a{i}]\n" for i in range(60)),
        "aliases are more than",
    ),
    "type aliases": (
        "!a0 = tuple<i1, i1>\n" + "".join(f"!a{i + 1} = tuple<!a{i}, !a{i}>\n" for i in range(60)),
        "aliases are more than",
    ),
    "unterminated": ('"test.op"() {a = "' + "a" * 100_000, "closing string literal"),
    "results": ('%0:99999999999 = "test.op"() : () -> ()', "given 99999999999"),
    "element": ('%0 = "test.op"() : () -> i1 "test.op"(%0#99999999999) : (i1) -> ()', "out of bo"),
    "range": (_attribute("300 : i8"), "out of range"),
    "element range": (_attribute("dense<300> : tensor<4xi8>"), "out of range"),
    "bits": (_attribute("0x7F80000000 : f32"), "too big"),
    "float": (_attribute("1.0e99 : f32"), "too large"),
    "label": ("func.func @f() {\n^0:\n return }", "Invalid Block name"),
    "symbol": ('func.func @"\\FF"() { return }', "utf-8"),
    "location": ('func.func @f() { return } loc("\\FF")', "location"),
    "digit": (_attribute("²"), "invalid literal"),
    "metadata": ("{-# external_resources: {} #-}", "dialect resources"),
    "dialect": ('"foo.bar"() : () -> ()', "not registered"),
    "text": ("hello world", "not registered"),
    "comment": ("/" * 1_000_000, "where the file ends"),
    "operand": ('"test.op"(%x) : (i32) -> ()', "not defined"),
}
"""IR that asks for too much, or is none: the text, and what is said."""

NO_TEXT = {
    "empty": (b" \n", "empty"),
    "UTF-16": ("func.func @f() { return }".encode("utf-16"), "not in UTF-8: byte 0 is 0xFF"),
    "Latin-1": ('"test.op"() {a = "é"} : () -> ()'.encode("latin-1"), "not in UTF-8: byte 18"),
    "NUL": (b"func.func @f() { return }\0", "binary: character 25 is 0x00"),
    "compressed": (b"\x1f\x8b\x08\x00" + bytes(range(256)), "not in UTF-8"),
    "wasm": (b"\0asm\1\0\0\0", "binary"),
}


def _error(content: str | bytes) -> str | None:
    """What is said about a file, or None where nothing is."""
    start = time.monotonic()
    try:
        encoded = content.encode() if isinstance(content, str) else content
        verify_ir(parse_ir(context(), encoded, "file.mlir"), "file.mlir")
    except WebDNNError as error:
        assert len(str(error)) < 1000, "a message for people"
        assert error.where[0].startswith("file.mlir")
        return str(error)
    finally:
        assert time.monotonic() - start < SECONDS
    return None


@pytest.mark.parametrize("name", ABSURD)
def test_absurd(name: str) -> None:
    text, said = ABSURD[name]
    with pytest.raises(WebDNNError, match=said):
        verify_ir(parse_ir(context(), text.encode(), "file.mlir"), "file.mlir")
    _error(text)


@pytest.mark.parametrize("name", NO_TEXT)
def test_no_text(name: str) -> None:
    content, said = NO_TEXT[name]
    assert said in (_error(content) or "")


def test_byte_order_mark() -> None:
    assert _error("func.func @f() { return }".encode("utf-8-sig")) is None


def test_place_of_an_error() -> None:
    message = _error('func.func @f() {\n  "test.op"() {a = i129} : () -> ()\n  return\n}')
    assert message is not None
    assert "file.mlir:2:20" in message
    assert '`"test.op"() {a = i129} : () -> ()`' in message


def test_op_that_does_not_verify() -> None:
    text = """
    func.func @f(%x: tensor<4xf32>) -> tensor<5xf32> {
      return %x : tensor<4xf32> loc("Conv_é")
    }"""
    message = _error(text)
    assert message is not None
    assert "func.return: Expected arguments" in message
    assert "Conv_é" in message


@pytest.mark.parametrize(
    "count", [40, pytest.param(1000, marks=pytest.mark.nightly)], ids=["quick", "nightly"]
)
def test_damaged(count: int) -> None:
    rng = random.Random(0)
    for _ in range(count):
        cut = rng.randrange(len(EVERYTHING))
        _error(EVERYTHING[:cut])
        start, length = rng.randrange(len(EVERYTHING)), rng.randrange(1, 9)
        swapped = rng.choice(['"', "{", ")", "%0", "0", "-1", "x", "99999999999", "<", ""])
        _error(EVERYTHING[:start] + swapped + EVERYTHING[start + length :])


# --- the tools ---------------------------------------------------------------------------------------------------


def _at(stage: str, target: str, folder: Path) -> Path:
    imported = load(onnx.parser.parse_model(MODEL))
    module = imported.module
    attach_weights(module, imported.weights)
    run_stages(module, "onnx", stage, target)
    path = folder / f"{stage}.{target}.mlir"
    path.write_text(ir_text(module))
    return path


def _fails(arguments: list[str], capsys: pytest.CaptureFixture[str], tool: str) -> str:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as exited:
        patch.setattr("sys.argv", [tool, *arguments])
        webdnn_opt.main(arguments) if tool == "webdnn-opt" else webdnn_translate.main()
    assert exited.value.code == 1
    out, message = capsys.readouterr()
    assert not out
    assert message.startswith("error: ")
    assert "Traceback" not in message
    return message


@pytest.mark.parametrize("content", [b"\xff\xfe\0", b"\x80" * 99, EVERYTHING[:999].encode(), b""])
def test_tools_read_no_ir(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, output = tmp_path / "bad.mlir", tmp_path / "out.wasm"
    path.write_bytes(content)
    kept = tmp_path / "kept.mlir"
    kept.write_text("kept")
    arguments = [str(path), "-o", str(kept)]
    assert "the IR is not valid" in _fails(arguments, capsys, "webdnn-opt")
    assert kept.read_text() == "kept"
    arguments = [str(path), "--to", "wasm-module", "-o", str(output)]
    assert "the IR is not valid" in _fails(arguments, capsys, "webdnn-translate")
    assert not output.exists()


@pytest.mark.parametrize("target", TARGETS)
def test_wrong_stage(target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _at("target", target, tmp_path)
    message = _fails([str(path), "--to-stage", "nn"], capsys, "webdnn-opt")
    assert "at stage target already, past stage nn" in message
    output = str(tmp_path / "package")
    message = _fails([str(path), "--to", "package", "-o", output], capsys, "webdnn-translate")
    assert "from stage linalg or one before it, not from target" in message


@pytest.mark.parametrize("stage", ["loops", "target"])
@pytest.mark.parametrize("target", TARGETS)
def test_wrong_target(
    stage: str, target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _at(stage, target, tmp_path)
    other = "webgpu" if target == "wasm" else "wasm"
    said = f"the IR was lowered for {target}, not for {other}"
    arguments = [str(path), "--to-stage", "target", "--backend", other]
    assert said in _fails(arguments, capsys, "webdnn-opt")
    kind = "wgsl" if other == "webgpu" else "llvm-ir"
    assert said in _fails([str(path), "--to", kind], capsys, "webdnn-translate")


def test_no_entry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "file.mlir"
    path.write_text("func.func @f() { return }")
    message = _fails([str(path), "--to", "wasm-module"], capsys, "webdnn-translate")
    assert "no func.func @main" in message
