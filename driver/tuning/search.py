"""The search for one kernel: the cost model's best guesses first, then neighbours of the fastest."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from webdnn.dialects.kernel import FuncOp
from webdnn.engines.scripted import ScriptedEngine
from webdnn.tuning.candidates import Candidate, candidates, fits, neighbours
from webdnn.tuning.measure import Effort, KernelTimer, Timed
from webdnn.tuning.verify import computes_the_same

LEAST_GAIN = 0.03
"""A schedule that gains less than this share of the time is not worth an entry: noise may be as large."""


# An engine that is eager needs no long warm-up.
QUICK = Effort(warmup=20, sample=2, rounds=8)
CAREFUL = Effort(warmup=50, sample=2, rounds=40)


@dataclass(frozen=True)
class Budget:
    """How much is tried.

    Attributes:
        guesses: schedules that are taken from the cost model.
        mutations: neighbours that are tried in each generation.
        generations: how often at most.
        quick: the effort of a first look.
        careful: the effort with which the winner is compared with what the compiler chooses.
        repeats: how often it must win that comparison.
    """

    guesses: int = 16
    mutations: int = 10
    generations: int = 4
    quick: Effort = QUICK
    careful: Effort = CAREFUL
    repeats: int = 2


@dataclass(frozen=True)
class Found:
    """What a search found: the winner, its time and that of the compiler's own choice, in milliseconds of one run."""

    winner: Candidate
    milliseconds: float
    untuned_milliseconds: float
    tried: int

    @property
    def gain(self) -> float:
        """The share of the time that is saved."""
        return 1 - self.milliseconds / self.untuned_milliseconds


def search(
    func: FuncOp,
    weights: Sequence[int],
    chosen: Candidate,
    engine: ScriptedEngine,
    *,
    budget: Budget,
    seconds: float,
    on_step: Callable[[], None] = lambda: None,
) -> Found:
    """Search a schedule for a kernel.

    Args:
        func: the kernel on level `kernels`, not packed.
        weights: the operands that may be packed.
        chosen: what the compiler chooses.
        engine: where kernels are timed.
        seconds: after this time no further generation begins.
        on_step: called after each round of measurements.

    Raises:
        WebDNNError: the engine fails.
    """
    deadline = time.monotonic() + seconds
    timer = KernelTimer(func, weights, engine)
    timer.prepare(chosen)
    first = [chosen, *(c for c in candidates(func, weights, budget.guesses) if c != chosen)]
    seen = set(first)
    chance = Random(0)
    ready = [c for c in first if timer.prepare(c)]
    ranked = timer.time(ready, budget.quick, on_step)
    for _ in range(budget.generations):
        if time.monotonic() > deadline:
            break
        fresh = _mutations(func, weights, ranked, seen, budget.mutations, chance)
        fresh = [c for c in fresh if timer.prepare(c)]
        if not fresh:
            break
        # the best so far run again beside the new ones: times of different jobs do not compare
        best = [t.candidate for t in ranked[:2]]
        again = timer.time([*best, *fresh], budget.quick, on_step)
        improved = again[0].candidate not in best
        ranked = again
        if not improved:
            break
    return _confirmed(timer, chosen, ranked, budget, len(seen), on_step)


def _mutations(
    func: FuncOp,
    weights: Sequence[int],
    ranked: Sequence[Timed],
    seen: set[Candidate],
    count: int,
    chance: Random,
) -> list[Candidate]:
    """Some neighbours of the two fastest."""
    found: list[Candidate] = []
    for parent in ranked[:2]:
        mine = 0
        all_neighbours = list(neighbours(parent.candidate))
        chance.shuffle(all_neighbours)
        for candidate in all_neighbours:
            if mine >= -(-count // 2):
                break
            if candidate not in seen and fits(func, weights, candidate):
                seen.add(candidate)
                found.append(candidate)
                mine += 1
    return found


def _confirmed(
    timer: KernelTimer,
    chosen: Candidate,
    ranked: Sequence[Timed],
    budget: Budget,
    tried: int,
    on_step: Callable[[], None],
) -> Found:
    """The fastest that wins again, beside the compiler's choice, and computes the same."""
    finalists = [t.candidate for t in ranked[:2] if t.candidate != chosen]
    finalists = [c for c in finalists if computes_the_same(timer.func, timer.weights, chosen, c)]
    wins: dict[Candidate, list[tuple[float, float]]] = {c: [] for c in finalists}
    own: list[float] = []
    for _ in range(budget.repeats):
        times = {t.candidate: t for t in timer.time([chosen, *finalists], budget.careful, on_step)}
        own.append(times[chosen].milliseconds)
        for c in finalists:
            wins[c].append((times[c].milliseconds, times[chosen].milliseconds))
    winner, least, beside = chosen, min(own), min(own)
    for c, pairs in wins.items():
        # it must win each time
        if all(mine < (1 - LEAST_GAIN) * other for mine, other in pairs):
            mine = min(mine for mine, _ in pairs)
            if mine < least:
                winner, least = c, mine
    return Found(winner, least, beside, tried)
