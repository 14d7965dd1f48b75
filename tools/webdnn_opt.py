"""`webdnn-opt`: look at the IR of any level and run passes on it (xDSL's `xdsl-opt` with our dialects and passes).

Beyond `xdsl-opt` it reads models, and lowers to a stage by name before the passes of `-p` run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from io import BytesIO, StringIO
from pathlib import Path
from typing import IO, Any, NoReturn

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass, PassPipeline, PassPipelineCallbackType
from xdsl.targets.mlir import MLIRTarget
from xdsl.universe import Universe
from xdsl.xdsl_opt_main import xDSLOptMain

from webdnn.custom_operators import CustomOperator, custom_operators, dialects_with
from webdnn.dialects.dominance import verify_dominance
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.ir_parser import IRParser
from webdnn.dialects.ir_printer import IRPrinter
from webdnn.dialects.time_limit import DEFAULT_TIME_LIMIT, time_limit
from webdnn.dialects.weight_store import attach_weights, weights_of
from webdnn.frontends.models import Conversion
from webdnn.importing import imported_model
from webdnn.ir_files import is_ir, lower_read, parse_ir, read_weights, verify_ir, write_weights
from webdnn.stages import STAGES
from webdnn.targets import TARGETS
from webdnn.tools.arguments import chosen_shapes, parse_dims, parse_values
from webdnn.tools.model_options import (
    CAFFE_WEIGHTS_HELP,
    CUSTOM_OBJECTS_HELP,
    CUSTOM_OPS_HELP,
    DIM_HELP,
    INPUT_SHAPE_HELP,
    SHAPE_HELP,
    TIME_LIMIT_HELP,
    VALUE_HELP,
)
from webdnn.tools.running import command_line_error, run_tool


def _path(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("an empty text is no path")
    return text


_EARLY_OPTIONS: dict[str, dict[str, Any]] = {
    "--custom-ops": {
        "action": "append",
        "default": [],
        "type": _path,
        "metavar": "FILE",
        "help": CUSTOM_OPS_HELP,
    },
    "--time-limit": {
        "type": float,
        "default": DEFAULT_TIME_LIMIT,
        "metavar": "SECONDS",
        "help": TIME_LIMIT_HELP,
    },
}
"""Options that are looked for before all others."""


class _IRTarget(MLIRTarget):
    """IR as text, by our printer."""

    def emit(self, ctx: Context, module: ModuleOp, output: IO[str]) -> None:
        if self.syntax_highlight:
            super().emit(ctx, module, output)
            return
        printer = IRPrinter(
            output,
            print_generic_format=self.print_generic_format,
            print_properties_as_attributes=self.print_properties_as_attributes,
            print_debuginfo=self.print_debuginfo,
        )
        printer.print_op(module)
        printer.print_metadata(ctx.loaded_dialects)
        print("\n", file=output)


class _KeptText(StringIO):
    """Text that is still there when the stream is closed."""

    def close(self) -> None:
        pass


class WebDNNOpt(xDSLOptMain):
    """`xdsl-opt` that also finds the dialects, passes and targets of `webdnn`, and reads models.

    Args:
        operators: those that the input may have beside ONNX's own.
        opened: closes what was converted, downloaded or unpacked.
    """

    version_format = "webdnn-opt built from xdsl version {xdsl_version}"

    def __init__(
        self,
        description: str,
        args: Sequence[str] | None,
        operators: Sequence[CustomOperator],
        opened: ExitStack,
    ) -> None:
        self._operators = operators
        self._opened = opened
        super().__init__(description, args)
        for option, given in (("-o", self.args.output_file), ("input_file", self.args.input_file)):
            if given == "":  # which xDSL takes as if nothing was given, or as the current folder
                _refuse(f"argument {option}: an empty text is no path")

    def register_all_dialects(self) -> None:
        known = Universe.get_multiverse().all_dialects
        for name, factory in dialects_with(known, self._operators).items():
            self.ctx.register_dialect(name, factory)

    def register_all_frontends(self) -> None:
        super().register_all_frontends()

        def mlir(stream: IO[bytes]) -> ModuleOp:
            content, name = stream.read(), self.get_input_name()
            implicit = not self.args.no_implicit_module
            if self.args.parsing_diagnostics:  # expects xDSL's error
                return self._prepared(IRParser(self.ctx, content, name).parse_module(implicit))
            module = parse_ir(
                self.ctx, content, name, lines_before=self._lines_before, implicit_module=implicit
            )
            if not (self.args.disable_verify or self.args.verify_diagnostics):
                verify_ir(module, name)
            return self._prepared(module)

        def onnx(stream: IO[bytes]) -> ModuleOp:
            conversion = Conversion(
                chosen_shapes(self.args.shape, self.args.input_shape),
                self.args.custom_objects,
                (),
                self.args.caffe_weights,
                parse_dims(self.args.dim),
            )
            imported = self._opened.enter_context(
                imported_model(
                    self.args.input_file or stream.read(),
                    conversion,
                    values=parse_values(self.args.value),
                    operators=self._operators,
                )
            )
            attach_weights(imported.module, imported.weights)
            return self._prepared(imported.module)

        self.available_frontends["mlir"] = mlir
        self.available_frontends["onnx"] = onnx

    def register_all_targets(self) -> None:
        super().register_all_targets()
        self.available_targets["mlir"] = lambda: _IRTarget

    def prepare_input(self) -> tuple[list[tuple[IO[bytes], int]], str]:
        source = self.args.input_file
        if source is not None and not self.args.frontend and not is_ir(source):
            return [(BytesIO(), 0)], "onnx"  # what reads models opens them
        return super().prepare_input()

    def get_input_stream(self) -> tuple[IO[bytes], str]:
        stream, _ = super().get_input_stream()
        return stream, "mlir"

    def prepare_output(self) -> IO[str]:
        # xDSL opens the file before it reads the input, and so empties it where that is wrong
        return sys.stdout if self.args.output_file is None else self._output

    def run(self) -> None:
        self._output = _KeptText()
        super().run()
        if self.args.output_file is not None:
            Path(self.args.output_file).write_text(self._output.getvalue(), encoding="utf-8")

    def parse_chunk(
        self, chunk: IO[bytes], file_extension: str, start_offset: int = 0
    ) -> ModuleOp | None:
        self._lines_before = start_offset
        return super().parse_chunk(chunk, file_extension, start_offset)

    def register_all_arguments(self, arg_parser: argparse.ArgumentParser) -> None:
        arg_parser.error = _refuse
        super().register_all_arguments(arg_parser)
        group = arg_parser.add_argument_group("webdnn")
        group.add_argument(
            "--shape", action="append", default=[], metavar="NAME=1,3,224,224", help=SHAPE_HELP
        )
        group.add_argument(
            "--input-shape", "--input_shape", action="append", default=[], metavar="(1,224,224,3)",
            help=INPUT_SHAPE_HELP,
        )  # fmt: skip
        group.add_argument(
            "--dim", action="append", default=[], metavar="NAME=1..512", help=DIM_HELP
        )
        group.add_argument("--custom-objects", type=_path, metavar="FILE", help=CUSTOM_OBJECTS_HELP)
        group.add_argument("--caffe-weights", type=_path, metavar="FILE", help=CAFFE_WEIGHTS_HELP)
        group.add_argument(
            "--value", action="append", default=[], metavar="NAME=VALUE", help=VALUE_HELP
        )
        for name, how in _EARLY_OPTIONS.items():
            group.add_argument(name, **how)
        group.add_argument(
            "--to-stage", choices=[s.name for s in STAGES[:-1]], help="lower to this stage first"
        )
        group.add_argument(
            "--backend",
            choices=TARGETS,
            default=next(iter(TARGETS)),
            help="the back end to lower for",
        )
        group.add_argument(
            "--weights", type=_path, help="the .npz or .onnx that weight handles name"
        )
        group.add_argument("--save-weights", type=_path, help="write the weights to this .npz")

    def setup_pipeline(self) -> None:
        try:
            super().setup_pipeline()
        except ValueError as error:  # how xDSL says that a pass or an option is not known
            hint = "webdnn-opt --help lists all passes, docs/architecture.md says what they are for"
            raise WebDNNError(str(error), where=str(self.args.passes), hint=hint) from error
        if not self.args.disable_verify:
            self.pipeline = PassPipeline(
                self.pipeline.passes, _with_dominance(self.pipeline.callback)
            )

    def _prepared(self, module: ModuleOp) -> ModuleOp:
        if self.args.weights is not None:
            attach_weights(module, read_weights(Path(self.args.weights), self._operators))
        if self.args.to_stage is not None:
            name = self.get_input_name()
            lower_read(module, self.args.to_stage, self.args.backend, name)
        if self.args.save_weights is not None:
            write_weights(weights_of(module), Path(self.args.save_weights))
        return module


def _with_dominance(callback: PassPipelineCallbackType | None) -> PassPipelineCallbackType:
    """What is called before, between and behind passes, which then verifies dominance too."""

    def called(before: ModulePass | None, module: ModuleOp, after: ModulePass | None) -> None:
        verify_dominance(module)
        if callback is not None:
            callback(before, module, after)

    return called


def _refuse(message: str) -> NoReturn:
    """What argparse calls with what is wrong with a command line."""
    raise command_line_error(message, "webdnn-opt")


def main(args: Sequence[str] | None = None) -> None:
    """Run the tool; its exit code is 1 where the input or a pass is wrong."""
    run_tool(lambda: _run(args))


def _run(args: Sequence[str] | None) -> None:
    early = _early_options(args)
    with time_limit(early.time_limit), ExitStack() as opened:
        operators = custom_operators(early.custom_ops)
        WebDNNOpt("Inspect and transform WebDNN IR", args, operators, opened).run()


def _early_options(args: Sequence[str] | None) -> argparse.Namespace:
    """What is needed to know all dialects, which xDSL's tool wants to before it reads its arguments."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.error = _refuse
    for name, how in _EARLY_OPTIONS.items():
        parser.add_argument(name, **how)
    return parser.parse_known_args(args)[0]
