"""`split-reductions`: few long reductions become many short ones, whose results are then combined.

One row occupies one workgroup of a GPU, or one thread of a CPU, however long it is. Its parts occupy all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects import arith, tensor
from xdsl.dialects.builtin import (
    AnyFloat,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    ModuleOp,
    StringAttr,
    i32,
)
from xdsl.dialects.linalg import ops as linalg
from xdsl.ir import Operation, SSAValue
from xdsl.ir.affine import AffineExpr, AffineMap
from xdsl.passes import ModulePass

from webdnn.dialects import kernel
from webdnn.dialects.numpy_meaning.linalg import values_from_outside
from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.combining_ops import COMBINING
from webdnn.lowering.kernel_ops import loop_sizes
from webdnn.lowering.linalg.inline_producers import inline_body, inline_pointwise_producers
from webdnn.lowering.linalg.region_chain import RegionChain
from webdnn.lowering.linalg.structure import (
    dims_of,
    generics,
    has_concat,
    input_maps,
    iterator_letters,
    output_maps,
)
from webdnn.lowering.nn_to_linalg.region_builder import RegionBuilder, dims
from webdnn.lowering.weights_function import entry_function

_ALIGNED = 16
"""Parts begin at multiples of this many elements, so that all can be read as vectors."""


@dataclass(frozen=True)
class SplitReductions(ModulePass):
    """See the module's docstring.

    Attributes:
        parts: into how many parts all rows of a reduction together are cut at most.
        least: how many elements a part has at the least.
        least_wide: the same where results have 64 bits: one invocation of a GPU combines all elements of such a part.
        worth: what would be less than so many parts a row stays whole.
    """

    name = "split-reductions"

    parts: int = 256
    least: int = 1024
    least_wide: int = 64
    worth: int = 16

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for region in list(entry_function(op).body.block.ops):
            if not isinstance(region, kernel.RegionOp) or has_concat(region.body.block):
                continue
            found = [cut for g in generics(region) if (cut := self._cut(g)) is not None]
            if found:
                _split(region, found)

    def _cut(self, op: linalg.GenericOp) -> _Cut | None:
        letters, sizes = iterator_letters(op), loop_sizes(op)
        reduced = [d for d, letter in enumerate(letters) if letter == "r"]
        if not reduced or 0 in sizes or not _reads_all(op) or not _is_associative(op):
            return None
        if any(map(is_symbolic, sizes)):
            return None
        total = prod(sizes[d] for d in reduced)
        rows = prod(sizes) // total
        least = self.least if all(_is_word(v) for v in op.results) else self.least_wide
        parts = min(self.parts // rows, total // least)
        if parts < self.worth:
            return None
        long = [d for d in reduced if sizes[d] >= parts]
        dim = long[0] if long else max(reduced, key=lambda d: sizes[d])
        size = sizes[dim] // min(parts, sizes[dim])
        if dim == reduced[-1] and size > _ALIGNED:
            size -= size % _ALIGNED
        return _Cut(op, dim, size, *divmod(sizes[dim], size))


@dataclass
class _Cut:
    """A generic whose dimension `dim` is cut into `count` parts of `size` elements; `rest` elements are left."""

    op: linalg.GenericOp
    dim: int
    size: int
    count: int
    rest: int


def _reads_all(op: linalg.GenericOp) -> bool:
    """Whether each point reads an element of its own: in a product or a window several share one."""
    if any(isinstance(value.owner, tensor.EmptyOp) for value in op.inputs):
        return False
    return any(
        len({d for e in m.results for d in dims_of(e)}) == m.num_dims for m in input_maps(op)
    )


def _is_word(value: SSAValue) -> bool:
    element = element_of(value)
    return not isinstance(element, AnyFloat | IntegerType) or element.bitwidth <= 32


def _combining(op: linalg.GenericOp) -> list[Operation] | None:
    """For each result the op of the body that combines its accumulator with a value."""
    end = op.body.block.last_op
    assert end is not None
    found: list[Operation] = []
    for value, acc in zip(end.operands, op.body.block.args[len(op.inputs) :], strict=True):
        last = value.owner
        if not isinstance(last, Operation) or type(last) not in COMBINING:
            return None
        if len(list(acc.uses)) != 1 or acc not in last.operands or len(list(value.uses)) != 1:
            return None
        found.append(last)
    return found


def _is_associative(op: linalg.GenericOp) -> bool:
    """Whether what parts give can be combined to what the whole gives; 16-bit floats would be rounded once more."""
    combining = _combining(op)
    if combining is None:
        return False
    for last, init in zip(combining, op.outputs, strict=True):
        value = _initial(init)
        _, neutral = COMBINING[type(last)]
        if value is None or (neutral is not None and value != neutral):
            return False
        element = element_of(init)
        if neutral is not None and isinstance(element, AnyFloat) and element.bitwidth < 32:
            return False
    return True


def _initial(value: SSAValue) -> int | float | None:
    """The number that all elements are, where they are one."""
    fill = value.owner
    scalar = fill.inputs[0].owner if isinstance(fill, linalg.FillOp) else None
    if isinstance(scalar, arith.ConstantOp) and isinstance(scalar.value, IntegerAttr | FloatAttr):
        return scalar.value.value.data
    return None


def _split(region: kernel.RegionOp, cuts: Sequence[_Cut]) -> None:
    """Regions of the parts of each reduction, then of what is made of them."""
    chain, pieces = RegionChain(region), _Pieces(region)
    hint = region.attributes.get(kernel.HINT)
    name = hint.data if isinstance(hint, StringAttr) else "region"
    for cut in cuts:
        r, values = pieces.start(_read_by(cut.op))
        made = r.finish(*_parts(r, values, cut))
        inline_pointwise_producers(made.body.block)
        pieces.parts[cut.op] = cut, chain.insert(f"part_{name}", made)
        if cut is not cuts[-1]:
            r, values = pieces.start(cut.op.results)
            made = r.finish(*(values[v] for v in cut.op.results))
            pieces.known.update(
                zip(cut.op.results, chain.insert(f"join_{name}", made), strict=True)
            )
    end = region.body.block.last_op
    assert end is not None
    missing = [v for v in dict.fromkeys(end.operands) if v not in pieces.known]
    r, values = pieces.start(missing)
    made = r.finish(*(values[v] for v in missing))
    inline_pointwise_producers(made.body.block)
    pieces.known.update(zip(missing, chain.insert(f"join_{name}", made), strict=True))
    chain.finish(*(pieces.known[v] for v in end.operands))


def _read_by(op: linalg.GenericOp) -> list[SSAValue]:
    """What a generic reads, without its initial values."""
    return [*op.inputs, *values_from_outside(op)]


class _Pieces:
    """Computes values of a region in new ones.

    Attributes:
        known: values of the region that stand outside of it by now.
        parts: the reductions of which the parts stand there.
    """

    def __init__(self, region: kernel.RegionOp) -> None:
        self.block = region.body.block
        self.known: dict[SSAValue, SSAValue] = dict(zip(self.block.args, region.ins, strict=True))
        self.parts: dict[Operation, tuple[_Cut, Sequence[SSAValue]]] = {}

    def start(self, wanted: Sequence[SSAValue]) -> tuple[RegionBuilder, dict[SSAValue, SSAValue]]:
        """A region in which these values are computed, not yet finished, and what stands for each value in it."""
        needed: set[Operation] = set()
        leaves: dict[SSAValue, SSAValue] = {}
        stack = list(wanted)
        while stack:
            value = stack.pop()
            if (outside := self.known.get(value)) is not None:
                leaves[value] = outside
                continue
            op = value.owner
            assert isinstance(op, Operation)
            if op in needed:
                continue
            needed.add(op)
            if op not in self.parts:
                stack += [*op.operands, *values_from_outside(op)]
                continue
            cut, parts = self.parts[op]
            leaves.update(zip(parts, parts, strict=True))
            stack += _read_by(cut.op) if cut.rest else []
        operands = list(dict.fromkeys(leaves.values()))
        r = RegionBuilder(operands)
        argument = dict(zip(operands, r.args, strict=True))
        values = {value: argument[outside] for value, outside in leaves.items()}
        for op in self.block.ops:
            if op not in needed:
                continue
            if op in self.parts:
                cut, parts = self.parts[op]
                results = _joined(r, values, cut, [values[p] for p in parts])
            else:
                results = r.builder.insert(op.clone(values)).results
            values.update(zip(op.results, results, strict=True))
        return r, values


def _parts(r: RegionBuilder, values: Mapping[SSAValue, SSAValue], cut: _Cut) -> list[SSAValue]:
    """The reductions of the parts: one dimension more, behind those of the results."""
    letters = iterator_letters(cut.op)
    part = AffineExpr.dimension(len(letters))
    place = part * cut.size + AffineExpr.dimension(cut.dim)
    return _reduction(r, values, cut, place, cut.size, [(part, cut.count)])


def _reduction(
    r: RegionBuilder,
    values: Mapping[SSAValue, SSAValue],
    cut: _Cut,
    place: AffineExpr,
    size: int,
    parts: Sequence[tuple[AffineExpr, int]],
) -> list[SSAValue]:
    """The reduction over `size` elements of the dimension that is cut, those at `place`, for each of the `parts`."""
    op, letters = cut.op, iterator_letters(cut.op) + "p" * len(parts)
    loops = [place if d == cut.dim else AffineExpr.dimension(d) for d in range(len(letters))]

    def at(map: AffineMap) -> list[AffineExpr]:
        return [e.replace_dims_and_symbols(loops, []) for e in map.results]

    inputs = [(values[v], at(m)) for v, m in zip(op.inputs, input_maps(op), strict=True)]
    window = r.window([size], i32), [AffineExpr.dimension(cut.dim)]
    outputs: list[tuple[SSAValue, list[AffineExpr]]] = []
    for init, map in zip(op.outputs, output_maps(op), strict=True):
        shape = [*shape_of(init), *(count for _, count in parts)]
        outputs.append((_filled(r, init, shape), [*at(map), *(e for e, _ in parts)]))

    def body(b: Builder, args: Sequence[SSAValue]) -> list[SSAValue]:
        elements = [*args[: len(inputs)], *args[len(inputs) + 1 :]]
        return inline_body(b, op.body.block, elements, loops, values)

    return r.generic([*inputs, window], outputs, letters, body)


def _filled(r: RegionBuilder, init: SSAValue, shape: Sequence[int]) -> SSAValue:
    number = _initial(init)
    assert number is not None
    return r.fill(number, shape, element_of(init))


def _joined(
    r: RegionBuilder,
    values: Mapping[SSAValue, SSAValue],
    cut: _Cut,
    parts: Sequence[SSAValue],
) -> list[SSAValue]:
    """The results of the whole reduction, from those of its parts and the elements that are left."""
    combining = _combining(cut.op)
    assert combining is not None
    results: list[SSAValue] = []
    for last, part, init in zip(combining, parts, cut.op.outputs, strict=True):
        shape = shape_of(init)
        rank = len(shape)
        results += r.generic(
            [(part, dims(rank + 1))],
            [(_filled(r, init, shape), dims(rank))],
            "p" * rank + "r",
            lambda b, args, op=last: _combine(b, op, args[0], args[1]),
        )
    if not cut.rest:
        return results
    place = AffineExpr.dimension(cut.dim) + cut.size * cut.count
    rest = _reduction(r, values, cut, place, cut.rest, [])
    return [
        r.elementwise(
            [whole, more],
            shape_of(whole),
            element_of(whole),
            lambda b, args, op=last: _combine(b, op, args[0], args[1]),
        )
        for last, whole, more in zip(combining, results, rest, strict=True)
    ]


def _combine(b: Builder, op: Operation, x: SSAValue, acc: SSAValue) -> SSAValue:
    """As an op of a reduction combines an element with an accumulator."""
    return b.insert(
        type(op).create(operands=[x, acc], result_types=[acc.type], properties=dict(op.properties))
    ).results[0]
