"""Sums of products of small integers, two neighbouring products at a time (`vector_ext.dot`).

A reduction `acc + x * y` in 32 bits, where `x` and `y` are integers of 8 or 16 bits, has this form when one factor is
the same in all lanes and contiguous along the innermost reduced dimension, and the other one is packed in panels whose
innermost axis are two neighbours of that dimension (see `webdnn.lowering.loops_cpu.pack`). Integers can be added in
any order, so nothing is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.dialects import arith, vector
from xdsl.dialects.builtin import DenseArrayBase, IntegerType, VectorType, i16, i32, i64
from xdsl.ir import SSAValue

from webdnn.dialects import vector_ext
from webdnn.lowering.loops_common.expression import Accumulator, Apply, Load, Node
from webdnn.lowering.loops_common.indices import lane_of
from webdnn.lowering.loops_cpu.evaluate import PointEvaluator
from webdnn.lowering.loops_cpu.flatten import FlatStage
from webdnn.lowering.loops_cpu.packed import in_panels, pair_dim
from webdnn.lowering.packing import PAIR


@dataclass(frozen=True)
class Dot:
    """What is multiplied: `row` is the same in all lanes, `panel` is packed; pairs lie along dimension `depth`."""

    row: Load
    panel: Load
    depth: int


def small_factors(update: Node) -> tuple[Node, Node] | None:
    """The factors of `acc + x * y` in 32 bits, where both are signed integers of 8 or 16 bits."""
    if not isinstance(update, Apply) or not isinstance(update.op, arith.AddiOp):
        return None
    for acc, product in (update.operands, update.operands[::-1]):
        if (
            isinstance(acc, Accumulator)
            and update.type == i32
            and isinstance(product, Apply)
            and isinstance(product.op, arith.MuliOp)
        ):
            factors = [_widened(factor) for factor in product.operands]
            if factors[0] is not None and factors[1] is not None:
                return factors[0], factors[1]
    return None


def _widened(node: Node) -> Node | None:
    if not isinstance(node, Apply) or not isinstance(node.op, arith.ExtSIOp):
        return None
    (source,) = node.operands
    is_small = isinstance(source.type, IntegerType) and source.type.width.data in (8, 16)
    return source if is_small else None


def dot_of(stage: FlatStage, lanes: int, width: int) -> Dot | None:
    """A reduction as sums of pairs of products with the lanes along parallel dimension `lanes`, where it is one."""
    if not 0 <= lanes < stage.num_parallel or len(stage.updates) != 1:
        return None
    factors = small_factors(stage.updates[0])
    along, depth = stage.dims[lanes], stage.dims[-1]
    if factors is None:
        return None
    for row, panel in (factors, factors[::-1]):
        if not isinstance(row, Load) or not isinstance(panel, Load):
            continue
        if pair_dim(panel.at) is not depth or not in_panels(panel, along, width):
            continue
        if row.at.is_contiguous_along(depth) and not row.at.depends(along):
            return Dot(row, panel, len(stage.dims) - 1)
    return None


def add_products(
    dot: Dot, evaluator: PointEvaluator, accumulator: SSAValue, *, single: bool
) -> SSAValue:
    """The accumulator of a point after two products, or after one where `single`.

    Args:
        evaluator: at the first place of the pair along `dot.depth`.
    """
    emitter, width = evaluator.emitter, evaluator.width
    panel = _wide(evaluator, dot.panel, PAIR * width)
    wide = VectorType(i16, [PAIR * width])
    if single:  # the panel holds a zero behind the last place
        scalar = evaluator.elements(dot.row, lane_of(evaluator.address(dot.row), 0))
        if scalar.type != i16:
            scalar = emitter.pure(arith.ExtSIOp, (scalar,), lambda: arith.ExtSIOp(scalar, i16))
        row = emitter.splat(scalar, PAIR * width)
    else:
        pair = _wide(evaluator, dot.row, PAIR)
        mask = DenseArrayBase.from_list(i64, list(range(PAIR)) * width)
        row = emitter.pure(
            ("shuffle", mask),
            (pair,),
            lambda: vector.ShuffleOp(pair, pair, mask, result_type=wide),
        )
    operands = (row, panel, accumulator)
    return emitter.pure(vector_ext.DotOp, operands, lambda: vector_ext.DotOp(*operands))


def _wide(evaluator: PointEvaluator, load: Load, count: int) -> SSAValue:
    """Neighbours in memory as 16-bit integers."""
    value = evaluator.elements(load, lane_of(evaluator.address(load), 0), count)
    type = VectorType(i16, [count])
    if value.type == type:
        return value
    return evaluator.emitter.pure(
        (vector_ext.ExtSIOp, type), (value,), lambda: vector_ext.ExtSIOp(value, type)
    )
