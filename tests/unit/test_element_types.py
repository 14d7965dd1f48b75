"""Inputs and outputs of each element type of ONNX: a package that the runtime takes, or an error that names one."""

from __future__ import annotations

import re

import jsonschema
import onnx
import pytest
from onnx import TensorProto, helper

import webdnn
from webdnn.dialects.errors import WebDNNError
from webdnn.manifest import SCHEMA

IN_PACKAGES: set[str] = set(SCHEMA["$defs"]["tensor"]["properties"]["dtype"]["enum"])
NOT_ON_WEBGPU = {"bfloat16", "float64"}

TYPES = {name: number for name, number in TensorProto.DataType.items() if number}


def identity(element: int) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, element, [4]) for name in "xy")
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"], name="same")], "g", [x], [y]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)])


@pytest.mark.parametrize("target", ["wasm", "webgpu"])
@pytest.mark.parametrize("name", TYPES)
def test_type_of_input_and_output(name: str, target: str) -> None:
    dtype = {"FLOAT": "float32", "DOUBLE": "float64"}.get(name, name.lower())
    model = identity(TYPES[name])
    if dtype in IN_PACKAGES and not (target == "webgpu" and dtype in NOT_ON_WEBGPU):
        manifest = webdnn.compile(model, target=target).manifest
        jsonschema.validate(manifest, SCHEMA)
        assert [manifest["inputs"][0]["dtype"], manifest["outputs"][0]["dtype"]] == [dtype, dtype]
    else:
        with pytest.raises(WebDNNError) as raised:
            webdnn.compile(model, target=target)
        assert re.search(r"where: (x|same)\b", str(raised.value))
