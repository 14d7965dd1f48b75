"""Squares of elements that are loaded along one dimension and stored along another: transposed in registers.

Without this a vector whose lanes lie apart in memory is put together lane by lane.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects import vector
from xdsl.dialects.builtin import DenseArrayBase, VectorType, f32, i32, i64
from xdsl.ir import SSAValue

from webdnn.lowering.loops_common.emitter import Emitter
from webdnn.lowering.loops_common.expression import Choose, Index, Load
from webdnn.lowering.loops_cpu.flatten import FlatStage

SIDE = 4
"""Rows and columns of a square: the lanes of a vector."""


def crossing_loads(stage: FlatStage, u: int, v: int) -> list[Load]:
    """The loads of an elementwise stage that are contiguous along u and scattered along v, if all stores are contiguous
    along v and nothing else is scattered along it; otherwise none. Elements of 32 bits only."""
    if stage.is_reduction or {u, v} & set(stage.fixed) or u == v:
        return []
    down, across = stage.dims[u], stage.dims[v]
    if not all(s.at.is_contiguous_along(across) for s in stage.stores):
        return []
    written = {id(s.buffer) for s in stage.stores}
    found: list[Load] = []
    for node in stage.nodes():
        if isinstance(node, Choose) or (isinstance(node, Index) and not node.form.is_const):
            return []
        if not isinstance(node, Load):
            continue
        at = node.at
        if not node.is_affine or {down, across} & at.nonlinear_dims or id(node.buffer) in written:
            return []
        if at.coefficient(across) in (0, 1):
            continue
        if at.coefficient(down) != 1 or node.type not in (f32, i32):
            return []
        found.append(node)
    return found


def crossing(stage: FlatStage, tile: Sequence[int], v: int) -> tuple[int, list[Load]]:
    """The dimension along which a tile with vectors along v holds squares to transpose, and the loads that are."""
    for u in range(stage.num_parallel):
        if v >= 0 and tile[u] >= SIDE and (loads := crossing_loads(stage, u, v)):
            return u, loads
    return -1, []


def transpose(emitter: Emitter, rows: Sequence[SSAValue]) -> list[SSAValue]:
    """The columns of four rows of four: pairs of rows are interleaved, then pairs of pairs."""
    low = [_shuffle(emitter, rows[i], rows[i + 1], (0, 4, 1, 5)) for i in (0, 2)]
    high = [_shuffle(emitter, rows[i], rows[i + 1], (2, 6, 3, 7)) for i in (0, 2)]
    return [
        _shuffle(emitter, first, second, mask)
        for first, second in (low, high)
        for mask in ((0, 1, 4, 5), (2, 3, 6, 7))
    ]


def _shuffle(
    emitter: Emitter, x: SSAValue, y: SSAValue, mask: tuple[int, int, int, int]
) -> SSAValue:
    assert isinstance(x.type, VectorType)
    type = VectorType(x.type.element_type, [SIDE])
    return emitter.pure(
        ("shuffle", mask),
        (x, y),
        lambda: vector.ShuffleOp.create(
            operands=[x, y],
            result_types=[type],
            properties={"mask": DenseArrayBase.from_list(i64, mask)},
        ),
    )
