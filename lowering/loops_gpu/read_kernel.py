"""A `kernel.func` of structured ops on tensors, read as the expression of each output element."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from xdsl.dialects.linalg.attrs import IteratorType
from xdsl.dialects.linalg.ops import GenericOp

from webdnn.dialects.kernel import FuncOp
from webdnn.lowering.kernel_ops import loop_sizes
from webdnn.lowering.loops_common.elements import ElementReader, Position
from webdnn.lowering.loops_common.expression import (
    Accumulator,
    Flattener,
    Load,
    Node,
    Reduced,
    Reduction,
    Store,
    walk,
)
from webdnn.lowering.loops_common.linear import Dim, Lin, address, collapse, row_major


@dataclass
class Output(Store):
    """What is stored for every point of `dims`, over flat memory."""

    dims: tuple[Dim, ...]


def read_kernel(func: FuncOp) -> list[Output]:
    """The outputs of a kernel on level `kernels`, with their loop dims collapsed as far as the accesses allow.

    Outputs share dims where their shapes agree.

    Raises:
        WebDNNError: an op that may not stand in a kernel, or an access that is not understood.
    """
    reader = _Reader(func)
    all_dims = _output_dims([buffer.shape for buffer in reader.outputs])
    outputs: list[Output] = []
    for value, buffer, dims in zip(reader.returned, reader.outputs, all_dims, strict=True):
        index = tuple(Lin.of(dim) for dim in dims)
        outputs.append(Output(buffer, index, reader.element(value, index), dims))
    return _collapsed(outputs)


def _output_dims(shapes: Sequence[tuple[int, ...]]) -> list[tuple[Dim, ...]]:
    """Dims for each output; where an axis has the size of the widest output's axis they are the same."""
    widest = max(shapes, key=len, default=())
    common = [Dim(f"d{i}", size) for i, size in enumerate(widest)]
    return [
        tuple(
            common[i] if common[i].size == size else Dim(f"d{i}", size)
            for i, size in enumerate(shape)
        )
        for shape in shapes
    ]


def _collapsed(outputs: list[Output]) -> list[Output]:
    """The same outputs over flat memory, with adjacent dims made one wherever every access walks them as one."""
    nodes = list(walk([o.value for o in outputs]))
    forms = [form for node in nodes for form in _flat_forms(node)]
    forms += [address(o.index, o.buffer.strides) for o in outputs]
    merged: dict[tuple[Dim, ...], Dim] = {}
    replaced: dict[Dim, Lin] = {}

    def merge(dims: tuple[Dim, ...]) -> tuple[Dim, ...]:
        # Dims that two outputs share fall into the same groups in both: the offset of each output is among the forms.
        result: list[Dim] = []
        for group in collapse(dims, forms):
            key = tuple(group)
            if key not in merged:
                for dim in group:
                    replaced[dim] = Lin()
                size = prod(dim.size for dim in group)
                one = group[0] if len(group) == 1 else Dim("".join(d.name for d in group), size)
                merged[key] = one
                replaced[group[-1]] = Lin.of(one)
            result.append(merged[key])
        return tuple(result)

    new_dims = [merge(o.dims) for o in outputs]
    for node in nodes:
        if isinstance(node, Reduced):
            merge(node.reduction.dims)
    flattener = Flattener(lambda dim: replaced.get(dim, Lin.of(dim)), merge)
    return [
        Output(o.buffer, flattener.index(o.buffer, o.index), flattener.node(o.value), dims)
        for o, dims in zip(outputs, new_dims, strict=True)
    ]


def _flat_forms(node: Node) -> Sequence[Lin]:
    if isinstance(node, Load):
        return [address(node.index, node.buffer.strides)]
    return node.forms()


class _Reader(ElementReader):
    """Reads a kernel whole: nothing but its operands has a place in memory."""

    def __init__(self, func: FuncOp) -> None:
        super().__init__(func)
        self._reductions = 0

    def reduced(self, op: GenericOp, number: int, index: Position) -> Node:
        known = self.loops_at(op, number, index)
        kinds = [attr.data for attr in op.iterator_types]
        if any(
            at is None and t == IteratorType.PARALLEL for at, t in zip(known, kinds, strict=True)
        ):
            self.not_inlined(op.results[number], "lacks a parallel loop")
        key = (op, *known)
        if (results := self._results.get(key)) is None:
            results = self._results[key] = self._reduction(op, known)
        return results[number]

    def _reduction(self, op: GenericOp, known: Sequence[Lin | None]) -> list[Node]:
        dims: list[Dim] = []
        loops: list[Lin] = []
        for at, size in zip(known, loop_sizes(op), strict=True):
            if at is None:
                dims.append(Dim(f"r{self._reductions}_{len(dims)}", size))
                at = Lin.of(dims[-1])
            loops.append(at)
        maps = op.indexing_maps.data[len(op.inputs) :]
        inits = tuple(
            self.element(value, self.at(map.data.results, loops))
            for value, map in zip(op.outputs, maps, strict=True)
        )
        if any(dim.size == 0 for dim in dims):
            return list(inits)
        self._reductions += 1
        accumulators = tuple(Accumulator(node.type, i) for i, node in enumerate(inits))
        updates = self.body(op, loops, accumulators)
        reduction = Reduction(tuple(dims), inits, accumulators, tuple(updates))
        return [Reduced(node.type, reduction, i) for i, node in enumerate(inits)]

    def part_position(self, index: Position, axis: int, shape: Sequence[int]) -> tuple[Lin, int]:
        # Counting the elements of the whole inner part, the axis can collapse with what is inside of it.
        return row_major(index[axis:], shape[axis:]), prod(shape[axis + 1 :])
