"""`fuse-pads`: a contraction or a window reads its padded operand where it lies, with a test at each edge.

On a GPU the test costs less than a launch and a copy in memory. On a CPU it would stand in the innermost loop, so there
the copy is made.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from webdnn.dialects import kernel
from webdnn.lowering.linalg.fuse_regions import merge_regions
from webdnn.lowering.linalg.structure import (
    argument_of,
    generics,
    has_concat,
    is_contraction,
    pointwise_root,
    reads_elements,
)
from webdnn.lowering.uses import only_user
from webdnn.lowering.weights_function import entry_function


@dataclass(frozen=True)
class FusePads(ModulePass):
    """Takes regions that only move elements into the one contraction that reads their result."""

    name = "fuse-pads"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for region in list(entry_function(op).body.block.ops):
            if not isinstance(region, kernel.RegionOp):
                continue
            for operand in region.ins:
                if _should_fuse(operand, region):
                    producer = operand.owner
                    assert isinstance(producer, kernel.RegionOp)
                    merge_regions(producer, region)
                    break


def _should_fuse(value: SSAValue, consumer: kernel.RegionOp) -> bool:
    producer = value.owner
    if not isinstance(producer, kernel.RegionOp) or only_user(value) is not consumer:
        return False
    source = pointwise_root(producer)
    if source is None or source.inputs or not reads_elements(source) or len(producer.ins) != 1:
        return False
    first, *epilogue = generics(consumer) or [None]
    if first is None or len(epilogue) > 1 or has_concat(consumer.body.block):
        return False
    argument = argument_of(value, consumer)
    if argument is None or not is_contraction(first):
        return False
    return only_user(argument) is first and argument in first.inputs
