"""Every layer of Caffe at ragged sizes: the ONNX model in ONNX Runtime against Caffe's arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.caffe_arithmetic import Net
from tests.unit.caffe_models import check, input_layer, layer, random_inputs, run_onnx, write
from webdnn.frontends.caffe.convert import convert

X = input_layer(x=(2, 6, 7, 5))


def one(type: str, parameters: str = "", tops: str = "y") -> str:
    return X + layer(type, "x", tops, parameters)


CONVOLUTIONS = {
    "plain": one("Convolution", "convolution_param { num_output: 4 kernel_size: 3 }"),
    "groups": one(
        "Convolution",
        "convolution_param { num_output: 4 kernel_size: 3 group: 2 pad: 1 stride: 2 bias_term: false }",
    ),
    "by name": one(
        "Convolution",
        "convolution_param { num_output: 3 kernel_h: 1 kernel_w: 4 stride_h: 2 stride_w: 1 pad_h: 0 pad_w: 2 }",
    ),
    "dilated": one(
        "Convolution",
        "convolution_param { num_output: 2 kernel_size: 3 kernel_size: 2 dilation: 2 dilation: 3 pad: 1 pad: 0 }",
    ),
    "last axis": one("Convolution", "convolution_param { num_output: 5 kernel_size: 2 axis: -2 }"),
    "three axes": input_layer(x=(1, 2, 5, 4, 3))
    + layer(
        "Convolution",
        "x",
        "y",
        "convolution_param { num_output: 3 kernel_size: 2 stride: 1 stride: 2 stride: 1 pad: 1 }",
    ),
    "one axis": input_layer(x=(2, 3, 9))
    + layer(
        "Convolution", "x", "y", "convolution_param { num_output: 3 kernel_size: 4 stride: 2 }"
    ),
    "shared by two inputs": input_layer(a=(1, 2, 4, 4), b=(1, 2, 4, 4))
    + layer("Convolution", "a b", "y z", "convolution_param { num_output: 3 kernel_size: 2 }"),
    "depthwise": one(
        "DepthwiseConvolution", "convolution_param { num_output: 6 kernel_size: 3 group: 6 }"
    ),
    "deconvolution": one(
        "Deconvolution", "convolution_param { num_output: 4 kernel_size: 4 stride: 2 pad: 1 }"
    ),
    "deconvolution in groups": one(
        "Deconvolution",
        """convolution_param { num_output: 4 kernel_size: 3 kernel_size: 2 stride: 2 stride: 3 group: 2 dilation: 2
           bias_term: false }""",
    ),
    "inner product": one("InnerProduct", "inner_product_param { num_output: 3 }"),
    "inner product of an axis": one(
        "InnerProduct", "inner_product_param { num_output: 3 axis: -1 bias_term: false }"
    ),
    "inner product of all": one("InnerProduct", "inner_product_param { num_output: 3 axis: 0 }"),
    "inner product transposed": input_layer(x=(4, 7))
    + layer("InnerProduct", "x", "y", "inner_product_param { num_output: 3 transpose: true }"),
}

POOLINGS = {
    f"{method} {name}": one("Pooling", f"pooling_param {{ pool: {method} {parameters} }}")
    for method in ("MAX", "AVE")
    for name, parameters in {
        "whole": "kernel_size: 3 stride: 2",
        "rounded up": "kernel_size: 2 stride: 2",
        "rounded up and padded": "kernel_size: 3 stride: 2 pad: 1",
        "clipped": "kernel_size: 2 stride: 3 pad: 1",
        "far beyond": "kernel_size: 5 stride: 4 pad: 2",
        "by axis": "kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 3 pad_h: 0 pad_w: 1",
        "rounded down": "kernel_size: 2 stride: 2 round_mode: FLOOR",
        "rounded down by a fork": "kernel_size: 2 stride: 2 ceil_mode: false",
        "global": "global_pooling: true",
        "windows beyond the end": "kernel_size: 1 stride: 4",
        "larger than the picture": "kernel_size: 7 stride: 2 pad: 3",
    }.items()
} | {
    "mask": X + layer("Pooling", "x", "y m", "pooling_param { kernel_size: 3 stride: 2 pad: 1 }"),
    "spp": input_layer(x=(2, 3, 9, 11)) + layer("SPP", "x", "y", "spp_param { pyramid_height: 3 }"),
    "spp average": one("SPP", "spp_param { pyramid_height: 2 pool: AVE }"),
    "spp of one level": one("SPP", "spp_param { pyramid_height: 1 }"),
}

ELEMENTWISE = {
    "AbsVal": "",
    "BNLL": "",
    "Clip": "clip_param { min: -0.25 max: 0.5 }",
    "Dropout": "",
    "ELU": "elu_param { alpha: 0.7 }",
    "Exp": "",
    "Exp of base": "exp_param { base: 3 scale: 0.5 shift: 0.25 }",
    "Exp shifted": "exp_param { scale: 0.5 shift: -1 }",
    "Log": "log_param { shift: 1.5 }",
    "Log of base": "log_param { base: 10 scale: 2 shift: 3 }",
    "Power": "power_param { power: 2 scale: 0.5 shift: -0.3 }",
    "Power of a root": "power_param { power: 0.5 shift: 2 }",
    "Power of nothing": "power_param { power: 0 }",
    "Power of a constant": "power_param { power: 3 scale: 0 shift: 2 }",
    "Power only scaled": "power_param { scale: 4 }",
    "PReLU": "",
    "PReLU shared": "prelu_param { channel_shared: true }",
    "ReLU": "",
    "ReLU leaky": "relu_param { negative_slope: 0.1 }",
    "ReLU6": "",
    "Sigmoid": "",
    "Swish": "swish_param { beta: 1.5 }",
    "TanH": "",
    "Threshold": "threshold_param { threshold: 0.25 }",
}

NORMALISATIONS = {
    "LRN": one("LRN", "lrn_param { local_size: 5 alpha: 2 beta: 0.75 k: 2 }"),
    "LRN of three": one("LRN", "lrn_param { local_size: 3 alpha: 0.5 }"),
    "LRN within": one(
        "LRN", "lrn_param { local_size: 3 alpha: 3 k: 9 norm_region: WITHIN_CHANNEL }"
    ),
    "BatchNorm": one("BatchNorm", "batch_norm_param { eps: 0.01 }"),
    "BatchNorm of the batch": one("BatchNorm", "batch_norm_param { use_global_stats: false }"),
    "BatchNorm of vectors": input_layer(x=(3, 4)) + layer("BatchNorm", "x", "y"),
    "MVN": one("MVN"),
    "MVN across": one("MVN", "mvn_param { across_channels: true eps: 0.1 }"),
    "MVN mean": one("MVN", "mvn_param { normalize_variance: false }"),
    "MVN of three axes": input_layer(x=(2, 3, 5)) + layer("MVN", "x", "y"),
    "Normalize": one("Normalize"),
    "Normalize pixels": one(
        "Normalize", "norm_param { across_spatial: false channel_shared: false eps: 0.01 }"
    ),
    "Softmax": one("Softmax"),
    "Softmax of an axis": one("Softmax", "softmax_param { axis: -1 }"),
}

Y = input_layer(x=(2, 6, 7, 5), z=(2, 6, 7, 5), w=(2, 6, 7, 5))
ARITHMETIC = {
    "Scale": one("Scale"),
    "Scale and bias": one("Scale", "scale_param { bias_term: true }"),
    "Scale of axes": one("Scale", "scale_param { axis: 1 num_axes: 2 bias_term: true }"),
    "Scale to the end": one("Scale", "scale_param { axis: -2 num_axes: -1 }"),
    "Scale by one number": one("Scale", "scale_param { num_axes: 0 bias_term: true }"),
    "Scale by a blob": input_layer(x=(2, 6, 7, 5), s=(2, 6))
    + layer("Scale", "x s", "y", "scale_param { axis: 0 bias_term: true }"),
    "Bias": one("Bias"),
    "Bias of a blob": input_layer(x=(2, 6, 7, 5), s=(7, 5))
    + layer("Bias", "x s", "y", "bias_param { axis: 2 }"),
    "sum": Y + layer("Eltwise", "x z w", "y"),
    "weighted sum": Y
    + layer("Eltwise", "x z w", "y", "eltwise_param { coeff: 0.5 coeff: -1 coeff: 2 }"),
    "product": Y + layer("Eltwise", "x z w", "y", "eltwise_param { operation: PROD }"),
    "maximum": Y + layer("Eltwise", "x z w", "y", "eltwise_param { operation: MAX }"),
    "Axpy": input_layer(a=(2, 6, 1, 1), x=(2, 6, 3, 4), z=(2, 6, 3, 4))
    + layer("Axpy", "a x z", "y"),
}

SHAPES = {
    "Concat": Y + layer("Concat", "x z w", "y"),
    "Concat of an axis": input_layer(x=(2, 3, 4), z=(2, 3, 1))
    + layer("Concat", "x z", "y", "concat_param { axis: -1 }"),
    "Concat of the old kind": input_layer(x=(2, 3), z=(1, 3))
    + layer("Concat", "x z", "y", "concat_param { concat_dim: 0 }"),
    "Slice": one("Slice", "slice_param { slice_point: 1 slice_point: 4 }", "a b c"),
    "Slice evenly": one("Slice", "", "a b c"),
    "Slice of the old kind": one("Slice", "slice_param { slice_dim: 2 slice_point: 3 }", "a b"),
    "Split": one("Split", "", "a b"),
    "Crop": input_layer(x=(2, 6, 7, 5), s=(1, 1, 4, 3))
    + layer("Crop", "x s", "y", "crop_param { offset: 2 offset: 1 }"),
    "Crop of all axes": input_layer(x=(2, 6, 7, 5), s=(1, 5, 6, 4))
    + layer("Crop", "x s", "y", "crop_param { axis: 0 offset: 1 }"),
    "Flatten": one("Flatten"),
    "Flatten in the middle": one("Flatten", "flatten_param { axis: 1 end_axis: -2 }"),
    "Reshape": one("Reshape", "reshape_param { shape { dim: 0 dim: 3 dim: -1 dim: 5 } }"),
    "Reshape of axes": one(
        "Reshape", "reshape_param { shape { dim: 2 dim: -1 } axis: 1 num_axes: 1 }"
    ),
    "Reshape with new axes": one(
        "Reshape", "reshape_param { shape { dim: 1 dim: 1 } axis: -1 num_axes: 0 }"
    ),
    "Permute": one("Permute", "permute_param { order: 0 order: 2 order: 3 }"),
    "Tile": one("Tile", "tile_param { axis: 2 tiles: 3 }"),
    "Parameter": X
    + layer("Parameter", "", "p", "parameter_param { shape { dim: 7 dim: 5 } }")
    + layer("Bias", "x p", "y", "bias_param { axis: 2 }"),
    "DummyData": X
    + layer(
        "DummyData",
        "",
        "d",
        "dummy_data_param { shape { dim: 2 dim: 6 dim: 7 dim: 5 } data_filler { value: 3 } }",
    )
    + layer("Eltwise", "x d", "y"),
}

REDUCTIONS = {
    f"{operation} from {axis}": one(
        "Reduction", f"reduction_param {{ operation: {operation} axis: {axis} coeff: 1.5 }}"
    )
    for operation in ("SUM", "ASUM", "SUMSQ", "MEAN")
    for axis in (0, 2, -1)
} | {
    "ArgMax": one("ArgMax"),
    "ArgMax with values": one("ArgMax", "argmax_param { out_max_val: true top_k: 3 }"),
    "ArgMax of an axis": one("ArgMax", "argmax_param { axis: 1 }"),
    "ArgMax of some": one("ArgMax", "argmax_param { axis: -1 top_k: 2 }"),
    "values of some": one("ArgMax", "argmax_param { axis: 2 top_k: 4 out_max_val: true }"),
    "ArgMax of vectors": input_layer(x=(3, 9))
    + layer("ArgMax", "x", "y", "argmax_param { top_k: 2 }"),
}


def _cases(table: dict[str, str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("text", table.values(), ids=table.keys())


@_cases(CONVOLUTIONS)
def test_convolutions(tmp_path: Path, text: str) -> None:
    check(tmp_path, text)


def test_convolutions_that_are_depthwise_without_saying_so(tmp_path: Path) -> None:
    parameters = "convolution_param { num_output: 6 kernel_size: 3 pad: 1 }"
    grouped = one("Convolution", parameters.replace("pad", "group: 6 pad"))
    net = Net(grouped)
    inputs = random_inputs(net.net)
    expected = net.run(inputs)["y"]
    files = write(tmp_path, one("ConvolutionDepthwise", parameters), net.weights)
    y = run_onnx(convert(*files), inputs)["y"]
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


@_cases(POOLINGS)
def test_poolings(tmp_path: Path, text: str) -> None:
    check(tmp_path, text)


@_cases({name: one(name.split()[0], p) for name, p in ELEMENTWISE.items()})
def test_elementwise(tmp_path: Path, text: str) -> None:
    check(tmp_path, text)


@_cases(NORMALISATIONS)
def test_normalisations(tmp_path: Path, text: str) -> None:
    check(tmp_path, text)


@_cases(ARITHMETIC)
def test_arithmetic(tmp_path: Path, text: str) -> None:
    check(tmp_path, text)


@_cases(SHAPES)
def test_shapes(tmp_path: Path, text: str) -> None:
    check(tmp_path, text)


@_cases(REDUCTIONS)
def test_reductions(tmp_path: Path, text: str) -> None:
    check(tmp_path, text)


def test_of_equal_numbers_the_last_is_the_greatest(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 3, (2, 6, 7, 5)).astype(np.float32)
    for index, parameters in enumerate(("axis: 1", "axis: 2 top_k: 3", "top_k: 5")):
        folder = tmp_path / str(index)
        folder.mkdir()
        check(folder, one("ArgMax", f"argmax_param {{ {parameters} }}"), {"x": x})


def test_whole_numbers_as_floats(tmp_path: Path) -> None:
    text = input_layer(x=(2, 3)) + layer(
        "Embed", "x", "y", "embed_param { input_dim: 5 num_output: 4 }"
    )
    check(tmp_path, text, {"x": np.array([[0, 4, 2], [1, 1, 3]], np.float32)})
    text = input_layer(x=(4, 3), i=(5,)) + layer("BatchReindex", "x i", "y")
    check(tmp_path, text, {"i": np.array([3, 0, 0, 2, 1], np.float32)})


@pytest.mark.parametrize("begins", ["first", "middle", "never"])
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("exposed", [False, True])
@pytest.mark.parametrize("type", ["LSTM", "RNN"])
def test_recurrent(tmp_path: Path, type: str, exposed: bool, static: bool, begins: str) -> None:
    cont = np.ones((5, 3), np.float32)
    if begins == "first":
        cont[0] = 0
    elif begins == "middle":
        cont[2, 1] = cont[4, 0] = 0
    states = {"h": (1, 3, 4)} | ({"c": (1, 3, 4)} if type == "LSTM" else {}) if exposed else {}
    shapes = {"x": (5, 3, 2, 3), "cont": (5, 3)} | ({"s": (3, 6)} if static else {}) | states
    text = input_layer(**shapes) + layer(
        type,
        " ".join(shapes),
        " ".join(["y", *(f"{name}_end" for name in states)]),
        f"recurrent_param {{ num_output: 4 expose_hidden: {str(exposed).lower()} }}",
    )
    check(tmp_path, text, {"cont": cont})


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("exposed", [False, True])
def test_sequences_that_are_known_to_be_whole_are_one_node(
    tmp_path: Path, first: int, exposed: bool
) -> None:
    states = {"h": (1, 3, 4), "c": (1, 3, 4)} if exposed else {}
    shapes = {"x": (5, 3, 6)} | states
    cont = """dummy_data_param {
        shape { dim: 1 dim: 3 } shape { dim: 4 dim: 3 } data_filler { value: FIRST } data_filler { value: 1 } }"""
    text = (
        input_layer(**shapes)
        + layer("DummyData", "", "begin go", cont.replace("FIRST", str(first)))
        + layer("Concat", "begin go", "cont", "concat_param { axis: 0 }")
        + layer(
            "LSTM",
            " ".join(["x", "cont", *states]),
            " ".join(["y", *(f"{name}_end" for name in states)]),
            f"recurrent_param {{ num_output: 4 expose_hidden: {str(exposed).lower()} }}",
        )
    )
    model = check(tmp_path, text)
    assert [node.op_type for node in model.graph.node].count("LSTM") == 1
