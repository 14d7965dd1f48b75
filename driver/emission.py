"""The last step on its own: IR of any stage to the text or bytes of a target."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from xdsl.dialects.builtin import ModuleOp

from webdnn.compiler import CompileOptions, lower, package_from
from webdnn.custom_operators import CustomOps, custom_operators
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.weight_store import WeightStore
from webdnn.frontends.models import Conversion, model_name
from webdnn.frontends.onnx.values import InputValue
from webdnn.ir_files import lower_read, opened_module, stage_of
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
    conversion: Conversion | None = None,
    values: Mapping[str, InputValue] | None = None,
    weights: Path | None = None,
    relaxed: bool = False,
    custom_ops: CustomOps = (),
) -> None:
    """Lower the module of a file as far as needed, and write one of `EMISSIONS` to `output` (None: standard output).

    Args:
        source: IR as text, or a model that `webdnn.compile` takes.
        kind: one of `EMISSIONS`.
        output: a file; for a package a folder.
        conversion, values, weights: see `opened_module`.
        relaxed: whether wasm may have relaxed SIMD.
        custom_ops: see `webdnn.compile`.

    Raises:
        WebDNNError: the file is bad, or its stage is behind what the output is made from.
    """
    operators = custom_operators(custom_ops)
    given = opened_module(
        source,
        context(operators),
        conversion=conversion,
        values=values,
        weights=weights,
        operators=operators,
    )
    with given as (module, store):
        if kind == _PACKAGE:
            _save_package(module, store, output, model_name(source) or "model")
            return
        content = _emitted(module, kind, relaxed, source)
    if output is not None:
        output.write_bytes(content)
    else:
        sys.stdout.buffer.write(content)


def _save_package(module: ModuleOp, store: WeightStore, output: Path | None, name: str) -> None:
    stage = stage_of(module)
    if output is None:
        raise WebDNNError("a package is a folder", hint="name it with -o")
    if stage_index(stage) > stage_index("linalg"):
        raise WebDNNError(f"a package is made from stage linalg or one before it, not from {stage}")
    options = CompileOptions()
    if stage_index(stage) < stage_index(LAST_COMMON_STAGE):
        lower(module, stage, LAST_COMMON_STAGE, None, options)
        stage = LAST_COMMON_STAGE
    package_from(module, store, options, name=name, stage=stage).save(output)


def _emitted(module: ModuleOp, kind: str, relaxed: bool, name: str) -> bytes:
    target = _PARTS[kind]
    if relaxed and isinstance(target, WasmTarget):
        target = replace(target, relaxed=True)
    lower_read(module, "target", target, name)
    return target.emit(module, kind)
