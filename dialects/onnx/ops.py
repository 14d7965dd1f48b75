"""The ops of the `onnx` dialect: one class per operator and version, made from the schemas of the `onnx` package.

`onnx.Conv` is the newest version of Conv; an older one is named after the opset that introduced it (`onnx.Conv_1`).
Operators of other domains carry what follows `ai.onnx`: `onnx.ml.Scaler`, `onnx.preview.training.Adam`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, ClassVar, TypeAlias, cast

import onnx
from onnx import AttributeProto
from onnx.defs import OpSchema
from onnx.shape_inference import InferenceContext
from xdsl.dialects.builtin import NoneType, StringAttr
from xdsl.ir import Attribute, Operation, OpTraits, Region, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import IsTerminator, OpTrait, Pure
from xdsl.utils.exceptions import VerifyException

from webdnn.dialects.onnx.attributes import kind_of, python_value

Infer: TypeAlias = Callable[[InferenceContext], None]
"""What `OpSchema.set_type_and_shape_inference_function` takes."""

_GRAPH = OpSchema.AttrType.GRAPH
_KINDS: dict[OpSchema.AttrType, int] = {
    OpSchema.AttrType.INT: AttributeProto.INT,
    OpSchema.AttrType.INTS: AttributeProto.INTS,
    OpSchema.AttrType.FLOAT: AttributeProto.FLOAT,
    OpSchema.AttrType.FLOATS: AttributeProto.FLOATS,
    OpSchema.AttrType.STRING: AttributeProto.STRING,
    OpSchema.AttrType.STRINGS: AttributeProto.STRINGS,
    OpSchema.AttrType.TENSOR: AttributeProto.TENSOR,
    # A sparse tensor is made dense at import.
    OpSchema.AttrType.SPARSE_TENSOR: AttributeProto.TENSOR,
    OpSchema.AttrType.TYPE_PROTO: AttributeProto.TYPE_PROTO,
    OpSchema.AttrType.GRAPH: AttributeProto.GRAPH,
}
"""What kind of attribute a schema's kind of attribute is."""
_RANDOM = (
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
)


@irdl_op_definition
class NoneOp(IRDLOperation):
    """Stands for an optional input that is absent: `%n = onnx.none : none`."""

    name = "onnx.none"
    res = result_def(NoneType)
    assembly_format = "attr-dict `:` type($res)"
    traits = traits_def(Pure())

    def __init__(self) -> None:
        super().__init__(result_types=[NoneType()])


@irdl_op_definition
class WeightOp(IRDLOperation):
    """A handle to a tensor of the weight store: `%w = onnx.weight "conv1.weight" : tensor<64x3x7x7xf32>`.

    Initializers and Constant nodes become this op, so the IR never holds the data.
    """

    name = "onnx.weight"
    key = prop_def(StringAttr)
    res = result_def()
    assembly_format = "$key attr-dict `:` type($res)"
    traits = traits_def(Pure())

    def __init__(self, key: str, type: Attribute) -> None:
        super().__init__(properties={"key": StringAttr(key)}, result_types=[type])


@irdl_op_definition
class YieldOp(IRDLOperation):
    """Ends a subgraph (the region of If, Loop, Scan and the like) and gives its outputs."""

    name = "onnx.yield"
    arguments = var_operand_def()
    assembly_format = "attr-dict ($arguments^ `:` type($arguments))?"
    traits = traits_def(IsTerminator(), Pure())

    def __init__(self, *arguments: SSAValue) -> None:
        super().__init__(operands=[arguments])


