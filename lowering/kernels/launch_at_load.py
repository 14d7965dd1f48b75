"""`launch-at-load`: what depends on weights alone is launched once, when the model is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, UnitAttr
from xdsl.passes import ModulePass

from webdnn.dialects import plan
from webdnn.lowering.weights_function import find_function


@dataclass(frozen=True)
class LaunchAtLoad(ModulePass):
    """Marks the launches whose operands are weights, or results of such launches, `at_load`.

    `hoist-weights` has moved to `@weights` what is to be computed when a package is written. A kernel on weights that a
    pass makes after it (a form of them that is larger than what it is made from) stays in the host program, and runs
    in the browser.
    """

    name = "launch-at-load"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        main = find_function(op, plan.ENTRY)
        if main is None:  # kernels on their own
            return
        for launch in main.body.block.ops:
            if isinstance(launch, plan.LaunchOp) and plan.may_run_at_load(launch):
                launch.at_load = UnitAttr()
