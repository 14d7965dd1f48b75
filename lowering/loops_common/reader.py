"""Reads a kernel of structured ops on tensors as stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from xdsl.dialects import arith, math, tensor
from xdsl.dialects.builtin import (
    DenseIntOrFPElementsAttr,
    FloatAttr,
    IndexType,
    IntegerAttr,
    TensorType,
)
from xdsl.dialects.linalg.attrs import IteratorType
from xdsl.dialects.linalg.ops import FillOp, GenericOp, IndexOp, YieldOp
from xdsl.ir import Attribute, Operation, OpResult, SSAValue
from xdsl.ir.affine import AffineConstantExpr, AffineDimExpr, AffineExpr

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp, ReturnOp
from webdnn.lowering.loops_common.affine import Flat
from webdnn.lowering.loops_common.stages import (
    Acc,
    Apply,
    Buffer,
    Choose,
    Const,
    Gather,
    Index,
    Node,
    Output,
    Read,
    Stage,
    walk,
)

Exprs = tuple[AffineExpr, ...]

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
)


def shape_of(value: SSAValue) -> tuple[int, ...]:
    """The shape of a tensor value."""
    assert isinstance(value.type, TensorType)
    return value.type.get_shape()


def element_type_of(value: SSAValue) -> Attribute:
    """The element type of a tensor value."""
    assert isinstance(value.type, TensorType)
    return cast(Attribute, value.type.element_type)


def is_reduction(op: Operation) -> bool:
    """Whether an op is a `linalg.generic` that reduces."""
    return isinstance(op, GenericOp) and any(
        t.data != IteratorType.PARALLEL for t in op.iterator_types
    )


def loop_sizes(op: GenericOp) -> list[int]:
    """The extent of each dimension of a generic, from the operands that it walks in full."""
    maps = [m.data for m in op.indexing_maps]
    sizes: list[int | None] = [None] * maps[0].num_dims
    for value, map in zip(op.operands, maps, strict=True):
        if isinstance(value.type, TensorType):
            for expr, size in zip(map.results, shape_of(value), strict=True):
                if isinstance(expr, AffineDimExpr):
                    sizes[expr.position] = size
    if any(size is None for size in sizes):
        raise WebDNNError("a dimension of a linalg.generic has no operand that gives its size")
    return cast("list[int]", sizes)


@dataclass
class _Host:
    """How an element is built: inside of the stage of reduction `op`, or of no reduction."""

    op: GenericOp | None = None
    reads: list[tuple[int, Exprs]] = field(default_factory=list[tuple[int, Exprs]])
    """Where results of `op` are read: the number of the result and the position."""
    members: set[SSAValue] = field(default_factory=set[SSAValue])
    """Placed values that this stage itself computes."""


class KernelReader:
    """Finds the expression of an element of any tensor of a kernel, and cuts the kernel into stages.

    Args:
        func: a kernel on level `kernels`.
    """

    def __init__(self, func: FuncOp) -> None:
        self.func = func
        block = func.body.block
        last = block.last_op
        assert isinstance(last, ReturnOp)
        self.inputs = [
            Buffer(shape_of(a), element_type_of(a), i, read_only=True)
            for i, a in enumerate(block.args)
        ]
        self.outputs = [
            Buffer(shape_of(v), element_type_of(v), len(self.inputs) + i)
            for i, v in enumerate(last.arguments)
        ]
        self.returned = list(last.arguments)
        self._arguments: dict[SSAValue, Buffer] = dict(zip(block.args, self.inputs, strict=True))
        self.placed: dict[SSAValue, Buffer] = {}
        """Computed tensors that have a place in memory."""
        for value, buffer in zip(self.returned, self.outputs, strict=True):
            self.placed.setdefault(value, buffer)
        self._memo: dict[object, Node] = {}
        self._accs: dict[GenericOp, list[Node]] = {}
        self._order = {op: i for i, op in enumerate(block.ops)}

    def _fail(self, what: str, why: str = "") -> WebDNNError:
        return WebDNNError(what, where=self.func.sym_name.data, why=why)

    # expressions

    def element(self, value: SSAValue, index: Exprs, host: _Host) -> Node:
        """The element of a tensor at an affine position."""
        if (buffer := self._arguments.get(value)) is not None:
            return self._read(buffer, index)
        if value in self.placed and value not in host.members:
            return self._read(self.placed[value], index)
        if not isinstance(value, OpResult):
            raise self._fail("a kernel reads a value that it does not define")
        op = value.op
        match op:
            case FillOp():
                return self.scalar(op.inputs[0])
            case GenericOp() if is_reduction(op):
                if op is host.op:
                    host.reads.append((value.index, index))
                    return self.accumulator(op, value.index)
                raise _NeedsPlace(value)
            case GenericOp():
                return self._inline(op, value.index, index, host)
            case tensor.ConcatOp():
                return self._concat(op, index, host)
            case arith.ConstantOp(value=DenseIntOrFPElementsAttr() as table):
                return self._from_table(table, index)
            case _:
                raise self._fail(f"a kernel may not hold {op.name}")

    def _read(self, buffer: Buffer, index: Exprs) -> Node:
        key = (id(buffer), index)
        if (node := self._memo.get(key)) is None:
            node = self._memo[key] = Read(buffer.element_type, buffer, index)
        return node

    def _from_table(self, table: DenseIntOrFPElementsAttr, index: Exprs) -> Node:
        """An element of a constant tensor: a case for each position, so that a known position leaves one."""
        key = ("table", table, index)
        if (node := self._memo.get(key)) is None:
            node = self._memo[key] = table_element(
                list(table.iter_attrs()), table.get_shape(), index
            )
        return node

    def accumulator(self, op: GenericOp, number: int) -> Node:
        """The accumulator of a result of a reduction: one node, however often it is asked for."""
        if op not in self._accs:
            self._accs[op] = [Acc(element_type_of(r), i) for i, r in enumerate(op.results)]
        return self._accs[op][number]

    def scalar(self, value: SSAValue) -> Node:
        """A constant of the kernel."""
        if isinstance(value, OpResult) and isinstance(value.op, arith.ConstantOp):
            attr = value.op.value
            if isinstance(attr, IntegerAttr | FloatAttr):
                key = ("const", attr)
                if (node := self._memo.get(key)) is None:
                    node = self._memo[key] = Const(value.type, cast("IntegerAttr", attr))
                return node
        raise self._fail("a scalar of a kernel is not an arith.constant")

    def _inline(self, op: GenericOp, number: int, index: Exprs, host: _Host) -> Node:
        out_map = op.indexing_maps.data[len(op.inputs) + number].data
        dims: list[AffineExpr | None] = [None] * out_map.num_dims
        for expr, position in zip(out_map.results, index, strict=True):
            if not isinstance(expr, AffineDimExpr):
                if isinstance(expr, AffineConstantExpr):
                    continue
                raise _NeedsPlace(op.results[number])
            dims[expr.position] = position
        for d, size in enumerate(loop_sizes(op)):
            if dims[d] is None:
                if size != 1:
                    raise _NeedsPlace(op.results[number])
                dims[d] = AffineExpr.constant(0)
        return self.body(op, cast("list[AffineExpr]", dims), host, {})[number]

    def _concat(self, op: tensor.ConcatOp, index: Exprs, host: _Host) -> Node:
        axis = op.dim.value.data
        ends: list[int] = []
        cases: list[Node] = []
        start = 0
        for operand in op.inputs:
            at = list(index)
            at[axis] = index[axis] - start
            cases.append(self.element(operand, tuple(at), host))
            start += shape_of(operand)[axis]
            ends.append(start)
        return Choose(element_type_of(op.result), index[axis], tuple(ends), tuple(cases))

    def body(
        self,
        op: GenericOp,
        dims: Sequence[AffineExpr],
        host: _Host,
        outs: dict[int, Node],
    ) -> list[Node]:
        """What the body of a generic yields at a point.

        Args:
            dims: the position along each dimension of the generic, in the dimensions of the stage.
            outs: what the block arguments of the generic's outputs stand for; else the outputs' own elements.
        """
        values: dict[SSAValue, Node] = {}
        block = op.body.block
        num_inputs = len(op.inputs)
        for i, (arg, operand) in enumerate(zip(block.args, op.operands, strict=True)):
            if not arg.first_use:
                continue
            if i >= num_inputs and (i - num_inputs) in outs:
                values[arg] = outs[i - num_inputs]
            elif not isinstance(operand.type, TensorType):
                values[arg] = self.scalar(operand)
            else:
                map = op.indexing_maps.data[i].data
                at = tuple(e.replace_dims_and_symbols(dims, ()) for e in map.results)
                values[arg] = self.element(operand, at, host)

        def value_of(value: SSAValue) -> Node:
            return values[value] if value in values else self.scalar(value)

        for inner in block.ops:
            match inner:
                case YieldOp():
                    return [value_of(v) for v in inner.arguments]
                case arith.ConstantOp():
                    values[inner.result] = self.scalar(inner.result)
                case IndexOp():
                    expr = dims[inner.dim.value.data]
                    values[inner.result] = Index(IndexType(), expr)
                case tensor.ExtractOp():
                    values[inner.result] = self._extract(inner, value_of, host)
                case _ if not inner.regions and len(inner.results) == 1:
                    args = tuple(value_of(v) for v in inner.operands)
                    key = (
                        type(inner),
                        tuple(sorted(inner.properties.items())),
                        inner.results[0].type,
                        tuple(id(a) for a in args),
                    )
                    node = self._memo.get(key)
                    if node is None:
                        node = self._memo[key] = Apply(inner.results[0].type, inner, args)
                    values[inner.results[0]] = node
                case _:
                    raise self._fail(f"the body of a linalg.generic may not hold {inner.name}")
        raise self._fail("the body of a linalg.generic does not end with linalg.yield")

    def _extract(
        self, op: tensor.ExtractOp, value_of: Callable[[SSAValue], Node], host: _Host
    ) -> Node:
        source = op.tensor
        args = tuple(value_of(v) for v in op.indices)
        if all(isinstance(a, Index) for a in args):
            return self.element(source, tuple(cast(Index, a).expr for a in args), host)
        buffer = self._arguments.get(source) or self.placed.get(source)
        if buffer is None:
            if isinstance(source, OpResult) and isinstance(source.op, FillOp):
                return self.scalar(source.op.inputs[0])
            raise _NeedsPlace(source)
        return Gather(op.result.type, buffer, args)

    # stages

    def stages(self) -> list[Stage]:
        """Cut the kernel into stages, each after those whose results it reads."""
        while True:
            try:
                return self._sorted(self._try_stages())
            except _NeedsPlace as e:
                self.place(e.value)

    def place(self, value: SSAValue) -> None:
        """Give a tensor a place in scratch memory."""
        if value in self.placed:
            raise self._fail("a stage of a kernel depends on itself")
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
        hosts: dict[GenericOp, _Host] = {}
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
                hosts.setdefault(op, _Host(op))
                continue
            host = self._host_of(value)
            if host is None:
                loose.append((value, buffer))
            else:
                hosts.setdefault(host, _Host(host)).members.add(value)
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
                    raise _NeedsPlace(result)
        if self._dims_in(op, value) is not None:
            return op
        for result in op.results:
            if result not in self.placed and result in seen:
                raise _NeedsPlace(result)
        return None

    def _dims_in(self, op: GenericOp, value: SSAValue) -> Exprs | None:
        """The position in `value` in terms of the dimensions of `op`, such that `value` reads the results
        of `op` at the point where `op` computes them."""
        shape = shape_of(value)
        identity = tuple(AffineExpr.dimension(i) for i in range(len(shape)))
        host = _Host(op, members={v for v in self.placed if not self.placed[v].is_scratch})
        host.members.add(value)
        host.members -= set(op.results)
        probe = _Host(op, members=host.members)
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
        host: _Host,
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
        plain = _Host()
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
            node = self.element(value, at, _Host(members={value}))
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
        node = self.body(op, dims, _Host(), {})[number]
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
            node = self.element(operand, at, _Host())
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
                    raise self._fail("a stage of a kernel depends on itself")
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


class _NeedsPlace(Exception):
    """A tensor that cannot be computed where it is read."""

    def __init__(self, value: SSAValue) -> None:
        super().__init__()
        self.value = value


def table_element(
    elements: Sequence[IntegerAttr | FloatAttr], shape: Sequence[int], index: Exprs
) -> Node:
    """The element at `index` of a table of `elements` in row-major order."""
    if not shape:
        return Const(elements[0].type, elements[0])
    each = len(elements) // shape[0]
    cases = [
        table_element(elements[i * each : (i + 1) * each], shape[1:], index[1:])
        for i in range(shape[0])
    ]
    at = index[0]
    if isinstance(at, AffineConstantExpr):
        return cases[at.value]
    return Choose(cases[0].type, at, tuple(range(1, shape[0] + 1)), tuple(cases))


def flat_address(buffer: Buffer, index: Exprs) -> Flat:
    """The position in memory of an element."""
    return Flat.address(index, buffer.strides)
