"""The `kernel` dialect: groups of structured ops that become one kernel, and the kernels themselves.

`kernel.region` groups ops on tensors that will run as one kernel (level `linalg`). `kernel.func` is such a region
outlined (level `kernels`, tensors in and tensors out), and keeps its name when its body becomes loops (level `loops`:
one-dimensional memrefs in, and the outputs are the last operands: destination-passing form).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseArrayBase,
    DictionaryAttr,
    FunctionType,
    IndexType,
    IntegerAttr,
    IntegerType,
    ModuleOp,
    StringAttr,
    TensorType,
    i64,
)
from xdsl.dialects.utils import parse_func_op_like, print_func_op_like
from xdsl.ir import (
    Attribute,
    Block,
    Dialect,
    Operation,
    ParametrizedAttribute,
    Region,
    SSAValue,
)
from xdsl.irdl import (
    IRDLOperation,
    irdl_attr_definition,
    irdl_op_definition,
    opt_prop_def,
    param_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.parser import AttrParser, Parser
from xdsl.printer import Printer
from xdsl.traits import (
    CallableOpInterface,
    HasParent,
    IsolatedFromAbove,
    IsTerminator,
    Pure,
    SingleBlockImplicitTerminator,
    SymbolOpInterface,
)
from xdsl.utils.exceptions import VerifyException

from webdnn.dialects.sizes.expression import Symbol, is_symbolic, unique_symbols
from webdnn.dialects.sizes.types import SizesAttr

HINT = "hint"
"""The attribute of a region that says, for its kernel's name, which ops it was made from."""

DIGEST = "digest"
"""The attribute of a kernel that says what it computes, as it was outlined: entries of a schedule file name it."""

PANELS = "panels"
"""The attribute of a kernel that says, for each operand, how many columns a panel of the packed weight has; 0 where
the operand is not packed."""

MAY_ALIAS = "may_alias"
"""The attribute of a kernel that numbers operands (inputs first, outputs last) which may be the same memory."""

LENGTHS = "lengths"
"""The attribute of a kernel on level `loops` that says how many elements each of its memrefs has, where that depends on
its sizes."""

ScheduleValue = int | str | Sequence[int]


@irdl_attr_definition
class ScheduleAttr(ParametrizedAttribute):
    """How a kernel is cut into loops: `#kernel.schedule<strategy = "contraction", tile = [1, 6, 8], unroll = 4>`.

    A heuristic or a tuner writes it and a person can edit it; the lowering to loops only obeys it. What each key means
    is said by the strategy's own lowering. Values are integers, strings and lists of integers.
    """

    name = "kernel.schedule"

    entries: DictionaryAttr = param_def()

    @staticmethod
    def of(entries: Mapping[str, ScheduleValue]) -> ScheduleAttr:
        def attr(value: ScheduleValue) -> Attribute:
            if isinstance(value, int):
                return IntegerAttr(value, i64)
            if isinstance(value, str):
                return StringAttr(value)
            return ArrayAttr([IntegerAttr(v, i64) for v in value])

        return ScheduleAttr(DictionaryAttr({k: attr(v) for k, v in entries.items()}))

    def to_dict(self) -> dict[str, int | str | list[int]]:
        def value(attr: Attribute) -> int | str | list[int]:
            if isinstance(attr, IntegerAttr):
                return attr.value.data
            if isinstance(attr, StringAttr):
                return attr.data
            assert isinstance(attr, ArrayAttr)
            return [v.value.data for v in attr.data if isinstance(v, IntegerAttr)]

        return {k: value(v) for k, v in self.entries.data.items()}

    def print_parameters(self, printer: Printer) -> None:
        def print_value(value: int | str | list[int]) -> None:
            if isinstance(value, str):
                printer.print_string_literal(value)
            else:
                printer.print_string(str(value))

        with printer.in_angle_brackets():
            for i, (key, value) in enumerate(self.to_dict().items()):
                if i:
                    printer.print_string(", ")
                printer.print_string(f"{key} = ")
                print_value(value)

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        def parse_value() -> ScheduleValue:
            if (text := parser.parse_optional_str_literal()) is not None:
                return text
            numbers = parser.parse_optional_comma_separated_list(
                parser.Delimiter.SQUARE, parser.parse_integer
            )
            return parser.parse_integer() if numbers is None else numbers

        def parse_entry() -> tuple[str, ScheduleValue]:
            key = parser.parse_identifier()
            parser.parse_punctuation("=")
            return key, parse_value()

        entries = parser.parse_comma_separated_list(parser.Delimiter.ANGLE, parse_entry)
        return [cls.of(dict(entries)).entries]


