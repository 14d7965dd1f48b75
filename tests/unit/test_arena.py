"""The memory planner: no two tensors meet, and arenas are as small as they can be."""

from __future__ import annotations

from itertools import combinations
from random import Random

import pytest
from xdsl.dialects.builtin import TensorType, f32
from xdsl.ir import Block

from tests.models import all_models, model_case
from webdnn.dialects.weight_store import attach_weights
from webdnn.frontends.onnx import load
from webdnn.lowering.kernels.arena import choose_offsets, lower_bound
from webdnn.lowering.kernels.lifetimes import Lifetime, tensor_lifetimes
from webdnn.lowering.kernels.memory_planner import align_up
from webdnn.lowering.kernels.outline import OutlineKernels
from webdnn.lowering.loops_cpu.target import WASM
from webdnn.lowering.weights_function import entry_function
from webdnn.passes import context
from webdnn.stages import run_stages

RESNET50_FLOATS = 4.60e6
"""The arena of the original WebDNN."""
TASK_MODELS = ("resnet50", "inception_v3", "light_densenet121", "multistyle26", "rapidocr_rec")
"""Those whose arena is not the smallest where the largest tensors are placed first."""


def _lifetime(start: int, end: int) -> Lifetime:
    return Lifetime(Block(arg_types=[TensorType(f32, [1])]).args[0], start, end)


def _arena(lifetimes: list[Lifetime], sizes: list[int]) -> int:
    """The size of the arena; checks that tensors alive at one time lie apart."""
    offsets = choose_offsets(lifetimes, sizes)
    for i, j in combinations(range(len(sizes)), 2):
        if lifetimes[i].overlaps(lifetimes[j]):
            apart = offsets[i] + sizes[i] <= offsets[j] or offsets[j] + sizes[j] <= offsets[i]
            assert apart, (i, j)
    return max((o + s for o, s in zip(offsets, sizes, strict=True)), default=0)


def test_nothing_to_place() -> None:
    assert _arena([], []) == lower_bound([], []) == 0


def test_order_of_sizes_alone_would_waste() -> None:
    lives = [_lifetime(0, 1), _lifetime(1, 2), _lifetime(2, 3), _lifetime(3, 4)]
    sizes = [64, 192, 128, 128]
    assert _arena(lives, sizes) == lower_bound(lives, sizes) == 320


@pytest.mark.parametrize("seed", range(20))
def test_chains_with_residuals(seed: int) -> None:
    random = Random(seed)
    lives = [_lifetime(i, i + random.choice([1, 1, 1, 2, 5])) for i in range(40)]
    sizes = [64 * random.randrange(1, 30) for _ in lives]
    assert _arena(lives, sizes) <= 1.1 * lower_bound(lives, sizes)
    assert choose_offsets(lives, sizes) == choose_offsets(lives, sizes)


@pytest.mark.parametrize(
    "name",
    [n if n in TASK_MODELS else pytest.param(n, marks=pytest.mark.nightly) for n in all_models()],
)
def test_models(name: str) -> None:
    case = model_case(name)
    imported = load(case.path, case.shapes)
    attach_weights(imported.module, imported.weights)
    run_stages(imported.module, "onnx", "linalg", "wasm")
    OutlineKernels().apply(context(), imported.module)
    lives = tensor_lifetimes(entry_function(imported.module).body.block)
    sizes = [align_up(WASM.memory.tensor_bytes(t.type), WASM.memory.alignment) for t in lives]
    arena = _arena(lives, sizes)
    assert arena <= 1.1 * lower_bound(lives, sizes)
    if name == "resnet50":
        assert arena < 4 * RESNET50_FLOATS
