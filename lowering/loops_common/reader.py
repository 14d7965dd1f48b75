"""Cuts a kernel of structured ops on tensors into stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from xdsl.dialects import arith, math, tensor
from xdsl.dialects.linalg.attrs import IteratorType
from xdsl.dialects.linalg.ops import GenericOp
from xdsl.ir import OpResult, SSAValue
from xdsl.ir.affine import AffineConstantExpr, AffineDimExpr, AffineExpr

from webdnn.dialects import arith_ext
from webdnn.lowering.loops_common.elements import ElementReader, Exprs, Host, NeedsPlace
from webdnn.lowering.loops_common.kernel_ops import (
    element_type_of,
    is_reduction,
    loop_sizes,
    shape_of,
)
from webdnn.lowering.loops_common.stages import Buffer, Gather, Node, Output, Read, Stage, walk

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


class KernelReader(ElementReader):
    """Cuts a kernel into stages."""

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
        self.placed[value] = Buffer(shape_of(value), element_type_of(value))

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
        self._memo.clear()
        self._accs.clear()
        hosts: dict[GenericOp, Host] = {}
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
                hosts.setdefault(op, Host(op))
                continue
            host = self._host_of(value)
            if host is None:
                loose.append((value, buffer))
            else:
                hosts.setdefault(host, Host(host)).members.add(value)
                roots.setdefault(host, []).append((value, buffer))
        # reductions that only other stages read have been placed by now; each host makes a stage
        stages = [
            self._reduction_stage(op, host, roots.get(op, []), targets)
            for op, host in hosts.items()
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

    def _dims_in(self, op: GenericOp, value: SSAValue) -> Exprs | None:
        """The position in `value` in terms of the dimensions of `op`, such that `value` reads the results
        of `op` at the point where `op` computes them."""
        shape = shape_of(value)
        identity = tuple(AffineExpr.dimension(i) for i in range(len(shape)))
        host = Host(op, members={v for v in self.placed if not self.placed[v].is_scratch})
        host.members.add(value)
        host.members -= set(op.results)
        probe = Host(op, members=host.members)
        for result in op.results:
            # read through the accumulators, though the result may have a place too
            probe.members.add(result)
        self.element(value, identity, probe)
        if not probe.reads:
            return None
        position: list[AffineExpr | None] = [None] * len(shape)
        for number, at in probe.reads:
            out_map = op.indexing_maps.data[len(op.inputs) + number].data
            for expr, mine in zip(out_map.results, at, strict=True):
                if isinstance(mine, AffineConstantExpr) and mine.value == 0:
                    continue
                if not isinstance(mine, AffineDimExpr):
                    return None
                if position[mine.position] not in (None, expr):
                    return None
                position[mine.position] = expr
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
        return tuple(cast("list[AffineExpr]", position))

    def _reduction_stage(
        self,
        op: GenericOp,
        host: Host,
        roots: Sequence[tuple[SSAValue, Buffer]],
        targets: Sequence[tuple[SSAValue, Buffer]],
    ) -> Stage:
        sizes = loop_sizes(op)
        kinds = [t.data == IteratorType.PARALLEL for t in op.iterator_types]
        order = [d for d, p in enumerate(kinds) if p] + [d for d, p in enumerate(kinds) if not p]
        dims: list[AffineExpr] = [AffineExpr.constant(0)] * len(sizes)
        for new, old in enumerate(order):
            if sizes[old] != 1:
                dims[old] = AffineExpr.dimension(new)
        num_inputs = len(op.inputs)
        maps = [m.data for m in op.indexing_maps]

        def in_stage(exprs: Sequence[AffineExpr]) -> Exprs:
            return tuple(e.replace_dims_and_symbols(dims, ()) for e in exprs)

        outs = {i: self.accumulator(op, i) for i in range(len(op.results))}
        plain = Host()
        updates = self.body(op, dims, plain, outs)
        inits = [
            self.element(v, in_stage(m.results), plain)
            for v, m in zip(op.outputs, maps[num_inputs:], strict=True)
        ]
        stage = Stage([sizes[d] for d in order], sum(kinds), inits, updates)
        for value, buffer in targets:
            if isinstance(value, OpResult) and value.op is op:
                at = in_stage(maps[num_inputs + value.index].results)
                stage.outputs.append(Output(buffer, at, outs[value.index]))
        for result in op.results:
            host.members.add(result)
        for value, buffer in roots:
            position = self._dims_in(op, value)
            assert position is not None
            at = in_stage(position)
            stage.outputs.append(Output(buffer, at, self.element(value, at, host)))
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
            at = tuple(
                AffineExpr.dimension(i) if n != 1 else AffineExpr.constant(0)
                for i, n in enumerate(shape)
            )
            node = self.element(value, at, Host(members={value}))
            output = Output(buffer, at, node)
            # outputs that wait for the same tensors may be computed together
            key = (shape, _computed_buffers(node))
            if (merged := together.get(key)) is not None:
                merged.outputs.append(output)
                continue
            stage = together[key] = Stage(list(shape), len(shape), outputs=[output])
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
        sizes = loop_sizes(op)
        dims: list[AffineExpr] = [
            AffineExpr.dimension(d) if n != 1 else AffineExpr.constant(0)
            for d, n in enumerate(sizes)
        ]
        node = self.body(op, dims, Host(), {})[number]
        map = op.indexing_maps.data[len(op.inputs) + number].data
        at = tuple(e.replace_dims_and_symbols(dims, ()) for e in map.results)
        return Stage(sizes, len(sizes), outputs=[Output(buffer, at, node)])

    def _concat_stages(self, op: tensor.ConcatOp, buffer: Buffer) -> list[Stage]:
        """One copy for each operand."""
        axis = op.dim.value.data
        stages: list[Stage] = []
        start = 0
        for operand in op.inputs:
            shape = shape_of(operand)
            at = tuple(
                AffineExpr.dimension(i) if n != 1 else AffineExpr.constant(0)
                for i, n in enumerate(shape)
            )
            node = self.element(operand, at, Host())
            to = (*at[:axis], at[axis] + start, *at[axis + 1 :])
            stages.append(Stage(list(shape), len(shape), outputs=[Output(buffer, to, node)]))
            start += shape[axis]
        return stages

    def _sorted(self, stages: list[Stage]) -> list[Stage]:
        writers: dict[int, list[Stage]] = {}
        for stage in stages:
            for output in stage.outputs:
                writers.setdefault(id(output.buffer), []).append(stage)
        done: dict[int, bool] = {}
        result: list[Stage] = []

        def visit(stage: Stage) -> None:
            if id(stage) in done:
                if not done[id(stage)]:
                    raise self.fail("a stage of a kernel depends on itself")
                return
            done[id(stage)] = False
            for node in stage.nodes():
                if isinstance(node, Read | Gather):
                    for writer in writers.get(id(node.buffer), []):
                        if writer is not stage:
                            visit(writer)
            done[id(stage)] = True
            result.append(stage)

        for stage in stages:
            visit(stage)
        return [s for s in result if s.outputs]


def _computed_buffers(node: Node) -> frozenset[int]:
    """The buffers that an expression reads and that the kernel writes."""
    return frozenset(
        id(n.buffer)
        for n in walk([node])
        if isinstance(n, Read | Gather) and not n.buffer.read_only
    )
