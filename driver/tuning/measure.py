"""Times schedules of one kernel in an engine, in turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from xdsl.dialects.builtin import Float32Type, StringAttr, TensorType
from xdsl.ir import Attribute

from webdnn.codegen.wasm.link import link
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.wasm_memory import PAGE
from webdnn.engines.scripted import ScriptedEngine
from webdnn.kernel_compiler import kernel_text
from webdnn.lowering.kernels.apply_schedules import write_entry
from webdnn.lowering.loops_cpu.lower import SCRATCH_ELEMENTS
from webdnn.lowering.loops_cpu.pack import choose_packings
from webdnn.lowering.loops_cpu.target import WASM
from webdnn.lowering.packing import pack_operand
from webdnn.packaging.wasm_kernel import WASM_VARIANTS, WasmKernel
from webdnn.targets.wasm import WasmTarget
from webdnn.tuning.candidates import Candidate

_BASE = 2**20
"""Operands lie behind the stack and the constants."""


@dataclass(frozen=True)
class Effort:
    """How thoroughly candidates are timed.

    Attributes:
        warmup: milliseconds that each runs before.
        sample: milliseconds of one sample, which is the mean of as many runs as it takes.
        rounds: samples of each.
    """

    warmup: float = 20.0
    sample: float = 3.0
    rounds: int = 12

    def seconds(self, candidates: int) -> float:
        """About how long it takes, without compiling."""
        return candidates * (self.warmup + self.sample * self.rounds) / 1000


@dataclass(frozen=True)
class Timed:
    """A candidate with the milliseconds of one run: the best sample, since all that disturbs a run makes it longer."""

    candidate: Candidate
    milliseconds: float


def specialized(func: FuncOp, weights: Sequence[int], candidate: Candidate) -> FuncOp:
    """A copy of a kernel, packed and scheduled as a candidate says."""
    copy = func.clone()
    write_entry(copy, candidate.entry())
    for packing in choose_packings(copy, weights, scratch_elements=SCRATCH_ELEMENTS):
        pack_operand(copy, packing)
    return copy


class KernelTimer:
    """Times candidates for one kernel; what was compiled is kept.

    Args:
        func: the kernel on level `kernels`, not packed.
        weights: the operands that may be packed.
        engine: where it runs.
    """

    def __init__(self, func: FuncOp, weights: Sequence[int], engine: ScriptedEngine) -> None:
        self.func = func
        self.weights = weights
        self.engine = engine
        self._compiled: dict[Candidate, tuple[FuncOp, WasmKernel]] = {}

    def prepare(self, candidate: Candidate) -> bool:
        """Compile a candidate; whether that succeeded."""
        if candidate in self._compiled:
            return True
        try:
            func = specialized(self.func, self.weights, candidate)
            func.sym_name = StringAttr(f"candidate_{len(self._compiled)}")
            compiled = WasmTarget(variants=WASM_VARIANTS[:1]).compile_kernel(kernel_text(func))
        except WebDNNError:
            return False
        self._compiled[candidate] = (func, compiled)
        return True

    def time(
        self,
        candidates: Sequence[Candidate],
        effort: Effort,
        on_step: Callable[[], None] = lambda: None,
    ) -> list[Timed]:
        """Time candidates that have been prepared, the fastest first.

        Raises:
            WebDNNError: the engine fails.
        """
        kernels = [self._compiled[c] for c in candidates]
        offsets, floats, end = self._places([func for func, _ in kernels])
        module = link(
            [kernel.objects[0] for _, kernel in kernels],
            exports=[func.sym_name.data for func, _ in kernels],
            stack_size=_BASE // 2,
            data_limit=_BASE,
        )
        job: dict[str, Any] = {
            "kind": "kernels",
            "module": "kernels.wasm",
            "pages": -(-end // PAGE) + 1,
            "floats": floats,
            "candidates": [
                {"name": func.sym_name.data, "operands": [*offsets, *_all_work(compiled)]}
                for func, compiled in kernels
            ],
            "warmup": effort.warmup,
            "sample": effort.sample,
            "rounds": effort.rounds,
        }
        results = self.engine.run(job, {"kernels.wasm": module}, on_step=on_step)
        timed = [Timed(c, r["best"]) for c, r in zip(candidates, results, strict=True)]
        return sorted(timed, key=lambda t: t.milliseconds)

    def _places(self, funcs: Sequence[FuncOp]) -> tuple[list[int], list[dict[str, int]], int]:
        """The address of each operand, with room for the largest of its forms; those that hold floats; and the end."""
        forms = [[*f.function_type.inputs.data, *f.function_type.outputs.data] for f in funcs]
        offsets: list[int] = []
        floats: list[dict[str, int]] = []
        end = _BASE
        for types in zip(*forms, strict=True):
            size = max(map(WASM.memory.tensor_bytes, types))
            offsets.append(end)
            if isinstance(_element(types[0]), Float32Type):
                floats.append({"offset": end, "bytes": size})
            # a distance from one operand to the next that is no power of two, as in a package
            end += -(-size // 64) * 64 + 64
        return offsets, floats, end


def _all_work(compiled: WasmKernel) -> list[int]:
    """What a kernel wants behind the addresses of its operands to do all of its work."""
    return [] if compiled.work is None else [0, compiled.work.work]


def _element(type: Attribute) -> Attribute:
    assert isinstance(type, TensorType)
    return type.element_type
