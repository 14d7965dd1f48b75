"""Who uses a value."""

from __future__ import annotations

from xdsl.ir import Operation, SSAValue


def only_user(value: SSAValue) -> Operation | None:
    """The one operation that uses `value` (however often), or None."""
    users = {use.operation for use in value.uses}
    return users.pop() if len(users) == 1 else None
