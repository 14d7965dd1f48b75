"""`wgsl-narrow-i64`: 64-bit integers that surely fit 32 bits become such; every other 64-bit type is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import arith
from xdsl.dialects.builtin import (
    DenseIntOrFPElementsAttr,
    Float64Type,
    IntegerType,
    MemRefType,
    ModuleOp,
    i32,
    i64,
)
from xdsl.ir import Attribute, Operation
from xdsl.passes import ModulePass

from webdnn.dialects import vector_ext
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.locations import location_names
from webdnn.lowering.target_wgsl.ranges import Ranges
from webdnn.lowering.target_wgsl.rebuild import Parts, Rebuilder, uses_type
from webdnn.lowering.target_wgsl.values import constant_attribute, element_type, with_element


@dataclass(frozen=True)
class WGSLNarrowI64Pass(ModulePass):
    """WGSL has no 64-bit types. Index arithmetic in `i64` is narrowed where no value can leave 32 bits."""

    name = "wgsl-narrow-i64"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for kernel in list(op.ops):
            if isinstance(kernel, FuncOp) and kernel.is_lowered and uses_type(kernel, _is_64bit):
                _refuse_what_does_not_fit(kernel)
                _Narrow().run(kernel)


def _is_64bit(type: Attribute) -> bool:
    element = element_type(type.element_type if isinstance(type, MemRefType) else type)
    if isinstance(element, Float64Type):
        return True
    return isinstance(element, IntegerType) and element.width.data > 32


def _refuse_what_does_not_fit(kernel: FuncOp) -> None:
    def refuse(what: str) -> None:
        raise WebDNNError(
            f"the kernel {kernel.sym_name.data} needs {what}, which WebGPU does not have",
            where=tuple(location_names(kernel.location)),
            hint="compile for wasm, or convert the model to 32-bit types",
        )

    for argument in kernel.body.block.args:
        if _is_64bit(argument.type):
            assert isinstance(argument.type, MemRefType)
            refuse(f"memory of {argument.type.element_type}")
    ranges = Ranges(kernel)
    for op in kernel.body.walk():
        for result in op.results:
            if not _is_64bit(result.type):
                continue
            if result.type != i64:
                refuse(f"values of type {result.type}")
            if not ranges.fits(result, i32):
                refuse("64-bit integers that may exceed 32 bits")
        for region in op.regions:
            for block in region.blocks:
                if any(_is_64bit(a.type) and not ranges.fits(a, i32) for a in block.args):
                    refuse("64-bit integers that may exceed 32 bits")


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
