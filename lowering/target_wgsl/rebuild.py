"""Rebuilds a kernel while each of its values becomes any number of values of other types.

Dialect conversion in one walk: a subclass says what a type becomes and rewrites the operations that
it cares about; the structure (loops, branches, block arguments) is converted here, and all other
operations are moved over as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.dialects import scf
from xdsl.dialects.builtin import FunctionType
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from webdnn.dialects.kernel import FuncOp, ReturnOp
from webdnn.lowering.target_wgsl.values import Emitter, Value

Parts = tuple[SSAValue, ...]


class Rebuilder:
    """One conversion of one kernel. Override `convert_type` and `visit`."""

    def __init__(self) -> None:
        self._parts: dict[SSAValue, Parts] = {}
        self._emitters: list[Emitter] = []

    # To override

    def convert_type(self, type: Attribute) -> tuple[Attribute, ...]:
        """The types of the values that a value of this type becomes."""
        return (type,)

    def visit(self, op: Operation) -> Sequence[Parts] | None:
        """Emit what an operation becomes and return the values of each result; None to move it over as it is."""
        return None

    # For subclasses

    @property
    def emitter(self) -> Emitter:
        """Adds operations where the conversion stands."""
        return self._emitters[-1]

    def parts(self, value: SSAValue) -> Parts:
        """The values that an old value has become."""
        return self._parts.get(value, (value,))

    def one(self, value: SSAValue) -> SSAValue:
        """The value that an old value has become, where that is one."""
        (part,) = self.parts(value)
        return part

    def value(self, value: SSAValue) -> Value:
        """The same, with operators."""
        return self.emitter.value(self.one(value))

    def set_parts(self, value: SSAValue, parts: Parts) -> None:
        """Say what an old value has become. The new values take over its name where they have none."""
        self._parts[value] = parts
        hint = value.name_hint
        if hint is None:
            return
        for number, part in enumerate(parts):
            if part.name_hint is None:
                part.name_hint = hint if len(parts) == 1 else f"{hint}_{number}"

    def recreate(self, op: Operation) -> Sequence[Parts]:
        """The same operation on the new operands, with results of the new types (one new value for each old one)."""
        types = [t for r in op.results for t in self.convert_type(r.type)]
        operands = [self.one(o) for o in op.operands]
        new = type(op).create(
            operands=operands,
            result_types=types,
            properties=op.properties.copy(),
            attributes=op.attributes.copy(),
        )
        new.location = op.location
        self.emitter.block.add_op(new)
        return [(r,) for r in new.results]

    # The walk

    def run(self, kernel: FuncOp) -> FuncOp:
        """Convert a kernel and put the result in its place."""
        old = kernel.body.block
        body = self._block(old)
        new = FuncOp(
            kernel.sym_name.data,
            FunctionType.from_lists([a.type for a in body.args], []),
            Region(body),
            attributes=kernel.attributes,
        )
        for name in FuncOp.OPTIONAL:
            if name in kernel.properties:
                new.properties[name] = kernel.properties[name]
        new.location = kernel.location
        outer = kernel.parent_block()
        assert outer is not None
        outer.insert_op_before(new, kernel)
        kernel.detach()
        kernel.erase(safe_erase=False)
        return new

    def _block(self, old: Block) -> Block:
        """Convert a block; its arguments become new ones."""
        new = Block(arg_types=[t for a in old.args for t in self.convert_type(a.type)])
        fresh = iter(new.args)
        for argument in old.args:
            count = len(self.convert_type(argument.type))
            self.set_parts(argument, tuple(next(fresh) for _ in range(count)))
        self._emitters.append(Emitter(new))
        for op in list(old.ops):
            self._op(op)
        self._emitters.pop()
        return new

    def _op(self, op: Operation) -> None:
        parts = self.visit(op)
        if parts is not None:
            for result, values in zip(op.results, parts, strict=True):
                self.set_parts(result, values)
            return
        match op:
            case scf.ForOp():
                self._for(op)
            case scf.IfOp():
                self._if(op)
            case scf.YieldOp():
                self.emitter.block.add_op(scf.YieldOp(*self._flat(op.arguments)))
            case ReturnOp():
                self.emitter.block.add_op(ReturnOp())
            case _:
                op.detach()
                for index, operand in enumerate(op.operands):
                    part = self.one(operand)
                    if part is not operand:
                        op.operands[index] = part
                self.emitter.block.add_op(op)

    def _flat(self, values: Sequence[SSAValue]) -> list[SSAValue]:
        return [p for v in values for p in self.parts(v)]

    def _results(self, old: Sequence[SSAValue], new: Sequence[SSAValue]) -> None:
        fresh = iter(new)
        for result in old:
            count = len(self.convert_type(result.type))
            self.set_parts(result, tuple(next(fresh) for _ in range(count)))

    def _for(self, op: scf.ForOp) -> None:
        lower, upper, step = self.one(op.lb), self.one(op.ub), self.one(op.step)
        inits = self._flat(op.iter_args)
        new = scf.ForOp(lower, upper, step, inits, self._block(op.body.block))
        new.attributes.update(op.attributes)
        self.emitter.block.add_op(new)
        self._results(op.res, new.res)

    def _if(self, op: scf.IfOp) -> None:
        types = [t for r in op.output for t in self.convert_type(r.type)]
        condition = self.one(op.cond)
        regions = [
            Region(self._block(b)) for b in (*op.true_region.blocks, *op.false_region.blocks)
        ]
        new = scf.IfOp(condition, types, regions[0], regions[1] if len(regions) > 1 else None)
        new.attributes.update(op.attributes)
        self.emitter.block.add_op(new)
        self._results(op.output, new.output)


def uses_type(kernel: FuncOp, predicate: Callable[[Attribute], bool]) -> bool:
    """Whether a value of the kernel has a type that the predicate holds for."""
    if any(predicate(a.type) for a in kernel.body.block.args):
        return True
    return any(predicate(r.type) for op in kernel.body.walk() for r in op.results)
