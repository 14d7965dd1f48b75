"""The command lines: what they do, and what they say to bad input (one message, exit code 1, nothing left behind)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

BIN = Path(sys.executable).parent
RELU = (
    '<ir_version: 10, opset_import: ["" : 21]> '
    "relu (float[rows, 4] x) => (float[rows, 4] y) { y = Relu(x) }"
)

SEQUENCES = (
    '<ir_version: 10, opset_import: ["" : 21]> '
    "names (string[2] s, seq(float[2]) q, float[2] x) => (float[2] y) { y = Relu(x) }"
)
PARTS = (
    '<ir_version: 10, opset_import: ["" : 21]> '
    "parts (float[4] x) => (seq(float[1]) y) { y = SplitToSequence(x) }"
)
DOUBLES = (
    '<ir_version: 10, opset_import: ["" : 21]> '
    "relu (float[4] x) => (float[4] y) "
    "{ d = Cast <to=11> (x) [Exp_of_doubles] e = Exp(d) y = Cast <to=1> (e) }"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model of an unknown number of rows, a damaged one, and IR that is wrong."""
    onnx.save(onnx.parser.parse_model(RELU), tmp_path / "model.onnx")
    (tmp_path / "truncated.onnx").write_bytes((tmp_path / "model.onnx").read_bytes()[:-20])
    (tmp_path / "syntax.mlir").write_text("func.func @main(")
    (tmp_path / "types.mlir").write_text(
        "func.func @main(%x: tensor<2xf32>) -> tensor<3xf32> { func.return %x : tensor<2xf32> }"
    )
    onnx.save(onnx.parser.parse_model(DOUBLES), tmp_path / "double.onnx")
    onnx.save(onnx.parser.parse_model(SEQUENCES), tmp_path / "sequences.onnx")
    onnx.save(onnx.parser.parse_model(PARTS), tmp_path / "parts.onnx")
    for name, manifest in (("other", b"[]"), ("binary", b"\xff\xfe")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.json").write_bytes(manifest)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").write_text("keep me")
    return tmp_path


def tool(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / arguments[0]), *arguments[1:]]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


BAD_CALLS = {
    "webdnn compile missing.onnx -o out": "there is no such model file",
    "webdnn compile truncated.onnx -o out": "truncated.onnx",
    "webdnn compile model.onnx -o out --dim m=4": "its open dimensions are 'rows'",
    "webdnn compile model.onnx -o out --dim rows=4..1": "the range 4..1 holds no size",
    "webdnn compile model.onnx -o out --dim n": "--dim n does not say",
    "webdnn compile model.onnx -o out --shape x=1": "1 sizes were given",
    "webdnn compile model.onnx -o out --shape x=1,5": "x",
    "webdnn compile model.onnx -o out --shape y=1,4": "its inputs are 'x'",
    "webdnn compile model.onnx -o out --shape x=1,b": "is 4 in the model, not b",
    "webdnn convert model.onnx -o o.onnx --shape x=n,4": "sizes that vary are given",
    "webdnn compile model.onnx -o out --shape x=1,-4": "--shape NAME=",
    "webdnn compile model.onnx -o out --input-shape (None,4)": "sizes that vary are given by",
    "webdnn compile model.onnx -o out --value x": "--value x is not a value",
    "webdnn compile model.onnx -o out --value x=none.npy": "none.npy",
    "webdnn compile model.onnx -o out --value x=1,2": "its value has 1",
    "webdnn compile model.onnx -o out --value x=[[1,2,3,a]]": "is not a list of numbers",
    "webdnn compile model.onnx -o out --value z=1": "its inputs are 'x'",
    "webdnn-opt model.onnx --value x=a": "'a' is no number",
    "webdnn compile model.onnx -o full --shape x=1,4": "not a package",
    "webdnn compile model.onnx -o model.onnx --shape x=1,4": "the output is a file",
    "webdnn compile model.onnx -o out --shape x=1,4 --print-stage foo": "there is no stage 'foo'",
    "webdnn compile model.onnx -o out --shape x=1,4 --schedule none.toml": "none.toml",
    "webdnn compile model.onnx -o out --shape x=1,4 --schedule full/precious.txt": "table of schedules",
    "webdnn compile model.onnx -o out --shape x=99999999999,4": "4 GiB",
    "webdnn compile model.onnx -o out --shape x=99999999999999999999,4": "too large",
    "webdnn compile model.onnx -o model.onnx/out --shape x=1,4": "is a file, not a folder",
    "webdnn compile model.onnx -o out --shape x=1,4 --dump-schedule model.onnx/a": "is a file, not a folder",
    "webdnn compile double.onnx -o out": "Exp_of_doubles",
    "webdnn compile sequences.onnx -o out": "where: s: string, q: a sequence",
    "webdnn compile parts.onnx -o out": "where: y",
    "webdnn run full --input x=x.npy -o model.onnx": "is a file, not a folder",
    "webdnn run model.onnx --input x=x.npy -o out": "a package is a folder",
    "webdnn run other --input x=x.npy -o out": "model.json is something else",
    "webdnn bench binary": "this is not a package",
    "webdnn bench full --per-kernel": "this is not a package",
    "webdnn tune model.onnx -o model.onnx/out.toml --engine node": "is a file, not a folder",
    "webdnn demo -o model.onnx": "is a file, not a folder",
    "webdnn tune missing.onnx -o out.toml --engine node": "there is no such model file",
    "webdnn run full --input x=x.npy -o out": "this is not a package",
    "webdnn-opt missing.mlir": "missing.mlir",
    "webdnn-opt syntax.mlir": "Expected",
    "webdnn-opt types.mlir": "same types",
    "webdnn-opt full/precious.txt": "not an ONNX model",
    "webdnn-opt model.onnx -p no-such-pass": "no-such-pass",
    "webdnn-translate model.onnx --to cobol": "one of llvm-ir",
    "webdnn-translate types.mlir --to wgsl": "the IR is not valid",
    "webdnn-translate model.onnx --to package --shape x=1,4": "name it with -o",
}


