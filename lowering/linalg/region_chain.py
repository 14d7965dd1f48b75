"""Puts several regions, each of which reads what the ones before it make, in the place of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.dialects.builtin import StringAttr, TensorType
from xdsl.ir import Attribute, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects import kernel, plan
from webdnn.lowering.nn_to_linalg.region_builder import RegionBuilder


class RegionChain:
    """Inserts regions before `region`, at its location."""

    def __init__(self, region: kernel.RegionOp) -> None:
        self.region = region

    def add(
        self,
        hint: str,
        operands: Sequence[SSAValue],
        make: Callable[[RegionBuilder], kernel.RegionOp],
    ) -> Sequence[SSAValue]:
        """The results of a new region, which `make` builds; `hint` is for its kernel's name."""
        return self.insert(hint, make(RegionBuilder(operands)))

    def insert(self, hint: str, new: kernel.RegionOp) -> Sequence[SSAValue]:
        """The results of a new region; `hint` is for its kernel's name."""
        new.location = self.region.location
        new.attributes[kernel.HINT] = StringAttr(hint)
        Rewriter.insert_op(new, InsertPoint.before(self.region))
        return new.results

    def view(self, value: SSAValue, type: Attribute) -> SSAValue:
        """A value in another shape."""
        assert isinstance(type, TensorType)
        view = plan.ViewOp(value, type)
        view.location = self.region.location
        Rewriter.insert_op(view, InsertPoint.before(self.region))
        return view.res

    def finish(self, *results: SSAValue) -> None:
        """Let these values take the place of the old region's results."""
        for old, new in zip(self.region.outs, results, strict=True):
            new.name_hint = old.name_hint
            old.replace_all_uses_with(new)
        Rewriter.erase_op(self.region)
