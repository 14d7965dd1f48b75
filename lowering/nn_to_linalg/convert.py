"""`convert-nn-to-linalg`: each `nn` op of the host program becomes a `kernel.region` of structured ops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import (
    DenseIntOrFPElementsAttr,
    FunctionType,
    ModuleOp,
    StringAttr,
)
from xdsl.ir import Attribute, Block, Operation, SSAValue
from xdsl.passes import ModulePass

from webdnn.dialects import kernel, plan
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.nn import reduction as red
from webdnn.dialects.nn.elementwise import ElementwiseOp
from webdnn.dialects.nn.ordering import TopKOp
from webdnn.dialects.nn.random_numbers import RandomBitsOp
from webdnn.dialects.sizes.types import element_of, shape_of, tensor_type
from webdnn.lowering.nn_to_linalg import data_movement, ordering, random_numbers, reduction, resize
from webdnn.lowering.nn_to_linalg.region_builder import RegionBuilder, scalar_constant, signless
from webdnn.lowering.nn_to_linalg.scalars import emit_elementwise
from webdnn.lowering.nn_to_linalg.trait import LinalgLowering
from webdnn.lowering.weights_function import WeightsFunction, entry_function

Lower = Callable[[Any, RegionBuilder], kernel.RegionOp]

LOWERINGS: dict[type[Operation], Lower] = {
    dm.TransposeOp: data_movement.lower_transpose,
    dm.BroadcastOp: data_movement.lower_broadcast,
    dm.SliceOp: data_movement.lower_slice,
    dm.PadOp: data_movement.lower_pad,
    dm.ConcatOp: data_movement.lower_concat,
    dm.GatherOp: data_movement.lower_gather,
    dm.GatherElementsOp: data_movement.lower_gather_elements,
    dm.GatherNDOp: data_movement.lower_gather_nd,
    dm.IotaOp: data_movement.lower_iota,
    dm.SizesOp: data_movement.lower_sizes,
    dm.ResizeOp: resize.lower_resize,
    red.MatmulOp: reduction.lower_matmul,
    red.ConvOp: reduction.lower_conv,
    red.ReduceOp: reduction.lower_reduce,
    red.ArgReduceOp: reduction.lower_arg_reduce,
    red.ReduceWindowOp: reduction.lower_reduce_window,
    red.SoftmaxOp: reduction.lower_softmax,
    red.NormalizeOp: reduction.lower_normalize,
    RandomBitsOp: random_numbers.lower_random_bits,
}
"""How each `nn` op that is not elementwise becomes a region; the builder's arguments are the op's operands."""


@dataclass(frozen=True)
class ConvertNNToLinalg(ModulePass):
    """Level `nn` (with `@weights` hoisted) to level `linalg`. Integers become signless; reshapes become `plan.view`."""

    name = "convert-nn-to-linalg"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        main = entry_function(op)
        weights = WeightsFunction(op)
        with weights.together():
            _Converter(main, weights).run()


class _Converter:
    """Builds the new body beside the old one, because integers of the old one still have their sign."""

    def __init__(self, main: func.FuncOp, weights: WeightsFunction) -> None:
        self.main = main
        self.old = main.body.block
        self.new = Block(arg_types=[signless(a.type) for a in self.old.args])
        self.weights = weights
        self.values: dict[SSAValue, SSAValue] = dict(zip(self.old.args, self.new.args, strict=True))
        self.location = main.location

    def run(self) -> None:
        for old, new in zip(self.old.args, self.new.args, strict=True):
            new.name_hint, new.location = old.name_hint, old.location
        for op in self.old.ops:
            self.location = op.location
            self.convert(op)
        self.main.body.insert_block(self.new, 0)
        self.main.body.erase_block(self.old, safe_erase=False)
        returned = self.new.last_op
        assert isinstance(returned, func.ReturnOp)
        self.main.function_type = FunctionType.from_lists(
            [a.type for a in self.new.args], [v.type for v in returned.arguments]
        )

    def convert(self, op: Operation) -> None:
        match op:
            case plan.WeightOp():
                self.define(op, plan.WeightOp(op.index.value.data, signless(op.res.type)))
            case dm.ConstantOp():
                pass  # its users take the number
            case dm.ReshapeOp():
                self.define(op, plan.ViewOp(self.values[op.x], signless(op.res.type)))
            case red.ConvOp() if op.groups.value.data > 1:
                self.convert_grouped(op)
            case TopKOp():
                self.convert_top_k(op)
            case dm.ResizeOp():
                tables = [self.table(t) for t in resize.resize_tables(op)]
                self.lower(op, [self.values[op.x], *tables])
            case ElementwiseOp():
                self.convert_elementwise(op)
            case func.ReturnOp():
                self.insert(
                    func.ReturnOp(*self.own_results([self.values[v] for v in op.arguments]))
                )
            case _ if type(op) in LOWERINGS:
                self.lower(op, [self.values[v] for v in op.operands])
            case _ if (own := op.get_trait(LinalgLowering)) is not None:
                self.define(op, own.lower(op, RegionBuilder([self.values[v] for v in op.operands])))
            case _:
                raise WebDNNError(
                    f"{op.name} has no lowering to structured ops", where=str(op.location)
                )

    def insert(self, op: Operation) -> Operation:
        op.location = self.location
        self.new.add_op(op)
        return op

    def define(self, old: Operation, new: Operation) -> None:
        if isinstance(new, kernel.RegionOp):
            new.attributes[kernel.HINT] = StringAttr(old.name.rpartition(".")[2])
        self.insert(new)
        for old_result, new_result in zip(old.results, new.results, strict=True):
            new_result.name_hint = old_result.name_hint
            self.values[old_result] = new_result

    def lower(self, op: Operation, operands: Sequence[SSAValue]) -> None:
        self.define(op, LOWERINGS[type(op)](op, RegionBuilder(operands)))

    def view(self, value: SSAValue, shape: Sequence[int]) -> SSAValue:
        view = plan.ViewOp(value, tensor_type(element_of(value), shape))
        return self.insert(view).results[0]

    def convert_grouped(self, op: red.ConvOp) -> None:
        """Groups become a dimension of their own by views, which cost nothing."""
        groups = op.groups.value.data
        x_shape, filter_shape = shape_of(op.x), shape_of(op.filter)
        window, m = filter_shape[:-2], filter_shape[-1]
        x, filter = self.values[op.x], self.values[op.filter]
        if reduction.is_depthwise(op):
            operands = [x, self.view(filter, [*window, m])]
            self.define(op, reduction.lower_conv(op, RegionBuilder(operands)))
            return
        operands = [
            self.view(x, [*x_shape[:-1], groups, x_shape[-1] // groups]),
            self.view(filter, [*window, filter_shape[-2], groups, m // groups]),
        ]
        region = self.insert(reduction.lower_conv(op, RegionBuilder(operands)))
        region.attributes[kernel.HINT] = StringAttr("conv")
        self.define(op, plan.ViewOp(region.results[0], op.res.type))

    def convert_top_k(self, op: TopKOp) -> None:
        """On the rows of a matrix, which is a view: keys, the positions of the first ones, indices."""
        shape, element = shape_of(op.x), element_of(op.x)
        rows = self.view(self.values[op.x], [prod(shape[:-1]), shape[-1]])
        if op.k.value.data == 1:
            regions = [lambda r: ordering.first_region(op, element, r)]
        else:
            regions = [
                lambda r: ordering.keys_region(op, element, r),
                lambda r: ordering.top_k_region(op, r),
                ordering.indices_region,
            ]
        for make in regions:
            region = self.insert(make(RegionBuilder([rows])))
            region.attributes[kernel.HINT] = StringAttr("top_k")
            (rows,) = region.results
        self.define(op, plan.ViewOp(rows, op.res.type))

    def convert_elementwise(self, op: ElementwiseOp) -> None:
        arrays = list(dict.fromkeys(v for v in op.operands if not _is_number(v)))
        region = RegionBuilder([self.values[v] for v in arrays])

        def body(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
            elements = [
                _number(b, v) if _is_number(v) else args[arrays.index(v)] for v in op.operands
            ]
            return emit_elementwise(b, op, elements)

        (result,) = op.results
        element: Attribute = signless(element_of(result))
        value = region.elementwise(region.args, shape_of(result), element, body)
        self.define(op, region.finish(value))

    def table(self, table: DenseIntOrFPElementsAttr) -> SSAValue:
        """A table that is known now becomes a weight."""
        constant = dm.ConstantOp(table)
        self.weights.insert(constant)
        (index,) = self.weights.add_results([constant.res])
        return self.insert(plan.WeightOp(index, constant.res.type)).results[0]

    def own_results(self, values: Sequence[SSAValue]) -> list[SSAValue]:
        """Each output is memory of its own: what a kernel did not just make for it is copied."""
        seen: set[SSAValue] = set()
        results: list[SSAValue] = []
        for value in values:
            source = value
            while isinstance(source.owner, plan.ViewOp):
                source = source.owner.source
            if isinstance(source.owner, kernel.RegionOp) and source not in seen:
                seen.add(source)
                results.append(value)
                continue
            region = RegionBuilder([value])
            copy = region.elementwise(
                region.args, shape_of(value), element_of(value), lambda _, args: args[0]
            )
            copied = self.insert(region.finish(copy))
            copied.attributes[kernel.HINT] = StringAttr("copy")
            results.append(copied.results[0])
        return results


def _is_number(value: SSAValue) -> bool:
    """Whether an operand is a splat constant that becomes a number in the body (`hoist-weights` left it there)."""
    return isinstance(value.owner, dm.ConstantOp)


def _number(b: Builder, value: SSAValue) -> SSAValue:
    assert isinstance(value.owner, dm.ConstantOp)
    number = next(iter(value.owner.value.iter_values()))
    assert isinstance(number, int | float)
    return scalar_constant(b, number, signless(element_of(value)))
