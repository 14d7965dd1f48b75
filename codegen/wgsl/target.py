"""The target `webdnn-wgsl` of `webdnn-translate`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.target import Target

from webdnn.codegen.wgsl.module import print_wgsl


@dataclass(frozen=True)
class WGSLTarget(Target):
    """Prints the kernels of level `target` as one WGSL source."""

    name = "webdnn-wgsl"

    def emit(self, ctx: Context, module: ModuleOp, output: IO[str]) -> None:
        output.write(print_wgsl(module))
