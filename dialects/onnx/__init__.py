"""The `onnx` dialect, generated from the operator schemas that the `onnx` package carries.

Every operator class is an attribute of this module, by the name of its op without `onnx.`: `onnx.Conv`, `onnx.Conv_1`.
Those of other domains are found with `op_class`.
"""

from __future__ import annotations

from xdsl.ir import Dialect

from webdnn.dialects.onnx.attributes import BytesValueAttr, WeightAttr
from webdnn.dialects.onnx.interface import (
    INPUT_DTYPES,
    INPUT_NAMES,
    INPUT_SYMBOLS,
    OUTPUT_DTYPES,
    OUTPUT_NAMES,
    OUTPUT_SYMBOLS,
    SEED,
    STATES,
    example_size,
    inputs_and_seed,
    states_of,
    string_lists_of,
    strings_of,
)
from webdnn.dialects.onnx.ops import (
    NoneOp,
    OnnxOp,
    OperatorSet,
    WeightOp,
    YieldOp,
    make_op_class,
    op_class,
    op_classes,
)
from webdnn.dialects.onnx.types import (
    MapType,
    OptionalType,
    SequenceType,
    SparseType,
    StringType,
    UnknownType,
)

OPSETS = "onnx.opset_import"
"""Attribute of the module: the version of each domain, a dictionary (`{"ai.onnx" = 23 : i64}`)."""
MODEL_NAME = "webdnn.model_name"
"""Attribute of the module: the name of the ONNX graph, a string."""
METADATA = "webdnn.metadata"
"""Attribute of the module: the model's `metadata_props`, a list of pairs of strings."""

Onnx = Dialect(
    "onnx",
    [NoneOp, WeightOp, YieldOp, *op_classes().values()],
    [
        BytesValueAttr,
        MapType,
        OptionalType,
        SequenceType,
        SparseType,
        StringType,
        UnknownType,
        WeightAttr,
    ],
)


def __getattr__(name: str) -> type[OnnxOp]:
    try:
        return op_classes()[f"onnx.{name}"]
    except KeyError:
        raise AttributeError(f"the onnx dialect has no op named {name}") from None


__all__ = [
    "INPUT_DTYPES",
    "INPUT_NAMES",
    "INPUT_SYMBOLS",
    "METADATA",
    "MODEL_NAME",
    "OPSETS",
    "OUTPUT_DTYPES",
    "OUTPUT_NAMES",
    "OUTPUT_SYMBOLS",
    "SEED",
    "STATES",
    "BytesValueAttr",
    "MapType",
    "NoneOp",
    "Onnx",
    "OnnxOp",
    "OperatorSet",
    "OptionalType",
    "SequenceType",
    "SparseType",
    "StringType",
    "UnknownType",
    "WeightAttr",
    "WeightOp",
    "YieldOp",
    "example_size",
    "inputs_and_seed",
    "make_op_class",
    "op_class",
    "op_classes",
    "states_of",
    "string_lists_of",
    "strings_of",
]