@irdl_op_definition
class YieldOp(IRDLOperation):
    """Ends a `kernel.region` and gives its results."""

    name = "kernel.yield"
    arguments = var_operand_def()
    assembly_format = "attr-dict ($arguments^ `:` type($arguments))?"
    traits = traits_def(IsTerminator(), Pure())

    def __init__(self, *arguments: SSAValue) -> None:
        super().__init__(operands=[arguments])


@irdl_op_definition
class RegionOp(IRDLOperation):
    """Ops on tensors that become one kernel: `%r = kernel.region ins(%x, %w) { ^bb0(%a, %b): ... kernel.yield %y }`.

    It is isolated from above: all that it reads are its operands, which its block arguments name in order.
    """

    name = "kernel.region"
    ins = var_operand_def()
    outs = var_result_def()
    body = region_def("single_block")
    assembly_format = (
        "`ins` `(` ($ins^ `:` type($ins))? `)` `->` type($outs) attr-dict-with-keyword $body"
    )
    traits = traits_def(IsolatedFromAbove(), Pure(), SingleBlockImplicitTerminator(YieldOp))

    def __init__(
        self, ins: Sequence[SSAValue], result_types: Sequence[Attribute], body: Region
    ) -> None:
        super().__init__(operands=[ins], result_types=[result_types], regions=[body])

    def verify_(self) -> None:
        block = self.body.block
        if tuple(a.type for a in block.args) != tuple(v.type for v in self.ins):
            raise VerifyException(
                "the block arguments of a kernel.region must have its operands' types"
            )
        last = block.last_op
        if not isinstance(last, YieldOp):
            raise VerifyException("a kernel.region ends with kernel.yield")
        if tuple(v.type for v in last.arguments) != tuple(r.type for r in self.outs):
            raise VerifyException("kernel.yield must give values of the region's result types")


class _KernelCallable(CallableOpInterface):
    @classmethod
    def get_callable_region(cls, op: Operation) -> Region:
        assert isinstance(op, FuncOp)
        return op.body

    @classmethod
    def get_argument_types(cls, op: Operation) -> tuple[Attribute, ...]:
        assert isinstance(op, FuncOp)
        return op.function_type.inputs.data

    @classmethod
    def get_result_types(cls, op: Operation) -> tuple[Attribute, ...]:
        assert isinstance(op, FuncOp)
        return op.function_type.outputs.data


