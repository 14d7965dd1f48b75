"""Programs with symbolic sizes mean the same on the levels from `nn` to `kernels`, at every size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp

from tests.unit.symbolic_programs import PROGRAMS, SymbolicProgram
from webdnn.dialects.kernel import kernels_of
from webdnn.dialects.numpy_meaning.program import run_module
from webdnn.passes import apply_pass, context
from webdnn.stages import passes_between

TARGETS = ("wasm", "webgpu")


def lower(module: ModuleOp, target: str, until: Sequence[str]) -> Iterator[str]:
    """Run the passes from `nn` on, one after the other, and stop after each of those named."""
    ctx = context()
    left = list(until)
    for _, step in passes_between("nn", "kernels", target):
        apply_pass(step, ctx, module)
        if step.name in left:
            left.remove(step.name)
            yield step.name
        if not left:
            return


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)
def test_levels_agree(program: SymbolicProgram, target: str) -> None:
    reference, module = program.module(), program.module()
    for _ in lower(
        module, target, ["convert-nn-to-linalg", "fuse-kernel-regions", "outline-kernels"]
    ):
        module.verify()
        for values in program.sizes:
            inputs = program.inputs(values)
            expected = run_module(reference, program.arrays(), inputs)["y"]
            found = run_module(module, program.arrays(), inputs)["y"]
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_layers_that_differ_in_symbols_alone_share_a_kernel() -> None:
    """Two of them, with one range, and halves and quarters of one."""
    program = SymbolicProgram(
        "layers",
        {"x": "T(S, 8)", "z": "T(S floordiv 2, 8)", "u": "T(S floordiv 4, 8)"},
        """
        %a = nn.matmul %x, %w : T(S, 8), tensor<8x8xf32> -> T(S, 8)
        %b = nn.matmul %z, %w : T(S floordiv 2, 8), tensor<8x8xf32> -> T(S floordiv 2, 8)
        %c = nn.matmul %u, %w : T(S floordiv 4, 8), tensor<8x8xf32> -> T(S floordiv 4, 8)
        %y = nn.concat 0 : i64, %a, %b, %c : T(S, 8), T(S floordiv 2, 8), T(S floordiv 4, 8)
            -> T(S + S floordiv 2 + S floordiv 4, 8)""",
        "T(S + S floordiv 2 + S floordiv 4, 8)",
        [{"s": 9}],
        {"w": (8, 8)},
    )
    module = program.module()
    assert list(lower(module, "webgpu", ["outline-kernels"])) == ["outline-kernels"]
    products = [f for name, f in kernels_of(module).items() if name.startswith("matmul")]
    # the ranges of a half and of a quarter differ, and with them what a schedule may take for granted
    assert [str(f.sizes) for f in products] == [
        "#nn.sizes<n0[1 to 512 likely 96]>",
        "#nn.sizes<n0[0 to 256 likely 48]>",
        "#nn.sizes<n0[0 to 128 likely 24]>",
    ]
