"""The kernels that programs with symbolic sizes become, on WebGPU: lowered once, right at every size."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from xdsl.dialects.builtin import ModuleOp

from tests.unit.gpu_kernels import assert_close
from tests.unit.symbolic_programs import PROGRAMS, SymbolicProgram
from webdnn.dialects.dtypes import Array
from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.numpy_meaning import program as meaning
from webdnn.dialects.numpy_meaning.kernel import run_kernel as run_meaning
from webdnn.engines import wgpu
from webdnn.lowering.loops_gpu.lower import lower_kernel
from webdnn.passes import apply_pass, context
from webdnn.stages import passes_between


class Comparison:
    """Runs a kernel of level `kernels` in numpy, its GPU loops in numpy, and its WGSL, and compares them."""

    def __init__(self) -> None:
        self._lowered: dict[FuncOp, ModuleOp] = {}

    def __call__(
        self,
        func: FuncOp,
        inputs: Sequence[Array],
        *,
        sizes: Sequence[int] = (),
        lengths: Sequence[int] = (),
    ) -> list[Array]:
        if (module := self._lowered.get(func)) is None:
            module = self._lowered[func] = ModuleOp([lower_kernel(func)])
            module.verify()
        (lowered,) = module.ops
        assert isinstance(lowered, FuncOp)
        values = {symbol.name: n for symbol, n in zip(func.symbols, sizes, strict=True)}
        expected = run_meaning(func, inputs, sizes=sizes)
        in_numpy = run_meaning(lowered, inputs, sizes=sizes, lengths=lengths)
        on_gpu = wgpu.run_kernel(module, func.sym_name.data, inputs, sizes=values)
        for actual in (in_numpy, on_gpu):
            for found, wanted in zip(actual, expected, strict=True):
                assert_close(found.reshape(wanted.shape), wanted, 3e-5)
        return expected


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)
def test_kernels(program: SymbolicProgram, monkeypatch: pytest.MonkeyPatch) -> None:
    module, ctx = program.module(), context()
    for _, step in passes_between("nn", "kernels", "webgpu"):
        apply_pass(step, ctx, module)
    monkeypatch.setattr(meaning, "run_kernel", Comparison())
    for values in program.sizes:
        meaning.run_module(module, program.arrays(), program.inputs(values))
