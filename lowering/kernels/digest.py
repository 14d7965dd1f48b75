"""What tells kernels apart: a digest of what they compute."""

from __future__ import annotations

from hashlib import sha256

from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Region

from webdnn.dialects.ir_printer import ir_text
from webdnn.dialects.kernel import DIGEST, FuncOp

LENGTH = 16
"""Hexadecimal digits that are kept: enough for billions of kernels."""


def kernel_digest(func: FuncOp) -> str:
    """The digest of a kernel on level `kernels`: of its types and its body, whatever its name and all else.

    A kernel that has one as an attribute keeps it: packing changes the body, but not which kernel it is.
    """
    given = func.attributes.get(DIGEST)
    if isinstance(given, StringAttr):
        return given.data
    plain = func.clone()
    plain.attributes.clear()
    plain.properties.pop("schedule", None)
    plain.properties.pop("strides", None)
    strip_name_hints(plain.body)
    return structural_hash(plain)[:LENGTH]


def structural_hash(func: FuncOp) -> str:
    """A digest of what a kernel does and how it is scheduled, whatever it is called."""
    named = func.sym_name
    func.sym_name = StringAttr("kernel")
    text = ir_text(func, locations=False)
    func.sym_name = named
    return sha256(text.encode()).hexdigest()


def strip_name_hints(region: Region) -> None:
    """Forget what the values in a region were called, so that equal regions are printed alike."""
    for block in region.blocks:
        for argument in block.args:
            argument.name_hint = None
        for op in block.ops:
            for result in op.results:
                result.name_hint = None
            for inner in op.regions:
                strip_name_hints(inner)
