"""The `wgsl` dialect: what WGSL can say and the upstream dialects cannot.

A kernel of level `target` is still a `kernel.func` of `scf`, `arith`, `math`, `vector`, `memref`
and `gpu` ops; this dialect adds how its operands are bound and the few ops that have no upstream
spelling in xDSL.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import ArrayAttr, VectorType
from xdsl.dialects.utils import EnumAttribute
from xdsl.ir import (
    Attribute,
    Dialect,
    SpacedOpaqueSyntaxAttribute,
    SSAValue,
)
from xdsl.irdl import (
    IRDLOperation,
    irdl_attr_definition,
    irdl_op_definition,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.str_enum import StrEnum

from webdnn.dialects.kernel import FuncOp

BINDINGS = "wgsl.bindings"
"""The attribute of a `kernel.func` that says how each operand that is memory is bound: an array of `#wgsl.access`."""

PART_BYTES = "wgsl.part_bytes"
"""The attribute of a `kernel.func` that says how much of an operand is bound at once, where one has more bytes."""

WORKGROUP_SPACE = "workgroup"
"""The memory space of a `memref.alloca` that all invocations of a workgroup share."""


class Access(StrEnum):
    """How a kernel uses the memory of an operand.

    A bind group layout says `read-only-storage` for `read`, and `storage` for `read_write`.
    """

    READ = "read"
    READ_WRITE = "read_write"


@irdl_attr_definition
class AccessAttr(EnumAttribute[Access], SpacedOpaqueSyntaxAttribute):
    """`#wgsl<access read_write>`: how an operand is bound."""

    name = "wgsl.access"


def bindings_of(kernel: FuncOp) -> list[Access]:
    """How each operand of a kernel of level `target` that is memory is bound."""
    attribute = kernel.attributes.get(BINDINGS)
    if not isinstance(attribute, ArrayAttr):
        raise VerifyException(
            f"kernel.func @{kernel.sym_name.data} has no {BINDINGS}: run lower-to-wgsl"
        )
    accesses: list[Access] = []
    for entry in attribute.data:
        if not isinstance(entry, AccessAttr):
            raise VerifyException(f"{BINDINGS} of @{kernel.sym_name.data} holds {entry}")
        accesses.append(entry.data)
    return accesses


@irdl_op_definition
class ComposeOp(IRDLOperation):
    """A vector from its elements: `wgsl.compose %a, %b, %c, %d : vector<4xf32>` (`vec4f(a, b, c, d)`)."""

    name = "wgsl.compose"
    elements = var_operand_def()
    result = result_def(VectorType)
    assembly_format = "$elements attr-dict `:` type($elements) `to` type($result)"
    traits = traits_def(Pure())

    def __init__(self, elements: Sequence[SSAValue], result_type: Attribute) -> None:
        super().__init__(operands=[elements], result_types=[result_type])

    def verify_(self) -> None:
        type = self.result.type
        assert isinstance(type, VectorType)
        if type.get_shape() != (len(self.elements),):
            raise VerifyException(f"wgsl.compose of {len(self.elements)} elements is no {type}")
        if any(e.type != type.element_type for e in self.elements):
            raise VerifyException("wgsl.compose takes elements of the vector's element type")


WGSL = Dialect("wgsl", [ComposeOp], [AccessAttr])
