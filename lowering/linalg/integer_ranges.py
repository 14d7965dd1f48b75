"""Which integers a tensor of level `linalg` can hold, as far as the regions that make it tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from xdsl.dialects import arith, tensor
from xdsl.dialects.builtin import IntegerAttr, IntegerType
from xdsl.dialects.linalg import ops as linalg
from xdsl.ir import Attribute, Block, OpResult, SSAValue

from webdnn.dialects import kernel, plan
from webdnn.dialects.sizes.types import element_of
from webdnn.lowering.integer_range import Range, fits


def range_of(value: SSAValue) -> Range:
    """The range of a tensor of integers, a value of the host program."""
    if isinstance(value, OpResult) and isinstance(region := value.op, kernel.RegionOp):
        block = region.body.block
        end = block.last_op
        assert isinstance(end, kernel.YieldOp)
        operands: dict[SSAValue, SSAValue] = dict(zip(block.args, region.ins, strict=True))
        return _of_tensor(end.arguments[value.index], operands)
    if isinstance(value, OpResult) and isinstance(value.op, plan.ViewOp):
        return range_of(value.op.source)
    return type_range(element_of(value))


def type_range(type: Attribute) -> Range:
    """All that a signless integer type can hold, read with a sign."""
    assert isinstance(type, IntegerType)
    half = 1 << (type.width.data - 1)
    return -half, half - 1


def _of_tensor(value: SSAValue, operands: Mapping[SSAValue, SSAValue]) -> Range:
    """The range of a tensor inside of a region."""
    if value in operands:
        return range_of(operands[value])
    if isinstance(value, OpResult):
        if isinstance(fill := value.op, linalg.FillOp):
            return _of_scalar(fill.inputs[0], lambda _: None)
        if isinstance(generic := value.op, linalg.GenericOp):
            return _of_generic(generic, value.index, operands)
    return type_range(element_of(value))


def _of_generic(op: linalg.GenericOp, number: int, operands: Mapping[SSAValue, SSAValue]) -> Range:
    block = op.body.block
    end = block.last_op
    assert isinstance(end, linalg.YieldOp)
    result = end.arguments[number]
    own = block.args[len(op.inputs) + number]
    largest = own.first_use is not None and _is_extremum(result, own)

    def element(value: SSAValue) -> Range | None:
        if isinstance(value, OpResult):
            if isinstance(extract := value.op, tensor.ExtractOp):
                return _of_tensor(extract.tensor, operands)
            return None
        place = _place(block, value)
        if place < len(op.inputs) or (largest and value is own):
            return _of_tensor(op.operands[place], operands)
        return type_range(value.type)

    return _of_scalar(result, element)


def _place(block: Block, value: SSAValue) -> int:
    return next(i for i, arg in enumerate(block.args) if arg is value)


def _is_extremum(result: SSAValue, accumulator: SSAValue) -> bool:
    """Whether a reduction gives the initial value or one of the elements that it goes over."""
    return (
        isinstance(result, OpResult)
        and isinstance(result.op, arith.MaxSIOp | arith.MinSIOp)
        and accumulator in (result.op.lhs, result.op.rhs)
        and accumulator.has_one_use()
    )


def _of_scalar(value: SSAValue, element: Callable[[SSAValue], Range | None]) -> Range:
    """The range of a scalar; `element` knows those that are not computed from others."""
    if (known := element(value)) is not None:
        return known
    whole = type_range(value.type)
    if not isinstance(value, OpResult):
        return whole
    found: Range | None = None
    match value.op:
        case arith.ConstantOp(value=IntegerAttr() as attr):
            found = attr.value.data, attr.value.data
        case arith.ExtSIOp() | arith.TruncIOp():
            found = _of_scalar(value.op.input, element)
        case arith.MaxSIOp():
            lhs, rhs = _of_scalar(value.op.lhs, element), _of_scalar(value.op.rhs, element)
            found = max(lhs[0], rhs[0]), max(lhs[1], rhs[1])
        case arith.MinSIOp():
            lhs, rhs = _of_scalar(value.op.lhs, element), _of_scalar(value.op.rhs, element)
            found = min(lhs[0], rhs[0]), min(lhs[1], rhs[1])
        case arith.SelectOp():
            lhs, rhs = _of_scalar(value.op.lhs, element), _of_scalar(value.op.rhs, element)
            found = min(lhs[0], rhs[0]), max(lhs[1], rhs[1])
        case arith.SubiOp():
            lhs, rhs = _of_scalar(value.op.lhs, element), _of_scalar(value.op.rhs, element)
            found = lhs[0] - rhs[1], lhs[1] - rhs[0]
        case _:
            pass
    return found if found is not None and fits(found, whole) else whole
