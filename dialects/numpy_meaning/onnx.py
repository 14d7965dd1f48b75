"""The numpy meaning of every op of the `onnx` dialect: ONNX's own reference implementation of the operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto
from onnx.reference import ReferenceEvaluator
from xdsl.dialects.builtin import ModuleOp, NameLoc, NoneType, TensorType, UnrankedTensorType
from xdsl.dialects.func import FuncOp
from xdsl.interpreter import Interpreter, OpImplResult, PythonValues
from xdsl.ir import Attribute, Operation, Region, SSAValue

from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.numpy_meaning.onnx_control_flow import CONTROL_FLOW, RunRegion
from webdnn.dialects.numpy_meaning.onnx_corrections import corrections_of
from webdnn.dialects.numpy_meaning.table import TableFunctions
from webdnn.dialects.numpy_meaning.trait import NumpyMeaning
from webdnn.dialects.onnx import NoneOp, OnnxOp, WeightAttr, WeightOp, YieldOp, op_classes
from webdnn.dialects.onnx.export import Exporter, to_model_proto, to_node_proto
from webdnn.dialects.onnx.types import StringType, UnknownType, numpy_dtype, type_to_proto

Value: TypeAlias = Any
"""An array; a list of values for a sequence, a dictionary for a map, None for what is absent."""


def run_node(
    op: OnnxOp,
    inputs: Sequence[Array | None],
    *,
    captured: Mapping[SSAValue, Value] | None = None,
    weights: Mapping[str, Array] | None = None,
) -> list[Array]:
    """Run one op.

    Args:
        op: any operator of the dialect.
        inputs: the values of its operands, None for an absent one.
        captured: the values that its regions read from outside (see `captures`).
        weights: what tensor attributes and weights in its regions name.

    Returns:
        the values of its results, with the element types that the op declares.

    Raises:
        WebDNNError: the reference has no implementation of this operator, or the operator fails on these inputs.
    """
    weights = weights or {}
    try:
        with np.errstate(all="ignore"):
            if (own := op.get_trait(NumpyMeaning)) is not None:
                given = own.function(*inputs, **_attributes(op, weights))
                results = [given] if isinstance(given, np.ndarray) else list(given)
            elif (meaning := CONTROL_FLOW.get(op.op_type)) is not None and not op.domain:
                run = _region_runner(dict(captured or {}), weights)
                results = meaning(op, inputs, run)
            else:
                results = _run_reference(op, inputs, captured or {}, weights)
    except WebDNNError:
        raise
    except Exception as error:  # The reference raises whatever numpy and Python raise.
        raise WebDNNError(
            f"{op.op_type} (version {op.since_version}) cannot be run on these inputs",
            where=_name_of(op),
            why=str(error).splitlines()[0] if str(error) else type(error).__name__,
        ) from error
    return [_declared(result, r.type) for result, r in zip(results, op.results, strict=True)]


def _name_of(op: OnnxOp) -> str:
    return op.location.desc.data if isinstance(op.location, NameLoc) else op.name


def _attributes(op: OnnxOp, weights: Mapping[str, Array]) -> dict[str, Any]:
    """The attributes that a node has or its schema gives a value to, but for graphs."""
    names = [name for name in op.schema.attributes if name not in op.graph_names]
    values = {name: op.value_of(name) for name in names}
    return {
        name: weights[value.key.data] if isinstance(value, WeightAttr) else value
        for name, value in values.items()
        if value is not None
    }


def _run_reference(
    op: OnnxOp,
    inputs: Sequence[Value],
    captured: Mapping[SSAValue, Value],
    weights: Mapping[str, Array],
) -> list[Value]:
    """Run a model of this one node in ONNX's reference evaluator."""
    exporter = Exporter(weights)
    feeds: dict[str, Value] = {}
    graph = GraphProto(name="node")
    for operand, value in [*zip(op.operands, inputs, strict=True), *captured.items()]:
        name = exporter.name(operand)
        if name and name not in feeds:
            feeds[name] = value
            graph.input.add(name=name, type=_type_of(operand.type, value))
    node = exporter.node(op)
    if not is_newest(op):
        # The reference would take the defaults of the newest version.
        for name, definition in op.schema.attributes.items():
            default = definition.default_value
            if name not in op.attributes and default.type != AttributeProto.UNDEFINED:
                node.attribute.append(default)
    graph.node.append(node)
    for name in node.output:
        graph.output.add(name=name)
    opsets = [onnx.helper.make_opsetid("", onnx.defs.onnx_opset_version())]
    if op.domain:
        opsets.append(onnx.helper.make_opsetid(op.domain, op.since_version))
    elif not is_newest(op):
        opsets[0].version = op.since_version
    model = onnx.helper.make_model(graph, opset_imports=opsets)
    results = ReferenceEvaluator(model, new_ops=corrections_of(op)).run(None, feeds)
    assert isinstance(results, list)
    return results


