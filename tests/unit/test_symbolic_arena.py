"""Offsets that are expressions of sizes: no two tensors that are alive at once meet, and little memory is lost."""

from __future__ import annotations

from random import Random

import pytest
from xdsl.dialects.builtin import TensorType, f32
from xdsl.dialects.test import TestOp

from webdnn.dialects.sizes.expression import Symbol, is_symbolic
from webdnn.dialects.sizes.substitution import evaluate
from webdnn.lowering.kernels.arena import lower_bound
from webdnn.lowering.kernels.lifetimes import Lifetime
from webdnn.lowering.kernels.memory_planner import align_up
from webdnn.lowering.kernels.symbolic_arena import SymbolicPlan, symbolic_offsets

_S, _T = Symbol("s", 1, 512, likely=128), Symbol("t", 0, 64, unit=4)
_VALUE = TestOp(result_types=[TensorType(f32, [1])]).results[0]


def _offsets_at(plan: SymbolicPlan, values: dict[str, int]) -> tuple[int, list[int]]:
    known = dict(values)
    for symbol, size in plan.definitions:
        known[symbol.name] = evaluate(size, known)
        assert symbol.low <= known[symbol.name] <= symbol.high
    return evaluate(plan.total, known), [evaluate(offset, known) for offset in plan.offsets]


def _check(lifetimes: list[Lifetime], sizes: list[int], values: dict[str, int]) -> float:
    """How many times as large as what is alive the arena is, at some sizes."""
    plan = symbolic_offsets(lifetimes, sizes)
    total, offsets = _offsets_at(plan, values)
    numbers = [evaluate(size, values) for size in sizes]
    for i, (begin, size) in enumerate(zip(offsets, numbers, strict=True)):
        assert begin >= 0 and begin + size <= total and begin % 64 == 0
        for j in range(i):
            if lifetimes[i].overlaps(lifetimes[j]):
                assert begin + size <= offsets[j] or offsets[j] + numbers[j] <= begin
    return total / lower_bound(lifetimes, numbers)


def _random_program(random: Random) -> tuple[list[Lifetime], list[int]]:
    """Chains with residuals, as models have them: linear and quadratic sizes, and constants."""
    s, t = _S.size, _T.size
    count = random.randrange(4, 40)
    lifetimes, sizes = list[Lifetime](), list[int]()
    for step in range(count):
        for _ in range(random.choice([1, 1, 1, 2])):
            end = step + random.choice([1, 1, 1, 2, 3, count])
            lifetimes.append(Lifetime(_VALUE, step, min(end, count)))
            width = random.choice([64, 256, 384, 1536])
            form = random.choice([s, s, s, s * s, t * s, t + 1, s + t, (s + 1) // 2, 7])
            sizes.append(align_up(form * width, 64))
    return lifetimes, sizes


_POINTS = [(1, 0), (1, 64), (128, 32), (300, 4), (512, 0), (512, 64), (17, 12)]


@pytest.mark.parametrize("seed", range(8))
def test_random_programs_lose_at_most_a_tenth_of_their_memory(seed: int) -> None:
    lifetimes, sizes = _random_program(Random(seed))
    for s, t in _POINTS:
        assert _check(lifetimes, sizes, {"s": s, "t": t}) <= 1.1


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(8, 200))
def test_many_random_programs(seed: int) -> None:
    lifetimes, sizes = _random_program(Random(seed))
    for s, t in _POINTS:
        assert _check(lifetimes, sizes, {"s": s, "t": t}) <= 1.1


def test_a_tensor_that_is_wider_at_some_sizes_than_two_others_names_their_maximum() -> None:
    s, t = _S.size, _T.size
    lifetimes = [Lifetime(_VALUE, 0, 1), Lifetime(_VALUE, 2, 3), Lifetime(_VALUE, 0, 3)]
    plan = symbolic_offsets(lifetimes, [s * 64, t * 64, s * t * 64])
    assert len(plan.definitions) == 1
    assert any(is_symbolic(offset) for offset in plan.offsets)
