"""The test models themselves: valid, sized as published, and with results that can tell right from wrong."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from benchmarks.cache import cached_dir, digest
from benchmarks.macs import count_macs
from benchmarks.models import MODELS
from benchmarks.models.weights import RandomWeights
from tests.models import LIGHT_MODELS, PACKAGE_MODELS, model_case, reference
from webdnn.dialects.errors import WebDNNError
from webdnn.wheels import wheel_files

# the largest are built and run by the benchmarks and the end-to-end tests
LARGE = {"vgg19", "bvlc_alexnet", "zfnet512"}
SMALL = [
    *(f"light_{name}" for name in LIGHT_MODELS if name not in LARGE),
    *PACKAGE_MODELS,
    *("resnet50", "inception_v3", "mobilenetv2", "squeezenet", "minilm"),
]


@pytest.mark.parametrize("name", SMALL)
def test_results_are_meaningful(name: str) -> None:
    case = model_case(name)
    outputs = reference(case)
    assert outputs
    for array in outputs.values():
        assert np.isfinite(array).all()
        assert array.std() > 1e-5
        assert len(np.unique(array)) > min(array.size, 100) // 2


@pytest.mark.parametrize(
    "name", ["resnet50", "inception_v3", "mobilenetv2", "squeezenet", "minilm"]
)
def test_multiply_adds_are_as_published(name: str) -> None:
    model = onnx.load(MODELS[name].path(), load_external_data=False)
    assert round(count_macs(model) / 1e9, 2) == MODELS[name].gmacs


def test_batch_normalisation_is_left_to_the_compiler() -> None:
    model = onnx.load(MODELS["resnet50"].path())
    assert sum(node.op_type == "BatchNormalization" for node in model.graph.node) == 53


def test_inputs_are_the_same_each_time() -> None:
    for name in ("magika", "basic_pitch", "rapidocr_rec", "mobilenetv2", "minilm"):
        case = model_case(name)
        first, second = case.inputs(), case.inputs()
        assert first.keys() == second.keys() == case.shapes.keys()
        for key, array in first.items():
            assert array.tobytes() == second[key].tobytes()
            assert array.shape == case.shapes[key]


def test_weights_depend_on_their_name_and_not_on_the_order() -> None:
    forth, back = RandomWeights(), RandomWeights()
    a, b = forth.he_normal("a", (8, 4), 4), forth.he_normal("b", (8, 4), 4)
    np.testing.assert_array_equal(back.he_normal("b", (8, 4), 4), b)
    np.testing.assert_array_equal(back.he_normal("a", (8, 4), 4), a)
    assert not np.array_equal(a, b)
    wide = forth.he_normal("wide", (1000, 1000), 1000)
    assert abs(wide.std() - (2 / 1000) ** 0.5) < 1e-3


@pytest.mark.parametrize(("transposed", "weight"), [(0, (5, 7)), (1, (7, 5))])
def test_multiply_adds_of_gemm(transposed: int, weight: tuple[int, int]) -> None:
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transB=transposed)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (3, 5))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (3, 7))],
        [helper.make_tensor("w", TensorProto.FLOAT, weight, [0.0] * 35)],
    )
    assert count_macs(helper.make_model(graph)) == 3 * 5 * 7


def test_a_package_that_cannot_be_had_is_a_clear_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WEBDNN_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(WebDNNError, match=r"magika==1\.0\.3"):
        wheel_files("magika", "1.0.3", (".onnx",))
    assert not list((tmp_path / "wheels").iterdir())


def test_a_directory_of_the_cache_is_whole_or_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WEBDNN_CACHE_DIR", str(tmp_path))

    def fail(directory: Path) -> None:
        (directory / "half").write_text("half")
        raise ValueError("interrupted")

    with pytest.raises(ValueError, match="interrupted"):
        cached_dir("kind", "key", fail)
    assert not list((tmp_path / "kind").iterdir())
    made = cached_dir("kind", "key", lambda directory: (directory / "whole").touch())
    assert [path.name for path in made.iterdir()] == ["whole"]
    assert cached_dir("kind", "key", fail) == made


def test_digest_tells_parts_apart(tmp_path: Path) -> None:
    assert digest("ab", "c") != digest("a", "bc")
    file = tmp_path / "file"
    file.write_text("one")
    before = digest(file)
    file.write_text("two")
    assert digest(file) != before
