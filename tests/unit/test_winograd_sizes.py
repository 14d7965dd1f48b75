"""Convolutions by Winograd's minimal filtering whose batch, height and width are symbols."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto
from xdsl.dialects.builtin import ModuleOp

import webdnn
from tests.tolerances import relative_error
from tests.unit.test_winograd import TOLERANCE, convolution, inputs_of, reference
from tests.unit.test_winograd_integers import quantised, random_weights
from webdnn.dialects.kernel import kernels_of
from webdnn.dialects.numpy_meaning.program import run_module
from webdnn.dialects.sizes.substitution import evaluate
from webdnn.dialects.sizes.types import shape_of
from webdnn.dialects.weight_store import attach_weights
from webdnn.engines.wasmtime import KernelInstance
from webdnn.frontends.onnx import ImportedModel, load
from webdnn.lowering.linalg.winograd import WinogradConvolutions
from webdnn.lowering.loops_cpu.distribute import distribute
from webdnn.lowering.loops_cpu.lower import lower_kernel
from webdnn.package import Package
from webdnn.passes import context
from webdnn.stages import passes_between

Size = tuple[int, int, int]
"""Batch, height and width of an input."""


def opened(model: ModelProto) -> ModelProto:
    """The model without its batches, heights and widths."""
    for value in (*model.graph.input, *model.graph.output):
        for axis in (0, 2, 3):
            value.type.tensor_type.shape.dim[axis].Clear()
    return model


def shapes_of(model: ModelProto, sizes: Sequence[int | str]) -> dict[str, list[int | str]]:
    """A shape for each input of a convolution of equal pads: `sizes` are the batch, the height and the width."""
    batch, height, width = sizes
    return {
        i.name: [batch, i.type.tensor_type.shape.dim[1].dim_value, height, width]
        for i in model.graph.input
    }


def compiled(model: ModelProto, sizes: Sequence[int | str], window: int) -> Package:
    """A package with windows of `window` results, or by direct convolutions where it is 0."""
    passes = {"linalg": [WinogradConvolutions(window=window)]} if window else {}
    return webdnn.compile(
        opened(model),
        target="wasm",
        shapes=shapes_of(model, sizes),
        passes=passes,
        without=["winograd-convolutions"],
        jobs=1,
    )


def lowered(model: ModelProto, stage: str) -> ImportedModel:
    """A model with windows of 4 results, its sizes `OPEN`, at a stage."""
    imported = load(opened(model), shapes=shapes_of(model, OPEN))
    attach_weights(imported.module, imported.weights)
    ctx = context()
    for _, step in passes_between("onnx", "linalg", "wasm"):
        step.apply(ctx, imported.module)
    WinogradConvolutions(window=4).apply(ctx, imported.module)
    for _, step in passes_between("linalg", stage, "wasm"):
        step.apply(ctx, imported.module)
    imported.module.verify()
    return imported


def is_winograd(package: Package) -> bool:
    launches = package.manifest["backends"]["wasm"]["launches"]
    return any(launch["kernel"].startswith("winograd_product") for launch in launches)


OPEN = ("b:0..2", "h:1..13@9", "w:1..18@9")
SIZES = [(1, 1, 1), (1, 4, 8), (2, 5, 7), (1, 3, 18), (2, 13, 18), (1, 10, 2)]

FLOATS = [
    # input channels, output channels, taps, pads, residual, sizes, runs, window
    (16, 16, (3, 3), (1, 1, 1, 1), False, OPEN, [*SIZES, (0, 3, 5)], 4),
    (16, 12, (3, 3), (1, 1, 1, 1), True, OPEN, SIZES, 2),
    (20, 12, (3, 3), (1, 1, 1, 1), True, OPEN, SIZES, 4),
    (17, 24, (1, 3), (0, 1, 0, 1), False, OPEN, SIZES, 4),
    (16, 16, (5, 5), (2, 2, 2, 2), False, OPEN, SIZES, 2),
    (3, 4, (3, 3), (1, 1, 1, 1), True, ("b:1..2", 6, "w:1..9"), [(1, 6, 1), (2, 6, 7), (1, 6, 9)], 4),
    (16, 8, (3, 3), (1, 1, 1, 1), True, (1, "h:4..16:4", 5), [(1, 4, 5), (1, 8, 5), (1, 16, 5)], 4),
    (16, 16, (3, 3), (0, 0, 0, 0), False, (1, "h:3..9", "w:3..2000@3"), [(1, 3, 3), (1, 9, 8)], 2),
    (16, 16, (3, 3), (1, 1, 1, 1), False, (1, "h:1..2", "w:1..3"), [(1, 1, 3), (1, 2, 1)], 4),
]  # fmt: skip


@pytest.mark.parametrize(
    ("ins", "outs", "taps", "pads", "residual", "sizes", "runs", "window"), FLOATS
)
def test_floats(
    ins: int,
    outs: int,
    taps: tuple[int, int],
    pads: tuple[int, int, int, int],
    residual: bool,
    sizes: Sequence[int | str],
    runs: Sequence[Size],
    window: int,
) -> None:
    def at(size: Size) -> ModelProto:
        shape = (size[0], ins, size[1], size[2])
        return convolution(shape, outs, taps, pads, residual=residual)

    package = compiled(at(runs[0]), sizes, window)
    assert is_winograd(package)
    _check_floats(package, at, runs)


def _check_floats(
    package: Package, model: Callable[[Size], ModelProto], runs: Sequence[Size]
) -> None:
    for size in runs:
        inputs = inputs_of(model(size))
        result = package.run(inputs, engine="wasmtime")["y"]
        wanted = reference(model(size), inputs)
        assert result.shape == wanted.shape
        error = relative_error(result, wanted) if wanted.size else 0
        assert error <= TOLERANCE, f"{size}: off by {error:.2g} of the range"


INTEGERS = [
    # input channels, output channels, taps, pads
    (16, 16, (3, 3), (1, 1, 1, 1)),
    (18, 12, (3, 3), (1, 1, 1, 1)),
    (16, 16, (1, 3), (0, 1, 0, 1)),
]


@pytest.mark.parametrize(("ins", "outs", "taps", "pads"), INTEGERS)
def test_integers(
    ins: int, outs: int, taps: tuple[int, int], pads: tuple[int, int, int, int]
) -> None:
    weights = random_weights(outs, ins, *taps)
    model = quantised((1, ins, 9, 9), weights, pads)
    direct = compiled(model, OPEN, 0)
    for window in (2, 4):
        package = compiled(model, OPEN, window)
        assert is_winograd(package) and not is_winograd(direct)
        for number, (batch, height, width) in enumerate(SIZES):
            rng = np.random.default_rng(number)
            x = rng.uniform(-7, 248, (batch, ins, height, width)).astype(np.float32)
            a, b = (p.run({"x": x}, engine="wasmtime")["y"] for p in (package, direct))
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("stage", ["linalg", "kernels", "loops"])
def test_each_stage_in_numpy(stage: str) -> None:
    def at(size: Size) -> ModelProto:
        return convolution((size[0], 16, *size[1:]), 8, (3, 3), (1, 1, 1, 1), residual=True)

    imported = lowered(at((1, 7, 9)), stage)
    for size in ((1, 7, 9), (2, 5, 4), (1, 1, 1)):
        inputs: dict[str, NDArray[Any]] = dict(inputs_of(at(size)))
        (result,) = run_module(imported.module, imported.weights, inputs).values()
        error = relative_error(result, reference(at(size), inputs))
        assert error <= TOLERANCE, f"{size}: off by {error:.2g} of the range"


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(s, marks=pytest.mark.nightly) for s in range(1, 40))]
)
def test_random_sizes(seed: int) -> None:
    """Random filters, ranges, multiples and likely sizes, each run at five random sizes."""
    rng = np.random.default_rng(seed)
    window = int(rng.choice([2, 4]))
    taps = [(3, 3), (1, 3), (3, 1)][rng.integers(3)]
    top, left = taps[0] // 2, taps[1] // 2
    pads = (top, left, top, left)
    ins, outs = int(rng.integers(1, 24)), 4 * int(rng.integers(1, 7))
    residual = bool(rng.integers(2))

    def at(size: Size) -> ModelProto:
        return convolution((size[0], ins, *size[1:]), outs, taps, pads, residual=residual)

    ranges = [(int(low), int(high), int(unit)) for low, high, unit in zip(
        rng.integers(1, 4, 3), rng.integers(4, 24, 3), rng.choice([1, 1, 2, 3, 4], 3), strict=True
    )]  # fmt: skip
    values = [[n for n in range(low, high + 1) if n % unit == 0] for low, high, unit in ranges]
    sizes = [
        f"{name}:{low}..{high}:{unit}@{rng.choice(mine)}"
        for name, (low, high, unit), mine in zip("bhw", ranges, values, strict=True)
    ]
    runs = [tuple(int(rng.choice(mine)) for mine in values) for _ in range(5)]
    package = compiled(at((1, 8, 8)), sizes, window)
    assert is_winograd(package)
    _check_floats(package, at, [(b, h, w) for b, h, w in runs])


def _chosen(channels: int, sizes: Sequence[int | str]) -> bool:
    """Whether Winograd's method is taken without being asked for."""
    model = convolution((1, channels, 28, 28), channels, (3, 3), (1, 1, 1, 1))
    package = webdnn.compile(opened(model), target="wasm", shapes=shapes_of(model, sizes), jobs=1)
    return is_winograd(package)


