"""The expression of an element of any tensor of a kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from xdsl.dialects import arith, tensor
from xdsl.dialects.builtin import (
    DenseIntOrFPElementsAttr,
    FloatAttr,
    IndexType,
    IntegerAttr,
    TensorType,
)
from xdsl.dialects.linalg.ops import FillOp, GenericOp, IndexOp, YieldOp
from xdsl.ir import OpResult, SSAValue
from xdsl.ir.affine import AffineConstantExpr, AffineDimExpr, AffineExpr

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp, ReturnOp
from webdnn.lowering.loops_common.kernel_ops import (
    element_type_of,
    is_reduction,
    loop_sizes,
    shape_of,
)
from webdnn.lowering.loops_common.stages import (
    Acc,
    Apply,
    Buffer,
    Choose,
    Const,
    Gather,
    Index,
    Node,
    Read,
)

Exprs = tuple[AffineExpr, ...]


@dataclass
class Host:
    """How an element is built: inside of the stage of reduction `op`, or of no reduction."""

    op: GenericOp | None = None
    reads: list[tuple[int, Exprs]] = field(default_factory=list[tuple[int, Exprs]])
    """Where results of `op` are read: the number of the result and the position."""
    members: set[SSAValue] = field(default_factory=set[SSAValue])
    """Placed values that this stage itself computes."""


class ElementReader:
    """Finds the expression of an element of any tensor of a kernel.

    Args:
        func: a kernel on level `kernels`.
    """

    def __init__(self, func: FuncOp) -> None:
        self.func = func
        block = func.body.block
        last = block.last_op
        assert isinstance(last, ReturnOp)
        self.inputs = [
            Buffer(shape_of(a), element_type_of(a), i, read_only=True, layout=func.strides_of(i))
            for i, a in enumerate(block.args)
        ]
        self.outputs = [
            Buffer(shape_of(v), element_type_of(v), i, layout=func.strides_of(i))
            for i, v in enumerate(last.arguments, len(self.inputs))
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

    def fail(self, what: str, why: str = "") -> WebDNNError:
        return WebDNNError(what, where=self.func.sym_name.data, why=why)

    def element(self, value: SSAValue, index: Exprs, host: Host) -> Node:
        """The element of a tensor at an affine position."""
        if (buffer := self._arguments.get(value)) is not None:
            return self._read(buffer, index)
        if value in self.placed and value not in host.members:
            return self._read(self.placed[value], index)
        if not isinstance(value, OpResult):
            raise self.fail("a kernel reads a value that it does not define")
        op = value.op
        match op:
            case FillOp():
                return self.scalar(op.inputs[0])
            case GenericOp() if is_reduction(op):
                if op is host.op:
                    host.reads.append((value.index, index))
                    return self.accumulator(op, value.index)
                raise NeedsPlace(value)
            case GenericOp():
                return self._inline(op, value.index, index, host)
            case tensor.ConcatOp():
                return self._concat(op, index, host)
            case arith.ConstantOp(value=DenseIntOrFPElementsAttr() as table):
                return self._from_table(table, index)
            case _:
                raise self.fail(f"a kernel may not hold {op.name}")

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
        raise self.fail("a scalar of a kernel is not an arith.constant")

    def _inline(self, op: GenericOp, number: int, index: Exprs, host: Host) -> Node:
        out_map = op.indexing_maps.data[len(op.inputs) + number].data
        dims: list[AffineExpr | None] = [None] * out_map.num_dims
        for expr, position in zip(out_map.results, index, strict=True):
            if not isinstance(expr, AffineDimExpr):
                if isinstance(expr, AffineConstantExpr):
                    continue
                raise NeedsPlace(op.results[number])
            dims[expr.position] = position
        for d, size in enumerate(loop_sizes(op)):
            if dims[d] is None:
                if size != 1:
                    raise NeedsPlace(op.results[number])
                dims[d] = AffineExpr.constant(0)
        return self.body(op, cast("list[AffineExpr]", dims), host, {})[number]

    def _concat(self, op: tensor.ConcatOp, index: Exprs, host: Host) -> Node:
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
        host: Host,
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
                    raise self.fail(f"the body of a linalg.generic may not hold {inner.name}")
        raise self.fail("the body of a linalg.generic does not end with linalg.yield")

    def _extract(
        self, op: tensor.ExtractOp, value_of: Callable[[SSAValue], Node], host: Host
    ) -> Node:
        source = op.tensor
        args = tuple(value_of(v) for v in op.indices)
        if all(isinstance(a, Index) for a in args):
            return self.element(source, tuple(cast(Index, a).expr for a in args), host)
        buffer = self._arguments.get(source) or self.placed.get(source)
        if buffer is None:
            if isinstance(source, OpResult) and isinstance(source.op, FillOp):
                return self.scalar(source.op.inputs[0])
            raise NeedsPlace(source)
        return Gather(op.result.type, buffer, args)


class NeedsPlace(Exception):
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
