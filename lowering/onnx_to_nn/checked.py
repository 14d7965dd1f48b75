"""Lowerings that users bring: what goes wrong in one is told as theirs, and what it gives is looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnx import TensorProto, TypeProto
from onnx.shape_inference import infer_node_outputs
from xdsl.dialects.builtin import TensorType, UnrankedTensorType
from xdsl.dialects.func import ReturnOp
from xdsl.ir import Attribute, OpResult, SSAValue

from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.foreign_code import RAISED, place_of, reason
from webdnn.dialects.onnx.attributes import tensor_to_proto
from webdnn.dialects.onnx.export import Exporter
from webdnn.dialects.onnx.types import (
    DYNAMIC,
    UnknownType,
    dtype_name,
    type_from_proto,
    type_to_proto,
)
from webdnn.dialects.sizes.types import element_of, shape_of, size_of
from webdnn.dialects.time_limit import TimeLimitError, limited
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.errors import FailureInside, FaultyLowering, Unsupported
from webdnn.lowering.onnx_to_nn.node import Node
from webdnn.lowering.onnx_to_nn.registry import Lowering, Results


def checked(lowering: Lowering) -> Lowering:
    """The lowering of an operator, which raises `FaultyLowering` where it raises what no lowering should, or gives what
    is no result of the node."""
    place = place_of(lowering)

    def lower(node: Node, b: NNBuilder) -> Results:
        domain = f"{node.op.domain}." if node.op.domain else ""
        try:
            with limited(f"the lowering of {domain}{node.op.op_type}", [node.name]):
                given: Any = lowering(node, b)
        except TimeLimitError as error:
            raise FaultyLowering(f"{error.what}: {', '.join(error.where[1:])}") from error
        except (Unsupported, FailureInside, WebDNNError):
            raise
        except RAISED as error:
            at = place_of(lowering, error)
            raise FaultyLowering(f"its lowering fails at {at}: {reason(error)}") from error
        results: Any = [given] if isinstance(given, SSAValue) else given
        if not isinstance(results, Sequence) or len(results) < node.result_count:
            raise FaultyLowering(
                f"its lowering ({place}) gives {_shown(given)}, where {node.result_count} "
                f"value{'s are' if node.result_count > 1 else ' is'} needed"
            )
        inferred = _inferred(node, b.weights)
        for index in range(node.result_count):
            value = results[index]
            if isinstance(value, SSAValue):
                declared = _declared(node.op.results[index])
                for type, who in ((inferred[index], "its shape function"), (declared, "the model")):
                    if not _is_of(value, type):
                        gives = f"gives {_described(value.type)} as output {index}"
                        raise FaultyLowering(
                            f"its lowering ({place}) {gives}, and {who} says {_described(type)}"
                        )
            elif not isinstance(value, list) and (value is not None or node.wants(index)):
                raise FaultyLowering(
                    f"its lowering ({place}) gives {_shown(value)} as output {index}"
                )
        return results

    return lower


def _is_of(value: SSAValue, type: Attribute) -> bool:
    """Whether a value is of a type, in which elements, rank and sizes may be unknown."""
    if not isinstance(type, TensorType | UnrankedTensorType):
        return True
    if type.element_type not in (UnknownType(), element_of(value)):
        return False
    sizes, found = type.get_shape() if isinstance(type, TensorType) else None, shape_of(value)
    return sizes is None or (
        len(sizes) == len(found)
        and all(n in (DYNAMIC, m) for n, m in zip(sizes, found, strict=True))
    )


def _declared(result: OpResult) -> Attribute:
    """What the model states of a result. Of an intermediate value that is the element and the rank: the sizes may be
    those of the exporter's example."""
    type = result.type
    is_output = any(isinstance(use.operation, ReturnOp) for use in result.uses)
    if is_output or not isinstance(type, TensorType):
        return type
    return TensorType(type.element_type, [DYNAMIC] * len(type.get_shape()))


def _described(type: Attribute) -> str:
    if not isinstance(type, TensorType | UnrankedTensorType):
        return str(type)
    is_known = type.element_type != UnknownType()
    name = dtype_name(type.element_type) if is_known else "a tensor of "
    if not isinstance(type, TensorType):
        return name
    return f"{name}[{', '.join('?' if n == DYNAMIC else str(n) for n in type.get_shape())}]"


def _inferred(node: Node, weights: Mapping[str, Array]) -> list[Attribute]:
    """What the operator's shape function says of the results, now that the shapes of the operands are known."""
    op, infer = node.op, type(node.op).infer
    if infer is None:
        return [UnknownType() for _ in op.results]
    proto = Exporter(weights).node(op)
    types: dict[str, TypeProto] = {}
    data: dict[str, TensorProto] = {}
    for index, (name, value) in enumerate(zip(proto.input, node.operands, strict=True)):
        if name and isinstance(value, SSAValue):
            types[name] = type_to_proto(value.type)
            if size_of(value) <= _KNOWN_ELEMENTS and (known := node.constant(index)) is not None:
                data[name] = tensor_to_proto(known, name)
    op.schema.set_type_and_shape_inference_function(infer)
    try:
        found = infer_node_outputs(op.schema, proto, types, data)
    except WebDNNError:  # of the function itself
        raise
    except Exception as error:
        raise FaultyLowering(
            f"its shape function contradicts its schema: {reason(error)}"
        ) from None
    return [
        type_from_proto(found[name]) if name in found else UnknownType() for name in proto.output
    ]


_KNOWN_ELEMENTS = 64
"""A shape function sees the values of operands up to this size, as those of tensors that stay in the model."""


def _shown(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


__all__ = ["checked"]