def test_only_where_it_is_faster_at_the_likely_size() -> None:
    assert _chosen(32, (1, "h:1..100@28", "w:1..100@28"))
    assert not _chosen(32, (1, "h:1..100@1", "w:1..100@1"))


def test_only_where_the_greatest_sizes_have_room() -> None:
    """Of 256 channels and 1,024 x 1,024 results the windows would take 4.5 GiB; direct, it is 2 GiB."""
    assert not _chosen(256, (1, "h:1..1024@28", "w:1..1024@28"))
    assert _chosen(256, (1, "h:1..256@28", "w:1..256@28"))


def test_threads_share_windows_that_are_left_over() -> None:
    """Any parts of a kernel's work do together what it does as a whole, at sizes that no tile divides."""
    model = convolution((1, 16, 7, 9), 8, (3, 3), (1, 1, 1, 1), residual=True)
    shared = 0
    for name, func in kernels_of(lowered(model, "kernels").module).items():
        loops = lower_kernel(func)
        if not func.symbols or not distribute(loops, grain=1, shortest=8):
            continue
        shared += 1
        values = {symbol.name: min(7, symbol.high) for symbol in func.symbols}
        rng = np.random.default_rng(0)
        end = func.body.block.last_op
        assert end is not None
        arrays = [
            rng.standard_normal([evaluate(n, values) for n in shape_of(v)]).astype(np.float32)
            for v in (*func.body.block.args, *end.operands)
        ]
        count = len(end.operands)
        instance = KernelInstance(
            ModuleOp([loops]), name, arrays, sizes=[values[s.name] for s in func.symbols]
        )
        instance()
        wanted = [instance.read(i, a) for i, a in enumerate(arrays)][-count:]
        work = evaluate(loops.work_size, values)
        for parts in (2, 5):
            for offset, array in zip(instance.offsets[-count:], arrays[-count:], strict=True):
                instance.write(offset, array)
            for i in range(parts):
                instance((work * i // parts, work * (i + 1) // parts))
            found = [instance.read(i, a) for i, a in enumerate(arrays)][-count:]
            for a, b in zip(found, wanted, strict=True):
                np.testing.assert_array_equal(a, b)
    assert shared >= 3