class OnnxOp(Operation):
    """An ONNX operator: `%y = onnx.Conv(%x, %w, %b) {strides = array<i64: 1, 1>} : (...) -> tensor<...>`.

    Operands and results stand in the order of the schema, and trailing absent ones are left out. An absent optional
    operand before a present one is the result of `onnx.none`; an absent optional result before a present one has no
    uses. Graph attributes are regions in the order of `graph_names`; an absent one is a region with no blocks.
    """

    schema: ClassVar[OpSchema]
    op_type: ClassVar[str]
    """The operator's name in ONNX."""
    domain: ClassVar[str]
    """The operator's domain, `""` for ai.onnx."""
    since_version: ClassVar[int]
    """The opset that introduced this version of the operator."""
    input_names: ClassVar[tuple[str, ...]]
    output_names: ClassVar[tuple[str, ...]]
    graph_names: ClassVar[tuple[str, ...]]
    infer: ClassVar[Infer | None] = None
    """Types of the results for ONNX's inference, of an operator that ONNX itself does not know."""
    origin: ClassVar[str] = ""
    """Where an operator comes from that ONNX itself does not know, for messages."""

    def operand_named(self, name: str) -> SSAValue | None:
        """The operand that the schema calls `name` (the first one, where it is variadic), or None where it is absent.

        Raises:
            ValueError: the schema has no such input.
        """
        index = self.input_names.index(name)
        if index >= len(self.operands):
            return None
        operand = self.operands[index]
        return None if isinstance(operand.type, NoneType) else operand

    def region_named(self, name: str) -> Region:
        """The region of the graph attribute `name`."""
        return self.regions[self.graph_names.index(name)]

    def value_of(self, name: str) -> Any:
        """The attribute `name` as a Python value, the schema's default where it is not given, or None without either.

        Raises:
            KeyError: the schema has no such attribute.
        """
        if (attr := self.attributes.get(name)) is not None:
            return python_value(attr)
        default = self.schema.attributes[name].default_value
        if default.type == AttributeProto.UNDEFINED:
            return None
        value: Any = onnx.helper.get_attribute_value(default)
        return value.decode() if isinstance(value, bytes) else value

    def int_of(self, name: str, default: int = 0) -> int:
        """The integer attribute `name`; `default` where neither the op nor the schema has a value."""
        value = self.value_of(name)
        return default if value is None else int(value)

    def ints_of(self, name: str) -> list[int] | None:
        """The list of integers `name`, or None where neither the op nor the schema has a value."""
        value = self.value_of(name)
        return None if value is None else [int(v) for v in value]

    def print(self, printer: Printer) -> None:
        with printer.in_parens():
            printer.print_list(self.operands, printer.print_ssa_value)
        if self.regions:
            printer.print_string(" ")
            with printer.in_parens():
                printer.print_list(self.regions, printer.print_region)
        printer.print_op_attributes(self.attributes)
        printer.print_string(" : ")
        printer.print_function_type(self.operand_types, self.result_types)

    @classmethod
    def parse(cls, parser: Parser) -> OnnxOp:
        arguments = parser.parse_op_args_list()
        regions = parser.parse_region_list()
        attributes = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        position = parser.pos
        type = parser.parse_function_type()
        return cls.create(
            operands=parser.resolve_operands(arguments, type.inputs.data, position),
            result_types=type.outputs.data,
            attributes=attributes,
            regions=regions,
        )

    def verify_(self) -> None:
        schema = self.schema
        if not schema.min_input <= len(self.operands) <= schema.max_input:
            self._fail(
                f"takes {schema.min_input} to {schema.max_input} operands, not {len(self.operands)}"
            )
        if not schema.min_output <= len(self.results) <= schema.max_output:
            self._fail(
                f"has {schema.min_output} to {schema.max_output} results, not {len(self.results)}"
            )
        if len(self.regions) != len(self.graph_names):
            self._fail(f"has {len(self.graph_names)} regions, not {len(self.regions)}")
        known = schema.attributes
        for name, attr in self.attributes.items():
            if "." in name:  # A discardable attribute of somebody else.
                continue
            if name not in known:
                self._fail(f"has no attribute '{name}'")
            kind, given = _KINDS[known[name].type], kind_of(attr)
            if kind != given:
                wanted, actual = (AttributeProto.AttributeType.Name(k) for k in (kind, given))
                self._fail(f"takes the attribute '{name}' as {wanted}, not {actual}")
        for name, definition in known.items():
            if not definition.required:
                continue
            if definition.type == _GRAPH:
                if not self.region_named(name).blocks:
                    self._fail(f"lacks the required region '{name}'")
            elif name not in self.attributes:
                self._fail(f"lacks the required attribute '{name}'")
        for region in self.regions:
            if region.blocks and not isinstance(region.block.last_op, YieldOp):
                self._fail("each region must end with onnx.yield")

    def _fail(self, what: str) -> None:
        raise VerifyException(f"{self.name} {what}")


def _prefix(domain: str) -> str:
    """What stands before the operator's name: `onnx.` and the part of the domain behind `ai.onnx`."""
    rest = domain.removeprefix("ai.onnx").strip(".")
    return f"onnx.{rest}." if rest else "onnx."


