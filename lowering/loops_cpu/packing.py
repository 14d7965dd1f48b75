"""How a weight is laid out in panels, and kernels that read it so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import AffineMapAttr, ArrayAttr, FunctionType, TensorType
from xdsl.dialects.linalg.ops import GenericOp
from xdsl.ir import Attribute, SSAValue
from xdsl.ir.affine import AffineExpr, AffineMap
from xdsl.rewriter import Rewriter

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp
from webdnn.lowering.loops_cpu.packed import PAIR


@dataclass(frozen=True)
class Packing:
    """How a weight is laid out: axis `axis` is padded with zeros to a multiple of `block` and cut into
    blocks, whose number is the first axis of the packed weight; the other axes follow in their order, and
    the place in the block is the last axis. Where axis `pairs` is given, it is padded to an even size, its number
    of pairs takes its place among the others, and the place in the pair becomes the last axis, behind the place in
    the block.

    In `nn` ops: `pad(shape -> padded)`, `reshape(-> split)`, `transpose(permutation)`.
    """

    operand: int
    axis: int
    block: int
    shape: tuple[int, ...]
    pairs: int | None = None

    @property
    def _cuts(self) -> dict[int, int]:
        """The axes that are cut, and into pieces of what size."""
        return {self.axis: self.block} | ({} if self.pairs is None else {self.pairs: PAIR})

    @property
    def padded(self) -> tuple[int, ...]:
        """The shape after padding."""
        cuts = self._cuts
        return tuple(-(-n // cuts.get(i, 1)) * cuts.get(i, 1) for i, n in enumerate(self.shape))

    @property
    def split(self) -> tuple[int, ...]:
        """The shape after axes have been cut: the padded weight, reshaped."""
        cuts = self._cuts
        return tuple(
            part
            for i, n in enumerate(self.padded)
            for part in ((n // cuts[i], cuts[i]) if i in cuts else (n,))
        )

    @property
    def permutation(self) -> tuple[int, ...]:
        """The transpose that makes the split weight the packed one."""
        starts = {i: i + sum(cut < i for cut in self._cuts) for i in range(len(self.shape))}
        first = starts[self.axis]
        others = [starts[i] for i in range(len(self.shape)) if i != self.axis]
        places = [first + 1] + ([] if self.pairs is None else [starts[self.pairs] + 1])
        return (first, *others, *places)

    @property
    def packed(self) -> tuple[int, ...]:
        """The shape of the packed weight."""
        return tuple(self.split[i] for i in self.permutation)

    def index(self, index: Sequence[AffineExpr]) -> tuple[AffineExpr, ...]:
        """Where an element of the weight is in the packed one."""
        parts = {i: (index[i] // n, index[i] % n) for i, n in self._cuts.items()}
        outer = [parts[i][0] if i in parts else e for i, e in enumerate(index) if i != self.axis]
        places = [parts[self.axis][1]] + ([] if self.pairs is None else [parts[self.pairs][1]])
        return (parts[self.axis][0], *outer, *places)

    def apply(self, weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The packed weight."""
        pad = [(0, p - n) for n, p in zip(self.shape, self.padded, strict=True)]
        return np.ascontiguousarray(
            np.pad(weight, pad).reshape(self.split).transpose(self.permutation)
        )


def readers_of(func: FuncOp, operand: int) -> list[tuple[GenericOp, int]] | None:
    """The generics that read an operand as an input, and where in their inputs; None if anything else
    reads it."""
    found: list[tuple[GenericOp, int]] = []
    for use in func.body.block.args[operand].uses:
        op = use.operation
        if not isinstance(op, GenericOp) or use.index >= len(op.inputs):
            return None
        found.append((op, use.index))
    return found


def pack_operand(func: FuncOp, packing: Packing) -> None:
    """Make a kernel read an operand in its packed form.

    Raises:
        WebDNNError: the operand is read by something else than a `linalg.generic` as an input.
    """
    readers = readers_of(func, packing.operand)
    if readers is None:
        raise WebDNNError(
            f"operand {packing.operand} of a kernel cannot be packed",
            where=func.sym_name.data,
            why="something else than the input of a linalg.generic reads it",
        )
    argument = func.body.block.args[packing.operand]
    type = argument.type
    assert isinstance(type, TensorType)
    packed = TensorType(cast(Attribute, type.element_type), packing.packed)
    for op, place in readers:
        maps = list(op.indexing_maps)
        old = maps[place].data
        new = AffineMap(old.num_dims, 0, packing.index(old.results))
        maps[place] = AffineMapAttr(new)
        op.properties["indexing_maps"] = ArrayAttr(maps)
    _retype(func, argument, packing.operand, packed)


def _retype(func: FuncOp, argument: SSAValue, number: int, type: Attribute) -> None:
    Rewriter.replace_value_with_new_type(argument, type)
    inputs = list(func.function_type.inputs)
    inputs[number] = type
    func.properties["function_type"] = FunctionType.from_lists(
        inputs, list(func.function_type.outputs)
    )
