"""WebAssembly, as far as the lowering knows it."""

from __future__ import annotations

from collections.abc import Sequence

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import PANELS, FuncOp, panels_of
from webdnn.lowering.loops_cpu.lower import SCRATCH_ELEMENTS, assign_schedule, check_schedule
from webdnn.lowering.loops_cpu.overwritable import overwritable
from webdnn.lowering.loops_cpu.pack import choose_packings, panels_attr
from webdnn.lowering.packing import Packing, pack_operand
from webdnn.lowering.target import LoweringTarget, MemoryModel, register

CACHE_LINE = 64
"""Vectors never straddle two of these at the start of a tensor."""


class CPUTarget(LoweringTarget):
    """One linear memory; register tiles over packed weights."""

    name = "wasm"
    memory = MemoryModel(word=1, alignment=CACHE_LINE, is_linear=True)

    def pack(self, func: FuncOp, weights: Sequence[int]) -> list[Packing]:
        packings = choose_packings(func, weights, scratch_elements=SCRATCH_ELEMENTS)
        if packings:
            func.attributes[PANELS] = panels_attr(func, packings)
        for packing in packings:
            pack_operand(func, packing)
        return packings

    def overwritable(self, func: FuncOp) -> list[int]:
        return overwritable(func)

    def choose_schedule(self, func: FuncOp) -> None:
        assign_schedule(func)

    def check_schedule(self, func: FuncOp, weights: Sequence[int]) -> None:
        inputs = len(func.function_type.inputs)
        panels = panels_of(func)
        if panels is not None and len(panels) != inputs:
            raise WebDNNError(
                f"panels must be a list of {inputs} numbers", where=func.sym_name.data
            )
        trial = func.clone()
        self.pack(trial, weights)
        check_schedule(trial)


WASM = register(CPUTarget())
