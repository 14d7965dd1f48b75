"""Cuts a kernel of structured ops on tensors into stages."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn, cast

from xdsl.dialects import arith, math, tensor
from xdsl.dialects.linalg.attrs import IteratorType
from xdsl.dialects.linalg.ops import FillOp, GenericOp
from xdsl.ir import OpResult, SSAValue
from xdsl.ir.affine import AffineConstantExpr, AffineDimExpr, AffineExpr

from webdnn.dialects import arith_ext
from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.kernel_ops import is_reduction, loop_sizes
from webdnn.lowering.loops_common.elements import ElementReader, Position
from webdnn.lowering.loops_common.expression import Accumulator, Buffer, Load, Node, Store, walk
from webdnn.lowering.loops_common.linear import Dim, Lin
from webdnn.lowering.loops_cpu.stages import Stage

_COSTLY = (
    math.ExpOp,
    math.LogOp,
    math.TanhOp,
    math.ErfOp,
    math.PowFOp,
    math.SinOp,
    math.CosOp,
    math.SqrtOp,
    arith.DivfOp,
    arith_ext.RemFOp,
)


class NeedsPlace(Exception):
    """A tensor that cannot be computed where it is read."""

    def __init__(self, value: SSAValue) -> None:
        super().__init__()
        self.value = value


@dataclass
class Host:
    """How an element is built: inside of the stage of reduction `op`, or of no reduction."""

    op: GenericOp | None = None
    members: set[SSAValue] = field(default_factory=set[SSAValue])
    """Placed values that this stage itself computes."""
    reads: list[tuple[int, Position]] = field(default_factory=list[tuple[int, Position]])
    """Where results of `op` are read: the number of the result and the position."""


class KernelReader(ElementReader):
    """Cuts a kernel into stages."""

    def __init__(self, func: FuncOp) -> None:
        super().__init__(func)
        self.placed: dict[SSAValue, Buffer] = {}
        """Computed tensors that have a place in memory."""
        for value, buffer in zip(self.returned, self.outputs, strict=True):
            if isinstance(value, OpResult):
                self.placed.setdefault(value, buffer)
        self._accumulators: dict[GenericOp, list[Accumulator]] = {}
        self._dims: dict[tuple[int, ...], list[Dim]] = {}
        self._host = Host()
        self._order = {op: i for i, op in enumerate(func.body.block.ops)}

    # elements

    @contextmanager
    def _inside(self, host: Host) -> Generator[None]:
        """Elements are built as `host` says."""
        before = self._host, self._elements, self._results
        self._host, self._elements, self._results = host, {}, {}
        try:
            yield
        finally:
            self._host, self._elements, self._results = before

    def _element(self, value: SSAValue, index: Position) -> Node:
        if value in self.placed and value not in self._host.members:
            return self.load(self.placed[value], index)
        return super()._element(value, index)

    def reduced(self, op: GenericOp, number: int, index: Position) -> Node:
        if op is not self._host.op:
            raise NeedsPlace(op.results[number])
        self._host.reads.append((number, index))
        return self._accumulators_of(op)[number]

    def not_inlined(self, value: SSAValue, why: str) -> NoReturn:
        raise NeedsPlace(value)

    def gathered(self, value: SSAValue, index: Position) -> Node:
        if isinstance(value, OpResult):
            if isinstance(value.op, FillOp):
                return self.scalar(value.op.inputs[0])
            if value not in self.placed:
                raise NeedsPlace(value)
            return self.load(self.placed[value], index)
        return self.element(value, index)

    def _accumulators_of(self, op: GenericOp) -> list[Accumulator]:
        """The accumulators of a reduction: one node each, however often it is asked for."""
        if op not in self._accumulators:
            self._accumulators[op] = [
                Accumulator(element_of(r), i) for i, r in enumerate(op.results)
            ]
        return self._accumulators[op]

    def _dims_of(self, shape: tuple[int, ...]) -> list[Dim]:
        """A dimension for each axis of a tensor; those of one shape are the same."""
        if shape not in self._dims:
            self._dims[shape] = [Dim(f"d{i}", size) for i, size in enumerate(shape)]
        return self._dims[shape]

    # stages

    def stages(self) -> list[Stage]:
        """Cut the kernel into stages, each after those whose results it reads."""
        while True:
            try:
                return self._sorted(self._try_stages())
            except NeedsPlace as e:
                self.place(e.value)

    def place(self, value: SSAValue) -> None:
        """Give a tensor a place in scratch memory."""
        if value in self.placed:
            raise self.fail("a stage of a kernel depends on itself")
        self.placed[value] = Buffer(shape_of(value), element_of(value))

    def place_costly(self) -> list[SSAValue]:
        """Place the tensors that cost much and are read more than once; returns them."""
        found: list[SSAValue] = []
        for op in self.func.body.block.ops:
            if not isinstance(op, GenericOp) or is_reduction(op):
                continue
            if not any(isinstance(inner, _COSTLY) for inner in op.body.block.ops):
                continue
            for result in op.results:
                uses = sum(1 for _ in result.uses)
                if uses > 1 and result not in self.placed:
                    self.place(result)
                    found.append(result)
        return found

    def unplace(self, value: SSAValue) -> None:
        """Compute a tensor where it is read."""
        del self.placed[value]

    def _try_stages(self) -> list[Stage]:
        self._nodes.clear()
        self._elements.clear()
        self._results.clear()
        self._accumulators.clear()
        self._dims.clear()
        # what the stage of a reduction computes beside its results
        hosts: dict[GenericOp, set[SSAValue]] = {}
        roots: dict[GenericOp, list[tuple[SSAValue, Buffer]]] = {}
        loose: list[tuple[SSAValue, Buffer]] = []
        targets = list(self.placed.items())
        targets += [
            (v, b)
            for v, b in zip(self.returned, self.outputs, strict=True)
            if self.placed.get(v) is not b
        ]
        for value, buffer in targets:
            op = value.op if isinstance(value, OpResult) else None
            if isinstance(op, GenericOp) and is_reduction(op):
                hosts.setdefault(op, set())
                continue
            host = self._host_of(value)
            if host is None:
                loose.append((value, buffer))
            else:
                hosts.setdefault(host, set()).add(value)
                roots.setdefault(host, []).append((value, buffer))
        # reductions that only other stages read have been placed by now; each host makes a stage
        stages = [
            self._reduction_stage(op, members, roots.get(op, []), targets)
            for op, members in hosts.items()
        ]
        return stages + self._elementwise_stages(loose)

    def _host_of(self, value: SSAValue) -> GenericOp | None:
        """The reduction whose stage can compute a tensor from its accumulators, if there is one."""
        found: dict[GenericOp, None] = {}
        seen: set[SSAValue] = set()
        stack = [value]
        while stack:
            v = stack.pop()
            if v in seen or not isinstance(v, OpResult):
                continue
            seen.add(v)
            op = v.op
            if v is not value and v in self.placed and self.placed[v].is_scratch:
                continue
            if is_reduction(op):
                found[cast(GenericOp, op)] = None
            elif isinstance(op, GenericOp | tensor.ConcatOp):
                stack.extend(op.operands)
        candidates = sorted(found, key=lambda op: self._order[op])
        if not candidates:
            return None
        op = candidates[-1]
        for other in candidates[:-1]:
            for result in other.results:
                if result not in self.placed and result in seen:
                    raise NeedsPlace(result)
        if self._dims_in(op, value) is not None:
            return op
        for result in op.results:
            if result not in self.placed and result in seen:
                raise NeedsPlace(result)
        return None

    def _dims_in(self, op: GenericOp, value: SSAValue) -> list[AffineExpr] | None:
        """The position in `value` in terms of the dimensions of `op`, such that `value` reads the results
        of `op` at the point where `op` computes them."""
        shape = shape_of(value)
        dims = [Dim(f"d{i}", size) for i, size in enumerate(shape)]
        # read through the accumulators, though a result may have a place too
        members = {v for v in self.placed if not self.placed[v].is_scratch} | {value, *op.results}
        probe = Host(op, members)
        with self._inside(probe):
            self.element(value, tuple(map(Lin.of, dims)))
        if not probe.reads:
            return None
        position: list[AffineExpr | None] = [None] * len(shape)
        for number, at in probe.reads:
            out_map = op.indexing_maps.data[len(op.inputs) + number].data
            for expr, mine in zip(out_map.results, at, strict=True):
                if mine == Lin():
                    continue
                if (dim := mine.dim) is None:
                    return None
                if position[dims.index(dim)] not in (None, expr):
                    return None
                position[dims.index(dim)] = expr
        sizes = loop_sizes(op)
        used: set[int] = set()
        for i, expr in enumerate(position):
            if expr is None:
                if shape[i] != 1:
                    return None
                position[i] = AffineExpr.constant(0)
            elif isinstance(expr, AffineDimExpr):
                if sizes[expr.position] != shape[i] or expr.position in used:
                    return None
                used.add(expr.position)
            elif not isinstance(expr, AffineConstantExpr):
                return None
        for d, t in enumerate(op.iterator_types):
            if t.data == IteratorType.PARALLEL and d not in used and sizes[d] != 1:
                return None
        return cast("list[AffineExpr]", position)

    def _reduction_stage(
        self,
        op: GenericOp,
        members: set[SSAValue],
        roots: Sequence[tuple[SSAValue, Buffer]],
        targets: Sequence[tuple[SSAValue, Buffer]],
    ) -> Stage:
        sizes = loop_sizes(op)
        kinds = [t.data == IteratorType.PARALLEL for t in op.iterator_types]
        order = [d for d, p in enumerate(kinds) if p] + [d for d, p in enumerate(kinds) if not p]
        dims = [Dim(f"d{new}", sizes[old]) for new, old in enumerate(order)]
        loops = [Lin.of(dims[order.index(d)]) for d in range(len(sizes))]
        maps = [m.data.results for m in op.indexing_maps.data[len(op.inputs) :]]
        accumulators = self._accumulators_of(op)
        with self._inside(Host()):
            updates = self.body(op, loops, accumulators)
            inits = [
                self.element(v, self.at(m, loops)) for v, m in zip(op.outputs, maps, strict=True)
            ]
        stage = Stage(dims, sum(kinds), inits, accumulators, updates)
        for value, buffer in targets:
            if isinstance(value, OpResult) and value.op is op:
                at = self.at(maps[value.index], loops)
                stage.stores.append(Store(buffer, at, accumulators[value.index]))
        for value, buffer in roots:
            position = self._dims_in(op, value)
            assert position is not None
            at = self.at(position, loops)
            with self._inside(Host(op, {*members, *op.results})):
                stage.stores.append(Store(buffer, at, self.element(value, at)))
        return stage

    def _elementwise_stages(self, loose: Sequence[tuple[SSAValue, Buffer]]) -> list[Stage]:
        stages: list[Stage] = []
        together: dict[object, Stage] = {}
        for value, buffer in loose:
            op = value.op if isinstance(value, OpResult) else None
            if isinstance(op, tensor.ConcatOp):
                stages.extend(self._concat_stages(op, buffer))
                continue
            shape = shape_of(value)
            if isinstance(op, GenericOp) and not self._is_permutation(op, op.results.index(value)):
                stages.append(self._generic_stage(op, op.results.index(value), buffer))
                continue
            dims = self._dims_of(shape)
            at = tuple(map(Lin.of, dims))
            with self._inside(Host(members={value})):
                node = self.element(value, at)
            store = Store(buffer, at, node)
            # outputs that wait for the same tensors may be computed together
            key = (shape, _computed_buffers(node))
            if (merged := together.get(key)) is not None:
                merged.stores.append(store)
                continue
            stage = together[key] = Stage([*dims], len(dims), stores=[store])
            stages.append(stage)
        return stages

    def _is_permutation(self, op: GenericOp, number: int) -> bool:
        map = op.indexing_maps.data[len(op.inputs) + number].data
        dims = [e.position for e in map.results if isinstance(e, AffineDimExpr)]
        rest = [e for e in map.results if not isinstance(e, AffineDimExpr | AffineConstantExpr)]
        sizes = loop_sizes(op)
        return not rest and all(d in dims or sizes[d] == 1 for d in range(len(sizes)))

    def _generic_stage(self, op: GenericOp, number: int, buffer: Buffer) -> Stage:
        """A generic that writes somewhere else than to all elements in order."""
        dims = [Dim(f"d{d}", size) for d, size in enumerate(loop_sizes(op))]
        loops = [Lin.of(dim) for dim in dims]
        with self._inside(Host()):
            node = self.body(op, loops)[number]
        at = self.at(op.indexing_maps.data[len(op.inputs) + number].data.results, loops)
        return Stage(dims, len(dims), stores=[Store(buffer, at, node)])

    def _concat_stages(self, op: tensor.ConcatOp, buffer: Buffer) -> list[Stage]:
        """One copy for each operand."""
        axis = op.dim.value.data
        stages: list[Stage] = []
        start = 0
        for operand in op.inputs:
            shape = shape_of(operand)
            dims = [Dim(f"d{i}", size) for i, size in enumerate(shape)]
            at = tuple(map(Lin.of, dims))
            with self._inside(Host()):
                node = self.element(operand, at)
            to = (*at[:axis], at[axis] + start, *at[axis + 1 :])
            stages.append(Stage(dims, len(dims), stores=[Store(buffer, to, node)]))
            start += shape[axis]
        return stages

    def _sorted(self, stages: list[Stage]) -> list[Stage]:
        writers: dict[int, list[Stage]] = {}
        for stage in stages:
            for store in stage.stores:
                writers.setdefault(id(store.buffer), []).append(stage)
        done: dict[int, bool] = {}
        result: list[Stage] = []

        def visit(stage: Stage) -> None:
            if id(stage) in done:
                if not done[id(stage)]:
                    raise self.fail("a stage of a kernel depends on itself")
                return
            done[id(stage)] = False
            for node in stage.loads():
                for writer in writers.get(id(node.buffer), []):
                    if writer is not stage:
                        visit(writer)
            done[id(stage)] = True
            result.append(stage)

        for stage in stages:
            visit(stage)
        return [s for s in result if s.stores]


def _computed_buffers(node: Node) -> frozenset[int]:
    """The buffers that an expression reads and that the kernel writes."""
    return frozenset(
        id(n.buffer) for n in walk([node]) if isinstance(n, Load) and not n.buffer.read_only
    )
