"""`outline-kernels`: each `kernel.region` becomes a launch of a `kernel.func`, one for all regions that do the same."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Block
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects import kernel, plan
from webdnn.lowering.kernels.digest import LENGTH, strip_name_hints, structural_hash
from webdnn.lowering.kernels.kernel_sizes import give_own_symbols
from webdnn.lowering.weights_function import entry_function

_NAME_PARTS = 4


@dataclass(frozen=True)
class OutlineKernels(ModulePass):
    """Level `linalg` to level `kernels`.

    Regions with the same body and types share one kernel, before anything costly is done to it. Names say what a kernel
    was made from and are numbered, so they do not depend on weights or node names. A region whose results nobody reads
    (a pad that another one has taken in, say) becomes nothing.
    """

    name = "outline-kernels"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        by_body: dict[str, str] = {}
        counts: dict[str, int] = {}
        block = entry_function(op).body.block
        _erase_unused(block)
        for region in list(block.ops):
            if not isinstance(region, kernel.RegionOp):
                continue
            func = self._outlined(region)
            sizes = give_own_symbols(func)
            digest = structural_hash(func)
            if digest not in by_body:
                base = self._base_name(region)
                number = counts.get(base, 0)
                counts[base] = number + 1
                by_body[digest] = f"{base}_{number}"
                func.sym_name = StringAttr(by_body[digest])
                func.attributes[kernel.DIGEST] = StringAttr(digest[:LENGTH])
                op.body.block.add_op(func)
            types = [r.type for r in region.outs]
            launch = plan.LaunchOp(by_body[digest], region.ins, types, sizes)
            launch.location = region.location
            Rewriter.insert_op(launch, InsertPoint.before(region))
            for old, new in zip(region.outs, launch.outs, strict=True):
                new.name_hint = old.name_hint
                old.replace_all_uses_with(new)
            Rewriter.erase_op(region)

    @staticmethod
    def _base_name(region: kernel.RegionOp) -> str:
        hint = region.attributes.get(kernel.HINT)
        parts = hint.data.split("_") if isinstance(hint, StringAttr) else ["kernel"]
        kept = parts if len(parts) <= _NAME_PARTS else [*parts[:_NAME_PARTS], "etc"]
        return "_".join(kept)

    @staticmethod
    def _outlined(region: kernel.RegionOp) -> kernel.FuncOp:
        body = region.detach_region(region.body)
        strip_name_hints(body)
        end = body.block.last_op
        assert isinstance(end, kernel.YieldOp)
        Rewriter.insert_op(kernel.ReturnOp(*end.arguments), InsertPoint.before(end))
        Rewriter.erase_op(end)
        return kernel.FuncOp(
            "kernel", ([v.type for v in region.ins], [r.type for r in region.outs]), body
        )


def _erase_unused(block: Block) -> None:
    for op in reversed(list(block.ops)):
        if isinstance(op, kernel.RegionOp | plan.ViewOp) and not any(r.uses for r in op.results):
            Rewriter.erase_op(op)
