"""Puts operators that ONNX does not define into the registry of its library."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import onnx
from onnx.defs import OpSchema

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.onnx import OnnxOp

_registry = threading.RLock()
"""There is one registry in a process."""


def register(operators: Sequence[type[OnnxOp]]) -> None:
    """Register the schemas of operators, in place of those that stand there under their names.

    Raises:
        WebDNNError: the library refuses one.
    """
    for op in operators:
        if (old := _registered_version(op)) is not None:
            onnx.defs.deregister_schema(old.name, old.since_version, old.domain)
        if op.infer is not None:
            op.schema.set_type_and_shape_inference_function(op.infer)
        try:
            onnx.defs.register_schema(op.schema)
        except (onnx.defs.SchemaError, RuntimeError, ValueError) as error:
            lines = str(error).splitlines()
            raise WebDNNError(
                f"ONNX refuses the schema of {op.domain or 'ai.onnx'}.{op.op_type}",
                why=lines[0] if lines else type(error).__name__,
                hint="mend the OpSchema of the custom operator",
            ) from None


@contextmanager
def registered(operators: Sequence[type[OnnxOp]]) -> Generator[None, None, None]:
    """Within this the library knows these operators; other threads that want to register some wait."""
    with _registry:
        before = [schema for op in operators if (schema := _registered_version(op)) is not None]
        try:
            register(operators)
            yield
        finally:
            for op in operators:
                if _registered_version(op) is not None:
                    onnx.defs.deregister_schema(op.op_type, op.since_version, op.domain)
            for schema in before:
                onnx.defs.register_schema(schema)


def _registered_version(op: type[OnnxOp]) -> OpSchema | None:
    """The schema that stands in the registry for just this version of an operator."""
    if not onnx.defs.has(op.op_type, op.since_version, op.domain):
        return None
    schema = onnx.defs.get_schema(op.op_type, op.since_version, op.domain)
    return schema if schema.since_version == op.since_version else None
