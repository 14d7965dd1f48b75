"""Expressions at one point of a loop nest, with the vectors of a CPU."""

from __future__ import annotations

from xdsl.dialects import vector
from xdsl.ir import Attribute, Operation, SSAValue

from webdnn.lowering.loops_common.evaluate import Evaluator
from webdnn.lowering.loops_common.expression import Choose, Constant, Load, Node, Store
from webdnn.lowering.loops_common.indices import lane_of
from webdnn.lowering.loops_common.linear import Dim, Lin


class CPUVectors:
    """Vectors hold everything, and begin wherever they like."""

    def holds(self, type: Attribute) -> bool:
        return True

    def maps(self, op: Operation) -> bool:
        return True

    def loads(self, load: Load, lane: Dim, width: int) -> bool:
        return True


class PointEvaluator(Evaluator):
    """Evaluates expressions at one point, and stores them."""

    def load_lanes(self, load: Load, width: int) -> list[SSAValue]:
        """For each lane of a load that is scattered along the vectorised dimension, the `width` elements from it on."""
        address = self.address(load)
        return [self.elements(load, lane_of(address, i), width) for i in range(self.width)]

    def write(self, store: Store) -> None:
        """Store the valid lanes of a value."""
        value, memory = self.vector(store.value), store.buffer.value
        assert memory is not None
        address = self.address(store)
        contiguous = isinstance(address, Lin) and address.lane == 1
        if self.width == 1 or (contiguous and self.valid == self.width):
            self.emitter.store(value, memory, lane_of(address, 0))
            return
        for lane in range(self.valid):
            self.emitter.store(self.emitter.lane(value, lane), memory, lane_of(address, lane))

    def fma(self, a: SSAValue, b: SSAValue, c: SSAValue) -> SSAValue:
        """`a * b + c` on vectors of floats."""
        return self.emitter.pure(vector.FMAOp, (a, b, c), lambda: vector.FMAOp(a, b, c))

    def number(self, node: Node) -> float | None:
        """The value of a constant, or of the constant that a table holds where its position is known."""
        match node:
            case Constant(value=attr):
                return attr.value.data
            case Choose():
                at = self.form(node.position)
                if not isinstance(at, Lin) or not at.is_const:
                    return None
                case = node.case_at(at.const)
                return None if case is None else self.number(case)
            case _:
                return None
