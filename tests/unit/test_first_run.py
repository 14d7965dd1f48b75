"""A first run that leaves launches at load for later."""

from __future__ import annotations

from itertools import groupby, pairwise

import jsonschema
import numpy as np
import pytest
import wasmtime
from onnx import ModelProto
from onnx.helper import make_node

import webdnn
from tests.unit.onnx_models import model_of, tensor
from tests.unit.test_packages import SCHEMA
from webdnn.dialects.dtypes import Array
from webdnn.dialects.numpy_meaning.program import run_module
from webdnn.dialects.weight_store import attach_weights
from webdnn.frontends.onnx import load
from webdnn.lowering.linalg.winograd import WinogradConvolutions
from webdnn.package import Package
from webdnn.passes import context
from webdnn.stages import passes_between

CHANNELS = (6, 8, 12, 4)
FORCED = {"linalg": [WinogradConvolutions(window=4)]}


@pytest.fixture(scope="module")
def model() -> ModelProto:
    """Three convolutions, each with a filter that is transformed at load."""
    rng = np.random.default_rng(0)
    nodes, weights, value = [], dict[str, Array](), "x"
    for i, (c, o) in enumerate(pairwise(CHANNELS)):
        weights[f"w{i}"] = rng.standard_normal((o, c, 3, 3), np.float32) / np.float32(3 * c**0.5)
        name = "y" if i == len(CHANNELS) - 2 else f"v{i}"
        nodes.append(make_node("Conv", [value, f"w{i}"], [name], name=f"conv{i}", pads=[1] * 4))
        value = name
    inputs = [tensor("x", [1, CHANNELS[0], 9, 10])]
    return model_of(nodes, inputs, [tensor("y", [1, CHANNELS[-1], 9, 10])], weights)


@pytest.fixture(scope="module")
def package(model: ModelProto) -> Package:
    return webdnn.compile(model, target="wasm", passes=FORCED, jobs=1)


@pytest.fixture(scope="module")
def x() -> Array:
    return np.random.default_rng(1).standard_normal((1, CHANNELS[0], 9, 10)).astype(np.float32)


def test_manifest(package: Package) -> None:
    jsonschema.validate(package.manifest, SCHEMA)
    section = package.manifest["backends"]["wasm"]
    first_run, prepare = section["firstRun"], section["prepare"]
    at_load, of_a_run = section["launches"][:prepare], section["launches"][prepare:]
    groups = groupby(first_run["launches"], lambda launch: launch["instead"])
    for (number, group), transform in zip(groups, at_load, strict=True):
        assert number == transform["before"]
        assert [launch["kernel"] for launch in group] == [
            transform["kernel"],
            of_a_run[number]["kernel"],
        ]
    # the second result is the largest, so the memory of the third one and a part of its own are scratch
    assert first_run["limit"] == 1


def test_outputs_are_the_same_bits(package: Package, x: Array) -> None:
    section = package.manifest["backends"]["wasm"]
    model = _Loaded(package)
    prepare, count = section["prepare"], len(section["launches"])
    standing_in: dict[int, list[int]] = {}
    for number, launch in enumerate(section["firstRun"]["launches"], count):
        standing_in.setdefault(prepare + launch["instead"], []).append(number)
    usual = _Loaded(package)
    usual.run_range(0, prepare)
    usual.put(x)
    usual.run_range(prepare, count)
    expected = usual.output()
    for done in range(section["firstRun"]["limit"] + 1):
        model.run_range(0, done)
        model.put(x)
        for number in range(prepare, count):
            before = [
                n for n in range(prepare) if section["launches"][n]["before"] == number - prepare
            ]
            group = standing_in.get(number, []) if before and before[-1] >= done else []
            for each in group or [number]:
                model.run_range(each, each + 1)
        np.testing.assert_array_equal(model.output(), expected)
    model.run_range(0, prepare)
    model.put(x)
    model.run_range(prepare, count)
    np.testing.assert_array_equal(model.output(), expected)


class _Loaded:
    """A package in memory in which nothing has run."""

    def __init__(self, package: Package) -> None:
        self._section = package.manifest["backends"]["wasm"]
        self._store = wasmtime.Store()
        pages = self._section["memory"]["pages"]
        limits = wasmtime.MemoryType(wasmtime.Limits(pages, pages))
        self._memory = wasmtime.Memory(self._store, limits)
        module = wasmtime.Module(self._store.engine, bytes(package.files["wasm/simd128.wasm"]))
        self._exports = wasmtime.Instance(self._store, module, [self._memory]).exports(self._store)
        weights = self._section["weights"]
        content = b"".join(bytes(package.files[shard["file"]]) for shard in weights["shards"])
        self._memory.write(self._store, content, weights["offset"])

    def run_range(self, begin: int, end: int) -> None:
        function = self._exports["run_range"]
        assert isinstance(function, wasmtime.Func)
        function(self._store, begin, end)

    def put(self, x: Array) -> None:
        (place,) = self._section["inputs"]
        self._memory.write(self._store, x.tobytes(), place["offset"])

    def output(self) -> Array:
        (place,) = self._section["outputs"]
        start = place["offset"]
        data = self._memory.read(self._store, start, start + place["bytes"])
        return np.frombuffer(bytes(data), np.float32).reshape(1, CHANNELS[-1], 9, 10)


def test_loops_in_numpy(model: ModelProto, x: Array) -> None:
    imported = load(model)
    attach_weights(imported.module, imported.weights)
    ctx = context()
    for _, step in passes_between("onnx", "linalg", "wasm"):
        step.apply(ctx, imported.module)
    FORCED["linalg"][0].apply(ctx, imported.module)
    for _, step in passes_between("linalg", "loops", "wasm"):
        step.apply(ctx, imported.module)
    imported.module.verify()
    later, first = (
        run_module(imported.module, imported.weights, {"x": x}, is_first=is_first)["y"]
        for is_first in (False, True)
    )
    np.testing.assert_array_equal(first, later)


def test_may_be_left_out(model: ModelProto) -> None:
    package = webdnn.compile(
        model, target="wasm", passes=FORCED, jobs=1, without=["defer-launches-at-load"]
    )
    section = package.manifest["backends"]["wasm"]
    assert section["prepare"] == 3
    assert "firstRun" not in section
