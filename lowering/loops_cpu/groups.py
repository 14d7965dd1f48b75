"""Which stages of a kernel run together for each tile of the dimensions that they share."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.linalg_ext import ordering_op
from webdnn.dialects.sizes.questions import at_most
from webdnn.lowering.loops_common.expression import Buffer
from webdnn.lowering.loops_common.linear import Dim, Lin, Quotient, Remainder
from webdnn.lowering.loops_cpu.reader import KernelReader
from webdnn.lowering.loops_cpu.stages import Group, SharedDim, Stage

Key = tuple[int, int]
"""A dimension of a stage: the number of the stage and of the dimension."""


class _Classes:
    """Dimensions of stages that walk the same dimension of a tensor that one hands to another."""

    def __init__(self) -> None:
        self._parent: dict[Key, Key] = {}
        self._split: set[Key] = set()
        self._steps: list[tuple[Key, Key, int]] = []

    def find(self, key: Key) -> Key:
        parent = self._parent.setdefault(key, key)
        if parent != key:
            parent = self._parent[key] = self.find(parent)
        return parent

    def unite(self, a: Key, b: Key, step: int = 1) -> None:
        """Say that `step` points of b read what one point of a has written."""
        self._parent[self.find(a)] = self.find(b)
        self._steps.append((a, b, step))

    def split(self, key: Key) -> None:
        """Say that a dimension reads what other points of its class have written."""
        self._split.add(key)

    def members(self) -> list[list[Key]]:
        """The classes whose points do not depend on each other."""
        bad = {self.find(k) for k in self._split}
        classes: dict[Key, list[Key]] = {}
        for key in list(self._parent):
            classes.setdefault(self.find(key), []).append(key)
        return [sorted(c) for root, c in classes.items() if root not in bad]

    def steps(self, members: Sequence[Key]) -> tuple[int, ...] | None:
        """How many points of each member make one of the coarsest; None where two ways to it differ."""
        found = {members[0]: Fraction(1)}
        edges = [e for e in self._steps if e[0] in members]
        for _ in members:
            for a, b, step in edges:
                if a in found:
                    found.setdefault(b, found[a] * step)
                elif b in found:
                    found[a] = found[b] / step
        if any(found[b] != found[a] * step for a, b, step in edges):
            return None
        least = min(found.values())
        steps = [found[m] / least for m in members]
        return tuple(int(s) for s in steps) if all(s.denominator == 1 for s in steps) else None


def read_groups(func: FuncOp, *, scratch_elements: int) -> list[Group]:
    """Read a kernel as groups of stages; a kernel of a `linalg_ext` op has none, as its loops are the op's own.

    Args:
        func: a kernel on level `kernels`.
        scratch_elements: how many elements of scratch memory one tile of one point along the shared dimensions may use.

    Raises:
        WebDNNError: the kernel holds an op that no kernel may hold, or needs more scratch memory.
    """
    if ordering_op(func.body.block) is not None:
        return []
    reader = KernelReader(func)
    costly = reader.place_costly()
    groups = _groups(reader.stages())
    while costly and _scratch(groups) > scratch_elements:
        reader.unplace(costly.pop())
        groups = _groups(reader.stages())
    if (needed := _scratch(groups)) > scratch_elements:
        raise WebDNNError(
            f"a kernel needs {needed} elements of scratch memory",
            where=func.sym_name.data,
            why=f"at most {scratch_elements} elements may be kept between the stages of a kernel",
            hint="compute the intermediate tensor in a kernel of its own",
        )
    return groups


def _scratch(groups: Sequence[Group]) -> int:
    return max((sum(prod(b.extents) for b in g.scratch) for g in groups), default=0)


def _groups(stages: list[Stage]) -> list[Group]:
    """Stages that hand a tensor on are in one group."""
    writer: dict[int, list[int]] = {}
    for i, stage in enumerate(stages):
        for store in stage.stores:
            writer.setdefault(id(store.buffer), []).append(i)
    group_of = list(range(len(stages)))

    def root(i: int) -> int:
        while group_of[i] != i:
            i = group_of[i]
        return i

    for i, stage in enumerate(stages):
        for node in stage.loads():
            for w in writer.get(id(node.buffer), []):
                a, b = sorted((root(w), root(i)))
                group_of[b] = a
    by_root: dict[int, list[int]] = {}
    for i in range(len(stages)):
        by_root.setdefault(root(i), []).append(i)
    return [_group([stages[i] for i in members]) for members in by_root.values()]


def _group(stages: list[Stage]) -> Group:
    group = Group(stages)
    written = {id(o.buffer): o.buffer for s in stages for o in s.stores}
    group.scratch = [b for b in written.values() if b.is_scratch]
    if len(stages) > 1:
        group.outer = _outer(stages)
    for buffer in group.scratch:
        buffer.extents = _extents(buffer, group)
    return group


def _outer(stages: list[Stage]) -> list[SharedDim]:
    classes = _Classes()

    def key(stage: int, dim: Dim) -> Key:
        return stage, stages[stage].dims.index(dim)

    writes: dict[int, list[tuple[int, tuple[Lin, ...]]]] = {}
    for i, stage in enumerate(stages):
        for store in stage.stores:
            writes.setdefault(id(store.buffer), []).append((i, store.index))
    for i, stage in enumerate(stages):
        for node in stage.loads():
            for j, target in writes.get(id(node.buffer), []):
                for axis, to in enumerate(target):
                    at = node.index[axis]
                    if to.dim is not None and at.dim is not None:
                        classes.unite(key(j, to.dim), key(i, at.dim))
                        continue
                    block = _block(at)
                    if to.dim is not None and block is not None:
                        classes.unite(key(j, to.dim), key(i, block[0]), block[1])
                        continue
                    for dim in to.dims:
                        classes.split(key(j, dim))
                    if not any(True for _ in at.nodes()):
                        for dim in at.dims - {_place(at, node.index)}:
                            classes.split(key(i, dim))
    outer: list[SharedDim] = []
    for members in classes.members():
        if [i for i, _ in members] != list(range(len(stages))):
            continue
        if any(d >= stages[i].num_parallel for i, d in members):
            continue
        sizes = [stages[i].sizes[d] for i, d in members]
        steps = classes.steps(members)
        if steps is not None:
            shared = SharedDim(tuple(d for _, d in members), steps, sizes[steps.index(max(steps))])
            if all(shared.extent(i, shared.size) == n for i, n in enumerate(sizes)):
                outer.append(shared)
    return sorted(outer, key=lambda shared: shared.dims[-1])


def _block(at: Lin) -> tuple[Dim, int] | None:
    """The dimension and the extent of its blocks, of an index that numbers blocks: `d floordiv extent`."""
    if isinstance(at.atom, Quotient) and at.atom.form.dim is not None:
        return at.atom.form.dim, at.atom.divisor
    return None


def _place(at: Lin, index: Sequence[Lin]) -> Dim | None:
    """The dimension of an index that counts inside of blocks (`d mod extent`), where another index of the same read
    numbers these blocks: all of a block is read wherever one point of it is."""
    if isinstance(at.atom, Remainder) and at.atom.form.dim is not None:
        found = at.atom.form.dim, at.atom.divisor
        return found[0] if found in map(_block, index) else None
    return None


def _extents(buffer: Buffer, group: Group) -> tuple[int, ...]:
    """The extents of a scratch buffer for the smallest tile along the shared dimensions."""
    return scratch_extents(buffer, group, [shared.step for shared in group.outer])


def scratch_extents(buffer: Buffer, group: Group, tile: Sequence[int]) -> tuple[int, ...]:
    """The extents of a scratch buffer for a tile of the shared dimensions, in points where they are finest. Of sizes
    that depend on symbols they are the greatest."""
    extents = [at_most(size) for size in buffer.shape]
    for i, stage in enumerate(group.stages):
        for store in stage.stores:
            if store.buffer is buffer:
                for axis, at in enumerate(store.index):
                    for shared, size in zip(group.outer, tile, strict=True):
                        if at.dim is stage.dims[shared.dims[i]]:
                            extent = at_most(shared.extent(i, size))
                            extents[axis] = min(extent, at_most(buffer.shape[axis]))
    return tuple(extents)
