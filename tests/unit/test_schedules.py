"""Schedules as files: what is dumped is read back, an override is obeyed, and what does not fit is said once."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from xdsl.dialects.builtin import ModuleOp

import webdnn
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import PANELS, FuncOp, ScheduleAttr
from webdnn.lowering.kernels.schedule_table import (
    DEFAULT_TABLE,
    ScheduleEntry,
    ScheduleTable,
    merged,
)
from webdnn.lowering.loops_cpu.lower import lower_kernel
from webdnn.package import Package
from webdnn.schedules import ScheduleDump

SCHEDULE = ScheduleAttr.of({"strategy": "tiles", "tile": [1, 2], "vector": -1, "order": [0]})
MODEL = """
    <ir_version: 10, opset_import: ["" : 21]>
    mlp (float[12, 32] x) => (float[12, 20] y) { h = MatMul(x, w)  y = Relu(h) }
"""


def _model(seed: int = 0) -> onnx.ModelProto:
    model = onnx.parser.parse_model(MODEL)
    weight = np.random.default_rng(seed).standard_normal((32, 20), np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    return model


def _dumped(model: onnx.ModelProto, **options: Any) -> tuple[Package, ScheduleDump]:
    dump = ScheduleDump()
    package = webdnn.compile(model, hook=dump, **options)
    return package, dump


def _same(one: Package, two: Package) -> bool:
    return one.manifest == two.manifest and all(
        bytes(one.files[name]) == bytes(two.files[name]) for name in one.files
    )


def test_what_is_dumped_compiles_to_the_same_package(tmp_path: Path) -> None:
    package, dump = _dumped(_model())
    file = tmp_path / "schedules.toml"
    dump.table.save(file)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again, dump_again = _dumped(_model(), schedules=file)
    assert _same(package, again)
    assert dump_again.table.text() == file.read_text()
    assert {e.target for e in dump.entries} == {"wasm", "webgpu"}


def test_kernels_of_other_weights_have_the_same_digest() -> None:
    assert _dumped(_model(1))[1].entries == _dumped(_model(2))[1].entries


def test_an_override_changes_the_loops_and_not_the_results() -> None:
    x = np.random.default_rng(3).standard_normal((12, 32), np.float32)
    package, dump = _dumped(_model(), target="wasm")
    (entry,) = dump.entries
    tile = {"strategy": "tiles", "tile": [3, 12, 2], "vector": 1, "order": [1, 0]}
    mine = ScheduleEntry(entry.digest, "wasm", ScheduleAttr.of(tile), (0, 12))
    loops: dict[str, int] = {}

    def hook(stage: str, target: str | None, module: ModuleOp) -> None:
        if stage == "kernels":
            (func,) = [op for op in module.ops if isinstance(op, FuncOp)]
            loops["fma"] = str(lower_kernel(func)).count("vector.fma")
            assert PANELS in func.attributes

    other = webdnn.compile(_model(), target="wasm", schedules=ScheduleTable([mine]), hook=hook)
    assert not _same(package, other)
    assert loops["fma"] == 3 * 3 * 2 + 3 * 2 * 2  # three panels of which the last has 8 columns
    np.testing.assert_allclose(other.run({"x": x})["y"], package.run({"x": x})["y"], rtol=1e-5)
    weights = other.manifest["backends"]["wasm"]["weights"]["bytes"]
    assert weights >= 4 * 32 * 24


def test_panels_alone_leave_the_rest_to_the_cost_model() -> None:
    _, dump = _dumped(_model(), target="wasm")
    (entry,) = dump.entries
    table = ScheduleTable([ScheduleEntry(entry.digest, "wasm", None, (0, 16))])
    _, after = _dumped(_model(), target="wasm", schedules=table)
    assert after.entries[0].panels == (0, 16)
    assert after.entries[0].schedule is not None


@pytest.mark.parametrize(
    ("panels", "entries", "why"),
    [
        ((0, 8), {"strategy": "tiles", "tile": [6, 8], "vector": 1, "order": [0, 1]}, "3 numbers"),
        ((0, 8), {"strategy": "magic"}, "not known"),
        ((0, 6), {}, "6 columns"),
        ((8, 0), {}, "operand 0 cannot be packed"),
        ((0,), {}, "2 numbers"),
    ],
)
def test_an_entry_that_does_not_fit_is_one_error(
    panels: tuple[int, ...], entries: dict[str, Any], why: str
) -> None:
    _, dump = _dumped(_model(), target="wasm")
    schedule = ScheduleAttr.of(entries) if entries else None
    entry = ScheduleEntry(dump.entries[0].digest, "wasm", schedule, panels, "the_product")
    with pytest.raises(WebDNNError, match=why) as caught:
        webdnn.compile(_model(), target="wasm", schedules=ScheduleTable([entry]))
    assert "the_product" in str(caught.value)
    lenient = ScheduleTable([entry], strict=False)
    assert _dumped(_model(), target="wasm", schedules=lenient)[1].entries == dump.entries


def test_a_better_cost_model_is_not_overruled() -> None:
    _, dump = _dumped(_model(), target="wasm")
    (entry,) = dump.entries
    tile = {"strategy": "tiles", "tile": [3, 12, 2], "vector": 1, "order": [1, 0]}
    tuned = ScheduleEntry(
        entry.digest,
        "wasm",
        ScheduleAttr.of(tile),
        (0, 12),
        untuned_schedule=entry.schedule,
        untuned_panels=entry.panels,
    )
    for table, applies in (
        (ScheduleTable([tuned], strict=False), True),
        (ScheduleTable([replace(tuned, untuned_schedule=SCHEDULE)], strict=False), False),
        (ScheduleTable([replace(tuned, untuned_panels=(0, 4))], strict=False), False),
        (ScheduleTable([replace(tuned, untuned_panels=(0, 4))], strict=True), True),
    ):
        after = _dumped(_model(), target="wasm", schedules=table)[1].entries[0]
        assert (after.schedule == tuned.schedule) == applies


def test_a_strategy_that_webgpu_does_not_have_is_one_error() -> None:
    _, dump = _dumped(_model(), target="webgpu")
    for schedule, panels, why in ((SCHEDULE, None, "tiles"), (None, (0, 8), "panels")):
        entry = ScheduleEntry(dump.entries[0].digest, "webgpu", schedule, panels)
        with pytest.raises(WebDNNError, match=why):
            webdnn.compile(_model(), target="webgpu", schedules=ScheduleTable([entry]))


def test_entries_that_fit_no_kernel_are_told() -> None:
    stray = ScheduleEntry("0123456789abcdef", "wasm", SCHEDULE, None, "elsewhere")
    with pytest.warns(UserWarning, match=r"1 of 1 schedules fit no kernel.*\(elsewhere\)"):
        webdnn.compile(_model(), target="wasm", schedules=ScheduleTable([stray]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        webdnn.compile(_model(), target="webgpu", schedules=ScheduleTable([stray]))
        webdnn.compile(_model(), target="wasm", schedules=ScheduleTable([stray], strict=False))


HEAD = 'format = "webdnn-schedules"\nversion = 1\n'
KERNEL = HEAD + '[[kernel]]\ntarget = "wasm"\ndigest = "a"\n'
BAD_FILES = {
    "": "must begin with",
    "format = 3": "must begin with",
    HEAD + "x = [": "Invalid value",
    HEAD + "kernel = 3": r"\[\[kernel\]\]",
    HEAD + '[[kernel]]\ntarget = "wasm"\npanels = [8]': "no digest",
    HEAD + '[[kernel]]\ntarget = "cuda"\ndigest = "a"\npanels = [8]': "'cuda'",
    HEAD + "x = " + "[" * 100_000: "this is not a table of schedules",
    HEAD + "x = " + "9" * 5000: "this is not a table of schedules",
    HEAD + "measured = 3": r"\[measured\]",
    KERNEL: "neither",
    KERNEL + "panels = [-8]": "not negative",
    KERNEL + "panels = 8": "wrong type",
    KERNEL + "pannels = [8]": "'pannels'",
    KERNEL + "schedule = '#kernel.schedule<tile = >'": "does not parse",
    KERNEL + "schedule = '#kernel.schedule<tile = 1> yes'": "form",
    KERNEL + "schedule = '3 : i64'": "form",
    KERNEL + "panels = [8]\n" + KERNEL.removeprefix(HEAD) + "panels = [8]": "two entries",
}


@pytest.mark.parametrize("content", BAD_FILES, ids=lambda content: content[-40:])
def test_bad_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "bad.toml").write_text(content)
    with pytest.raises(WebDNNError, match=BAD_FILES[content]) as caught:
        webdnn.compile(_model(), schedules=tmp_path / "bad.toml")
    assert "bad.toml" in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WebDNNError, match="cannot be read"):
        ScheduleTable.load(tmp_path / "none.toml")


def test_a_table_reads_what_it_writes(tmp_path: Path) -> None:
    odd = ScheduleAttr.of({"strategy": "it's"})
    table = ScheduleTable(
        [
            ScheduleEntry("a", "wasm", SCHEDULE, (0, 8), "k", ('Conv "3" \\ é\n\x7f',), 1.5, 2.25),
            ScheduleEntry("a", "webgpu", odd, untuned_schedule=SCHEDULE, untuned_panels=(0, 4)),
            ScheduleEntry("b", "wasm", None, (4,)),
        ],
        measured={"engine": "Chromium 156"},
    )
    table.save(tmp_path / "t.toml")
    read = ScheduleTable.load(tmp_path / "t.toml")
    assert (read.entries, read.measured) == (table.entries, table.measured)
    stale = ScheduleTable([ScheduleEntry("b", "wasm", SCHEDULE)])
    assert merged([stale, table]).find("wasm", "b") == stale.entries[0]
    assert len(merged([stale, table]).entries) == 3


def test_the_table_that_ships_is_sorted_and_measured() -> None:
    table = ScheduleTable.load(DEFAULT_TABLE)
    keys = [(e.target, e.digest) for e in table.entries]
    assert keys == sorted(keys)
    assert not table.entries or {"engine", "machine", "date"} <= set(table.measured)
