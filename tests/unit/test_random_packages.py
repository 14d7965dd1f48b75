"""Packages that draw random numbers: one seed gives the same ones on every level and both back ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import VerifyException

import webdnn
from tests.unit.random_draws import SEED, on_nn, parsed
from webdnn.compiler import CompileOptions, package_from
from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.ir_parser import IRParser
from webdnn.dialects.numpy_meaning.program import run_module
from webdnn.dialects.threefry import random_words, seed_words
from webdnn.dialects.weight_store import WeightStore, weights_of
from webdnn.manifest import read_manifest
from webdnn.package import Engine, Package
from webdnn.passes import context
from webdnn.tools.webdnn import app

ENGINES: tuple[Engine, ...] = ("wasmtime", "wgpu")


BITS = """
builtin.module {{
  func.func @main(%seed: tensor<2xui32>) -> tensor<{shape}xui32> attributes {{webdnn.seed, webdnn.input_names = [],
      webdnn.input_dtypes = [], webdnn.output_names = ["y"], webdnn.output_dtypes = ["uint32"]}} {{
    %stream = nn.constant dense<3> : tensor<ui32> : tensor<ui32>
    %y = nn.random_bits %seed, %stream word {word} : i64 : tensor<2xui32>, tensor<ui32> -> tensor<{shape}xui32>
    func.return %y : tensor<{shape}xui32>
  }}
}}
"""


@pytest.mark.parametrize(("shape", "word"), [("1", 0), ("3x1x5", 1), ("70001", 1)])
def test_words_on_both_back_ends(shape: str, word: int) -> None:
    module = IRParser(context(), BITS.format(shape=shape, word=word)).parse_module()
    package = package_from(module, WeightStore(), CompileOptions(jobs=1), name="bits")
    for engine in ENGINES:
        result = package.run({}, engine, seed=SEED)["y"]
        expected = random_words(seed_words(SEED), 3, result.size)[word]
        np.testing.assert_array_equal(result.ravel(), expected, engine)


def test_no_words() -> None:
    text = BITS.format(shape="2", word=2)
    with pytest.raises(VerifyException, match="there is no word 2"):
        IRParser(context(), text).parse_module().verify()


ALL = """
    (float[3, 37] x, float16[5] h) => (float[3, 37] u, float[37, 3] n, float[3, 37] z, int32[3, 37] p, int64[3, 5] k,
    float16[5] g, bfloat16[3, 37] w, float[3, 1] mean, float s, float[0, 2] none) {
        u = RandomUniformLike <low = -0.3, high = 1.7> (x)
        v = RandomNormalLike (x) n = Transpose (v)
        a = RandomNormalLike <mean = 2.0, scale = 0.5> (x) z = Mul (a, x)
        c = Sigmoid (x) p = Bernoulli <dtype = 6> (c)
        k = Multinomial <sample_size = 5, dtype = 7> (x)
        g = RandomUniformLike (h)
        w16 = RandomUniformLike <dtype = 16> (x) w = Identity (w16)
        many = RandomUniform <shape = [3, 70001]> () axis = Constant <value_ints = [1]> ()
        mean = ReduceMean (many, axis)
        s = RandomNormal <shape: ints = []> ()
        none = RandomNormal <shape = [0, 2]> () }"""


@pytest.fixture(scope="module")
def all_inputs() -> dict[str, Array]:
    x = np.random.default_rng(0).standard_normal((3, 37)).astype(np.float32)
    return {"x": x, "h": np.zeros(5, np.float16)}


EXACT = ("u", "p", "k", "g", "w", "none")


def assert_same(result: Mapping[str, Array], expected: Mapping[str, Array], what: str) -> None:
    """Uniform numbers, and what is decided by them, bit by bit; others but for the rounding of functions and sums."""
    for name, wanted in expected.items():
        assert result[name].dtype == wanted.dtype and result[name].shape == wanted.shape, name
        if name in EXACT:
            np.testing.assert_array_equal(result[name], wanted, f"{name} {what}")
        else:
            np.testing.assert_allclose(
                result[name], wanted, rtol=1e-5, atol=2e-6, err_msg=f"{name} {what}"
            )


def test_every_level_and_wasm_agree(all_inputs: dict[str, Array]) -> None:
    model = parsed(ALL)
    expected = on_nn(model, all_inputs)
    results: dict[str, dict[str, Array]] = {}

    def run(stage: str, target: str | None, module: ModuleOp) -> None:
        if stage in ("linalg", "kernels"):
            results[f"on {stage}"] = run_module(module, weights_of(module), all_inputs, seed=SEED)

    package = webdnn.compile(model, target="wasm", jobs=1, hook=run)
    results["in wasmtime"] = package.run(all_inputs, seed=SEED)
    for what, result in results.items():
        assert_same(result, expected, what)
    again, other = package.run(all_inputs, seed=SEED), package.run(all_inputs, seed=SEED + 1)
    for name, array in results["in wasmtime"].items():
        np.testing.assert_array_equal(again[name], array)
        assert name == "none" or not np.array_equal(other[name], array), name
    assert not np.array_equal(package.run(all_inputs)["u"], package.run(all_inputs)["u"])


def test_webgpu_agrees(all_inputs: dict[str, Array]) -> None:
    model = parsed(
        ALL.replace("bfloat16[3, 37] w", "float[3, 37] w").replace(
            "w = Identity (w16)", "w = Cast <to = 1> (w16)"
        )
    )
    package = webdnn.compile(model, target="webgpu", jobs=1)
    assert_same(package.run(all_inputs, seed=SEED), on_nn(model, all_inputs), "in wgpu")
    assert not np.array_equal(package.run(all_inputs)["u"], package.run(all_inputs)["u"])


READERS = parsed("""
    (float[1, 3, 9, 9] x, float[2, 3, 3, 3] w)
    => (float[1, 2, 9, 9] mask, float[1, 6, 9, 9] parts, float[1, 2, 8, 9] cut, float[1, 1, 9, 9] sum,
    float[81, 2] turned, float[1, 2, 9, 9] chosen, int64[1, 2, 9, 1] most)
    <int64[1] first = {1}, int64[1] last = {9}, int64[1] axis = {2}, int64[1] channels = {1}, int64[2] rows = {2, 81}> {
        c = Conv <pads = [1, 1, 1, 1]> (x, w)
        a = RandomUniformLike (c) mask = Mul (c, a)
        b = RandomUniformLike (x) parts = Concat <axis = 1> (x, b)
        d = RandomUniformLike (c) cut = Slice (d, first, last, axis)
        e = RandomUniformLike (c) sum = ReduceSum (e, channels)
        f = RandomUniformLike (c) g = Reshape (f, rows) turned = Transpose (g)
        p = Sigmoid (c) h = Bernoulli <dtype = 9> (p) chosen = Where (h, c, p)
        n = RandomUniformLike (c) most = ArgMax <axis = 3> (n) }""")


@pytest.mark.parametrize("engine", ENGINES)
def test_what_reads_them(engine: Engine) -> None:
    """An element's number depends on its place in the tensor that is drawn, wherever a kernel computes it."""
    rng = np.random.default_rng(0)
    inputs = {
        "x": rng.standard_normal((1, 3, 9, 9)).astype(np.float32),
        "w": rng.standard_normal((2, 3, 3, 3)).astype(np.float32),
    }
    package = webdnn.compile(READERS, target="wasm" if engine == "wasmtime" else "webgpu", jobs=1)
    assert_same(package.run(inputs, engine, seed=SEED), on_nn(READERS, inputs), engine)


