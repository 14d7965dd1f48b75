"""`winograd-convolutions`: convolutions by Winograd's minimal filtering, where it is faster.

A convolution of stride 1 becomes four regions (Lavin and Gray, 2016): windows of the input that overlap are
transformed, the filter is transformed, both are multiplied as a batch of matrices, one for each element of a
window, and the products are transformed back; the epilogue of the convolution follows the last one. The region
of the filter depends on weights alone, so it becomes a launch that runs once, when the package is loaded.

An infinity or a NaN in the input spreads to all results of its window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects import arith
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, ModuleOp, StringAttr, TensorType, f32
from xdsl.dialects.linalg import ops as linalg
from xdsl.ir import Operation, SSAValue
from xdsl.ir.affine import AffineExpr
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects import kernel, plan
from webdnn.lowering.fast_math import NO_SPECIALS
from webdnn.lowering.linalg.convolution import Convolution, match_convolution
from webdnn.lowering.linalg.pads import zero_padded
from webdnn.lowering.linalg.winograd_cost import choose_windows
from webdnn.lowering.linalg.winograd_matrices import (
    Matrix,
    WinogradMatrices,
    has_matrices,
    winograd_matrices,
)
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
            windows = self._windows(found)
            if windows is not None:
                _Rewrite(region, found, windows).run()

    def _windows(self, conv: Convolution) -> tuple[int, int] | None:
        if self.window:
            height, width = (self.window if taps > 1 else 1 for taps in conv.taps)
            pairs = zip((height, width), conv.taps, strict=True)
            return (height, width) if all(has_matrices(m, r) for m, r in pairs) else None
        return choose_windows(conv)


def _is_supported(conv: Convolution) -> bool:
    return (
        isinstance(conv.filter_operand.owner, plan.WeightOp)
        and conv.element_type == f32
        and conv.strides == conv.dilations == (1, 1)
        and conv.out_channels % 4 == 0
        and max(conv.taps) > 1
    )


def _table(b: Builder, matrix: Matrix) -> SSAValue:
    """A matrix of constants as a tensor of a kernel."""
    type = TensorType(f32, [len(matrix), len(matrix[0])])
    values = [float(c) for row in matrix for c in row]
    return b.insert(arith.ConstantOp(DenseIntOrFPElementsAttr.from_list(type, values))).result


def _linear_combination(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
    """`acc + coefficient * x`. The flags let a lowering leave out products with 0 and 1."""
    flags = arith.FastMathFlagsAttr(list(NO_SPECIALS))
    coefficient, x, acc = args
    term = b.insert(arith.MulfOp(coefficient, x, flags)).result
    return b.insert(arith.AddfOp(acc, term, flags)).result


def _product(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
    x, w, acc = args
    return b.insert(arith.AddfOp(b.insert(arith.MulfOp(x, w)).result, acc)).result


class _Rewrite:
    """One convolution of `taps` with windows of `m` results along each axis."""

    def __init__(
        self, region: kernel.RegionOp, conv: Convolution, windows: tuple[int, int]
    ) -> None:
        self.region = region
        self.conv = conv
        self.m = windows
        self.matrices: tuple[WinogradMatrices, WinogradMatrices] = (
            winograd_matrices(windows[0], conv.taps[0]),
            winograd_matrices(windows[1], conv.taps[1]),
        )
        self.t = tuple(len(m.input) for m in self.matrices)
        """Inputs of a window along each axis."""
        self.counts = tuple(-(-n // m) for n, m in zip(conv.out_sizes, windows, strict=True))
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
        out: Sequence[AffineExpr] | None = None,
    ) -> SSAValue:
        """`sum over the last dimension of matrix[at] * source`, over a result of `shape`."""
        zero = r.fill(0.0, shape, f32)
        rank = len(shape)
        (result,) = r.generic(
            [(_table(r.builder, matrix), at), source],
            [(zero, out or dims(rank))],
            "p" * rank + "r",
            _linear_combination,
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
        )
        a, b, d_n, ty, tx, ch, j = dims(7)
        both = self._combine(
            r, horizontal.input, (b, j), (rows, [a, d_n, ty, tx, j, ch]), [t0, t1, n, h, w, c]
        )
        return r.finish(both)

    def _filter_region(self) -> kernel.RegionOp:
        """`U[a, b, o / p, c, o % p] = sum over i, j of G[a, i] * G[b, j] * filter[i, j, c, o]`, in panels of
        p output channels."""
        r = RegionBuilder([self.conv.filter_operand])
        (t0, t1), panel = self.t, self.panel
        blocks, c = self.conv.out_channels // panel, self.conv.in_channels
        vertical, horizontal = self.matrices
        a, kx, block, ch, o, ky = dims(6)
        rows = self._combine(
            r,
            vertical.filter,
            (a, ky),
            (r.args[0], [ky, kx, ch, block * panel + o]),
            [t0, self.conv.taps[1], blocks, c, panel],
        )
        a, b, block, ch, o, kx = dims(6)
        both = self._combine(
            r, horizontal.filter, (b, kx), (rows, [a, kx, block, ch, o]), [t0, t1, blocks, c, panel]
        )
        return r.finish(both)

    def _product_region(self, inputs: SSAValue, filters: SSAValue) -> kernel.RegionOp:
        """`M[a, b, n, ty, tx, o] = sum over c of V[a, b, n, ty, tx, c] * U[a, b, o, c]`."""
        r = RegionBuilder([inputs, filters])
        shape = [*self.t, self.conv.batch, *self.counts, self.conv.out_channels]
        a, b, n, ty, tx, o, c = dims(7)
        zero = r.fill(0.0, shape, f32)
        (result,) = r.generic(
            [
                (r.args[0], [a, b, n, ty, tx, c]),
                (r.args[1], [a, b, o // self.panel, c, o % self.panel]),
            ],
            [(zero, [a, b, n, ty, tx, o])],
            "ppppppr",
            _product,
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
        )
        d_n, y, x, o, b = dims(5)
        both = self._combine(
            r,
            horizontal.output,
            (x % m1, b),
            (rows, [y % m0, b, d_n, y // m0, x // m1, o]),
            [n, *self.conv.out_sizes, out],
        )
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
