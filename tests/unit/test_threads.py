"""Packages for several threads: what one thread computes, however many there are."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
import wasmtime

import webdnn
from webdnn.codegen.wasm.module_reader import exports, imports
from webdnn.dialects.wasm_memory import PAGE
from webdnn.package import Package

SCRIPT = Path(__file__).parents[1] / "e2e" / "run_in_node.mjs"

MODEL = """
<ir_version: 10, opset_import: ["" : 21]>
example (float[1, 8, 31, 31] x, float[24, 8, 3, 3] w, float[24, 24] v) => (float[1, 24] y, float[961, 24] z)
<int64[2] rows = {961, 24}> {
  c = Conv<pads = [1, 1, 1, 1]>(x, w)
  r = Relu(c)
  t = Transpose<perm = [0, 2, 3, 1]>(r)
  f = Reshape(t, rows)
  m = MatMul(f, v)
  s = Softmax(m)
  z = Add(s, f)
  g = GlobalAveragePool(r)
  y = Flatten(g)
}
"""
"""Kernels that are shared (ragged, and with several stages), and small ones that are not."""


@pytest.fixture(scope="module")
def package() -> Package:
    return webdnn.compile(onnx.parser.parse_model(MODEL), target="wasm")


def _inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"x": (1, 8, 31, 31), "w": (24, 8, 3, 3), "v": (24, 24)}
    return {n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}


@pytest.mark.parametrize("threads", [2, 3, 4])
def test_threads_compute_what_one_does(package: Package, threads: int, tmp_path: Path) -> None:
    inputs = _inputs()
    wanted = package.run(inputs, engine="wasmtime")
    package.save(tmp_path / "package")
    for number, tensor in enumerate(package.manifest["inputs"]):
        inputs[tensor["name"]].tofile(tmp_path / f"{number}.bin")
    node = shutil.which("node")
    assert node is not None, "Node.js is not installed"
    command = [node, str(SCRIPT), str(tmp_path / "package"), str(tmp_path), str(tmp_path / "out")]
    done = subprocess.run(
        [*command, str(threads), "50"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{threads}\n"
    for number, tensor in enumerate(package.manifest["outputs"]):
        found = np.fromfile(tmp_path / "out" / f"{number}.bin", np.float32)
        expected = wanted[tensor["name"]]
        np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-4, atol=1e-4)


def test_modules(package: Package) -> None:
    section = package.manifest["backends"]["wasm"]
    features = [m["features"] for m in section["modules"]]
    assert features == [
        ["simd128", "relaxed-simd", "threads"],
        ["simd128", "threads"],
        ["simd128", "relaxed-simd"],
        ["simd128"],
    ]
    pages, threads = section["memory"]["pages"], section["threads"]
    assert threads["stackBytes"] % 16 == 0
    assert (threads["maxPages"] - pages) * PAGE >= (threads["max"] - 1) * threads["stackBytes"]
    functions = ["run", "run_range", "start", "help"]
    for module in section["modules"][:2]:
        code = bytes(package.files[module["file"]])
        assert imports(code) == [("env", "memory", "memory")]
        wanted = [("__stack_pointer", "global"), *((name, "func") for name in functions)]
        assert sorted(exports(code)) == sorted(wanted)
        (memory,) = wasmtime.Module(wasmtime.Engine(), code).imports
        assert isinstance(memory.type, wasmtime.MemoryType)
        assert (memory.type.limits.min, memory.type.limits.max) == (pages, threads["maxPages"])


def test_a_package_without_threads() -> None:
    package = webdnn.compile(onnx.parser.parse_model(MODEL), target="wasm", threads=False)
    section = package.manifest["backends"]["wasm"]
    assert "threads" not in section
    assert [m["features"] for m in section["modules"]] == [["simd128", "relaxed-simd"], ["simd128"]]


def test_the_same_model_gives_the_same_bytes(package: Package) -> None:
    again = webdnn.compile(onnx.parser.parse_model(MODEL), target="wasm")
    assert again.manifest == package.manifest
    assert all(bytes(again.files[n]) == bytes(c) for n, c in package.files.items())
