"""One function a type of layer: from a `Layer` to the blobs that it makes, in the order of its tops."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from webdnn.frontends.caffe.graph import Blob, Layer
from webdnn.frontends.caffe.layers import (
    arithmetic,
    convolution,
    detection,
    elementwise,
    normalisation,
    pooling,
    recurrent,
    reduction,
    shapes,
)

Handler = Callable[[Layer, Any], list[Blob]]

HANDLERS: Mapping[str, tuple[str, Handler]] = {
    **arithmetic.HANDLERS,
    **convolution.HANDLERS,
    **detection.HANDLERS,
    **elementwise.HANDLERS,
    **normalisation.HANDLERS,
    **pooling.HANDLERS,
    **recurrent.HANDLERS,
    **reduction.HANDLERS,
    **shapes.HANDLERS,
}
"""The field with the parameters of a type (`""` where it has none), and its function, which gets them."""

__all__ = ["HANDLERS", "Handler"]
