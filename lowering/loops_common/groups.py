"""Which stages of a kernel run together for each tile of the dimensions that they share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

from xdsl.ir.affine import AffineDimExpr, AffineExpr

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp
from webdnn.lowering.loops_common.affine import used_dims
from webdnn.lowering.loops_common.reader import KernelReader
from webdnn.lowering.loops_common.stages import Buffer, Gather, Group, Read, Stage

Key = tuple[int, int]
"""A dimension of a stage: the number of the stage and of the dimension."""


class _Classes:
    """Dimensions of stages that walk the same dimension of a tensor that one hands to another."""

    def __init__(self) -> None:
        self._parent: dict[Key, Key] = {}
        self._split: set[Key] = set()

    def find(self, key: Key) -> Key:
        parent = self._parent.setdefault(key, key)
        if parent != key:
            parent = self._parent[key] = self.find(parent)
        return parent

    def unite(self, a: Key, b: Key) -> None:
        self._parent[self.find(a)] = self.find(b)

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


def read_groups(func: FuncOp, *, scratch_elements: int) -> list[Group]:
    """Read a kernel as groups of stages.

    Args:
        func: a kernel on level `kernels`.
        scratch_elements: how many elements of scratch memory one tile of one point along the shared dimensions may use.

    Raises:
        WebDNNError: the kernel holds an op that no kernel may hold, or needs more scratch memory.
    """
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


def _reads(stage: Stage) -> Iterable[Read | Gather]:
    return (n for n in stage.nodes() if isinstance(n, Read | Gather))


def _groups(stages: list[Stage]) -> list[Group]:
    """Stages that hand a tensor on are in one group."""
    writer: dict[int, list[int]] = {}
    for i, stage in enumerate(stages):
        for output in stage.outputs:
            writer.setdefault(id(output.buffer), []).append(i)
    group_of = list(range(len(stages)))

    def root(i: int) -> int:
        while group_of[i] != i:
            i = group_of[i]
        return i

    for i, stage in enumerate(stages):
        for node in _reads(stage):
            for w in writer.get(id(node.buffer), []):
                a, b = sorted((root(w), root(i)))
                group_of[b] = a
    by_root: dict[int, list[int]] = {}
    for i in range(len(stages)):
        by_root.setdefault(root(i), []).append(i)
    return [_group([stages[i] for i in members]) for members in by_root.values()]


def _group(stages: list[Stage]) -> Group:
    group = Group(stages)
    written = {id(o.buffer): o.buffer for s in stages for o in s.outputs}
    group.scratch = [b for b in written.values() if b.is_scratch]
    if len(stages) > 1:
        group.outer = _outer(stages)
    for buffer in group.scratch:
        buffer.extents = _extents(buffer, group)
    return group


def _outer(stages: list[Stage]) -> list[tuple[int, ...]]:
    classes = _Classes()
    writes: dict[int, list[tuple[int, tuple[AffineExpr, ...]]]] = {}
    for i, stage in enumerate(stages):
        for output in stage.outputs:
            writes.setdefault(id(output.buffer), []).append((i, output.index))
    for i, stage in enumerate(stages):
        for node in _reads(stage):
            for j, target in writes.get(id(node.buffer), []):
                for axis, to in enumerate(target):
                    at = node.index[axis]
                    if isinstance(to, AffineDimExpr) and isinstance(at, AffineDimExpr):
                        classes.unite((j, to.position), (i, at.position))
                        continue
                    for d in used_dims(to):
                        classes.split((j, d))
                    if isinstance(at, AffineExpr):
                        for d in used_dims(at):
                            classes.split((i, d))
    outer: list[tuple[int, ...]] = []
    for members in classes.members():
        if [i for i, _ in members] != list(range(len(stages))):
            continue
        sizes = {stages[i].sizes[d] for i, d in members}
        if len(sizes) == 1 and all(d < stages[i].num_parallel for i, d in members):
            outer.append(tuple(d for _, d in members))
    return sorted(outer, key=lambda dims: dims[-1])


def _extents(buffer: Buffer, group: Group) -> tuple[int, ...]:
    """The extents of a scratch buffer for a tile of one point along the shared dimensions."""
    return scratch_extents(buffer, group, [1] * len(group.outer))


def scratch_extents(buffer: Buffer, group: Group, tile: Sequence[int]) -> tuple[int, ...]:
    """The extents of a scratch buffer for a tile of the shared dimensions."""
    extents = list(buffer.shape)
    for i, stage in enumerate(group.stages):
        for output in stage.outputs:
            if output.buffer is buffer:
                for axis, expr in enumerate(output.index):
                    for number, dims in enumerate(group.outer):
                        if isinstance(expr, AffineDimExpr) and expr.position == dims[i]:
                            extents[axis] = min(tile[number], buffer.shape[axis])
    return tuple(extents)
