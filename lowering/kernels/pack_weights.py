"""`pack-weights`: lay weights out as the micro-kernels of the CPU read them.

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
from webdnn.dialects.nn.base import shape_of
from webdnn.dialects.plan import storage_of
from webdnn.lowering.loops_cpu.lower import SCRATCH_ELEMENTS
from webdnn.lowering.loops_cpu.pack import choose_packings, panels_attr
from webdnn.lowering.loops_cpu.packing import Packing, pack_operand
from webdnn.lowering.weights_function import (
    WeightsFunction,
    drop_unused_weights,
    entry_function,
)


@dataclass(frozen=True)
class PackWeights(ModulePass):
    """Packs the operands of kernels that are weights at every launch, where the CPU lowering finds it worthwhile."""

    name = "pack-weights"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        launches = launches_of(op)
        packer = _Packer(WeightsFunction(op))
        for func in op.ops:
            if not isinstance(func, kernel.FuncOp) or func.is_lowered:
                continue
            users = launches.get(func.sym_name.data, [])
            packings = choose_packings(
                func, weight_operands(users), scratch_elements=SCRATCH_ELEMENTS
            )
            if packings:
                func.attributes[kernel.PANELS] = panels_attr(func, packings)
            for packing in packings:
                pack_operand(func, packing)
                for user in users:
                    user.operands[packing.operand] = packer.packed(
                        user.arguments[packing.operand], packing, user
                    )
        drop_unused_weights(op)


def launches_of(module: ModuleOp) -> dict[str, list[plan.LaunchOp]]:
    """The launches of each kernel, by the kernel's name."""
    launches: dict[str, list[plan.LaunchOp]] = {}
    for launch in entry_function(module).body.block.ops:
        if isinstance(launch, plan.LaunchOp):
            launches.setdefault(launch.kernel.string_value(), []).append(launch)
    return launches


def weight_operands(users: Sequence[plan.LaunchOp]) -> list[int]:
    """The numbers of a kernel's operands that are weights at each of its launches."""
    if not users:
        return []
    return [
        index
        for index in range(len(users[0].arguments))
        if all(is_weight(user.arguments[index]) for user in users)
    ]


def is_weight(value: SSAValue) -> bool:
    """Whether a value of the host program is a weight, or a view of one."""
    return isinstance(storage_of(value).owner, plan.WeightOp)


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
