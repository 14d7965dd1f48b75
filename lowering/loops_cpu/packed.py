"""Operands that are packed in panels: contiguous along a dimension in blocks of whole vectors."""

from __future__ import annotations

from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.sizes.questions import divides, is_known
from webdnn.lowering.loops_common.expression import Choose, Index, Load, Store, walk
from webdnn.lowering.loops_common.linear import Dim, Lin, Quotient, Remainder
from webdnn.lowering.loops_cpu.flatten import FlatStage
from webdnn.lowering.packing import PAIR


def pair_dim(at: Lin) -> Dim | None:
    """The dimension k of an address that ends with `... + k mod 2`: its neighbours lie together in pairs."""
    found = [
        division.form.dim
        for division, c in at.divisions
        if isinstance(division, Remainder) and division.divisor == PAIR and c == 1
    ]
    return found[0] if len(found) == 1 else None


def is_packed(at: Lin, dim: Dim, width: int) -> bool:
    """Whether an address is contiguous in blocks of whole vectors along a dimension d: `(d floordiv n) * c + d mod n`,
    or is so but for pairs of another dimension in each place."""
    mine = [(division, c) for division, c in at.divisions if dim in division.dims]
    step = _step(at, dim)
    return (
        step > 0
        and at.coefficient(dim) == 0
        and len(mine) == 2
        and {type(division) for division, _ in mine} == {Quotient, Remainder}
        and all(division.form.dim is dim and division.divisor % width == 0 for division, _ in mine)
        and all(c == step for division, c in mine if isinstance(division, Remainder))
    )


def in_panels(access: Load | Store, dim: Dim, width: int) -> bool:
    """Whether whole vectors along a dimension can be accessed, also where the last of them reaches beyond its end: the
    address `is_packed`, or all is one block and memory goes on behind it."""
    at = access.at
    if is_packed(at, dim, width):
        return True
    step = _step(at, dim)
    if not step or at.coefficient(dim) != step or dim in at.nonlinear_dims:
        return False
    ends = at.range()
    if ends is None:
        return False
    last = ends[1] + step * (-dim.size % width)
    return is_known(last, lambda n: n < access.buffer.count)


def _step(at: Lin, dim: Dim) -> int:
    """The distance of neighbours along a dimension in a panel; 0 where it is the one that pairs lie along."""
    pairs = pair_dim(at)
    if pairs is None:
        return 1
    return 0 if pairs is dim else PAIR


def packed_block(at: Lin, dim: Dim) -> int:
    """The size of the blocks of an address that `is_packed` along a dimension."""
    (block,) = {division.divisor for division, _ in at.divisions if dim in division.dims}
    return block


def padded_loads(stage: FlatStage, d: int, width: int) -> list[Load] | None:
    """The loads of a reduction that depend on d, if all of them are packed along d, so that lanes beyond
    its end may be computed."""
    if not stage.is_reduction or not 0 <= d < stage.num_parallel:
        return None
    dim = stage.dims[d]
    if is_symbolic(dim.size) and not divides(width, dim.size):
        return None  # what is left over is single points, of which a vector may not begin with any
    found: list[Load] = []
    for node in walk(stage.updates):
        match node:
            case Index(form=form) if form.is_const:
                pass
            case Index() | Choose():
                return None
            case Load() if not node.is_affine:
                return None
            case Load() if node.at.depends(dim):
                if not in_panels(node, dim, width):
                    return None
                found.append(node)
            case _:
                pass
    return found or None
