"""The numpy meaning of level `loops`: lanes in lockstep."""

from __future__ import annotations

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser

from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.numpy_meaning import loops as meaning
from webdnn.dialects.numpy_meaning.kernel import run_kernel
from webdnn.dialects.numpy_meaning.lockstep import LoopsError
from webdnn.passes import context


def parse(text: str) -> FuncOp:
    module = Parser(context(), text).parse_module()
    module.verify()
    assert isinstance(module, ModuleOp)
    (func,) = [op for op in module.ops if isinstance(op, FuncOp)]
    return func


def parallel(count: int, body: str, operands: str, outputs: int = 1, size: str = "8xf32") -> str:
    """A kernel whose body runs for `%i` from 0 to `count`."""
    return f"""
    kernel.func @k({operands}, %out: memref<{size}>) attributes {{num_outputs = {outputs} : i64}} {{
      %zero = arith.constant 0 : index
      %one = arith.constant 1 : index
      %two = arith.constant 2 : index
      %n = arith.constant {count} : index
      "scf.parallel"(%zero, %n, %one) <{{operandSegmentSizes = array<i32: 1, 1, 1, 0>}}> ({{
      ^bb0(%i: index):
        {body}
        scf.reduce
      }}) : (index, index, index) -> ()
      kernel.return
    }}"""


@pytest.fixture(params=[3, meaning.LANES])
def lanes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few lanes at a time, and many."""
    monkeypatch.setattr(meaning, "LANES", request.param)


X = np.arange(8, dtype=np.float32)


@pytest.mark.usefixtures("lanes")
def test_lanes_that_disagree_about_a_condition() -> None:
    """Only lanes that take a branch load, store and go out of bounds in it."""
    func = parse(
        parallel(
            8,
            """
        %four = arith.constant 4 : index
        %low = arith.cmpi ult, %i, %four : index
        %v = scf.if %low -> (f32) {
          %j = arith.addi %i, %four : index
          %a = memref.load %x[%j] : memref<8xf32>
          scf.yield %a : f32
        } else {
          %j = arith.subi %i, %four : index
          %a = memref.load %x[%j] : memref<8xf32>
          scf.yield %a : f32
        }
        scf.if %low {
          memref.store %v, %out[%i] : memref<8xf32>
        }""",
            "%x: memref<8xf32>",
        )
    )
    assert run_kernel(func, [X])[0].tolist() == [4, 5, 6, 7, 0, 0, 0, 0]


@pytest.mark.usefixtures("lanes")
def test_loops_whose_bounds_differ_between_lanes() -> None:
    func = parse(
        parallel(
            8,
            """
        %start = arith.constant 0.0 : f32
        %sum = scf.for %j = %zero to %i step %one iter_args(%acc = %start) -> (f32) {
          %a = memref.load %x[%j] : memref<8xf32>
          %s = arith.addf %acc, %a : f32
          scf.yield %s : f32
        }
        memref.store %sum, %out[%i] : memref<8xf32>""",
            "%x: memref<8xf32>",
        )
    )
    assert run_kernel(func, [X])[0].tolist() == [0, 0, 1, 3, 6, 10, 15, 21]


@pytest.mark.usefixtures("lanes")
def test_memory_of_a_lane_seen_by_loops_inside() -> None:
    func = parse(
        parallel(
            4,
            """
        %own = memref.alloca() : memref<2xf32>
        "scf.parallel"(%zero, %two, %one) <{operandSegmentSizes = array<i32: 1, 1, 1, 0>}> ({
        ^bb1(%j: index):
          %r = arith.muli %i, %two : index
          %p = arith.addi %r, %j : index
          %a = memref.load %x[%p] : memref<8xf32>
          memref.store %a, %own[%j] : memref<2xf32>
          scf.reduce
        }) : (index, index, index) -> ()
        %b = memref.load %own[%one] : memref<2xf32>
        %c = memref.load %own[%zero] : memref<2xf32>
        %q = arith.muli %i, %two : index
        %q1 = arith.addi %q, %one : index
        memref.store %b, %out[%q] : memref<8xf32>
        memref.store %c, %out[%q1] : memref<8xf32>""",
            "%x: memref<8xf32>",
        )
    )
    assert run_kernel(func, [X])[0].tolist() == [1, 0, 3, 2, 5, 4, 7, 6]


@pytest.mark.usefixtures("lanes")
def test_vectors() -> None:
    func = parse(
        parallel(
            2,
            """
        %four = arith.constant 4 : index
        %p = arith.muli %i, %four : index
        %v = vector.load %x[%p] : memref<8xf32>, vector<4xf32>
        %s = memref.load %x[%i] : memref<8xf32>
        %b = vector.broadcast %s : f32 to vector<4xf32>
        %f = vector.fma %v, %b, %v : vector<4xf32>
        %e = vector.extract %f[3] : f32 from vector<4xf32>
        %g = vector.insert %e, %f[0] : f32 into vector<4xf32>
        %h = vector.shuffle %g, %v [0, 1, 6, 7] : vector<4xf32>, vector<4xf32>
        %total = vector.reduction <add>, %h : vector<4xf32> into f32
        %k = vector.insert %total, %h[1] : f32 into vector<4xf32>
        vector.store %k, %out[%p] : memref<8xf32>, vector<4xf32>""",
            "%x: memref<8xf32>",
        )
    )
    f = [X[:4], X[4:] * 2]
    wanted = []
    for i in range(2):
        h = [f[i][3], f[i][1], X[4 * i + 2], X[4 * i + 3]]
        wanted += [h[0], sum(h), h[2], h[3]]
    assert run_kernel(func, [X])[0].tolist() == wanted


@pytest.mark.usefixtures("lanes")
def test_workgroups() -> None:
    """Invocations of a workgroup hand values to each other through its memory."""
    func = parse(
        """
    kernel.func @k(%x: memref<8xf32>, %out: memref<8xf32>) attributes {
        num_outputs = 1 : i64,
        grid = [2 : i64, 1 : i64, 1 : i64], workgroup = [4 : i64, 1 : i64, 1 : i64]} {
      %shared = memref.alloca() : memref<4xf32, "workgroup">
      %g = "gpu.block_id"() <{dimension = #gpu<dim x>}> : () -> index
      %t = "gpu.thread_id"() <{dimension = #gpu<dim x>}> : () -> index
      %three = arith.constant 3 : index
      %four = arith.constant 4 : index
      %b = arith.muli %g, %four : index
      %p = arith.addi %b, %t : index
      %a = memref.load %x[%p] : memref<8xf32>
      memref.store %a, %shared[%t] : memref<4xf32, "workgroup">
      "gpu.barrier"() : () -> ()
      %m = arith.subi %three, %t : index
      %c = memref.load %shared[%m] : memref<4xf32, "workgroup">
      memref.store %c, %out[%p] : memref<8xf32>
      kernel.return
    }"""
    )
    assert run_kernel(func, [X])[0].tolist() == [3, 2, 1, 0, 7, 6, 5, 4]


@pytest.mark.parametrize(
    "access", ["memref.load %x[%j] : memref<8xf32>", "memref.load %x[%m] : memref<8xf32>"]
)
def test_access_outside_of_memory_is_an_error(access: str) -> None:
    func = parse(
        parallel(
            8,
            f"""
        %j = arith.addi %i, %one : index
        %m = arith.subi %i, %one : index
        %a = {access}
        memref.store %a, %out[%i] : memref<8xf32>""",
            "%x: memref<8xf32>",
        )
    )
    with pytest.raises(LoopsError, match="leaves a memref of 8"):
        run_kernel(func, [X])
