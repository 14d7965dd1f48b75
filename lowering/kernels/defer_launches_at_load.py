"""`defer-launches-at-load`: a first run that need not wait until all launches at load have filled their memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from xdsl.context import Context
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, i64
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from webdnn.dialects import plan
from webdnn.lowering.target import memory_of


@dataclass(frozen=True)
class DeferLaunchesAtLoad(ModulePass):
    """Adds launches `first_run` to a `plan.program` with one linear memory.

    What is computed at load goes to memory that nobody has touched, which an operating system hands out slowly
    (0.5 ms a MiB): 130 MB of transformed filters take ResNet50 as long as a run. In a first run that begins while
    weights arrive, each launch at load can therefore write to one scratch memory, at the end of the memory for all of
    them, just before the launch that reads it. Both are launched here for a second time, with these addresses. The
    launches at load themselves follow when the first outputs are out.

    That is done where each launch at load is needed by one launch alone, and the scratch memory is at most half of all.
    """

    name = "defer-launches-at-load"

    target: str = "wasm"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        alignment = memory_of(self.target).alignment
        for program in op.ops:
            if isinstance(program, plan.ProgramOp):
                _defer(program, alignment)


@dataclass(frozen=True)
class _Group:
    """Launch `number` of a run, after the launches at load that it needs.

    `begin` and `end` are of the part of the memory for what is computed at load that they use.
    """

    number: int
    launches: Sequence[plan.LaunchIntoOp]
    begin: int
    end: int


def _defer(program: plan.ProgramOp, alignment: int) -> None:
    launches = program.launches
    at_load = [op for op in launches if op.at_load is not None]
    groups = _groups(at_load, [op for op in launches if op.at_load is None])
    if not groups:
        return
    total = max(group.end for group in groups)
    scratch = max(group.end - group.begin for group in groups)
    if 2 * scratch > total:
        return
    start = (total - scratch) // alignment * alignment
    slices: dict[tuple[SSAValue, int], SSAValue] = {}

    def moved(value: SSAValue, group: _Group) -> SSAValue:
        """The like of an operand in the scratch memory; the operand itself if it is not computed at load."""
        slice = plan.slice_of(value)
        if slice.space.data != "prepared":
            return value
        offset = start + slice.begin - group.begin
        if (value, offset) not in slices:
            op = plan.SliceOp("prepared", 0, offset, slice.size, value.type)
            op.res.name_hint = value.name_hint
            program.body.block.add_op(op)
            slices[value, offset] = op.res
        return slices[value, offset]

    for group in groups:
        for launch in group.launches:
            copy = plan.LaunchIntoOp(
                launch.kernel.string_value(),
                [moved(v, group) for v in launch.arguments],
                first_run=group.number,
                sizes=launch.sizes,
            )
            copy.location = launch.location
            program.body.block.add_op(copy)
    overwritten = (any(end > start for _, end in _prepared(op)) for op in at_load)
    limit = next(number for number, lost in enumerate(overwritten) if lost)
    program.attributes[plan.FIRST_RUN_LIMIT] = IntegerAttr(limit, i64)


def _groups(
    at_load: Sequence[plan.LaunchIntoOp], of_a_run: Sequence[plan.LaunchIntoOp]
) -> list[_Group]:
    """The groups in the order of a run; none unless each launch at load is in one, and they share no memory."""
    members: dict[int, list[plan.LaunchIntoOp]] = {}
    for op in at_load:
        assert op.at_load is not None
        members.setdefault(op.at_load.value.data, []).append(op)
    if any(number >= len(of_a_run) for number in members):  # what nothing needs
        return []
    groups: list[_Group] = []
    for number, launches in members.items():
        launches.append(of_a_run[number])
        ranges = [r for op in launches for r in _prepared(op)]
        groups.append(
            _Group(number, launches, min(b for b, _ in ranges), max(e for _, e in ranges))
        )
    by_place = sorted(groups, key=lambda group: group.begin)
    is_apart = all(a.end <= b.begin for a, b in pairwise(by_place))
    others = (op for number, op in enumerate(of_a_run) if number not in members)
    return groups if is_apart and not any(_prepared(op) for op in others) else []


def _prepared(launch: plan.LaunchIntoOp) -> list[tuple[int, int]]:
    """The ranges of the memory for what is computed at load that a launch uses."""
    slices = [s for s in map(plan.slice_of, launch.arguments) if s.space.data == "prepared"]
    return [(s.begin, s.begin + s.size) for s in slices]