@cache
def _newest() -> dict[tuple[str, str], int]:
    newest: dict[tuple[str, str], int] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        key = (schema.domain, schema.name)
        newest[key] = max(newest.get(key, 0), schema.since_version)
    return newest


def make_op_class(
    schema: OpSchema,
    newest: int,
    *,
    infer: Infer | None = None,
    traits: Sequence[OpTrait] = (),
    origin: str = "",
) -> type[OnnxOp]:
    """The class of an operator.

    Args:
        schema: what it takes and gives.
        newest: the newest version of this operator that there is.
        infer: types of its results, where ONNX itself does not know the operator.
        traits: what else is known about it.
        origin: where it comes from, for messages.
    """
    suffix = "" if schema.since_version == newest else f"_{schema.since_version}"
    graphs = sorted((n for n, a in schema.attributes.items() if a.type == _GRAPH), reverse=True)
    is_pure = schema.domain != "" or schema.name not in _RANDOM
    members: dict[str, Any] = {
        "__module__": __name__,
        "__doc__": f"{schema.name} of {schema.domain or 'ai.onnx'}, version {schema.since_version}.",
        "name": f"{_prefix(schema.domain)}{schema.name}{suffix}",
        "schema": schema,
        "op_type": schema.name,
        "domain": schema.domain,
        "since_version": schema.since_version,
        "input_names": tuple(p.name for p in schema.inputs),
        "output_names": tuple(p.name for p in schema.outputs),
        "graph_names": tuple(graphs),
        "infer": infer if infer is None else staticmethod(infer),
        "origin": origin,
        "traits": OpTraits(lambda: (*((Pure(),) if is_pure else ()), *traits)),
    }
    return cast("type[OnnxOp]", type(f"{schema.name}{suffix}", (OnnxOp,), members))


@cache
def op_classes() -> dict[str, type[OnnxOp]]:
    """All operator classes by the name of the op (`"onnx.Conv"`)."""
    newest = _newest()
    classes: dict[str, type[OnnxOp]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        cls = make_op_class(schema, newest[schema.domain, schema.name])
        classes[cls.name] = cls
    return classes


_MOST = 2**31 - 1
"""The largest version of a domain that ONNX's library can be asked for."""


def op_class(op_type: str, opset: int, domain: str = "") -> type[OnnxOp] | None:
    """The class of an operator as the opset `opset` of its domain defines it, or None where it does not exist.

    Args:
        op_type: the operator's name in ONNX.
        opset: the version of the domain that the model imports.
        domain: the operator's domain; `"ai.onnx"` is the same as `""`.
    """
    domain = "" if domain == "ai.onnx" else domain
    if not 0 < opset <= _MOST:
        return None
    try:
        schema = onnx.defs.get_schema(op_type, opset, domain)
    except onnx.defs.SchemaError:
        return None
    newest = _newest()[domain, schema.name]
    suffix = "" if schema.since_version == newest else f"_{schema.since_version}"
    return op_classes()[f"{_prefix(domain)}{schema.name}{suffix}"]


class OperatorSet:
    """The operators that a model may use: ONNX's own, and others.

    Args:
        others: classes of operators that ONNX does not define, from `make_op_class`.
    """

    def __init__(self, others: Iterable[type[OnnxOp]] = ()) -> None:
        self.others = tuple(others)

    def find(self, op_type: str, opset: int, domain: str = "") -> type[OnnxOp] | None:
        """The class of an operator as the opset `opset` of its domain defines it; see `op_class`."""
        versions = [op for op in self._versions(op_type, domain) if op.since_version <= opset]
        return versions[-1] if versions else op_class(op_type, opset, domain)

    def exists(self, op_type: str, domain: str) -> bool:
        """Whether some opset of the domain has the operator."""
        return bool(self._versions(op_type, domain)) or onnx.defs.has(op_type, domain)

    def newest(self, domain: str) -> int | None:
        """The newest opset of a domain that one of the other operators is of."""
        versions = [op.since_version for op in self.others if op.domain == domain]
        return max(versions, default=None)

    def _versions(self, op_type: str, domain: str) -> list[type[OnnxOp]]:
        found = [op for op in self.others if (op.domain, op.op_type) == (domain, op_type)]
        return sorted(found, key=lambda op: op.since_version)