def _region_runner(outer: dict[SSAValue, Value], weights: Mapping[str, Array]) -> RunRegion:
    """A function that runs a region of `onnx` ops which may read the values of `outer`."""

    def run(region: Region, arguments: Sequence[Value]) -> list[Value]:
        block = region.block
        values = dict(outer)
        values.update(zip(block.args, arguments, strict=True))
        for op in block.ops:
            if isinstance(op, YieldOp):
                return [values[value] for value in op.operands]
            if isinstance(op, WeightOp):
                values[op.res] = weights[op.key.data]
            elif isinstance(op, NoneOp):
                values[op.res] = None
            else:
                assert isinstance(op, OnnxOp)
                inputs = [values.get(operand) for operand in op.operands]
                inner = {value: values[value] for value in captures(op)} if op.regions else None
                results = run_node(op, inputs, captured=inner, weights=weights)
                values.update(zip(op.results, results, strict=True))
        raise ValueError("a region must end with onnx.yield")

    return run


def is_newest(op: OnnxOp) -> bool:
    """Whether the op is the newest version of its operator."""
    return f"{op.op_type}_{op.since_version}" != op.name.rpartition(".")[2]


def _type_of(type: Attribute, value: Value) -> onnx.TypeProto:
    """The type of a graph input: that of the array itself where it is one."""
    if isinstance(value, np.ndarray) and value.dtype.kind not in "OSUT":
        enum = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
        return onnx.helper.make_tensor_type_proto(enum, value.shape)
    return type_to_proto(type)


def _declared(value: Value, type: Attribute) -> Value:
    """The value with the element type that the op declares: some reference operators compute in a wider one."""
    if not isinstance(type, TensorType | UnrankedTensorType) or value is None:
        return value
    array = np.asarray(value)
    element = type.element_type
    if isinstance(element, UnknownType):
        return array
    if isinstance(element, StringType):
        return array if array.dtype == object else array.astype(object)
    dtype = numpy_dtype(element)
    return array if array.dtype == dtype else array.astype(dtype)


def captures(op: Operation) -> list[SSAValue]:
    """The values outside of an op that its regions read, each once, without absent ones."""
    found: dict[SSAValue, None] = {}
    for region in op.regions:
        for inner in region.walk():
            for operand in inner.operands:
                if not isinstance(operand.type, NoneType) and not _is_inside(operand, op):
                    found[operand] = None
    return list(found)


def _is_inside(value: SSAValue, op: Operation) -> bool:
    owner = value.owner
    block = owner.parent if isinstance(owner, Operation) else owner
    while block is not None:
        parent = block.parent_op()
        if parent is op:
            return True
        block = None if parent is None else parent.parent
    return False


class OnnxFunctions(TableFunctions):
    """The ops of the `onnx` dialect for `xdsl.interpreter.Interpreter`; `weights` is what `onnx.weight` reads."""

    def __init__(self, weights: Mapping[str, Array] | None = None) -> None:
        super().__init__()
        self.weights: Mapping[str, Array] = weights or {}

    @classmethod
    def _impls(cls) -> Any:
        yield WeightOp, _run_weight
        yield NoneOp, _run_none
        for op in op_classes().values():
            yield op, _run_op


def _run_weight(
    functions: OnnxFunctions, interpreter: Interpreter, op: WeightOp, args: PythonValues
) -> OpImplResult:
    return OpImplResult((functions.weights[op.key.data],), None)


def _run_none(
    functions: OnnxFunctions, interpreter: Interpreter, op: NoneOp, args: PythonValues
) -> OpImplResult:
    return OpImplResult((None,), None)


def _run_op(
    functions: OnnxFunctions, interpreter: Interpreter, op: OnnxOp, args: PythonValues
) -> OpImplResult:
    outer = captures(op) if op.regions else []
    captured = dict(zip(outer, interpreter.get_values(outer), strict=True))
    results = run_node(op, args, captured=captured, weights=functions.weights)
    return OpImplResult(tuple(results), None)


def run_module(
    module: ModuleOp, weights: Mapping[str, Array], inputs: Sequence[Value]
) -> list[Value]:
    """Run `@main` of a module of `onnx` ops on the values of its arguments."""
    # All of xDSL's interpreters come with one of them, RISC-V's too: no compilation should wait for that.
    from xdsl.interpreters.func import FuncFunctions

    interpreter = Interpreter(module)
    interpreter.register_implementations(FuncFunctions())
    interpreter.register_implementations(OnnxFunctions(weights))
    function = next(op for op in module.ops if isinstance(op, FuncOp))
    return list(interpreter.call_op(function, tuple(inputs)))


__all__ = [
    "OnnxFunctions",
    "captures",
    "is_newest",
    "run_module",
    "run_node",
    "to_model_proto",
    "to_node_proto",
]
