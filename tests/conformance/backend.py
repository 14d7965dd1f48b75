"""`onnx.backend.base.Backend` over compiled packages: `WasmBackend` runs in wasmtime, `WebGPUBackend` in wgpu.

ONNX's own runner takes them: `onnx.backend.test.BackendTest(WasmBackend, __name__)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import onnx
from onnx.backend.base import Backend, BackendRep, namedtupledict

from tests.conformance.cases import bound
from tests.conformance.targets import Level, run_compiled
from webdnn.dialects.dtypes import Array


class CompiledRep(BackendRep):
    """A model that is compiled when its inputs come: then its free sizes, and what decides about shapes, are known."""

    def __init__(self, model: onnx.ModelProto, target: Level) -> None:
        self.model = model
        self.target: Level = target

    def run(self, inputs: Sequence[Any] | dict[str, Any], **kwargs: Any) -> tuple[Any, ...]:
        """The outputs in the order of the model."""
        given = list(inputs.values()) if isinstance(inputs, dict) else list(inputs)
        model, values = bound(self.model, given)
        names = [v.name for v in model.graph.input]
        arrays: dict[str, Array] = {n: np.asarray(v) for n, v in zip(names, values, strict=True)}
        results = run_compiled(model, arrays, self.target)
        outputs = [v.name for v in self.model.graph.output]
        make: Callable[..., tuple[Any, ...]] = namedtupledict("Outputs", outputs)
        return make(*(results[n] for n in outputs))


class WasmBackend(Backend):
    """Compiles for WebAssembly."""

    target: ClassVar[Level] = "wasm"

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> CompiledRep:
        """A model ready to run.

        Raises:
            ValueError: the device is not `CPU`, which here stands for the engine of the class.
        """
        super().prepare(model, device, **kwargs)
        if not cls.supports_device(device):
            raise ValueError(f"no device {device}")
        return CompiledRep(model, cls.target)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device == "CPU"


class WebGPUBackend(WasmBackend):
    """Compiles for WebGPU."""

    target: ClassVar[Level] = "webgpu"
