"""A model of any framework becomes one that the ONNX front end reads."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from onnx import ModelProto

from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.caffe.convert import convert as convert_caffe
from webdnn.frontends.conversion.keras import KERAS
from webdnn.frontends.conversion.process import Job, run
from webdnn.frontends.conversion.pytorch import PYTORCH, export_module
from webdnn.frontends.download import file_name, is_address
from webdnn.frontends.formats import CAFFE, SAVED_MODEL, Format, recognise_file, recognise_folder
from webdnn.frontends.onnx.binding import Shapes
from webdnn.frontends.onnx.dimensions import Dims

OnnxModel = str | Path | bytes | ModelProto
"""What the ONNX front end reads: a path, the bytes of a file, or a message."""

_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
"""`package.module:function`, as entry points are written."""
_LIKE_FUNCTION = re.compile(r"[\w.]*:[\w.]*(\(.*\))?")
"""What is meant so, and is not."""
_SAVED_MODEL_FILE = "saved_model.pb"
"""What a SavedModel's graph is called in its folder; as text `.pbtxt`."""


@dataclass(frozen=True)
class Conversion:
    """What a conversion needs to know beside the model.

    Attributes:
        shapes: sizes of inputs, by their names or in their order.
        custom_objects: a Python file that defines the layers and functions which a Keras model only names.
        example_inputs: the arguments of a PyTorch module, as tensors.
        caffe_weights: the other file of a Caffe model, where it does not lie beside the first.
        dims: what names of dimensions stand for.
    """

    shapes: Shapes = ()
    custom_objects: str | Path | None = None
    example_inputs: Sequence[Any] = ()
    caffe_weights: str | Path | None = None
    dims: Dims = field(default_factory=dict[str, int | str])


@contextmanager
def as_onnx(model: Any, conversion: Conversion) -> Generator[OnnxModel, None, None]:
    """The model as ONNX, for as long as the context lasts: itself, or a file that it was converted to.

    Args:
        model: what `OnnxModel` says; the path of a Keras, TensorFlow or PyTorch model; `package.module:function` of a
            function that makes a PyTorch module; or a PyTorch module. What `local_model` takes is to be given to it
            first.

    Raises:
        WebDNNError: it cannot be converted, or what converts it is not installed.
    """
    is_module = _is_torch_module(model)
    found = None if is_module else _format(model)
    _check_options(model, found, is_module, conversion)
    if found is CAFFE:
        yield _from_caffe(Path(model), conversion)
        return
    converter = found.converter if found is not None else None
    if not is_module and converter is None:
        yield model
        return
    with tempfile.TemporaryDirectory(prefix="webdnn-model-", ignore_cleanup_errors=True) as folder:
        output = Path(folder) / f"{model_name(model)}.onnx"
        if converter is not None:
            run(converter, _job(model, output, conversion))
        else:
            if not conversion.example_inputs:
                raise WebDNNError(
                    "a PyTorch module is exported by running it",
                    where=type(model).__name__,
                    hint="give example_inputs=(tensor, ...), the arguments of its forward",
                )
            export_module(model, conversion.example_inputs, output)
        yield output


def model_name(model: Any) -> str | None:
    """What a model is called: by its file, its function or its class; None where none of them says it."""
    if isinstance(model, str) and _is_function(model):
        return model.rpartition(":")[2].rpartition(".")[2]
    if isinstance(model, str | Path):
        return Path(file_name(str(model)) if is_address(model) else model).absolute().stem
    return type(model).__name__ if _is_torch_module(model) else None


def _is_torch_module(model: Any) -> bool:
    torch = sys.modules.get("torch")  # who has a module has imported it
    return torch is not None and isinstance(model, torch.nn.Module)


def _is_function(model: str) -> bool:
    return _FUNCTION.fullmatch(model) is not None and not Path(model).exists()


