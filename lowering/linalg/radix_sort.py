"""`radix-sort`: `linalg_ext.top_k` for a machine with few threads.

The first K keys of a row are selected, then sorted digit by digit. Each step is a loop over a row, and its time depends
on the length of the row alone, whatever the keys. It counts 256 digits, however short the row is; so few of few keys
stay together, and are sorted by insertion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from webdnn.dialects import kernel
from webdnn.dialects.linalg_ext import DIGIT, CountingSortOp, SelectOp, TopKOp, ordering_op
from webdnn.lowering.linalg.region_chain import RegionChain
from webdnn.lowering.weights_function import entry_function


@dataclass(frozen=True)
class RadixSort(ModulePass):
    """Regions of `linalg_ext.top_k` become one of `linalg_ext.select`, if only some keys are wanted, and one of
    `linalg_ext.counting_sort` for each digit. Those stay in which N keys by K results are at most `insertions`."""

    name = "radix-sort"

    insertions: int = 1024

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for region in list(entry_function(op).body.block.ops):
            if isinstance(region, kernel.RegionOp):
                found = ordering_op(region.body.block)
                if isinstance(found, TopKOp) and prod(found.sizes[1:]) > self.insertions:
                    _sort(region, found)


def _sort(region: kernel.RegionOp, op: TopKOp) -> None:
    chain = RegionChain(region)
    keys, (_, count, k) = region.ins[0], op.sizes
    order: Sequence[SSAValue] = ()
    if k < count:
        order = chain.add(
            "select", [keys], lambda r: r.finish(r.builder.insert(SelectOp(r.args[0], k)).res)
        )
    for shift in range(0, op.bits, DIGIT):
        order = chain.add(
            "counting_sort",
            [keys, *order],
            lambda r, shift=shift: r.finish(
                r.builder.insert(CountingSortOp(r.args[0], next(iter(r.args[1:]), None), shift)).res
            ),
        )
    chain.finish(*order)
