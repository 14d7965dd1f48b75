"""The numpy meaning of the `nn` dialect, op by op, and its implementation for xDSL's interpreter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from xdsl.interpreter import Interpreter, OpImplResult
from xdsl.ir import Block, Operation, SSAValue

from webdnn.dialects.dtypes import Array, numpy_dtype
from webdnn.dialects.foreign_code import foreign_errors
from webdnn.dialects.locations import location_names
from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.numpy_meaning.nn_data_movement import DATA_MOVEMENT_MEANING
from webdnn.dialects.numpy_meaning.nn_elementwise import ELEMENTWISE_MEANING
from webdnn.dialects.numpy_meaning.nn_ordering import ORDERING_MEANING
from webdnn.dialects.numpy_meaning.nn_random_numbers import RANDOM_MEANING
from webdnn.dialects.numpy_meaning.nn_reduction import REDUCTION_MEANING
from webdnn.dialects.numpy_meaning.size_arithmetic import is_of_sizes, run_on_sizes
from webdnn.dialects.numpy_meaning.table import TableFunctions
from webdnn.dialects.numpy_meaning.trait import NumpyMeaning
from webdnn.dialects.sizes.types import concrete_shape

NN_MEANING: dict[type[Operation], Callable[..., Array]] = {
    **ELEMENTWISE_MEANING,
    **DATA_MOVEMENT_MEANING,
    **REDUCTION_MEANING,
    **ORDERING_MEANING,
    **RANDOM_MEANING,
}
"""What each `nn` op computes from the arrays of its operands; `nn.weight` needs a store (see `run_nn_op`)."""


def run_nn_op(op: Operation, arrays: tuple[Array, ...], weights: Mapping[str, Array]) -> Array:
    """The result of one `nn` op, with the shape and the dtype of its result type.

    Of arrays of sizes (of objects) it is one of sizes too, or of numbers where nothing else is left.

    Raises:
        UndecidedSize: what it makes of sizes is not the same for all values of their symbols.
    """
    if isinstance(op, dm.WeightOp):
        result = weights[op.key.data]
    else:
        if any(map(is_of_sizes, arrays)):
            return run_on_sizes(op, arrays)
        with np.errstate(all="ignore"):
            own = op.get_trait(NumpyMeaning)
            result = NN_MEANING[type(op)](op, *arrays) if own is None else _own(own, op, arrays)
    expected = op.results[0].type
    if result.shape != concrete_shape(expected) or result.dtype != numpy_dtype(expected):
        raise ValueError(f"{op.name} gave {result.dtype}{list(result.shape)} and not {expected}")
    return result


def _own(meaning: NumpyMeaning, op: Operation, arrays: tuple[Array, ...]) -> Array:
    what, where = f"the numpy meaning of {op.name}", [*location_names(op.location)]
    expected = op.results[0].type
    with foreign_errors(what, meaning.function, where):
        result = np.asarray(meaning.function(op, *arrays))
        if result.shape != concrete_shape(expected) or result.dtype != numpy_dtype(expected):
            raise ValueError(f"it gave {result.dtype}{list(result.shape)} and not {expected}")
    return result


class NNFunctions(TableFunctions):
    """The `nn` ops for `xdsl.interpreter.Interpreter`; `weights` is what `nn.weight` reads."""

    def __init__(self, weights: Mapping[str, Array] | None = None) -> None:
        super().__init__()
        self.weights: Mapping[str, Array] = weights or {}

    @classmethod
    def _impls(cls) -> Any:
        return ((op, _run) for op in (dm.WeightOp, *NN_MEANING))


def _run(
    functions: NNFunctions, interpreter: Interpreter, op: Operation, arrays: tuple[Any, ...]
) -> OpImplResult:
    return OpImplResult((run_nn_op(op, arrays, functions.weights),), None)


def run_nn_block(
    block: Block, arguments: tuple[Array, ...], weights: Mapping[str, Array]
) -> list[Array]:
    """Run a block of `nn` ops and give the operands of its terminator.

    A value is dropped after its last use, so a whole model needs no more memory than its widest point.
    """
    values: dict[SSAValue, Array] = dict(zip(block.args, arguments, strict=True))
    last_use: dict[SSAValue, Operation] = {}
    for op in block.ops:
        for operand in op.operands:
            last_use[operand] = op
    for op in block.ops:
        operands = tuple(values[v] for v in op.operands)
        if op is block.last_op:
            return list(operands)
        result = run_nn_op(op, operands, weights)
        if op.results[0] in last_use:
            values[op.results[0]] = result
        for operand in op.operands:
            if last_use[operand] is op:
                values.pop(operand, None)
    raise ValueError("the block has no terminator")
