"""`fuse-kernel-regions`: greedy fusion of `kernel.region`s, in program order.

A region takes in the region that makes one of its operands when nobody else reads that operand and one of these holds:

- *producer*: the other region is one pointwise generic, and taking it in computes nothing twice;
- *epilogue*: this region is one pointwise generic that reads the operand at its own index, whatever the other one is
  (a contraction, a window, a reduction, a row-wise normalisation).

A region grows up to the bounds of `region_bounds`: a longer chain becomes several regions.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import tensor
from xdsl.dialects.builtin import (
    ArrayAttr,
    FusedLoc,
    LocationAttr,
    ModuleOp,
    NoneAttr,
    StringAttr,
    UnknownLoc,
)
from xdsl.dialects.linalg import ops as linalg
from xdsl.ir import Attribute, Block, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects import kernel
from webdnn.dialects.sizes.questions import is_known
from webdnn.dialects.sizes.types import size_of
from webdnn.lowering.linalg.inline_producers import inline_pointwise_producers, reads_each_once
from webdnn.lowering.linalg.moves import moves_rows
from webdnn.lowering.linalg.region_bounds import fits_one_region
from webdnn.lowering.linalg.structure import (
    argument_of,
    generics,
    has_concat,
    input_maps,
    is_contraction,
    is_identity,
    pointwise_root,
    reads_elements,
)
from webdnn.lowering.linalg.view_propagation import sink_views
from webdnn.lowering.target import memory_of
from webdnn.lowering.uses import only_user
from webdnn.lowering.weights_function import entry_function

_FEW = 64
"""So many elements are made again where they are read rather than loaded."""


@dataclass(frozen=True)
class FuseKernelRegions(ModulePass):
    """See the module's docstring.

    A region has no more operands and results than a kernel of the target may have.
    """

    name = "fuse-kernel-regions"

    target: str = "wasm"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        block = entry_function(op).body.block
        sink_views(block)
        for region in list(block.ops):
            if isinstance(region, kernel.RegionOp):
                self._fuse_into(region)

    def _fuse_into(self, region: kernel.RegionOp) -> None:
        merged = True
        while merged:
            merged = False
            # the latest producer first: the others' results are then ready anyway
            for operand in reversed(region.ins):
                producer = operand.owner
                if isinstance(producer, kernel.RegionOp) and self._should_fuse(
                    producer, region, operand
                ):
                    region = merge_regions(producer, region)
                    merged = True
                    break

    def _should_fuse(
        self, producer: kernel.RegionOp, consumer: kernel.RegionOp, value: SSAValue
    ) -> bool:
        if len(producer.outs) != 1 or only_user(value) is not consumer:
            return False
        if has_concat(producer.body.block) or has_concat(consumer.body.block):
            return False
        buffers = {*producer.ins, *consumer.ins} - {value}
        if not memory_of(self.target).fits_one_kernel([*buffers, *consumer.outs]):
            return False
        if not fits_one_region(producer, consumer):
            return False
        argument = argument_of(value, consumer)
        if argument is None:
            return False
        readers = [use.operation for use in argument.uses]
        if len(readers) == 1 and isinstance(readers[0], tensor.ExtractOp):
            root, user = pointwise_root(producer), pointwise_root(consumer)
            return root is not None and user is not None and moves_rows(root)
        if not all(isinstance(r, linalg.GenericOp) for r in readers):
            return False  # read at computed indices
        root = pointwise_root(consumer)
        if root is not None and self._reads_at_own_index(root, argument):
            return pointwise_root(producer) is not None or self._takes_epilogue(producer)
        return self._takes_producer(producer, consumer, argument)

    @staticmethod
    def _reads_at_own_index(root: linalg.GenericOp, argument: SSAValue) -> bool:
        return all(
            is_identity(m)
            for v, m in zip(root.inputs, input_maps(root), strict=True)
            if v is argument
        )

    @staticmethod
    def _takes_epilogue(producer: kernel.RegionOp) -> bool:
        return bool(generics(producer))

    @staticmethod
    def _takes_producer(
        producer: kernel.RegionOp, consumer: kernel.RegionOp, argument: SSAValue
    ) -> bool:
        source = pointwise_root(producer)
        if source is None:
            return False
        readers = [op for op in generics(consumer) if argument in op.inputs]
        if any(is_contraction(op) for op in readers):
            return False
        if len(readers) > 1:
            # a row-wise group keeps the row: computed once if the shapes agree
            return len(generics(consumer)) > 1 and not reads_elements(source)
        (reader,) = readers
        if reads_each_once(reader, argument):
            return True
        # a broadcast read: only what costs no more to make than to load again
        return (
            len(source.body.block.ops) <= 2
            and is_known(size_of(argument), lambda size: size <= _FEW)
            and not reads_elements(source)
        )


def merge_regions(
    producer: kernel.RegionOp, consumer: kernel.RegionOp, *, inline: bool = True
) -> kernel.RegionOp:
    """One region that does what both do; erases both. `producer`'s only result is used by `consumer` alone.

    With `inline`, pointwise generics become part of those that read them.
    """
    (value,) = producer.outs
    operands = list(dict.fromkeys([*producer.ins, *(v for v in consumer.ins if v is not value)]))
    block = Block(arg_types=[v.type for v in operands])
    values: dict[SSAValue, SSAValue] = dict(zip(operands, block.args, strict=True))
    for region in (producer, consumer):
        for inner, outer in zip(region.body.block.args, region.ins, strict=True):
            inner.replace_all_uses_with(values[outer])
        for op in list(region.body.block.ops):
            if isinstance(op, kernel.YieldOp) and region is producer:
                (values[value],) = op.arguments
                Rewriter.erase_op(op)
                continue
            op.detach()
            block.add_op(op)
    merged = kernel.RegionOp(operands, [r.type for r in consumer.outs], Region(block))
    merged.location = fuse_locations(producer.location, consumer.location)
    merged.attributes[kernel.HINT] = StringAttr(f"{_hint(producer)}_{_hint(consumer)}")
    if inline:
        inline_pointwise_producers(block)
    Rewriter.insert_op(merged, InsertPoint.before(consumer))
    for old, new in zip(consumer.outs, merged.outs, strict=True):
        new.name_hint = old.name_hint
        old.replace_all_uses_with(new)
    Rewriter.erase_op(consumer)
    Rewriter.erase_op(producer)
    return merged


def _hint(region: kernel.RegionOp) -> str:
    hint = region.attributes.get(kernel.HINT)
    return hint.data if isinstance(hint, StringAttr) else "region"


def fuse_locations(*locations: LocationAttr) -> LocationAttr:
    """The locations of ops that became one, without duplicates."""
    parts: dict[LocationAttr, None] = {}
    for location in locations:
        inner = [location]
        if isinstance(location, FusedLoc) and isinstance(location.locations, ArrayAttr):
            inner = [loc for loc in location.locations.data if isinstance(loc, LocationAttr)]
        parts.update((p, None) for p in inner if not isinstance(p, UnknownLoc))
    if not parts:
        return UnknownLoc()
    first, *others = parts
    return FusedLoc(ArrayAttr[Attribute](parts), NoneAttr()) if others else first
