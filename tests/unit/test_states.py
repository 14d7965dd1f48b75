"""States: what a run keeps for the next one, on both back ends."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import webdnn
from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError
from webdnn.engines.model_state import StatesOnDevice
from webdnn.lowering.interface.states import parse_states, usual_states
from webdnn.manifest_checks import check_manifest
from webdnn.package import Engine, Package
from webdnn.runner import run_files, time_package

ENGINES: tuple[Engine, ...] = ("wasmtime", "wgpu")

CACHE = """
<ir_version: 10, opset_import: ["" : 21]>
decoder (float[1, 2, s, 5] q, float[1, 2, s, 5] k, float[1, 2, s, 5] v, int64[1, total] mask,
         float[1, 2, past, 5] past_key, float[1, 2, past, 5] past_value)
  => (float[1, 2, s, 5] y, float[1, 2, total, 5] present_key, float[1, 2, total, 5] present_value) {
  present_key = Concat<axis = 2>(past_key, k)
  present_value = Concat<axis = 2>(past_value, v)
  t = Transpose<perm = [0, 1, 3, 2]>(present_key)
  scores = MatMul(q, t)
  shape = Constant<value_ints = [1, 1, 1, -1]>()
  float_mask = Cast<to = 1>(mask)
  biases = Reshape(float_mask, shape)
  biased = Add(scores, biases)
  p = Softmax<axis = -1>(biased)
  y = MatMul(p, present_value)
}
"""
_PAST = "past_key", "past_value"


@cache
def _decoder() -> Package:
    model = onnx.parser.parse_model(CACHE)
    dims = {"past": "0..24@8", "s": "1..6@1", "total": "past + s"}
    return webdnn.compile(model, dims=dims, threads=False)


class _Reference:
    """The decoder in numpy, with a cache of its own."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self.key = self.value = np.zeros((1, 2, 0, 5), np.float32)

    def step(self, count: int) -> tuple[dict[str, Array], Array]:
        """The inputs of the next step, of so many tokens, and its output."""
        q, k, v = (self._random.standard_normal((1, 2, count, 5), np.float32) for _ in range(3))
        self.key, self.value = np.concatenate([self.key, k], 2), np.concatenate([self.value, v], 2)
        mask = self._random.integers(0, 2, (1, self.key.shape[2]))
        scores = q @ self.key.transpose(0, 1, 3, 2) + mask
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        y = weights / weights.sum(-1, keepdims=True) @ self.value
        return {"q": q, "k": k, "v": v, "mask": mask}, y


