"""`hoist-weights`: move what is computed from weights alone out of the host program into `@weights`."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects import plan
from webdnn.dialects.dtypes import is_splat
from webdnn.dialects.nn.data_movement import ConstantOp, depends_on_sizes
from webdnn.dialects.nn.elementwise import ElementwiseOp
from webdnn.dialects.numpy_meaning.trait import is_nn
from webdnn.lowering.weights_function import WeightsFunction, entry_function


def _is_inlined(constant: ConstantOp, user: Operation) -> bool:
    """Whether `user` takes a constant as a number in its body rather than as an array."""
    return isinstance(user, ElementwiseOp) and is_splat(constant.value)


@dataclass(frozen=True)
class HoistWeights(ModulePass):
    """Every `nn` op that depends on no input of the model moves to `@weights`; `plan.weight` takes its place.

    Splat constants that an elementwise op reads stay: they become numbers in a kernel's body.
    """

    name = "hoist-weights"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        main = entry_function(op)
        block = main.body.block
        static = self._static_ops(list(block.ops))
        weights = WeightsFunction(op)
        needed: dict[SSAValue, list[tuple[Operation, int]]] = {}
        for user in block.ops:
            if user in static:
                continue
            for index, operand in enumerate(user.operands):
                owner = operand.owner
                if not isinstance(owner, Operation) or owner not in static:
                    continue
                if isinstance(owner, ConstantOp) and _is_inlined(owner, user):
                    continue
                needed.setdefault(operand, []).append((user, index))
        clones: dict[SSAValue, SSAValue] = {}
        live = self._live(list(needed))
        for static_op in static:
            if static_op in live:
                weights.insert(static_op.clone(clones))
        indices = weights.add_results([clones[value] for value in needed])
        for (value, uses), index in zip(needed.items(), indices, strict=True):
            handle = plan.WeightOp(index, value.type)
            assert isinstance(value.owner, Operation)
            handle.location = value.owner.location
            Rewriter.insert_op(handle, InsertPoint.before(value.owner))
            for user, position in uses:
                user.operands[position] = handle.res
        for static_op in reversed(list(static)):
            if not any(r.uses for r in static_op.results):
                Rewriter.erase_op(static_op)

    @staticmethod
    def _static_ops(ops: list[Operation]) -> dict[Operation, None]:
        """The ops that depend on no block argument, in order."""
        static: dict[Operation, None] = {}
        for op in ops:
            if isinstance(op, func.ReturnOp | plan.WeightOp) or not is_nn(op):
                continue
            if depends_on_sizes(op):
                continue
            if all(isinstance(v.owner, Operation) and v.owner in static for v in op.operands):
                static[op] = None
        return static

    @staticmethod
    def _live(values: list[SSAValue]) -> set[Operation]:
        live: set[Operation] = set()
        stack = [v.owner for v in values]
        while stack:
            op = stack.pop()
            if isinstance(op, Operation) and op not in live:
                live.add(op)
                stack.extend(v.owner for v in op.operands)
        return live
