"""Random kernels with random symbols and random schedules, as loops in numpy at random sizes."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.unit import kernels as k
from webdnn.dialects.kernel import FuncOp, ScheduleAttr
from webdnn.dialects.sizes.expression import Symbol
from webdnn.lowering.loops_cpu.distribute import distribute
from webdnn.lowering.loops_cpu.groups import read_groups
from webdnn.lowering.loops_cpu.heuristics import choose, stage_candidates
from webdnn.lowering.loops_cpu.lower import SCRATCH_ELEMENTS, lower_kernel
from webdnn.lowering.loops_cpu.schedule import GroupSchedule, to_attr
from webdnn.lowering.loops_cpu.target import WASM

KERNELS: list[Callable[[int, int], FuncOp]] = [
    lambda a, _: k.matmul(a, 12, 9),
    lambda a, b: k.matmul(a, b, 9),
    lambda a, b: k.matmul(7, a, b),
    lambda a, b: k.batched_matmul_bt(2, a, b, 8),
    lambda a, b: k.conv([a + 2, b + 2], 3, 8, [3, 3]),
    lambda a, b: k.conv([a + 2, b + 2], 4, 4, [3, 3], groups=4, stride=2),
    lambda a, b: k.softmax([a, b + 1]),
    lambda a, b: k.norm([a, b, 8], [2]),
    lambda a, b: k.transpose([a, 4, b], [2, 1, 0]),
]


def random_schedule(func: FuncOp, rng: random.Random) -> ScheduleAttr:
    """Some schedule that fits the kernel."""
    groups = read_groups(func, scratch_elements=SCRATCH_ELEMENTS)
    schedules: list[GroupSchedule] = []
    for group, best in zip(groups, choose(groups), strict=True):
        tile = [
            rng.choice([size, rng.randint(1, 7) * shared.step])
            for size, shared in zip(best.tile, group.outer, strict=True)
        ]
        stages = [
            rng.choice(stage_candidates(group, stage, number, tile))[1]
            for number, stage in enumerate(group.stages)
        ]
        schedules.append(GroupSchedule(tile, stages))
    return to_attr(schedules)


@pytest.mark.parametrize(
    "seed",
    [*range(4), *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(4, 40))],
)
def test_any_schedule(seed: int) -> None:
    rng = random.Random(seed)
    for make in KERNELS:
        symbols = [
            Symbol(f"n{i}", rng.choice([0, 1, 3]), rng.choice([12, 24, 60]), rng.choice([1, 1, 4]))
            for i in range(2)
        ]
        func = make(symbols[0].size, symbols[1].size)
        if make is KERNELS[0] and rng.random() < 0.5:
            WASM.pack(func, [1])
        func.schedule = random_schedule(func, rng)
        points = [[s.low for s in func.symbols], [s.high for s in func.symbols]]
        points += [
            [rng.randrange(s.low, s.high + 1, s.unit) for s in func.symbols] for _ in range(3)
        ]
        shared = rng.random() < 0.5 and distribute(lower_kernel(func), 1, 1)
        k.check_at(func, *points, wasm=False, shared=shared)
