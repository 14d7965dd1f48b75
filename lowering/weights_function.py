"""`@weights`: the function whose results are the arrays that a package ships.

It holds `nn` ops on weight handles only, and is run in numpy when the package is written.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from xdsl.dialects import func
from xdsl.dialects.builtin import FunctionType, ModuleOp, StringAttr
from xdsl.ir import Operation, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects import plan
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.plan import ENTRY, WEIGHTS_FUNCTION


def find_function(module: ModuleOp, name: str) -> func.FuncOp | None:
    """The `func.func` of this name in `module`."""
    for op in module.ops:
        if isinstance(op, func.FuncOp) and op.sym_name.data == name:
            return op
    return None


def entry_function(module: ModuleOp) -> func.FuncOp:
    """The host program `@main`.

    Raises:
        WebDNNError: there is none.
    """
    found = find_function(module, ENTRY)
    if found is None:
        raise WebDNNError(f"the module has no func.func @{ENTRY}")
    return found


class WeightsFunction:
    """Gives access to `@weights` of a module, and makes it where it is not there yet."""

    def __init__(self, module: ModuleOp) -> None:
        found = find_function(module, WEIGHTS_FUNCTION)
        if found is None:
            found = func.FuncOp(WEIGHTS_FUNCTION, ([], []), visibility=StringAttr("private"))
            found.body.block.add_op(func.ReturnOp())
            module.body.block.add_op(found)
        self.function = found
        self._added: dict[SSAValue, int] | None = None
        self._waiting: list[SSAValue] = []

    @contextmanager
    def together(self) -> Generator[None]:
        """Inside, results are added one at a time; the function returns them from the end of it on."""
        self._waiting = list(self.results)
        self._added = {value: index for index, value in enumerate(self._waiting)}
        count = len(self._waiting)
        yield
        results, self._added, self._waiting = self._waiting, None, []
        if len(results) > count:
            self.set_results(results)

    @property
    def results(self) -> Sequence[SSAValue]:
        """The values that the function returns; `plan.weight N` names the N-th."""
        return self._return.arguments if self._added is None else self._waiting

    @property
    def _return(self) -> func.ReturnOp:
        last = self.function.body.block.last_op
        assert isinstance(last, func.ReturnOp)
        return last

    def insert(self, op: Operation) -> None:
        """Put a detached op at the end of the function's body."""
        Rewriter.insert_op(op, InsertPoint.before(self._return))

    def add_results(self, values: Sequence[SSAValue]) -> list[int]:
        """Return `values` too (values of the function's body); gives the index of each."""
        if self._added is None:
            with self.together():
                return self.add_results(values)
        for value in values:
            if value not in self._added:
                self._added[value] = len(self._waiting)
                self._waiting.append(value)
        return [self._added[value] for value in values]

    def set_results(self, values: Sequence[SSAValue]) -> None:
        """Return exactly `values`."""
        old = self._return
        Rewriter.insert_op(func.ReturnOp(*values), InsertPoint.before(old))
        Rewriter.erase_op(old)
        self.function.function_type = FunctionType.from_lists([], [v.type for v in values])


def drop_unused_weights(module: ModuleOp) -> None:
    """Drop handles that nobody reads, results of `@weights` that no handle names, and what they alone needed."""
    for op in reversed(list(entry_function(module).body.block.ops)):
        if isinstance(op, plan.WeightOp | plan.ViewOp) and not op.res.uses:
            Rewriter.erase_op(op)
    weights = WeightsFunction(module)
    used: dict[int, list[plan.WeightOp]] = {}
    for op in entry_function(module).body.walk():
        if isinstance(op, plan.WeightOp):
            used.setdefault(op.index.value.data, []).append(op)
    kept = sorted(used)
    results = weights.results
    weights.set_results([results[index] for index in kept])
    for new_index, old_index in enumerate(kept):
        for op in used[old_index]:
            op.index = plan.WeightOp(new_index, op.res.type).index
    for op in reversed(list(weights.function.body.block.ops)):
        if not isinstance(op, func.ReturnOp) and not any(r.uses for r in op.results):
            Rewriter.erase_op(op)