@pytest.mark.parametrize("call", BAD_CALLS)
def test_bad_call(folder: Path, call: str) -> None:
    before = sorted(folder.rglob("*"))
    done = tool(folder, *call.split())
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "error: " in done.stderr
    assert BAD_CALLS[call] in done.stderr
    assert sorted(folder.rglob("*")) == before


def test_names_that_look_like_markup(folder: Path) -> None:
    call = ("compile", "model.onnx", "-o", "a[/b]", "--shape", "x=1,4", "--target", "wasm")
    done = tool(folder, "webdnn", *call)
    assert done.returncode == 0, done.stderr
    assert "a[/b]" in done.stdout


def test_a_value_makes_a_constant_of_an_input(folder: Path) -> None:
    text = """<ir_version: 10, opset_import: ["" : 21]> clip (float[4] x, int64[k] n) => (float[2, 2] y)
        { y = Reshape(x, n) }"""
    onnx.save(onnx.parser.parse_model(text), folder / "reshape.onnx")
    np.save(folder / "x.npy", np.arange(4, dtype=np.float32))
    for call in (
        "webdnn compile reshape.onnx -o out --target wasm --value n=2,2",
        "webdnn run out --input x=x.npy -o results",
        "webdnn-opt reshape.onnx --value n=[2,-1] --to-stage nn -o nn.mlir",
        "webdnn-translate reshape.onnx --value n=2,2 --to package -o translated",
    ):
        done = tool(folder, *call.split())
        assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(folder / "results" / "y.npy"), [[0, 1], [2, 3]])
    assert "tensor<2x2xf32>" in (folder / "nn.mlir").read_text()
    assert (folder / "translated" / "model.json").exists()


INTERRUPTED = """
import os, signal
from contextlib import contextmanager
import webdnn
from webdnn.tools.running import run_tool

@contextmanager
def interrupt(what, total):
    yield (lambda: os.killpg(0, signal.SIGINT)) if "kernels" in what else lambda: None

run_tool(lambda: webdnn.compile("several.onnx", jobs=2, progress=interrupt).save("out"))
"""
"""Ctrl-C in a terminal, to all processes, once the first kernel is compiled."""


def test_interrupted_compilation(folder: Path) -> None:
    kinds = ("Exp", "Sin", "Cos", "Erf", "Tanh", "Sigmoid", "Sqrt", "Log")
    onnx.save(
        onnx.parser.parse_model(
            '<ir_version: 10, opset_import: ["" : 21]> several (float[5, 7] x) => ('
            + ", ".join(f"float[5, 7] {kind}_x" for kind in kinds)
            + ") {"
            + " ".join(f"{kind}_x = {kind}(x)" for kind in kinds)
            + "}"
        ),
        folder / "several.onnx",
    )
    before = sorted(folder.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        env={**os.environ, "WEBDNN_CACHE_DIR": str(folder / "full")},
    )
    assert done.returncode == 130, done.stderr
    assert done.stderr == ""
    kept = {
        p for p in folder.rglob("*") if "kernels" in p.parts
    }  # what is done need not be done again
    assert sorted(set(folder.rglob("*")) - kept) == before


