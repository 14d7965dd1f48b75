"""`overwrite-operands`: a result lies over an operand that nothing reads later, where each element depends on its like.

A sum with a residual then needs no memory of its own, and what is written is in the cache already.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import DenseArrayBase, IntegerAttr, ModuleOp, i64
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from webdnn.dialects import kernel, plan
from webdnn.dialects.plan import storage_of, whole_of
from webdnn.dialects.sizes.types import shape_of
from webdnn.lowering.kernels.layouts import Layout, Layouts, row_major
from webdnn.lowering.kernels.lifetimes import Lifetime, tensor_lifetimes
from webdnn.lowering.target import LoweringTarget, lowering_target
from webdnn.lowering.weights_function import find_function


@dataclass(frozen=True)
class OverwriteOperands(ModulePass):
    """Writes `over` on launches, and `may_alias` on their kernels, where a result can take the memory of an operand.

    For a target with one linear memory: WebGPU binds no buffer for reading and for writing in one dispatch.
    """

    name = "overwrite-operands"

    target: str = "wasm"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = lowering_target(self.target)
        main = find_function(op, plan.ENTRY)
        if main is None:  # kernels on their own
            return
        kernels = kernel.kernels_of(op)
        block = main.body.block
        alive = {t.value: t for t in tensor_lifetimes(block)}
        layouts = Layouts(block)
        known: dict[str, list[int]] = {}
        step = -1
        for launch in block.ops:
            if not isinstance(launch, plan.LaunchOp) or launch.at_load is not None:
                continue
            step += 1
            if len(launch.outs) != 1:
                continue
            (out,) = launch.outs
            name = launch.kernel.string_value()
            read = Counter(layouts.of(v).root for v in launch.arguments)
            dying = [
                number
                for number, value in enumerate(launch.arguments)
                if read[layouts.of(value).root] == 1
                and _can_take(out, value, layouts.of(value), alive, step, target)
            ]
            if not dying or whole_of(out) is not None:
                continue
            if name not in known:
                known[name] = target.overwritable(kernels[name])
            for number in dying:
                if number in known[name]:
                    launch.over = IntegerAttr(number, i64)
                    root = layouts.of(launch.arguments[number]).root
                    alive[root] = Lifetime(root, alive[root].start, alive.pop(out).end)
                    aliased = {*kernel.may_alias(kernels[name]), number, len(launch.arguments)}
                    kernels[name].attributes[kernel.MAY_ALIAS] = DenseArrayBase.from_list(
                        i64, sorted(aliased)
                    )
                    break


def _can_take(
    out: SSAValue,
    value: SSAValue,
    layout: Layout,
    alive: dict[SSAValue, Lifetime],
    step: int,
    target: LoweringTarget,
) -> bool:
    """Whether the memory of an operand is as large as a result, holds nothing else, and is free after a launch."""
    return (
        out.type == value.type
        and isinstance(storage_of(value).owner, plan.LaunchOp | plan.ConcatOp)
        and layout.root in alive
        and alive[layout.root].end == step
        and target.memory.tensor_bytes(layout.root.type) == target.memory.tensor_bytes(out.type)
        and layout.strides == row_major(shape_of(value))
    )
