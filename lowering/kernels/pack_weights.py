"""`pack-weights`: lay weights out as the kernels of the target read them.

The kernel's operand gets the packed type, and the work goes to `@weights`: a pad, a reshape and a transpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, TensorType, UnitAttr
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects import kernel, plan
from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.plan import storage_of
from webdnn.dialects.sizes.types import shape_of
from webdnn.lowering.kernels.launches import launches_of, weight_operands
from webdnn.lowering.packing import Packing
from webdnn.lowering.target import lowering_target
from webdnn.lowering.weights_function import (
    WeightsFunction,
    drop_unused_weights,
)


@dataclass(frozen=True)
class PackWeights(ModulePass):
    """Packs the operands of kernels that are weights at every launch, where the target finds it worthwhile."""

    name = "pack-weights"

    target: str = "wasm"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = lowering_target(self.target)
        launches = launches_of(op)
        weights = WeightsFunction(op)
        packer = _Packer(weights)
        with weights.together():
            for func in op.ops:
                if not isinstance(func, kernel.FuncOp) or func.is_lowered:
                    continue
                users = launches.get(func.sym_name.data, [])
                for packing in target.pack(func, weight_operands(users)):
                    for user in users:
                        user.operands[packing.operand] = packer.packed(
                            user.arguments[packing.operand], packing, user
                        )
        drop_unused_weights(op)


class _Packer:
    def __init__(self, weights: WeightsFunction) -> None:
        self.weights = weights
        self.done: dict[tuple[int, Packing], int] = {}

    def packed(self, value: SSAValue, packing: Packing, user: Operation) -> SSAValue:
        """The packed form of a weight, as a handle before `user`."""
        handle = storage_of(value).owner
        assert isinstance(handle, plan.WeightOp)
        index = handle.index.value.data
        key = (index, packing)
        if key not in self.done:
            self.done[key] = self._pack(self.weights.results[index], shape_of(value), packing)
        result = self.weights.results[self.done[key]]
        element = handle.res.type
        assert isinstance(element, TensorType)
        new = plan.WeightOp(self.done[key], TensorType(element.element_type, shape_of(result)))
        new.location = handle.location
        Rewriter.insert_op(new, InsertPoint.before(user))
        return new.res

    def _pack(self, source: SSAValue, shape: Sequence[int], packing: Packing) -> int:
        value = source
        if shape_of(value) != tuple(shape):
            value = self._insert(dm.ReshapeOp(value, shape))
        high = [p - n for p, n in zip(packing.padded, packing.shape, strict=True)]
        if any(high):
            value = self._insert(dm.PadOp(value, [0] * len(high), high))
        value = self._insert(dm.ReshapeOp(value, packing.split))
        value = self._insert(dm.TransposeOp(value, packing.permutation))
        assert isinstance(value.owner, Operation)
        value.owner.attributes[plan.PACKED] = UnitAttr()
        (index,) = self.weights.add_results([value])
        return index

    def _insert(self, op: Operation) -> SSAValue:
        self.weights.insert(op)
        return op.results[0]
