"""Python files of custom operators, and models that use them, for tests."""

from __future__ import annotations

import onnx
from onnx import ModelProto

HEAD = """
import numpy as np
import onnx
from onnx.defs import OpSchema

import webdnn
from webdnn.dialects.nn import elementwise as ew

FLOAT = ["tensor(float)"]


def schema(name="Swish", version=1, inputs=1, outputs=1, types=FLOAT, attributes=("beta",), domain="com.example"):
    parameter = OpSchema.FormalParameter
    return OpSchema(
        name, domain, version,
        inputs=[parameter(f"x{i}", "T") for i in range(inputs)],
        outputs=[parameter(f"y{i}", "T") for i in range(outputs)],
        type_constraints=[("T", types, "")],
        attributes=[OpSchema.Attribute(a, onnx.helper.make_attribute(a, 1.0)) for a in attributes],
    )


def same(types):
    types.set_output_type(0, types.get_input_type(0))


def swish(x, beta):
    return x / (1 + np.exp(-np.float32(beta) * x))


def lower(node, b):
    return b(ew.MulOp, node[0], b(ew.SigmoidOp, b(ew.MulOp, node[0], node.float("beta"))))

"""
"""What the files begin with: a schema, and the functions of `x * sigmoid(beta * x)`."""

SWISH = HEAD + "operator = webdnn.CustomOperator(schema(), lower, swish, same)\n"
"""The file of one operator, com.example.Swish."""

BLUR = (
    HEAD
    + """
from xdsl.dialects import arith
from xdsl.dialects.builtin import TensorType
from xdsl.irdl import IRDLOperation, irdl_op_definition, operand_def, result_def, traits_def
from xdsl.traits import Pure
from webdnn.dialects.numpy_meaning.trait import NumpyMeaning
from webdnn.lowering.nn_to_linalg.region_builder import dims
from webdnn.lowering.nn_to_linalg.trait import LinalgLowering
from webdnn.dialects.sizes.types import element_of, shape_of


def pairs(op, x):
    return x[..., :-1] + x[..., 1:]


def lower_pairs(op, r):
    (x,) = r.args
    shape = shape_of(op.res)
    *outer, last, pair = dims(len(shape) + 1)
    out = (r.fill(0, shape, element_of(x)), [*outer, last])
    inputs = [(x, [*outer, last + pair]), (r.window([2], element_of(x)), [pair])]
    add = lambda b, args: b.insert(arith.AddfOp(args[0], args[2])).result
    return r.finish(*r.generic(inputs, [out], "p" * len(shape) + "r", add))


@irdl_op_definition
class PairsOp(IRDLOperation):
    name = "example.pairs"
    x = operand_def(TensorType)
    res = result_def(TensorType)
    assembly_format = "$x attr-dict `:` type($x) `->` type($res)"
    traits = traits_def(Pure(), NumpyMeaning(pairs), LinalgLowering(lower_pairs))

    def __init__(self, x):
        shape = shape_of(x)
        super().__init__(operands=[x], result_types=[TensorType(element_of(x), [*shape[:-1], shape[-1] - 1])])


def blur_type(types):
    given = types.get_input_type(0)
    size = given.tensor_type.shape.dim[-1]
    if size.HasField("dim_value"):
        size.dim_value -= 1
    else:
        size.Clear()
    types.set_output_type(0, given)


def blur(x):
    return pairs(None, x)


operator = webdnn.CustomOperator(
    schema("Pairs", attributes=()), lambda node, b: b.insert(PairsOp(node[0])), blur, blur_type, nn_ops=[PairsOp]
)
"""
)
"""The file of com.example.Pairs, which sums neighbours, and becomes an `nn` op of its own."""


def model_of(body: str, x: str = "float[2, 5] x", y: str = "float[2, 5] y") -> ModelProto:
    """A model of one input and one output."""
    return onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 21, "com.example" : 1]> custom ({x}) => ({y}) {{ {body} }}'
    )


def named(model: ModelProto, *names: str) -> ModelProto:
    """The model, its nodes named."""
    for node, name in zip(model.graph.node, names, strict=True):
        node.name = name
    return model
