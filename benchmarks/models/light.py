"""The classic topologies that ship with the `onnx` package, given weights that make their results mean something.

The files `light_*.onnx` there compute each weight with ConstantOfShape from one value, so that all channels are equal.
Here each becomes an initializer, drawn according to what it is for: `weights.py` says how.
"""

from dataclasses import dataclass, field
from inspect import getsource
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ..cache import cached_dir, digest
from . import weights
from .weights import LINEAR_GAIN, RELU_GAIN, RandomWeights

NAMES = (
    "bvlc_alexnet",
    "densenet121",
    "inception_v1",
    "inception_v2",
    "resnet50",
    "shufflenet",
    "squeezenet",
    "vgg19",
    "zfnet512",
)


def light_path(name: str) -> Path:
    """The file of `light_<name>` with random weights; it is written once. The weights are external data."""
    source = Path(onnx.__file__).parent / "backend/test/data/light" / f"light_{name}.onnx"

    def write(directory: Path) -> None:
        path = directory / f"light_{name}.onnx"
        model = randomised(onnx.load(source))
        onnx.save(model, path, save_as_external_data=True, location=f"{path.name}.data")
        onnx.checker.check_model(path, full_check=True)

    key = f"light_{name}-{digest(source, Path(__file__), getsource(weights))}"
    return cached_dir("models", key, write) / f"light_{name}.onnx"


def randomised(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with an initializer in place of each ConstantOfShape."""
    graph = model.graph
    shapes = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    constants = [node for node in graph.node if node.op_type == "ConstantOfShape"]
    readers = _Readers(graph)
    make = RandomWeights()
    drawn = [
        numpy_helper.from_array(
            _draw(make, readers, node.output[0], tuple(int(d) for d in shapes[node.input[0]])),
            node.output[0],
        )
        for node in constants
    ]
    shape_names = {node.input[0] for node in constants}
    nodes = [node for node in graph.node if node.op_type != "ConstantOfShape"]
    kept = [i for i in graph.initializer if i.name not in shape_names]
    initialized = {i.name for i in graph.initializer}
    # from IR version 4 on, initializers are not listed among the inputs
    inputs = [value for value in graph.input if value.name not in initialized]
    rebuilt = helper.make_graph(nodes, graph.name, inputs, graph.output, [*kept, *drawn])
    return helper.make_model(rebuilt, ir_version=8, opset_imports=model.opset_import)


@dataclass
class _Readers:
    """Who reads each value, and as which operand."""

    graph: onnx.GraphProto
    readers: dict[str, list[tuple[onnx.NodeProto, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node in self.graph.node:
            for position, name in enumerate(node.input):
                self.readers.setdefault(name, []).append((node, position))

    def first(self, name: str) -> tuple[onnx.NodeProto, int]:
        """The first reader that is not just a change of shape."""
        node, position = self.readers[name][0]
        return self.first(node.output[0]) if node.op_type == "Unsqueeze" else (node, position)

    def next_of(self, name: str, op_types: set[str]) -> str:
        """The type of the first of `op_types` that the value runs into, or an empty string."""
        while name in self.readers:
            node, _ = self.readers[name][0]
            if node.op_type in op_types:
                return node.op_type
            name = node.output[0]
        return ""


def _draw(
    make: RandomWeights, readers: _Readers, name: str, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    node, position = readers.first(name)
    match node.op_type, position:
        case "Conv", 1:
            into = readers.next_of(node.output[0], {"Relu", "Sum", "Conv", "Softmax"})
            gain = RELU_GAIN if into == "Relu" else LINEAR_GAIN
            return make.he_normal(name, shape, int(np.prod(shape[1:])), gain)
        case "Gemm", 1:
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            fan_in = shape[1] if attributes.get("transB") else shape[0]
            into = readers.next_of(node.output[0], {"Relu", "Softmax"})
            return make.he_normal(name, shape, fan_in, RELU_GAIN if into == "Relu" else LINEAR_GAIN)
        case "BatchNormalization", 1:
            # the branches of a sum are damped, so that many sums do not let the activations grow
            scale = 0.7 if readers.next_of(node.output[0], {"Relu", "Sum"}) == "Sum" else 1.0
            return make.uniform(name, shape, 0.8 * scale, 1.2 * scale)
        case ("BatchNormalization", 4) | ("Mul", _):
            return make.uniform(name, shape, 0.8, 1.2)
        case _:  # biases, means
            return make.normal(name, shape, 0.05)