@irdl_op_definition
class FuncOp(IRDLOperation):
    """One unique kernel.

    On level `kernels` it maps tensors to tensors. On level `loops` its operands are one-dimensional memrefs (each
    tensor flattened in row-major order), inputs first and outputs last, and it returns nothing; `num_outputs` says how
    many of the operands are outputs. `grid` and `workgroup` (three integers each) are set by the lowering for GPUs.

    On level `kernels`, `strides` says of each operand and result how far neighbours along each dimension lie from each
    other in memory, in elements, if not in row-major order. The memref of such an operand reaches from its first to its
    last element.

    A kernel whose shapes depend on symbols has `sizes`, which lists them: `sizes = #nn.sizes<n0[1 to 512]>`. On level
    `loops` each is an operand of type index, before all others, and `grid` may depend on them. Above it, bodies
    name a size by `kernel.size`.

    A kernel for CPUs that several threads can share has `work`: a call does the part of it that `kernel.work_range`
    names, calls with ranges that together are `0` to `work` do all of it, in any order and at the same time. It is
    about as many units as the kernel runs instructions, or fewer where these are very many; `grain` is how many are
    worth the trouble of one more thread. `work` may depend on its symbols: one size in `#nn.sizes`.
    """

    name = "kernel.func"
    sym_name = prop_def(StringAttr)
    function_type = prop_def(FunctionType)
    schedule = opt_prop_def(ScheduleAttr)
    sizes = opt_prop_def(SizesAttr)
    strides = opt_prop_def(ArrayAttr[DenseArrayBase[IntegerType]])
    num_outputs = opt_prop_def(IntegerAttr)
    grid = opt_prop_def(ArrayAttr[IntegerAttr] | SizesAttr)
    workgroup = opt_prop_def(ArrayAttr[IntegerAttr])
    work = opt_prop_def(IntegerAttr | SizesAttr)
    grain = opt_prop_def(IntegerAttr)
    body = region_def("single_block")
    traits = traits_def(IsolatedFromAbove(), SymbolOpInterface(), _KernelCallable())

    OPTIONAL: ClassVar = (
        "schedule",
        "sizes",
        "strides",
        "num_outputs",
        "grid",
        "workgroup",
        "work",
        "grain",
    )

    def __init__(
        self,
        name: str,
        function_type: FunctionType | tuple[Sequence[Attribute], Sequence[Attribute]],
        body: Region | None = None,
        *,
        schedule: ScheduleAttr | None = None,
        num_outputs: int | None = None,
        symbols: Sequence[Symbol] = (),
        grid: Sequence[int] | None = None,
        workgroup: Sequence[int] | None = None,
        attributes: Mapping[str, Attribute] | None = None,
    ) -> None:
        if isinstance(function_type, tuple):
            function_type = FunctionType.from_lists(*function_type)
        if body is None:
            body = Region(Block(arg_types=function_type.inputs))

        def ints(values: Sequence[int] | None) -> ArrayAttr[IntegerAttr] | None:
            return None if values is None else ArrayAttr([IntegerAttr(v, i64) for v in values])

        super().__init__(
            properties={
                "sym_name": StringAttr(name),
                "function_type": function_type,
                "schedule": schedule,
                "sizes": SizesAttr(tuple(s.size for s in symbols)) if symbols else None,
                "num_outputs": None if num_outputs is None else IntegerAttr(num_outputs, i64),
                "grid": None if grid is None else _sizes_attribute(grid),
                "workgroup": ints(workgroup),
            },
            attributes=dict(attributes or {}),
            regions=[body],
        )

    @property
    def is_lowered(self) -> bool:
        """Whether the body is loops over memrefs (destination-passing form) rather than ops on tensors."""
        return self.num_outputs is not None

    @property
    def symbols(self) -> list[Symbol]:
        """The symbols that its shapes depend on, in the order in which a launch gives their values."""
        return [] if self.sizes is None else unique_symbols(self.sizes.data)

    @property
    def size_operands(self) -> list[SSAValue]:
        """On level `loops` the operands that are its sizes, one for each symbol."""
        return list(self.body.block.args[: len(self.symbols)])

    @property
    def memories(self) -> list[SSAValue]:
        """On level `loops` the operands that are memory: inputs first, outputs last."""
        return list(self.body.block.args[len(self.symbols) :])

    @property
    def grid_sizes(self) -> tuple[int, ...]:
        """The numbers of workgroups along each dimension; nothing where there is no grid."""
        if isinstance(self.grid, SizesAttr):
            return self.grid.data
        return () if self.grid is None else tuple(n.value.data for n in self.grid.data)

    def set_grid(self, grid: Sequence[int]) -> None:
        """Set the numbers of workgroups."""
        self.grid = _sizes_attribute(grid)

    @property
    def work_size(self) -> int:
        """The length of its line of tasks; 0 where threads cannot share it."""
        if isinstance(self.work, SizesAttr):
            return self.work.data[0]
        return 0 if self.work is None else self.work.value.data

    def strides_of(self, number: int) -> tuple[int, ...]:
        """The strides of an operand, or (behind the operands) of a result; nothing for row-major order."""
        if self.strides is None:
            return ()
        return tuple(int(s) for s in self.strides.data[number].get_values())

    def set_strides(self, strides: Sequence[Sequence[int]]) -> None:
        """Set the strides of all operands and results."""
        self.strides = ArrayAttr([DenseArrayBase.from_list(i64, s) for s in strides])

    def print(self, printer: Printer) -> None:
        shown = {**self.attributes}
        for key in self.OPTIONAL:
            if (value := self.properties.get(key)) is not None:
                shown[key] = value
        print_func_op_like(
            printer,
            self.sym_name,
            self.function_type,
            self.body,
            shown,
            reserved_attr_names=("sym_name", "function_type"),
        )

    @classmethod
    def parse(cls, parser: Parser) -> FuncOp:
        name, inputs, outputs, region, extra, _, _ = parse_func_op_like(
            parser, reserved_attr_names=("sym_name", "function_type")
        )
        attributes = dict(extra.data) if extra is not None else {}
        func = cls(name, (inputs, outputs), region)
        for key in cls.OPTIONAL:
            if key in attributes:
                func.properties[key] = attributes.pop(key)
        func.attributes.update(attributes)
        return func

    def verify_(self) -> None:
        if tuple(a.type for a in self.body.block.args) != self.function_type.inputs.data:
            raise VerifyException(
                f"kernel.func @{self.sym_name.data}: block arguments and type differ"
            )
        if not isinstance(self.body.block.last_op, ReturnOp):
            raise VerifyException(f"kernel.func @{self.sym_name.data} ends with kernel.return")
        self._verify_sizes()
        self._verify_strides()
        if (self.work is None) != (self.grain is None):
            raise VerifyException(f"kernel.func @{self.sym_name.data}: work and grain go together")

    def _verify_sizes(self) -> None:
        symbols = self.symbols
        if self.sizes is not None and [s.size for s in symbols] != list(self.sizes.data):
            raise VerifyException(
                f"kernel.func @{self.sym_name.data}: its sizes are symbols, each one once"
            )
        inputs = self.function_type.inputs.data
        if self.is_lowered and any(type != IndexType() for type in inputs[: len(symbols)]):
            raise VerifyException(
                f"kernel.func @{self.sym_name.data}: an operand of type index comes first for each of its sizes"
            )
        used = unique_symbols((*self.grid_sizes, *lengths_of(self)))
        if not set(used) <= set(symbols):
            raise VerifyException(
                f"kernel.func @{self.sym_name.data}: its grid or a length has symbols that are not among its sizes"
            )

    def _verify_strides(self) -> None:
        if self.strides is None:
            return
        types = [*self.function_type.inputs, *self.function_type.outputs]
        fits = not self.is_lowered and len(types) == len(self.strides)
        for number, type in enumerate(types if fits else ()):
            assert isinstance(type, TensorType)
            fits &= len(self.strides_of(number)) in (0, len(type.get_shape()))
        if not fits:
            raise VerifyException(
                f"kernel.func @{self.sym_name.data}: strides are for each dimension of each tensor"
            )


