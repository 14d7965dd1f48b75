"""Chromium's WGSL compiler takes what each strategy becomes: barriers stand where control flow is uniform."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr

from tests.unit.gpu_kernels import make_kernel
from tests.unit.test_loops_gpu import product_kernel
from tests.unit.test_loops_gpu_contraction import build_conv, matmul
from tests.unit.test_loops_gpu_reduction import reduce_build, softmax
from tests.unit.test_loops_gpu_sizes import typed
from webdnn.codegen.wgsl import print_wgsl
from webdnn.dialects.kernel import FuncOp, ScheduleAttr
from webdnn.dialects.sizes.expression import Symbol
from webdnn.lowering.loops_gpu.lower import lower_kernel
from webdnn.lowering.target_wgsl.pipeline import LowerToWGSLPass

CHECK = Path(__file__).parent.parent / "e2e" / "check_wgsl.mjs"


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def kernels() -> Iterator[FuncOp]:
    for schedule in (
        {"k": 16},
        {"k": 8, "split": 4},
        {"memory": "none"},
        {"tile": [2, 4], "workgroup": [16, 16], "k": 8},
    ):
        func = product_kernel(70, 50, 30)
        func.schedule = ScheduleAttr.of({"strategy": "contraction", **schedule})
        yield func
    conv = build_conv((1, 9, 9, 12), 2, 1)
    yield make_kernel([zeros(1, 19, 19, 3), zeros(3, 3, 3, 12)], conv)
    for along in ("kept", "reduced"):
        schedule = {"strategy": "rows", "threads": 16, "rows": 4, "along": along}
        yield make_kernel([zeros(7, 50, 8)], reduce_build("sum", [1]), schedule)
    yield make_kernel([zeros(6, 1001)], lambda r: softmax(r, (6, 1001), 1))
    # more rows than a dimension of the grid holds
    schedule = {"strategy": "rows", "threads": 4, "rows": 1}
    yield make_kernel([zeros(70001, 8)], lambda r: softmax(r, (70001, 8), 1), schedule)
    # sizes that a run sets: of rows that may be more than a dimension of the grid holds, of loops with barriers
    rows, length = (Symbol(name, 0, 100_000, unit=4).size for name in ("rows", "length"))
    shape = (rows, length)
    yield make_kernel([typed(*shape)], lambda r: softmax(r, shape, 1), schedule)
    for memory in ("workgroup", "none"):
        schedule = {"strategy": "contraction", "memory": memory, "k": 8}
        operands = [typed(rows, length), typed(length, rows)]
        yield make_kernel(operands, lambda r: matmul(r, rows, rows), schedule)
    yield make_kernel(
        [typed(1, rows + 3, length + 3, 3), zeros(3, 3, 3, 12)],
        build_conv((1, rows + 1, length + 1, 12), 1, 1),
    )


def test_tint_compiles_each_strategy(tmp_path: Path) -> None:
    lowered = [lower_kernel(func) for func in kernels()]
    for i, func in enumerate(lowered):
        func.sym_name = StringAttr(f"k{i}")
    module = ModuleOp(lowered)
    LowerToWGSLPass().apply(Context(), module)
    file = tmp_path / "kernels.wgsl"
    file.write_text(print_wgsl(module))
    done = subprocess.run(
        ["node", str(CHECK), str(file)], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr
