"""Attention over long rows of scores: blocks of keys on their own, then their results weighed.

A block keeps the maximum of its scores, the sum of their exponentials and the product of these with the values, for
each query. Blocks are the outermost loop, so that their keys and values stay in a near cache while all queries pass
(Dao et al., "Flash-Decoding for long-context inference", 2023). What is kept of a block is as small as the result, so
no tensor of all scores exists, however long rows are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from xdsl.builder import Builder
from xdsl.dialects import arith, math, tensor
from xdsl.dialects.builtin import FloatAttr, StringAttr
from xdsl.dialects.linalg import ops as linalg
from xdsl.dialects.utils.fast_math import FastMathFlag
from xdsl.ir import Operation, SSAValue
from xdsl.ir.affine import AffineDimExpr, AffineExpr
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects import kernel
from webdnn.dialects.dtypes import numpy_dtype
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.linalg.inline_producers import inline_body, remove_dead_ops
from webdnn.lowering.linalg.structure import (
    dims_of,
    generics,
    input_maps,
    is_contraction,
    iterator_letters,
    output_maps,
)
from webdnn.lowering.nn_to_linalg.region_builder import RegionBuilder, dims


@dataclass
class _Attention:
    """The generics of a region by what they do along the keys."""

    keys: dict[linalg.GenericOp, int] = field(default_factory=dict[linalg.GenericOp, int])
    maximum: linalg.GenericOp | None = None
    total: linalg.GenericOp | None = None
    product: linalg.GenericOp | None = None

    @property
    def kept(self) -> list[linalg.GenericOp]:
        """What is kept of a block of keys: maximum, sum, product."""
        assert self.maximum is not None and self.total is not None and self.product is not None
        return [self.maximum, self.total, self.product]


@dataclass(frozen=True)
class _Part:
    """`count` blocks of `size` keys each, from key `start` on."""

    start: int
    count: int
    size: int


def split_keys(region: kernel.RegionOp, block: int) -> bool:
    """Rewrite a region of attention as regions that keep rows of about `block` scores; whether it could be done."""
    found = _read(region)
    if found is None:
        return False
    keys = shape_of(found.kept[2].inputs[0])[-1]
    size = -(-keys // -(-keys // block))
    size = -(-size // 8) * 8 if keys % size else size
    parts = [_Part(0, keys // size, size)]
    if rest := keys % size:
        parts.append(_Part(keys - rest, 1, rest))
    blocks = [_block(region, found, part) for part in parts]
    joined = _joined(region, found, blocks)
    hint = region.attributes[kernel.HINT]
    assert isinstance(hint, StringAttr)
    for new in (*blocks, joined):
        new.location = region.location
        new.attributes[kernel.HINT] = hint
    joined.attributes[kernel.HINT] = StringAttr("join_" + hint.data)
    Rewriter.insert_op([*blocks, joined], InsertPoint.before(region))
    for old, new in zip(region.outs, joined.outs, strict=True):
        new.name_hint = old.name_hint
        old.replace_all_uses_with(new)
    Rewriter.erase_op(region)
    return True


def _read(region: kernel.RegionOp) -> _Attention | None:
    """The loop over the keys of each generic that has one; None for what is not understood."""
    found = _Attention()
    along: dict[SSAValue, bool] = {}
    for op in generics(region):
        if len(op.res) != 1 or any(isinstance(v.owner, tensor.EmptyOp) for v in op.inputs):
            return None
        if any(isinstance(o, tensor.ExtractOp) and o.tensor in along for o in op.body.block.ops):
            return None
        (out,) = output_maps(op)
        at = [
            m.results[-1]
            for v, m in zip(op.inputs, input_maps(op), strict=True)
            if along.get(v, False)
        ]
        if not found.keys:
            if not is_contraction(op):
                return None
            at = [out.results[-1]]
        if not at:
            if not any(v in along for v in op.inputs):
                return None
            along[op.res[0]] = False
            continue
        key = at[0]
        if not isinstance(key, AffineDimExpr) or any(e != key for e in at):
            return None
        d = key.position
        found.keys[op] = d
        along[op.res[0]] = iterator_letters(op)[d] == "p"
        if along[op.res[0]]:
            if out.results[-1] != key or any(d in dims_of(e) for e in out.results[:-1]):
                return None
        elif not _note(found, op):
            return None
    if found.maximum is None or found.total is None or found.product is None:
        return None
    return found if _is_separable(found) else None


def _note(found: _Attention, op: linalg.GenericOp) -> bool:
    """Record a reduction over the keys; False where it is none of attention's."""
    end = op.body.block.last_op
    assert isinstance(end, linalg.YieldOp)
    last = end.operands[0].owner
    if isinstance(last, arith.MaximumfOp) and found.maximum is None:
        found.maximum = op
    elif isinstance(last, arith.AddfOp) and is_contraction(op) and found.product is None:
        found.product = op
    elif isinstance(last, arith.AddfOp) and not is_contraction(op) and found.total is None:
        found.total = op
    else:
        return False
    return True


def _is_separable(found: _Attention) -> bool:
    """Whether what follows reads sums and products alone, each row's statistics at the row's own place."""
    maximum, total, product = found.kept
    exponentials = product.inputs[0]
    if exponentials.owner not in list(found.keys):
        return False
    rows = dims(len(shape_of(exponentials)) - 1)
    if any(list(output_maps(op)[0].results) != rows for op in (maximum, total)):
        return False
    inside = [op.res[0] for op in found.keys if op is not total and op is not product]
    return all(use.operation in list(found.keys) for value in inside for use in value.uses)


def _arguments(region: kernel.RegionOp, ops: Sequence[Operation]) -> list[int]:
    """The numbers of the region's arguments that some of its ops read."""
    read = {v for op in ops for inner in op.walk() for v in inner.operands}
    return [i for i, a in enumerate(region.body.block.args) if a in read]


def _start(
    region: kernel.RegionOp, args: Sequence[int], more: Sequence[SSAValue] = ()
) -> tuple[RegionBuilder, dict[SSAValue, SSAValue]]:
    """A builder of a region that reads these of the operands of `region`, and more, with its constants."""
    r = RegionBuilder([*(region.ins[i] for i in args), *more])
    values: dict[SSAValue, SSAValue] = {
        region.body.block.args[i]: a for i, a in zip(args, r.args, strict=False)
    }
    for op in region.body.block.ops:
        if isinstance(op, arith.ConstantOp):
            r.builder.insert(op.clone(values))
    return r, values


def _block(region: kernel.RegionOp, found: _Attention, part: _Part) -> kernel.RegionOp:
    """Maximum, sum and product of each block of a part, the blocks along a new first dimension."""
    r, values = _start(region, _arguments(region, list(found.keys)))
    for op, key in found.keys.items():
        values[op.res[0]] = _clone(r, op, key, part, values, found)
    block = r.finish(*(values[op.res[0]] for op in found.kept))
    remove_dead_ops(block.body.block)
    return block


def _clone(
    r: RegionBuilder,
    op: linalg.GenericOp,
    key: int,
    part: _Part,
    values: dict[SSAValue, SSAValue],
    found: _Attention,
) -> SSAValue:
    rank = len(op.iterator_types)
    inside = [AffineExpr.dimension(d + 1) for d in range(rank)]
    whole = list(inside)
    whole[key] = AffineExpr.dimension(0) * part.size + inside[key] + part.start
    inputs: list[tuple[SSAValue, Sequence[AffineExpr]]] = []
    for value, map in zip(op.inputs, input_maps(op), strict=True):
        is_inside = value.owner in found.keys
        exprs = [
            e.replace_dims_and_symbols(inside if is_inside else whole, []) for e in map.results
        ]
        inputs.append((values[value], [AffineExpr.dimension(0), *exprs] if is_inside else exprs))
    (out,) = output_maps(op)
    element = element_of(op.res[0])
    shape = [part.count, *shape_of(op.res[0])]
    if iterator_letters(op)[key] == "p":
        shape[-1] = part.size
    init = op.outputs[0].owner
    if isinstance(init, linalg.FillOp):
        value = init.inputs[0].owner
        assert isinstance(value, arith.ConstantOp) and isinstance(value.value, FloatAttr)
        # a block of keys that are all masked by -inf must not become a NaN beside others
        least = float(np.finfo(numpy_dtype(element)).min)
        start = least if op is found.maximum else value.value.value.data
        empty = r.fill(start, shape, element)
    else:
        empty = r.empty(shape, element)
    exprs = [e.replace_dims_and_symbols(inside, []) for e in out.results]
    return r.generic(
        inputs,
        [(empty, [AffineExpr.dimension(0), *exprs])],
        "p" + iterator_letters(op),
        lambda b, args: inline_body(b, op.body.block, args, whole, values),
    )[0]


def _joined(
    region: kernel.RegionOp, found: _Attention, blocks: Sequence[kernel.RegionOp]
) -> kernel.RegionOp:
    """What the region gives, from what is kept of each block."""
    tail = [op for op in generics(region) if op not in found.keys]
    end = region.body.block.last_op
    assert isinstance(end, kernel.YieldOp)
    arguments = _arguments(region, [*tail, end])
    r, values = _start(region, arguments, [v for block in blocks for v in block.outs])
    kept = r.args[len(arguments) :]
    maxima, totals, products = kept[::3], kept[1::3], kept[2::3]
    rows = shape_of(maxima[0])[1:]
    greatest = _reduced(r, "max", [([(m, _blocked(len(rows)))], rows) for m in maxima])
    weights = [_weights(r, m, greatest) for m in maxima]
    maximum, total, product = found.kept
    values[maximum.res[0]] = greatest
    values[total.res[0]] = _reduced(
        r,
        "sum",
        [
            ([(t, _blocked(len(rows))), (w, _blocked(len(rows)))], rows)
            for t, w in zip(totals, weights, strict=True)
        ],
    )
    shape = shape_of(product.res[0])
    at = _rows_of(product)
    values[product.res[0]] = _reduced(
        r,
        "sum",
        [
            ([(p, _blocked(len(shape))), (w, [AffineExpr.dimension(len(shape)), *at])], shape)
            for p, w in zip(products, weights, strict=True)
        ],
    )
    for op in region.body.block.ops:
        if isinstance(op, tensor.EmptyOp | linalg.FillOp) or op in tail:
            r.builder.insert(op.clone(values))
    joined = r.finish(*(values[v] for v in end.arguments))
    remove_dead_ops(joined.body.block)
    return joined


def _blocked(rank: int) -> list[AffineExpr]:
    """The index of a result's element in each block: the blocks are the last loop."""
    return [AffineExpr.dimension(rank), *dims(rank)]


def _rows_of(product: linalg.GenericOp) -> list[AffineExpr]:
    """The row of scores that an element of the product belongs to, in the product's dimensions."""
    (out,) = output_maps(product)
    position = {e.position: i for i, e in enumerate(out.results) if isinstance(e, AffineDimExpr)}
    return [
        AffineExpr.dimension(position[e.position]) if isinstance(e, AffineDimExpr) else e
        for e in input_maps(product)[0].results[:-1]
    ]


def _reduced(
    r: RegionBuilder,
    kind: str,
    parts: Sequence[tuple[Sequence[tuple[SSAValue, Sequence[AffineExpr]]], Sequence[int]]],
) -> SSAValue:
    """The greatest, or the sum, of products of operands over all blocks of all parts."""
    element = element_of(parts[0][0][0][0])
    no_nans = arith.FastMathFlagsAttr([FastMathFlag.NO_NANS])

    def combine(b: Builder, x: SSAValue, acc: SSAValue) -> SSAValue:
        if kind == "max":
            return b.insert(arith.MaximumfOp(x, acc, no_nans)).result
        return b.insert(arith.AddfOp(x, acc)).result

    def step(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
        first, *others, acc = args
        for other in others:
            first = b.insert(arith.MulfOp(first, other)).result
        return combine(b, first, acc)

    neutral = float(np.finfo(numpy_dtype(element)).min) if kind == "max" else 0.0
    found: list[SSAValue] = []
    for operands, shape in parts:
        rank = len(shape)
        out = r.fill(neutral, shape, element)
        found += r.generic(operands, [(out, dims(rank))], "p" * rank + "r", step)
    result = found[0]
    for other in found[1:]:
        shape = shape_of(result)
        result = r.elementwise(
            [result, other], shape, element, lambda b, args: combine(b, args[0], args[1])
        )
    return result


def _weights(r: RegionBuilder, maxima: SSAValue, greatest: SSAValue) -> SSAValue:
    """What each block of each row counts: the exponential of how far its maximum is below the greatest."""

    def body(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
        below = b.insert(arith.SubfOp(args[0], args[1])).result
        flags = arith.FastMathFlagsAttr([FastMathFlag.APPROX_FUNC])
        return b.insert(math.ExpOp(below, flags)).result

    return r.elementwise([maxima, greatest], shape_of(maxima), element_of(maxima), body)
