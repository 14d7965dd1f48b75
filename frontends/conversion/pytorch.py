"""PyTorch models to ONNX, by PyTorch's own exporter: `.pt2` files, functions that make a module, modules in Python."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.foreign_code import foreign_errors, reason
from webdnn.frontends.conversion.process import Converter, Job, main, user_code

PYTORCH = Converter("PyTorch", __name__, "torch", ("torch", "onnxscript"))


def convert(job: Job) -> None:
    """Export the program of a `.pt2` file, or what a function `package.module:factory` makes.

    A factory returns a module, or a module and its example inputs, or also the `dynamic_shapes` of `torch.export`.
    Without example inputs these are random floats of the shapes of the job.

    Raises:
        WebDNNError: there is no such file or function, or PyTorch cannot export it.
    """
    path = Path(job.model)
    if path.exists():
        _export(_program(path), (), None, job)
        return
    with user_code("the module of the function"):
        factory = _factory(job.model)
    what = "the function that makes the module"
    with user_code(what), foreign_errors(what, factory, [job.model]):
        made = factory()
    parts: list[Any] = list(made) if isinstance(made, tuple) else [made]
    module, *rest = parts or [None]
    torch: Any = importlib.import_module("torch")
    if not isinstance(module, torch.nn.Module):
        raise WebDNNError(
            f"the function gives {_described(module)}, not a module",
            where=job.model,
            hint="let it return an nn.Module, or (module, (example_input, ...))",
        )
    if rest:
        inputs = rest[0] if isinstance(rest[0], tuple | list) else (rest[0],)
    elif job.shapes_in_order:
        inputs = [torch.rand(shape) for shape in job.shapes_in_order]
    else:
        raise WebDNNError(
            "the sizes of the module's inputs are not known",
            where=job.model,
            hint="give --input-shape for each of them, or let the function return (module, (example_input, ...))",
        )
    _export(module.eval(), tuple(inputs), rest[1] if len(rest) > 1 else None, job)


def _described(value: Any) -> str:
    if value is None:
        return "nothing"
    return f"the class {value.__name__}" if isinstance(value, type) else f"'{type(value).__name__}'"


def export_module(module: Any, example_inputs: Sequence[Any], output: Path) -> None:
    """Export an `nn.Module` of this process.

    Args:
        module: it is exported as it is in evaluation mode, and has its own mode again afterwards.
        example_inputs: the arguments of `forward`; tensors.

    Raises:
        WebDNNError: PyTorch cannot export it.
    """
    training = module.training
    try:
        job = Job(type(module).__name__, str(output))
        _export(module.eval(), tuple(example_inputs), None, job)
    finally:
        module.train(training)


def _export(program: Any, inputs: tuple[Any, ...], dynamic_shapes: Any, job: Job) -> None:
    torch: Any = importlib.import_module("torch")
    try:
        exported = torch.onnx.export(
            program, inputs, dynamo=True, dynamic_shapes=dynamic_shapes, verbose=False
        )
        exported.save(job.output)
    except Exception as error:  # the exporter raises whatever what it calls raises
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        said = str(cause).strip().splitlines()
        raise WebDNNError(
            "PyTorch cannot export the model to ONNX",
            where=job.model,
            why=f"{type(cause).__name__}: {said[0] if said else ''}",
            hint="torch.onnx.export(..., dynamo=True, report=True) writes a report of what it met",
        ) from error


def _program(path: Path) -> Any:
    torch: Any = importlib.import_module("torch")
    if not zipfile.is_zipfile(path):
        raise WebDNNError("this is not an exported program of PyTorch", where=str(path))
    try:
        return torch.export.load(str(path))
    except Exception as error:
        raise WebDNNError(
            "PyTorch cannot load the exported program",
            where=str(path),
            why=str(error).strip().split("\n")[0],
            hint=f"it was read by PyTorch {torch.__version__}; save it again with torch.export.save",
        ) from error


def _factory(name: str) -> Any:
    module_name, _, attribute = name.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        ours = (__file__, importlib.__file__)
        frames = traceback.extract_tb(error.__traceback__)
        theirs = [f for f in frames if f.filename not in ours and Path(f.filename).is_file()]
        raise WebDNNError(
            "the module cannot be imported",
            where=[module_name, *(f"{f.filename}:{f.lineno}" for f in theirs[-1:])],
            why=reason(error),
        ) from error
    found: Any = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise WebDNNError(
            f"the module has no function {attribute}",
            where=module_name,
            hint="name it as package.module:function",
        )
    return found


if __name__ == "__main__":
    main(convert)
