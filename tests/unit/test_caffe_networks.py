"""Public networks of Caffe, converted and compiled, against Caffe's arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import webdnn
from tests.tolerances import MODEL_TOLERANCE, relative_error
from tests.unit.caffe_arithmetic import Net
from tests.unit.caffe_models import check, random_inputs, write
from tests.unit.caffe_networks import NETWORKS, squeezenet, ssd
from webdnn.frontends.caffe.convert import convert


@pytest.mark.parametrize("name", NETWORKS)
def test_narrow_networks(tmp_path: Path, name: str) -> None:
    check(tmp_path, NETWORKS[name](8), tolerance=MODEL_TOLERANCE)


@pytest.mark.nightly
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(tmp_path: Path, name: str) -> None:
    check(tmp_path, NETWORKS[name](1), tolerance=MODEL_TOLERANCE)


def compiled(folder: Path, text: str) -> None:
    """Compile a network with random trained numbers, and compare what it computes with Caffe's arithmetic."""
    net = Net(text)
    inputs = random_inputs(net.net)
    expected = net.run(inputs)
    model = convert(*write(folder, text, net.weights))
    results = webdnn.compile(model, target="wasm", threads=False).run(inputs)
    for name, result in results.items():
        assert relative_error(result, expected[name].astype(np.float32)) <= MODEL_TOLERANCE, name


def test_a_compiled_network(tmp_path: Path) -> None:
    compiled(tmp_path, squeezenet(16))


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["resnet50", "googlenet", "ssd"])
def test_compiled_networks(tmp_path: Path, name: str) -> None:
    text = ssd(4, detections=False) if name == "ssd" else NETWORKS[name](4)
    compiled(tmp_path, text)
