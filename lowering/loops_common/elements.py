"""The expression of an element of any tensor of a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NoReturn

from xdsl.dialects import arith, tensor
from xdsl.dialects.builtin import (
    DenseIntOrFPElementsAttr,
    FloatAttr,
    IndexType,
    IntegerAttr,
    TensorType,
)
from xdsl.dialects.linalg.ops import FillOp, GenericOp, IndexOp, YieldOp
from xdsl.ir import BlockArgument, Operation, OpResult, SSAValue
from xdsl.ir.affine import AffineConstantExpr, AffineDimExpr, AffineExpr

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp, ReturnOp, SizeOp
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.kernel_ops import is_reduction, loop_sizes
from webdnn.lowering.loops_common.expression import (
    Apply,
    Buffer,
    Choose,
    Constant,
    Index,
    Load,
    Node,
    as_form,
)
from webdnn.lowering.loops_common.linear import (
    Lin,
    floor_div,
    from_affine,
    is_never_negative,
    is_positive_const,
    modulo,
)

Position = tuple[Lin, ...]
"""Where an element of a tensor is, along each axis."""


class ElementReader:
    """Finds the expression of an element of any tensor of a kernel; what a reduction is, its subclasses say.

    Args:
        func: a kernel on level `kernels`.
    """

    def __init__(self, func: FuncOp) -> None:
        self.func = func
        block = func.body.block
        last = block.last_op
        assert isinstance(last, ReturnOp)
        self.inputs = [
            Buffer(shape_of(a), element_of(a), i, read_only=True, layout=func.strides_of(i))
            for i, a in enumerate(block.args)
        ]
        self.outputs = [
            Buffer(shape_of(v), element_of(v), i, layout=func.strides_of(i))
            for i, v in enumerate(last.arguments, len(self.inputs))
        ]
        self.returned = list(last.arguments)
        self._nodes: dict[object, Node] = {}
        """The nodes by what they are: equal ones are one."""
        self._elements: dict[object, Node] = {}
        self._results: dict[object, list[Node]] = {}

    def fail(self, what: str, why: str = "") -> WebDNNError:
        return WebDNNError(what, where=self.func.sym_name.data, why=why)

    # what a target decides

    def reduced(self, op: GenericOp, number: int, index: Position) -> Node:
        """An element of result `number` of a reduction."""
        raise NotImplementedError

    def not_inlined(self, value: SSAValue, why: str) -> NoReturn:
        """A tensor cannot be computed where an element of it is read."""
        raise self.fail(f"an output of a linalg.generic {why}")

    def gathered(self, value: SSAValue, index: Position) -> Node:
        """The element of a tensor at a position that is computed from data."""
        return self.element(value, index)

    def part_position(self, index: Position, axis: int, shape: Sequence[int]) -> tuple[Lin, int]:
        """What tells in which operand of a concatenation an element is, and how much of it is one place of the axis."""
        return index[axis], 1

    # elements

    def element(self, value: SSAValue, index: Position) -> Node:
        """The element of a tensor at a position."""
        key = (value, index)
        if (node := self._elements.get(key)) is None:
            node = self._elements[key] = self._element(value, index)
        return node

    def _element(self, value: SSAValue, index: Position) -> Node:
        if isinstance(value, BlockArgument):
            return self.load(self.inputs[value.index], index)
        if not isinstance(value, OpResult):
            raise self.fail("a kernel reads a value that it does not define")
        op = value.op
        match op:
            case FillOp():
                return self.scalar(op.inputs[0])
            case GenericOp() if is_reduction(op):
                return self.reduced(op, value.index, index)
            case GenericOp():
                loops = [
                    form if form is not None else self.not_inlined(value, "lacks a loop")
                    for form in self.loops_at(op, value.index, index)
                ]
                return self.body(op, loops)[value.index]
            case tensor.ConcatOp():
                return self._concat(op, index)
            case arith.ConstantOp(value=DenseIntOrFPElementsAttr() as table):
                return self._from_table(table, index)
            case tensor.EmptyOp():
                raise self.fail("the elements of a tensor.empty are read")
            case _:
                raise self.fail(f"a kernel may not hold {op.name}")

    def _unique(self, key: object, node: Node) -> Node:
        return self._nodes.setdefault(key, node)

    def load(self, buffer: Buffer, index: Position) -> Node:
        """An element of a tensor that has a place."""
        return self._unique((id(buffer), index), Load(buffer.element_type, buffer, index))

    def scalar(self, value: SSAValue) -> Node:
        """A constant of the kernel."""
        match value.owner:
            case arith.ConstantOp(value=IntegerAttr() as attr) if isinstance(value.type, IndexType):
                return self.index(Lin.of(attr.value.data))
            case arith.ConstantOp(value=IntegerAttr() | FloatAttr() as attr):
                return self._unique(attr, Constant(value.type, attr))
            case SizeOp() as op:
                return self.index(Lin.of(op.value))
            case Operation() as op if _is_of_scalars(op):
                return self._apply(op, tuple(map(self.scalar, op.operands)))
            case _:
                raise self.fail("a scalar of a kernel is not an arith.constant")

    def index(self, form: Lin) -> Node:
        """A form as a value."""
        return self._unique(form, Index.of(form))

    def loops_at(self, op: GenericOp, number: int, index: Position) -> list[Lin | None]:
        """Where each loop of a generic stands when it makes an element of result `number`; None for a loop that the
        element does not tell."""
        out_map = op.indexing_maps.data[len(op.inputs) + number].data
        loops: list[Lin | None] = [None] * out_map.num_dims
        for expr, position in zip(out_map.results, index, strict=True):
            if isinstance(expr, AffineDimExpr):
                loops[expr.position] = position
            elif not isinstance(expr, AffineConstantExpr):
                self.not_inlined(op.results[number], "is not indexed by loops")
        return [Lin() if n == 1 else at for n, at in zip(loop_sizes(op), loops, strict=True)]

    def _concat(self, op: tensor.ConcatOp, index: Position) -> Node:
        axis = op.dim.value.data
        position, unit = self.part_position(index, axis, shape_of(op.result))
        ends: list[int] = []
        cases: list[Node] = []
        start = 0
        for operand in op.inputs:
            if (size := shape_of(operand)[axis]) != 0:
                shifted = (*index[:axis], index[axis] - start, *index[axis + 1 :])
                cases.append(self.element(operand, shifted))
                start += size
                ends.append(start * unit)
        if len(cases) == 1:
            return cases[0]
        return Choose(element_of(op.result), position, tuple(ends), tuple(cases))

    def _from_table(self, table: DenseIntOrFPElementsAttr, index: Position) -> Node:
        """An element of a constant tensor: a case for each position, so that a known position leaves one."""
        elements = list(table.iter_attrs())
        return self._unique((table, index), _table_element(elements, table.get_shape(), index))

    def body(
        self, op: GenericOp, loops: Sequence[Lin], accumulators: Sequence[Node] | None = None
    ) -> list[Node]:
        """What the body of a generic yields.

        Args:
            loops: where each loop of the generic stands.
            accumulators: what the block arguments of the outputs stand for; else the outputs' own elements.
        """
        key = (op, *loops)
        if (results := self._results.get(key)) is None or accumulators is not None:
            results = self._body(op, loops, accumulators)
            if accumulators is None:
                self._results[key] = results
        return results

    def _body(
        self, op: GenericOp, loops: Sequence[Lin], accumulators: Sequence[Node] | None
    ) -> list[Node]:
        values: dict[SSAValue, Node] = {}
        block = op.body.block
        count = len(op.inputs)
        for i, (arg, operand) in enumerate(zip(block.args, op.operands, strict=True)):
            if not arg.first_use:
                continue
            if i >= count and accumulators is not None:
                values[arg] = accumulators[i - count]
            elif not isinstance(operand.type, TensorType):
                values[arg] = self.scalar(operand)
            else:
                at = self.at(op.indexing_maps.data[i].data.results, loops)
                values[arg] = self.element(operand, at)

        def value_of(value: SSAValue) -> Node:
            return values[value] if value in values else self.scalar(value)

        for inner in block.ops:
            match inner:
                case YieldOp():
                    return [value_of(v) for v in inner.arguments]
                case arith.ConstantOp() | SizeOp():
                    values[inner.results[0]] = self.scalar(inner.results[0])
                case IndexOp():
                    values[inner.result] = self.index(loops[inner.dim.value.data])
                case tensor.ExtractOp():
                    args = [value_of(v) for v in inner.indices]
                    read = (
                        self.element if all(isinstance(a, Index) for a in args) else self.gathered
                    )
                    values[inner.result] = read(inner.tensor, tuple(as_form(a) for a in args))
                case _ if not inner.regions and len(inner.results) == 1:
                    operands = tuple(value_of(v) for v in inner.operands)
                    values[inner.results[0]] = self._apply(inner, operands)
                case _:
                    raise self.fail(f"the body of a linalg.generic may not hold {inner.name}")
        raise self.fail("the body of a linalg.generic does not end with linalg.yield")

    def at(self, exprs: Sequence[AffineExpr], loops: Sequence[Lin]) -> Position:
        """Affine expressions where the loops stand.

        Raises:
            WebDNNError: an expression is not understood.
        """
        try:
            return tuple(from_affine(e, loops) for e in exprs)
        except ValueError as e:
            raise self.fail(f"{e}") from None

    def _apply(self, op: Operation, operands: tuple[Node, ...]) -> Node:
        """The value of an op; arithmetic on indices becomes a linear form as far as it is linear."""
        type = op.results[0].type
        if isinstance(type, IndexType) and (known := _index_of(op, operands)) is not None:
            return known if isinstance(known, Node) else self.index(known)
        key = (
            op.__class__,
            tuple(sorted(op.properties.items())),
            type,
            tuple(id(n) for n in operands),
        )
        return self._unique(key, Apply(type, op, operands))


def _is_of_scalars(op: Operation) -> bool:
    """Whether an op on level `kernels` computes a scalar from scalars."""
    values = (*op.operands, *op.results)
    return not op.regions and not any(isinstance(v.type, TensorType) for v in values)


def _index_of(op: Operation, operands: Sequence[Node]) -> Node | Lin | None:
    """An op that gives an index as a form, or as the index that it was before it became a number; None if it is
    neither."""
    if isinstance(op, arith.IndexCastOp):
        (inner,) = operands
        if isinstance(inner, Apply) and isinstance(inner.op, arith.IndexCastOp):
            return inner.operands[0]
        if isinstance(inner, Constant) and isinstance(inner.value, IntegerAttr):
            return Lin.of(inner.value.value.data)
        return None
    if len(operands) != 2 or not all(isinstance(n, Index) for n in operands):
        return None
    a, b = (as_form(n) for n in operands)
    match op:
        case arith.AddiOp():
            return a + b
        case arith.SubiOp():
            return a - b
        case arith.MuliOp() if b.is_const:
            return a * b.const
        case arith.MuliOp() if a.is_const:
            return b * a.const
        case arith.DivUIOp() | arith.DivSIOp() if is_positive_const(b) and is_never_negative(a):
            return floor_div(a, b.const)
        case arith.RemUIOp() | arith.RemSIOp() if is_positive_const(b) and is_never_negative(a):
            return modulo(a, b.const)
        case _:
            return None


def _table_element(
    elements: Sequence[IntegerAttr | FloatAttr], shape: Sequence[int], index: Position
) -> Node:
    """The element at `index` of a table of `elements` in row-major order."""
    if not shape:
        return Constant(elements[0].type, elements[0])
    each = prod(shape[1:])
    at = index[0]

    def case(i: int) -> Node:
        return _table_element(elements[i * each : (i + 1) * each], shape[1:], index[1:])

    if at.is_const:
        return case(at.const)
    cases = tuple(case(i) for i in range(shape[0]))
    return Choose(cases[0].type, at, tuple(range(1, shape[0] + 1)), cases)