def _format(model: Any) -> Format | None:
    """What a model is; None for ONNX, and for what nobody knows, which the ONNX front end refuses."""
    if not isinstance(model, str | Path):
        return None
    if isinstance(model, str) and _is_function(model):
        return Format("a function that makes a PyTorch module", "", PYTORCH)
    path = Path(model)
    if path.is_dir():
        return recognise_folder(path)
    if not path.is_file():
        if isinstance(model, str) and _LIKE_FUNCTION.fullmatch(model) and not path.exists():
            raise WebDNNError(
                "there is no such model file, and this is not how a function is named",
                where=model,
                hint="write package.module:function, without .py and without parentheses",
            )
        return None
    found = recognise_file(path)
    if found is SAVED_MODEL and not path.name.startswith(_SAVED_MODEL_FILE):
        raise WebDNNError(
            "this is the graph of a TensorFlow SavedModel, without the model's folder",
            where=str(path),
            hint="give the folder that holds saved_model.pb and variables",
        )
    if found is None and path.suffix == ".py":
        raise WebDNNError(
            "a Python file is no model",
            where=str(path),
            hint=f"name a function in it that makes a PyTorch module: {path.stem}:make",
        )
    return found


def _check_options(
    model: Any, found: Format | None, is_module: bool, conversion: Conversion
) -> None:
    """What is given for models of one framework must not be lost on one of another."""
    if found is None and isinstance(model, str | Path) and not Path(model).exists():
        return  # reading it says so
    is_keras = found is not None and found.converter is KERAS
    options = (
        (conversion.custom_objects, "custom objects", is_keras, "Keras models", _CUSTOM_OPS_HINT),
        (conversion.caffe_weights, "Caffe weights", found is CAFFE, "Caffe models", "leave them out"),
        (conversion.example_inputs or None, "example inputs", is_module, "PyTorch modules", "leave them out"),
    )  # fmt: skip
    for given, what, is_meant, kind, hint in options:
        if given is not None and not is_meant:
            is_path = isinstance(model, str | Path)
            raise WebDNNError(
                f"{what} are given for a model that takes none",
                where=[
                    *([str(model)] if is_path else []),
                    *([str(given)] if what != "example inputs" else []),
                ],
                why=f"they are for {kind}, and this is {found.name if found is not None else 'none'}",
                hint=hint,
            )


_CUSTOM_OPS_HINT = (
    "leave them out; operators that ONNX does not define are given as custom_ops (--custom-ops)"
)


def _shapes(conversion: Conversion) -> tuple[Mapping[str, Sequence[int]], Sequence[Sequence[int]]]:
    """The sizes that a conversion is done for, by name and in the order of the inputs: all but those that vary."""
    shapes = conversion.shapes
    if isinstance(shapes, Mapping):
        return {name: sizes for name, sizes in shapes.items() if _is_fixed(sizes)}, ()
    fixed = [sizes for sizes in shapes if _is_fixed(sizes)]
    if len(fixed) < len(shapes):
        raise WebDNNError(
            "sizes that vary are given without the names of their inputs",
            hint="give them by name: --shape NAME=1,3,h:64..1024,w:64..1024 (in Python shapes={NAME: [...]})",
        )
    return {}, fixed


def _is_fixed(sizes: Sequence[int | str]) -> TypeGuard[Sequence[int]]:
    return all(isinstance(size, int) for size in sizes)


def _from_caffe(path: Path, conversion: Conversion) -> ModelProto:
    named, in_order = _shapes(conversion)
    weights = conversion.caffe_weights
    return convert_caffe(
        path, None if weights is None else Path(weights), shapes=named, shapes_in_order=in_order
    )


def _job(model: str | Path, output: Path, conversion: Conversion) -> Job:
    named, in_order = _shapes(conversion)
    is_saved_model = Path(model).name.startswith(_SAVED_MODEL_FILE)
    custom = conversion.custom_objects
    return Job(
        str(Path(model).parent if is_saved_model else model),
        str(output),
        {name: list(sizes) for name, sizes in named.items()},
        [list(sizes) for sizes in in_order],
        None if custom is None else str(custom),
    )
