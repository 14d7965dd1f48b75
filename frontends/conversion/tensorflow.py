"""TensorFlow's SavedModels, frozen graphs and TensorFlow Lite models to ONNX, by tf2onnx."""

from __future__ import annotations

import importlib
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx

from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.conversion.onnx_names import name_sizes, rename_interface, rename_values
from webdnn.frontends.conversion.process import Converter, Job, main
from webdnn.frontends.conversion.tf2onnx_repairs import HANDLERS, convert_function, repair
from webdnn.frontends.conversion.tflite_operators import replace_operators

TENSORFLOW = Converter("TensorFlow", __name__, "tensorflow", ("tensorflow", "tf2onnx"))

OPSET = 18
"""The newest one that tf2onnx writes."""
SIGNATURE = "serving_default"


def convert(job: Job) -> None:
    """Convert a SavedModel's folder, a TensorFlow Lite model, or a frozen graph.

    Raises:
        WebDNNError: it has no signature to call, or no inputs or outputs can be found.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    path = Path(job.model)
    if path.is_dir():
        proto = _from_saved_model(path)
    elif path.read_bytes()[4:8] == b"TFL3":
        proto = _from_tflite(path)
    else:
        proto = _from_graph(path)
    name_sizes(proto)
    onnx.save(proto, job.output)


def _from_saved_model(path: Path) -> onnx.ModelProto:
    tf: Any = importlib.import_module("tensorflow")
    try:
        loaded = tf.saved_model.load(str(path))
    except (OSError, ValueError, AttributeError, tf.errors.OpError) as error:
        raise WebDNNError(
            "TensorFlow cannot load the SavedModel",
            where=str(path),
            why=_first_line(error),
            hint="give the whole folder, with its variables; if it was downloaded, download it again",
        ) from error
    signatures: Mapping[str, Any] = loaded.signatures
    if not signatures:
        raise WebDNNError(
            "the SavedModel has no signature to call",
            where=str(path),
            hint="save it with tf.saved_model.save(model, folder, signatures=...), or from Keras with model.export",
        )
    name = SIGNATURE if SIGNATURE in signatures else sorted(signatures)[0]
    function = signatures[name]
    specs: Mapping[str, Any] = function.structured_input_signature[1]

    def call(*arguments: Any) -> Any:
        return function(**dict(zip(specs, arguments, strict=True)))

    proto = convert_function(tf.function(call), list(specs.values()), OPSET)
    rename_interface(proto, list(specs), sorted(function.structured_outputs))
    return proto


def _from_tflite(path: Path) -> onnx.ModelProto:
    tf: Any = importlib.import_module("tensorflow")
    tf2onnx: Any = importlib.import_module("tf2onnx")
    proto: onnx.ModelProto
    try:
        _ = tf.lite.Interpreter(model_content=path.read_bytes())
        proto, _ = tf2onnx.convert.from_tflite(str(path), opset=OPSET)
    except (ValueError, IndexError, struct.error) as error:
        # TensorFlow Lite looks at the whole file; what it does not find, tf2onnx stumbles over
        if isinstance(error, ValueError) and "flatbuffer" not in str(error).lower():
            raise
        raise WebDNNError(
            "the TensorFlow Lite model is damaged",
            where=str(path),
            why=_first_line(error),
            hint="export or download it again",
        ) from error
    repair(proto)
    replace_operators(proto)
    rename_values(proto, _distinct(proto, _signature_names(path)))
    return proto


def _signature_names(path: Path) -> dict[str, str]:
    """The names in the model's signature, by the names of its tensors."""
    tf: Any = importlib.import_module("tensorflow")
    interpreter = tf.lite.Interpreter(str(path))
    found: dict[str, str] = {}
    for signature in list(interpreter.get_signature_list())[:1]:
        runner = interpreter.get_signature_runner(signature)
        for details in (runner.get_input_details(), runner.get_output_details()):
            found |= {tensor["name"]: name for name, tensor in details.items()}
    return found


def _from_graph(path: Path) -> onnx.ModelProto:
    tf: Any = importlib.import_module("tensorflow")
    tf2onnx: Any = importlib.import_module("tf2onnx")
    message: Any = importlib.import_module("google.protobuf.message")
    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(path.read_bytes())
    except message.DecodeError as error:
        raise WebDNNError("this is not a frozen graph of TensorFlow", where=str(path)) from error
    read = {name.split(":")[0].lstrip("^") for node in graph.node for name in node.input}
    inputs = [node.name for node in graph.node if node.op == "Placeholder"]
    leaves = [n.name for n in graph.node if n.name not in read and n.op not in _NO_RESULT]
    if not inputs or not leaves:
        raise WebDNNError(
            f"the graph has no {'outputs' if inputs else 'inputs'}",
            where=str(path),
            why="inputs are its Placeholders, outputs the nodes that no other one reads",
        )
    proto: onnx.ModelProto
    proto, _ = tf2onnx.convert.from_graph_def(
        graph,
        input_names=[f"{name}:0" for name in inputs],
        output_names=[f"{name}:0" for name in leaves],
        opset=OPSET,
        custom_op_handlers=dict(HANDLERS),
    )
    repair(proto)
    rename_values(proto, _distinct(proto, {}))
    return proto


_NO_RESULT = {"NoOp", "Assert", "Const", "Placeholder"}


def _distinct(proto: onnx.ModelProto, names: Mapping[str, str]) -> dict[str, str]:
    """New names of the inputs and outputs: those given, else the name of the node without `:0`. One that is taken stays
    away."""
    values = [value.name for value in (*proto.graph.input, *proto.graph.output)]
    taken = {name for node in proto.graph.node for name in node.output}
    found: dict[str, str] = {}
    for value in values:
        name = names.get(value, value.removesuffix(":0"))
        if name not in taken and name not in found.values():
            found[value] = name
    return found


def _first_line(error: Exception) -> str:
    lines: Sequence[str] = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


if __name__ == "__main__":
    main(convert)
