"""`place-parts`: what is concatenated is written where it shall lie, so that nothing is copied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from math import prod

from xdsl.context import Context
from xdsl.dialects import func, tensor
from xdsl.dialects.builtin import ModuleOp, StringAttr, SymbolRefAttr, TensorType
from xdsl.ir import Attribute, Block, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects import kernel, plan
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.plan import storage_of
from webdnn.dialects.sizes.expression import bounds, is_symbolic
from webdnn.dialects.sizes.types import shape_of
from webdnn.lowering.kernels.layouts import (
    Layouts,
    Strides,
    narrowed,
    row_major,
    seen_as,
)
from webdnn.lowering.kernels.live_bytes import LiveBytes, Merged
from webdnn.lowering.target import LoweringTarget, MemoryModel, lowering_target
from webdnn.lowering.weights_function import find_function

LEAST_RUN = 16
"""Bytes that lie together in each row of a part: a vector. Shorter rows would be stored element by element."""


MAX_NESTING = 32
"""Wholes in wholes in wholes. Each asks of all that it holds whether it can lie at its strides: so a tensor to which a
thousand steps append is copied now and then. (The longest block of DenseNet121 has 24 layers.)"""
MAX_TRIES = 16
"""Numbers of parts of one whole that are tried where not all can be written in place."""


@dataclass(frozen=True)
class PlaceParts(ModulePass):
    """Launches of kernels that concatenate become `plan.concat` wherever their operands can be written in place.

    Kernels that write a part, or read it, get `strides`. What cannot be a part (weights, inputs and outputs of the
    model, what is a part already) is copied to its place, by a kernel of its own. So is what would have to have its
    place for so long that more memory would be needed.
    """

    name = "place-parts"

    target: str = "wasm"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        main = find_function(op, plan.ENTRY)
        if main is None:  # kernels on their own
            return
        target = lowering_target(self.target)
        placer = _Placer(op, main.body.block, target)
        placer.place_all()
        assign_strides(op, main.body.block, target)


def _concat_axis(function: kernel.FuncOp) -> int | None:
    """The axis along which a kernel concatenates its operands, if it does no more than that."""
    ops = list(function.body.block.ops)
    if len(ops) != 2 or not isinstance(ops[0], tensor.ConcatOp):
        return None
    return ops[0].dim.value.data if [*ops[0].inputs] == [*function.body.block.args] else None


@dataclass
class _Change:
    """A launch that has been taken out of the host program, and what is in its place."""

    launch: plan.LaunchOp
    whole: plan.ConcatOp
    copies: list[plan.LaunchOp]
    merged: Merged

    def undo(self) -> None:
        """Put the launch back."""
        Rewriter.insert_op(self.launch, InsertPoint.before(self.whole))
        self.whole.res.replace_all_uses_with(self.launch.outs[0])
        for op in (self.whole, *self.copies):
            Rewriter.erase_op(op)


@dataclass
class _Placer:
    module: ModuleOp
    block: Block
    target: LoweringTarget
    kernels: dict[str, kernel.FuncOp] = field(init=False)
    layouts: Layouts = field(init=False)
    live: LiveBytes = field(init=False)
    copies: dict[Attribute, str] = field(default_factory=dict[Attribute, str])
    at_load: set[Operation] = field(default_factory=set[Operation])
    """The launches that depend on weights alone: what they give is kept from run to run."""
    nesting: dict[SSAValue, int] = field(default_factory=dict[SSAValue, int])
    """How many wholes there are in a whole."""

    def __post_init__(self) -> None:
        self.kernels = kernel.kernels_of(self.module)
        self.layouts = Layouts(self.block)
        self.live = LiveBytes(self.block, self.target.memory)
        for op in self.block.ops:
            if isinstance(op, plan.LaunchOp) and all(map(self._is_constant, op.arguments)):
                self.at_load.add(op)

    def _is_constant(self, value: SSAValue) -> bool:
        owner = storage_of(value).owner
        return isinstance(owner, plan.WeightOp) or owner in self.at_load

    def place_all(self) -> None:
        """Replace the launches of concatenations where memory allows."""
        launches = [op for op in self.block.ops if isinstance(op, plan.LaunchOp)]
        concats: list[tuple[plan.LaunchOp, int]] = []
        for launch in launches:
            axis = _concat_axis(self.kernels[launch.kernel.string_value()])
            if axis is not None:
                concats.append((launch, axis))
        if not concats:
            return
        for change in self._place_within(concats, self.live.most()):
            change.launch.erase()

    def _place_within(
        self, concats: Sequence[tuple[plan.LaunchOp, int]], limit: int
    ) -> list[_Change]:
        """Replace launches of concatenations while at most `limit` bytes are alive at a step.

        Few are in the way of that: so all are replaced at once, or else each half of them.
        """
        if len(concats) == 1:
            change = self._place(*concats[0], limit)
            return [change] if change is not None else []
        changes = [c for launch, axis in concats if (c := self._place(launch, axis, None))]
        if self.live.most() <= limit:
            return changes
        for change in reversed(changes):
            self._undo(change)
        middle = len(concats) // 2
        return [
            *self._place_within(concats[:middle], limit),
            *self._place_within(concats[middle:], limit),
        ]

    def _place(self, launch: plan.LaunchOp, axis: int, limit: int | None) -> _Change | None:
        """Replace the launch of a concatenation, if anything of it can be written in place while at most `limit` bytes
        are alive at a step."""
        strides = self.layouts.of(launch.outs[0]).strides
        parts = [v for v in launch.arguments if 0 not in shape_of(v)]
        placed: dict[SSAValue, int] = {}
        for number, value in enumerate(parts):
            storage = storage_of(value)
            if storage not in placed and self._can_be_part(value, strides):
                placed[storage] = number
        # what has been there for the longest time keeps the most memory
        by_age = sorted(placed, key=self.live.since)
        step = -(-len(by_age) // MAX_TRIES)
        for first in range(0, len(by_age), max(step, 1)):
            change = self._replace(launch, axis, parts, {placed[v] for v in by_age[first:]})
            if limit is None or self.live.most() <= limit:
                return change
            self._undo(change)
        return None

    def _undo(self, change: _Change) -> None:
        change.undo()
        self.live.part(change.merged)

    def _can_be_part(self, value: SSAValue, strides: Strides) -> bool:
        """Whether a tensor can lie among others at the strides of a whole."""
        storage = storage_of(value)
        if self.nesting.get(storage, 0) >= MAX_NESTING:
            return False
        own = seen_as(value, narrowed(value, strides), storage)
        return own is not None and self._fits(storage, own)

    def _fits(self, value: SSAValue, strides: Strides, around: Operation | None = None) -> bool:
        """Whether a tensor, all views of it and all of its parts can lie at strides.

        `around`: the one op whose part it may be already.
        """
        if not _has_vectors(value, strides, self.target.memory) or any(map(is_symbolic, strides)):
            return False
        for use in value.uses:
            op = use.operation
            if isinstance(op, func.ReturnOp) or (
                isinstance(op, plan.ConcatOp) and op is not around
            ):
                return False
            if isinstance(op, plan.ViewOp):
                seen = seen_as(value, strides, op.res)
                if seen is None or not self._fits(op.res, seen, around):
                    return False
        match value.owner:
            case plan.ViewOp():
                return True
            case plan.ConcatOp() as op:
                return all(
                    (own := seen_as(p, narrowed(p, strides), storage_of(p))) is not None
                    and self._fits(storage_of(p), own, op)
                    for p in op.parts
                )
            case plan.LaunchOp() as op:
                return op not in self.at_load and op.over is None
            case _:
                return False

    def _replace(
        self, launch: plan.LaunchOp, axis: int, parts: list[SSAValue], placed: set[int]
    ) -> _Change:
        """Put a `plan.concat` in the place of a launch, with copies of all parts but those numbered in `placed`."""
        (result,) = launch.outs
        before = InsertPoint.before(launch)
        copies = [self._copy(v, axis) for n, v in enumerate(parts) if n not in placed]
        copied = iter(copies)
        values = [v if n in placed else next(copied).outs[0] for n, v in enumerate(parts)]
        whole = plan.ConcatOp(axis, values, result.type)
        Rewriter.insert_op([*copies, whole], before)
        result.replace_all_uses_with(whole.res)
        whole.res.name_hint = result.name_hint
        launch.detach()
        placed_in = [storage_of(parts[n]) for n in placed]
        self.nesting[whole.res] = 1 + max(self.nesting.get(v, 0) for v in placed_in)
        return _Change(launch, whole, copies, self.live.merge(whole.res, result, placed_in))

    def _copy(self, value: SSAValue, axis: int) -> plan.LaunchOp:
        """A launch that copies a tensor."""
        if value.type not in self.copies:
            numbered = (f"copy_{n}" for n in count())
            name = next(name for name in numbered if name not in self.kernels)
            function = kernel.FuncOp(name, ([value.type], [value.type]))
            (argument,) = function.body.block.args
            assert isinstance(value.type, TensorType)
            copied = tensor.ConcatOp([argument], axis, value.type)
            function.body.block.add_ops([copied, kernel.ReturnOp(copied.result)])
            self.module.body.block.add_op(function)
            self.copies[value.type] = name
            self.kernels[name] = function
        return plan.LaunchOp(self.copies[value.type], [value], [value.type])


def _has_vectors(value: SSAValue, strides: Strides, memory: MemoryModel) -> bool:
    """Whether neighbours lie together, as many as a vector holds or all that there are."""
    run = 1
    shape = shape_of(value)
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1 and stride != run:
            break
        run *= size
    assert isinstance(value.type, TensorType)
    element = memory.element_bytes(value.type.element_type)
    return run == prod(shape) or bounds(run * element)[0] >= LEAST_RUN


def assign_strides(module: ModuleOp, block: Block, target: LoweringTarget) -> None:
    """Give kernels whose operands or results are parts the strides of these: each launch the kernel that fits it.

    Kernels that are launched no more are erased.
    """
    kernels = kernel.kernels_of(module)
    layouts = Layouts(block)
    variants: dict[tuple[str, tuple[Strides, ...]], str] = {}
    counts: dict[str, int] = {}
    for launch in block.ops:
        if not isinstance(launch, plan.LaunchOp):
            continue
        strides = tuple(_own_strides(layouts, v) for v in (*launch.arguments, *launch.outs))
        name = launch.kernel.string_value()
        if not any(strides):
            variants[name, ()] = name
            continue
        if (name, strides) not in variants:
            number = counts[name] = counts.get(name, -1) + 1
            variant = kernels[name].clone()
            variant.sym_name = StringAttr(f"{name}_part_{number}")
            variant.set_strides(strides)
            _check_schedule(variant, target)
            module.body.block.insert_op_before(variant, kernels[name])
            variants[name, strides] = variant.sym_name.data
        launch.kernel = SymbolRefAttr(variants[name, strides])
    used = set(variants.values())
    for name, function in kernels.items():
        if name not in used:
            Rewriter.erase_op(function)


def _own_strides(layouts: Layouts, value: SSAValue) -> Strides:
    """The strides of a tensor, or nothing if its elements lie one after the other."""
    strides = layouts.of(value).strides
    return () if strides == row_major(shape_of(value)) else strides


def _check_schedule(function: kernel.FuncOp, target: LoweringTarget) -> None:
    """Remove a schedule that was made for rows that lie together, where it does not fit others."""
    try:
        target.check_schedule(function, ())
    except WebDNNError:
        del function.properties["schedule"]
