"""One kernel (or helper function) of level `target` to WGSL statements.

Structured control flow stays structured. A pure value that is used once, in its own block, is
printed where it is used; every other value is a `let` with the IR's name. Loads from memory that
the kernel also writes never move over a write.
"""

from __future__ import annotations

import math as pymath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from xdsl.dialects import arith, func, gpu, memref, scf, vector
from xdsl.dialects.builtin import (
    Float16Type,
    FloatAttr,
    MemRefType,
    StringAttr,
    VectorType,
    i1,
)
from xdsl.ir import Block, BlockArgument, Operation, SSAValue

from webdnn.codegen.wgsl.expressions import Expr, Level, call, combine
from webdnn.codegen.wgsl.names import Namer
from webdnn.codegen.wgsl.operations import REPEATS_OPERANDS, builder_of, element_type
from webdnn.codegen.wgsl.text import (
    annotation,
    assignment,
    literal_expr,
    may_be_inlined,
    wished_name,
)
from webdnn.codegen.wgsl.types import (
    constant_elements,
    float_bits,
    float_literal,
    wgsl_type,
)
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp, ReturnOp
from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.wgsl import WORKGROUP_SPACE

_IDS: dict[type[Operation], tuple[str, str]] = {
    gpu.BlockIdOp: ("workgroup_id", "workgroup_id"),
    gpu.ThreadIdOp: ("local_id", "local_invocation_id"),
    gpu.GlobalIdOp: ("global_id", "global_invocation_id"),
}


@dataclass
class ModuleScope:
    """What the functions of one WGSL source share: names, module-scope declarations and helper functions."""

    names: Namer = field(default_factory=Namer)
    declarations: list[str] = field(default_factory=list[str])
    functions: dict[str, str] = field(default_factory=dict[str, str])
    """WGSL names of helper functions by symbol."""
    _bits: dict[int, str] = field(default_factory=dict[int, str])

    def runtime_bits(self, value: float) -> str:
        """A private variable with the bits of an infinity or NaN, which no constant expression of WGSL may yield."""
        bits = float_bits(value)
        if bits not in self._bits:
            wish = "nan" if pymath.isnan(value) else "inf" if value > 0 else "minus_inf"
            name = self._bits[bits] = self.names.unique(f"{wish}_bits")
            self.declarations.append(f"var<private> {name}: u32 = {hex(bits)}u;")
        return self._bits[bits]


