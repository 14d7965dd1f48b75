"""Models that are long, wide or deep: the compiler's work grows with them as they do, and results are right."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

import webdnn
import webdnn.compiler
from benchmarks.chains import CHAINS
from tests.conformance.nn_level import run_on_nn
from tests.tolerances import MODEL_TOLERANCE, relative_error
from webdnn.dialects import kernel
from webdnn.dialects.dtypes import Array
from webdnn.kernel_cache import KernelCache
from webdnn.passes import apply_pass
from webdnn.tools.webdnn_opt import main as webdnn_opt

SAMPLE = ("constants", "residual", "slices", "growing", "shared_kernels")
"""What each push tests of `CHAINS`."""
LARGEST_RATIO = 2.4
"""Calls of functions for twice the nodes; of what is quadratic it is nearly 4."""


class _Lowered(Exception):
    """All passes of interest have run."""


def calls(name: str, count: int, target: str, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many functions each pass calls on the way to a planned host program, its kernels aside."""
    total = 0
    found: Counter[str] = Counter()

    def count_call(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal total
        total += event in ("call", "c_call")

    def counted(step: ModulePass, ctx: Context, module: ModuleOp) -> None:
        before = total
        apply_pass(step, ctx, module)
        found[step.name] += total - before

    def stop(stage: str, target: str | None, module: ModuleOp) -> None:
        if stage == "loops":
            raise _Lowered

    with monkeypatch.context() as patches:
        patches.setattr(webdnn.compiler, "apply_pass", counted)
        patches.setattr(
            webdnn.compiler, "compile_kernels", lambda kernels, *_, **__: [None] * len(kernels)
        )
        model = CHAINS[name](count)
        sys.setprofile(count_call)
        try:
            webdnn.compile(model, target=target, hook=stop, cache=KernelCache(enabled=False))
        except _Lowered:
            pass
        finally:
            sys.setprofile(None)
    found["everything"] = total
    return found


def check_linear(name: str, count: int, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls(name, 12, target, monkeypatch)  # what is made once, at first use
    once = calls(name, count, target, monkeypatch)
    twice = calls(name, 2 * count, target, monkeypatch)
    for step, number in twice.items():
        if number > 0.02 * twice["everything"]:
            assert number <= LARGEST_RATIO * once[step], (step, once[step], number)


@pytest.mark.parametrize("name", SAMPLE)
def test_work_grows_as_models_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_linear(name, 100, "wasm", monkeypatch)


@pytest.mark.nightly
@pytest.mark.parametrize("target", ["wasm", "webgpu"])
@pytest.mark.parametrize("name", CHAINS)
def test_all_work_grows_as_models_do(
    name: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # beyond the lengths at which regions and nested parts are cut
    check_linear(name, 12 if name == "nested_ifs" else 400, target, monkeypatch)


def inputs_of(model: onnx.ModelProto) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    return {
        tensor.name: rng.standard_normal(
            [d.dim_value for d in tensor.type.tensor_type.shape.dim]
        ).astype(np.float32)
        for tensor in model.graph.input
    }


def check_values(model: onnx.ModelProto) -> webdnn.Package:
    inputs = inputs_of(model)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (expected,) = session.run(None, inputs)
    package = webdnn.compile(model)
    for engine in ("wasmtime", "wgpu"):
        (result,) = package.run(inputs, engine=engine).values()
        assert relative_error(result, np.asarray(expected)) <= MODEL_TOLERANCE, engine
    return package


@pytest.mark.parametrize("name", ["constants", "residual"])
def test_a_thousand_ops_in_a_row(name: str) -> None:
    package = check_values(CHAINS[name](1000))
    # cut, but not at each op
    assert all(5 <= len(b["launches"]) <= 200 for b in package.manifest["backends"].values())


def test_five_thousand_nodes() -> None:
    check_values(CHAINS["shape_arithmetic"](5000))


@pytest.mark.parametrize("name", ["transposed", "growing", "split", "readers", "loop"])
def test_values_of_other_forms(name: str) -> None:
    check_values(CHAINS[name](90))


@pytest.mark.nightly
@pytest.mark.parametrize("name", [name for name in CHAINS if name not in ("lstm", "nested_ifs")])
def test_five_thousand_nodes_of_all_forms(name: str) -> None:
    check_values(CHAINS[name](5000))


def test_numpy_on_nn() -> None:
    model = CHAINS["residual"](2000)
    inputs = inputs_of(model)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (expected,) = session.run(None, inputs)
    (result,) = run_on_nn(model, [*inputs.values()])
    assert relative_error(np.asarray(result), np.asarray(expected)) <= MODEL_TOLERANCE


def test_text_of_a_long_chain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "chain.mlir"
    lines = [f"  %{i + 1} = nn.sin %{i} : tensor<4xf32> -> tensor<4xf32>\n" for i in range(5000)]
    start = "func.func @main(%0: tensor<4xf32>) -> tensor<4xf32> {\n"
    path.write_text(f"{start}{''.join(lines)}  func.return %5000 : tensor<4xf32>\n}}\n")
    webdnn_opt([str(path)])
    printed = capsys.readouterr().out
    assert printed.count("nn.sin") == 5000
    path.write_text(printed)
    webdnn_opt([str(path)])
    assert capsys.readouterr().out == printed


def test_regions_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads a tensor at two places computes nothing twice: `x = softsign(x + x^T)` has no kernel
    of 2^n of them."""
    sizes: list[int] = []

    def measure(stage: str, target: str | None, module: ModuleOp) -> None:
        if stage == "kernels":
            sizes.extend(sum(1 for _ in f.walk()) for f in kernel.kernels_of(module).values())
            raise _Lowered

    with pytest.raises(_Lowered):
        webdnn.compile(CHAINS["transposed"](60), target="wasm", hook=measure)
    assert max(sizes) < 20