def _compile(text: str, **options: Any) -> Package:
    return webdnn.compile(onnx.parser.parse_model(text), threads=False, **options)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_cache_grows_where_it_lies(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    package = _decoder()
    assert [tensor["name"] for tensor in package.manifest["inputs"]] == ["q", "k", "v", "mask"]
    assert [tensor["name"] for tensor in package.manifest["outputs"]] == ["y"]
    reference, state = _Reference(0), package.create_state(engine)
    crossed: list[int] = []
    program = package._programs[engine]  # pyright: ignore[reportPrivateUsage]
    program.states.leave()
    read, write = program.states._read, program.states._write  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(program.states, "_read", lambda *a: crossed.append(a[1][2]) or read(*a))
    monkeypatch.setattr(program.states, "_write", lambda *a: crossed.append(a[1].size) or write(*a))
    for count in [3, *[1] * 10, 2, *[1] * 8]:
        inputs, y = reference.step(count)
        found = package.run(inputs, engine, state=state)
        assert list(found) == ["y"]
        np.testing.assert_allclose(found["y"], y, rtol=2e-5, atol=1e-6)
    assert crossed == [0, 0]  # a cache that begins is empty
    kept = state.get()
    np.testing.assert_array_equal(kept[_PAST[0]], reference.key)
    np.testing.assert_array_equal(kept[_PAST[1]], reference.value)


@pytest.mark.parametrize("engine", ENGINES)
def test_states_do_not_meet(engine: Engine) -> None:
    package = _decoder()
    states = [package.create_state(engine) for _ in range(2)]
    references = [_Reference(1), _Reference(2)]
    for turn in (0, 0, 1, 0, 1, 1, 1, 0):
        inputs, y = references[turn].step(1 + turn)
        found = package.run(inputs, engine, state=states[turn])
        np.testing.assert_allclose(found["y"], y, rtol=2e-5, atol=1e-6)
    saved = states[0].get()
    states[0].reset()
    assert states[0].sizes == {"past": 0}
    assert states[0].get()[_PAST[0]].shape == (1, 2, 0, 5)
    first = _Reference(5)
    inputs, y = first.step(4)
    found = package.run(inputs, engine, state=states[0])
    np.testing.assert_allclose(found["y"], y, rtol=2e-5, atol=1e-6)
    states[0].set(saved)
    inputs, y = references[0].step(1)
    found = package.run(inputs, engine, state=states[0])
    np.testing.assert_allclose(found["y"], y, rtol=2e-5, atol=1e-6)
    # without a state, a run begins with an empty one, and changes none
    inputs, y = _Reference(6).step(2)
    np.testing.assert_allclose(package.run(inputs, engine)["y"], y, rtol=2e-5, atol=1e-6)
    inputs, y = references[1].step(1)
    found = package.run(inputs, engine, state=states[1])
    np.testing.assert_allclose(found["y"], y, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_full_cache_is_an_error_and_stays_what_it_is(engine: Engine) -> None:
    package = _decoder()
    reference, state = _Reference(3), package.create_state(engine)
    for _ in range(4):
        package.run(reference.step(5)[0], engine, state=state)
    q = np.zeros((1, 2, 5, 5), np.float32)
    mask = np.zeros((1, 25), np.int64)
    with pytest.raises(WebDNNError) as error:
        package.run({"q": q, "k": q, "v": q, "mask": mask}, engine, state=state)
    for part in (_PAST[0], "20 of past", "25", "24 is the most"):
        assert part in str(error.value)
    inputs, y = reference.step(4)
    found = package.run(inputs, engine, state=state)
    np.testing.assert_allclose(found["y"], y, rtol=2e-5, atol=1e-6)
    # an input that contradicts the state
    with pytest.raises(WebDNNError, match="past is 24 in the state"):
        package.run({"q": q, "k": q, "v": q, "mask": mask}, engine, state=state)


RECURRENT = """
<ir_version: 10, opset_import: ["" : 21]>
sums (float[b, 7] x, float[b, 7] sum, int64[3] steps, float16[2] fixed, bool[2] flags)
  => (float[b, 7] y, float[b, 7] sum_out, int64[3] steps_out, float16[2] fixed_out, bool[2] flags_out) {
  sum_out = Add(x, sum)
  y = Mul(sum_out, x)
  one = Constant<value_ints = [4294967297]>()
  steps_out = Add(steps, one)
  fixed_out = Identity(fixed)
  flags_out = Not(flags)
}
"""
_RECURRENT_STATES = {name: f"{name}_out" for name in ("sum", "steps", "fixed", "flags")}


@cache
def _recurrent() -> Package:
    return _compile(RECURRENT, dims={"b": "1..4"}, states=_RECURRENT_STATES)


@pytest.mark.parametrize("engine", ENGINES)
def test_states_of_fixed_shape_and_any_type(engine: Engine) -> None:
    package = _recurrent()
    state, random = package.create_state(engine), np.random.default_rng(0)
    total, kept = np.zeros((3, 7), np.float32), state.get()
    for step in range(5):
        x = random.standard_normal((3, 7), np.float32)
        total = total + x
        np.testing.assert_array_equal(package.run({"x": x}, engine, state=state)["y"], total * x)
        kept = state.get()
        np.testing.assert_array_equal(kept["sum"], total)
        np.testing.assert_array_equal(kept["steps"], [(step + 1) * 4294967297] * 3)
        np.testing.assert_array_equal(kept["flags"], [step % 2 == 0] * 2)
    state.set({**kept, "fixed": np.array([1.5, np.nan], np.float16)})
    for _ in range(3):
        package.run({"x": total}, engine, state=state)
    np.testing.assert_array_equal(state.get()["fixed"], np.array([1.5, np.nan], np.float16))
    with pytest.raises(WebDNNError, match="b is 3 in the state"):
        package.run({"x": total[:2]}, engine, state=state)
    state.reset()
    assert package.run({"x": total[:2]}, engine, state=state)["y"].shape == (2, 7)


def test_a_state_that_depends_on_nothing_is_written_by_each_run() -> None:
    text = """
    <ir_version: 10, opset_import: ["" : 21]>
    last (float[2] x, float[2] a, float[2] b, float[2] c) => (float[2] y, float[2] p, float[2] q, float[2] r) {
      y = Add(a, b)
      p = Constant<value_floats = [1.0, 2.0]>()
      q = Identity(x)
      r = Neg(x)
    }
    """
    package = _compile(text, target="wasm", states={"a": "p", "b": "q", "c": "r"})
    state = package.create_state()
    found = [package.run({"x": np.full(2, n, np.float32)}, state=state)["y"] for n in range(4)]
    np.testing.assert_array_equal(found, [[0, 0], [1, 2], [2, 3], [3, 4]])


def test_names_of_caches() -> None:
    inputs = ["ids", "past_key_values.0.key", "past_key_self_1", "past_2", "past_key_values.3.key"]
    outputs = [
        "present.0.key",
        "present_key_self_1",
        "present_2",
        "logits",
        "present_key_values.3.key",
    ]
    assert usual_states(inputs, outputs) == {
        "past_key_values.0.key": "present.0.key",
        "past_key_self_1": "present_key_self_1",
        "past_2": "present_2",
        "past_key_values.3.key": "present_key_values.3.key",
    }
    assert parse_states(["a=b", "c=d=e"]) == {"a": "b", "c": "d=e"}
    for text in ("a", "a=", "=b"):
        with pytest.raises(WebDNNError, match="INPUT=OUTPUT"):
            parse_states([text])


@pytest.mark.parametrize(
    ("dims", "states"),
    [
        ({"past": "0..8", "s": "1..2", "total": "past + s"}, False),
        ({"past": "1..8", "s": "1..2", "total": "past + s"}, True),  # would begin with zeros
        ({"past": 4, "s": 1, "total": 5}, True),
    ],
)
def test_what_is_no_state_is_an_input(dims: dict[str, Any], states: bool) -> None:
    package = _compile(CACHE, dims=dims, states=states, target="wasm")
    assert "states" not in package.manifest
    assert [tensor["name"] for tensor in package.manifest["inputs"]][-2:] == list(_PAST)


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ({"x": "nothing"}, "no output named 'nothing'"),
        ({"nothing": "y"}, "no input named 'nothing'"),
        ({"sum": "steps_out"}, "elements of"),
        ({"fixed": "fixed_out", "x": "sum_out", "sum": "sum_out"}, "given to two states"),
    ],
)
def test_what_cannot_be_a_state_is_an_error(states: dict[str, str], said: str) -> None:
    with pytest.raises(WebDNNError) as error:
        _compile(RECURRENT, dims={"b": 1}, states=states, target="wasm")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("dims", "said"),
    [
        ({"past": 4, "s": 1, "total": 5}, "comes back as 5"),
        ({"past": "0..2", "s": "3..4", "total": "past + s"}, "no state fits"),
    ],
)
def test_a_cache_of_fixed_size_is_no_state(dims: dict[str, Any], said: str) -> None:
    with pytest.raises(WebDNNError, match=said):
        _compile(CACHE, dims=dims, states={_PAST[0]: "present_key"}, target="wasm")


