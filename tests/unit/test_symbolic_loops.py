"""Programs with symbolic sizes, lowered once to kernels of WebAssembly, give what level `nn` gives at every size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp

from tests.unit.symbolic_programs import PROGRAMS, SymbolicProgram
from webdnn.dialects.dtypes import Array
from webdnn.dialects.kernel import FuncOp, kernels_of
from webdnn.dialects.numpy_meaning import program as host
from webdnn.dialects.numpy_meaning.arith import dtype_of
from webdnn.dialects.numpy_meaning.program import run_module
from webdnn.engines.wasmtime import KernelInstance, kernel_wasm
from webdnn.lowering.loops_common.emitter import element_type
from webdnn.lowering.loops_cpu.distribute import distribute
from webdnn.lowering.loops_cpu.lower import LowerKernelsToCPULoopsPass
from webdnn.passes import apply_pass, context
from webdnn.stages import passes_between


def lowered(program: SymbolicProgram) -> ModuleOp:
    """The program with kernels of level `loops`."""
    module, ctx = program.module(), context()
    for _, step in passes_between("nn", "kernels", "wasm"):
        apply_pass(step, ctx, module)
    apply_pass(LowerKernelsToCPULoopsPass(), ctx, module)
    for func in kernels_of(module).values():
        distribute(func, 1, 1)
    module.verify()
    return module


class Kernels:
    """Runs kernels in wasmtime, each compiled once."""

    def __init__(self) -> None:
        self._compiled: dict[str, tuple[ModuleOp, bytes]] = {}

    def __call__(
        self,
        func: FuncOp,
        inputs: Sequence[Array],
        *,
        sizes: Sequence[int] = (),
        lengths: Sequence[int] = (),
    ) -> list[Array]:
        name = func.sym_name.data
        if name not in self._compiled:
            module = ModuleOp([func.clone()])
            self._compiled[name] = module, kernel_wasm(module, name)
        module, wasm = self._compiled[name]
        memrefs = func.body.block.args[len(sizes) + len(inputs) :]
        outputs = [
            np.ones(n, dtype_of(element_type(m))) for n, m in zip(lengths, memrefs, strict=True)
        ]
        instance = KernelInstance(module, name, [*inputs, *outputs], sizes=sizes, wasm=wasm)
        instance()
        return [instance.read(len(inputs) + i, array) for i, array in enumerate(outputs)]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)
def test_loops_and_wasm(program: SymbolicProgram, monkeypatch: pytest.MonkeyPatch) -> None:
    reference, module = program.module(), lowered(program)
    for kernels in (None, Kernels()):
        if kernels is not None:
            monkeypatch.setattr(host, "run_kernel", kernels)
        for values in program.sizes:
            inputs = program.inputs(values)
            expected = run_module(reference, program.arrays(), inputs)["y"]
            found = run_module(module, program.arrays(), inputs)["y"]
            np.testing.assert_allclose(
                found.reshape(expected.shape), expected, rtol=1e-5, atol=2e-5
            )
