"""The parser of IR files: xDSL's, with what it reads wrongly put right and with limits on what a file may ask for.

Upstream is MLIR's own parser (LLVM 24); what differs from it here is xDSL 0.74's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar, cast

from xdsl.context import Context
from xdsl.dialects import gpu, llvm
from xdsl.dialects.builtin import (
    AnyDenseElement,
    AnyFloat,
    AnyVectorType,
    ComplexType,
    DenseArrayBase,
    DenseIntOrFPElementsAttr,
    FusedLoc,
    IndexType,
    IntegerAttr,
    IntegerType,
    LocationAttr,
    ModuleOp,
    NoneAttr,
    RankedStructure,
)
from xdsl.ir import Attribute, Operation, TypeAttribute
from xdsl.irdl import IRDLOperation
from xdsl.parser import AttrParser, Parser, ParserState
from xdsl.utils.exceptions import ParseError, VerifyException
from xdsl.utils.lexer import Input, Position
from xdsl.utils.mlir_lexer import MLIRLexer, MLIRToken, MLIRTokenKind, StringLiteral

MAX_INTEGER_BITS = 128
"""Width of the widest integer type. Upstream's limit is 2^24 - 1, but each value then takes megabytes."""

MAX_VECTOR_ELEMENTS = 4096
"""Elements of the largest vector: LLVM takes one apart into registers, and fails above 65,535."""

MAX_ELEMENTS = 2**63 - 1
"""Elements of the largest tensor or memref: sizes are 64-bit integers."""

MAX_REPEATED_ELEMENTS = 1 << 20
"""Elements that all attributes of a file like `dense<0> : tensor<1000xi8>` may have together, beyond one for each
character of the file. xDSL stores each element where upstream stores one for all."""

MAX_EXPANSION = 1 << 26
"""Characters of the aliases of a file where each use of an alias in another is written out. Twenty lines that use the
one before twice each make an attribute of a million parts."""


_Item = TypeVar("_Item")


class IRLexer(MLIRLexer):
    """Tokens of MLIR, with strings that are UTF-8 as strings."""

    # xDSL's pattern has a repetition in a repetition, so it takes twice as long with each character of a string that
    # does not end. Possessive quantifiers try one way only.
    _unescaped_characters_regex = re.compile(r'"(?:[^"\\\n\v\f]++|\\(?:["nt\\]|[0-9A-Fa-f]{2}))*+"')

    def _lex_string_literal(self, start_pos: Position) -> MLIRToken:
        # Printed strings are UTF-8 with all but ASCII escaped. xDSL takes what has such an escape for bytes, which
        # locations, keys and string attributes cannot be.
        token = super()._lex_string_literal(start_pos)
        if token.kind is MLIRTokenKind.BYTES_LIT:
            try:
                StringLiteral(start_pos, self.pos, self.input).bytes_contents.decode()
            except UnicodeDecodeError:
                return token
            return MLIRToken(MLIRTokenKind.STRING_LIT, token.span)
        return token


class _TensorLiteralElement(AttrParser._TensorLiteralElement):  # pyright: ignore[reportPrivateUsage]
    """`dense<0x7F800000>` of floats is infinity: MLIR writes by their bits what digits do not say.

    xDSL prints that, and reads it as the number 2139095040.
    """

    def to_type(
        self, parser: AttrParser, type: AnyFloat | IntegerType | IndexType | ComplexType
    ) -> Any:
        text = self.span.text
        if not isinstance(type, AnyFloat) or text[:2].lower() != "0x":
            return super().to_type(parser, type)
        return _float_of_bits(parser, text, type, self.span.start)


def _float_of_bits(parser: AttrParser, digits: str, type: AnyFloat, at: Position) -> float:
    size = type.compile_time_size
    if (len(digits) - 1) // 2 > size:
        parser.raise_error(f"{digits} has more bits than {type}", at, at + len(digits))
    return type.unpack(int(digits, 16).to_bytes(size, "little"), 1)[0]


