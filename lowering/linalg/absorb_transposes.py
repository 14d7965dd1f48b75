"""`absorb-transposes`: transposes and slices that keep rows whole cost a CPU nothing, as other strides of an operand.

A product reads what such a region moves where it lies, and what such a region does to the result of a product is done
as the product is stored. The last dimension stays the last one, so vectors are loaded and stored as before.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.linalg import ops as linalg
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from webdnn.dialects import kernel
from webdnn.dialects.sizes.types import size_of
from webdnn.lowering.linalg.fuse_regions import merge_regions
from webdnn.lowering.linalg.moves import moves_rows
from webdnn.lowering.linalg.structure import (
    argument_of,
    generics,
    has_concat,
    is_contraction,
    pointwise_root,
)
from webdnn.lowering.uses import only_user
from webdnn.lowering.weights_function import entry_function


@dataclass(frozen=True)
class AbsorbTransposes(ModulePass):
    """See the module's docstring."""

    name = "absorb-transposes"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for region in list(entry_function(op).body.block.ops):
            if not isinstance(region, kernel.RegionOp):
                continue
            for operand in region.ins:
                producer = operand.owner
                if (
                    isinstance(producer, kernel.RegionOp)
                    and len(producer.outs) == 1
                    and only_user(operand) is region
                    and (
                        (_moves_rows(producer) and _is_factor(operand, region))
                        or (_moves_rows(region) and _stores_all(operand, region, producer))
                    )
                ):
                    region = merge_regions(producer, region)


def _moves_rows(region: kernel.RegionOp) -> bool:
    """Whether a region only moves elements, and those along the last dimension together."""
    root = pointwise_root(region)
    return root is not None and len(region.ins) == 1 and moves_rows(root)


def _is_factor(value: SSAValue, region: kernel.RegionOp) -> bool:
    """Whether only products read an operand of a region, and nothing that they compute first depends on it."""
    argument = argument_of(value, region)
    if argument is None or has_concat(region.body.block):
        return False
    readers = [use.operation for use in argument.uses]
    return bool(readers) and all(
        isinstance(r, linalg.GenericOp) and is_contraction(r) and argument in r.inputs
        for r in readers
    )


def _stores_all(value: SSAValue, region: kernel.RegionOp, producer: kernel.RegionOp) -> bool:
    """Whether all of what a product gives, or what is computed from its elements, is moved by `region`."""
    if has_concat(producer.body.block) or size_of(value) != size_of(region.outs[0]):
        return False
    return any(is_contraction(op) for op in generics(producer)[-2:])