def _sizes_attribute(sizes: Sequence[int]) -> ArrayAttr[IntegerAttr] | SizesAttr:
    """Numbers as integers, or expressions where one of them depends on symbols."""
    if any(is_symbolic(size) for size in sizes):
        return SizesAttr(tuple(sizes))
    return ArrayAttr([IntegerAttr(size, i64) for size in sizes])


def may_alias(func: FuncOp) -> tuple[int, ...]:
    """The numbers of a kernel's tensors that may be the same memory, in the order of its operands."""
    attr = func.attributes.get(MAY_ALIAS)
    return tuple(int(n) for n in attr.iter_values()) if isinstance(attr, DenseArrayBase) else ()


def panels_of(func: FuncOp) -> tuple[int, ...] | None:
    """How many columns a panel of each packed operand has, if a kernel says so."""
    attr = func.attributes.get(PANELS)
    return tuple(int(n) for n in attr.iter_values()) if isinstance(attr, DenseArrayBase) else None


def lengths_of(func: FuncOp) -> tuple[int, ...]:
    """The number of elements of each memref of a kernel on level `loops`; nothing where only the types say it."""
    attr = func.attributes.get(LENGTHS)
    return attr.data if isinstance(attr, SizesAttr) else ()


def kernels_of(module: ModuleOp) -> dict[str, FuncOp]:
    """The kernels of a module by name, in order. ValueError: two have the same name."""
    kernels: dict[str, FuncOp] = {}
    for func in module.ops:
        if isinstance(func, FuncOp) and kernels.setdefault(func.sym_name.data, func) is not func:
            raise ValueError(f"two kernels are named @{func.sym_name.data}")
    return kernels


@irdl_op_definition
class ReturnOp(IRDLOperation):
    """Ends a `kernel.func`."""

    name = "kernel.return"
    arguments = var_operand_def()
    assembly_format = "attr-dict ($arguments^ `:` type($arguments))?"
    traits = traits_def(IsTerminator(), HasParent(FuncOp), Pure())

    def __init__(self, *arguments: SSAValue) -> None:
        super().__init__(operands=[arguments])

    def verify_(self) -> None:
        func = self.parent_op()
        assert isinstance(func, FuncOp)
        if tuple(v.type for v in self.arguments) != func.function_type.outputs.data:
            raise VerifyException("kernel.return must give values of the kernel's result types")


@irdl_op_definition
class WorkRangeOp(IRDLOperation):
    """The part of a kernel's work, from `begin` to before `end`, that this call is to do: from 0 to the function's
    `work` if it is to do all."""

    name = "kernel.work_range"
    begin = result_def(IndexType)
    end = result_def(IndexType)
    assembly_format = "attr-dict"
    traits = traits_def(Pure(), HasParent(FuncOp))

    def __init__(self) -> None:
        super().__init__(result_types=[IndexType(), IndexType()])

    def verify_(self) -> None:
        func = self.parent_op()
        assert isinstance(func, FuncOp)
        if func.work is None:
            raise VerifyException("kernel.work_range stands in a kernel.func that says its work")


@irdl_op_definition
class SizeOp(IRDLOperation):
    """A size as a value: `kernel.size <n0[1 to 512] + 1> : index`. On tensors only; below they are operands."""

    name = "kernel.size"
    size = prop_def(SizesAttr)
    res = result_def(IndexType)
    traits = traits_def(Pure())
    assembly_format = "$size attr-dict"

    def __init__(self, size: int) -> None:
        super().__init__(properties={"size": SizesAttr((size,))}, result_types=[IndexType()])

    @property
    def value(self) -> int:
        """The size."""
        return self.size.data[0]

    def verify_(self) -> None:
        if len(self.size.data) != 1:
            raise VerifyException("kernel.size gives one size")


Kernel = Dialect(
    "kernel", [YieldOp, RegionOp, FuncOp, ReturnOp, WorkRangeOp, SizeOp], [ScheduleAttr]
)
