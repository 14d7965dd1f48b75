"""What the browser needs of a model: its inputs, the expected outputs, and the form that each peer reads."""

import json
from dataclasses import dataclass
from inspect import getsource
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from . import tensorflow_program, tflite
from .cache import cached_dir, digest
from .models import MODELS, quantised
from .models.quantised import Arrays, calibration


class Network(Protocol):
    """A model that can be measured: one of `models`, or a single operator of `sweep`."""

    @property
    def name(self) -> str: ...

    def path(self) -> Path: ...

    def inputs(self) -> dict[str, NDArray[np.generic]]: ...


@dataclass(frozen=True)
class Prepared:
    """Folders that the server mounts; `onnx` and `external` are file names in `onnx_dir`. A quantised network has no
    `tfjs_dir`: TensorFlow.js has no such operators on wasm."""

    case_dir: Path
    tfjs_dir: Path | None
    onnx_dir: Path
    onnx: str
    external: list[str]


def prepare(model: Network) -> Prepared:
    """Make, once, what the browser needs of a model."""
    path = model.path()
    key = path.parent.name
    feeds = model.inputs()
    arrays = [part for name, array in feeds.items() for part in (name, array.tobytes())]
    case_key = f"{key}-{digest(onnxruntime.__version__, *arrays)}"
    external = [file.name for file in path.parent.iterdir() if file != path]
    tfjs = None if getattr(model, "source", "") else _program_directory(model)
    return Prepared(
        cached_dir("cases", case_key, lambda directory: _write_case(model, directory)),
        tfjs,
        path.parent,
        path.name,
        external,
    )


def _program_directory(model: Network) -> Path:
    path = model.path()
    key = f"{path.parent.name}-{digest(getsource(tensorflow_program))}"
    return cached_dir(
        "tensorflow_program", key, lambda d: tensorflow_program.write_program(path, d)
    )


def tflite_directory(model: Network) -> Path:
    """The folder of `model.tflite`, made once. A quantised network is that of its floats, quantised by TensorFlow's
    converter in the same way, statically or dynamically.

    Raises:
        RuntimeError: TensorFlow's converter failed.
    """
    source: str = getattr(model, "source", "")
    floats = MODELS[source] if source else model
    quantisation, samples = "none", list[Arrays]()
    if source:
        image = MODELS[source].image
        quantisation = "static" if image else "dynamic"
        samples = list(calibration(floats.inputs()["image"].astype(np.float32))) if image else []
    program = _program_directory(floats)
    key = f"{program.name}-{digest(quantisation, getsource(quantised), tflite.tflite_key())}"
    return cached_dir(
        "tflite", key, lambda d: tflite.write_tflite(program, d, quantisation, samples)
    )


def _write_case(model: Network, directory: Path) -> None:
    feeds = model.inputs()
    session = onnxruntime.InferenceSession(model.path(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    results = dict(zip(names, session.run(names, feeds), strict=True))
    description: dict[str, list[dict[str, object]]] = {}
    for kind, arrays in (("inputs", feeds), ("outputs", results)):
        description[kind] = []
        for number, (name, value) in enumerate(arrays.items()):
            array = np.asarray(value)
            file = f"{kind}-{number}.bin"
            (directory / file).write_bytes(np.ascontiguousarray(array).tobytes())
            description[kind].append(
                {"name": name, "dtype": array.dtype.name, "shape": array.shape, "file": file}
            )
    (directory / "case.json").write_text(json.dumps(description))
