"""Random numbers: their distributions, and that one seed gives the same ones on every level and both back ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import erf, sqrt
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from typer.testing import CliRunner
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import VerifyException

import webdnn
from webdnn.compiler import CompileOptions, package_from
from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.ir_parser import IRParser
from webdnn.dialects.numpy_meaning.program import run_module
from webdnn.dialects.threefry import random_words, seed_words, threefry
from webdnn.dialects.weight_store import WeightStore, weights_of
from webdnn.frontends.onnx import load
from webdnn.lowering.onnx_to_nn.convert import convert_onnx_to_nn
from webdnn.manifest import read_manifest
from webdnn.package import Engine, Package
from webdnn.passes import context
from webdnn.tools.webdnn import app

ENGINES: tuple[Engine, ...] = ("wasmtime", "wgpu")
SEED = 20111118
TYPES = {
    number: onnx.TensorProto.DataType.Name(number).lower()
    for number in onnx.TensorProto.DataType.values()
}
MOST_DISTANCE = 1.95
"""Of Kolmogorov and Smirnov, times the root of the count: of a thousand right generators one is farther away."""


def parsed(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 22]> test {text}')


def on_nn(
    model: onnx.ModelProto, inputs: Mapping[str, Array] | None = None, seed: int | None = SEED
) -> dict[str, Array]:
    """The outputs of a model on level `nn`."""
    imported = load(model, {})
    convert_onnx_to_nn(imported.module, imported.weights)
    imported.module.verify()
    return run_module(imported.module, imported.weights, inputs or {}, seed=seed)


def drawn(text: str, seed: int | None = SEED) -> Array:
    """The only output of a model without inputs, on level `nn`."""
    (result,) = on_nn(parsed(text), seed=seed).values()
    return result


def distance(sample: Array, distribution: Callable[[float], float]) -> float:
    """How far a sample is from a distribution, in units of what is to be expected."""
    x = np.sort(sample.ravel().astype(np.float64))
    expected = np.array([distribution(v) for v in x])
    steps = np.arange(len(x) + 1) / len(x)
    most = max(np.abs(expected - steps[1:]).max(), np.abs(expected - steps[:-1]).max())
    return float(most * sqrt(len(x)))


def normal_cdf(mean: float, scale: float) -> Callable[[float], float]:
    return lambda v: (1 + erf((v - mean) / (scale * sqrt(2)))) / 2


def uniform_cdf(low: float, high: float) -> Callable[[float], float]:
    return lambda v: (v - low) / (high - low)


class _Words:
    """Words as Python's integers."""

    def constant(self, value: int) -> int:
        return value

    def add(self, x: int, y: int) -> int:
        return (x + y) & 0xFFFFFFFF

    def xor(self, x: int, y: int) -> int:
        return x ^ y

    def rotate(self, x: int, count: int) -> int:
        return ((x << count) | (x >> (32 - count))) & 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_known_answers(
    counter: tuple[int, int], key: tuple[int, int], expected: tuple[int, int]
) -> None:
    """Those that the authors of the generator publish (kat_vectors of Random123)."""
    assert threefry(key, counter, _Words()) == expected


def test_words_of_counters() -> None:
    key = seed_words(2**53 - 1)
    assert key.tolist() == [0xFFFFFFFF, (1 << 21) - 1]
    found = random_words(key, 7, 100)
    low, high = key.tolist()
    for number in (0, 1, 99):
        expected = threefry((low, high), (number, 7), _Words())
        assert tuple(int(word[number]) for word in found) == expected


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


@pytest.mark.parametrize("dtype", [1, 10, 11, 16])
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.7, 1.9), (3.0, 3.0)])
def test_uniform(dtype: int, low: float, high: float) -> None:
    x = drawn(
        f"() => ({TYPES[dtype]}[20001] y) {{ y = RandomUniform <shape = [20001], dtype = {dtype}, low = {low}, "
        f"high = {high}> () }}"
    )
    assert x.dtype == onnx.helper.tensor_dtype_to_np_dtype(dtype)
    x = x.astype(np.float64)
    slack = float(ml_dtypes.finfo(x.dtype).eps) * 4 if dtype == 11 else 2e-2
    assert low - slack <= x.min() and x.max() <= high + slack
    if low == high:
        return
    assert abs(x.mean() - (low + high) / 2) < 5 * (high - low) / sqrt(12 * len(x))
    if dtype in (1, 11):  # the others have many equal numbers
        assert distance(x, uniform_cdf(low, high)) < MOST_DISTANCE