def test_doubles_on_wasm() -> None:
    model = parsed("""
        (double[2000] p) => (double[1003] u, double[1003] n, double[2000] d) {
            u = RandomUniform <shape = [1003], dtype = 11, low = -2.0> ()
            n = RandomNormal <shape = [1003], dtype = 11> ()
            d = Bernoulli (p) }""")
    inputs = {"p": np.linspace(0, 1, 2000)}
    result = webdnn.compile(model, target="wasm", jobs=1).run(inputs, seed=SEED)
    expected = on_nn(model, inputs)
    np.testing.assert_array_equal(result["u"], expected["u"])
    np.testing.assert_array_equal(result["d"], expected["d"])
    np.testing.assert_allclose(result["n"], expected["n"], rtol=1e-13)


def test_a_seed_of_its_own() -> None:
    """What a node with a seed draws is a constant of the package: others beside it change from run to run."""
    model = parsed("""(float[40] x) => (float[40] fixed, float[40] same, float[40] free) {
        f = RandomNormalLike <seed = 0.0> (x) fixed = Add (f, x)
        g = RandomNormalLike <seed = 0.0> (x) same = Add (g, x)
        r = RandomNormalLike (x) free = Add (r, x) }""")
    package = webdnn.compile(model, target="wasm", jobs=1)
    inputs = {"x": np.zeros(40, np.float32)}
    first, second = package.run(inputs), package.run(inputs, seed=1)
    np.testing.assert_array_equal(first["fixed"], second["fixed"])
    np.testing.assert_array_equal(first["same"], second["same"])
    assert not np.array_equal(first["fixed"], first["same"])
    assert not np.array_equal(first["free"], second["free"])
    model = parsed("() => (float[40] y) { y = RandomNormal <shape = [40], seed = 2.5> () }")
    package = webdnn.compile(model, jobs=1)
    assert all("seed" not in section for section in package.manifest["backends"].values())
    np.testing.assert_array_equal(package.run({}, "wasmtime")["y"], package.run({}, "wgpu")["y"])


