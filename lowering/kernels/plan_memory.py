"""`plan-memory`: give every tensor of the host program an address; `@main` becomes a `plan.program`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    states_of,
    strings_of,
)
from webdnn.dialects.plan import storage_of
from webdnn.dialects.sizes.expression import is_symbolic, maximum
from webdnn.dialects.sizes.questions import at_most
from webdnn.dialects.sizes.substitution import likely
from webdnn.dialects.sizes.types import shape_of, sizes_attr
from webdnn.dialects.threefry import SEED_WORDS
from webdnn.lowering.kernels.layouts import Layouts, span
from webdnn.lowering.kernels.lifetimes import launch_order, prepared_tensors, tensor_lifetimes
from webdnn.lowering.kernels.memory_planner import (
    MemoryPlan,
    Placement,
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
        layouts = Layouts(block)
        states = _state_places(main, layouts, memory)
        lifetimes = [t for t in tensor_lifetimes(block) if t.value not in states]
        sizes = [memory.tensor_bytes(t.type) for t in lifetimes]
        place = plan_offsets if memory.is_linear else plan_buffers
        arena: MemoryPlan = place(lifetimes, sizes, alignment)
        places = {t.value: ("arena", p) for t, p in zip(lifetimes, arena.placements, strict=True)}
        places |= {value: ("state", p) for value, p in states.items()}
        kept = prepared_tensors(block)
        keep = side_by_side if memory.is_linear else own_buffers
        prepared = keep([memory.tensor_bytes(v.type) for v in kept], alignment)
        places |= {v: ("prepared", p) for v, p in zip(kept, prepared.placements, strict=True)}
        order = launch_order(block)
        offsets, weight_bytes = _weight_offsets(op, order, memory)
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

        end = block.last_op
        assert isinstance(end, func.ReturnOp)
        inputs, seed = inputs_and_seed(main)
        ends = {
            "input": (inputs, strings_of(main, INPUT_NAMES), strings_of(main, INPUT_DTYPES)),
            "output": (
                end.arguments,
                strings_of(main, OUTPUT_NAMES),
                strings_of(main, OUTPUT_DTYPES),
            ),
        }
        pairs = states_of(main)
        kept_ends = {"input": {i for i, _ in pairs}, "output": {o for _, o in pairs}}

        def bind(role: str, numbers: Iterable[int], of: str) -> None:
            """Give inputs or outputs (`of`) with these numbers a role."""
            values, names, dtypes = ends[of]
            for n in numbers:
                shape = shape_of(values[n])
                body.add_op(plan.BindOp(role, names[n], dtypes[n], shape, slice_of(values[n])))

        for role, numbers in kept_ends.items():
            if role == "output" and seed is not None:
                body.add_op(plan.BindOp("seed", "", "uint32", [SEED_WORDS], slice_of(seed)))
            bind(role, (n for n in range(len(ends[role][0])) if n not in numbers), role)
        bind("past", (i for i, _ in pairs), "input")
        bind("present", (o for _, o in pairs), "output")
        for launch, number in order:
            arguments = [slice_of(v) for v in (*launch.arguments, *launch.outs)]
            at_load = None if launch.at_load is None else number
            into = plan.LaunchIntoOp(
                launch.kernel.string_value(), arguments, at_load=at_load, sizes=launch.sizes
            )
            into.location = launch.location
            body.add_op(into)
        program.attributes[plan.ARENA_BUFFERS] = sizes_attr(arena.buffers)
        if states:
            program.attributes[plan.STATE_BUFFERS] = sizes_attr([p.bytes for p in states.values()])
        if kept:
            program.attributes[plan.PREPARED_BUFFERS] = sizes_attr(prepared.buffers)
        alive = bytes_alive(lifetimes, sizes, alignment)
        program.attributes[plan.ARENA_BOUND] = IntegerAttr(alive, i64)
        program.attributes[plan.PACKED_BYTES] = IntegerAttr(_packed_bytes(op, memory), i64)
        program.attributes[plan.WEIGHT_OFFSETS] = sizes_attr(offsets)
        program.attributes[plan.WEIGHT_BYTES] = IntegerAttr(weight_bytes, i64)
        Rewriter.insert_op(program, InsertPoint.before(main))
        Rewriter.erase_op(main)


def _state_places(
    main: func.FuncOp, layouts: Layouts, memory: MemoryModel
) -> dict[SSAValue, Placement]:
    """Where the states lie: for each one a buffer that is read, and one that is written. Both have room for the largest
    state that a run may begin with, and for what a run of the likely sizes gives."""
    end = main.body.block.last_op
    assert isinstance(end, func.ReturnOp)
    found: dict[SSAValue, Placement] = {}
    for past_number, present_number in states_of(main):
        past, present = main.body.block.args[past_number], end.arguments[present_number]
        assert isinstance(past.type, TensorType) and isinstance(present.type, TensorType)
        most = max(
            at_most(memory.tensor_bytes(past.type)), likely(memory.tensor_bytes(present.type))
        )
        size = align_up(most, memory.alignment)
        for value in (past, layouts.first_storage(present)):
            found[value] = Placement(len(found), 0, size)
    return found


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