class FunctionPrinter:
    """Prints the statements of one function body."""

    def __init__(self, scope: ModuleScope) -> None:
        self.scope = scope
        self.names = Namer(scope.names)
        self.builtins: dict[str, str] = {}
        """Built-in inputs that are used: attribute to parameter name."""
        self.variables: list[str] = []
        """Function-scope arrays, declared at the top so that they are not cleared anew in each iteration."""
        self._lines: list[str] = []
        self._indent = 1
        self._exprs: dict[SSAValue, Expr] = {}
        self._pending: dict[SSAValue, None] = {}
        """Values that are not printed yet, because their only use comes later in the same block."""
        self._written: set[SSAValue] = set()
        self._storage: set[SSAValue] = set()
        self._loads_written_storage = False

    # Statements

    def line(self, text: str) -> None:
        self._lines.append("  " * self._indent + text)

    def bind(self, value: SSAValue, name: str) -> None:
        """Say that `value` (an operand of the function) is called `name`."""
        self._exprs[value] = Expr(name)

    def body(self, block: Block) -> list[str]:
        """Print a function's block and return its lines."""
        self._find_written(block)
        self._print_block(block)
        declared = [f"  var {v};" for v in self.variables]
        return declared + self._lines

    def mark_storage(self, value: SSAValue) -> None:
        """Say that `value` is a storage buffer that is bound for writing."""
        self._storage.add(value)

    def _find_written(self, block: Block) -> None:
        for op in block.walk():
            if isinstance(op, memref.StoreOp):
                self._written.add(op.memref)
            elif isinstance(op, vector.StoreOp):
                self._written.add(op.base)
            elif isinstance(op, memref.LoadOp) and op.memref in self._storage:
                self._loads_written_storage = True

    def _print_block(self, block: Block) -> None:
        for op in block.ops:
            self._print_op(op)

    def _print_op(self, op: Operation) -> None:
        if isinstance(op, arith.ConstantOp):
            self._exprs[op.result] = self._constant(op)
            return
        if (builder := builder_of(op)) is not None:
            args = [self._use(o) for o in op.operands]
            if isinstance(op, REPEATS_OPERANDS):
                args = [a if a.is_atom else self._let(a, "v") for a in args]
            if isinstance(op, vector.BroadcastOp) and args[0].is_atom:
                self._exprs[op.vector] = builder(op, args)
                return
            if args and all(a.literal for a in args):
                # A constant expression may overflow, which WGSL refuses; a `let` is no constant expression.
                args = [self._let(args[0], "c"), *args[1:]]
            self._define(op, builder(op, args))
            return
        match op:
            case gpu.BlockIdOp() | gpu.ThreadIdOp() | gpu.GlobalIdOp():
                self._define(op, self._invocation_id(op))
            case gpu.BlockDimOp() | gpu.GridDimOp():
                self._define(op, self._dimension(op))
            case memref.LoadOp():
                self._define(op, self._element(op.memref, op.indices))
            case memref.StoreOp():
                self._store(op.memref, op.indices, op.value)
            case memref.AllocaOp():
                self._alloca(op)
            case gpu.BarrierOp():
                self._flush()  # so that loads are under way while other invocations are waited for
                if self._loads_written_storage:
                    self.line("storageBarrier();")
                self.line("workgroupBarrier();")
            case scf.ForOp():
                self._for(op)
            case scf.IfOp():
                self._if(op)
            case func.CallOp():
                name = self.scope.functions.get(op.callee.string_value())
                if name is None:
                    raise WebDNNError(f"the helper function {op.callee} is not in the module")
                self._define(op, call(name, *[self._use(a) for a in op.arguments]))
            case func.ReturnOp():
                if op.arguments:
                    self.line(f"return {self._use(op.arguments[0]).text};")
            case ReturnOp() | scf.YieldOp():
                pass
            case _:
                raise WebDNNError(
                    f"the WGSL printer does not know the operation {op.name}",
                    hint="run `lower-to-wgsl` first",
                )

    # Values

    def _use(self, value: SSAValue) -> Expr:
        self._pending.pop(value, None)
        expr = self._exprs.get(value)
        if expr is None:
            raise WebDNNError(f"the WGSL printer met a use of {value} before its definition")
        return expr

    def _named(self, value: SSAValue) -> Expr:
        """The value as an expression that may be evaluated many times: a name or a literal."""
        expr = self._use(value)
        if expr.is_atom:
            return expr
        return self._let(expr, wished_name(value))

    def _let(self, expr: Expr, wish: str) -> Expr:
        name = self.names.unique(wish)
        self.line(f"let {name} = {expr.text};")
        return Expr(name)

    def _define(self, op: Operation, expr: Expr) -> None:
        result = op.results[0]
        user = result.get_user_of_unique_use()
        if user is not None and user.parent is op.parent and may_be_inlined(expr, user):
            self._exprs[result] = expr
            self._pending[result] = None
        elif result.first_use is not None:
            self._exprs[result] = self._let(expr, wished_name(result))

    def _flush(self, *, volatile: bool = False) -> None:
        """Print the pending values (only those that read writable memory, where `volatile`)."""
        for value in list(self._pending):
            expr = self._exprs[value]
            if volatile and not expr.volatile:
                continue
            del self._pending[value]
            self._exprs[value] = self._let(expr, wished_name(value))

    def _constant(self, op: arith.ConstantOp) -> Expr:
        type = op.result.type
        texts: list[str] = []
        literal = True
        for element in constant_elements(op.value):
            if isinstance(op.value, FloatAttr) or isinstance(element, float):
                if pymath.isfinite(element):
                    texts.append(float_literal(element, element_type(type)))
                else:
                    literal = False
                    text = f"bitcast<f32>({self.scope.runtime_bits(element)})"
                    is_half = isinstance(element_type(type), Float16Type)
                    texts.append(f"f16({text})" if is_half else text)
            elif element_type(type) == i1:
                texts.append("true" if element else "false")
            else:
                texts.append(str(element))
        if isinstance(type, VectorType):
            text = f"{wgsl_type(type)}({', '.join(texts)})"
            if len(texts) > 1:
                return Expr(text, literal=literal)
            return Expr(text, literal=literal, splat=literal_expr(texts[0], literal))
        return literal_expr(texts[0], literal)

    def _invocation_id(self, op: gpu.BlockIdOp | gpu.ThreadIdOp | gpu.GlobalIdOp) -> Expr:
        wish, builtin = _IDS[type(op)]
        return Expr(f"i32({self._builtin(builtin, wish)}.{op.dimension.data.value})")

    def _builtin(self, builtin: str, wish: str) -> str:
        """The parameter that is a built-in input."""
        if builtin not in self.builtins:
            self.builtins[builtin] = self.names.unique(wish)
        return self.builtins[builtin]

    def _dimension(self, op: gpu.BlockDimOp | gpu.GridDimOp) -> Expr:
        kernel = op.parent_op()
        while not isinstance(kernel, FuncOp):
            assert kernel is not None
            kernel = kernel.parent_op()
        assert kernel.workgroup is not None
        size = tuple(n.value.data for n in kernel.workgroup.data)
        sizes = size if isinstance(op, gpu.BlockDimOp) else kernel.grid_sizes
        axis = str(op.dimension.data)
        length = sizes["xyz".index(axis)]
        if is_symbolic(length):
            return Expr(f"i32({self._builtin('num_workgroups', 'num_workgroups')}.{axis})")
        return Expr(str(length), literal=True)

    # Memory

    def _element(self, base: SSAValue, indices: Sequence[SSAValue]) -> Expr:
        if len(indices) != 1:
            raise WebDNNError("memory of level `target` has one dimension")
        index = self._use(indices[0])
        name = self._use(base).text
        element = combine(f"{name}[{index.text}]", Level.PRIMARY, (index,))
        if base in self._written:
            return Expr(element.text, Level.PRIMARY, element.reads, volatile=True)
        return element

    def _store(self, base: SSAValue, indices: Sequence[SSAValue], value: SSAValue) -> None:
        stored = self._use(value)
        target = self._element(base, indices)
        self._flush(volatile=True)
        self.line(f"{target.text} = {stored.text};")

    def _alloca(self, op: memref.AllocaOp) -> None:
        type = op.memref.type
        assert isinstance(type, MemRefType)
        wish = op.memref.name_hint
        match type.memory_space:
            case StringAttr(data=space) if space == WORKGROUP_SPACE:
                name = self.scope.names.unique(wish or "tile")
                self.scope.declarations.append(f"var<workgroup> {name}: {wgsl_type(type)};")
            case StringAttr(data=space):
                raise WebDNNError(f"WGSL has no memory space {space!r}")
            case _:
                name = self.names.unique(wish or "scratch")
                self.variables.append(f"{name}: {wgsl_type(type)}")
        self._exprs[op.memref] = Expr(name)

    # Control flow

    def _nested(self, block: Block) -> None:
        self._indent += 1
        self._print_block(block)

    def _for(self, op: scf.ForOp) -> None:
        lower, upper, step = self._use(op.lb), self._named(op.ub), self._named(op.step)
        induction, *carried = op.body.block.args
        inits = [self._use(v) for v in op.iter_args]
        self._flush()
        for arg, result, old, init in zip(carried, op.res, op.iter_args, inits, strict=True):
            if self._is_free_variable(old, op):
                name = init.text
            else:
                name = self.names.unique(arg.name_hint or result.name_hint or "acc")
                self.line(f"var {name}{annotation(arg, init)} = {init.text};")
            self._exprs[arg] = self._exprs[result] = Expr(name, reads=frozenset((name,)))
        i = self.names.unique(induction.name_hint or "i")
        self._exprs[induction] = Expr(i)
        advance = f"{i}++" if step.text == "1" else f"{i} += {step.text}"
        self.line(f"for (var {i} = {lower.text}; {i} < {upper.at(Level.ADD)}; {advance}) {{")
        self._nested(op.body.block)
        last = op.body.block.last_op
        assert isinstance(last, scf.YieldOp)
        self._assign([self._exprs[a].text for a in carried], last.arguments)
        self._indent -= 1
        self.line("}")

    def _is_free_variable(self, value: SSAValue, loop: scf.ForOp) -> bool:
        """Whether a loop may go on with the variable of its initial value, since nothing else reads that.

        That is so for a value which the loop around it carries, and for one that an earlier loop
        beside it has computed.
        """
        if value.get_user_of_unique_use() is not loop:
            return False
        if isinstance(value, BlockArgument):
            return value.block is loop.parent and isinstance(loop.parent_op(), scf.ForOp)
        return isinstance(value.owner, scf.ForOp) and value.owner.parent is loop.parent

    def _assign(self, names: Sequence[str], values: Iterable[SSAValue]) -> None:
        """Assign all at once: a value that reads a variable assigned before it is computed first."""
        exprs = [self._use(v) for v in values]
        self._flush(volatile=True)
        pairs = [(n, e) for n, e in zip(names, exprs, strict=True) if e.text != n]
        assigned: set[str] = set()
        ready: list[tuple[str, Expr]] = []
        for name, expr in pairs:
            ready.append((name, self._let(expr, f"next_{name}") if expr.reads & assigned else expr))
            assigned.add(name)
        for name, expr in ready:
            self.line(assignment(name, expr.text))

    def _if(self, op: scf.IfOp) -> None:
        condition = self._use(op.cond)
        self._flush()
        names: list[str] = []
        for result in op.output:
            name = self.names.unique(result.name_hint or "chosen")
            self.line(f"var {name}: {wgsl_type(result.type)};")
            self._exprs[result] = Expr(name)
            names.append(name)
        self.line(f"if ({condition.text}) {{")
        self._branch(op.true_region.block, names)
        if op.false_region.blocks and len(op.false_region.block.ops) > (0 if names else 1):
            self.line("} else {")
            self._branch(op.false_region.block, names)
        self.line("}")

    def _branch(self, block: Block, names: Sequence[str]) -> None:
        self._nested(block)
        if isinstance(block.last_op, scf.YieldOp):
            self._assign(names, block.last_op.arguments)
        self._indent -= 1
