"""Models that Chainer 7.8.1 exported (its `onnx_chainer`, opsets 7 to 11), against what it computed itself.

Each folder of the archive is what `export_testcase` writes. `cnn` has Convolution2D, BatchNormalization, dropout, a
pooling that covers all, dilation, PReLU, unpooling, Deconvolution2D, LRN and Linear; `gru` is NStepGRU of two layers;
`embed` EmbedID.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import webdnn
from webdnn.dialects.dtypes import Array

MODELS = Path(__file__).with_name("chainer_models.zip")
BOTH = ("cnn-7", "cnn-11", "gru-11")
"""Those that run on both back ends; the others run on one."""


def _tensors(archive: zipfile.ZipFile, folder: str, kind: str) -> dict[str, Array]:
    names = sorted(
        n for n in archive.namelist() if n.startswith(f"{folder}/test_data_set_0/{kind}")
    )
    tensors = [onnx.TensorProto.FromString(archive.read(name)) for name in names]
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in tensors}


def _folders() -> list[str]:
    with zipfile.ZipFile(MODELS) as archive:
        return sorted({name.partition("/")[0] for name in archive.namelist()})


@pytest.mark.parametrize("folder", _folders())
def test_models(folder: str) -> None:
    with zipfile.ZipFile(MODELS) as archive:
        model = archive.read(f"{folder}/model.onnx")
        inputs = _tensors(archive, folder, "input")
        outputs = _tensors(archive, folder, "output")
    both = folder in BOTH
    target: Any = "both" if both else "wasm"
    package = webdnn.compile(model, target=target)
    assert [tensor["name"] for tensor in package.manifest["inputs"]] == [*inputs]
    for engine in ("wasmtime", "wgpu") if both else ("wasmtime",):
        found = package.run(inputs, engine=engine)
        assert [*found] == [*outputs]
        for name, expected in outputs.items():
            assert found[name].dtype == expected.dtype
            np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("opset", [7, 8, 9, 13])
def test_a_normalisation_that_trains_is_refused(opset: int) -> None:
    """As older versions exported it in training mode: with the statistics of the batch, which ONNX defines so."""
    outputs = ", ".join(["y", *(f"BatchNormalization_0_{i}" for i in range(1, 5))])
    model = onnx.parser.parse_model(
        f"""<ir_version: 4, opset_import: ["" : {opset}]> g (float[1, 3, 4, 4] Input_0) => (float[1, 3, 4, 4] y)
        <float[3] s = {{1, 2, 3}}, float[3] v = {{1, 1, 1}}>
        {{ {outputs} = BatchNormalization (Input_0, s, s, s, v) }}"""
    )
    model.graph.node[0].name = "BatchNormalization_0"
    with pytest.raises(webdnn.WebDNNError) as raised:
        webdnn.compile(model)
    message = str(raised.value)
    assert "'BatchNormalization_0'" in message and "export the model for inference" in message
