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

RUN = Path(__file__).parents[1] / "e2e" / "run_in_node.mjs"
HELPERS = RUN.with_name("helpers_in_node.mjs")

MODEL = """
<ir_version: 10, opset_import: ["" : 21]>
example (float[1, 8, 31, 31] x, float[24, 8, 3, 3] w, float[24, 24] v)
  => (float[1, 24] y, float[961, 24] z, float[1, 48, 15, 15] p, float[300, 24] top, float[24, 1] most)
<int64[2] rows = {961, 24}, int64[1] k = {300}, int64[1] one = {1}> {
  c = Conv<pads = [1, 1, 1, 1]>(x, w)
  r = Relu(c)
  t = Transpose<perm = [0, 2, 3, 1]>(r)
  f = Reshape(t, rows)
  m = MatMul(f, v)
  s = Softmax(m)
  z = Add(s, f)
  g = GlobalAveragePool(r)
  y = Flatten(g)
  h = Sigmoid(c)
  n = Concat<axis = 1>(h, r)
  p = MaxPool<kernel_shape = [3, 3], strides = [2, 2]>(n)
  top, at = TopK<axis = 0>(z, k)
  u = Transpose(z)
  most, of = TopK<axis = 1>(u, one)
}
"""
"""Kernels that are shared (ragged, with several stages, with results that are parts of a tensor), and small ones."""


@pytest.fixture(scope="module")
def package() -> Package:
    return webdnn.compile(onnx.parser.parse_model(MODEL), target="wasm")


def _inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"x": (1, 8, 31, 31), "w": (24, 8, 3, 3), "v": (24, 24)}
    return {n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}


class _Saved:
    """The package and its inputs in files, and what one thread computes in Node."""

    def __init__(self, package: Package, folder: Path) -> None:
        self.folder = folder
        self._manifest = package.manifest
        package.save(folder / "package")
        inputs = _inputs()
        for number, tensor in enumerate(package.manifest["inputs"]):
            inputs[tensor["name"]].tofile(folder / f"{number}.bin")
        self.one = self.run(RUN, 1, 1)

    def run(self, script: Path, threads: int, argument: int) -> dict[str, np.ndarray]:
        """The outputs that a script writes."""
        node = shutil.which("node")
        assert node is not None, "Node.js is not installed"
        out = self.folder / "out"
        command = [node, str(script), str(self.folder / "package"), str(self.folder), str(out)]
        done = subprocess.run(
            [*command, str(threads), str(argument)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        if script == RUN:
            assert done.stdout == f"{threads}\n"
        return {
            tensor["name"]: np.fromfile(out / f"{number}.bin", np.float32).reshape(tensor["shape"])
            for number, tensor in enumerate(self._manifest["outputs"])
        }


@pytest.fixture(scope="module")
def saved(package: Package, tmp_path_factory: pytest.TempPathFactory) -> _Saved:
    return _Saved(package, tmp_path_factory.mktemp("threads"))


def test_one_thread_in_node_computes_what_wasmtime_does(package: Package, saved: _Saved) -> None:
    for name, expected in package.run(_inputs(), engine="wasmtime").items():
        np.testing.assert_allclose(saved.one[name], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("threads", [2, 3, 4])
def test_threads_compute_the_bits_of_one(saved: _Saved, threads: int) -> None:
    for name, found in saved.run(RUN, threads, 50).items():
        np.testing.assert_array_equal(found, saved.one[name])


@pytest.mark.parametrize(("threads", "helpers"), [(2, 0), (4, 0), (2, 1), (4, 2), (4, 3)])
def test_helpers_may_be_late_or_end_or_never_come(
    saved: _Saved, threads: int, helpers: int
) -> None:
    for name, found in saved.run(HELPERS, threads, helpers).items():
        np.testing.assert_array_equal(found, saved.one[name])


def test_warm_up_does_nothing_to_the_memory(package: Package) -> None:
    section = package.manifest["backends"]["wasm"]
    pages, start = section["memory"]["pages"], section["weights"]["offset"]
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    memory = wasmtime.Memory(store, wasmtime.MemoryType(wasmtime.Limits(pages, pages)))
    before = np.random.default_rng(0).bytes(pages * PAGE - start)
    memory.write(store, before, start)
    module = wasmtime.Module(engine, bytes(package.files["wasm/simd128.wasm"]))
    warm_up = wasmtime.Instance(store, module, [memory]).exports(store)["warm_up"]
    assert isinstance(warm_up, wasmtime.Func)
    warm_up(store)
    assert memory.read(store, start, pages * PAGE) == before


def test_parts_of_a_tensor_are_shared(package: Package) -> None:
    launches = package.manifest["backends"]["wasm"]["launches"]
    assert sum("_part_" in launch["kernel"] for launch in launches) >= 2


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
    functions = ["run", "run_range", "warm_up", "start", "help"]
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
