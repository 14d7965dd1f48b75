"""`split-large-weights`: products with a matrix that does not fit one WebGPU binding become several products.

By default a binding holds 128 MiB (`maxStorageBufferBindingSize`); VGG16's first dense matrix has 411 MB. The matrix
is cut by columns, and the results are joined. All else that is large is bound in parts (`wgsl-split-bindings`), among
which each access has to choose: too much for the innermost loop of a product.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects.nn.base import shape_of
from webdnn.dialects.nn.data_movement import ConcatOp, SliceOp
from webdnn.dialects.nn.reduction import MatmulOp
from webdnn.dialects.webgpu_limits import WebGPULimits
from webdnn.lowering.storage_size import tensor_bytes
from webdnn.lowering.weights_function import entry_function


@dataclass(frozen=True)
class SplitLargeWeights(ModulePass):
    """See the module's docstring. Parts are multiples of `multiple` columns, so that they stay ready for vectors."""

    name = "split-large-weights"

    max_bytes: int = WebGPULimits.binding_bytes
    multiple: int = 64

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        static: set[SSAValue] = set()
        for inner in list(entry_function(op).body.block.ops):
            if inner.name.startswith("nn.") and all(v in static for v in inner.operands):
                static.update(inner.results)
            elif isinstance(inner, MatmulOp) and inner.rhs in static and self._too_large(inner.rhs):
                self._split(inner)

    def _too_large(self, value: SSAValue) -> bool:
        return len(shape_of(value)) == 2 and tensor_bytes(value.type, "webgpu") > self.max_bytes

    def _split(self, op: MatmulOp) -> None:
        rows, columns = shape_of(op.rhs)
        row_bytes = tensor_bytes(op.rhs.type, "webgpu") // columns
        width = max(self.max_bytes // row_bytes // self.multiple * self.multiple, 1)
        builder = Builder(InsertPoint.before(op))

        def insert(new: Operation) -> SSAValue:
            new.location = op.location
            return builder.insert(new).results[0]

        parts: list[SSAValue] = []
        for start in range(0, columns, width):
            size = [rows, min(width, columns - start)]
            parts.append(
                insert(MatmulOp(op.lhs, insert(SliceOp(op.rhs, [0, start], size, [1, 1]))))
            )
        op.res.replace_all_uses_with(insert(ConcatOp(parts, -1)))
        Rewriter.erase_op(op)
