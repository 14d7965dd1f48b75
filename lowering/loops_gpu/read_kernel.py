"""A `kernel.func` of structured ops on tensors, read as the expression of each output element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

from xdsl.dialects import arith, tensor
from xdsl.dialects.builtin import FloatAttr, IndexType, IntegerAttr, TensorType
from xdsl.dialects.linalg.attrs import IteratorType
from xdsl.dialects.linalg.ops import FillOp, GenericOp, IndexOp, YieldOp
from xdsl.ir import Attribute, Block, BlockArgument, Operation, SSAValue
from xdsl.ir.affine import (
    AffineBinaryOpExpr,
    AffineBinaryOpKind,
    AffineConstantExpr,
    AffineDimExpr,
    AffineExpr,
    AffineMap,
)

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp, ReturnOp
from webdnn.lowering.loops_gpu.expression import (
    Accumulator,
    Apply,
    Choose,
    Constant,
    FloorDiv,
    Index,
    Load,
    Node,
    Output,
    Reduced,
    Reduction,
    Rewriter,
    walk,
)
from webdnn.lowering.loops_gpu.linear import Dim, Lin, collapse, row_major

_Key = tuple[object, tuple[tuple[frozenset[tuple[object, int]], int], ...]]


def read_kernel(func: FuncOp) -> list[Output]:
    """The outputs of a kernel on level `kernels`, with their loop dims collapsed as far as the accesses allow.

    Outputs share dims where their shapes agree. Operand numbers are those of the lowered kernel: inputs, then outputs.

    Raises:
        WebDNNError: an op that may not stand in a kernel, or an access that is not understood.
    """
    reader = _Reader(func)
    last = func.body.block.last_op
    assert isinstance(last, ReturnOp)
    all_dims = _output_dims([_shape(value) for value in last.arguments])
    outputs: list[Output] = []
    for i, (value, dims) in enumerate(zip(last.arguments, all_dims, strict=True)):
        indices = [Lin.of(dim) for dim in dims]
        node = reader.element(value, indices)
        offset = row_major(indices, _shape(value))
        outputs.append(Output(len(func.body.block.args) + i, dims, offset, node))
    return _collapsed(outputs)


def _shape(value: SSAValue) -> tuple[int, ...]:
    assert isinstance(value.type, TensorType)
    return value.type.get_shape()


def _element_type(value: SSAValue) -> Attribute:
    assert isinstance(value.type, TensorType)
    return cast(Attribute, value.type.element_type)


def _output_dims(shapes: Sequence[tuple[int, ...]]) -> list[tuple[Dim, ...]]:
    """Dims for each output; where an axis has the size of the widest output's axis they are the same."""
    widest = max(shapes, key=len, default=())
    common = [Dim(f"d{i}", size) for i, size in enumerate(widest)]
    return [
        tuple(
            common[i] if common[i].size == size else Dim(f"d{i}", size)
            for i, size in enumerate(shape)
        )
        for shape in shapes
    ]


def _collapsed(outputs: list[Output]) -> list[Output]:
    """The same outputs with adjacent dims made one wherever every access walks them as one."""
    nodes = list(walk([o.value for o in outputs]))
    forms = [form for node in nodes for form in node.forms()] + [o.offset for o in outputs]
    merged: dict[tuple[Dim, ...], Dim] = {}
    replaced: dict[Dim, Lin] = {}

    def merge(dims: tuple[Dim, ...]) -> tuple[Dim, ...]:
        # Dims that two outputs share fall into the same groups in both: the offset of each output is among the forms.
        result: list[Dim] = []
        for group in collapse(dims, forms):
            key = tuple(group)
            if key not in merged:
                size = 1
                for dim in group:
                    size *= dim.size
                    replaced[dim] = Lin()
                one = group[0] if len(group) == 1 else Dim("".join(d.name for d in group), size)
                merged[key] = one
                replaced[group[-1]] = Lin.of(one)
            result.append(merged[key])
        return tuple(result)

    new_dims = [merge(o.dims) for o in outputs]
    for node in nodes:
        if isinstance(node, Reduced):
            merge(node.reduction.dims)
    rewriter = Rewriter(lambda dim: replaced.get(dim, Lin.of(dim)), merge)
    return [
        Output(o.buffer, dims, rewriter.form(o.offset), rewriter.node(o.value))
        for o, dims in zip(outputs, new_dims, strict=True)
    ]


def _key(indices: Sequence[Lin]) -> tuple[tuple[frozenset[tuple[object, int]], int], ...]:
    return tuple((frozenset(index.terms), index.const) for index in indices)


