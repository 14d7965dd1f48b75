"""A model of any framework, from wherever it is, as IR."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from webdnn.custom_operators import CustomOperator, operator_classes
from webdnn.dialects.errors import internal_errors
from webdnn.frontends.local_files import local_model
from webdnn.frontends.models import Conversion, as_onnx
from webdnn.frontends.onnx import load
from webdnn.frontends.onnx.binding import Shapes
from webdnn.frontends.onnx.importer import ImportedModel
from webdnn.frontends.onnx.source import Source, read
from webdnn.frontends.onnx.values import InputValue
from webdnn.lowering.onnx_to_nn.registry import inlined_operators
from webdnn.progress import Progress


@contextmanager
def imported_model(
    model: Any,
    conversion: Conversion,
    *,
    bind: Callable[[Source], Shapes] | None = None,
    values: Mapping[str, InputValue] | None = None,
    operators: Sequence[CustomOperator] = (),
    progress: Progress | None = None,
) -> Generator[ImportedModel, None, None]:
    """A model as IR, for as long as the context lasts: weights are read where they are needed.

    Args:
        model: ONNX, or what `webdnn.convert` takes.
        conversion: what to know beside it.
        bind: the sizes of its inputs, which depend on what was read; without it they are those of `conversion`.
        values: values of inputs, which become constants.
        operators: those that it may use beside ONNX's own.
        progress: shows how far a download is.

    Raises:
        WebDNNError: the model cannot be had, converted or imported.
    """
    with local_model(model, progress) as local, as_onnx(local, conversion) as onnx_model:
        with internal_errors("read the model"):
            source = read(onnx_model)
            shapes = conversion.shapes if bind is None else bind(source)
        imported = load(
            source,
            shapes,
            values=values,
            dims=conversion.dims,
            inline=inlined_operators(),
            operators=operator_classes(operators),
        )
        for note in imported.assumed:
            warnings.warn(note, stacklevel=3)
        yield imported
