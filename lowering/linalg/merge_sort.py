"""`merge-sort`: `linalg_ext.top_k` for a machine with thousands of threads.

Blocks of keys are sorted by counting, for each key, those that come before it. Then blocks are merged in pairs, and at
most the first K keys of a merged block are kept. Each of its elements finds by itself where it comes from: how many of
those before it are from the left block is a binary search along a diagonal of the table in which all keys of both are
compared ("merge path"). So a step is a generic of independent elements, and there are log2(N) steps.

A row is filled up to whole blocks with the greatest key. What it is filled up with stands behind all keys of the row,
and so never comes before an equal key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects import arith, tensor
from xdsl.dialects.builtin import IndexType, IntegerType, ModuleOp, i32
from xdsl.dialects.linalg import ops as linalg
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.ir.affine import AffineExpr
from xdsl.passes import ModulePass

from webdnn.dialects import kernel
from webdnn.dialects.linalg_ext import TopKOp, ordering_op
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.linalg.region_chain import RegionChain
from webdnn.lowering.nn_to_linalg.region_builder import RegionBuilder, dims, scalar_constant
from webdnn.lowering.value_notation import Value
from webdnn.lowering.weights_function import entry_function

INDEX = IndexType()
BLOCKS = 64, 128, 256
"""How many keys are sorted by comparing each with all."""


@dataclass(frozen=True)
class MergeSort(ModulePass):
    """Regions of `linalg_ext.top_k` become regions of `linalg.generic`s.

    Attributes:
        comparisons: blocks are larger, which saves launches, where their keys are compared no more often than this.
    """

    name = "merge-sort"

    comparisons: int = 1 << 22

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for region in list(entry_function(op).body.block.ops):
            if isinstance(region, kernel.RegionOp):
                found = ordering_op(region.body.block)
                if isinstance(found, TopKOp):
                    rows, count, _ = found.sizes
                    fitting = [n for n in BLOCKS if rows * count * n <= self.comparisons]
                    _sort(region, found, min(max(fitting, default=BLOCKS[0]), count))


class _Code:
    """Appends to the body of a generic."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder

    def add(self, op: Operation) -> SSAValue:
        return self.builder.insert(op).results[0]

    def constant(self, value: int | float, type: Attribute) -> SSAValue:
        return scalar_constant(self.builder, value, type)

    def index(self, dim: int) -> Number:
        """A loop index, as i32."""
        at = self.add(linalg.IndexOp(dim))
        return Value(self, self.add(arith.IndexCastOp(at, i32)))

    def read(self, source: SSAValue, *indices: Number) -> Number:
        """An element at computed indices (i32)."""
        at = [self.add(arith.IndexCastOp(i.ssa, INDEX)) for i in indices]
        return Value(self, self.add(tensor.ExtractOp(source, at, element_of(source))))


Number: TypeAlias = Value[_Code]
Step: TypeAlias = Callable[[_Code, Sequence[Number], Number], Number]
"""What is computed at a point of a generic: from its index and the count that has been found there."""


def _sort(region: kernel.RegionOp, op: TopKOp, block: int) -> None:
    """After each step there are positions and keys of sorted blocks, `[row, block, place]`; of one block no keys."""
    chain = RegionChain(region)
    keys, (_, _, k) = region.ins[0], op.sizes
    ranks = chain.add("rank", [keys], lambda r: _ranks(r, block))
    blocks = chain.add("sort", [keys, *ranks], lambda r: _sorted_blocks(r, min(block, k)))
    while len(blocks) > 1:
        blocks = chain.add("merge", blocks, lambda r: _merged(r, k))
    chain.finish(chain.view(blocks[0], op.res.type))


def _key_at(code: _Code, keys: SSAValue, row: Number, position: Number) -> Number:
    """The key at a position of a row that is filled up with the greatest key."""
    count = shape_of(keys)[1]
    key = code.read(keys, row, position.minimum(count - 1))
    return (position < count).select(key, _greatest(element_of(keys)))


def _greatest(element: Attribute) -> int:
    assert isinstance(element, IntegerType)
    return (1 << element.width.data - 1) - 1


