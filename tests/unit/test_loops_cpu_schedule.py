"""Schedules and packed weights of CPU kernels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from xdsl.dialects import arith
from xdsl.dialects.builtin import IndexType, IntegerAttr, ModuleOp
from xdsl.ir import SSAValue

import webdnn
from tests.unit import kernels as k
from tests.unit.index_kernels import pad
from tests.unit.kernels import check, compare, random_inputs
from tests.unit.test_winograd import convolution
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp, ScheduleAttr, ScheduleValue
from webdnn.dialects.numpy_meaning.kernel import run_kernel
from webdnn.lowering.linalg.winograd import WinogradConvolutions
from webdnn.lowering.loops_cpu.lower import SCRATCH_ELEMENTS, assign_schedule, lower_kernel
from webdnn.lowering.loops_cpu.pack import choose_packings
from webdnn.lowering.packing import Packing, pack_operand


def scheduled(func: FuncOp, **entries: ScheduleValue) -> FuncOp:
    whole: Mapping[str, ScheduleValue] = {"strategy": "tiles", **entries}
    func.properties["schedule"] = ScheduleAttr.of(whole)
    return func


@pytest.mark.parametrize(
    "entries",
    [
        {"tile": [1, 1, 1], "vector": -1, "order": [0, 1]},
        {"tile": [4, 8, 3], "vector": 1, "order": [1, 0]},
        {"tile": [6, 4, 1], "vector": 1, "order": [0, 1]},
        {"tile": [3, 2, 8], "vector": 2, "order": [0, 1]},
        {"tile": [8, 3, 2], "vector": 0, "order": [0, 1]},
        {"tile": [100, 100, 100], "vector": 1, "order": [0, 1]},
    ],
)
def test_any_tiles_of_a_product(entries: Mapping[str, ScheduleValue]) -> None:
    func = scheduled(k.matmul(11, 13, 17), **entries)
    check(func, wasm=entries["vector"] != -1)


@pytest.mark.parametrize("merge", [[], [0]])
def test_rows_of_an_image_as_one_line(merge: list[int]) -> None:
    if merge:
        func = scheduled(
            k.conv([9, 9], 4, 8, [3, 3]),
            merge=merge, tile=[6, 8, 1, 2], vector=1, order=[0, 1],
        )  # fmt: skip
    else:
        func = scheduled(
            k.conv([9, 9], 4, 8, [3, 3]), tile=[2, 3, 8, 3, 4], vector=2, order=[2, 0, 1]
        )
    check(func)


def test_schedule_is_kept_and_obeyed() -> None:
    func = scheduled(k.matmul(8, 8, 8), tile=[2, 4, 1], vector=1, order=[0, 1])
    given = func.schedule
    assign_schedule(func)
    assert func.schedule is given
    lowered = lower_kernel(func)
    assert lowered.schedule == given
    assert str(lowered).count("vector.fma") == 2


@pytest.mark.parametrize(
    "entries",
    [
        {"tile": [1, 1], "vector": 1, "order": [0, 1]},
        {"tile": [1, 1, 1], "vector": 3, "order": [0, 1]},
        {"tile": [1, 1, 1], "vector": 1, "order": [0, 0]},
        {"tile": [0, 1, 1], "vector": 1, "order": [0, 1]},
        {"tile": [1, 1, 1], "vector": 1},
        {"strategy": "magic", "tile": [1, 1, 1], "vector": 1, "order": [0, 1]},
    ],
)
def test_schedule_that_does_not_fit(entries: Mapping[str, ScheduleValue]) -> None:
    func = scheduled(k.matmul(4, 4, 4), **entries)
    with pytest.raises(WebDNNError, match="does not fit"):
        lower_kernel(func)


def _tile(func: FuncOp) -> list[int]:
    assign_schedule(func)
    assert func.schedule is not None
    tile = func.schedule.to_dict()["tile"]
    assert isinstance(tile, list)
    return tile


def test_register_tiles_of_products() -> None:
    assert _tile(k.matmul(120, 64, 64))[:2] == [6, 8]
    assert _tile(k.matmul(1, 4096, 64)) == [32, 2]


@pytest.mark.parametrize(
    ("func", "weight"),
    [
        (k.matmul(7, 16, 20), 1),
        (k.matmul(7, 10, 20), 1),
        (k.matmul(1, 50, 20), 1),
        (k.matmul(30, 3, 20), 1),
        (k.conv([6, 6], 4, 8, [3, 3]), 1),
        (k.conv([7, 7], 3, 10, [3, 3], stride=2), 1),
        (k.conv([12, 12], 8, 3, [3, 3]), 1),
        (k.conv([8, 8], 8, 2, [1, 1]), 1),
    ],
)
def test_packed_weights(func: FuncOp, weight: int) -> None:
    """The packed kernel on packed weights computes what the kernel computed."""
    inputs = random_inputs(func)
    wanted = run_kernel(func, inputs)
    func = func.clone()
    (packing,) = choose_packings(func, [weight], scratch_elements=SCRATCH_ELEMENTS)
    pack_operand(func, packing)
    func.verify()
    inputs[weight] = packing.apply(inputs[weight])
    assert inputs[weight].shape == packing.packed
    compare(run_kernel(func, inputs), wanted)
    lowered = check(func, inputs=inputs)
    # the vectors of the weight are whole, also those of the last panel
    argument = re.escape(f"%{weight}[")
    assert re.search(r"vector\.load " + argument, str(lowered))


def test_arithmetic_on_indices_is_a_linear_address() -> None:
    """What is read at `i * 2 + 1, j + 3` is read in vectors, and a remainder of what is never negative is unsigned."""
    kernel = k.Kernel("rows", [[20, 19]])
    (x,) = kernel.args

    def body(s: k.Scalars, _: Sequence[SSAValue]) -> SSAValue:
        def number(value: int) -> SSAValue:
            return s(arith.ConstantOp, IntegerAttr(value, IndexType()))

        row = s(arith.AddiOp, s(arith.MuliOp, s.index(0), number(2)), number(1))
        column = s(arith.AddiOp, s.index(1), number(3))
        return s.extract(x, s(arith.RemSIOp, row, number(20)), column)

    d = k.dims(2)
    func = kernel.done(kernel.generic([], [(kernel.empty([13, 16]), d)], "pp", body))
    text = str(check(func))
    assert "vector.load" in text
    assert "memref.load" not in text
    assert "arith.remui" in text


def test_a_pad_of_one_axis_is_one_loop_over_the_others() -> None:
    lowered = check(pad([3, 5, 8], [1, 0, 0], [1, 0, 0], 0.0))
    assert lowered.schedule is not None
    assert lowered.schedule.to_dict()["order"] == [0, 1]


def test_layout_of_packed_weights() -> None:
    packing = Packing(operand=0, axis=1, block=4, shape=(2, 6))
    assert packing.padded == (2, 8)
    assert packing.split == (2, 2, 4)
    assert packing.permutation == (1, 0, 2)
    packed = packing.apply(np.arange(12).reshape(2, 6))
    assert packed.tolist() == [[[0, 1, 2, 3], [6, 7, 8, 9]], [[4, 5, 0, 0], [10, 11, 0, 0]]]


def test_what_is_not_packed() -> None:
    depthwise = k.conv([8, 8], 8, 8, [3, 3], groups=8)
    assert not choose_packings(depthwise, [1], scratch_elements=SCRATCH_ELEMENTS)
    assert not choose_packings(k.matmul(4, 8, 2), [1], scratch_elements=SCRATCH_ELEMENTS)
    assert not choose_packings(k.matmul(4, 8, 32), [], scratch_elements=SCRATCH_ELEMENTS)


def test_runs_of_memory_are_long_where_a_tile_writes_to_many_places() -> None:
    """A filter goes to 36 places, in panels of 8 columns: with the next 7 rows of its panel it fills lines there."""
    kernels = _winograd_kernels(channels=32)
    assert _shared(kernels["winograd_filter_0"]) == [6, 1, 8, 8]
    assert _shared(kernels["winograd_input_0"]) == [6, 1, 2, 32]
    # 36 places are read, 16 written
    assert _shared(kernels["winograd_output_add_relu_0"]) == [4, 4, 16]


def _winograd_kernels(channels: int) -> dict[str, FuncOp]:
    """The kernels of a convolution by windows of 4 x 4, with their schedules."""
    model = convolution((1, channels, 8, 8), channels, (3, 3), (1, 1, 1, 1))
    kept: dict[str, FuncOp] = {}

    def hook(stage: str, _: str | None, module: ModuleOp) -> None:
        if stage == "kernels":
            kept.update(
                {f.sym_name.data: f.clone() for f in module.walk() if isinstance(f, FuncOp)}
            )

    forced = {"linalg": [WinogradConvolutions(window=4)]}
    webdnn.compile(model, target="wasm", passes=forced, jobs=1, hook=hook)
    return kept


def _shared(func: FuncOp) -> list[int]:
    assert func.schedule is not None
    shared = func.schedule.to_dict()["shared_0"]
    assert isinstance(shared, list)
    return shared
