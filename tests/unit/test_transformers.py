"""Transformers of the `transformers` library with symbolic sizes: compiled once, run at several lengths and pasts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import webdnn
from tests.tolerances import assert_close
from tests.unit.transformer_exports import HEADS, KEY_HEADS, VOCABULARY, WIDTH, export, past_names
from webdnn.dialects.dtypes import Array
from webdnn.package import ENGINES, Engine

Arrays = dict[str, Array]

pytestmark = pytest.mark.nightly


@pytest.fixture(autouse=True)
def _library() -> None:  # pyright: ignore[reportUnusedFunction]
    pytest.importorskip(
        "transformers", reason="transformers is not installed: pip install -e '.[nightly]'"
    )


@dataclass(frozen=True)
class Case:
    """The ranges that a model is compiled for, its inputs at some sizes, and the sizes that it is run at: the least,
    ragged ones, the likely ones and the bound."""

    dims: Mapping[str, str]
    inputs: Callable[..., Arrays]
    runs: Sequence[tuple[int, ...]]


def _normal(*shape: int) -> Array:
    return np.random.default_rng(shape[-1]).standard_normal(shape).astype(np.float32)


def _text(batch: int, length: int) -> Arrays:
    """Tokens, of which the last row has two at the end that are masked."""
    mask = np.ones((batch, length), np.int64)
    mask[-1, max(1, length - 2) :] = 0
    ids = np.random.default_rng(length).integers(0, VOCABULARY, (batch, length))
    return {"input_ids": ids, "attention_mask": mask}


def _decoder_inputs(heads: int) -> Callable[..., Arrays]:
    def inputs(batch: int, length: int, past: int) -> Arrays:
        mask = np.ones((batch, length + past), np.int64)
        mask[1:, :2] = 0
        ids = np.random.default_rng(length).integers(0, VOCABULARY, (batch, length))
        rng = np.random.default_rng(past)
        shape = (batch, heads, past, WIDTH // HEADS)
        kept = {n: rng.standard_normal(shape, np.float32) for n in past_names("past_key_values")}
        return {"input_ids": ids, "attention_mask": mask, **kept}

    return inputs


def _masked_picture(batch: int, height: int, width: int) -> Arrays:
    mask = np.ones((batch, height, width), np.int64)
    mask[-1, height - height // 4 :] = 0
    return {"pixel_values": _normal(batch, 3, height, width), "pixel_mask": mask}


_TEXT_DIMS = {"batch": "1..3@1", "seq": "1..40@16"}
_TEXT_RUNS = [(1, 1), (2, 7), (1, 16), (3, 40)]
_DECODER_DIMS = {"batch": "1..3@1", "seq": "1..16@1", "past": "0..64@31"}
_DECODER_RUNS = [(1, 1, 0), (1, 5, 0), (2, 1, 7), (2, 3, 13), (1, 1, 31), (3, 16, 64)]

CASES = {
    "bert": Case(
        _TEXT_DIMS,
        lambda b, s: {**_text(b, s), "token_type_ids": _text(b, s)["input_ids"] % 2},
        _TEXT_RUNS,
    ),
    "t5_encoder": Case(_TEXT_DIMS, _text, _TEXT_RUNS),
    "whisper_encoder": Case(
        {"batch": "1..3@1"}, lambda b: {"input_features": _normal(b, 16, 80)}, [(1,), (2,), (3,)]
    ),
    "vit": Case(
        {"batch": "1..3@1", "h": "8..64:8@32", "w": "8..64:8@32"},
        lambda b, h, w: {"pixel_values": _normal(b, 3, h, w)},
        [(1, 8, 8), (2, 24, 56), (1, 32, 32), (3, 64, 64)],
    ),
    "detr": Case(
        {"batch": "1..2@1", "h": "32..96@64", "w": "32..96@64"},
        _masked_picture,
        [(1, 32, 32), (2, 43, 77), (1, 64, 64), (2, 96, 96)],
    ),
    **{
        name: Case(_DECODER_DIMS, _decoder_inputs(heads), _DECODER_RUNS)
        for name, heads in KEY_HEADS.items()
    },
}


def _reference(path: Path) -> Callable[[Arrays], Arrays]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: {
        name: np.asarray(value)
        for name, value in zip(names, session.run(names, inputs), strict=True)
    }


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", CASES)
def test_one_package_serves_all_sizes(name: str, engine: Engine, tmp_path: Path) -> None:
    case, path = CASES[name], export(name, tmp_path)
    package = webdnn.compile(
        path, target=ENGINES[engine], threads=False, dims=case.dims, states=False
    )
    run = _reference(path)
    for sizes in case.runs:
        inputs = case.inputs(*sizes)
        found = package.run(inputs, engine)
        for output, expected in run(inputs).items():
            assert_close(found[output], expected, f"{name} at {sizes}", output)


def _generated(run: Callable[[Arrays], Arrays], heads: int, count: int) -> list[int]:
    """The most likely tokens after a prompt of five, with the cache passed from the outputs to the inputs."""
    tokens = [3, 1, 4, 1, 5]
    new = tokens
    past = dict.fromkeys(
        past_names("past_key_values"), np.zeros((1, heads, 0, WIDTH // HEADS), np.float32)
    )
    for _ in range(count):
        mask = np.ones((1, len(tokens)), np.int64)
        found = run({"input_ids": np.array([new]), "attention_mask": mask, **past})
        past = {n: found[n.replace("past_key_values", "present")] for n in past}
        new = [int(found["logits"][0, -1].argmax())]
        tokens = [*tokens, *new]
    return tokens


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", KEY_HEADS)
def test_greedy_generation_with_a_cache(name: str, engine: Engine, tmp_path: Path) -> None:
    path = export(name, tmp_path)
    package = webdnn.compile(
        path, target=ENGINES[engine], threads=False, dims=_DECODER_DIMS, states=False
    )
    expected = _generated(_reference(path), KEY_HEADS[name], 32)
    assert len(set(expected)) > 4
    assert _generated(lambda inputs: package.run(inputs, engine), KEY_HEADS[name], 32) == expected


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", KEY_HEADS)
def test_greedy_generation_with_the_cache_on_the_device(
    name: str, engine: Engine, tmp_path: Path
) -> None:
    """The names of the caches say that they are states."""
    path = export(name, tmp_path)
    dims = {**_DECODER_DIMS, "past": "0..96@31"}
    package = webdnn.compile(path, target=ENGINES[engine], threads=False, dims=dims)
    state = package.create_state(engine)
    expected = _generated(_reference(path), KEY_HEADS[name], 64)
    tokens = new = expected[:5]
    while len(tokens) < len(expected):
        mask = np.ones((1, len(tokens)), np.int64)
        inputs = {"input_ids": np.array([new]), "attention_mask": mask}
        found = package.run(inputs, engine, state=state)
        assert set(found) == {"logits"}
        new = [int(found["logits"][0, -1].argmax())]
        tokens = [*tokens, *new]
    assert tokens == expected