@pytest.mark.parametrize("dtype", [1, 10, 11, 16])
@pytest.mark.parametrize(("mean", "scale"), [(0.0, 1.0), (-3.0, 0.25)])
def test_normal(dtype: int, mean: float, scale: float) -> None:
    x = drawn(
        f"() => ({TYPES[dtype]}[40001] y) {{ y = RandomNormal <shape = [40001], dtype = {dtype}, "
        f"mean = {mean}, scale = {scale}> () }}"
    )
    assert x.dtype == onnx.helper.tensor_dtype_to_np_dtype(dtype)
    z = (x.astype(np.float64) - mean) / scale
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        slack = 5 * sqrt(variance / len(z)) + (0.03 if dtype in (10, 16) else 0)
        assert abs((z**power).mean() - moment) < slack, f"moment {power}"
    if dtype in (1, 11):
        assert distance(z, normal_cdf(0, 1)) < MOST_DISTANCE
        assert 3.5 < np.abs(z).max() < 6


def test_the_bits_of_a_double() -> None:
    x = drawn("() => (double[4096] y) { y = RandomUniform <shape = [4096], dtype = 11> () }")
    whole = x * 2.0**53
    np.testing.assert_array_equal(whole, np.trunc(whole))
    bits = whole.astype(np.uint64)
    for bit in range(53):
        share = float(((bits >> np.uint64(bit)) & np.uint64(1)).mean())
        assert abs(share - 0.5) < 5 * 0.5 / sqrt(len(x)), f"bit {bit}"


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


def test_nodes_share_no_numbers() -> None:
    result = on_nn(
        parsed("""
        (float[64] x, bool c) => (float[5, 64] steps, float[64] a, float[64] b, float[64] branch)
        <int64 count = {5}, bool yes = {1}> {
            last, steps = Loop <body = body (int64 i, bool go, float[64] s) => (bool on, float[64] t, float[64] row) {
                on = Identity (go) row = RandomUniformLike (s) t = Add (s, row)
            }> (count, yes, x)
            a = RandomUniformLike (x)
            b = RandomUniformLike <seed = 1.0> (x)
            branch = If <then_branch = one () => (float[64] v) { v = RandomUniformLike (x) },
                else_branch = other () => (float[64] w) { w = RandomUniformLike (x) }> (c) }"""),
        {"x": np.zeros(64, np.float32), "c": np.array(True)},
    )
    rows = [*result["steps"], result["a"], result["b"], result["branch"]]
    assert len({float(v) for row in rows for v in row}) > 8 * 64 - 3  # of 2^24 numbers


def test_nodes_are_independent() -> None:
    result = on_nn(
        parsed("""() => (float[50000] a, float[50000] b) {
            a = RandomNormal <shape = [50000]> () b = RandomNormal <shape = [50000]> () }""")
    )
    a, b = result["a"], result["b"]
    for first, second in ((a, b), (a[1:], a[:-1]), (a[1:], b[:-1]), (a**2, b**2)):
        assert abs(np.corrcoef(first, second)[0, 1]) < 5 / sqrt(len(first))
    other = on_nn(
        parsed("() => (float[50000] a) { a = RandomNormal <shape = [50000]> () }"), seed=SEED + 1
    )["a"]
    assert abs(np.corrcoef(a, other)[0, 1]) < 5 / sqrt(len(a))


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


