"""Writes or prints the IR of stages as a compilation reaches them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xdsl.dialects.builtin import ModuleOp

from webdnn.dialects.ir_printer import ir_text
from webdnn.dialects.weight_store import weights_of
from webdnn.ir_files import write_weights
from webdnn.stages import LAST_COMMON_STAGE, stage_index


class IRDump:
    """A hook for `webdnn.compile`.

    Args:
        folder: where each stage is written to, as `3-kernels.wasm.mlir`, with the weights as `weights.npz`; None for
        nowhere. printed: the stages to print to standard output.
    """

    def __init__(self, folder: Path | None, printed: Sequence[str] = ()) -> None:
        self.folder = folder
        self.printed = set(printed)
        for stage in printed:
            stage_index(stage)

    def __call__(self, stage: str, target: str | None, module: ModuleOp) -> None:
        if self.folder is None and stage not in self.printed:
            return
        text = ir_text(module) + "\n"
        if stage in self.printed:
            print(text)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            suffix = "" if target is None else f".{target}"
            (self.folder / f"{stage_index(stage)}-{stage}{suffix}.mlir").write_text(
                text, encoding="utf-8"
            )
            if stage == LAST_COMMON_STAGE:
                write_weights(weights_of(module), self.folder / "weights.npz")