class IRParser(Parser):
    """Reads a module, or an attribute, as `IRPrinter` writes it.

    Raises:
        ParseError: the text is no IR, or asks for more than the limits above allow.
    """

    def __init__(self, ctx: Context, input: str | bytes, name: str = "<unknown>") -> None:
        super().__init__(ctx, "", name)
        text = input.decode() if isinstance(input, bytes) else input
        self._parser_state = ParserState(IRLexer(Input(text, name)))
        self._repeated_elements = MAX_REPEATED_ELEMENTS + len(text)
        self._expansions: dict[str, int] = {}
        self._expansion = 0

    def parse_module(self, allow_implicit_module: bool = True) -> ModuleOp:
        try:
            return super().parse_module(allow_implicit_module)
        except ParseError:
            raise
        except RecursionError:
            why = "it is nested too deeply"
        except VerifyException as error:
            why = str(error)
        except Exception as error:
            # the parsers of many ops and attributes take for granted what a file need not hold
            why = f"it cannot be parsed ({type(error).__name__}: {error})"
        raise ParseError(self._current_token.span, why)

    # --- limits --------------------------------------------------------------------------------------------------

    def _parse_optional_integer_or_float_type(self) -> TypeAttribute | None:
        at = self.pos
        found = super()._parse_optional_integer_or_float_type()
        if isinstance(found, IntegerType) and found.width.data > MAX_INTEGER_BITS:
            self.raise_error(f"an integer type has at most {MAX_INTEGER_BITS} bits", at)
        return found

    def parse_ranked_shape(self) -> tuple[list[int], Attribute]:
        at = self.pos
        sizes, element_type = super().parse_ranked_shape()
        if math.prod(max(size, 1) for size in sizes) > MAX_ELEMENTS:
            self.raise_error("a shape has at most 2^63 - 1 elements", at)
        return sizes, element_type

    def _parse_vector_attrs(self) -> AnyVectorType:
        at = self.pos
        found = super()._parse_vector_attrs()
        if math.prod(found.get_shape()) > MAX_VECTOR_ELEMENTS:
            self.raise_error(f"a vector has at most {MAX_VECTOR_ELEMENTS} elements", at)
        return found

    def _parse_dense_literal_type(
        self,
    ) -> RankedStructure[IntegerType | IndexType | AnyFloat | ComplexType]:
        at = self.pos
        type = super()._parse_dense_literal_type()
        self._check_dense(type, at)
        return type

    def parse_dense_int_or_fp_elements_attr(
        self, type: RankedStructure[AnyDenseElement] | None
    ) -> DenseIntOrFPElementsAttr:
        if type is not None:
            self._check_dense(type, self.pos)
        return super().parse_dense_int_or_fp_elements_attr(type)

    def _check_dense(self, type: RankedStructure[Any], at: Position) -> None:
        element_type = type.element_type
        if isinstance(element_type, IntegerType) and element_type.width.data > 64:
            self.raise_error("elements of a dense attribute have at most 64 bits", at)
        self._repeated_elements -= math.prod(type.get_shape())
        if self._repeated_elements < 0:
            self.raise_error(
                "the dense attributes of a file have at most "
                f"{MAX_REPEATED_ELEMENTS} elements that are not written out",
                at,
            )

    def _parse_alias_def(self) -> None:
        name, start, self._expansion = self._current_token.text, self.pos, 0
        super()._parse_alias_def()
        self._expansions[name] = self.pos - start + self._expansion

    def _parse_extended_type_or_attribute(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, attr_or_dialect_name: str, is_type: bool
    ) -> Any:
        alias = ("!" if is_type else "#") + attr_or_dialect_name
        self._expansion += self._expansions.get(alias, 0)
        if self._expansion > MAX_EXPANSION:
            self.raise_error(f"written out, the aliases are more than {MAX_EXPANSION} characters")
        return super()._parse_extended_type_or_attribute(
            attr_or_dialect_name, cast(Literal[True], is_type)
        )

    # --- what xDSL reads wrongly ---------------------------------------------------------------------------------

    def _parse_tensor_literal_element(self) -> AttrParser._TensorLiteralElement:
        element = super()._parse_tensor_literal_element()
        return _TensorLiteralElement(element.is_negative, element.value, element.span)

    def _parse_builtin_densearray_attr(self) -> DenseArrayBase | None:
        start = self.pos
        self.parse_characters("<", " in dense array")
        type = self.parse_attribute()
        if not isinstance(type, AnyFloat):
            self._resume_from(start)
            return super()._parse_builtin_densearray_attr()
        # xDSL writes infinities and NaNs by their bits here too, and reads digits with a point alone
        values: Sequence[Any] = ()
        if self.parse_optional_punctuation(":") is not None:
            values = self.parse_comma_separated_list(
                self.Delimiter.NONE,
                lambda: self._parse_tensor_literal_element().to_type(self, type),
            )
        self.parse_characters(">", " in dense array")
        return DenseArrayBase.from_list(type, values)

    def _parse_dialect_type_or_attribute_body(
        self,
        attr_name: str,
        is_type: bool,
        is_opaque: bool,
        starting_opaque_pos: Position | None,
    ) -> Any:
        parts = (attr_name, is_type, is_opaque, starting_opaque_pos)
        # upstream's `#gpu<dim<x>>`; xDSL reads and writes `#gpu<dim x>` alone
        if attr_name == gpu.DimensionAttr.name and self.parse_optional_punctuation("<"):
            found = super()._parse_dialect_type_or_attribute_body(*parts)
            self.parse_punctuation(">")
            return found
        return super()._parse_dialect_type_or_attribute_body(*parts)

    def _parse_location(self) -> LocationAttr:
        # xDSL writes `fused<metadata>[...]` as upstream does, and reads `fused[...]` alone
        if self.parse_optional_keyword("fused") is None:
            return super()._parse_location()
        metadata: Attribute = NoneAttr()
        if self.parse_optional_punctuation("<") is not None:
            metadata = self.parse_attribute()
            self.parse_punctuation(">")
        parts = self.parse_comma_separated_list(self.Delimiter.SQUARE, self._parse_location)
        return FusedLoc(tuple(parts), metadata)

    def parse_operation(self) -> Operation:
        op = super().parse_operation()
        if isinstance(op, IRDLOperation):
            # xDSL does this in generic form alone: `llvm.func` prints properties among its attributes
            for name in op.attributes.keys() & op.get_irdl_definition().properties.keys():
                if name not in op.properties:
                    op.properties[name] = op.attributes.pop(name)
        if isinstance(op, llvm.FuncOp) and op.unnamed_addr == _NOT_UNNAMED:
            # printed as nothing at all, which xDSL reads as this
            del op.properties["unnamed_addr"]
        return op

    def parse_comma_separated_list(
        self,
        delimiter: Parser.Delimiter,
        parse: Callable[[], _Item],
        context_msg: str = "",
    ) -> list[_Item]:
        # `linalg.generic` with two results ends with `-> (t, u)`, which xDSL reads as the start of a function type
        if (
            delimiter is self.Delimiter.NONE
            and parse == self.parse_attribute
            and self._current_token.kind is MLIRTokenKind.L_PAREN
        ):
            start = self.pos
            found = super().parse_comma_separated_list(self.Delimiter.PAREN, parse, context_msg)
            if self._current_token.text != "->":
                return found
            self._resume_from(start)
        return super().parse_comma_separated_list(delimiter, parse, context_msg)


_NOT_UNNAMED = IntegerAttr(0, 64)
