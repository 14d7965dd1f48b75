"""`load`: an ONNX model in, a module of `onnx` ops and its weights out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx.inliner
from onnx import ModelProto
from xdsl.dialects.builtin import ModuleOp

from webdnn.dialects.errors import WebDNNError, internal_errors, shortened
from webdnn.dialects.onnx import OnnxOp, OperatorSet
from webdnn.dialects.weight_store import WeightStore
from webdnn.frontends.onnx import library
from webdnn.frontends.onnx.binding import Bindings, Bound, Shapes, bind, bindings_of
from webdnn.frontends.onnx.bodies import check_bodies
from webdnn.frontends.onnx.build import build
from webdnn.frontends.onnx.declared import check_declared, forget_examples
from webdnn.frontends.onnx.dimensions import Dims
from webdnn.frontends.onnx.enumerations import check_enumerations
from webdnn.frontends.onnx.equations import check_equations
from webdnn.frontends.onnx.experimental import LAST_OPSET, expand_experimental
from webdnn.frontends.onnx.graphs import all_nodes, describe
from webdnn.frontends.onnx.inference import contradiction, infer, infer_certain
from webdnn.frontends.onnx.limits import check_functions
from webdnn.frontends.onnx.old_opsets import to_opset_7
from webdnn.frontends.onnx.opset import upgrade
from webdnn.frontends.onnx.source import Source, inputs_of, read
from webdnn.frontends.onnx.tensors import detach_weights
from webdnn.frontends.onnx.validate import (
    check_model,
    check_names,
    check_operators,
    check_opsets,
    check_text,
    check_types,
    import_domains,
    sort_nodes,
)
from webdnn.frontends.onnx.values import InputValue


@dataclass(frozen=True)
class ImportedModel:
    """A model as IR.

    `module` holds one `func.func @main` of `onnx` ops. Its arguments are the model's inputs without its initializers.
    The function's attributes name them and the outputs (the constants of `webdnn.dialects.onnx`: INPUT_NAMES,
    INPUT_DTYPES, INPUT_SYMBOLS and the same for outputs). Each op's location is the name of its node. `onnx.weight` ops
    name keys of `weights`. `assumed` says in words which range a size of an input has of which nothing was said.
    """

    module: ModuleOp
    weights: WeightStore
    assumed: Sequence[str] = ()


def load(
    model: str | Path | bytes | ModelProto | Source,
    shapes: Shapes | None = None,
    *,
    values: Mapping[str, InputValue] | None = None,
    dims: Dims | None = None,
    inline: Sequence[str] = (),
    operators: Sequence[type[OnnxOp]] = (),
) -> ImportedModel:
    """Import an ONNX model.

    Model-local functions are inlined. A model of the opsets 1 to 6 becomes one of opset 7. Then it is converted to the
    newest opset of the `onnx` package where its converter can do it for all nodes; else it keeps its opset, and its ops
    are of the versions of that opset.

    Args:
        model: a path (external data is looked for beside it), the bytes of a file, or a ModelProto, which is not
            changed; or what `read` made of one of these, which is.
        shapes: sizes of inputs, by name or in their order; they bind the model's symbolic dimensions, wherever the same
            symbol stands.
        values: values of inputs, by name: these become constants, and are no inputs of the module. Numbers, truth
            values, nested lists of them, or arrays; they are converted to the declared type, and an array's sizes bind
            symbols as `shapes` does.
        dims: what the names of dimensions stand for: a number, a range (`"1..512:8@128"`), or another name. A size of
            which nothing is said is a symbol of a default range.
        inline: operators that ONNX defines as functions of others (`"LayerNormalization"`) to replace by these.
        operators: those that the model may use beside ONNX's own.

    Raises:
        WebDNNError: the model is missing, broken, or uses operators that nothing defines; or `shapes` or `values`
            do not fit it.
    """
    with internal_errors("read the model"), library.own_process(operators):
        source = model if isinstance(model, Source) else read(model)
        return _load(source, shapes or {}, values or {}, dims or {}, inline, OperatorSet(operators))


def _load(
    source: Source,
    shapes: Shapes,
    values: Mapping[str, InputValue],
    dims: Dims,
    inline: Sequence[str],
    operators: OperatorSet,
) -> ImportedModel:
    proto = source.model
    metadata = _metadata(proto)
    opsets = check_opsets(proto)
    import_domains(proto, opsets, operators)
    if not proto.opset_import:
        proto.opset_import.append(onnx.helper.make_opsetid("", opsets[""]))
    check_text(proto)
    check_types(proto)
    expand_experimental(proto, opsets.get("", LAST_OPSET + 1))
    check_operators(proto, opsets, operators)
    check_functions(proto)
    check_names(proto.graph)
    sort_nodes(proto.graph)
    inputs = [value.name for value in inputs_of(proto.graph)]
    bindings = bindings_of(proto.graph, inputs, shapes, values, dims)
    arrays = detach_weights(proto.graph, source.reader)
    # From IR version 4 on an initializer need not be an input: what was detached may be either.
    proto.ir_version = max(proto.ir_version, 4)
    check_model(proto)
    if proto.functions:
        proto = _inline_functions(proto)
        arrays |= detach_weights(proto.graph, source.reader)
    proto = to_opset_7(proto)
    check_enumerations(proto)
    check_equations(proto)
    certain = infer_certain(proto)
    check_bodies(certain or proto)
    inferring = {(op.domain, op.op_type) for op in operators.others if op.infer is not None}
    check_declared(proto, certain, arrays, inferring)
    proto, bound = _bound(proto, inputs, bindings, operators)
    arrays |= bound.arrays
    proto = upgrade(proto)
    if inline:
        proto = _inline_operators(proto, inline)
    proto = infer(proto)
    weights = WeightStore()
    module = build(proto, arrays, weights, operators, metadata, bound.sizes)
    return ImportedModel(module, weights, bound.assumed)


def _metadata(model: ModelProto) -> dict[str, str]:
    """What a model says of itself in free text."""

    def text(value: str | bytes) -> str:  # protobuf gives bytes where a string is not UTF-8
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

    return {text(entry.key): text(entry.value) for entry in model.metadata_props}


def _inline_operators(model: ModelProto, names: Sequence[str]) -> ModelProto:
    """The model with these operators replaced by what ONNX defines them with; `value_info` is added to it."""
    # The inliner asks for the types of a node's operands, and finds no initializer's by itself.
    known = {value.name for value in [*model.graph.value_info, *model.graph.input]}
    for tensor in model.graph.initializer:
        if tensor.name not in known:
            value = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            model.graph.value_info.append(value)
    selected = [("", name) for name in names]
    try:
        return library.call(
            onnx.inliner.inline_selected_functions, model, selected, inline_schema_functions=True
        )
    except (RuntimeError, ValueError, onnx.shape_inference.InferenceError) as error:
        raise WebDNNError(
            "operators that ONNX defines as functions of others cannot be replaced by these",
            where=[describe(node) for node in all_nodes(model.graph) if node.op_type in names],
            why=str(error).splitlines()[0],
            hint="a node before one of these is probably damaged, so that the type of its result is unknown",
        ) from None


def _bound(
    model: ModelProto, inputs: Sequence[str], bindings: Bindings, operators: OperatorSet
) -> tuple[ModelProto, Bound]:
    """The model with sizes and values bound; an error where its operators cannot take these sizes."""
    bound = ModelProto()
    bound.CopyFrom(model)
    found = bind(bound.graph, inputs, bindings)
    if not (bindings.shapes or bindings.arrays or bindings.dims):
        return bound, found
    custom = {(op.domain, op.op_type) for op in operators.others}
    forget_examples(model, bound, custom)
    why = contradiction(bound)
    # What is wrong before anything is bound is not the fault of the sizes.
    if why and not contradiction(model):
        raise WebDNNError(
            "the model cannot take inputs of these sizes", where=bindings.describe(), why=why
        )
    return bound, found


def _inline_functions(model: ModelProto) -> ModelProto:
    try:
        return library.call(onnx.inliner.inline_local_functions, model, convert_version=True)
    except (
        RuntimeError,
        ValueError,
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
        onnx.version_converter.ConvertError,
    ) as error:
        raise WebDNNError(
            "the model's functions cannot be inlined",
            where=shortened([f"{f.domain}.{f.name}" for f in model.functions]),
            why=str(error).splitlines()[0],
        ) from None
