"""The launches of kernels in the host program."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from webdnn.dialects import plan
from webdnn.dialects.plan import storage_of
from webdnn.lowering.weights_function import entry_function


def launches_of(module: ModuleOp) -> dict[str, list[plan.LaunchOp]]:
    """The launches of each kernel, by the kernel's name."""
    launches: dict[str, list[plan.LaunchOp]] = {}
    for launch in entry_function(module).body.block.ops:
        if isinstance(launch, plan.LaunchOp):
            launches.setdefault(launch.kernel.string_value(), []).append(launch)
    return launches


def weight_operands(users: Sequence[plan.LaunchOp]) -> list[int]:
    """The numbers of a kernel's operands that are weights at each of its launches."""
    if not users:
        return []
    return [
        index
        for index in range(len(users[0].arguments))
        if all(is_weight(user.arguments[index]) for user in users)
    ]


def is_weight(value: SSAValue) -> bool:
    """Whether a value of the host program is a weight, or a view of one."""
    return isinstance(storage_of(value).owner, plan.WeightOp)
