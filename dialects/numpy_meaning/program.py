"""The numpy meaning of a whole module, at any stage from `onnx` to `loops`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from xdsl.dialects import func
from xdsl.dialects.builtin import DYNAMIC_INDEX, IntegerAttr, MemRefType, ModuleOp
from xdsl.ir import Block, SSAValue

from webdnn.dialects import kernel, plan
from webdnn.dialects.dtypes import Array, numpy_dtype
from webdnn.dialects.numpy_meaning.kernel import run_kernel, run_tensor_block
from webdnn.dialects.numpy_meaning.loops import run_loops
from webdnn.dialects.numpy_meaning.nn import run_nn_block, run_nn_op
from webdnn.dialects.numpy_meaning.onnx import run_module as run_onnx_module
from webdnn.dialects.onnx import INPUT_NAMES, OUTPUT_NAMES, inputs_and_seed, strings_of
from webdnn.dialects.sizes.binding import bind_shapes
from webdnn.dialects.sizes.substitution import evaluate
from webdnn.dialects.sizes.types import (
    concrete_shape,
    concrete_size,
    shape_of,
    sizes_in,
    symbols_bound,
)
from webdnn.dialects.threefry import Words, seed_words


def run_module(
    module: ModuleOp,
    weights: Mapping[str, Array],
    inputs: Mapping[str, Array],
    *,
    seed: int | None = None,
    is_first: bool = False,
) -> dict[str, Array]:
    """Run a module of any stage in numpy.

    Args:
        module: the host program and all that it needs.
        weights: what the handles of `onnx.weight` and `nn.weight` name.
        inputs: an array for each of the model's inputs, by name.
        seed: of the random numbers, below level `onnx`; a fresh one if it is not given.
        is_first: whether launches `first_run` of a `plan.program` stand for those at load.

    Returns:
        An array for each of the model's outputs, by name, in the type and shape of the host program's results.
    """
    program = next((op for op in module.ops if isinstance(op, plan.ProgramOp)), None)
    if program is not None:
        planned = _Planned(module, program, _shipped_weights(module, weights), inputs)
        return planned.run(inputs, seed_words(seed), is_first=is_first)
    main = _function(module, plan.ENTRY)
    assert main is not None
    names = strings_of(main, INPUT_NAMES)
    values, seed_value = inputs_and_seed(main)
    arguments = [_as_type(inputs[n], a) for n, a in zip(names, values, strict=True)]
    if seed_value is not None:
        arguments.append(_as_type(seed_words(seed), seed_value))
    if any(op.name.startswith("onnx.") for op in main.body.block.ops):
        results: Sequence[Any] = run_onnx_module(module, weights, arguments)
        return dict(zip(strings_of(main, OUTPUT_NAMES), results, strict=True))
    declared = {n: shape_of(a) for n, a in zip(names, values, strict=True)}
    with symbols_bound(bind_shapes(declared, {n: inputs[n].shape for n in names})):
        if any(op.name.startswith(("kernel.", "plan.")) for op in main.body.block.ops):
            shipped = _shipped_weights(module, weights)
            results = _run_host(module, main.body.block, arguments, shipped)
        else:
            results = run_nn_block(main.body.block, tuple(arguments), weights)
    return dict(zip(strings_of(main, OUTPUT_NAMES), results, strict=True))


def _function(module: ModuleOp, name: str) -> func.FuncOp | None:
    found = (op for op in module.ops if isinstance(op, func.FuncOp) and op.sym_name.data == name)
    return next(found, None)


def _as_type(array: Array, value: SSAValue) -> Array:
    """The same bytes with the dtype of the IR: unsigned integers are signless below `nn`."""
    dtype = numpy_dtype(value.type)
    return array if array.dtype == dtype else array.view(dtype)


def _shipped_weights(module: ModuleOp, weights: Mapping[str, Array]) -> list[Array]:
    function = _function(module, plan.WEIGHTS_FUNCTION)
    return [] if function is None else run_nn_block(function.body.block, (), weights)


def _run_host(
    module: ModuleOp, block: Block, arguments: Sequence[Array], weights: Sequence[Array]
) -> list[Array]:
    kernels = kernel.kernels_of(module)
    values: dict[SSAValue, Array] = dict(zip(block.args, arguments, strict=True))
    for op in block.ops:
        operands = [values[v] for v in op.operands]
        match op:
            case func.ReturnOp():
                return operands
            case plan.WeightOp():
                results = [_as_type(weights[op.index.value.data], op.res)]
            case plan.ViewOp():
                results = [operands[0].reshape(concrete_shape(op.res))]
            case plan.ConcatOp():
                results = [np.concatenate(operands, op.axis.value.data)]
            case kernel.RegionOp():
                results = run_tensor_block(op.body.block, operands)
            case plan.LaunchOp():
                function = kernels[op.kernel.string_value()]
                sizes = [concrete_size(size) for size in op.sizes.data] if op.sizes else []
                lengths = [prod(concrete_shape(r)) for r in op.results]
                results = run_kernel(function, operands, sizes=sizes, lengths=lengths)
            case _:
                results = [run_nn_op(op, tuple(operands), {})]
        values.update(zip(op.results, results, strict=True))
    raise ValueError("the host program has no return")


class _Planned:
    """Runs a `plan.program` in memory laid out as it says, so that a wrong plan gives wrong results. States come in and
    go out with all else.

    Args:
        inputs: of the first run, which set the sizes.
    """

    def __init__(
        self,
        module: ModuleOp,
        program: plan.ProgramOp,
        weights: Sequence[Array],
        inputs: Mapping[str, Array],
    ) -> None:
        self.program = program
        self.kernels = kernel.kernels_of(module)
        self.sizes = _sizes_of_run(program, inputs)
        self.spaces = {
            "arena": [np.zeros(n, np.uint8) for n in self._numbers(plan.ARENA_BUFFERS)],
            "state": [np.zeros(n, np.uint8) for n in self._numbers(plan.STATE_BUFFERS)],
            "prepared": [np.zeros(n, np.uint8) for n in self._numbers(plan.PREPARED_BUFFERS)],
        }
        size = program.attributes[plan.WEIGHT_BYTES]
        assert isinstance(size, IntegerAttr)
        shipped = np.zeros(size.value.data, np.uint8)
        for offset, array in zip(self._numbers(plan.WEIGHT_OFFSETS), weights, strict=True):
            raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            shipped[offset : offset + raw.size] = raw
        self.spaces["weights"] = [shipped]

    def _numbers(self, name: str) -> list[int]:
        attr = self.program.attributes.get(name)
        return [] if attr is None else [evaluate(n, self.sizes) for n in sizes_in(attr)]

    def memory(self, value: SSAValue) -> Array:
        slice = plan.slice_of(value)
        assert isinstance(slice.res.type, MemRefType)
        buffers = self.spaces[slice.space.data]
        dtype = numpy_dtype(slice.res.type.element_type)
        (count,) = slice.res.type.get_shape()
        if count == DYNAMIC_INDEX:
            count = evaluate(slice.size, self.sizes) // dtype.itemsize
        start = evaluate(slice.begin, self.sizes)
        raw = buffers[slice.buffer.value.data][start : start + count * dtype.itemsize]
        return raw.view(dtype)

    def _bound(self, bind: plan.BindOp) -> Array:
        """The memory of an input or output with its shape. An empty tensor has memory, but no elements."""
        shape = [evaluate(n, self.sizes) for n in bind.sizes]
        return self.memory(bind.slice)[: prod(shape)].reshape(shape)

    def run(self, inputs: Mapping[str, Array], seed: Words, *, is_first: bool) -> dict[str, Array]:
        ops = list(self.program.body.block.ops)
        binds = [op for op in ops if isinstance(op, plan.BindOp)]
        launches = self.program.launches
        standing_in: dict[int, list[plan.LaunchIntoOp]] = {}
        for launch in launches:
            if launch.first_run is not None and is_first:
                standing_in.setdefault(launch.first_run.value.data, []).append(launch)
            elif launch.at_load is not None and not is_first:
                self.launch(launch)
        for bind in binds:
            if bind.role.data in ("input", "past", "seed"):
                memory = self._bound(bind)
                given = seed if bind.role.data == "seed" else inputs[bind.tensor_name.data]
                memory[...] = given.reshape(memory.shape).view(memory.dtype)
        of_a_run = [op for op in launches if op.at_load is None and op.first_run is None]
        for number, launch in enumerate(of_a_run):
            for op in standing_in.get(number, [launch]):
                self.launch(op)
        return {
            bind.tensor_name.data: self._bound(bind).copy()
            for bind in binds
            if bind.role.data in ("output", "present")
        }

    def launch(self, launch: plan.LaunchIntoOp) -> None:
        function = self.kernels[launch.kernel.string_value()]
        sizes = [evaluate(n, self.sizes) for n in launch.kernel_sizes]
        run_loops(function, [self.memory(v) for v in launch.arguments], sizes=sizes)


def _sizes_of_run(program: plan.ProgramOp, inputs: Mapping[str, Array]) -> dict[str, int]:
    """The values of a program's symbols, and of what it defines by them."""
    declared = {
        op.tensor_name.data: op.sizes
        for op in program.body.block.ops
        if isinstance(op, plan.BindOp) and op.role.data in ("input", "past")
    }
    values = dict(bind_shapes(declared, {name: inputs[name].shape for name in declared}))
    for definition in program.definitions:
        values[definition.symbol.name] = evaluate(definition.value, values)
    return values
