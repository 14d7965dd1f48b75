"""The networks that the benchmarks measure, by name.

Each is built with `onnx.helper`, has random weights from a fixed seed, and is written once into the cache directory.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from inspect import getsource
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
from numpy.typing import NDArray

from ..cache import cached_dir, digest
from ..inputs import photograph
from . import builder, quantised, transformer, weights

EXTERNAL_DATA_FROM = 256 << 20  # bytes of weights


@dataclass(frozen=True)
class BenchmarkModel:
    """`gmacs` is the published count in billions, `image` the size of a square input, 0 for text; `source` names the
    model that this one is a quantised form of."""

    name: str
    gmacs: float
    image: int = 0
    source: str = ""

    def module(self) -> ModuleType:
        return import_module(f".{self.name}", __package__)

    def build(self) -> onnx.ModelProto:
        """The model in memory, built anew."""
        build: Callable[[], onnx.ModelProto] = self.module().build
        return build()

    def path(self) -> Path:
        """The model's file. It is built at the first call, and again when the code that builds it has changed."""
        modules = [builder, weights, transformer, self.module()]
        if self.source:
            modules += [quantised, MODELS[self.source].module()]
        sources = [getsource(m) for m in modules]
        key = f"{self.name}-{digest(*sources, onnx.__version__)}"
        return cached_dir("models", key, self._write) / f"{self.name}.onnx"

    def _write(self, directory: Path) -> None:
        model = self.build()
        external = model.ByteSize() > EXTERNAL_DATA_FROM
        path = directory / f"{self.name}.onnx"
        onnx.save(
            model,
            path,
            save_as_external_data=external,
            location=f"{self.name}.onnx.data" if external else None,
        )
        onnx.checker.check_model(path, full_check=True)

    def inputs(self) -> dict[str, NDArray[np.generic]]:
        """A deterministic, realistic input."""
        if self.image:
            pixels = photograph(self.image, self.image)
            mean = np.array([0.485, 0.456, 0.406], np.float32)
            deviation = np.array([0.229, 0.224, 0.225], np.float32)
            return {
                "image": ((pixels - mean) / deviation).transpose(2, 0, 1)[None].astype(np.float32)
            }
        sequence, used = 128, 100
        ids = np.zeros((1, sequence), np.int32)
        ids[0, :used] = np.random.default_rng(0).integers(1000, transformer.VOCABULARY, used)
        mask = (np.arange(sequence) < used).astype(np.int32)[None]
        types = ((np.arange(sequence) >= 40) & (np.arange(sequence) < used)).astype(np.int32)[None]
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


MODELS: dict[str, BenchmarkModel] = {
    model.name: model
    for model in (
        BenchmarkModel("resnet50", 4.09, 224),
        BenchmarkModel("vgg16", 15.47, 224),
        BenchmarkModel("inception_v3", 5.71, 299),
        BenchmarkModel("mobilenetv2", 0.30, 224),
        BenchmarkModel("squeezenet", 0.35, 224),
        BenchmarkModel("minilm", 1.43),
        BenchmarkModel("bert", 11.17),
        BenchmarkModel("resnet50_int8", 4.09, 224, source="resnet50"),
        BenchmarkModel("minilm_int8", 1.43, source="minilm"),
    )
}
