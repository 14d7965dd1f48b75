"""Operations and bytes of kernels, against counting by hand."""

from __future__ import annotations

import jsonschema
import numpy as np
import onnx
import pytest

import webdnn
from tests.unit import kernels as k
from webdnn.dialects.kernel import FuncOp
from webdnn.lowering.kernels.cost import KernelCost, kernel_cost
from webdnn.lowering.loops_cpu.lower import SCRATCH_ELEMENTS
from webdnn.lowering.loops_cpu.pack import choose_packings
from webdnn.lowering.packing import pack_operand
from webdnn.manifest import SCHEMA


@pytest.mark.parametrize(
    ("func", "work"),
    [
        # a multiply-add for each term; an addition and a maximum for each result
        (
            k.matmul(3, 5, 7),
            KernelCost(2 * 3 * 5 * 7 + 2 * 3 * 5, 4 * (3 * 7 + 7 * 5 + 5 + 3 * 5)),
        ),
        (
            k.conv([9, 8], 4, 6, [3, 3], epilogue=False),
            KernelCost(2 * 7 * 6 * 6 * 9 * 4, 4 * (9 * 8 * 4 + 9 * 4 * 6 + 7 * 6 * 6)),
        ),
        # a stride of two under a window of one: most of the picture is never read
        (
            k.conv([8, 8], 4, 6, [1, 1], stride=2, epilogue=False),
            KernelCost(2 * 16 * 6 * 4, 4 * (16 * 4 + 4 * 6 + 16 * 6)),
        ),
    ],
)
def test_work(func: FuncOp, work: KernelCost) -> None:
    assert kernel_cost(func, "wasm") == work
    assert work.intensity == work.flops / work.bytes


def test_zeros_behind_packed_weights_are_no_work() -> None:
    func = k.matmul(7, 16, 10)
    before = kernel_cost(func, "wasm")
    (packing,) = choose_packings(func, [1], scratch_elements=SCRATCH_ELEMENTS)
    pack_operand(func, packing)
    assert kernel_cost(func, "wasm") == before


def test_manifest() -> None:
    model = onnx.parser.parse_model(
        """
        <ir_version: 10, opset_import: ["" : 21]>
        gelu (float[2, 3] x, bool[2, 3] c) => (float[2, 3] y) { e = Erf(x) p = Mul(e, x) y = Where(c, p, x) }
        """
    )
    package = webdnn.compile(model)
    jsonschema.validate(package.manifest, SCHEMA)
    for backend, bool_bytes in (("wasm", 1), ("webgpu", 4)):
        (kernel,) = package.manifest["backends"][backend]["kernels"]
        assert kernel["flops"] == 2 * 6
        assert kernel["bytes"] == 2 * 24 + 6 * bool_bytes


def test_winograd_takes_fewer_operations() -> None:
    """Products with the zeros and ones of its matrices are none."""
    model = onnx.parser.parse_model(
        """
        <ir_version: 10, opset_import: ["" : 21]>
        conv (float[1, 64, 32, 32] x) => (float[1, 64, 30, 30] y) { y = Conv(x, w) }
        """
    )
    weight = np.ones((64, 64, 3, 3), np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    counted: dict[bool, int] = {}
    for winograd in (True, False):
        without = () if winograd else ("winograd-convolutions",)
        package = webdnn.compile(model, target="wasm", without=without)
        section = package.manifest["backends"]["wasm"]
        flops = {k["name"]: k["flops"] for k in section["kernels"]}
        launches = section["launches"][section.get("prepare", 0) :]
        counted[winograd] = sum(flops[launch["kernel"]] for launch in launches)
        assert any("winograd" in name for name in flops) == winograd
    assert counted[False] == 2 * 30 * 30 * 64 * 64 * 9
    assert 0.25 < counted[True] / counted[False] < 0.5