def test_compile_run_bench(folder: Path) -> None:
    done = tool(folder, "webdnn", "compile", "model.onnx", "-o", "out", "--shape", "x=2,4")
    assert done.returncode == 0, done.stderr
    x = np.array([[1, -2, 3, -4], [0, -0.0, 5, -6]], np.float32)
    np.save(folder / "x.npy", x)
    for engine in ("wasmtime", "wgpu"):
        results = folder / engine
        done = tool(
            folder, "webdnn", "run", "out", "--input", "x=x.npy", "-o", str(results),
            "--engine", engine,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        np.testing.assert_array_equal(np.load(results / "y.npy"), np.maximum(x, 0))
    done = tool(folder, "webdnn", "bench", "out", "--repeat", "2")
    assert done.returncode == 0, done.stderr
    assert "median" in done.stdout
    done = tool(
        folder, "webdnn", "bench", "out", "--per-kernel", "--repeat", "2", "--peak", "50,20"
    )
    assert done.returncode == 0, done.stderr
    assert "roofline" in done.stdout and "relu_0" in done.stdout
    done = tool(folder, "webdnn", "bench", "out", "--per-kernel", "--peak", "fast")
    assert done.returncode == 1 and "--peak 57,30" in done.stderr


def test_dumped_schedules_give_the_same_package(folder: Path) -> None:
    call = ("webdnn", "compile", "model.onnx", "--shape", "x=2,4")
    assert tool(folder, *call, "-o", "one", "--dump-schedule", "a.toml").returncode == 0
    done = tool(folder, *call, "-o", "two", "--schedule", "a.toml", "--dump-schedule", "b.toml")
    assert done.returncode == 0 and "warning" not in done.stderr
    assert (folder / "a.toml").read_bytes() == (folder / "b.toml").read_bytes()
    assert (folder / "one/model.json").read_bytes() == (folder / "two/model.json").read_bytes()
    stray = (folder / "a.toml").read_text().replace('digest = "', 'digest = "0')
    (folder / "stray.toml").write_text(stray)
    done = tool(folder, *call, "-o", "three", "--schedule", "stray.toml")
    assert done.returncode == 0
    assert "warning: 2 of 2 schedules fit no kernel of this model" in done.stderr


def test_compiling_again_gives_the_same_bytes(folder: Path) -> None:
    for name in ("one", "two"):
        done = tool(
            folder, "webdnn", "compile", "model.onnx", "-o", name, "--shape", "x=2,4", "--no-cache"
        )
        assert done.returncode == 0, done.stderr
    files = {
        name: {
            p.relative_to(folder / name): p.read_bytes()
            for p in (folder / name).rglob("*")
            if p.is_file()
        }
        for name in ("one", "two")
    }
    assert files["one"] == files["two"]


@pytest.mark.parametrize("stage", ["onnx", "nn", "linalg", "kernels", "loops", "target"])
def test_every_stage_prints_and_parses(folder: Path, stage: str) -> None:
    for backend in ("wasm", "webgpu"):
        call = ("--shape", "x=2,4", "--to-stage", stage, "--backend", backend, "-o", "ir.mlir")
        done = tool(folder, "webdnn-opt", "model.onnx", *call)
        assert done.returncode == 0, done.stderr
        done = tool(folder, "webdnn-opt", "ir.mlir")
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == (folder / "ir.mlir").read_text().strip()


def test_starting_from_dumped_ir(folder: Path) -> None:
    """A package made from the IR of a stage is the package made from the model."""
    call = ("compile", "model.onnx", "-o", "whole", "--shape", "x=2,4", "--dump-ir", "stages")
    assert tool(folder, "webdnn", *call).returncode == 0
    for stage in ("0-onnx", "1-nn", "2-linalg.wasm"):
        done = tool(
            folder, "webdnn-translate", f"stages/{stage}.mlir", "--to", "package",
            "--weights", "stages/weights.npz", "-o", stage,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert (folder / stage / "wasm/simd128.wasm").read_bytes() == (
            folder / "whole/wasm/simd128.wasm"
        ).read_bytes()


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("wgsl", b"@compute"),
        ("llvm-ir", b"define void"),
        ("wasm-assembly", b".functype"),
        ("wasm-object", b"\0asm"),
        ("wasm-module", b"\0asm"),
    ],
)
def test_translate(folder: Path, kind: str, content: bytes) -> None:
    call = ("model.onnx", "--to", kind, "--shape", "x=2,4", "-o", "out.bin")
    done = tool(folder, "webdnn-translate", *call)
    assert done.returncode == 0, done.stderr
    assert content in (folder / "out.bin").read_bytes()
