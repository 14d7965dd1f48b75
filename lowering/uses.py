"""Who uses a value."""

from __future__ import annotations

from xdsl.ir import Operation, SSAValue


def only_user(value: SSAValue) -> Operation | None:
    """The one operation that uses `value` (however often), or None."""
    found: Operation | None = None
    for use in value.uses:
        if found is None:
            found = use.operation
        elif use.operation is not found:
            return None
    return found
