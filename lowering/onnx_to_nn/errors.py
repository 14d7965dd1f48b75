"""Why a node has no meaning in the `nn` dialect."""

from __future__ import annotations


class Unsupported(Exception):
    """A lowering cannot express its node. The driver collects these and reports them in one error.

    Args:
        reason: what it is about the node, in half a sentence.
        hint: what would help.
    """

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


class Invalid(Unsupported):
    """A node that means nothing in ONNX either, for operands of these shapes and values: no lowering would help."""

    def __init__(self, reason: str, hint: str = "") -> None:
        also = f"; {hint}" if hint else ""
        super().__init__(
            reason, f"mend the node, or compile for inputs of other sizes (--shape){also}"
        )


class TooLarge(Invalid):
    """A node that asks for more than a compilation may spend: no lowering would help."""

    def __init__(self, reason: str, hint: str) -> None:
        Unsupported.__init__(self, reason, hint)


class FaultyLowering(Invalid):
    """A lowering of the user's is wrong, so that nothing is known of the node."""

    def __init__(self, reason: str) -> None:
        Unsupported.__init__(self, reason, "mend the custom operator")


class FailureInside(Exception):
    """A node in a subgraph failed, which has been noted."""
