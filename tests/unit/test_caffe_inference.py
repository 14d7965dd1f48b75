"""What is left of a Caffe network at inference, and what its blobs and layers are called then."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.caffe_arithmetic import Net
from tests.unit.caffe_models import (
    CONV,
    TRAINING,
    X,
    layer,
    made,
    random_inputs,
    run_onnx,
    trained,
    write,
)
from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.caffe.convert import convert


def test_networks_for_training(tmp_path: Path) -> None:
    """The losses go, the softmax of one stays; what is read from a data base is an input."""
    network, weights = write(tmp_path, TRAINING, made(CONV).weights)
    for files in ((network, weights), (weights, network)):
        model = convert(*files, shapes={"x": [1, 2, 5, 4]})
        assert [value.name for value in model.graph.input] == ["x"]
        assert [value.name for value in model.graph.output] == ["prob"]
        assert [node.name for node in model.graph.node] == ["y", "loss"]
    with pytest.raises(WebDNNError, match="the size of an input is not known") as error:
        convert(network, weights)
    assert "--shape x=1,3,29,29" in str(error.value)


def test_a_trained_network_alone_was_filtered_when_it_was_saved(tmp_path: Path) -> None:
    net = Net(TRAINING)
    del net.net.layer[1]
    (tmp_path / "m.caffemodel").write_bytes(
        trained(net.net, made(CONV).weights).SerializeToString()
    )
    model = convert(tmp_path / "m.caffemodel", shapes={"x": [1, 2, 5, 4]})
    names = {value.name for value in model.graph.output}
    assert {"prob", "extra"} <= names


def test_stages(tmp_path: Path) -> None:
    network, weights = write(tmp_path, 'state { stage: "deploy" }' + TRAINING, made(CONV).weights)
    model = convert(network, weights, shapes={"x": [1, 2, 5, 4]})
    assert [value.name for value in model.graph.output] == ["staged", "prob"]


def test_silent_blobs_are_no_outputs(tmp_path: Path) -> None:
    text = X + layer("Slice", "x", "a b") + layer("Silence", "b", "") + layer("TanH", "a", "y")
    network, _ = write(tmp_path, text, {})
    assert [value.name for value in convert(network).graph.output] == ["y"]


def test_names(tmp_path: Path) -> None:
    """Blobs that are written in place keep their name where that is last; nodes are called like their layers."""
    text = (
        CONV
        + layer("BatchNorm", "y", "y", "", "norm")
        + layer("ReLU", "y", "y", "", "relu")
        + layer("Dropout", "y", "y", "", "drop")
        + layer("Split", "y", "a b", "", "split")
        + layer("Power", "a", "a", "power_param { power: 2 scale: 3 }", "power")
    )
    net = made(text)
    model = convert(*write(tmp_path, text, net.weights))
    assert [value.name for value in model.graph.output] == ["b", "a"]
    assert [node.name for node in model.graph.node] == [
        "y",
        "norm",
        "relu",
        "power/Mul",
        "power/Pow",
        "b/Identity",
    ]
    assert model.graph.node[2].output[0] == "y"


def test_an_input_that_is_written_in_place_keeps_its_name(tmp_path: Path) -> None:
    text = X + layer("Power", "x", "x", "power_param { scale: 2 }", "twice")
    network, _ = write(tmp_path, text, {})
    model = convert(network)
    assert model.graph.input[0].name == "x"
    x = random_inputs(Net(X).net)["x"]
    (y,) = run_onnx(model, {"x": x}).values()
    np.testing.assert_allclose(y, 2 * x)
