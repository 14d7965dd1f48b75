"""Packages whose sizes a run sets: compiled once, run at many sizes on both back ends."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import cache, reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from webdnn.compiler import CompileOptions, lower, package_from
from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.ir_parser import IRParser
from webdnn.dialects.numpy_meaning.program import run_module
from webdnn.dialects.sizes.expression import Symbol, maximum
from webdnn.dialects.sizes.substitution import evaluate
from webdnn.dialects.weight_store import WeightStore, attach_weights
from webdnn.engines.wasmtime import WasmModel
from webdnn.manifest import read_manifest
from webdnn.manifest_sizes import expression_of, expression_problem, value_of
from webdnn.package import ENGINES, Engine, Package
from webdnn.passes import context
from webdnn.report import describe_package
from webdnn.runner import random_inputs, time_package
from webdnn.targets import find_target

_S, _T = "s[1 to 300 likely 40]", "t[0 to 64 by 4]"


def _type(*dims: str | int) -> str:
    shape = "x".join("?" if isinstance(n, str) else str(n) for n in dims)
    return f"tensor<{shape}xf32, #nn.sizes<{', '.join(map(str, dims))}>>"


_MODEL = f"""
func.func @main(%x: {_type(_S, 16)}, %v: {_type(_T, 16)}) -> ({_type(_S, 32)}, {_type(_T, 32)}, {_type(_S, 32)})
    attributes {{webdnn.input_names = ["x", "v"], webdnn.output_names = ["y", "z", "q"],
      webdnn.input_dtypes = ["float32", "float32"], webdnn.output_dtypes = ["float32", "float32", "float32"]}} {{
  %w = nn.weight "w" : tensor<16x32xf32>
  %u = nn.weight "u" : tensor<32x32xf32>
  %0 = nn.matmul %x, %w : {_type(_S, 16)}, tensor<16x32xf32> -> {_type(_S, 32)}
  %1 = nn.exp %0 : {_type(_S, 32)} -> {_type(_S, 32)}
  %2 = nn.matmul %1, %u : {_type(_S, 32)}, tensor<32x32xf32> -> {_type(_S, 32)}
  %3 = nn.matmul %v, %w : {_type(_T, 16)}, tensor<16x32xf32> -> {_type(_T, 32)}
  %4 = nn.sin %3 : {_type(_T, 32)} -> {_type(_T, 32)}
  %5 = nn.add %2, %1 : {_type(_S, 32)}, {_type(_S, 32)} -> {_type(_S, 32)}
  func.return %5, %4, %2 : {_type(_S, 32)}, {_type(_T, 32)}, {_type(_S, 32)}
}}
"""
_RANDOM = np.random.default_rng(0)
_W = (_RANDOM.random((16, 32)) / 16).astype(np.float32)
_U = (_RANDOM.random((32, 32)) / 32).astype(np.float32)
_POINTS = [(40, 8), (1, 0), (7, 64), (300, 4), (2, 4), (300, 64)]


def _inputs(s: int, t: int) -> dict[str, Array]:
    random = np.random.default_rng(s)
    return {name: random.random((n, 16)).astype(np.float32) for name, n in (("x", s), ("v", t))}


def _check(found: dict[str, Array], inputs: dict[str, Array]) -> None:
    e = np.exp(inputs["x"] @ _W)
    q = e @ _U
    for name, expected in (("y", q + e), ("q", q), ("z", np.sin(inputs["v"] @ _W))):
        np.testing.assert_allclose(found[name], expected, rtol=1e-4)


def _module(text: str = _MODEL) -> tuple[Any, WeightStore]:
    module = IRParser(context(), text).parse_module()
    weights = WeightStore({"w": _W, "u": _U})
    attach_weights(module, weights)
    return module, weights


@cache
def _package() -> Package:
    return package_from(*_module(), CompileOptions(threads=False), name="m", stage="nn")


@pytest.mark.parametrize("target", ["wasm", "webgpu"])
def test_the_planned_program_means_the_same_at_all_sizes(target: str) -> None:
    module, weights = _module()
    lower(module, "nn", "loops", find_target(target), CompileOptions(target=target))
    for s, t in _POINTS:
        inputs = _inputs(s, t)
        _check(run_module(module, weights, inputs), inputs)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_package_runs_at_any_size(engine: Engine, tmp_path: Path) -> None:
    package = Package.load(_package().save(tmp_path / "package"))
    assert [s["name"] for s in package.manifest["symbols"]] == ["s", "t"]
    assert package.manifest["inputs"][1]["shape"] == ["t", 16]
    for s, t in _POINTS:
        inputs = _inputs(s, t)
        _check(package.run(inputs, engine), inputs)


def test_memory_grows_as_far_as_a_run_needs() -> None:
    model = WasmModel(_package().folder())
    sizes: list[int] = []
    for s, t in ((1, 0), (300, 64), (2, 4)):
        inputs = _inputs(s, t)
        _check(model.run(inputs), inputs)
        sizes.append(model.memory_pages)
    section = _package().section("wasm")
    assert sizes[0] == section["memory"]["pages"]
    assert sizes[1] == sizes[2] == section["memory"]["maxPages"] > sizes[0]


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"x": (301, 16), "v": (4, 16)}, "dimension 0 of input 'x' is 301"),
        ({"x": (0, 16), "v": (4, 16)}, "dimension 0 of input 'x' is 0"),
        ({"x": (3, 16), "v": (6, 16)}, "dimension 0 of input 'v' is 6"),
        ({"x": (3, 17), "v": (4, 16)}, "dimension 1 of input 'x' is 17, and must be 16"),
        ({"x": (3,), "v": (4, 16)}, "input 'x' has the shape \\[3\\], and 2 dimensions"),
    ],
)
def test_sizes_out_of_range_are_refused(shapes: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(WebDNNError, match=message):
        _package().run({name: np.zeros(shape, np.float32) for name, shape in shapes.items()})


def test_sizes_of_benchmarks_are_the_likely_ones_or_chosen() -> None:
    package = _package()
    assert random_inputs(package)["x"].shape == (40, 16)
    assert random_inputs(package, dims={"s": 7})["x"].shape == (7, 16)
    time_package(package, "node", 1, {"s": 300})
    for dims, message in (({"r": 1}, "no size 'r'"), ({"t": 6}, "in multiples of 4")):
        with pytest.raises(WebDNNError, match=message):
            random_inputs(package, dims=dims)


def test_expressions_say_what_sizes_are() -> None:
    s, u = Symbol("s", 0, 50).size, Symbol("u", 32, 320, unit=32).size
    sizes = [
        *(0, 7, s, s * u - 3 * s + 1, (s + 5) // 3 + u // 64, -(-s // 4) * 64),
        *(maximum(s, u // 8, 3) * 4, (u + s) // (s + 1), u // 16 * s),
    ]
    for size in sizes:
        expression = expression_of(size)
        assert expression_problem(expression, {"s": 0, "u": 0}) is None
        for values in ({"s": 0, "u": 32}, {"s": 13, "u": 320}, {"s": 50, "u": 64}):
            assert value_of(expression, values) == evaluate(size, values)


def _changed(section: str, *path: str | int, to: Any) -> Any:
    def change(manifest: dict[str, Any]) -> None:
        *keys, last = path
        target: Any = manifest["backends"][section] if section else manifest
        for key in keys:
            target = target[key]
        target[last] = to

    return change


_DEEP: Any = reduce(lambda inner, _: ["+", inner, 1], range(100), "s")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_changed("", "outputs", 0, "shape", 0, to="r"), "a symbol 'r', which is not known"),
        (_changed("", "outputs", 0, "shape", 0, to=["-", "s", 1]), "an operator '-'"),
        (_changed("", "outputs", 0, "shape", 0, to=["/", "s", 1, 1]), "divides two sizes"),
        (_changed("", "outputs", 0, "shape", 0, to=[["+", 1, 1], "s", 1]), "an operator"),
        (_changed("", "outputs", 0, "shape", 0, to=["/", "s", 0]), "divided by 0"),
        (_changed("", "outputs", 0, "shape", 0, to=["*", "s", -1]), "is -40"),
        (_changed("", "outputs", 0, "shape", 0, to=["+", "s"]), "is too short|valid under any"),
        (_changed("", "outputs", 0, "shape", 0, to=_DEEP), "too long"),
        (_changed("", "inputs", 0, "shape", 0, to=3), "'s', which no input sets"),
        (_changed("", "symbols", 0, "likely", to=400), "has no such range"),
        (_changed("", "symbols", 1, "name", to="s"), "two of one name"),
        (_changed("wasm", "table", "offset", to=2**31), "reaches beyond the memory"),
        (_changed("wasm", "table", "words", 0, to=2**32), "more than 32 bits"),
        (_changed("wasm", "arena", "bytes", to=["*", "s", 2**31]), "reaches beyond the memory"),
        (_changed("wasm", "definitions", 0, "name", to="s"), "defines 's' again"),
        (_changed("webgpu", "launches", 0, "sizes", to=[]), "must have 1 entries"),
        (_changed("webgpu", "launches", 0, "workgroups", 0, to="r"), "a symbol 'r'"),
    ],
)
def test_a_manifest_that_cannot_be_is_refused(change: Any, message: str, tmp_path: Path) -> None:
    package = Package(deepcopy(_package().manifest), _package().files)
    folder = package.save(tmp_path / "package")
    change(package.manifest)
    (folder / "model.json").write_text(json.dumps(package.manifest))
    with pytest.raises(WebDNNError, match=message):
        read_manifest(folder)


def test_places_that_are_wrong_at_some_sizes_alone_are_an_error_of_the_run(tmp_path: Path) -> None:
    package = Package(deepcopy(_package().manifest), _package().files)
    package.manifest["backends"]["wasm"]["outputs"][0]["bytes"] = ["+", ["*", "s", -100], 20000]
    inputs = _inputs(7, 4)
    _check(package.run(inputs, "wasmtime"), inputs)
    with pytest.raises(WebDNNError, match="does not fit s = 300, t = 4"):
        package.run(_inputs(300, 4), "wasmtime")


def test_limits_of_a_device_are_those_that_the_least_sizes_need() -> None:
    """So that a wide range does not keep small runs from a small GPU."""
    wide = _MODEL.replace("1 to 300 likely 40", "1 to 4000000 likely 40")
    options = CompileOptions(target="webgpu")
    section = package_from(*_module(wide), options, name="m", stage="nn").section("webgpu")
    assert section["limits"] == {}
    assert section["largestLimits"]["maxStorageBufferBindingSize"] == 4_000_000 * 32 * 4


def test_a_report_says_the_sizes_for_which_memory_is_stated() -> None:
    table = describe_package(_package(), Path("m"))
    assert table.caption == "s is 1 to 300, t is 0 to 64; memory is that at s=40, t=64"
