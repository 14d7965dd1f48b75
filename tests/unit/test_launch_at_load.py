"""Kernels on weights alone: launched once, in every engine, at every stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter
from xdsl.utils.exceptions import VerifyException

import webdnn
from tests.unit.onnx_models import convolution
from tests.unit.test_packages import SCHEMA
from tests.unit.wasm_kernels import parse
from webdnn.dialects import kernel, plan
from webdnn.dialects.nn.base import shape_of
from webdnn.dialects.numpy_meaning.program import run_module
from webdnn.dialects.weight_store import attach_weights
from webdnn.frontends.onnx import load
from webdnn.lowering.kernels.launch_at_load import LaunchAtLoad
from webdnn.lowering.weights_function import entry_function
from webdnn.passes import context
from webdnn.stages import run_stages
from webdnn.targets import TARGETS

TWICE_NEGATED = """
func.func @negation(%w: tensor<3x3x3x4xf32>) -> tensor<3x3x3x4xf32> {
  %r = kernel.region ins(%w : tensor<3x3x3x4xf32>) -> tensor<3x3x3x4xf32> {
  ^bb0(%a: tensor<3x3x3x4xf32>):
    %e = tensor.empty() : tensor<3x3x3x4xf32>
    %n = linalg.generic {
        indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>],
        iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
        ins(%a : tensor<3x3x3x4xf32>) outs(%e : tensor<3x3x3x4xf32>) {
    ^bb1(%x: f32, %y: f32):
      %m = arith.negf %x : f32
      linalg.yield %m : f32
    } -> tensor<3x3x3x4xf32>
    kernel.yield %n : tensor<3x3x3x4xf32>
  }
  func.return %r : tensor<3x3x3x4xf32>
}
"""


@dataclass(frozen=True)
class NegateFiltersTwice(ModulePass):
    """A stage `linalg` that computes on weights: two kernels, so that there is a value between them."""

    name = "negate-filters-twice"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        region = next(o for o in parse(TWICE_NEGATED).walk() if isinstance(o, kernel.RegionOp))
        for weight in list(entry_function(op).walk()):
            if isinstance(weight, plan.WeightOp) and len(shape_of(weight.res)) == 4:
                first = kernel.RegionOp([weight.res], [weight.res.type], region.body.clone())
                second = kernel.RegionOp(first.outs, [weight.res.type], region.body.clone())
                Rewriter.insert_op([first, second], InsertPoint.after(weight))
                for use in [u for u in weight.res.uses if u.operation is not first]:
                    use.operation.operands[use.index] = second.outs[0]


def _inputs() -> dict[str, Any]:
    x = np.random.default_rng(1).standard_normal((1, 3, 6, 5)).astype(np.float32)
    return {"x": x}


SHAPES = {"x": (1, 3, 6, 5)}


def _expected() -> Any:
    return webdnn.compile(convolution(), shapes=SHAPES, target="wasm").run(_inputs())["y"]


def test_packages(tmp_path: Path) -> None:
    package = webdnn.compile(
        convolution(), shapes=SHAPES, passes={"linalg": [NegateFiltersTwice()]}
    )
    jsonschema.validate(package.manifest, SCHEMA)
    wasm, webgpu = (package.manifest["backends"][name] for name in ("wasm", "webgpu"))
    assert wasm["prepare"] == webgpu["prepare"] == 2
    assert wasm["prepared"]["bytes"] >= 4 * 3 * 3 * 3 * 4
    assert [b["kind"] for b in webgpu["buffers"]].count("prepared") == 2
    assert [launch.get("before") for launch in wasm["launches"]][:3] == [1, 1, None]
    assert wasm["launches"][0]["weights"] == 4 * 3 * 3 * 3 * 4
    for engine in ("wasmtime", "wgpu"):
        for _ in range(2):  # the second run finds what the first one read
            np.testing.assert_allclose(
                package.run(_inputs(), engine=engine)["y"], _expected(), rtol=1e-5, atol=1e-6
            )


@pytest.mark.parametrize("target", TARGETS)
def test_numpy_meaning(target: str) -> None:
    imported = load(convolution(), SHAPES)
    module = imported.module
    attach_weights(module, imported.weights)
    run_stages(module, "onnx", "linalg", target)
    NegateFiltersTwice().apply(context(), module)
    for start, stop in (("linalg", "linalg"), ("linalg", "kernels"), ("kernels", "loops")):
        run_stages(module, start, stop, target)
        module.verify()
        results = run_module(module, imported.weights, _inputs())
        np.testing.assert_allclose(results["y"], _expected(), rtol=1e-5, atol=1e-6)


def test_a_launch_of_a_run_stays_one() -> None:
    module = parse(
        """
        func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
          %w = plan.weight 0 : i64 : tensor<4xf32>
          %0 = plan.launch @k(%x, %w) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
          %1 = plan.launch @k(%w, %0) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
          func.return %1 : tensor<4xf32>
        }
        """
    )
    LaunchAtLoad().apply(context(), module)
    assert all(op.at_load is None for op in module.walk() if isinstance(op, plan.LaunchOp))


def test_the_verifier_knows_what_can_be_launched_at_load() -> None:
    with pytest.raises(VerifyException, match="reads weights"):
        parse(
            """
            func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
              %0 = plan.launch @k(%x) {at_load} : (tensor<4xf32>) -> tensor<4xf32>
              func.return %0 : tensor<4xf32>
            }
            """
        )
