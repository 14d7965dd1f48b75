"""Kernels whose work is shared: the parts of a kernel together do what it does as a whole, in any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp

from tests.unit import kernels as k
from tests.unit.kernels import random_inputs
from tests.unit.test_loops_cpu import CONVOLUTIONS, PRODUCTS, REDUCTIONS
from webdnn.dialects.dtypes import Array
from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.numpy_meaning.arith import dtype_of
from webdnn.dialects.numpy_meaning.loops import run_loops
from webdnn.dialects.sizes.types import size_in
from webdnn.engines.wasmtime import KernelInstance
from webdnn.lowering.loops_cpu.distribute import distribute
from webdnn.lowering.loops_cpu.lower import lower_kernel

CASES: dict[str, Callable[[], FuncOp]] = {
    **{f"product, {name}": make for name, make in PRODUCTS.items()},
    **{f"convolution, {name}": make for name, make in CONVOLUTIONS.items()},
    **{f"reduction, {name}": make for name, make in REDUCTIONS.items()},
}


def _memories(func: FuncOp, inputs: Sequence[Array]) -> list[Array]:
    """Flat arrays for all operands; outputs are filled with what no kernel computes."""
    flat = [np.array(a).reshape(-1) for a in inputs]
    for arg in func.body.block.args[len(inputs) :]:
        raw = np.full(arg.type.get_shape(), 0x55, np.uint8)  # type: ignore[union-attr]
        flat.append(raw.astype(dtype_of(arg.type.element_type)))  # type: ignore[union-attr]
    return flat


def _parts(work: int, count: int) -> list[tuple[int, int]]:
    """A line cut at odd places, the last part first."""
    cuts = sorted({0, work, *np.random.default_rng(count).integers(0, work + 1, count - 1)})
    return [(int(a), int(b)) for a, b in pairwise(cuts)][::-1]


@pytest.mark.parametrize("name", CASES)
def test_parts(name: str) -> None:
    source = CASES[name]()
    inputs = random_inputs(source)
    whole = lower_kernel(source)
    wanted = _memories(whole, inputs)
    run_loops(whole, wanted)
    shared = whole.clone()
    module = ModuleOp([shared])
    if not distribute(shared, grain=1, shortest=8):
        assert shared.is_structurally_equivalent(whole)
        return
    module.verify()
    assert shared.work is not None
    work = size_in(shared.work)
    instance = KernelInstance(module, shared.sym_name.data, _memories(shared, inputs))
    for count in (1, 2, 3, 7):
        memories = _memories(shared, inputs)
        for index, memory in enumerate(memories):
            instance.write(instance.offsets[index], memory)
        for part in _parts(work, count):
            run_loops(shared, memories, part)
            instance(part)
        for index, (found, array) in enumerate(zip(memories, wanted, strict=True)):
            np.testing.assert_array_equal(found, array)
            compiled = instance.read(index, array)
            if index >= len(inputs):
                k.compare([compiled], [array])


def _share(func: FuncOp, begin: float, end: float) -> float:
    """The part of the outputs' elements that a part of the work writes."""
    lowered = lower_kernel(func)
    module = ModuleOp([lowered])
    assert distribute(lowered, grain=1000, shortest=1000)
    module.verify()
    assert lowered.work is not None
    inputs = random_inputs(func)
    memories = [np.array(a).reshape(-1) for a in inputs]
    for arg in lowered.body.block.args[len(inputs) :]:
        memories.append(np.full(arg.type.get_shape(), np.nan, np.float32))  # type: ignore[union-attr]
    work = size_in(lowered.work)
    run_loops(lowered, memories, (int(begin * work), int(end * work)))
    outputs = memories[len(inputs) :]
    return 1 - sum(np.isnan(m).sum() for m in outputs) / sum(m.size for m in outputs)


BALANCED: dict[str, Callable[[], FuncOp]] = {
    "seven rows of an image": lambda: k.conv([9, 9], 32, 64, [3, 3]),
    "many rows": lambda: k.conv([30, 30], 8, 16, [3, 3]),
    "one row": lambda: k.matmul(1, 512, 1000, epilogue=False),
    "ragged": lambda: k.matmul(50, 64, 70),
    "softmax": lambda: k.softmax([2, 9, 70]),
}


@pytest.mark.parametrize("name", BALANCED)
def test_halves_are_halves(name: str) -> None:
    first, second = _share(BALANCED[name](), 0, 0.5), _share(BALANCED[name](), 0.5, 1)
    assert first + second == 1
    assert abs(first - second) < 0.12


def test_short_kernels_stay_whole() -> None:
    lowered = lower_kernel(k.matmul(4, 4, 4))
    before = lowered.clone()
    assert not distribute(lowered, grain=20000, shortest=8192)
    assert lowered.is_structurally_equivalent(before)
