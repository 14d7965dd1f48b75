"""Tuning: candidates fit and compute the same, a search ends in time, and what was learnt is found again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import webdnn
from tests.unit import kernels as k
from webdnn.compile_arguments import CompileArguments
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp
from webdnn.engines.scripted import Files, ScriptedEngineName, scripted_engine
from webdnn.kernel_profile import profile_package, time_runs
from webdnn.lowering.kernels.schedule_table import ScheduleEntry, ScheduleTable
from webdnn.package import KernelEngine
from webdnn.schedules import ScheduleDump
from webdnn.tuning import Budget, TuningCache, tune
from webdnn.tuning.candidates import candidates, fits, neighbours
from webdnn.tuning.measure import Effort, KernelTimer
from webdnn.tuning.search import search
from webdnn.tuning.verify import computes_the_same

EFFORT = Effort(warmup=1, sample=0.2, rounds=2)
BUDGET = Budget(guesses=3, mutations=2, generations=1, quick=EFFORT, careful=EFFORT, repeats=1)
MODEL = """
    <ir_version: 10, opset_import: ["" : 21]>
    mlp (float[30, 24] x) => (float[30, 20] y) { h = MatMul(x, w)  y = Relu(h) }
"""


def _model() -> onnx.ModelProto:
    model = onnx.parser.parse_model(MODEL)
    weight = np.random.default_rng(0).standard_normal((24, 20), np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    return model


KERNELS = [
    (k.matmul(7, 20, 24), [1]),
    (k.matmul(1, 64, 48), [1]),
    (k.conv([9, 9], 4, 8, [3, 3]), [1]),
    (k.conv([9, 9], 8, 8, [3, 3], groups=8), [1]),
    (k.softmax([5, 19]), []),
]


@pytest.mark.parametrize(("func", "weights"), KERNELS, ids=lambda v: getattr(v, "sym_name", ""))
def test_candidates_and_their_neighbours_compute_the_same(func: FuncOp, weights: list[int]) -> None:
    found = candidates(func, weights, 8)
    assert len(set(found)) == len(found) > 1
    first, *others = found
    near = [c for c in neighbours(first) if fits(func, weights, c)]
    assert near and first not in near
    for candidate in [*others[:3], *near[:3]]:
        assert fits(func, weights, candidate)
        assert computes_the_same(func, weights, first, candidate), candidate


def test_panels_are_part_of_the_candidates() -> None:
    found = candidates(k.matmul(30, 64, 64), [1], 40)
    assert {c.panels[1] if c.panels else 0 for c in found} >= {0, 4, 8, 16}


class _Engine:
    """An engine in which times are what `cost` says of the number of a candidate."""

    name: ScriptedEngineName = "node"

    def __init__(self, cost: Callable[[int], float]) -> None:
        self.cost = cost
        self.jobs = 0

    def __enter__(self) -> _Engine:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def version(self) -> str:
        return "Test 1.0"

    def run(
        self,
        job: Mapping[str, Any],
        files: Files,
        *,
        on_step: Callable[[], None] = lambda: None,
        timeout: float = 600,
    ) -> Any:
        self.jobs += 1
        if job["kind"] == "package":
            one = {"best": 1.0, "median": 1.0, "worst": 1.0, "fast": 1.0}
            return {"whole": one, "launches": [one] * job["launches"]}
        numbers = [int(c["name"].rpartition("_")[2]) for c in job["candidates"]]
        return [{"best": self.cost(n)} for n in numbers]


@pytest.mark.parametrize(
    ("cost", "gains"),
    [
        (lambda n: 1.0 if n == 0 else 2.0, False),  # the compiler's choice is the best
        (lambda n: 1.0 - 0.02 * (n == 2), False),  # a gain that noise may be
        (lambda n: 1.0 - 0.5 * (n == 2), True),
    ],
)
def test_only_clear_gains_win(cost: Callable[[int], float], gains: bool) -> None:
    func, weights = KERNELS[0]
    chosen, *_ = candidates(func, weights, 1)
    found = search(func, weights, chosen, _Engine(cost), budget=BUDGET, seconds=60)
    assert (found.winner != chosen) == gains
    assert found.untuned_milliseconds == 1.0
    assert found.gain == (0.5 if gains else 0.0)
    assert found.tried >= 3


def test_kernels_that_read_a_picture_are_tuned(tmp_path: Path) -> None:
    text = """<ir_version: 10, opset_import: ["" : 21]> maximum (float[1, 3, 6, 8] x) => (float[1, 3, 1, 1] y) {
        y = GlobalMaxPool(x) }"""
    model = onnx.parser.parse_model(text)
    engine, cache = _Engine(lambda n: 1.0), TuningCache(tmp_path)
    pictures = {"x": webdnn.ImageInput("uint8-rgba")}
    how: CompileArguments = {"input_images": pictures}
    outcome = tune(model, engine=engine, budget=BUDGET, cache=cache, seconds=60, **how)
    package = webdnn.compile(model, target="wasm", schedules=outcome.table, **how)
    launched = {launch["kernel"] for launch in package.section("wasm")["launches"]}
    assert {entry.name for entry, _ in outcome.searched} == launched


def test_what_was_learnt_is_found_again(tmp_path: Path) -> None:
    cache = TuningCache(tmp_path)
    engine = _Engine(lambda n: 1.0 - 0.5 * (n == 1))
    profile: dict[str, int] = {}

    def tuned() -> ScheduleTable:
        before = engine.jobs
        outcome = tune(_model(), engine=engine, budget=BUDGET, cache=cache, seconds=60)
        profile["jobs"] = engine.jobs - before
        return outcome.table

    first = tuned()
    assert profile["jobs"] > 1
    assert [e.milliseconds for e in first.entries] == [0.5]
    assert first.measured["engine"] == "Test 1.0"
    assert tuned().entries == first.entries
    assert profile["jobs"] == 1  # that of the profile
    (learnt,) = cache.table().entries
    assert learnt.schedule == first.entries[0].schedule


def test_a_browser_goes_before_node_and_damage_is_no_error(tmp_path: Path) -> None:
    cache = TuningCache(tmp_path)
    (candidate,) = candidates(KERNELS[0][0], [1], 1)
    for engine, milliseconds in (("Node.js 22", 1.0), ("Chromium 1", 1.5), ("Chromium 2", 3.0)):
        entry = ScheduleEntry(
            "a", "wasm", candidate.schedule, None, milliseconds=milliseconds, untuned_milliseconds=2
        )
        cache.put(entry, engine, {})
    assert not cache.table().entries  # the last browser found no gain
    (tmp_path / "wasm" / "Chromium-2" / "a.toml").write_text("damaged")
    assert [e.milliseconds for e in cache.table().entries] == [1.5]
    assert cache.find("wasm", "Node.js 22", "b") is None


def test_tuning_in_node(tmp_path: Path) -> None:
    cache = TuningCache(tmp_path)
    outcome = tune(_model(), engine="node", budget=BUDGET, cache=cache, seconds=10)
    ((entry, tried),) = outcome.searched
    assert tried >= 3 and entry.milliseconds and entry.untuned_milliseconds
    webdnn.compile(_model(), target="wasm", schedules=outcome.table)


def test_auto_takes_what_was_learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBDNN_CACHE_DIR", str(tmp_path))
    dump = ScheduleDump()
    webdnn.compile(_model(), target="wasm", hook=dump)
    (entry,) = dump.entries
    fast = candidates(k.matmul(30, 20, 24), [1], 9)[-1]
    learnt = ScheduleEntry(
        entry.digest, "wasm", fast.schedule, fast.panels, milliseconds=1, untuned_milliseconds=2
    )
    TuningCache().put(learnt, "Chromium 156", {})
    for schedules, expected in (("auto", fast.schedule), (None, entry.schedule)):
        dump = ScheduleDump()
        webdnn.compile(_model(), target="wasm", hook=dump, schedules=schedules)
        assert dump.entries[0].schedule == expected


def test_timing_a_kernel_in_node() -> None:
    func, weights = KERNELS[2]
    timer = KernelTimer(func, weights, scripted_engine("node", eager=True))
    ready = [c for c in candidates(func, weights, 3) if timer.prepare(c)]
    steps: list[int] = []
    timed = timer.time(ready, EFFORT, lambda: steps.append(1))
    assert {t.candidate for t in timed} == set(ready)
    assert all(0 < t.milliseconds < 100 for t in timed)
    assert len(steps) == EFFORT.rounds


def test_one_browser_serves_several_jobs() -> None:
    func, weights = KERNELS[0]
    with scripted_engine("chromium", eager=True) as engine:
        timer = KernelTimer(func, weights, engine)
        ready = [c for c in candidates(func, weights, 2) if timer.prepare(c)]
        for _ in range(2):
            assert all(t.milliseconds > 0 for t in timer.time(ready, EFFORT))
        with pytest.raises(WebDNNError, match="could not run the job"):
            engine.run({"kind": "peaks", "module": "missing", "pages": 9}, {})
        assert engine.version().startswith("Chromium ")


def test_a_job_that_fails_in_node() -> None:
    with pytest.raises(WebDNNError, match=r"Node\.js could not run the job"):
        scripted_engine("node").run({"kind": "peaks", "module": "missing", "pages": 9}, {})


@pytest.mark.parametrize("engine", ["wasmtime", "node"])
def test_profile(engine: KernelEngine) -> None:
    package = webdnn.compile(_model(), target="wasm")
    profile = profile_package(package, engine, 3, warmup=1)
    (kernel,) = profile.kernels
    assert kernel.flops == 2 * 30 * 24 * 20 + 30 * 20
    assert kernel.nodes == ["h", "y"] or kernel.nodes == ["MatMul_0", "Relu_1"]
    assert 0 < kernel.milliseconds < 100 and profile.whole > 0
    if engine == "node":
        assert time_runs(package, engine, 3, warmup=1)["best"] > 0