@pytest.mark.parametrize("dtype", [2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 16])
def test_bernoulli_of_any_type(dtype: int) -> None:
    result = on_nn(
        parsed(
            f"(float16[600] p) => ({TYPES[dtype]}[600] y) {{ y = Bernoulli <dtype = {dtype}> (p) }}"
        ),
        {"p": np.full(600, 0.5, np.float16)},
    )["y"]
    assert result.dtype == onnx.helper.tensor_dtype_to_np_dtype(dtype)
    assert 240 < int((result != 0).sum()) < 360
    assert {*result.astype(np.float64)} == {0.0, 1.0}


@pytest.mark.parametrize("dtype", ["float", "float16", "double"])
def test_multinomial(dtype: str) -> None:
    chances = np.array([[0.1, 0, 0.6, 0.3, 0, 0], [1, 1, 1, 1, 1, 1]])
    with np.errstate(divide="ignore"):
        logits = np.log(chances) + 5.0  # they need not be normalised
    numpy_type = {"float": np.float32, "float16": np.float16, "double": np.float64}[dtype]
    model = parsed(
        f"({dtype}[2, 6] x) => (int32[2, 20000] y) {{ y = Multinomial <sample_size = 20000> (x) }}"
    )
    result = on_nn(model, {"x": logits.astype(numpy_type)})["y"]
    assert result.dtype == np.int32
    for row, chance in zip(result, chances / chances.sum(1, keepdims=True), strict=True):
        counts = np.bincount(row, minlength=6)
        assert not counts[chance == 0].any()
        expected = chance[chance > 0] * len(row)
        statistic = float(((counts[chance > 0] - expected) ** 2 / expected).sum())
        assert statistic < 20.5  # of chi squared with 5 degrees of freedom, one of a thousand


def test_multinomial_of_one_class_and_of_no_rows() -> None:
    one = parsed("(float[3, 1] x) => (int32[3, 4] y) { y = Multinomial <sample_size = 4> (x) }")
    assert not on_nn(one, {"x": np.zeros((3, 1), np.float32)})["y"].any()
    none = parsed(
        "(float[0, 3] x) => (int64[0, 4] y) { y = Multinomial <sample_size = 4, dtype = 7> (x) }"
    )
    result = on_nn(none, {"x": np.zeros((0, 3), np.float32)})["y"]
    assert result.shape == (0, 4) and result.dtype == np.int64


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "() => (int64[2] y) { y = RandomNormal <shape = [2], dtype = 7> () }",
            "its result would be of type int64, and must be of",
        ),
        (
            "() => (float[2] y) { y = RandomNormal <shape = [2], dtype = 99> () }",
            "its attribute 'dtype' is 99, which is the number of no type",
        ),
        (
            "(int32[2] x) => (int32[2] y) { y = RandomUniformLike (x) }",
            "its result would be of type int32, and must be of",
        ),
        (
            "() => (float[n] y) { y = RandomUniform <shape = [-2]> () }",
            "its attribute 'shape' is [-2], and sizes are not negative",
        ),
        (
            "() => (float[2] y) { y = RandomUniform <shape = [2], low = 1.0, high = 0.5> () }",
            "its numbers would be from 1.0 to 0.5",
        ),
        (
            "() => (float[65536, 65537] y) { y = RandomUniform <shape = [65536, 65537]> () }",
            "it draws 4,295,032,832 random numbers",
        ),
        (
            "(float[2, 0] x) => (int32[2, 1] y) { y = Multinomial (x) }",
            "it selects 1 of the 0 elements",
        ),
        (
            "(float[2] x) => (int32[2] y) { y = Multinomial (x) }",
            "its input 'input' has the shape [2], and must be of rank 2",
        ),
        (
            "(float[2, 3] x) => (int32[2, n] y) { y = Multinomial <sample_size = 0> (x) }",
            "its attribute 'sample_size' is 0, and must be positive",
        ),
        (
            "(float[2] x) => (float[2] y) <float ratio = {0.5}, bool training = {1}> "
            "{ y = Dropout (x, ratio, training) }",
            "training_mode is on",
        ),
    ],
)
def test_what_cannot_be_drawn(text: str, message: str) -> None:
    model = parsed(text)
    with pytest.raises(WebDNNError) as error:
        webdnn.compile(model, jobs=1)
    assert message in str(error.value)


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
