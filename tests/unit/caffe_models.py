"""Writes Caffe's files for the tests, and runs what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from tests.unit.caffe_arithmetic import Net
from tests.unit.caffe_blobs import Array, Weights
from webdnn.frontends.caffe.convert import convert
from webdnn.frontends.caffe.schema import NetParameter

FLOAT_MAX = np.finfo(np.float32).max


def input_layer(**shapes: Sequence[int]) -> str:
    """Input layers as text."""
    return "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + " ".join(f"dim: {n}" for n in shape)
        + " } } }\n"
        for name, shape in shapes.items()
    )


def layer(type: str, bottoms: str, tops: str, parameters: str = "", name: str = "") -> str:
    """A layer as text; its bottoms and tops are words, and its name is the first top where none is given."""
    lines = [f'bottom: "{bottom}"' for bottom in bottoms.split()]
    lines += [f'top: "{top}"' for top in tops.split()]
    own = name or (tops.split() or [type])[0]
    return f'layer {{ name: "{own}" type: "{type}" {" ".join(lines)} {parameters} }}\n'


def add_blob(blobs: Any, array: Array, *, old: bool = False, double: bool = False) -> None:
    """Append trained numbers: with the four sizes of old files, or as 64-bit floats."""
    blob = blobs.add()
    if old:
        sizes = (1,) * (4 - array.ndim) + array.shape
        blob.num, blob.channels, blob.height, blob.width = sizes
    else:
        blob.shape.dim.extend(array.shape)
        blob.shape.SetInParent()
    if double:
        blob.double_data.append(array.astype("<f8").tobytes())
    else:
        blob.data.append(array.astype("<f4").tobytes())


def trained(net: Any, weights: Weights, **forms: bool) -> Any:
    """The network with the trained numbers in its layers, as Caffe saves it."""
    full = NetParameter()
    full.CopyFrom(net)
    for one in full.layer:
        for array in weights.get(one.name, []):
            add_blob(one.blobs, array, **forms)
    return full


def write(folder: Path, text: str, weights: Weights) -> tuple[Path, Path]:
    """`deploy.prototxt` and `model.caffemodel` in the folder."""
    network, binary = folder / "deploy.prototxt", folder / "model.caffemodel"
    network.write_text(text)
    binary.write_bytes(trained(Net(text).net, weights).SerializeToString())
    return network, binary


def run_onnx(model: onnx.ModelProto, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """What ONNX Runtime computes, by the names of the outputs."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [output.name for output in model.graph.output]
    read = {value.name for value in model.graph.input}
    results: Any = session.run(names, {n: a for n, a in inputs.items() if n in read})
    return dict(zip(names, results, strict=True))


def with_all_blobs(model: onnx.ModelProto, blobs: Mapping[str, Array]) -> onnx.ModelProto:
    """The model with the blobs that its nodes compute as outputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {output.name for output in model.graph.output}
    for node in model.graph.node:
        for name in node.output:
            if name in blobs and name not in known:
                copy.graph.output.add(name=name).type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    return copy


def random_inputs(net: Any, seed: int = 0) -> dict[str, Array]:
    """Random numbers for the Input layers of a network."""
    rng = np.random.default_rng(seed)
    return {
        one.top[0]: rng.uniform(-1, 1, tuple(one.input_param.shape[0].dim)).astype(np.float32)
        for one in net.layer
        if one.type == "Input"
    }


def check(
    folder: Path, text: str, inputs: Mapping[str, Array] | None = None, tolerance: float = 2e-5
) -> onnx.ModelProto:
    """Convert a network with random trained numbers, and compare all its blobs with Caffe's arithmetic.

    Returns:
        The ONNX model.
    """
    net = Net(text)
    given = random_inputs(net.net) | dict(inputs or {})
    expected = net.run(given)
    model = convert(*write(folder, text, net.weights))
    onnx.checker.check_model(model, full_check=True)
    results = run_onnx(with_all_blobs(model, expected), given)
    assert {output.name for output in model.graph.output} <= results.keys()
    for name, result in results.items():
        want = expected[name]
        assert result.shape == want.shape, name
        assert result.dtype == np.float32
        sizes = np.abs(want)
        scale = sizes[sizes < FLOAT_MAX / 2].max(initial=1.0)
        np.testing.assert_allclose(result, want, rtol=tolerance, atol=tolerance * scale)
    return model


X = input_layer(x=(1, 2, 5, 4))
CONV = X + layer("Convolution", "x", "y", "convolution_param { num_output: 3 kernel_size: 2 }")

TRAINING = """
layer { name: "data" type: "Data" top: "x" top: "label" include { phase: TRAIN }
        data_param { batch_size: 64 backend: LMDB } }
layer { name: "data" type: "Data" top: "x" top: "label" include { phase: TEST }
        transform_param { crop_size: 29 mirror: true } data_param { batch_size: 50 } }
layer { name: "y" type: "Convolution" bottom: "x" top: "y" param { lr_mult: 1 }
        convolution_param { num_output: 3 kernel_size: 2 bias_filler { type: "constant" } engine: CAFFE } }
layer { name: "drop" type: "Dropout" bottom: "y" top: "y" dropout_param { dropout_ratio: 0.4 } }
layer { name: "extra" type: "TanH" bottom: "y" top: "extra" exclude { phase: TEST } }
layer { name: "staged" type: "TanH" bottom: "y" top: "staged" include { phase: TEST stage: "deploy" } }
layer { name: "accuracy" type: "Accuracy" bottom: "y" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "label" top: "loss" }
"""
"""The network `CONV` as it is trained."""


def made(text: str) -> Net:
    """The network after a run, with its trained numbers."""
    net = Net(text)
    net.run(random_inputs(net.net))
    return net
