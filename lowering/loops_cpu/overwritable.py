"""The operands of a kernel over which its result may lie."""

from __future__ import annotations

from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.linalg_ext import ordering_op
from webdnn.lowering.loops_common.expression import walk
from webdnn.lowering.loops_cpu.groups import read_groups
from webdnn.lowering.loops_cpu.lower import SCRATCH_ELEMENTS
from webdnn.lowering.loops_cpu.stages import Group


def overwritable(func: FuncOp) -> list[int]:
    """The operands of a kernel of one result that are read, each element, only where the result's element is made."""
    if ordering_op(func.body.block) is not None:
        return []
    groups = read_groups(func, scratch_elements=SCRATCH_ELEMENTS)
    inputs = len(func.function_type.inputs)
    return [number for number in range(inputs) if _reads_own_element(groups, number, inputs)]


def _reads_own_element(groups: list[Group], operand: int, result: int) -> bool:
    for group in groups:
        for stage in group.stages:
            written = [o.index for o in stage.stores if o.buffer.argument == result]
            again = {id(n) for n in walk(stage.updates)}
            for node in stage.loads():
                if node.buffer.argument != operand:
                    continue
                if written != [node.index]:
                    return False
                if id(node) in again:
                    return False
    return True
