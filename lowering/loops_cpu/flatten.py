"""Stages over flat memory: every access is one address, and dimensions that memory does not tell apart are
one.

Here tensors lose their shapes. What is left of an access is its address, so whether two loops may
be one loop, and whether an access is contiguous along a dimension, are questions about coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import prod

from webdnn.lowering.loops_common.expression import (
    Flattener,
    Load,
    Rewriter,
)
from webdnn.lowering.loops_common.linear import (
    Dim,
    Lin,
    address,
    collapse,
    merge_dims,
)
from webdnn.lowering.loops_cpu.stages import Stage


@dataclass
class FlatStage(Stage):
    """A `Stage` whose accesses are addresses; no dimension is of size 1 unless it is fixed.

    Attributes:
        fixed: the numbers of the dimensions that a group shares, in the group's order.
    """

    fixed: list[int] = field(default_factory=list[int])

    def merge(self, d: int) -> None:
        """Make dimensions d and d + 1 one; addresses that tell them apart get divisions by the extent of d
        + 1."""
        assert d + 1 < len(self.dims) and d + 1 != self.num_parallel
        assert d not in self.fixed and d + 1 not in self.fixed
        outer, inner = self.dims[d : d + 2]
        merged = Dim(outer.name + inner.name, outer.size * inner.size)
        self._rewrite(_Merger(outer, inner, merged))
        self.dims[d : d + 2] = [merged]
        if d + 1 < self.num_parallel:
            self.num_parallel -= 1
        self.fixed = [f - 1 if f > d else f for f in self.fixed]

    def _rewrite(self, rewriter: Rewriter) -> None:
        self.inits = [rewriter.node(n) for n in self.inits]
        self.updates = [rewriter.node(n) for n in self.updates]
        self.stores = [rewriter.store(s) for s in self.stores]


class _Merger(Rewriter):
    """Puts one dimension in the place of two."""

    def __init__(self, outer: Dim, inner: Dim, merged: Dim) -> None:
        super().__init__(Lin.of)
        self._dims = outer, inner, merged

    def form(self, form: Lin) -> Lin:
        return merge_dims(form, *self._dims, self.node_form)


def flatten(stage: Stage, fixed: Sequence[int] = ()) -> FlatStage:
    """The stage over flat memory, without dimensions of size 1 and with loops merged where no access tells
    them apart.

    Args:
        fixed: the dimensions that the stage's group shares, which stay as they are.
    """
    forms = [address(s.index, s.buffer.strides) for s in stage.stores]
    for node in stage.nodes():
        if isinstance(node, Load):
            forms.append(address(node.index, node.buffer.strides))
        else:
            forms.extend(node.forms())
    kept = {stage.dims[d] for d in fixed}
    replaced: dict[Dim, Lin] = {}

    def collapsed(dims: Sequence[Dim]) -> list[Dim]:
        """The dimensions, of which those that are not kept are merged with their neighbours where that is possible."""
        result: list[Dim] = []
        for is_kept, run in groupby(dims, kept.__contains__):
            for group in [[dim] for dim in run] if is_kept else collapse([*run], forms):
                one = group[0]
                if len(group) > 1:
                    one = Dim("".join(d.name for d in group), prod(d.size for d in group))
                    replaced.update(dict.fromkeys(group, Lin()))
                    replaced[group[-1]] = Lin.of(one)
                result.append(one)
        return result

    parallel = collapsed(stage.dims[: stage.num_parallel])
    dims = parallel + collapsed(stage.dims[stage.num_parallel :])
    flattener = Flattener(lambda dim: replaced.get(dim, Lin.of(dim)))
    return FlatStage(
        dims,
        len(parallel),
        [flattener.node(n) for n in stage.inits],
        stage.accumulators,
        [flattener.node(n) for n in stage.updates],
        [flattener.store(s) for s in stage.stores],
        [dims.index(stage.dims[d]) for d in fixed],
    )
