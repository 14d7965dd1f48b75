"""Values are used where they are defined: the verifier, and each pass on random graphs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from onnx import ModelProto
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import VerifyException

from tests.unit.random_models import random_model
from tests.unit.test_random_programs import random_program
from webdnn.dialects.dominance import verify_dominance
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.weight_store import attach_weights
from webdnn.frontends.onnx import load
from webdnn.lowering.onnx_to_nn.registry import inlined_operators
from webdnn.lowering.target_wgsl.pipeline import LowerToWGSLPass, wgsl_passes
from webdnn.passes import apply_pass, context
from webdnn.stages import passes_between
from webdnn.targets import TARGETS

FUNCTION = "func.func @f(%c: i1, %a: i32) -> i32 {{ {} }}"

DOMINATED = {
    "the same block": "%x = arith.addi %a, %a : i32 func.return %x : i32",
    "an enclosing block": """
        %x = arith.addi %a, %a : i32
        %y = scf.if %c -> (i32) { scf.yield %x : i32 } else { scf.yield %a : i32 }
        func.return %y : i32""",
    "a block before": """
        %x = arith.addi %a, %a : i32
        cf.cond_br %c, ^left, ^right
      ^left:
        cf.br ^end(%x : i32)
      ^right:
        cf.br ^end(%a : i32)
      ^end(%y: i32):
        %z = arith.addi %x, %y : i32
        func.return %z : i32""",
    "the head of a loop": """
        cf.br ^head(%a : i32)
      ^head(%x: i32):
        %y = arith.addi %x, %a : i32
        cf.cond_br %c, ^body, ^end
      ^body:
        %z = arith.muli %y, %x : i32
        cf.br ^head(%z : i32)
      ^end:
        func.return %y : i32""",
    "a block that is never reached": """
        func.return %a : i32
      ^never:
        %x = arith.addi %y, %y : i32
        %y = arith.addi %x, %x : i32
        func.return %y : i32""",
}

NOT_DOMINATED = {
    "comes later in its block": "%y = arith.addi %x, %a : i32 %x = arith.addi %a, %a : i32 func.return %y : i32",
    "does not dominate its own": """
        cf.cond_br %c, ^left, ^right
      ^left:
        %x = arith.addi %a, %a : i32
        cf.br ^end
      ^right:
        cf.br ^end
      ^end:
        func.return %x : i32""",
}


def _parsed(body: str) -> ModuleOp:
    return Parser(context(), FUNCTION.format(body)).parse_module()


@pytest.mark.parametrize("name", DOMINATED)
def test_dominated(name: str) -> None:
    verify_dominance(_parsed(DOMINATED[name]))


@pytest.mark.parametrize("message", NOT_DOMINATED)
def test_not_dominated(message: str) -> None:
    module = _parsed(NOT_DOMINATED[message])
    module.verify()  # xDSL's verifier does not see it
    with pytest.raises(VerifyException, match=f"uses %x, the result of a arith.addi .*{message}"):
        verify_dominance(module)


def test_values_of_an_inner_block() -> None:
    """What a block defines is not visible behind the op that the block is in."""
    module = _parsed(
        """%y = scf.if %c -> (i32) { %x = arith.addi %a, %a : i32 scf.yield %x : i32 }
           else { scf.yield %a : i32 }
           %z = arith.addi %y, %y : i32 func.return %z : i32"""
    )
    inner, *_ = [op for op in module.walk() if op.name == "arith.addi"]
    *_, outer = [op for op in module.walk() if op.name == "arith.addi"]
    outer.operands[0] = inner.results[0]
    with pytest.raises(VerifyException, match="a block that does not dominate its own"):
        verify_dominance(module)


class _Reverses(ModulePass):
    name = "merge-matmuls"

    def apply(self, ctx: object, op: ModuleOp) -> None:
        *_, last, end = [*op.walk()]
        last.detach()
        assert end.parent is not None
        end.parent.insert_ops_before([last], end.parent.first_op or end)


def test_a_pass_that_breaks_it_is_named() -> None:
    module = _parsed(
        "%x = arith.addi %a, %a : i32 %y = arith.muli %x, %a : i32 func.return %y : i32"
    )
    with pytest.raises(WebDNNError, match="the pass merge-matmuls made a module") as error:
        apply_pass(_Reverses(), context(), module)
    assert "--without merge-matmuls" in str(error.value)


def _all_passes(target: str) -> Sequence[ModulePass]:
    """Every pass to the target, those of WGSL one by one."""
    found: list[ModulePass] = []
    for _, step in passes_between("onnx", "target", target):
        found.extend(wgsl_passes() if isinstance(step, LowerToWGSLPass) else [step])
    return found


def _check(model: ModelProto) -> None:
    for target in TARGETS:
        imported = load(model, inline=inlined_operators())
        attach_weights(imported.module, imported.weights)
        ctx = context()
        for step in _all_passes(target):
            apply_pass(step, ctx, imported.module)
        imported.module.verify()


@pytest.mark.parametrize(
    "seed", [*range(2), *(pytest.param(s, marks=pytest.mark.nightly) for s in range(2, 60))]
)
def test_random_graphs(seed: int) -> None:
    _check(random_model(seed))
    _check(random_program(seed)[0])
