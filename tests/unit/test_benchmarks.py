"""The parts of the benchmarks that can be wrong without anybody noticing: ratios, costs, what is attributed to what."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.macs import count_macs
from benchmarks.results import ResultTable
from benchmarks.roofline import chart
from benchmarks.statistics import Summary, geometric_mean, paired_ratio
from benchmarks.sweep import Gemm, gemm
from benchmarks.tensorflow_program import write_program
from benchmarks.tflite_converter import padded, with_gelu
from webdnn.kernel_profile import KernelProfile, KernelTime, fastest_quarter
from webdnn.peaks import Peaks


def _conv_relu_model() -> onnx.ModelProto:
    weight = np.arange(4 * 3 * 3 * 3, dtype=np.float32).reshape(4, 3, 3, 3)
    nodes = [
        helper.make_node(
            "Conv",
            ["x", "w"],
            ["y"],
            name="conv",
            kernel_shape=[3, 3],
            pads=[1, 1, 1, 1],
            strides=[2, 2],
            dilations=[1, 1],
            group=1,
        ),
        helper.make_node(
            "BatchNormalization", ["y", "g", "b", "m", "v"], ["n"], name="norm", epsilon=0.0
        ),
        helper.make_node("Relu", ["n"], ["z"], name="relu"),
    ]
    statistics = {"g": 2.0, "b": 1.0, "m": 3.0, "v": 4.0}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 8, 6))],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, (1, 4, 4, 3))],
        [
            numpy_helper.from_array(weight, "w"),
            *(
                numpy_helper.from_array(np.full(4, value, np.float32), name)
                for name, value in statistics.items()
            ),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])


def test_a_ratio_is_taken_within_the_rounds() -> None:
    # the machine became three times slower half way; the ratio stayed at 2
    assert paired_ratio([2, 2, 6, 6], [1, 1, 3, 3]) == 2
    assert geometric_mean([1, 4]) == pytest.approx(2)
    assert Summary.of([4, 1, 3, 2, 5]) == Summary(3, 2, 4, 5)


def test_multiply_adds_of_a_model() -> None:
    assert count_macs(_conv_relu_model()) == (4 * 4 * 3) * (3 * 3 * 3)


def test_the_fastest_quarter_of_samples() -> None:
    samples = np.array([[3.0, 9.0], [1.0, 1.0], [2.0, 5.0], [4.0, 9.0], [5.0, 9.0]])
    assert fastest_quarter(samples).tolist() == [1.5, 3.0]


def test_tensorflow_program_folds_batch_norm_and_activation(tmp_path: Path) -> None:
    onnx.save(_conv_relu_model(), tmp_path / "model.onnx")
    write_program(tmp_path / "model.onnx", tmp_path)
    program = json.loads((tmp_path / "program.json").read_text())
    (step,) = program["steps"]
    assert (step["op"], step["attributes"]["activation"]) == ("conv2d", "relu")
    assert step["attributes"]["pad"] == [[0, 0], [1, 1], [1, 1], [0, 0]]
    assert program["inputs"] == [
        {"name": "x", "dtype": "float32", "shape": [1, 3, 8, 6], "channelsLast": True}
    ]
    assert program["outputs"] == ["z"] == [step["output"]]
    filters, bias = program["weights"]
    assert filters["shape"] == [3, 3, 3, 4]
    data = np.fromfile(tmp_path / "weights.bin", np.float32)
    np.testing.assert_array_equal(data[bias["offset"] // 4 :], np.full(4, -2.0))
    weight = np.arange(108, dtype=np.float32).reshape(4, 3, 3, 3).transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(data[: bias["offset"] // 4], weight.ravel())


def test_tensorflow_program_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Sin", ["x"], ["y"], name="wave")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (2,))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (2,))],
    )
    onnx.save(helper.make_model(graph), tmp_path / "model.onnx")
    with pytest.raises(NotImplementedError, match="wave: Sin"):
        write_program(tmp_path / "model.onnx", tmp_path)


def test_gelu_is_one_step_for_tensorflow_lite() -> None:
    def step(op: str, inputs: list[str], output: str) -> dict[str, Any]:
        return {"op": op, "inputs": inputs, "output": output, "attributes": {}, "release": []}

    before, after = step("relu", ["a"], "x"), step("relu", ["z"], "b")
    gelu = [
        step("div", ["x", "sqrt_two"], "d"),
        step("erf", ["d"], "e"),
        step("add", ["e", "one"], "s"),
        step("mul", ["x", "s"], "m"),
        step("mul", ["m", "half"], "z"),
    ]
    assert with_gelu([before, *gelu, after]) == [before, step("gelu", ["x"], "z"), after]
    read_twice = [*gelu, step("relu", ["e"], "b")]
    assert with_gelu(read_twice) == read_twice


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pad", "expected"),
    [
        (56, 3, 1, [1, 1], "SAME"),
        (224, 3, 2, [1, 1], "VALID"),  # SAME would be [0, 1]
        (224, 3, 2, [0, 1], "SAME"),
        (225, 3, 2, [1, 1], "SAME"),
        (224, 7, 2, [3, 3], "VALID"),
    ],
)
def test_padding_is_same_where_it_means_the_same(
    size: int, kernel: int, stride: int, pad: list[int], expected: str
) -> None:
    x = SimpleNamespace(shape=[1, size, size, 8])
    tensorflow = SimpleNamespace(pad=lambda x, pad, constant_values: ("padded", pad))
    attributes = {"pad": [[0, 0], pad, pad, [0, 0]], "strides": [stride, stride]}
    y, name = padded(tensorflow, x, [kernel, kernel], attributes)
    assert name == expected
    assert y == (x if expected == "SAME" else ("padded", attributes["pad"]))


def test_markdown_of_a_table() -> None:
    table = ResultTable("Title", ["a", "b"], [["1", "2"]], ["a note"])
    assert table.markdown() == "### Title\n\n| a | b |\n| --- | ---: |\n| 1 | 2 |\n\na note\n"


def test_sizes_of_a_product_are_parsed() -> None:
    assert gemm("127x129x131") == Gemm(127, 129, 131)
    for text in ("3x4", "3x4x5x6", "axbxc"):
        with pytest.raises(ValueError):
            gemm(text)


def test_roofline_chart() -> None:
    kernels = [
        KernelTime("product", 2, 3.0, 2 * 10**8, 10**6, ["a"]),
        KernelTime("copy", 1, 1.0, 0, 10**6, ["b"]),  # has no operations, so no place
        KernelTime("add", 1, 1.0, 10**6, 12 * 10**6, ["c"]),
    ]
    peaks = Peaks(57.0, {1 << 18: 90.0, 1 << 28: 17.0})
    profile = KernelProfile("a<b", "Chromium", 5.0, kernels)
    drawn = chart([profile], peaks)
    assert chart([profile], peaks) == drawn
    svg = "{http://www.w3.org/2000/svg}"
    root = ElementTree.fromstring(drawn)
    (dots,) = (group for group in root.iter(f"{svg}g") if group.get("id") == "a<b")
    assert len(list(dots.iter(f"{svg}path"))) == 2
    texts = [element.text for element in root.iter(f"{svg}text")]
    assert {"a<b", "90 GB/s (256 KiB)", "17 GB/s (256 MiB)"} <= set(texts)
    assert kernels[0].gflops == pytest.approx(200 / 3)
    assert kernels[0].share_of_roofline(peaks) > 1
    assert kernels[2].share_of_roofline(peaks) == pytest.approx(12e6 / 17e6)