class _Reader:
    """Finds the expression of an element of any tensor of a kernel."""

    def __init__(self, func: FuncOp) -> None:
        self._func = func
        self._elements: dict[_Key, Node] = {}
        self._generics: dict[_Key, list[Node]] = {}
        self._reductions = 0

    def _fail(self, what: str) -> WebDNNError:
        return WebDNNError(what, where=self._func.sym_name.data)

    def element(self, value: SSAValue, indices: Sequence[Lin]) -> Node:
        """The element of a tensor at the given indices."""
        key = (value, _key(indices))
        if (node := self._elements.get(key)) is None:
            node = self._elements[key] = self._element(value, indices)
        return node

    def _element(self, value: SSAValue, indices: Sequence[Lin]) -> Node:
        if isinstance(value, BlockArgument):
            return Load(_element_type(value), value.index, row_major(indices, _shape(value)))
        op = value.owner
        match op:
            case FillOp():
                return self._scalar(op.inputs[0])
            case GenericOp():
                return self._generic_result(op, op.results.index(value), indices)
            case tensor.ConcatOp():
                return self._concat(op, indices)
            case tensor.EmptyOp():
                raise self._fail("the elements of a tensor.empty are read")
            case Operation():
                raise self._fail(f"{op.name} may not make a tensor inside of a kernel")
            case _:
                raise self._fail("a tensor has no producer")

    def _scalar(self, value: SSAValue) -> Node:
        op = value.owner
        if not isinstance(op, arith.ConstantOp) or not isinstance(
            op.value, IntegerAttr | FloatAttr
        ):
            raise self._fail("a scalar from outside of a linalg.generic must be an arith.constant")
        return _constant(op)

    def _concat(self, op: tensor.ConcatOp, indices: Sequence[Lin]) -> Node:
        axis = op.dim.value.data
        shape = _shape(op.result)
        inner = 1
        for size in shape[axis + 1 :]:
            inner *= size
        # The position counts elements of the whole inner part, so that the axis can collapse with what is inside it.
        position = row_major(indices[axis:], shape[axis:])
        parts: list[tuple[int, Node]] = []
        start = 0
        for part in op.inputs:
            size = _shape(part)[axis]
            if size:
                shifted = [*indices[:axis], indices[axis] - start, *indices[axis + 1 :]]
                start += size
                parts.append((start * inner, self.element(part, shifted)))
        node = parts[-1][1]
        for bound, part in reversed(parts[:-1]):
            node = Choose(node.type, position, bound, part, node)
        return node

    def _generic_result(self, op: GenericOp, result: int, indices: Sequence[Lin]) -> Node:
        maps = [attr.data for attr in op.indexing_maps]
        iterators = [attr.data for attr in op.iterator_types]
        output_map = maps[len(op.inputs) + result]
        loops: list[Lin | None] = [None] * len(iterators)
        for expr, index in zip(output_map.results, indices, strict=True):
            if isinstance(expr, AffineDimExpr):
                loops[expr.position] = index
            elif not isinstance(expr, AffineConstantExpr):
                raise self._fail("an output of a linalg.generic is not indexed by loop dims")
        sizes = _loop_sizes(op, maps, len(iterators))
        for d, size in enumerate(sizes):
            if size == 1:
                loops[d] = Lin()
            elif loops[d] is None and iterators[d] == IteratorType.PARALLEL:
                raise self._fail("a parallel loop of a linalg.generic is absent from an output map")
        key = (op, tuple(_key([Lin.of(-1) if lin is None else lin])[0] for lin in loops))
        if (results := self._generics.get(key)) is None:
            results = self._generics[key] = self._generic(op, maps, loops, sizes)
        return results[result]

    def _generic(
        self,
        op: GenericOp,
        maps: Sequence[AffineMap],
        known: Sequence[Lin | None],
        sizes: Sequence[int],
    ) -> list[Node]:
        """The values that the body yields, with fresh dims for the reduction loops."""
        reduced: list[Dim] = []
        loops: list[Lin] = []
        for lin, size in zip(known, sizes, strict=True):
            if lin is None:
                dim = Dim(f"r{self._reductions}_{len(reduced)}", size)
                reduced.append(dim)
                lin = Lin.of(dim)
            loops.append(lin)
        is_reduction = any(a.data != IteratorType.PARALLEL for a in op.iterator_types)
        block = op.body.block
        count = len(op.inputs)
        read_at = [[self._affine(e, loops) for e in m.results] for m in maps]

        def initial(i: int) -> Node:
            return self.element(op.outputs[i], read_at[count + i])

        if not is_reduction:
            return self._body(
                block,
                loops,
                lambda i: (
                    self.element(op.inputs[i], read_at[i]) if i < count else initial(i - count)
                ),
            )
        inits = tuple(initial(i) for i in range(len(op.outputs)))
        if any(dim.size == 0 for dim in reduced):
            return list(inits)
        self._reductions += 1
        accumulators = tuple(Accumulator(node.type) for node in inits)
        updates = self._body(
            block,
            loops,
            lambda i: (
                self.element(op.inputs[i], read_at[i]) if i < count else accumulators[i - count]
            ),
        )
        reduction = Reduction(tuple(reduced), inits, accumulators, tuple(updates))
        return [Reduced(node.type, reduction, i) for i, node in enumerate(inits)]

    def _body(self, block: Block, loops: Sequence[Lin], argument: _Argument) -> list[Node]:
        values: dict[SSAValue, Node] = {}

        def value(ssa: SSAValue) -> Node:
            node = values.get(ssa)
            if node is None:
                if isinstance(ssa, BlockArgument) and ssa.block is block:
                    node = argument(ssa.index)
                else:
                    node = self._scalar(ssa)
                values[ssa] = node
            return node

        for op in block.ops:
            match op:
                case YieldOp():
                    return [value(v) for v in op.arguments]
                case IndexOp():
                    values[op.result] = Index.of(loops[op.dim.value.data])
                case arith.ConstantOp():
                    values[op.result] = self._scalar(op.result)
                case tensor.ExtractOp():
                    at = [as_form(value(v)) for v in op.indices]
                    values[op.result] = self.element(op.tensor, at)
                case _:
                    if len(op.results) != 1 or op.regions:
                        raise self._fail(f"{op.name} may not stand in the body of a linalg.generic")
                    values[op.results[0]] = _apply(op, tuple(value(v) for v in op.operands))
        raise self._fail("the body of a linalg.generic has no linalg.yield")

    def _affine(self, expr: AffineExpr, loops: Sequence[Lin]) -> Lin:
        match expr:
            case AffineDimExpr():
                return loops[expr.position]
            case AffineConstantExpr():
                return Lin.of(expr.value)
            case AffineBinaryOpExpr():
                lhs, rhs = self._affine(expr.lhs, loops), self._affine(expr.rhs, loops)
                match expr.kind:
                    case AffineBinaryOpKind.Add:
                        return lhs + rhs
                    case AffineBinaryOpKind.Mul if rhs.is_const:
                        return lhs * rhs.const
                    case AffineBinaryOpKind.Mul if lhs.is_const:
                        return rhs * lhs.const
                    case AffineBinaryOpKind.FloorDiv if rhs.is_const:
                        return floor_div(lhs, rhs.const)
                    case AffineBinaryOpKind.Mod if rhs.is_const:
                        return lhs - floor_div(lhs, rhs.const) * rhs.const
                    case _:
                        pass
            case _:
                pass
        raise self._fail(f"an access of a linalg.generic is not understood: {expr}")


