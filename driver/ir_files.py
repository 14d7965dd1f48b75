"""Modules from files and to files, at any stage, with their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser
from xdsl.utils.exceptions import ParseError, VerifyException

from webdnn.array_files import read_archive, write_archive
from webdnn.dialects import kernel, plan
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.weight_store import WeightStore, attach_weights
from webdnn.frontends.onnx import load
from webdnn.frontends.onnx.values import InputValue
from webdnn.lowering.onnx_to_nn.registry import inlined_operators


def stage_of(module: ModuleOp) -> str:
    """The stage that a module is at, by what it holds."""
    names: set[str] = set()
    for op in module.walk():
        if isinstance(op, kernel.FuncOp):
            names.add("kernel.func lowered" if op.is_lowered else "kernel.func")
        names.add(op.name.partition(".")[0])
        if isinstance(op, kernel.RegionOp | plan.ProgramOp):
            names.add(op.name)
    if "llvm" in names or any("wgsl.bindings" in op.attributes for op in module.ops):
        return "target"
    if "kernel.func lowered" in names or "plan.program" in names:
        return "loops"
    if "kernel.func" in names:
        return "kernels"
    if "kernel.region" in names:
        return "linalg"
    return "onnx" if "onnx" in names else "nn"


def read_weights(path: Path) -> WeightStore:
    """The arrays of an `.npz` file, or of an ONNX model.

    Raises:
        WebDNNError: the file is missing or is neither.
    """
    if path.suffix == ".onnx":
        return load(path, inline=inlined_operators()).weights
    return WeightStore(read_archive(path))


def write_weights(weights: WeightStore, path: Path) -> None:
    """Write the arrays as `.npz`."""
    write_archive(weights, path)


def read_module(
    path: str | Path,
    ctx: Context,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    values: Mapping[str, InputValue] | None = None,
    weights: Path | None = None,
) -> tuple[ModuleOp, WeightStore]:
    """A module at whatever stage the file holds: an ONNX model, or IR as text.

    Args:
        path: `.onnx`, or `.mlir` of any stage.
        ctx: knows the dialects.
        shapes: sizes of a model's inputs.
        values: values of a model's inputs, which become constants.
        weights: where the arrays are that the handles of an `.mlir` name.

    Raises:
        WebDNNError: the file is missing, or does not parse or verify.
    """
    path = Path(path)
    if path.suffix != ".mlir":
        imported = load(path, shapes, values=values, inline=inlined_operators())
        module, store = imported.module, imported.weights
    else:
        try:
            text = path.read_text()
            module = Parser(ctx, text, str(path)).parse_module()
            module.verify()
        except OSError as error:
            raise WebDNNError(
                "the IR cannot be read", where=str(path), why=error.strerror or ""
            ) from error
        except (ParseError, VerifyException) as error:
            raise WebDNNError("the IR is not valid", where=str(path), why=str(error)) from error
        store = read_weights(weights) if weights is not None else WeightStore()
    attach_weights(module, store)
    return module, store
