"""The equations of Einsum, checked before ONNX's library reads them: it does not end on some that are damaged."""

from __future__ import annotations

import re

from onnx import ModelProto, NodeProto

from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.onnx.graphs import all_nodes, describe

_TERM = r"[A-Za-z]*(\.\.\.)?[A-Za-z]*"
_EQUATION = re.compile(rf"{_TERM}(,{_TERM})*(->{_TERM})?", re.ASCII)
"""An equation without its spaces."""


def check_equations(model: ModelProto) -> None:
    """Check the equations of all nodes Einsum.

    Raises:
        WebDNNError: one is not of the form that ONNX defines, or does not have a term for each operand.
    """
    for node in all_nodes(model.graph):
        if node.op_type == "Einsum" and node.domain in ("", "ai.onnx"):
            for attribute in node.attribute:
                if attribute.name == "equation":
                    _check(node, attribute.s.decode("utf-8", "replace"))


def _check(node: NodeProto, equation: str) -> None:
    if problem := _problem(equation.replace(" ", ""), len(node.input)):
        raise WebDNNError(
            f"node '{describe(node)}' (Einsum) has equation='{equation}', which ONNX does not allow",
            where=describe(node),
            why=problem,
            hint="mend the node, or export the model again",
        )


def _problem(equation: str, operands: int) -> str | None:
    if not _EQUATION.fullmatch(equation):
        return "its terms are letters with at most one ellipsis, like 'ij,...jk->...ik'"
    left, _, result = equation.partition("->")
    terms = left.split(",")
    if len(terms) != operands:
        return f"it has terms for {len(terms)} operands, and there are {operands}"
    labels = result.replace(".", "")
    if unknown := sorted({*labels} - {*left}):
        return f"its result has the label '{unknown[0]}', which is in no operand"
    if len({*labels}) < len(labels):
        return f"its result '{result}' has a label twice"
    return None


__all__ = ["check_equations"]
