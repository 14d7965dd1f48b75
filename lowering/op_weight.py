"""About how many instructions an op on scalars is: to weigh parts of a kernel against each other."""

from __future__ import annotations

from xdsl.dialects import arith
from xdsl.dialects.linalg.ops import YieldOp
from xdsl.ir import Operation

ELEMENTARY = 20
"""Instructions of an elementary function."""


def op_weight(op: Operation) -> int:
    """The instructions of an op without regions, on one element or on one vector."""
    if isinstance(op, arith.ConstantOp | YieldOp):
        return 0
    return ELEMENTARY if op.name.startswith(("math.", "arith_ext.")) else 1
