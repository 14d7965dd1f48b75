"""Values that are bound to inputs: they become constants, and decide what depends on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto

import webdnn
from tests.unit.onnx_import import run_session
from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.onnx import load
from webdnn.frontends.onnx.values import InputValue, typed_array
from webdnn.tools.arguments import parse_shapes, parse_values
from webdnn.wheels import wheel_files

HEADER = '<ir_version: 10, opset_import: ["" : 21]> test '

RATES = (
    HEADER
    + """
    (float[1, n] x, float[1, 1, 2] state, int64 sr) => (float[1, m] y, float[1, 1, 2] next)
    <int64 rate = {16000}, int64[3] of16 = {2, 1, 4}, int64[3] of8 = {2, 1, 2}, int64[2] row = {1, -1},
     float[1, 8, 4] w16 = {
        0.5, -1, 0.25, 2, 0.125, -0.5, 0.75, 1, -0.25, 0.5, 1, -1, 0.5, 0.5, -0.5, 0.25,
        0.5, -1, 0.25, 2, 0.125, -0.5, 0.75, 1, -0.25, 0.5, 1, -1, 0.5, 0.5, -0.5, 0.25},
     float[1, 8, 2] w8 = {0.5, -1, 0.25, 2, 0.125, -0.5, 0.75, 1, -0.25, 0.5, 1, -1, 0.5, 0.5, -0.5, 0.25},
     float[1, 8, 2] r = {0.5, -1, 0.25, 2, 0.125, -0.5, 0.75, 1, -0.25, 0.5, 1, -1, 0.5, 0.5, -0.5, 0.25}> {
        is16 = Equal(sr, rate)
        [Rates] y, next = If <
            then_branch = at16 () => (float[1, p] y16, float[1, 1, 2] next16) {
                [Fold16] x16 = Reshape(x, of16)
                s16, h16, next16 = LSTM <hidden_size = 2> (x16, w16, r, , , state)
                y16 = Reshape(s16, row) },
            else_branch = at8 () => (float[1, q] y8, float[1, 1, 2] next8) {
                [Fold8] x8 = Reshape(x, of8)
                s8, h8, next8 = LSTM <hidden_size = 2> (x8, w8, r, , , state)
                y8 = Reshape(s8, row) }
        > (is16) }"""
)
"""A recurrent network for two rates, each of which folds its input into steps in its own way."""


def parsed(text: str) -> ModelProto:
    return onnx.parser.parse_model(text)


def message(model: ModelProto, **options: Any) -> str:
    with pytest.raises(WebDNNError) as caught:
        webdnn.compile(model, target="wasm", jobs=1, **options)
    return str(caught.value)


@pytest.mark.parametrize("target", ["wasm", "webgpu"])
@pytest.mark.parametrize(("rate", "size"), [(16000, 8), (8000, 4)])
def test_only_the_branch_that_is_taken_is_compiled(target: Any, rate: int, size: int) -> None:
    model = parsed(RATES)
    package = webdnn.compile(
        model, target=target, shapes={"x": [1, size]}, values={"sr": rate}, jobs=1
    )
    assert [entry["name"] for entry in package.manifest["inputs"]] == ["x", "state"]
    ours = theirs = np.zeros((1, 1, 2), np.float32)
    rng = np.random.default_rng(0)
    for _ in range(3):
        x = rng.standard_normal((1, size)).astype(np.float32)
        result = package.run({"x": x, "state": ours})
        y, theirs = run_session(model, {"x": x, "state": theirs, "sr": np.array(rate)})
        ours = result["next"]
        np.testing.assert_allclose(result["y"], y, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_branch_that_does_not_fit_is_an_error_that_says_what_to_bind() -> None:
    text = message(parsed(RATES), shapes={"x": [1, 8]})
    assert "'Fold8'" in text and "else branch of If 'Rates'" in text and "Fold16" not in text
    assert "--value sr=..." in text and "bug" not in text
    text = message(parsed(RATES), shapes={"x": [1, 8]}, values={"sr": 8000})
    assert "'Fold8'" in text and "If 'Rates'" not in text, "it is taken, and does not fit"


def test_a_branch_that_inference_refuses_need_not_be_taken() -> None:
    model = parsed(
        HEADER
        + """
        (float[1, n] x, bool wide) => (float[1, 2] y)
        <float[2, 2] a = {1, 2, 3, 4}, float[3, 2] b = {1, 2, 3, 4, 5, 6}> {
            y = If <then_branch = t () => (float[1, 2] u) { [Wide] u = MatMul(x, b) },
                    else_branch = e () => (float[1, 2] v) { v = MatMul(x, a) }> (wide) }"""
    )
    package = webdnn.compile(
        model, target="wasm", shapes={"x": [1, 2]}, values={"wide": False}, jobs=1
    )
    result = package.run({"x": np.array([[1, 10]], np.float32)})
    np.testing.assert_array_equal(result["y"], [[31, 42]])
    assert "'Wide'" in message(model, shapes={"x": [1, 2]})


def test_sizes_that_are_values() -> None:
    model = parsed(
        HEADER
        + """
        (float[n] x, int64[k] sizes, int64 steps) => (float[a, b] y, float[m, n] all) <bool go = {1}> {
            y = Reshape(x, sizes)
            last, all = Loop <body = body (int64 i, bool c, float[n] s)
                => (bool d, float[n] t, float[n] row) {
                    d = Identity(c) t = Add(s, x) row = Identity(s) }> (steps, go, x) }"""
    )
    text = message(model, shapes={"x": [6], "sizes": [2]})
    assert "--value sizes=..." in text and "--value steps=..." in text
    values: dict[str, InputValue] = {"sizes": [2, -1], "steps": 2}
    package = webdnn.compile(model, target="wasm", shapes={"x": [6]}, values=values, jobs=1)
    x = np.arange(6, dtype=np.float32)
    result = package.run({"x": x})
    np.testing.assert_array_equal(result["y"], x.reshape(2, 3))
    np.testing.assert_array_equal(result["all"], np.stack([x, 2 * x]))


def test_every_input_may_be_bound_and_big_ones_are_weights() -> None:
    model = parsed(HEADER + "(float[n, 4] x, float[n, 4] w) => (float[n, 4] y) { y = Add(x, w) }")
    w = np.arange(400, dtype=np.float32).reshape(100, 4)
    imported = load(model, values={"w": w})
    np.testing.assert_array_equal(imported.weights["w"], w)
    package = webdnn.compile(model, target="wasm", values={"w": w}, jobs=1)
    assert [entry["shape"] for entry in package.manifest["inputs"]] == [[100, 4]], "n is bound too"
    np.testing.assert_array_equal(package.run({"x": w})["y"], 2 * w)
    package = webdnn.compile(model, target="wasm", values={"w": w, "x": w[::-1]}, jobs=1)
    np.testing.assert_array_equal(package.run({})["y"], w + w[::-1])


@pytest.mark.parametrize(
    ("value", "type", "expected"),
    [
        (16000, TensorProto.INT64, np.array(16000)),
        (2.0, TensorProto.INT32, np.array(2, np.int32)),
        ([1, 2], TensorProto.FLOAT, np.array([1, 2], np.float32)),
        (0.1, TensorProto.FLOAT, np.array(0.1, np.float32)),
        (float("nan"), TensorProto.FLOAT16, np.array(np.nan, np.float16)),
        (float("-inf"), TensorProto.DOUBLE, np.array(-np.inf)),
        ([[True], [False]], TensorProto.BOOL, np.array([[True], [False]])),
        (2**64 - 1, TensorProto.UINT64, np.array(2**64 - 1, np.uint64)),
        (-(2**63), TensorProto.INT64, np.array(-(2**63))),
        ([], TensorProto.INT64, np.zeros(0, np.int64)),
        (1.5, TensorProto.BFLOAT16, np.array(1.5, ml_dtypes.bfloat16)),
        (-8, TensorProto.INT4, np.array(-8, ml_dtypes.int4)),
        (np.array([3], np.uint8), TensorProto.INT64, np.array([3])),
        ([1, 0.5], TensorProto.FLOAT, np.array([1, 0.5], np.float32)),
        (["a", "b"], TensorProto.STRING, np.array(["a", "b"], object)),
    ],
)
def test_values_are_of_the_declared_type(value: Any, type: int, expected: Array) -> None:
    found = typed_array("x", value, type)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("value", "type", "why"),
    [
        (1.5, TensorProto.INT64, "1.5 is no integer"),
        (float("inf"), TensorProto.INT64, "inf is"),
        (float("nan"), TensorProto.INT64, "nan is no integer"),
        (256, TensorProto.UINT8, "256 is out of its range"),
        (-1, TensorProto.UINT64, "-1 is out of its range"),
        (2**63, TensorProto.INT64, "9223372036854775808 is out of its range"),
        (8, TensorProto.INT4, "8 is out of its range"),
        (2.0**63, TensorProto.INT64, "out of its range"),
        (2**64, TensorProto.UINT64, "up to 64 bits"),
        (70000.0, TensorProto.FLOAT16, "70000.0 is out of its range"),
        (1e39, TensorProto.BFLOAT16, "is out of its range"),
        (True, TensorProto.INT64, "True is no number"),
        (1, TensorProto.BOOL, "1 is not true or false"),
        ("abc", TensorProto.FLOAT, "'abc' is no number"),
        (1, TensorProto.STRING, "it is no text"),
        (1j, TensorProto.FLOAT, "is no number"),
        (None, TensorProto.FLOAT, "None is no number"),
        ([1, [2]], TensorProto.FLOAT, "the rows of a tensor have one length"),
        ([[1], [2, 3]], TensorProto.FLOAT, "the rows of a tensor have one length"),
    ],
)
def test_values_of_another_type_or_out_of_range(value: Any, type: int, why: str) -> None:
    with pytest.raises(WebDNNError) as caught:
        typed_array("x", value, type)
    assert "value of input 'x'" in caught.value.what
    assert why in caught.value.why


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"values": {"SR": 1}}, "no input named 'SR'\n  try:   its inputs are 'x', 'state', 'sr'"),
        ({"values": {"sr": [1]}}, "input 'sr' has 0 dimensions, and its value has 1"),
        ({"values": {"state": [0, 0]}}, "input 'state' has 3 dimensions, and its value has 1"),
        ({"values": {"state": [[[0, 0, 0]]]}}, "dimension 2 of input 'state' is 2 in the model"),
        ({"values": {"x": [[1, 2]]}, "shapes": {"x": [1, 3]}}, "the shape [1, 3] and a value of"),
        ({"values": {"rate": 1}}, "no input named 'rate'"),
    ],
)
def test_values_that_do_not_fit_the_model(options: dict[str, Any], text: str) -> None:
    assert text in message(parsed(RATES), **options)


def test_values_on_the_command_line(tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", np.array([[1, 2]]))
    words = (
        "sr=16000 a=1,2 b=[1,\t2] c=[[1],[2]] d=true e=-inf f=[nan,1e-3] g=[] h=text j=[TRUE,false]"
    )
    found = parse_values([*words.split(" "), f"i={tmp_path / 'w.npy'}", "k=9223372036854775807"])
    array = found.pop("i")
    assert isinstance(array, np.ndarray) and array.tolist() == [[1, 2]]
    assert repr(found.pop("f")) == "[nan, 0.001]"
    assert found == {
        "sr": 16000,
        "a": [1, 2],
        "b": [1, 2],
        "c": [[1], [2]],
        "d": True,
        "e": float("-inf"),
        "g": [],
        "h": "text",
        "j": [True, False],
        "k": 2**63 - 1,
    }


@pytest.mark.parametrize("text", ["sr", "=1", "sr=", "sr=[1,", "sr=no.npy", "sr=1;sr=2"])
def test_bad_values_on_the_command_line(text: str) -> None:
    with pytest.raises(WebDNNError):
        parse_values(text.split(";"))


def test_shapes_on_the_command_line() -> None:
    assert parse_shapes(["a=b=1,2", "s="]) == {"a=b": [1, 2], "s": []}
    with pytest.raises(WebDNNError, match="'x' is given two shapes"):
        parse_shapes(["x=1,2", "x=1,3"])


def _voice_detector() -> Path:
    """A published model with a network for each of two rates in the branches of an If."""
    return wheel_files("silero-vad", "6.2.3", (".onnx",))["silero_vad.onnx"]


@pytest.mark.nightly
def test_voice_detector_of_any_rate() -> None:
    """576 samples are too many for the network of the lower rate; 288 do for both, and the rate is an input."""
    path = _voice_detector()
    shapes = {"input": [1, 576], "state": [2, 1, 128]}
    assert "--value sr=..." in message(onnx.load(path), shapes=shapes)
    shapes["input"] = [1, 288]
    package = webdnn.compile(path, target="wasm", shapes=shapes, jobs=1)
    x = 0.5 * np.sin(np.arange(288, dtype=np.float32)[None] / 7)
    state = np.zeros((2, 1, 128), np.float32)
    for rate in (8000, 16000):
        feeds = {"input": x, "state": state, "sr": np.array(rate)}
        result = package.run(feeds)
        for ours, theirs in zip(
            result.values(), run_session(path.read_bytes(), feeds), strict=True
        ):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.nightly
@pytest.mark.parametrize(("rate", "size"), [(16000, 576), (8000, 288)])
def test_voice_detector(rate: int, size: int) -> None:
    path = _voice_detector()
    shapes = {"input": [1, size], "state": [2, 1, 128]}
    package = webdnn.compile(path, target="wasm", shapes=shapes, values={"sr": rate}, jobs=1)
    model = path.read_bytes()
    ours = theirs = np.zeros((2, 1, 128), np.float32)
    for step in range(5):
        x = 0.5 * np.sin(np.arange(size, dtype=np.float32)[None] * (step + 1) / 7)
        y, theirs = run_session(model, {"input": x, "state": theirs, "sr": np.array(rate)})
        result = package.run({"input": x, "state": ours})
        ours = result["stateN"]
        np.testing.assert_allclose(result["output"], y, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
