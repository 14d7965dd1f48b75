"""The `plan` dialect: the host program. It only says which weights exist, what is launched and where values lie.

Level `kernels` (values are tensors, nothing has an address yet)::

    func.func @main(%x: tensor<...>) -> tensor<...> {
      %w = plan.weight 0 : tensor<3x3x64x64xf32>
      %y = plan.launch @conv(%x, %w) : (tensor<...>, tensor<...>) -> tensor<...>
      %z = plan.view %y : tensor<1x56x56x64xf32> to tensor<3136x64xf32>
      func.return %z : tensor<3136x64xf32>
    }

`plan.concat` costs nothing either: its operands have been written side by side, each into its part of the result.

`plan.weight N` is the N-th result of `func.func private @weights()`, a function of `nn` ops on weight handles that
is run
in numpy when the package is written: packing and folding of weights are ops there, so they can be seen and tested too.
What a launch `{at_load}` gives depends on weights alone and is computed once, when a model is loaded: so a form of the
weights that is larger than they are is never downloaded.

Level `loops` and below (values have addresses)::

    plan.program @main {
      %x = plan.slice arena[0] bytes 802816 : memref<200704xf32>
      %w = plan.slice weights[64] bytes 147456 : memref<36864xf32>
      plan.launch_into @conv(%x, %w, %y) : memref<...>, ...
    }

Offsets, bytes, shapes and the sizes of kernels may be expressions of the symbols in the shapes of the inputs, and of
those that `plan.define` makes for ends of tensors that lie below another one.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import (
    ArrayAttr,
    FlatSymbolRefAttrConstr,
    IntegerAttr,
    MemRefType,
    StringAttr,
    SymbolRefAttr,
    TensorType,
    UnitAttr,
    i64,
)
from xdsl.ir import Attribute, Block, Dialect, Region, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.traits import NoTerminator, Pure, SymbolOpInterface
from xdsl.utils.exceptions import VerifyException

from webdnn.dialects.sizes.expression import Symbol, unique_symbols
from webdnn.dialects.sizes.types import (
    SizesAttr,
    shape_of,
    size_attr,
    size_in,
    size_of,
    sizes_attr,
    sizes_in,
)

WEIGHTS_FUNCTION = "weights"
"""The name of the function whose results the `plan.weight` ops name."""

ENTRY = "main"
"""The name of the host program."""

ARENA_BUFFERS = "arena_buffers"
"""Attribute of a `plan.program`: the bytes of each arena buffer."""
ARENA_BOUND = "arena_bound"
"""Attribute of a `plan.program`: the most bytes that are alive at one step, which no arena can be smaller than."""
PREPARED_BUFFERS = "prepared_buffers"
"""Attribute of a `plan.program`: the bytes of each buffer for what is computed at load and kept."""
FIRST_RUN_LIMIT = "first_run_limit"
"""Attribute of a `plan.program` with launches `first_run`: how many launches at load may have run when they begin,
because they overwrite what the later ones give."""
STATE_BUFFERS = "state_buffers"
"""Attribute of a `plan.program` with states: the bytes of the two buffers of each state, one state after the other."""
WEIGHT_BYTES = "weight_bytes"
"""Attribute of a `plan.program`: the bytes of all weights together."""
PACKED_BYTES = "packed_bytes"
"""Attribute of a `plan.program`: the bytes of those weights that lie as kernels read them, padding included."""
PACKED = "packed"
"""Attribute of the op in `@weights` that gives such a weight."""
WEIGHT_OFFSETS = "weight_offsets"
"""Attribute of a `plan.program`: the offset of each result of `@weights`."""


@irdl_op_definition
class WeightOp(IRDLOperation):
    """A handle to the N-th result of `@weights`."""

    name = "plan.weight"
    index = prop_def(IntegerAttr)
    res = result_def(TensorType)
    assembly_format = "$index attr-dict `:` type($res)"
    traits = traits_def(Pure())

    def __init__(self, index: int, type: Attribute) -> None:
        super().__init__(properties={"index": IntegerAttr(index, i64)}, result_types=[type])


@irdl_op_definition
class ViewOp(IRDLOperation):
    """The same bytes under another shape: costs nothing at run time."""

    name = "plan.view"
    source = operand_def(TensorType)
    res = result_def(TensorType)
    assembly_format = "$source attr-dict `:` type($source) `to` type($res)"
    traits = traits_def(Pure())

    def __init__(self, source: SSAValue, type: Attribute) -> None:
        super().__init__(operands=[source], result_types=[type])

    def verify_(self) -> None:
        source, res = self.source.type, self.res.type
        assert isinstance(source, TensorType) and isinstance(res, TensorType)
        if source.element_type != res.element_type or size_of(source) != size_of(res):
            raise VerifyException("plan.view keeps the element type and the number of elements")


@irdl_op_definition
class ConcatOp(IRDLOperation):
    """Tensors side by side along a dimension, where they lie: each operand is a part of the memory of the result.

    So whatever writes an operand writes the result, and costs nothing more. An operand is what one launch of a run, or
    another `plan.concat`, gives, or a view of that; it is a part of one tensor alone, and no output of the model.
    """

    name = "plan.concat"
    axis = prop_def(IntegerAttr)
    irdl_options = (ParsePropInAttrDict(),)
    parts = var_operand_def(TensorType)
    res = result_def(TensorType)
    assembly_format = "$parts attr-dict `:` functional-type($parts, $res)"
    traits = traits_def(Pure())

    def __init__(self, axis: int, parts: Sequence[SSAValue], type: Attribute) -> None:
        super().__init__(
            operands=[parts], properties={"axis": IntegerAttr(axis, i64)}, result_types=[type]
        )

    def offsets(self) -> list[int]:
        """Where each part begins along the axis."""
        axis, offsets, at = self.axis.value.data, list[int](), 0
        for part in self.parts:
            assert isinstance(part.type, TensorType)
            offsets.append(at)
            at += shape_of(part)[axis]
        return offsets

    def verify_(self) -> None:
        axis, res = self.axis.value.data, self.res.type
        assert isinstance(res, TensorType)
        shape = list(shape_of(res))
        if not self.parts or not 0 <= axis < len(shape):
            raise VerifyException("plan.concat joins tensors along one of their dimensions")
        along = 0
        for part in self.parts:
            assert isinstance(part.type, TensorType)
            sizes = list(shape_of(part))
            along += sizes[axis] if len(sizes) == len(shape) else 0
            if part.type.element_type != res.element_type or (
                sizes[:axis] + sizes[axis + 1 :] != shape[:axis] + shape[axis + 1 :]
            ):
                raise VerifyException("the parts of a plan.concat differ along its axis alone")
        if along != shape[axis]:
            raise VerifyException("a plan.concat is as long as its parts together")


@irdl_op_definition
class LaunchOp(IRDLOperation):
    """Run a kernel on tensors: in each run of the model, or (`at_load`) once, when the model is loaded.

    `over` is the number of an operand whose memory the result takes: nothing reads that operand later.
    `sizes` says what the symbols of the kernel are, in its order: `{sizes = #nn.sizes<s[1 to 512] + 1>}`.
    """

    name = "plan.launch"
    kernel = prop_def(FlatSymbolRefAttrConstr)
    at_load = opt_prop_def(UnitAttr)
    over = opt_prop_def(IntegerAttr)
    sizes = opt_prop_def(SizesAttr)
    irdl_options = (ParsePropInAttrDict(),)
    arguments = var_operand_def(TensorType)
    outs = var_result_def(TensorType)
    assembly_format = "$kernel `(` $arguments `)` attr-dict `:` functional-type($arguments, $outs)"
    traits = traits_def(Pure())

    def __init__(
        self,
        kernel: str,
        arguments: Sequence[SSAValue],
        result_types: Sequence[Attribute],
        sizes: Sequence[int] = (),
    ) -> None:
        super().__init__(
            operands=[arguments],
            result_types=[result_types],
            properties={
                "kernel": SymbolRefAttr(kernel),
                "sizes": SizesAttr(tuple(sizes)) if sizes else None,
            },
        )

    def verify_(self) -> None:
        if self.at_load is not None and not may_run_at_load(self):
            raise VerifyException(
                "what is launched at load reads weights and results of its like alone, and writes no part"
            )
        if self.over is not None and (
            len(self.outs) != 1 or not 0 <= self.over.value.data < len(self.arguments)
        ):
            raise VerifyException("the one result of a launch may lie over an operand")


def storage_of(value: SSAValue) -> SSAValue:
    """The value whose memory `value` is: itself, or what it is a view of."""
    while isinstance(value.owner, ViewOp):
        value = value.owner.source
    return value


def whole_of(value: SSAValue) -> ConcatOp | None:
    """The op that makes a value, or a view of it, a part of another tensor."""
    for use in value.uses:
        if isinstance(use.operation, ConcatOp):
            return use.operation
        if isinstance(use.operation, ViewOp) and (found := whole_of(use.operation.res)) is not None:
            return found
    return None


def may_run_at_load(launch: LaunchOp) -> bool:
    """Whether all that a launch reads are weights and results of launches at load (and no sizes, which a run sets), and
    what it writes is not a part of a tensor that each run writes."""
    if launch.sizes is not None:
        return False
    owners = [storage_of(v).owner for v in launch.arguments]
    return all(
        isinstance(o, WeightOp) or (isinstance(o, LaunchOp) and o.at_load is not None)
        for o in owners
    ) and not any(whole_of(out) for out in launch.outs)


@irdl_op_definition
class ProgramOp(IRDLOperation):
    """The host program with every address planned.

    `inputs` and `outputs` name the model's inputs and outputs; the block begins with one `plan.slice` for each of them
    in that order (those whose `role` is `"input"` or `"output"`), and two for each state.
    """

    name = "plan.program"
    sym_name = prop_def(StringAttr)
    body = region_def("single_block")
    assembly_format = "$sym_name attr-dict-with-keyword $body"
    traits = traits_def(SymbolOpInterface(), NoTerminator())

    def __init__(self, name: str, body: Region | None = None) -> None:
        super().__init__(
            properties={"sym_name": StringAttr(name)}, regions=[body or Region(Block())]
        )

    @property
    def launches(self) -> list[LaunchIntoOp]:
        """Those at load, then those of a run, then those for a first run."""
        return [op for op in self.body.block.ops if isinstance(op, LaunchIntoOp)]

    @property
    def definitions(self) -> list[DefineOp]:
        """The definitions of sizes, in their order."""
        return [op for op in self.body.block.ops if isinstance(op, DefineOp)]

    @property
    def symbols(self) -> list[Symbol]:
        """What the shapes of the inputs, and then those of the states, set, in the order in which they come."""
        return unique_symbols(
            n for role in ("input", "past") for op in self.bound(role) for n in op.sizes
        )

    def bound(self, role: str) -> list[BindOp]:
        """What has a role, in order."""
        return [op for op in self.body.block.ops if isinstance(op, BindOp) and op.role.data == role]


@irdl_op_definition
class DefineOp(IRDLOperation):
    """A symbol for a size that is not written out again where it is used, such as the greatest of several ends:
    `plan.define #nn.sizes<o3[64 to 4096]> = #nn.sizes<max(...)>`. It stands before all that uses the symbol."""

    name = "plan.define"
    definition = prop_def(SizesAttr)
    size = prop_def(SizesAttr)
    assembly_format = "$definition `=` $size attr-dict"

    def __init__(self, symbol: Symbol, size: int) -> None:
        super().__init__(
            properties={"definition": SizesAttr((symbol.size,)), "size": SizesAttr((size,))}
        )

    @property
    def symbol(self) -> Symbol:
        """What is defined."""
        (symbol,) = unique_symbols(self.definition.data)
        return symbol

    @property
    def value(self) -> int:
        """The size that it is."""
        return size_in(self.size)

    def verify_(self) -> None:
        symbols = unique_symbols(self.definition.data)
        if [s.size for s in symbols] != list(self.definition.data) or len(self.size.data) != 1:
            raise VerifyException("plan.define makes one symbol for one size")


@irdl_op_definition
class SliceOp(IRDLOperation):
    """`bytes` bytes at `offset` of a buffer. `space` is `"arena"`, `"weights"`, `"prepared"` (computed at load, and
    kept) or `"state"` (kept from run to run); `buffer` numbers the buffers of a space (always 0 where a target has
    one linear memory, but for states).

    A state has two buffers: a run reads that with the even number and writes the next one, and after it they change
    places. A run may leave anything in what it writes before the state itself is there.
    """

    name = "plan.slice"
    space = prop_def(StringAttr)
    buffer = prop_def(IntegerAttr)
    offset = prop_def(IntegerAttr | SizesAttr)
    bytes = prop_def(IntegerAttr | SizesAttr)
    res = result_def(MemRefType)
    assembly_format = "$space $buffer `[` $offset `]` `bytes` $bytes attr-dict `:` type($res)"
    traits = traits_def(Pure())

    def __init__(self, space: str, buffer: int, offset: int, bytes: int, type: Attribute) -> None:
        super().__init__(
            properties={
                "space": StringAttr(space),
                "buffer": IntegerAttr(buffer, i64),
                "offset": size_attr(offset),
                "bytes": size_attr(bytes),
            },
            result_types=[type],
        )

    @property
    def begin(self) -> int:
        """The offset of the first byte."""
        return size_in(self.offset)

    @property
    def size(self) -> int:
        """The number of bytes."""
        return size_in(self.bytes)


@irdl_op_definition
class LaunchIntoOp(IRDLOperation):
    """Run a lowered kernel: inputs first, outputs last.

    Those that run `at_load` come before all others; its value is the number of the first launch of a run that needs
    what they give (counted from the first one that is not at load). Those for a `first_run` come after all others: in a
    run that begins before the launches at load, all that have the same value stand for the launch of a run with that
    number. They leave nothing behind that another launch could use.

    `sizes` says what the symbols of the kernel are, in its order.
    """

    name = "plan.launch_into"
    kernel = prop_def(FlatSymbolRefAttrConstr)
    at_load = opt_prop_def(IntegerAttr)
    first_run = opt_prop_def(IntegerAttr)
    sizes = opt_prop_def(SizesAttr)
    irdl_options = (ParsePropInAttrDict(),)
    arguments = var_operand_def(MemRefType)
    assembly_format = "$kernel `(` $arguments `)` attr-dict `:` type($arguments)"

    def __init__(
        self,
        kernel: str,
        arguments: Sequence[SSAValue],
        *,
        at_load: int | None = None,
        first_run: int | None = None,
        sizes: SizesAttr | None = None,
    ) -> None:
        super().__init__(
            operands=[arguments],
            properties={
                "kernel": SymbolRefAttr(kernel),
                "at_load": None if at_load is None else IntegerAttr(at_load, i64),
                "first_run": None if first_run is None else IntegerAttr(first_run, i64),
                "sizes": sizes,
            },
        )

    @property
    def kernel_sizes(self) -> tuple[int, ...]:
        """What the symbols of the kernel are."""
        return () if self.sizes is None else self.sizes.data


def slice_of(value: SSAValue) -> SliceOp:
    """The part of memory that an operand of a launch is."""
    assert isinstance(value.owner, SliceOp)
    return value.owner


def count_at_load(launches: Sequence[LaunchIntoOp]) -> int:
    """How many launches, the first ones, run once at load."""
    return sum(op.at_load is not None for op in launches)


@irdl_op_definition
class BindOp(IRDLOperation):
    """Says that a slice is the model's input or output of this name, and with what type the user sees it; or that it is
    the seed of a run, which has no name.

    `role` is `input`, `output`, `seed`, or of a state `past` (the input) and `present` (the output). There are as many
    of the one as of the other, in the same order.
    """

    name = "plan.bind"
    role = prop_def(StringAttr)
    tensor_name = prop_def(StringAttr)
    dtype = prop_def(StringAttr)
    shape = prop_def(ArrayAttr[IntegerAttr] | SizesAttr)
    slice = operand_def(MemRefType)
    assembly_format = "$role $tensor_name $dtype $shape `=` $slice attr-dict `:` type($slice)"

    def __init__(
        self, role: str, tensor_name: str, dtype: str, shape: Sequence[int], slice: SSAValue
    ) -> None:
        super().__init__(
            operands=[slice],
            properties={
                "role": StringAttr(role),
                "tensor_name": StringAttr(tensor_name),
                "dtype": StringAttr(dtype),
                "shape": sizes_attr(shape),
            },
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        """The size of each dimension."""
        return sizes_in(self.shape)


Plan = Dialect(
    "plan",
    [
        WeightOp,
        ViewOp,
        ConcatOp,
        LaunchOp,
        ProgramOp,
        DefineOp,
        SliceOp,
        LaunchIntoOp,
        BindOp,
    ],
    [],
)
