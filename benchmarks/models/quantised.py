"""Networks of this folder in 8 bits, as ONNX Runtime's own tool makes them (`onnxruntime.quantization`).

`resnet50_int8` is quantised statically: QuantizeLinear and DequantizeLinear around each operator, ui8 activations, i8
weights with a scale per output channel, ranges from pictures. `minilm_int8` is quantised dynamically: the weights of
dense layers are i8, the range of each activation is found at run time (DynamicQuantizeLinear, MatMulInteger).
"""

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

Arrays = dict[str, NDArray[np.float32]]


class _Reader(CalibrationDataReader):
    def __init__(self, samples: Iterator[Arrays]) -> None:
        self._samples = samples

    def get_next(self) -> Any:
        return next(self._samples, None)


def calibration(image: NDArray[np.float32]) -> Iterator[Arrays]:
    """A picture, its mirror images, and darker and lighter ones."""
    for gain in (0.6, 1.0, 1.3):
        for flipped in (image, image[..., ::-1], image[..., ::-1, :]):
            yield {"image": np.ascontiguousarray(flipped * np.float32(gain))}


def _quantise(model: onnx.ModelProto, image: NDArray[np.float32] | None) -> onnx.ModelProto:
    logging.getLogger().setLevel(logging.ERROR)  # the tool recommends itself what has been done
    with tempfile.TemporaryDirectory() as directory:
        source, prepared, result = (Path(directory) / f"{n}.onnx" for n in ("a", "b", "c"))
        onnx.save(model, source)
        if image is None:
            quantize_dynamic(source, result, weight_type=QuantType.QInt8, per_channel=True)
        else:
            quant_pre_process(
                source, prepared, skip_symbolic_shape=True
            )  # folds batch normalisation
            quantize_static(
                prepared,
                result,
                _Reader(calibration(image)),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        return onnx.load(result)


def quantise_static(model: onnx.ModelProto, image: NDArray[np.float32]) -> onnx.ModelProto:
    """QDQ format, calibrated on `calibration(image)`."""
    return _quantise(model, image)


def quantise_dynamic(model: onnx.ModelProto) -> onnx.ModelProto:
    """Dense layers on integers, with the ranges of activations found at run time."""
    return _quantise(model, None)
