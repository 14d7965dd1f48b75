"""What every pass is run with: the dialects that there are, a check of what it made, and whether it may be left out."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.universe import Universe
from xdsl.utils.exceptions import VerifyException

from webdnn.custom_operators import CustomOperator, dialects_with
from webdnn.dialects.dominance import verify_dominance
from webdnn.dialects.errors import WebDNNError
from webdnn.universe import WEBDNN_UNIVERSE

OPTIONAL_PASSES: tuple[str, ...] = (
    "sink-transposes",
    "join-slices",
    "fold-scale-into-conv",
    "decompose-transposed-conv",
    "recognize-normalize",
    "multiply-by-inverse",
    "merge-matmuls",
    "fuse-kernel-regions",
    "winograd-convolutions",
    "fuse-attention",
    "absorb-transposes",
    "split-reductions",
    "separate-nans",
    "fuse-pads",
    "apply-schedules",
    "pack-weights",
    "place-parts",
    "overwrite-operands",
    "defer-launches-at-load",
)
"""Passes without which a model is still compiled, only to something slower."""


def check_optional(names: Sequence[str]) -> None:
    """Raises a WebDNNError where a name is not that of an optional pass."""
    for name in names:
        if name not in OPTIONAL_PASSES:
            raise WebDNNError(
                f"the pass {name!r} cannot be left out", hint="one of " + ", ".join(OPTIONAL_PASSES)
            )


def context(operators: Sequence[CustomOperator] = ()) -> Context:
    """An xDSL context that knows the dialects of every stage, with the ops of custom operators."""
    ctx = Context()
    known = {**WEBDNN_UNIVERSE.all_dialects, **Universe.get_multiverse().all_dialects}
    for name, factory in dialects_with(known, operators).items():
        ctx.register_dialect(name, factory)
    return ctx


def apply_pass(step: ModulePass, ctx: Context, module: ModuleOp) -> None:
    """Apply a pass to a module in place, and check that all values are defined where they are used. (That takes a
    twentieth of the time of the passes; to verify all else takes as long as the passes.)

    Raises:
        WebDNNError: they are not; names the pass.
    """
    step.apply(ctx, module)
    try:
        verify_dominance(module)
    except VerifyException as error:
        leave = (
            f"leave it out (--without {step.name}), and " if step.name in OPTIONAL_PASSES else ""
        )
        raise WebDNNError(
            f"the pass {step.name} made a module that is not valid",
            why=str(error),
            hint=f"{leave}report it: no model should cause this",
        ) from error
