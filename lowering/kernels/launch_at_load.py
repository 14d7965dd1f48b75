"""`launch-at-load`: what depends on weights alone is launched once, when the model is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp, UnitAttr
from xdsl.passes import ModulePass

from webdnn.dialects import plan
from webdnn.dialects.onnx import states_of
from webdnn.lowering.weights_function import find_function


@dataclass(frozen=True)
class LaunchAtLoad(ModulePass):
    """Marks the launches whose operands are weights, or results of such launches, `at_load`.

    `hoist-weights` has moved to `@weights` what is to be computed when a package is written. A kernel on weights that a
    pass makes after it (a form of them that is larger than what it is made from) stays in the host program, and runs
    in the browser. A state is written by each run, whatever it is computed from.
    """

    name = "launch-at-load"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        main = find_function(op, plan.ENTRY)
        if main is None:  # kernels on their own
            return
        end = main.body.block.last_op
        assert isinstance(end, func.ReturnOp)
        states = {plan.storage_of(end.arguments[output]) for _, output in states_of(main)}
        for launch in main.body.block.ops:
            if (
                isinstance(launch, plan.LaunchOp)
                and plan.may_run_at_load(launch)
                and states.isdisjoint(launch.outs)
            ):
                launch.at_load = UnitAttr()
