"""`wgsl-narrow-i64`: the 64-bit integers of a kernel become 32-bit ones where all of them surely fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import arith
from xdsl.dialects.builtin import (
    DenseIntOrFPElementsAttr,
    IntegerType,
    MemRefType,
    ModuleOp,
    i32,
    i64,
)
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.passes import ModulePass

from webdnn.dialects import vector_ext
from webdnn.dialects.kernel import FuncOp
from webdnn.lowering.target_wgsl.ranges import Ranges
from webdnn.lowering.target_wgsl.rebuild import Parts, Rebuilder, uses_type
from webdnn.lowering.value_notation import constant_attribute, element_type, with_element


@dataclass(frozen=True)
class WGSLNarrowI64Pass(ModulePass):
    """Index arithmetic in `i64` is narrowed where no value can leave 32 bits, as the loops' bounds show."""

    name = "wgsl-narrow-i64"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for kernel in list(op.ops):
            if not isinstance(kernel, FuncOp) or not kernel.is_lowered:
                continue
            if uses_type(kernel, _is_64bit) and _fits(kernel):
                _Narrow().run(kernel)


def _is_64bit(type: Attribute) -> bool:
    element = element_type(type.element_type if isinstance(type, MemRefType) else type)
    return isinstance(element, IntegerType) and element.width.data > 32


def _fits(kernel: FuncOp) -> bool:
    """Whether every 64-bit value of a kernel surely is one of 32 bits, and none lies in memory."""
    if any(_is_64bit(a.type) for a in kernel.body.block.args):
        return False
    ranges = Ranges(kernel)

    def is_narrow(value: SSAValue) -> bool:
        if not _is_64bit(value.type):
            return True
        return value.type == i64 and ranges.fits(value, i32)

    for op in kernel.body.walk():
        inner = [a for region in op.regions for block in region.blocks for a in block.args]
        if not all(is_narrow(v) for v in (*op.results, *inner)):
            return False
    return True


_IDENTITIES = (
    arith.ExtSIOp,
    arith.ExtUIOp,
    arith.TruncIOp,
    vector_ext.ExtSIOp,
    vector_ext.ExtUIOp,
    vector_ext.TruncIOp,
)


class _Narrow(Rebuilder):
    def convert_type(self, type: Attribute) -> tuple[Attribute, ...]:
        return (with_element(type, i32),) if _is_64bit(type) else (type,)

    def visit(self, op: Operation) -> Sequence[Parts] | None:
        if op.regions or not any(_is_64bit(v.type) for v in (*op.operands, *op.results)):
            return None
        if isinstance(op, arith.ConstantOp):
            assert not isinstance(op.value, DenseIntOrFPElementsAttr)
            value = op.value.value.data  # pyright: ignore[reportAttributeAccessIssue]
            return [(self.emitter.add(arith.ConstantOp(constant_attribute(value, i32))),)]
        if isinstance(op, _IDENTITIES):
            operand = self.one(op.operands[0])
            if operand.type == self.convert_type(op.results[0].type)[0]:
                return [(operand,)]
        return self.recreate(op)