@pytest.mark.parametrize("engine", ENGINES)
def test_bernoulli_at_its_ends(engine: Engine) -> None:
    model = parsed("(float[4, 1000] p) => (bool[4, 1000] y) { y = Bernoulli <dtype = 9> (p) }")
    rows = np.array([[0.0], [1.0], [np.nan], [0.3]], np.float32)
    inputs = {"p": np.broadcast_to(rows, (4, 1000)).copy()}
    package = webdnn.compile(model, target="wasm" if engine == "wasmtime" else "webgpu", jobs=1)
    never, always, unknown, some = package.run(inputs, engine, seed=SEED)["y"]
    assert not never.any() and always.all() and not unknown.any()
    assert abs(some.mean() - 0.3) < 5 * sqrt(0.21 / 1000)


def test_noise_is_one_kernel_with_what_reads_it() -> None:
    model = parsed("""(float[2, 300] mean, float[2, 300] deviation) => (float[2, 300] y) {
        n = RandomNormalLike (mean) s = Mul (n, deviation) y = Add (s, mean) }""")
    package = webdnn.compile(model, jobs=1)
    for section in package.manifest["backends"].values():
        assert len(section["launches"]) == 1


def test_what_is_not_read_needs_no_seed() -> None:
    model = parsed("(float[3] x) => (float[3] y) { r = RandomNormalLike (x) y = Neg (x) }")
    package = webdnn.compile(model, jobs=1)
    assert all("seed" not in section for section in package.manifest["backends"].values())
    x = np.ones(3, np.float32)
    np.testing.assert_array_equal(package.run({"x": x}, seed=3)["y"], -x)


@pytest.fixture(scope="module")
def dice() -> Package:
    return webdnn.compile(
        parsed("() => (float[3] y) { y = RandomUniform <shape = [3]> () }"), jobs=1
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_seeds_out_of_range(dice: Package, engine: Engine) -> None:
    for seed in (-1, 2**53):
        with pytest.raises(WebDNNError, match=f"the seed is {seed}"):
            dice.run({}, engine, seed=seed)
    for seed in (0, 2**53 - 1):
        assert dice.run({}, engine, seed=seed)["y"].shape == (3,)


def test_seed_of_the_command(dice: Package, tmp_path: Path) -> None:
    dice.save(tmp_path / "dice")
    assert dice.manifest["inputs"] == []

    def run(*options: str) -> Array:
        folder, output = str(tmp_path / "dice"), tmp_path / "out"
        done = CliRunner().invoke(app, ["run", folder, "-o", str(output), *options])
        assert done.exit_code == 0, done.output
        return np.load(output / "y.npy")

    expected = dice.run({}, seed=6)["y"]
    np.testing.assert_array_equal(run("--seed", "6"), expected)
    np.testing.assert_array_equal(run("--seed", "6", "--engine", "wgpu"), expected)
    assert not np.array_equal(run(), run())


@pytest.mark.parametrize(
    ("backend", "field", "value", "message"),
    [
        ("wasm", "bytes", 4, "backends.wasm.seed has 4 bytes, but 'seed' needs 8"),
        ("wasm", "offset", 2**32, "backends.wasm.seed reaches beyond the memory"),
        ("wasm", "offset", 2, "backends.wasm.seed is not aligned to 4 bytes"),
        ("webgpu", "buffer", 99, "backends.webgpu.seed.buffer is not the number of a buffer"),
        ("webgpu", "storage", "f32", "backends.webgpu.seed.storage 'f32' cannot hold each uint32"),
    ],
)
def test_places_of_a_seed_are_checked(
    dice: Package, tmp_path: Path, backend: str, field: str, value: object, message: str
) -> None:
    folder = dice.save(tmp_path / "dice")
    assert read_manifest(folder) == dice.manifest
    manifest = json.loads(json.dumps(dice.manifest))
    manifest["backends"][backend]["seed"][field] = value
    (folder / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(WebDNNError) as error:
        read_manifest(folder)
    assert message in str(error.value)


@pytest.mark.parametrize("engine", ENGINES)
def test_sizes_that_a_run_sets(engine: Engine) -> None:
    """A number depends on its place alone, so the first ones of more are the same."""
    model = parsed("(float[b, s] x) => (float[b, s] y) { y = RandomNormalLike (x) }")
    package = webdnn.compile(model, dims={"b": "1..4", "s": "1..64"}, jobs=1)
    few, more = (
        package.run({"x": np.zeros(shape, np.float32)}, engine, seed=5)["y"]
        for shape in ((1, 3), (4, 64))
    )
    assert few.shape == (1, 3) and more.shape == (4, 64)
    np.testing.assert_array_equal(few[0], more[0, :3])
    assert abs(more.mean()) < 0.3 and 0.8 < more.std() < 1.2
