"""Trained models compiled once for ranges of sizes, run at several of them on both back ends, beside ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import webdnn
from benchmarks.inputs import photograph, sine_sweep, text_line, text_page
from tests.models import ModelCase, package_model, reference
from tests.tolerances import MODEL_TOLERANCE, assert_close
from webdnn.dialects.dtypes import Array
from webdnn.package import ENGINES, Engine
from webdnn.wheels import wheel_files

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class SizedCase:
    """A model, the ranges that it is compiled for, and sizes that it is run at.

    Attributes:
        inputs: makes the inputs of some sizes.
        runs: the least sizes, ragged ones, the likely ones and the bound.
        compiled_with: ranges and values, as `webdnn.compile` takes them.
        tolerance: of the range of a result. More than `MODEL_TOLERANCE` where a package of fixed sizes is as far from
            ONNX Runtime: on multistyle26, whose instance normalisation of small pictures magnifies rounding (with other
            optimisations ONNX Runtime differs from itself by 1.6e-4), and on rapidocr_rec, where wasm is 1.5e-4 off
            and WebGPU 2e-5, for no known reason.
    """

    path: Callable[[], Path]
    inputs: Callable[..., Mapping[str, Array]]
    runs: Sequence[Sizes]
    compiled_with: Mapping[str, Any]
    tolerance: float = MODEL_TOLERANCE


def _package(name: str) -> Callable[[], Path]:
    return lambda: package_model(name).path


def _silero(name: str) -> Callable[[], Path]:
    return lambda: wheel_files("silero-vad", "6.2.3", (".onnx",))[name]


def _channels_first(image: Array) -> Array:
    """[H, W, 3] in [0, 1] -> [1, 3, H, W]."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)


def _normal(*shape: int) -> Array:
    return np.random.default_rng(shape[0]).standard_normal(shape).astype(np.float32)


def _stylised(height: int, width: int) -> Mapping[str, Array]:
    style = np.zeros(26, np.float32)
    style[3] = 1.0
    return {
        "image": _channels_first(photograph(256, 256)[:height, :width]),
        "style_weights": style,
    }


def _pitches(batch: int) -> Mapping[str, Array]:
    sweep = sine_sweep(43844, 22050)
    sounds = np.stack([sweep * (i + 1) / 4 for i in range(batch)])
    return {"serving_default_input_2:0": sounds.reshape(batch, 43844, 1).astype(np.float32)}


def _speech(batch: int) -> Mapping[str, Array]:
    return {
        "input": _normal(batch, 576),
        "state": np.ascontiguousarray(_normal(batch, 2, 128).transpose(1, 0, 2)),
        "sr": np.array(16000, np.int64),
    }


CASES = {
    "magika": SizedCase(
        _package("magika"),
        lambda b: {"bytes": np.random.default_rng(b).integers(0, 257, (b, 2048)).astype(np.int32)},
        [(1,), (3,), (8,), (16,)],
        {"dims": {"unk__214": "1..16@1"}},
    ),
    "silero_vad": SizedCase(
        _silero("silero_vad.onnx"),
        _speech,
        [(1,), (3,), (4,)],
        {
            "shapes": {"input": ["b:1..4@1", 576], "state": [2, "b", 128]},
            "values": {"sr": 16000},
        },
    ),
    "multistyle26": SizedCase(
        _package("multistyle26"),
        _stylised,
        [(16, 16), (37, 61), (128, 96), (128, 128), (200, 256)],
        {"dims": {"h": "16..256@128", "w": "16..256@128"}},
        tolerance=5e-4,
    ),
    "rapidocr_rec": SizedCase(
        _package("rapidocr_rec"),
        lambda w: {"x": _channels_first((text_line(48, w) - 0.5) / 0.5)},
        [(16,), (37,), (101,), (320,), (480,)],
        {"shapes": {"x": [1, 3, 48, "w:16..480@320"]}},
        tolerance=3e-4,
    ),
    "rapidocr_cls": SizedCase(
        _package("rapidocr_cls"),
        lambda b, w: {"x": _normal(b, 3, 48, w)},
        [(1, 32), (2, 37), (1, 192), (3, 101), (4, 256)],
        {"shapes": {"x": ["b:1..4@1", 3, 48, "w:32..256@192"]}},
    ),
    "rapidocr_det": SizedCase(
        _package("rapidocr_det"),
        lambda h, w: {"x": _channels_first((text_page(320, 320)[:h, :w] - 0.5) / 0.5)},
        [(32, 32), (64, 224), (160, 96), (320, 320)],
        {"shapes": {"x": [1, 3, "h:32..320:32@320", "w:32..320:32@320"]}},
    ),
    "basic_pitch": SizedCase(
        _package("basic_pitch"), _pitches, [(1,), (2,), (3,)], {"dims": {"unk__749": "1..3@1"}}
    ),
}

QUICK = ("magika", "silero_vad")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.nightly]) for n in CASES]
)
def test_one_package_serves_all_sizes(name: str, engine: Engine) -> None:
    case = CASES[name]
    path, values = case.path(), case.compiled_with.get("values", {})
    package = webdnn.compile(path, target=ENGINES[engine], threads=False, **case.compiled_with)
    for sizes in case.runs if name not in QUICK else case.runs[:3]:
        inputs = dict(case.inputs(*sizes))
        model = ModelCase(f"sized_{name}", path, lambda inputs=inputs: inputs)
        given = {key: array for key, array in inputs.items() if key not in values}
        found = package.run(given, engine)
        for key, expected in reference(model, inputs).items():
            assert_close(found[key], expected, f"{name} at {sizes}", key, case.tolerance)
