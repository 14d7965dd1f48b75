"""The numpy meaning of a whole module, at any stage from `onnx` to `loops`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from xdsl.dialects import func
from xdsl.dialects.builtin import ArrayAttr, IntegerAttr, MemRefType, ModuleOp, TensorType
from xdsl.ir import Block, Operation, SSAValue

from webdnn.dialects import kernel, plan
from webdnn.dialects.dtypes import Array, numpy_dtype
from webdnn.dialects.numpy_meaning.kernel import run_kernel, run_tensor_block
from webdnn.dialects.numpy_meaning.loops import run_loops
from webdnn.dialects.numpy_meaning.nn import run_nn_block, run_nn_op
from webdnn.dialects.numpy_meaning.onnx import run_module as run_onnx_module
from webdnn.dialects.onnx import INPUT_NAMES, OUTPUT_NAMES, strings_of
from webdnn.dialects.sizes.bound_symbols import symbol_values
from webdnn.dialects.sizes.types import SizesAttr, shape_of, symbols_bound


def run_module(
    module: ModuleOp,
    weights: Mapping[str, Array],
    inputs: Mapping[str, Array],
    *,
    is_first: bool = False,
) -> dict[str, Array]:
    """Run a module of any stage in numpy.

    Args:
        module: the host program and all that it needs.
        weights: what the handles of `onnx.weight` and `nn.weight` name.
        inputs: an array for each of the model's inputs, by name.
        is_first: whether launches `first_run` of a `plan.program` stand for those at load.

    Returns:
        An array for each of the model's outputs, by name, in the type and shape of the host program's results.
    """
    program = next((op for op in module.ops if isinstance(op, plan.ProgramOp)), None)
    if program is not None:
        return _Planned(module, program, _shipped_weights(module, weights)).run(
            inputs, is_first=is_first
        )
    main = _function(module, plan.ENTRY)
    assert main is not None
    names = strings_of(main, INPUT_NAMES)
    arguments = [_as_type(inputs[n], a) for n, a in zip(names, main.body.block.args, strict=True)]
    with symbols_bound(_symbols(names, main.body.block.args, arguments)):
        results = _run_main(module, main, weights, arguments)
    return dict(zip(strings_of(main, OUTPUT_NAMES), results, strict=True))


def _symbols(
    names: Sequence[str], values: Sequence[SSAValue], arrays: Sequence[Array]
) -> dict[str, int]:
    """The values of the symbols in the types of inputs."""
    sized = {
        name: (shape_of(value), array.shape)
        for name, value, array in zip(names, values, arrays, strict=True)
        if isinstance(value.type, TensorType) and isinstance(value.type.encoding, SizesAttr)
    }
    return symbol_values(sized)


def _run_main(
    module: ModuleOp, main: func.FuncOp, weights: Mapping[str, Array], arguments: Sequence[Array]
) -> Sequence[Any]:
    if any(op.name.startswith("onnx.") for op in main.body.block.ops):
        return run_onnx_module(module, weights, arguments)
    if any(op.name.startswith(("kernel.", "plan.")) for op in main.body.block.ops):
        return _run_host(module, main.body.block, arguments, _shipped_weights(module, weights))
    return run_nn_block(main.body.block, tuple(arguments), weights)


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
                results = [operands[0].reshape(shape_of(op.res))]
            case plan.ConcatOp():
                results = [np.concatenate(operands, op.axis.value.data)]
            case kernel.RegionOp():
                results = run_tensor_block(op.body.block, operands)
            case plan.LaunchOp():
                results = run_kernel(kernels[op.kernel.string_value()], operands)
            case _:
                results = [run_nn_op(op, tuple(operands), {})]
        values.update(zip(op.results, results, strict=True))
    raise ValueError("the host program has no return")


class _Planned:
    """Runs a `plan.program` in memory laid out as it says, so that a wrong plan gives wrong results."""

    def __init__(self, module: ModuleOp, program: plan.ProgramOp, weights: Sequence[Array]) -> None:
        self.program = program
        self.kernels = kernel.kernels_of(module)
        self.spaces = {
            "arena": [np.zeros(n, np.uint8) for n in _ints(program, plan.ARENA_BUFFERS)],
            "prepared": [np.zeros(n, np.uint8) for n in _ints(program, plan.PREPARED_BUFFERS)],
        }
        size = program.attributes[plan.WEIGHT_BYTES]
        assert isinstance(size, IntegerAttr)
        shipped = np.zeros(size.value.data, np.uint8)
        for offset, array in zip(_ints(program, plan.WEIGHT_OFFSETS), weights, strict=True):
            raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            shipped[offset : offset + raw.size] = raw
        self.spaces["weights"] = [shipped]

    def memory(self, value: SSAValue) -> Array:
        slice = value.owner
        assert isinstance(slice, plan.SliceOp) and isinstance(slice.res.type, MemRefType)
        buffers = self.spaces[slice.space.data]
        dtype = numpy_dtype(slice.res.type.element_type)
        (count,) = slice.res.type.get_shape()
        start = slice.offset.value.data
        raw = buffers[slice.buffer.value.data][start : start + count * dtype.itemsize]
        return raw.view(dtype)

    def run(self, inputs: Mapping[str, Array], *, is_first: bool) -> dict[str, Array]:
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
            if bind.role.data == "input":
                memory = self.memory(bind.slice)
                memory[:] = inputs[bind.tensor_name.data].reshape(-1).view(memory.dtype)
        of_a_run = [op for op in launches if op.at_load is None and op.first_run is None]
        for number, launch in enumerate(of_a_run):
            for op in standing_in.get(number, [launch]):
                self.launch(op)
        outputs: dict[str, Array] = {}
        for bind in binds:
            if bind.role.data == "output":
                shape = [n.value.data for n in bind.shape.data]
                outputs[bind.tensor_name.data] = self.memory(bind.slice).reshape(shape).copy()
        return outputs

    def launch(self, launch: plan.LaunchIntoOp) -> None:
        function = self.kernels[launch.kernel.string_value()]
        run_loops(function, [self.memory(v) for v in launch.arguments])


def _ints(op: Operation, name: str) -> list[int]:
    attr = op.attributes.get(name, ArrayAttr([]))
    assert isinstance(attr, ArrayAttr)
    return [v.value.data for v in attr.data if isinstance(v, IntegerAttr)]
