"""Random numbers on level `nn`: known answers of the generator, distributions, and what cannot be drawn."""

from __future__ import annotations

from collections.abc import Callable
from math import erf, sqrt

import ml_dtypes
import numpy as np
import onnx
import pytest

import webdnn
from tests.unit.random_draws import SEED, TYPES, on_nn, parsed
from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.threefry import random_words, seed_words, threefry

MOST_DISTANCE = 1.95
"""Of Kolmogorov and Smirnov, times the root of the count: of a thousand right generators one is farther away."""


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
