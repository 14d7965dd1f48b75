"""What of a model cannot be lowered, gathered into one error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from xdsl.ir import Operation, SSAValue

from webdnn.dialects.errors import WebDNNError, listed
from webdnn.dialects.onnx import OnnxOp
from webdnn.lowering.onnx_to_nn.errors import Invalid, Unsupported
from webdnn.lowering.onnx_to_nn.node import node_name
from webdnn.lowering.onnx_to_nn.origins import binding_hint
from webdnn.lowering.onnx_to_nn.registry import find_lowering


@dataclass(frozen=True)
class _Failure:
    name: str
    op_type: str
    what: str
    hints: tuple[str, ...]
    is_invalid: bool


class Failures:
    """The nodes that cannot be lowered, and how many were not looked at because they read results of these.

    Args:
        is_known: whether a value of the `onnx` level was found out when compiling.
    """

    def __init__(self, is_known: Callable[[SSAValue], bool]) -> None:
        self._is_known = is_known
        self._failures: dict[Operation, _Failure] = {}
        self._skipped: set[Operation] = set()

    def __len__(self) -> int:
        return len(self._failures) + len(self._skipped)

    def note(self, op: OnnxOp, failure: Unsupported) -> None:
        """This op cannot be lowered."""
        self._skipped.discard(op)
        what, hints = failure.reason, [failure.hint]
        if (found := self._undecided(op)) is not None:
            decision, branch = found
            what += f"; in the {branch} of If '{node_name(decision)}', whose condition is not known"
            if isinstance(failure, Invalid):
                hints = []  # with inputs of other sizes the other branch would be the one that does not fit
            hints.append(binding_hint(decision.operands[0]) or "make that condition a constant")
        self._failures[op] = _Failure(
            node_name(op),
            op.op_type,
            what,
            tuple(filter(None, hints)),
            isinstance(failure, Invalid),
        )

    def skip(self, op: OnnxOp) -> None:
        """This op cannot be looked at; but it, and what its regions hold, fails where nothing could lower it."""
        for inner in op.walk():
            if not isinstance(inner, OnnxOp) or inner in self._failures:
                continue
            if find_lowering(inner) is None:
                self.note(inner, no_lowering(inner))
            else:
                self._skipped.add(inner)

    def error(self) -> WebDNNError:
        """All of them, as the error for the user."""
        failures = list(self._failures.values())
        groups: dict[tuple[str, str], list[str]] = {}
        for failure in failures:
            groups.setdefault((failure.op_type, failure.what), []).append(f"'{failure.name}'")
        hints = list(dict.fromkeys(hint for failure in failures for hint in failure.hints))
        if not all(failure.is_invalid for failure in failures):
            hints.append(("or " if hints else "") + "add a lowering: docs/adding-an-operator.md")
        skipped, them = len(self._skipped), "them" if len(failures) > 1 else "it"
        return WebDNNError(
            f"{len(failures)} node{'s' * (len(failures) > 1)} of the model cannot be compiled",
            where=[
                f"{op_type} ({what}): {listed(names)}" for (op_type, what), names in groups.items()
            ],
            why=f"{skipped} more, behind {them}, could not be checked" if skipped else "",
            hint="; ".join(hints),
        )

    def _undecided(self, op: Operation) -> tuple[OnnxOp, str] | None:
        """The innermost If around `op` whose condition is not known when compiling, and the branch that `op` is in."""
        region = op.parent_region()
        while region is not None and isinstance(parent := region.parent_op(), OnnxOp):
            if parent.op_type == "If" and not self._is_known(parent.operands[0]):
                branch = parent.graph_names[parent.regions.index(region)]
                return parent, branch.replace("_", " ")
            region = parent.parent_region()
        return None


def no_lowering(op: OnnxOp) -> Unsupported:
    """Why an op that nothing lowers fails."""
    domain = f" of domain '{op.domain}'" if op.domain else ""
    return Unsupported(f"there is no lowering for this operator{domain}")
