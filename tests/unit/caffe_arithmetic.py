"""What Caffe computes, in numpy and straight from the definitions of its layers, without the converter's code.

Trained numbers are made up as the layers come: each layer here knows the shapes of its blobs, as Caffe's layers do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf import text_format

from tests.unit import (
    caffe_boxes,
    caffe_elements,
    caffe_moves,
    caffe_sequences,
    caffe_windows,
)
from tests.unit.caffe_blobs import Array, Blobs, Weights
from webdnn.frontends.caffe.schema import NetParameter

LAYERS = {
    **caffe_boxes.LAYERS,
    **caffe_elements.LAYERS,
    **caffe_moves.LAYERS,
    **caffe_sequences.LAYERS,
    **caffe_windows.LAYERS,
}


class Net:
    """A network given as text (layers of Caffe 1.0), with random trained numbers.

    Attributes:
        net: the NetParameter.
        weights: the blobs of each layer, once `run` has made them.
    """

    def __init__(self, text: str, seed: int = 0) -> None:
        self.net: Any = text_format.Parse(text, NetParameter(), allow_unknown_field=True)
        self.weights: Weights = {}
        self._rng = np.random.default_rng(seed)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All blobs at the end of a forward pass, in 64-bit floats."""
        blobs = {name: array.astype(np.float64) for name, array in inputs.items()}
        for layer in self.net.layer:
            if layer.type == "Input":
                continue
            bottoms = [blobs[name] for name in layer.bottom]
            tops = LAYERS[layer.type](
                layer, bottoms, Blobs(self.weights.setdefault(layer.name, []), self._rng)
            )
            blobs.update(zip(layer.top, tops, strict=True))
        return blobs