def test_wrong_uses_of_a_state() -> None:
    package, other = _decoder(), _recurrent()
    inputs = _Reference(0).step(1)[0]
    with pytest.raises(WebDNNError, match="a state is no input"):
        package.run({**inputs, _PAST[0]: inputs["k"]})
    with pytest.raises(WebDNNError, match="another package"):
        package.run(inputs, state=other.create_state())
    with pytest.raises(WebDNNError, match="another package or engine"):
        package.run(inputs, "wgpu", state=package.create_state("wasmtime"))
    state = package.create_state()
    for arrays, said in (
        ({_PAST[0]: inputs["k"]}, "missing states"),
        ({_PAST[0]: inputs["k"], _PAST[1]: inputs["k"], "z": inputs["k"]}, "unknown states"),
        ({_PAST[0]: inputs["k"], _PAST[1]: inputs["k"].astype(np.float64)}, "float64"),
        ({_PAST[0]: inputs["k"], _PAST[1]: np.zeros((1, 2, 3, 5), np.float32)}, "must be past = 1"),
        ({name: np.zeros((1, 2, 25, 5), np.float32) for name in _PAST}, "0 to 24"),
    ):
        with pytest.raises(WebDNNError, match=said):
            state.set(arrays)
    assert state.sizes == {"past": 0}


