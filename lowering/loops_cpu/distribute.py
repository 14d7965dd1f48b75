"""`distribute-parallel-loops`: kernels whose work several threads can share.

The parallel loops of a kernel become a line of tasks, each as long as it takes (in estimated instructions). A call of
the kernel gets a range of that line, `kernel.work_range`, and runs the tasks that begin in it. So a call with half of
the line does half of the work however ragged the loops are: a tile at the end of an image is a short task, and a loop
of seven long iterations is cut inside of one of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from xdsl.context import Context
from xdsl.dialects import arith, memref, scf, vector
from xdsl.dialects.builtin import IndexType, IntegerAttr, ModuleOp, i64
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from webdnn.dialects.kernel import FuncOp, ReturnOp, WorkRangeOp
from webdnn.dialects.sizes.expression import is_symbolic, maximum
from webdnn.dialects.sizes.questions import at_most
from webdnn.dialects.sizes.substitution import likely
from webdnn.dialects.sizes.types import size_attr
from webdnn.lowering.loops_common.emitter import Emitter
from webdnn.lowering.loops_cpu.instructions import block_instructions, instructions, trip_count

INDEX = IndexType()

TASKS = 256
"""A loop whose iterations take less than this part of a kernel is not cut inside of an iteration."""
LARGEST_WORK = 2**28
"""Ranges of work are i32 arithmetic: longer lines have longer units."""

_LOADS = (memref.LoadOp, vector.LoadOp)
_STORES = (memref.StoreOp, vector.StoreOp)
_ENDS = (scf.YieldOp, scf.ReduceOp, ReturnOp)


@dataclass
class _Task:
    """Ops of a block that run together.

    Attributes:
        ops: one `scf.parallel`, or others of any kind.
        count: the iterations, if it is a loop that can be cut; else 1.
        each: the instructions of one iteration, later its units of work.
        inner: the tasks of one iteration, if it can be cut inside of iterations too.
    """

    ops: list[Operation]
    count: int = 1
    each: int = 0
    inner: list[_Task] = field(default_factory=list["_Task"])

    @property
    def is_loop(self) -> bool:
        return isinstance(self.ops[0], scf.ParallelOp) and len(self.ops) == 1

    @property
    def work(self) -> int:
        return self.count * self.each


def distribute(func: FuncOp, grain: int, shortest: int) -> bool:
    """Let calls of a kernel share its work, if it can be cut and is worth it.

    Args:
        func: a kernel of level `loops`.
        grain: the instructions that are worth one more thread.
        shortest: loops whose iterations take fewer instructions are not cut inside of an iteration.

    Returns:
        Whether the kernel has been changed.
    """
    block = func.body.block
    total = block_instructions(block)
    if func.work is not None or at_most(total) < 2 * grain:
        return False
    _split_dimensions(block)
    tasks = _tasks(block, max(likely(total) // TASKS, shortest))
    if tasks is None or at_most(sum(t.count * max(1, len(t.inner)) for t in tasks)) < 2:
        return False
    unit = -(-at_most(total) // LARGEST_WORK)
    for task in tasks:
        _measure(task, unit)
    work = sum(t.work for t in tasks)
    func.properties["work"] = size_attr(maximum(1, work) if is_symbolic(work) else work)
    func.properties["grain"] = IntegerAttr(max(1, grain // unit), i64)
    _Cutter(func).cut(tasks)
    return True


def _measure(task: _Task, unit: int) -> None:
    """From instructions to units of work: at least one a task, and no less than the tasks inside take."""
    for inner in task.inner:
        _measure(inner, unit)
    work = sum(t.work for t in task.inner)
    task.each = maximum(1, work) if task.inner else maximum(1, task.each // unit)


# what can be cut


def _tasks(block: Block, shortest: int) -> list[_Task] | None:
    """The tasks of a block, in order; None if it can only be run as a whole.

    Parallel iterations do not depend on each other, and no element of a memref is stored to by two tasks, as nothing on
    level `loops` writes an element twice; so only a task that reads what another one writes stands in the way.
    """
    tasks: list[_Task] = []
    run: list[Operation] = []

    def end_run() -> bool:
        nonlocal run
        ops, run = run, []
        kept = _without_shared(ops)
        if kept is None:
            return False
        if kept:
            tasks.append(_Task(kept, 1, sum(map(instructions, kept))))
        return True

    for op in block.ops:
        if isinstance(op, memref.AllocaOp):
            return None  # what the tasks keep in it is seen by this thread alone
        if isinstance(op, _ENDS):
            break
        if not isinstance(op, scf.ParallelOp):
            run.append(op)
            continue
        if not end_run():
            return None
        loop = _loop(op, shortest)
        if loop is None:
            return None
        tasks.append(loop)
    return tasks if end_run() and _independent(block, tasks) else None


def _loop(op: scf.ParallelOp, shortest: int) -> _Task | None:
    """A parallel loop, cut inside of its iterations if they are long."""
    if op.res:
        return None
    count = trip_count(op.lowerBound[0], op.upperBound[0], op.step[0])
    if count is None:
        return _Task([op], 1, instructions(op))
    task = _Task([op], count, block_instructions(op.body.block))
    if likely(task.each) >= shortest:
        inner = _tasks(op.body.block, shortest)
        if inner is not None and at_most(sum(t.count for t in inner)) > 1:
            task.inner = inner
    return task


def _split_dimensions(block: Block) -> None:
    """Parallel loops of several dimensions become nests of loops of one."""
    for op in list(block.walk()):
        if not isinstance(op, scf.ParallelOp) or len(op.lowerBound) < 2 or op.res:
            continue
        bounds = [list(b) for b in zip(op.lowerBound, op.upperBound, op.step, strict=True)]
        region = op.detach_region(op.body)
        for lb, ub, step in reversed(bounds[1:]):
            body = region.block
            around = Block(arg_types=[INDEX] * (len(body.args) - 1))
            for old, new in zip(list(body.args[:-1]), around.args, strict=True):
                old.replace_all_uses_with(new)
                body.erase_arg(old)
            around.add_ops([scf.ParallelOp([lb], [ub], [step], region), scf.ReduceOp()])
            region = Region(around)
        lb, ub, step = bounds[0]
        Rewriter.replace_op(op, scf.ParallelOp([lb], [ub], [step], region), [])


def _is_free(op: Operation) -> bool:
    """Whether every thread may run the op: it is short and changes nothing."""
    return not op.regions and not isinstance(op, _STORES)


def _without_shared(ops: list[Operation]) -> list[Operation] | None:
    """Those of some neighbouring ops that only one thread needs to run.

    What others need as well must be free, and moves before them. None if it is not.
    """
    inside: set[Operation] = set()
    block = ops[0].parent if ops else None
    for op in reversed(ops):
        users = {_at_level(u.operation, block) for r in op.results for u in r.uses}
        if users <= inside and (users or not _is_free(op)):
            inside.add(op)
        elif not _is_free(op):
            return None
    for op in ops:
        if op not in inside and any(v.owner in inside for v in op.operands):
            return None
    return [op for op in ops if op in inside]


def _at_level(op: Operation, block: Block | None) -> Operation:
    """The op of a block that an op is inside of."""
    while op.parent is not block:
        around = op.parent_op()
        assert around is not None
        op = around
    return op


def _accesses(ops: Iterable[Operation]) -> tuple[set[SSAValue], set[SSAValue]]:
    """The memrefs that ops read, and those that they write."""
    read: set[SSAValue] = set()
    written: set[SSAValue] = set()
    for op in ops:
        for inner in op.walk():
            if isinstance(inner, memref.LoadOp):
                read.add(inner.memref)
            elif isinstance(inner, vector.LoadOp):
                read.add(inner.base)
            elif isinstance(inner, memref.StoreOp):
                written.add(inner.memref)
            elif isinstance(inner, vector.StoreOp):
                written.add(inner.base)
    return read, written


def _independent(block: Block, tasks: list[_Task]) -> bool:
    """Whether no task reads what another one writes, and the loads that all share read what none writes."""
    accesses = [_accesses(t.ops) for t in tasks]
    held = {op for t in tasks for op in t.ops}
    accesses.append(_accesses(op for op in block.ops if op not in held))
    return not any(
        read & written
        for i, (read, _) in enumerate(accesses)
        for j, (_, written) in enumerate(accesses)
        if i != j
    )


# cutting


class _Cutter:
    """Writes the range of work that a call does into the loops of a kernel."""

    def __init__(self, func: FuncOp) -> None:
        self._block = block = func.body.block
        self._first = block.first_op
        self._symbols = func.symbols
        self._constants: dict[Attribute, SSAValue] = {}
        self._sizes: dict[int, SSAValue] = {}
        self._clamped: dict[tuple[int, int], SSAValue] = {}
        self._range = WorkRangeOp()
        self._at_start(self._range)

    def cut(self, tasks: list[_Task]) -> None:
        self._cut_all(tasks, None)

    def _cut_all(self, tasks: list[_Task], base: SSAValue | None) -> None:
        """Cut tasks of which the first one begins at `base` (None for 0)."""
        offset: int = 0
        for task in tasks:
            if task.is_loop and (task.inner or at_most(task.count) > 1):
                self._cut_loop(task, base, offset)
            else:
                self._guard(task, base, offset)
            offset += task.work

    def _cut_loop(self, task: _Task, base: SSAValue | None, offset: int) -> None:
        (loop,) = task.ops
        assert isinstance(loop, scf.ParallelOp)
        new = _Ops(self, loop)
        begin = new.since(self._range.begin, base, offset)
        end = new.since(self._range.end, base, offset)
        each, count = self._at_least(task.each, 1), self._at_least(task.count, 0)
        # An iteration that is cut inside of it takes part wherever a piece of it does.
        first = (arith.DivUIOp if task.inner else arith.CeilDivUIOp)(begin, each)
        first = new.add(arith.MinSIOp(new.add(first), count))
        last = new.add(arith.MinSIOp(new.add(arith.CeilDivUIOp(end, each)), count))
        lower, step = loop.lowerBound[0], loop.step[0]

        def bound(number: SSAValue) -> SSAValue:
            return new.sum(lower, new.product(number, step))

        if task.inner:
            body = loop.body.block
            inside = _Ops(self, body.first_op)
            number = inside.quotient(inside.difference(body.args[0], lower), step)
            begins = inside.sum(inside.product(number, each), self.index(offset))
            if base is not None:
                begins = inside.sum(begins, base)
            self._cut_all(task.inner, begins)
        low, high = bound(first), bound(last)
        if not _is(step, 1):  # the last step may lead behind the end
            high = new.add(arith.MinSIOp(high, loop.upperBound[0]))
        loop.operands[0], loop.operands[1] = low, high

    def _guard(self, task: _Task, base: SSAValue | None, offset: int) -> None:
        """Run a task only if it begins in the range."""
        new = _Ops(self, task.ops[0])
        start = self.index(offset) if base is None else new.sum(base, self.index(offset))
        after = new.add(arith.CmpiOp(self._range.begin, start, "sle"))
        before = new.add(arith.CmpiOp(start, self._range.end, "slt"))
        body = Block()
        last = task.ops[-1]
        guard = scf.IfOp(new.add(arith.AndIOp(after, before)), [], Region(body))
        self._parent(last).insert_op_after(guard, last)
        for op in task.ops:
            op.detach()
            body.add_op(op)
        body.add_op(scf.YieldOp())

    @staticmethod
    def _parent(op: Operation) -> Block:
        block = op.parent
        assert block is not None
        return block

    def index(self, value: int) -> SSAValue:
        """A size, at the start of the kernel."""
        if is_symbolic(value):
            if value not in self._sizes:
                self._sizes[value] = self._computed(value)
            return self._sizes[value]
        attr = IntegerAttr(value, INDEX)
        if (known := self._constants.get(attr)) is None:
            op = arith.ConstantOp(attr)
            self._at_start(op)
            self._constants[attr] = known = op.result
        return known

    def _at_least(self, value: int, least: int) -> SSAValue:
        """A size that is never less than `least`, in a form that says so: what depends on it keeps a known range, and
        addresses their constant offsets."""
        size = self.index(value)
        if not is_symbolic(value):
            return size
        known = self._clamped.get((value, least))
        if known is None:
            op = arith.MaxSIOp(size, self.index(least))
            self._at_start(op)
            self._clamped[value, least] = known = op.result
        return known

    def _computed(self, value: int) -> SSAValue:
        block = Block(arg_types=[INDEX] * len(self._symbols))
        result = Emitter(block, self._symbols).size(value)
        for arg, operand in zip(block.args, self._block.args, strict=False):
            result = operand if result is arg else result
            arg.replace_all_uses_with(operand)
        for op in list(block.ops):
            op.detach()
            self._at_start(op)
        return result

    def _at_start(self, op: Operation) -> None:
        assert self._first is not None
        self._block.insert_op_before(op, self._first)


class _Ops:
    """Inserts ops before one op; sums and products with the neutral element are left out."""

    def __init__(self, cutter: _Cutter, before: Operation | None) -> None:
        assert before is not None
        self._cutter = cutter
        self._before = before

    def add(self, op: Operation) -> SSAValue:
        block = self._before.parent
        assert block is not None
        block.insert_op_before(op, self._before)
        return op.results[0]

    def sum(self, a: SSAValue, b: SSAValue) -> SSAValue:
        if _is(a, 0):
            return b
        return a if _is(b, 0) else self.add(arith.AddiOp(a, b))

    def difference(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return a if _is(b, 0) else self.add(arith.SubiOp(a, b))

    def product(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return a if _is(b, 1) else self.add(arith.MuliOp(a, b))

    def quotient(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return a if _is(b, 1) else self.add(arith.DivUIOp(a, b))

    def since(self, point: SSAValue, base: SSAValue | None, offset: int) -> SSAValue:
        """How far a point of the line lies behind `base + offset`; 0 if it lies before."""
        start = self._cutter.index(offset)
        if base is not None:
            start = self.sum(base, start)
        if _is(start, 0):
            return point
        return self.add(arith.MaxSIOp(self.difference(point, start), self._cutter.index(0)))


def _is(value: SSAValue, number: int) -> bool:
    owner = value.owner
    return (
        isinstance(owner, arith.ConstantOp)
        and isinstance(owner.value, IntegerAttr)
        and owner.value.value.data == number
    )


@dataclass(frozen=True)
class DistributeParallelLoops(ModulePass):
    """Let several threads share the work of each kernel that is large enough.

    `grain`: the instructions that are worth one more thread. `shortest`: loops whose iterations take fewer instructions
    are not cut inside of an iteration.
    """

    name = "distribute-parallel-loops"

    grain: int = 5000
    shortest: int = 8192

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for func in op.ops:
            if isinstance(func, FuncOp) and func.is_lowered and func.grid is None:
                distribute(func, self.grain, self.shortest)
