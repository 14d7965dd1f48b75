"""`append-softmax` and `append-top-k`: scores of classes become probabilities, and the best few of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import FunctionType, ModuleOp, NameLoc, NoneAttr, StringAttr, i32
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from webdnn.dialects.dtypes import is_float
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.nn import reduction as rd
from webdnn.dialects.nn.ordering import TopKOp
from webdnn.dialects.onnx import (
    OUTPUT_DTYPES,
    OUTPUT_NAMES,
    OUTPUT_SYMBOLS,
    string_lists_of,
    strings_of,
)
from webdnn.dialects.sizes.expression import bounds, is_symbolic
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.dialects.weight_store import WeightStore, weights_of
from webdnn.lowering.interface.names import position, replace_string, replace_strings
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.weights_function import entry_function

Results = Callable[[NNBuilder, SSAValue, str], Sequence[SSAValue]]
"""What stands in the place of an output, of a name."""


def class_axis(shape: Sequence[int], name: str, classes: int = 0) -> int:
    """The dimension of an output in which its classes lie: the last one, or the last of so many. The first of several
    dimensions is the batch, and those of one element say nothing (some classifiers give `[1, 1000, 1, 1]`).

    Args:
        shape: the output's.
        name: the output, for messages.
        classes: how many there are; 0 where that is not known.

    Raises:
        WebDNNError: it has no such dimension.
    """
    possible = range(len(shape) > 1, len(shape))
    large = [axis for axis in possible if is_symbolic(shape[axis]) or shape[axis] > 1]
    axes = [axis for axis in large or possible if shape[axis] == classes or not classes]
    if not axes and shape:
        counted = "is 1 label" if classes == 1 else f"are {classes} labels"
        raise WebDNNError(
            f"there {counted}, and the output '{name}' has the shape {list(shape)}",
            why="there is a label for each class, and a dimension of the output with an element for each class",
            hint="a class may stand for the background, before the first label or behind the last",
        )
    if not axes:
        raise WebDNNError(f"the output '{name}' is a single number and has no classes")
    return axes[-1]


def top_k_names(name: str) -> tuple[str, str]:
    """What an output of this name becomes: its greatest values, and their indices."""
    return f"{name}_values", f"{name}_indices"


def values_beside(indices: str) -> str:
    """The output of the greatest values beside that of their indices, "" where the name is none of `top_k_names`."""
    values, name = top_k_names(indices.removesuffix("_indices"))
    return values if name == indices else ""


@dataclass(frozen=True)
class AppendSoftmax(ModulePass):
    """The softmax of an output takes its place.

    Args:
        output: its name; "" for the only one.
        classes: how many there are, which tells along which dimension; 0 where that is not known.
    """

    name = "append-softmax"

    output: str = ""
    classes: int = 0

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        _replace_output(entry_function(op), self.output, weights_of(op), self._results)

    def _results(self, b: NNBuilder, x: SSAValue, name: str) -> Sequence[SSAValue]:
        axis = class_axis(shape_of(x), name, self.classes)
        if not is_float(element_of(x)):
            raise WebDNNError(f"the output '{name}' holds integers, and has no softmax")
        made = x.owner
        if (
            isinstance(made, rd.SoftmaxOp)
            and made.axis.value.data == axis
            and not made.log.value.data
        ):
            raise WebDNNError(
                f"the output '{name}' is a softmax already",
                why="the softmax of probabilities is nearly the same for all classes",
                hint="leave --softmax out",
            )
        return [b.insert(rd.SoftmaxOp(x, axis))]


@dataclass(frozen=True)
class AppendTopK(ModulePass):
    """Two outputs in the place of one: its `k` greatest values, in descending order, and their indices (int32).

    Args:
        k: how many.
        output: its name; "" for the only one.
        classes: how many there are, which tells along which dimension; 0 where that is not known.
    """

    name = "append-top-k"

    k: int
    output: str = ""
    classes: int = 0

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        _replace_output(entry_function(op), self.output, weights_of(op), self._results)

    def _results(self, b: NNBuilder, x: SSAValue, name: str) -> Sequence[SSAValue]:
        shape = shape_of(x)
        axis = class_axis(shape, name, self.classes)
        if not 0 < self.k <= bounds(shape[axis])[1]:
            raise WebDNNError(
                f"there are no {self.k} greatest values of the output '{name}'",
                where=str(list(shape)),
                hint=f"a number from 1 to {shape[axis]}",
            )
        order = [*(d for d in range(len(shape)) if d != axis), axis]
        back = [order.index(d) for d in range(len(shape))]
        rows = b.transpose(x, order)
        index = b.insert(TopKOp(rows, self.k, largest=True))
        values = b.insert(dm.GatherElementsOp(rows, index, len(shape) - 1))
        return [b.transpose(values, back), b.transpose(b.cast(index, i32), back)]


def _replace_output(function: FuncOp, name: str, weights: WeightStore, results: Results) -> None:
    """Put the results of new ops in the place of an output. Two of them are its `top_k_names`."""
    index = position(function, OUTPUT_NAMES, name)
    name = strings_of(function, OUTPUT_NAMES)[index]
    block = function.body.block
    last = block.last_op
    assert isinstance(last, ReturnOp)
    returned = list(last.arguments)
    last.detach()
    last.erase()
    builder = NNBuilder(block, weights)
    builder.location, builder.name = NameLoc(StringAttr(name), NoneAttr()), name
    made = results(builder, returned[index], name)
    returned[index : index + 1] = made
    block.add_op(ReturnOp(*returned))
    function.properties["function_type"] = FunctionType.from_lists(
        function.function_type.inputs.data, [v.type for v in returned]
    )
    if len(made) == 1:
        return
    dtype = strings_of(function, OUTPUT_DTYPES)[index]
    replace_string(function, OUTPUT_NAMES, index, *top_k_names(name))
    replace_string(function, OUTPUT_DTYPES, index, dtype, "int32")
    if string_lists_of(function, OUTPUT_SYMBOLS):
        replace_strings(function, OUTPUT_SYMBOLS, index, *[[""] * len(shape_of(v)) for v in made])
