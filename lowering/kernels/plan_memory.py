"""`plan-memory`: give every tensor of the host program an address; `@main` becomes a `plan.program`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    IntegerAttr,
    MemRefType,
    ModuleOp,
    TensorType,
    i64,
)
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects import plan
from webdnn.dialects.onnx import (
    INPUT_DTYPES,
    INPUT_NAMES,
    OUTPUT_DTYPES,
    OUTPUT_NAMES,
    inputs_and_seed,
    strings_of,
)
from webdnn.dialects.plan import storage_of
from webdnn.dialects.sizes.expression import is_symbolic, maximum
from webdnn.dialects.sizes.types import shape_of, sizes_attr
from webdnn.dialects.threefry import SEED_WORDS
from webdnn.lowering.kernels.layouts import Layouts, span
from webdnn.lowering.kernels.lifetimes import launch_order, prepared_tensors, tensor_lifetimes
from webdnn.lowering.kernels.memory_planner import (
    MemoryPlan,
    align_up,
    bytes_alive,
    own_buffers,
    plan_buffers,
    plan_offsets,
    side_by_side,
)
from webdnn.lowering.target import MemoryModel, memory_of
from webdnn.lowering.weights_function import WeightsFunction, find_function


@dataclass(frozen=True)
class PlanMemory(ModulePass):
    """`target` says how memory is made: one linear memory, or buffers."""

    name = "plan-memory"

    target: str = "wasm"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        main = find_function(op, plan.ENTRY)
        if main is None:  # kernels on their own
            return
        block = main.body.block
        memory = memory_of(self.target)
        alignment = memory.alignment
        lifetimes = tensor_lifetimes(block)
        sizes = [memory.tensor_bytes(t.type) for t in lifetimes]
        place = plan_offsets if memory.is_linear else plan_buffers
        arena: MemoryPlan = place(lifetimes, sizes, alignment)
        places = {t.value: ("arena", p) for t, p in zip(lifetimes, arena.placements, strict=True)}
        kept = prepared_tensors(block)
        keep = side_by_side if memory.is_linear else own_buffers
        prepared = keep([memory.tensor_bytes(v.type) for v in kept], alignment)
        places |= {v: ("prepared", p) for v, p in zip(kept, prepared.placements, strict=True)}
        order = launch_order(block)
        offsets, weight_bytes = _weight_offsets(op, order, memory)
        layouts = Layouts(block)
        program = plan.ProgramOp(main.sym_name.data)
        body = program.body.block
        body.add_ops(plan.DefineOp(symbol, size) for symbol, size in arena.definitions)
        slices: dict[tuple[str, int, int, int, Attribute], SSAValue] = {}

        def slice_of(value: SSAValue) -> SSAValue:
            type = value.type
            assert isinstance(type, TensorType)
            layout = layouts.of(value)
            storage = layout.root
            count = span(shape_of(value), layout.strides)
            length = DYNAMIC_INDEX if is_symbolic(count) else count
            memref = MemRefType(type.element_type, [length])
            width = memory.element_bytes(type.element_type)
            size = maximum(count, 1) * width if memory.is_linear else memory.tensor_bytes(type)
            if isinstance(storage.owner, plan.WeightOp):
                key = ("weights", 0, offsets[storage.owner.index.value.data], size, memref)
            else:
                space, placement = places[storage]
                offset = placement.offset + layout.offset * width
                key = (space, placement.buffer, offset, size, memref)
            if key not in slices:
                op = plan.SliceOp(*key)
                op.res.name_hint = value.name_hint
                body.add_op(op)
                slices[key] = op.res
            return slices[key]

        def bind(role: str, values: Sequence[SSAValue], names: str, dtypes: str) -> None:
            described = zip(values, strings_of(main, names), strings_of(main, dtypes), strict=True)
            for value, name, dtype in described:
                body.add_op(plan.BindOp(role, name, dtype, shape_of(value), slice_of(value)))

        end = block.last_op
        assert isinstance(end, func.ReturnOp)
        inputs, seed = inputs_and_seed(main)
        bind("input", inputs, INPUT_NAMES, INPUT_DTYPES)
        if seed is not None:
            body.add_op(plan.BindOp("seed", "", "uint32", [SEED_WORDS], slice_of(seed)))
        bind("output", end.arguments, OUTPUT_NAMES, OUTPUT_DTYPES)
        for launch, number in order:
            arguments = [slice_of(v) for v in (*launch.arguments, *launch.outs)]
            at_load = None if launch.at_load is None else number
            into = plan.LaunchIntoOp(
                launch.kernel.string_value(), arguments, at_load=at_load, sizes=launch.sizes
            )
            into.location = launch.location
            body.add_op(into)
        program.attributes[plan.ARENA_BUFFERS] = sizes_attr(arena.buffers)
        if kept:
            program.attributes[plan.PREPARED_BUFFERS] = sizes_attr(prepared.buffers)
        alive = bytes_alive(lifetimes, sizes, alignment)
        program.attributes[plan.ARENA_BOUND] = IntegerAttr(alive, i64)
        program.attributes[plan.PACKED_BYTES] = IntegerAttr(_packed_bytes(op, memory), i64)
        program.attributes[plan.WEIGHT_OFFSETS] = sizes_attr(offsets)
        program.attributes[plan.WEIGHT_BYTES] = IntegerAttr(weight_bytes, i64)
        Rewriter.insert_op(program, InsertPoint.before(main))
        Rewriter.erase_op(main)


def _weight_offsets(
    module: ModuleOp, order: Sequence[tuple[plan.LaunchOp, int]], memory: MemoryModel
) -> tuple[list[int], int]:
    """Weights lie in the order in which a first run reads them, so that it can begin before all have arrived."""
    results = WeightsFunction(module).results
    indices: dict[int, None] = {}
    for launch, _ in sorted(order, key=lambda item: item[1]):
        for value in launch.arguments:
            source = storage_of(value).owner
            if isinstance(source, plan.WeightOp):
                indices[source.index.value.data] = None
    indices |= dict.fromkeys(range(len(results)))
    offsets = [0] * len(results)
    end = 0
    for index in indices:
        offsets[index] = end
        end = align_up(end + memory.tensor_bytes(results[index].type), memory.alignment)
    return offsets, end


def _packed_bytes(module: ModuleOp, memory: MemoryModel) -> int:
    return sum(
        memory.tensor_bytes(value.type)
        for value in WeightsFunction(module).results
        if isinstance(value.owner, Operation) and plan.PACKED in value.owner.attributes
    )
