"""`dense<0x7F800000>` of floats is infinity: MLIR writes by their bits what digits do not say.

xDSL 0.74 prints that, and reads it as the number 2139095040. Importing this module corrects its parser.
"""

from __future__ import annotations

from typing import Any

from xdsl.dialects.builtin import AnyFloat, ComplexType, IndexType, IntegerType
from xdsl.parser import AttrParser

_Element = AttrParser._TensorLiteralElement  # pyright: ignore[reportPrivateUsage]
_value_of_digits = _Element.to_type


def _to_type(
    self: _Element, parser: AttrParser, type: AnyFloat | IntegerType | IndexType | ComplexType
) -> Any:
    text = self.span.text
    if not isinstance(type, AnyFloat) or text[:2].lower() != "0x":
        return _value_of_digits(self, parser, type)
    size = type.compile_time_size
    if (len(text) - 1) // 2 > size:
        parser.raise_error(f"{text} has more bits than {type}", self.span.start, self.span.end)
    return type.unpack(int(text, 16).to_bytes(size, "little"), 1)[0]


_Element.to_type = _to_type
