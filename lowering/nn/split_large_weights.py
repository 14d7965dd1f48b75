"""`split-large-weights`: products with a matrix that is larger than one operand may be become several products.

By default a binding of WebGPU holds 128 MiB (`maxStorageBufferBindingSize`); VGG16's first dense matrix has 411 MB. The
matrix is cut by columns, and the results are joined. All else that is large is bound in parts (`wgsl-split-bindings`),
among which each access has to choose: too much for the innermost loop of a product.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects.nn.data_movement import ConcatOp, SliceOp, depends_on_sizes
from webdnn.dialects.nn.reduction import MatmulOp
from webdnn.dialects.numpy_meaning.trait import is_nn
from webdnn.dialects.sizes.types import shape_of
from webdnn.lowering.target import memory_of
from webdnn.lowering.weights_function import entry_function


@dataclass(frozen=True)
class SplitLargeWeights(ModulePass):
    """See the module's docstring. Parts are multiples of `multiple` columns, so that they stay ready for vectors.

    Without `max_bytes`, an operand may be as large as on the target.
    """

    name = "split-large-weights"

    target: str = "webgpu"
    max_bytes: int | None = None
    multiple: int = 64

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        memory = memory_of(self.target)
        max_bytes = self.max_bytes or memory.max_operand_bytes
        if max_bytes is None:
            return
        static: set[SSAValue] = set()
        for inner in list(entry_function(op).body.block.ops):
            if (
                is_nn(inner)
                and not depends_on_sizes(inner)
                and all(v in static for v in inner.operands)
            ):
                static.update(inner.results)
            elif isinstance(inner, MatmulOp) and inner.rhs in static:
                size = memory.tensor_bytes(inner.rhs.type)
                if len(shape_of(inner.rhs)) == 2 and size > max_bytes:
                    self._split(inner, max_bytes, size)

    def _split(self, op: MatmulOp, max_bytes: int, bytes: int) -> None:
        rows, columns = shape_of(op.rhs)
        width = max(max_bytes // (bytes // columns) // self.multiple * self.multiple, 1)
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