class _Argument(Protocol):
    """The type of a function from the number of a block argument to its value."""

    def __call__(self, index: int, /) -> Node: ...


def _loop_sizes(op: GenericOp, maps: Sequence[AffineMap], count: int) -> list[int]:
    sizes = [-1] * count
    for operand, map in zip((*op.inputs, *op.outputs), maps, strict=True):
        for expr, size in zip(map.results, _shape(operand), strict=True):
            if isinstance(expr, AffineDimExpr):
                sizes[expr.position] = size
    if -1 in sizes:
        raise WebDNNError(
            "the size of a loop of a linalg.generic follows from none of its operands"
        )
    return sizes


def _constant(op: arith.ConstantOp) -> Node:
    value = op.value
    assert isinstance(value, IntegerAttr | FloatAttr)
    if isinstance(value.type, IndexType):
        assert isinstance(value, IntegerAttr)
        return Index.of(Lin.of(value.value.data))
    return Constant(cast(Attribute, value.type), value)


def as_form(node: Node) -> Lin:
    """An index-valued node as a linear form."""
    return node.form if isinstance(node, Index) else Lin.of(node)


def floor_div(form: Lin, divisor: int) -> Lin:
    """`form floordiv divisor`, without a division where the range of the form allows."""
    quotient, rest = form.divide(divisor)
    bounds = rest.range()
    if bounds is not None and bounds[0] // divisor == bounds[1] // divisor:
        return quotient + bounds[0] // divisor
    return quotient + Lin.of(FloorDiv(IndexType(), rest, divisor))


def _apply(op: Operation, operands: tuple[Node, ...]) -> Node:
    """The node of an op; arithmetic on indices becomes a linear form as far as it is linear."""
    type = op.results[0].type
    if isinstance(op, arith.IndexCastOp) and isinstance(type, IndexType):
        inner = operands[0]
        if isinstance(inner, Apply) and isinstance(inner.op, arith.IndexCastOp):
            return inner.operands[0]
        if isinstance(inner, Constant) and isinstance(inner.value, IntegerAttr):
            return Index.of(Lin.of(inner.value.value.data))
    if isinstance(type, IndexType) and all(isinstance(n, Index) for n in operands):
        forms = [as_form(n) for n in operands]
        match op:
            case arith.AddiOp():
                return Index.of(forms[0] + forms[1])
            case arith.SubiOp():
                return Index.of(forms[0] - forms[1])
            case arith.MuliOp() if forms[1].is_const:
                return Index.of(forms[0] * forms[1].const)
            case arith.MuliOp() if forms[0].is_const:
                return Index.of(forms[1] * forms[0].const)
            case arith.DivUIOp() | arith.DivSIOp() | arith.RemUIOp() | arith.RemSIOp():
                bounds = forms[0].range()
                if forms[1].is_const and forms[1].const > 0 and bounds and bounds[0] >= 0:
                    quotient = floor_div(forms[0], forms[1].const)
                    if isinstance(op, arith.DivUIOp | arith.DivSIOp):
                        return Index.of(quotient)
                    return Index.of(forms[0] - quotient * forms[1].const)
            case _:
                pass
    return Apply(type, op, operands)
