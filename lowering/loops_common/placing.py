"""Places ops in nested blocks; equal pure ops are shared and invariant ones leave their loops as they are made.

The block of a loop is filled before the op that holds it is appended to the outer block. So an op that is appended to
the outer block meanwhile stands before the loop: hoisting an op is nothing but appending it to the block of its
innermost operand, and no later pass has to do so.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from xdsl.dialects import arith, scf
from xdsl.dialects.builtin import FloatAttr, IndexType, IntegerAttr
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from webdnn.lowering.divisions import DIVISIONS

index = IndexType()


@dataclass
class _Scope:
    """An open block; no load or division may leave one that is `guarded`, as it may not run."""

    block: Block
    guarded: bool
    values: dict[object, SSAValue] = field(default_factory=dict[object, SSAValue])


class Placer:
    """Holds the open blocks of one lowered kernel.

    Args:
        block: the kernel's block, whose arguments are memrefs.
    """

    def __init__(self, block: Block) -> None:
        self.block = block
        self._scopes = [_Scope(block, False)]
        self._depths: dict[Block, int] = {block: 0}

    @property
    def current_depth(self) -> int:
        """The number of blocks around the innermost one."""
        return len(self._scopes) - 1

    def append(self, op: Operation) -> Operation:
        """Put an op with effects at the current position."""
        self._scopes[-1].block.add_op(op)
        return op

    def depth(self, value: SSAValue) -> int:
        """The number of blocks around the one that a value is defined in."""
        owner = value.owner
        block = owner.parent if isinstance(owner, Operation) else owner
        assert block is not None
        return self._depths[block]

    def pure(
        self,
        key: Hashable,
        operands: Sequence[SSAValue],
        make: Callable[[], Operation],
        *,
        speculatable: bool = True,
        least_depth: int = 0,
    ) -> SSAValue:
        """The result of a pure op, made in the outermost block that has its operands, or shared with an equal one.

        Args:
            key: what identifies the op beside its operands (its class, properties and result type).
            speculatable: whether it may run where the program would not run it; what is not (loads, integer division)
                stays inside of the innermost `scf.if` around it.
            least_depth: the depth of the outermost block that it may stand in.
        """
        depth = max((self.depth(v) for v in operands), default=0)
        depth = max(depth, least_depth)
        if not speculatable:
            for i in range(self.current_depth, depth, -1):
                if self._scopes[i].guarded:
                    depth = i
                    break
        full_key = (key, tuple(operands))
        for scope in self._scopes[depth::-1]:
            if (value := scope.values.get(full_key)) is not None:
                return value
        scope = self._scopes[depth]
        op = make()
        scope.block.add_op(op)
        value = scope.values[full_key] = op.results[0]
        return value

    def like(
        self, template: Operation, operands: Sequence[SSAValue], result_type: Attribute
    ) -> SSAValue:
        """An op of the template's kind on other operands."""
        cls, properties = template.__class__, dict(template.properties)
        key = (cls, result_type, tuple(sorted(properties.items(), key=lambda item: item[0])))
        return self.pure(
            key,
            operands,
            lambda: cls.create(
                operands=operands, result_types=[result_type], properties=properties
            ),
            speculatable=not isinstance(template, DIVISIONS),
        )

    def _nested(
        self,
        arg_types: Sequence[Attribute],
        body: Callable[[Sequence[SSAValue]], Sequence[SSAValue]],
        *,
        guarded: bool,
        end: Callable[..., Operation] = scf.YieldOp,
    ) -> Region:
        """A region of one block, which `end` ends with what `body` gives."""
        block = Block(arg_types=arg_types)
        self._depths[block] = len(self._scopes)
        self._scopes.append(_Scope(block, guarded))
        results = body(block.args)
        self._scopes.pop()
        block.add_op(end(*results))
        return Region(block)

    def constant(self, value: IntegerAttr | FloatAttr) -> SSAValue:
        """`arith.constant`, at the top of the kernel."""
        return self.pure(value, (), lambda: arith.ConstantOp(value))

    def constant_index(self, value: int) -> SSAValue:
        """A constant of type index."""
        return self.constant(IntegerAttr(value, index))

    def binary(
        self,
        op: type[arith.SignlessIntegerBinaryOperation | arith.FloatingPointLikeBinaryOperation],
        lhs: SSAValue,
        rhs: SSAValue,
    ) -> SSAValue:
        """A binary op of `arith` that has no trap."""
        return self.pure(op, (lhs, rhs), lambda: op(lhs, rhs))
