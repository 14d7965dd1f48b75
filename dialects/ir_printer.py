"""The printer of IR files: xDSL's, with what it loses kept.

What differs from MLIR's own printer here is xDSL 0.74's.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO

from xdsl.dialects import arith, func, gpu, llvm, memref, scf, tensor
from xdsl.dialects.builtin import UNKNOWN_LOC, DenseIntOrFPElementsAttr
from xdsl.dialects.linalg import ops as linalg
from xdsl.ir import Attribute, Operation, Region
from xdsl.printer import Printer
from xdsl.traits import IsTerminator

DROPS_ATTRIBUTES = (
    arith.CmpfOp,
    arith.CmpiOp,
    llvm.ConstantOp,
    memref.AllocaOp,
    memref.AllocOp,
    scf.ReduceOp,
    tensor.EmptyOp,
)
"""Ops whose own print leaves out, or mixes up, attributes that are no part of what they are."""

HIDES_ARGUMENTS = (scf.ForOp, scf.ParallelOp, scf.WhileOp, linalg.FillOp)
"""Ops whose own print names the arguments of their bodies without where they come from, or not at all."""


class IRPrinter(Printer):
    """Writes a module, or an attribute, so that `IRParser` reads the same again.

    An op whose own print would lose something is written in generic form, with all that is in it.
    """

    def print_op(self, op: Operation) -> None:
        if self.print_generic_format or not self._loses(op):
            super().print_op(op)
            return
        self.print_generic_format = True
        super().print_op(op)
        self.print_generic_format = False

    def _loses(self, op: Operation) -> bool:
        match op:
            case func.FuncOp() | llvm.FuncOp() if not op.body.blocks:
                return op.arg_attrs is not None or op.res_attrs is not None
            case llvm.FCmpOp():
                return bool(op.fastmathFlags.data)
            case llvm.GEPOp():
                return op.noWrapFlags.value.data != 0
            case _ if isinstance(op, DROPS_ATTRIBUTES):
                return bool(op.attributes)
            case _ if isinstance(op, HIDES_ARGUMENTS):
                if isinstance(op, linalg.FillOp) and any(map(self._says_something, _ops(op.body))):
                    return True
                blocks = (block for region in op.regions for block in region.blocks)
                arguments = (argument for block in blocks for argument in block.args)
                return self.print_debuginfo and any(a.location != UNKNOWN_LOC for a in arguments)
            case _:
                return False

    def print_attribute(self, attribute: Attribute) -> None:
        if isinstance(attribute, DenseIntOrFPElementsAttr) and _is_almost_splat(attribute):
            # xDSL takes [0.0, -0.0] for twice 0.0; so would whoever reads its print
            self.print_string(f'dense<"0x{attribute.data.data.hex().upper()}"> : ')
            self.print_attribute(attribute.get_type())
            return
        if isinstance(attribute, gpu.DimensionAttr):
            # xDSL's `#gpu<dim x>` is none to upstream
            self.print_string(f"#gpu<dim<{attribute.data.value}>>")
            return
        super().print_attribute(attribute)

    def print_operation_type(self, op: Operation) -> None:
        if self.print_generic_format or type(op).print is Operation.print:
            super().print_operation_type(op)
        else:
            # `scf.while` ends its own print with its types; its location comes after its regions
            self.print_function_type(op.operand_types, op.result_types)

    def print_region(
        self,
        region: Region,
        print_entry_block_args: bool = True,
        print_empty_block: bool = True,
        print_block_terminators: bool = True,
    ) -> None:
        # `scf.for` leaves out a `scf.yield` of nothing, with all that is known about it
        super().print_region(
            region,
            print_entry_block_args,
            print_empty_block,
            print_block_terminators or any(map(self._says_something, _ops(region))),
        )

    def _says_something(self, op: Operation) -> bool:
        located = self.print_debuginfo and op.location != UNKNOWN_LOC
        return op.has_trait(IsTerminator) and (located or bool(op.attributes or op.properties))


def _ops(region: Region) -> Iterator[Operation]:
    return (op for block in region.blocks for op in block.ops)


def _is_almost_splat(attribute: DenseIntOrFPElementsAttr) -> bool:
    """Whether elements are equal but not the same: zeros of both signs."""
    data, size = attribute.data.data, attribute.get_element_type().compile_time_size
    return len(attribute) > 1 and data != data[:size] * len(attribute) and attribute.is_splat()


def ir_text(op: Operation, *, locations: bool = True, generic: bool = False) -> str:
    """The op as IR, without a newline at the end.

    Args:
        locations: whether it says which of the model's nodes each op comes from.
        generic: whether it is written in generic form, `"dialect.op"(...)`.
    """
    stream = StringIO()
    IRPrinter(stream, print_debuginfo=locations, print_generic_format=generic).print_op(op)
    return stream.getvalue()
