"""Modules from files and to files, at any stage, with their weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import DiagnosticException, ParseError, VerifyException

from webdnn.array_files import read_archive, write_archive
from webdnn.custom_operators import CustomOperator, operator_classes
from webdnn.dialects import kernel, plan
from webdnn.dialects.dominance import verify_dominance
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.ir_parser import IRParser
from webdnn.dialects.locations import location_names
from webdnn.dialects.weight_store import WeightStore, attach_weights
from webdnn.frontends.formats import MLIR, recognise_file
from webdnn.frontends.models import Conversion
from webdnn.frontends.onnx import load
from webdnn.frontends.onnx.binding import Shapes
from webdnn.frontends.onnx.source import Source
from webdnn.frontends.onnx.values import InputValue
from webdnn.importing import imported_model
from webdnn.lowering.onnx_to_nn.registry import inlined_operators
from webdnn.package_interface import FittedInterface
from webdnn.passes import context
from webdnn.stages import LAST_COMMON_STAGE, passes_between, stage_index
from webdnn.targets import TARGETS
from webdnn.targets.target import AnyTarget

EXCERPT = 80
"""Characters of a line that a message shows: a line of IR may hold megabytes."""

MAX_MESSAGE = 400
"""Characters of a message of xDSL's that are shown: some hold the attribute that they complain about."""

_BINARY = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
"""Characters that are in no text."""


def stage_of(module: ModuleOp) -> str:
    """The stage that a module is at, by what it holds."""
    names: set[str] = set()
    for op in module.walk():
        if isinstance(op, kernel.FuncOp):
            names.add("kernel.func lowered" if op.is_lowered else "kernel.func")
        names.add(op.name.partition(".")[0])
        if isinstance(op, kernel.RegionOp | plan.ProgramOp):
            names.add(op.name)
    if "llvm" in names or any(stage == "target" for _, stage in _lowered(module)):
        return "target"
    if "kernel.func lowered" in names or "plan.program" in names:
        return "loops"
    if "kernel.func" in names:
        return "kernels"
    if "kernel.region" in names:
        return "linalg"
    return "onnx" if "onnx" in names else "nn"


def target_of(module: ModuleOp) -> str | None:
    """The target that a module at stage `loops` or `target` was lowered for; None before that."""
    return next((target for target, _ in _lowered(module)), None)


def _lowered(module: ModuleOp) -> Iterator[tuple[str, str]]:
    """For each op of a module that says so: which target it was lowered for, and to which stage."""
    for op in module.ops:
        for name, target in TARGETS.items():
            if (stage := target.stage_of(op)) is not None:
                yield name, stage


def lower_read(
    module: ModuleOp,
    stop: str,
    target: str | AnyTarget,
    name: str,
    interface: FittedInterface | None = None,
) -> None:
    """Lower a module that was read from a file to stage `stop`, in place.

    Args:
        name: what messages call the file.
        interface: what is done to a model of stage `onnx`.

    Raises:
        WebDNNError: the module is past that stage already, or at it for another target; or a pass fails.
    """
    start = stage_of(module)
    if stage_index(start) > stage_index(stop):
        raise WebDNNError(f"the IR is at stage {start} already, past stage {stop}", where=name)
    made_for = target_of(module)
    wanted = target if isinstance(target, str) else target.name
    if made_for not in (None, wanted):
        raise WebDNNError(
            f"the IR was lowered for {made_for}, not for {wanted}",
            where=name,
            hint=f"start from a stage up to {LAST_COMMON_STAGE}, which all targets share",
        )
    ctx = context()
    for _, step in (interface or FittedInterface()).among(passes_between(start, stop, target)):
        apply_to_read(step, ctx, module, name)


def apply_to_read(step: ModulePass, ctx: Context, module: ModuleOp, name: str) -> None:
    """Run a pass on a module that was read from a file; an exception of its own becomes a WebDNNError."""
    try:
        step.apply(ctx, module)
    except (WebDNNError, DiagnosticException):
        raise
    except Exception as error:
        raise WebDNNError(
            f"the pass {step.name} fails on this IR",
            where=name,
            why=f"{type(error).__name__}: {error}"[:MAX_MESSAGE],
            hint="IR that was edited may break what the pass takes for granted (docs/architecture.md)",
        ) from error


def read_weights(path: Path, operators: Sequence[CustomOperator] = ()) -> WeightStore:
    """The arrays of an `.npz` file, or of an ONNX model.

    Raises:
        WebDNNError: the file is missing or is neither.
    """
    if path.suffix == ".onnx":
        classes = operator_classes(operators)
        return load(path, inline=inlined_operators(), operators=classes).weights
    return WeightStore(read_archive(path))


def write_weights(weights: WeightStore, path: Path) -> None:
    """Write the arrays as `.npz`."""
    write_archive(weights, path)


