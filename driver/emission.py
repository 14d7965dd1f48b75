"""The last step on its own: IR of any stage to the text or bytes of a target."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from xdsl.dialects.builtin import ModuleOp

from webdnn.compile_arguments import InterfaceArguments, ModelArguments
from webdnn.compiler import CompileOptions, lower, package_from
from webdnn.custom_operators import custom_operators
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.weight_store import WeightStore
from webdnn.frontends.models import Conversion, model_name
from webdnn.ir_files import lower_read, opened_module, stage_of
from webdnn.lowering.weights_function import entry_function
from webdnn.package_interface import FittedInterface, PackageInterface
from webdnn.passes import context
from webdnn.stages import LAST_COMMON_STAGE, stage_index
from webdnn.targets import TARGETS
from webdnn.targets.target import AnyTarget
from webdnn.targets.wasm import WasmTarget

_PARTS: dict[str, AnyTarget] = {
    kind: target for target in TARGETS.values() for kind in target.emissions
}
"""What is emitted by one target."""

_PACKAGE = "package"

EMISSIONS = (*_PARTS, _PACKAGE)
"""What can be emitted."""


def emit(
    source: str,
    kind: str,
    output: Path | None,
    *,
    weights: Path | None = None,
    relaxed: bool = False,
    model: ModelArguments | None = None,
    interface: InterfaceArguments | None = None,
) -> None:
    """Lower the module of a file as far as needed, and write one of `EMISSIONS` to `output` (None: standard output).

    Args:
        source: IR as text, or a model that `webdnn.compile` takes.
        kind: one of `EMISSIONS`.
        output: a file; for a package a folder.
        weights: see `opened_module`.
        relaxed: whether wasm may have relaxed SIMD.
        model: what to know beside a model: see `webdnn.compile`.
        interface: what is made of the inputs and outputs of a model, or of IR of stage `onnx`: see `webdnn.compile`.

    Raises:
        WebDNNError: the file is bad, or its stage is behind what the output is made from, or behind `onnx` where its
            inputs or outputs are to be others.
    """
    given = model or {}
    operators = custom_operators(given.get("custom_ops", ()))
    wanted = PackageInterface.of(**(interface or {}))
    values = given.get("values") or {}
    wanted.check_values(values)
    shapes, dims = given.get("shapes") or {}, given.get("dims") or {}
    opened = opened_module(
        source,
        context(operators),
        conversion=Conversion(
            shapes,
            given.get("custom_objects"),
            given.get("example_inputs", ()),
            given.get("caffe_weights"),
            dims,
        ),
        values=values,
        bind=lambda found: wanted.bound_shapes(found, shapes, dims),
        weights=weights,
        operators=operators,
    )
    with opened as (module, store):
        fitted = _fitted(wanted, module, source)
        if kind == _PACKAGE:
            _save_package(module, store, output, model_name(source) or "model", fitted)
            return
        content = _emitted(module, kind, relaxed, source, fitted)
    if output is not None:
        output.write_bytes(content)
    else:
        sys.stdout.buffer.write(content)


def _fitted(wanted: PackageInterface, module: ModuleOp, source: str) -> FittedInterface:
    stage = stage_of(module)
    if stage != "onnx" and wanted.is_empty:
        return FittedInterface()
    if stage != "onnx":
        raise WebDNNError(
            f"the inputs and outputs of IR at stage {stage} cannot be changed",
            where=source,
            why="what makes others of them runs right behind stage onnx",
            hint="give these options for the model, or run the passes: webdnn-opt -p",
        )
    return wanted.fitted(entry_function(module))


def _save_package(
    module: ModuleOp,
    store: WeightStore,
    output: Path | None,
    name: str,
    interface: FittedInterface,
) -> None:
    stage = stage_of(module)
    if output is None:
        raise WebDNNError("a package is a folder", hint="name it with -o")
    if stage_index(stage) > stage_index("linalg"):
        raise WebDNNError(f"a package is made from stage linalg or one before it, not from {stage}")
    options = CompileOptions(interface=interface)
    if stage_index(stage) < stage_index(LAST_COMMON_STAGE):
        lower(module, stage, LAST_COMMON_STAGE, None, options)
        stage = LAST_COMMON_STAGE
    package_from(module, store, options, name=name, stage=stage).save(output)


def _emitted(
    module: ModuleOp, kind: str, relaxed: bool, name: str, interface: FittedInterface
) -> bytes:
    target = _PARTS[kind]
    if relaxed and isinstance(target, WasmTarget):
        target = replace(target, relaxed=True)
    lower_read(module, "target", target, name, interface)
    return target.emit(module, kind)
