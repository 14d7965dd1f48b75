"""`winograd-convolutions`: convolutions by Winograd's minimal filtering, where it is faster.

A convolution of stride 1 becomes four regions (Lavin and Gray, 2016): windows of the input that overlap are
transformed, the filter is transformed, both are multiplied as a batch of matrices, one for each element of a
window, and the products are transformed back; the epilogue of the convolution follows the last one. The region
of the filter depends on weights alone, so it becomes a launch that runs once, when the package is loaded.

An infinity or a NaN in the input spreads to all results of its window. Convolutions of quantised integers give the very
integers that they give directly (see `winograd_integers`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.dialects.linalg import ops as linalg
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.ir.affine import AffineExpr
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects import kernel, plan
from webdnn.lowering.linalg.convolution import Convolution, match_convolution
from webdnn.lowering.linalg.pads import zero_padded
from webdnn.lowering.linalg.winograd_arithmetic import Arithmetic, arithmetic
from webdnn.lowering.linalg.winograd_cost import (
    candidate_windows,
    choose_windows,
    has_room,
    window_counts,
)
from webdnn.lowering.linalg.winograd_matrices import Matrix
from webdnn.lowering.nn_to_linalg.region_builder import RegionBuilder, dims
from webdnn.lowering.weights_function import entry_function

PANEL = 8
"""Columns of a panel of the transformed filter: what the register tiles of matrix products read."""


@dataclass(frozen=True)
class WinogradConvolutions(ModulePass):
    """See the module's docstring.

    Args:
        window: results of a window along each axis, for the filters that have matrices for so many; by default
            (0) what a cost model finds best, if any is better than a direct convolution.
    """

    name = "winograd-convolutions"

    window: int = 0

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for region in list(entry_function(op).body.block.ops):
            if not isinstance(region, kernel.RegionOp):
                continue
            found = match_convolution(region)
            if found is None or not _is_supported(found):
                continue
            usable = {
                w: how
                for w in self._windows(found)
                if (how := arithmetic(found, w)) and has_room(found, w, how.factor, how.sum)
            }
            windows = next(iter(usable), None) if self.window else choose_windows(found, usable)
            if windows is not None:
                _Rewrite(region, found, windows, usable[windows]).run()

    def _windows(self, conv: Convolution) -> list[tuple[int, int]]:
        if self.window:
            height, width = (self.window if taps > 1 else 1 for taps in conv.taps)
            return [(height, width)]
        return candidate_windows(conv)


def _is_supported(conv: Convolution) -> bool:
    return (
        isinstance(conv.filter_operand.owner, plan.WeightOp)
        and conv.strides == conv.dilations == (1, 1)
        and conv.out_channels % 4 == 0
        and max(conv.taps) > 1
    )


class _Rewrite:
    """One convolution of `taps` with windows of `m` results along each axis."""

    def __init__(
        self,
        region: kernel.RegionOp,
        conv: Convolution,
        windows: tuple[int, int],
        how: Arithmetic,
    ) -> None:
        self.region = region
        self.conv = conv
        self.m = windows
        self.how = how
        self.matrices = how.matrices
        self.t = tuple(len(m.input) for m in self.matrices)
        """Inputs of a window along each axis."""
        self.counts = window_counts(conv.out_sizes, windows)
        """Windows along each axis."""
        self.panel = PANEL if conv.out_channels % PANEL == 0 else 4

    def run(self) -> None:
        sizes = [n * m + r - 1 for n, m, r in zip(self.counts, self.m, self.conv.taps, strict=True)]
        x = zero_padded(self.conv.input_operand, (1, 2), sizes, self._insert)
        inputs = self._insert(self._input_region(x), "winograd_input")
        filters = self._insert(self._filter_region(), "winograd_filter")
        products = self._insert(self._product_region(inputs, filters), "winograd_product")
        output = self._output_region(products)
        hint = self.region.attributes.get(kernel.HINT)
        epilogue = hint.data.removeprefix("conv") if isinstance(hint, StringAttr) else ""
        result = self._insert(output, "winograd_output" + epilogue)
        (old,) = self.region.outs
        result.name_hint = old.name_hint
        old.replace_all_uses_with(result)
        Rewriter.erase_op(self.region)

    def _insert(self, region: kernel.RegionOp, hint: str) -> SSAValue:
        region.attributes[kernel.HINT] = StringAttr(hint)
        region.location = self.region.location
        Rewriter.insert_op(region, InsertPoint.before(self.region))
        return region.outs[0]

    def _combine(
        self,
        r: RegionBuilder,
        matrix: Matrix,
        at: tuple[AffineExpr, AffineExpr],
        source: tuple[SSAValue, Sequence[AffineExpr]],
        shape: Sequence[int],
        type: Attribute,
        out: Sequence[AffineExpr] | None = None,
    ) -> SSAValue:
        """`sum over the last dimension of matrix[at] * source`, over a result of `shape`."""
        zero = r.fill(0.0, shape, type)
        rank = len(shape)
        (result,) = r.generic(
            [(self.how.table(r.builder, matrix, type), at), source],
            [(zero, out or dims(rank))],
            "p" * rank + "r",
            self.how.linear_combination,
        )
        return result

    def _input_region(self, x: SSAValue) -> kernel.RegionOp:
        """`V[a, b, n, ty, tx, c] = sum over i, j of B[a, i] * B[b, j] * x[n, ty*m + i, tx*m + j, c]`."""
        r = RegionBuilder([x])
        (t0, t1), (m0, m1), (h, w) = self.t, self.m, self.counts
        n, c = self.conv.batch, self.conv.in_channels
        vertical, horizontal = self.matrices
        a, d_n, ty, tx, j, ch, i = dims(7)
        rows = self._combine(
            r,
            vertical.input,
            (a, i),
            (r.args[0], [d_n, ty * m0 + i, tx * m1 + j, ch]),
            [t0, n, h, w, t1, c],
            self.how.factor,
        )
        a, b, d_n, ty, tx, ch, j = dims(7)
        both = self._combine(
            r,
            horizontal.input,
            (b, j),
            (rows, [a, d_n, ty, tx, j, ch]),
            [t0, t1, n, h, w, c],
            self.how.factor,
        )
        return r.finish(both)

    def _filter_region(self) -> kernel.RegionOp:
        """`U[a, b, o / p, c, o % p] = sum over i, j of G[a, i] * G[b, j] * filter[i, j, c, o]`, in panels of
        p output channels; of integers `U[a, b, o / p, c / 2, o % p, c % 2]`."""
        r = RegionBuilder([self.conv.filter_operand])
        (t0, t1), panel, pairs = self.t, self.panel, self.how.pairs
        blocks, c = self.conv.out_channels // panel, self.conv.in_channels
        vertical, horizontal = self.matrices
        # a place in the panels: block, channel, column, and where channels lie in pairs, which of the two
        panels = [blocks, c // pairs, panel] + ([pairs] if pairs > 1 else [])
        a, b, *place, tap = dims(len(panels) + 3)
        block, ch, o, *which = place
        channel = ch * pairs + which[0] if which else ch
        kx = b
        rows = self._combine(
            r,
            vertical.filter,
            (a, tap),
            (r.args[0], [tap, kx, channel, block * panel + o]),
            [t0, self.conv.taps[1], *panels],
            self.how.factor,
        )
        both = self._combine(
            r,
            horizontal.filter,
            (b, tap),
            (rows, [a, tap, *place]),
            [t0, t1, *panels],
            self.how.factor,
        )
        return r.finish(both)

    def _panel_index(self, o: AffineExpr, c: AffineExpr) -> list[AffineExpr]:
        """Where the transformed filter of input channel c and output channel o lies in the panels."""
        pairs = self.how.pairs
        if pairs == 1:
            return [o // self.panel, c, o % self.panel]
        return [o // self.panel, c // pairs, o % self.panel, c % pairs]

    def _product_region(self, inputs: SSAValue, filters: SSAValue) -> kernel.RegionOp:
        """`M[a, b, n, ty, tx, o] = sum over c of V[a, b, n, ty, tx, c] * U[a, b, o, c]`."""
        r = RegionBuilder([inputs, filters])
        shape = [*self.t, self.conv.batch, *self.counts, self.conv.out_channels]
        a, b, n, ty, tx, o, c = dims(7)
        zero = r.fill(0.0, shape, self.how.sum)
        (result,) = r.generic(
            [
                (r.args[0], [a, b, n, ty, tx, c]),
                (r.args[1], [a, b, *self._panel_index(o, c)]),
            ],
            [(zero, [a, b, n, ty, tx, o])],
            "ppppppr",
            self.how.product,
        )
        return r.finish(result)

    def _output_region(self, products: SSAValue) -> kernel.RegionOp:
        """`y[n, y, x, o] = sum over a, b of A[y % m, a] * A[x % m, b] * M[a, b, n, y / m, x / m, o]`, and the
        epilogue of the convolution."""
        others = [v for v in self.region.ins if self._reads_in_epilogue(v)]
        r = RegionBuilder([products, *others])
        (_, t1), (m0, m1) = self.t, self.m
        n, out = self.conv.batch, self.conv.out_channels
        vertical, horizontal = self.matrices
        oy, b, d_n, ty, tx, o, a = dims(7)
        rows = self._combine(
            r,
            vertical.output,
            (oy, a),
            (r.args[0], [a, b, d_n, ty, tx, o]),
            [m0, t1, n, *self.counts, out],
            self.how.sum,
        )
        d_n, y, x, o, b = dims(5)
        both = self._combine(
            r,
            horizontal.output,
            (x % m1, b),
            (rows, [y % m0, b, d_n, y // m0, x // m1, o]),
            [n, *self.conv.out_sizes, out],
            self.how.sum,
        )
        both = self.how.unscaled(r, both, [n, *self.conv.out_sizes, out])
        read: dict[SSAValue, SSAValue] = dict(zip(others, r.args[1:], strict=True))
        mapped: dict[SSAValue, SSAValue] = {self.conv.op.res[0]: both}
        for arg, operand in zip(self.region.body.block.args, self.region.ins, strict=True):
            if operand in read:
                mapped[arg] = read[operand]
        for op in self._epilogue():
            r.builder.insert(op.clone(mapped))
        end = self.region.body.block.last_op
        assert isinstance(end, kernel.YieldOp)
        return r.finish(mapped[end.arguments[0]])

    def _epilogue(self) -> list[Operation]:
        """The ops of the region behind the convolution."""
        block = self.region.body.block
        return [
            op
            for op in block.ops
            if op is not self.conv.op
            and not isinstance(op, kernel.YieldOp)
            and _is_used(op, self.conv.op)
        ]

    def _reads_in_epilogue(self, operand: SSAValue) -> bool:
        pairs = zip(self.region.body.block.args, self.region.ins, strict=True)
        return any(
            use.operation is not self.conv.op
            for arg, v in pairs
            if v is operand
            for use in arg.uses
        )


def _is_used(op: Operation, conv: linalg.GenericOp) -> bool:
    """Whether anything but a convolution's own operands uses an op."""
    block = op.parent
    seen: set[Operation] = set()
    stack = [op]
    while stack:
        current = stack.pop()
        if current in seen or current is conv:
            continue
        seen.add(current)
        if isinstance(current, kernel.YieldOp):
            return True
        for result in current.results:
            for use in result.uses:
                user: Operation | None = use.operation
                while user is not None and user.parent is not block:
                    user = user.parent_op()
                if user is not None:
                    stack.append(user)
    return False
