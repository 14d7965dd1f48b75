"""What tells kernels apart: a digest of what they compute."""

from __future__ import annotations

from xdsl.dialects.builtin import StringAttr

from webdnn.dialects.kernel import DIGEST, FuncOp
from webdnn.lowering.kernels.outline import structural_hash

LENGTH = 16
"""Hexadecimal digits that are kept: enough for billions of kernels."""


def kernel_digest(func: FuncOp) -> str:
    """The digest of a kernel on level `kernels`: of its types and its body, whatever its name, schedule and attributes.

    A kernel that has one as an attribute keeps it: packing changes the body, but not which kernel it is.
    """
    given = func.attributes.get(DIGEST)
    if isinstance(given, StringAttr):
        return given.data
    plain = func.clone()
    plain.attributes.clear()
    plain.properties.pop("schedule", None)
    for op in plain.walk():
        for result in op.results:
            result.name_hint = None
        for block in (b for region in op.regions for b in region.blocks):
            for argument in block.args:
                argument.name_hint = None
    return structural_hash(plain)[:LENGTH]
