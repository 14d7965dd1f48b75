"""The printer of IR files: xDSL's, with what it loses kept.

What differs from MLIR's own printer here is xDSL 0.74's.
"""

from __future__ import annotations

from io import StringIO

from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, UnknownLoc
from xdsl.ir import Attribute, Operation, Region
from xdsl.printer import Printer
from xdsl.traits import IsTerminator


class IRPrinter(Printer):
    """Writes a module, or an attribute, so that `IRParser` reads the same again."""

    def print_attribute(self, attribute: Attribute) -> None:
        if isinstance(attribute, DenseIntOrFPElementsAttr) and _is_almost_splat(attribute):
            # xDSL takes [0.0, -0.0] for twice 0.0; so would whoever reads its print
            self.print_string(f'dense<"0x{attribute.data.data.hex().upper()}"> : ')
            self.print_attribute(attribute.get_type())
            return
        super().print_attribute(attribute)

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
            print_block_terminators or any(map(self._says_something, region.ops)),
        )

    def _says_something(self, op: Operation) -> bool:
        located = self.print_debuginfo and not isinstance(op.location, UnknownLoc)
        return op.has_trait(IsTerminator) and (located or bool(op.attributes or op.properties))


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