def parse_ir(
    ctx: Context,
    content: bytes,
    name: str,
    *,
    lines_before: int = 0,
    implicit_module: bool = True,
) -> ModuleOp:
    """The module that a file holds as text.

    Args:
        ctx: knows the dialects.
        name: what messages call the file.
        lines_before: lines of the file that come before `content`.
        implicit_module: whether the text may leave out `builtin.module`.

    Raises:
        WebDNNError: it is no text, or no IR. The module is yet to be verified.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _no_text(name, f"not in UTF-8: byte {error.start}", content[error.start]) from None
    if (found := _BINARY.search(text)) is not None:
        raise _no_text(name, f"binary: character {found.start()}", ord(found[0]))
    if not text.strip():
        raise WebDNNError("the IR is not valid", where=name, why="the file is empty")
    try:
        return IRParser(ctx, text, name).parse_module(implicit_module)
    except ParseError as error:
        _, line, column = error.span.get_location()
        why = error.msg[:MAX_MESSAGE].rstrip(".!")
        if error.span.start >= len(text.rstrip()):
            why += ", where the file ends"
        else:
            why += f", in `{_excerpt(text, error.span.start)}`"
        where = f"{name}:{line + lines_before}:{column}"
        raise WebDNNError("the IR is not valid", where=where, why=why) from error


def _no_text(name: str, what: str, value: int) -> WebDNNError:
    return WebDNNError(
        "the IR is not valid",
        where=name,
        why=f"the file is {what} is 0x{value:02X}",
        hint="IR is text in UTF-8",
    )


def _excerpt(text: str, position: int) -> str:
    """What stands around a position, in its line."""
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    line = text[start : len(text) if end < 0 else end]
    if len(line) <= EXCERPT:
        return line.strip()
    first = max(min(position - start - EXCERPT // 2, len(line) - EXCERPT), 0)
    return ("..." if first else "") + line[first : first + EXCERPT] + "..."


def verify_ir(module: ModuleOp, name: str) -> None:
    """Check the invariants of all ops in a module that was read.

    Raises:
        WebDNNError: one of them is broken. It says which op is to blame.
    """
    try:
        module.verify()
        verify_dominance(module)
    except RecursionError:
        raise WebDNNError(
            "the IR is not valid", where=name, why="it is nested too deeply"
        ) from None
    except Exception as error:
        op = _invalid_op(module)
        nodes = () if op is None else tuple(location_names(op.location))
        match error:
            case VerifyException():
                why = str(error)
            case WebDNNError():
                why = error.what
            case _:
                why = repr(error)
        if op is not None:
            why = f"{op.name}: {why}"
        raise WebDNNError(
            "the IR is not valid", where=(name, *nodes), why=why[:MAX_MESSAGE]
        ) from error


def _invalid_op(module: ModuleOp) -> Operation | None:
    """The innermost op that does not verify."""
    found: Operation | None = None
    for op in module.walk():
        try:
            op.verify(verify_nested_ops=False)
        except Exception:
            found = op
    return found


def is_ir(source: str) -> bool:
    """Whether a file holds IR as text, by its ending or its content."""
    path = Path(source)
    return path.suffix == ".mlir" or (path.is_file() and recognise_file(path) is MLIR)


@contextmanager
def opened_module(
    source: str,
    ctx: Context,
    *,
    conversion: Conversion | None = None,
    values: Mapping[str, InputValue] | None = None,
    bind: Callable[[Source], Shapes] | None = None,
    weights: Path | None = None,
    operators: Sequence[CustomOperator] = (),
) -> Generator[tuple[ModuleOp, WeightStore], None, None]:
    """A module at whatever stage a file holds, and its weights, which are there as long as the context lasts.

    Args:
        source: IR as text of any stage, or a model that `webdnn.compile` takes.
        ctx: knows the dialects.
        conversion: what to know beside a model: sizes of its inputs, ...
        values: values of a model's inputs, which become constants.
        bind: see `imported_model`.
        weights: where the arrays are that the handles of an `.mlir` name.
        operators: those that the model may use beside ONNX's own.

    Raises:
        WebDNNError: the file is missing, or does not parse or verify.
    """
    if not is_ir(source):
        given = conversion or Conversion()
        with imported_model(
            source, given, values=values, bind=bind, operators=operators
        ) as imported:
            attach_weights(imported.module, imported.weights)
            yield imported.module, imported.weights
        return
    try:
        content = Path(source).read_bytes()
    except OSError as error:
        raise WebDNNError(
            "the IR cannot be read", where=source, why=error.strerror or ""
        ) from error
    module = parse_ir(ctx, content, source)
    verify_ir(module, source)
    store = read_weights(weights, operators) if weights is not None else WeightStore()
    attach_weights(module, store)
    yield module, store