def test_a_command_takes_and_gives_states(tmp_path: Path) -> None:
    package, reference = _decoder(), _Reference(0)

    def run(arrays: dict[str, Array]) -> dict[str, Array]:
        for name, array in arrays.items():
            np.save(tmp_path / f"{name}.npy", array)
        return run_files(package, [f"{n}={tmp_path / f'{n}.npy'}" for n in arrays], "wasmtime")

    first = run(reference.step(3)[0])
    inputs, y = reference.step(2)
    kept = {past: first[f"present_{past.removeprefix('past_')}"] for past in _PAST}
    second = run(inputs | kept)
    np.testing.assert_allclose(second["y"], y, rtol=2e-5, atol=1e-6)
    np.testing.assert_array_equal(second["present_key"], reference.key)


def test_a_model_with_states_is_timed() -> None:
    assert time_package(_decoder(), "wasmtime", 2).row_count == 1


def test_a_loaded_package_has_the_states(tmp_path: Path) -> None:
    package = Package.load(_decoder().save(tmp_path / "package"))
    state, reference = package.create_state(), _Reference(4)
    for count in (2, 1):
        inputs, y = reference.step(count)
        found = package.run(inputs, state=state)
        np.testing.assert_allclose(found["y"], y, rtol=2e-5, atol=1e-6)
    assert isinstance(package._programs["wasmtime"].states, StatesOnDevice)  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    ("said", "spoil"),
    [
        ("backends.wasm.states must have 2 entries", lambda m: m["backends"]["wasm"].pop("states")),
        (
            "backends.webgpu.states must have 2 entries",
            lambda m: m["backends"]["webgpu"].pop("states"),
        ),
        (
            "reaches beyond the memory",
            lambda m: m["backends"]["wasm"]["states"][1].update(bytes=2**30),
        ),
        ("has 4 bytes, but", lambda m: m["backends"]["wasm"]["states"][0].update(bytes=4)),
        (
            "is not the number of a buffer",
            lambda m: m["backends"]["webgpu"]["states"][0].update(buffers=[0, 99]),
        ),
        ("is the name of a symbol", lambda m: m["backends"]["wasm"].update(turn="past")),
        ("of another's name", lambda m: m["states"][0].update(input="q")),
        ("which is not known there", lambda m: m["symbols"][-1].update(next="what")),
    ],
)
def test_a_manifest_is_checked(said: str, spoil: Any) -> None:
    manifest = deepcopy(_decoder().manifest)
    check_manifest(manifest)
    spoil(manifest)
    with pytest.raises(ValueError, match=said):
        check_manifest(manifest)
