"""`fold-scale-into-conv`: multiplications and additions per output channel, behind a convolution or matrix product.

    (conv(x, w) * s1 + b1) * s2 + b2   becomes   conv(x, w * s) + b   with   s = s1 * s2,   b = b1 * s2 + b2

where all factors are computed from weights alone. Batch normalisation is such a chain: nothing of it is left at run
time, because what is computed from weights is run when the package is written. Behind a product of integers, which
keeps its filter, one multiplication and one addition are left.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass

from webdnn.dialects.dtypes import is_float
from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.nn import reduction as rd
from webdnn.dialects.numpy_meaning.trait import is_nn
from webdnn.dialects.sizes.types import element_of, shape_of, size_of
from webdnn.lowering.weights_function import entry_function


@dataclass(frozen=True)
class FoldScaleIntoConv(ModulePass):
    """See the module's docstring."""

    name = "fold-scale-into-conv"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        block = entry_function(op).body.block
        static = static_values(block)
        for inner in list(block.ops):
            if isinstance(inner, rd.ConvOp | rd.MatmulOp) and inner.parent is block:
                chain = affine_chain(inner, static)
                if chain is not None and chain.is_worth_it:
                    _rewrite(inner, chain)
            elif isinstance(inner, ew.CastOp) and inner.parent is block and _is_product(inner.x):
                chain = chain_behind(inner.res, static)
                if chain.has_scale and len(chain.steps) > 2:
                    _rewrite(inner, chain)


def static_values(block: Block) -> set[SSAValue]:
    """The values of a block that are computed from weights and constants alone."""
    static: set[SSAValue] = set()
    for op in block.ops:
        if is_nn(op) and not dm.depends_on_sizes(op) and all(v in static for v in op.operands):
            static.update(op.results)
    return static


def _is_product(value: SSAValue) -> bool:
    """Whether a value is a product of integers."""
    return isinstance(value.owner, rd.ConvOp | rd.MatmulOp) and not is_float(element_of(value))


@dataclass
class Chain:
    """What follows a contraction: (op, operand) from the first to the last, all of which can be folded."""

    steps: list[tuple[Operation, SSAValue]] = field(
        default_factory=list[tuple[Operation, SSAValue]]
    )

    @property
    def is_worth_it(self) -> bool:
        """A lone bias is what is left in the end, so there is nothing to do about it."""
        return len(self.steps) > 1 or self.has_scale

    @property
    def has_scale(self) -> bool:
        return any(isinstance(op, ew.MulOp | ew.DivOp) for op, _ in self.steps)


def affine_chain(op: rd.ConvOp | rd.MatmulOp, static: set[SSAValue]) -> Chain | None:
    """The longest foldable chain behind `op`; None where the op has no filter of its own or is no float."""
    filter, result = op.operands[1], op.results[0]
    if filter not in static or not is_float(element_of(result)):
        return None
    if isinstance(op, rd.MatmulOp) and len(shape_of(filter)) != 2:
        return None
    chain = chain_behind(result, static)
    return chain if chain.steps else None


def chain_behind(result: SSAValue, static: set[SSAValue]) -> Chain:
    """The longest foldable chain behind a value whose last dimension are channels."""
    chain, channels = Chain(), shape_of(result)[-1]
    if not is_float(element_of(result)):
        return chain
    while (use := result.get_user_of_unique_use()) is not None:
        step = _step(use, result, static)
        if step is None or not _is_per_channel(step, result, channels):
            break
        chain.steps.append((use, step))
        result = use.results[0]
    return chain


def _step(op: Operation, value: SSAValue, static: set[SSAValue]) -> SSAValue | None:
    """The other operand of `op`, where it is an affine function of `value` with a static operand."""
    if isinstance(op, ew.AddOp | ew.MulOp):
        other = op.rhs if op.lhs is value else op.lhs
    elif isinstance(op, ew.SubOp | ew.DivOp) and op.lhs is value:
        other = op.rhs
    else:
        return None
    return other if other in static else None


def _is_per_channel(operand: SSAValue, value: SSAValue, channels: int) -> bool:
    shape = shape_of(operand)
    if len(shape) > len(shape_of(value)):
        return False
    return size_of(operand) == 1 or (size_of(operand) == channels == shape[-1])


def _rewrite(op: rd.ConvOp | rd.MatmulOp | ew.CastOp, chain: Chain) -> None:
    """Build the folded ops where the last of the chain stands (all factors are defined there), and erase the chain."""
    last, _ = chain.steps[-1]
    new: list[Operation] = []

    def add(built: Operation, location: Operation) -> SSAValue:
        built.location = location.location
        new.append(built)
        return built.results[0]

    def vector(operand: SSAValue, source: Operation) -> SSAValue:
        shape = [] if size_of(operand) == 1 else [size_of(operand)]
        if shape_of(operand) == tuple(shape):
            return operand
        return add(dm.ReshapeOp(operand, shape), source)

    scale: SSAValue | None = None
    bias: SSAValue | None = None
    for step, operand in chain.steps:
        other = vector(operand, step)
        if isinstance(step, ew.MulOp | ew.DivOp):
            factor = add(ew.ReciprocalOp(other), step) if isinstance(step, ew.DivOp) else other
            scale = factor if scale is None else add(ew.MulOp(scale, factor), step)
            bias = None if bias is None else add(ew.MulOp(bias, factor), step)
        elif bias is None:
            bias = add(ew.NegOp(other), step) if isinstance(step, ew.SubOp) else other
        elif isinstance(step, ew.SubOp):
            bias = add(ew.SubOp(bias, other), step)
        else:
            bias = add(ew.AddOp(bias, other), step)
    folded = op.clone()
    if scale is not None and not isinstance(op, ew.CastOp):
        folded.operands[1] = add(ew.MulOp(op.operands[1], scale), op)
    result = add(folded, op)
    if scale is not None and isinstance(op, ew.CastOp):
        result = add(ew.MulOp(result, scale), op)
    if bias is not None:
        result = add(ew.AddOp(result, bias), last)
    block = last.parent
    assert block is not None
    block.insert_ops_before(new, last)
    last.results[0].replace_all_uses_with(result)
    for step, _ in reversed(chain.steps):
        step.detach()
        step.erase()
    op.detach()
    op.erase()