def _count(r: RegionBuilder, shape: Sequence[int], steps: int, step: Step) -> SSAValue:
    """Integers (i32) that begin as 0 and become `step(code, index, count)` in `steps` steps, one after the other; the
    last index is the number of the step."""
    rank = len(shape)
    numbers = r.window([steps], i32)

    def body(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
        code = _Code(b)
        return step(code, [code.index(d) for d in range(rank + 1)], Value(code, args[1])).ssa

    (result,) = r.generic(
        [(numbers, [AffineExpr.dimension(rank)])],
        [(r.fill(0, shape, i32), dims(rank))],
        "p" * rank + "r",
        body,
    )
    return result


def _ranks(r: RegionBuilder, block: int) -> kernel.RegionOp:
    """For each key of each block, `[row, block, place]`, how many keys of its block come before it."""
    (keys,) = r.args
    rows, count = shape_of(keys)

    def step(code: _Code, index: Sequence[Number], before: Number) -> Number:
        row, number, mine, other = index
        mine_key = _key_at(code, keys, row, number * block + mine)
        other_key = _key_at(code, keys, row, number * block + other)
        is_before = (other_key < mine_key) | (other_key.equals(mine_key) & (other < mine))
        return Value(code, code.add(arith.ExtUIOp(is_before.ssa, i32))) + before

    return r.finish(_count(r, [rows, -(-count // block), block], block, step))


def _sorted_blocks(r: RegionBuilder, length: int) -> kernel.RegionOp:
    """The first `length` keys of each block: at each place stands the one that has so many before it."""
    keys, ranks = r.args
    rows, blocks, block = shape_of(ranks)

    def step(code: _Code, index: Sequence[Number], found: Number) -> Number:
        row, number, place, at = index
        is_it = code.read(ranks, row, number, at).equals(place)
        return is_it.select(at, 0) + found

    shape = [rows, blocks, length]
    place_in_block = _count(r, shape, block, step)

    def position(code: _Code, index: Sequence[Number], found: Number) -> Number:
        return index[1] * block + found

    def key(code: _Code, index: Sequence[Number], found: Number) -> Number:
        return _key_at(code, keys, index[0], position(code, index, found))

    return _finish_blocks(r, place_in_block, position, key, element_of(keys))


def _merged(r: RegionBuilder, k: int) -> kernel.RegionOp:
    """Blocks 0 and 1, 2 and 3 ... merged, as far as their first `k` keys; a last one without a partner is filled up."""
    positions, keys = r.args
    rows, blocks, length = shape_of(keys)
    most = _greatest(element_of(keys))
    steps = length.bit_length()

    def left(code: _Code, index: Sequence[Number], at: Number) -> Number:
        return code.read(keys, index[0], index[1] * 2, at.minimum(length - 1).maximum(0))

    def right(code: _Code, index: Sequence[Number], at: Number) -> Number:
        block = index[1] * 2 + 1
        place = at.minimum(length - 1).maximum(0)
        key = code.read(keys, index[0], block.minimum(blocks - 1), place)
        return (block < blocks).select(key, most) if blocks % 2 else key

    def step(code: _Code, index: Sequence[Number], found: Number) -> Number:
        """`found` keys of the left block are among the `place` first ones: is `size` more?"""
        place, number = index[2], index[3]
        size = Value(code, code.constant(1 << steps - 1, i32)) >> number
        wanted = found + size
        others = place - wanted
        fits = (wanted <= length) & (others >= 0)
        is_before = left(code, index, wanted - 1) <= right(code, index, others)
        return (fits & ((others >= length) | is_before)).select(wanted, found)

    shape = [rows, -(-blocks // 2), min(2 * length, k)]
    from_left = _count(r, shape, steps, step)

    def source(code: _Code, index: Sequence[Number], found: Number) -> tuple[Number, ...]:
        others = index[2] - found
        in_left, in_right = left(code, index, found), right(code, index, others)
        is_left = (found < length) & ((others >= length) | (in_left <= in_right))
        return is_left, others, in_left, in_right

    def position(code: _Code, index: Sequence[Number], found: Number) -> Number:
        is_left, others, _, _ = source(code, index, found)
        block = is_left.select(index[1] * 2, (index[1] * 2 + 1).minimum(blocks - 1))
        return code.read(
            positions, index[0], block, is_left.select(found, others.minimum(length - 1))
        )

    def key(code: _Code, index: Sequence[Number], found: Number) -> Number:
        is_left, _, in_left, in_right = source(code, index, found)
        return is_left.select(in_left, in_right)

    return _finish_blocks(r, from_left, position, key, element_of(keys))


def _finish_blocks(
    r: RegionBuilder, found: SSAValue, position: Step, key: Step, element: Attribute
) -> kernel.RegionOp:
    """The region of a step: the positions and, if there are several blocks, the keys that follow from `found`."""
    shape = shape_of(found)

    def elements(step: Step, element: Attribute) -> SSAValue:
        def body(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
            code = _Code(b)
            return step(code, [code.index(d) for d in range(len(shape))], Value(code, args[0])).ssa

        return r.elementwise([found], shape, element, body)

    results = [elements(position, i32)]
    if shape[1] > 1:
        results.append(elements(key, element))
    return r.finish(*results)
