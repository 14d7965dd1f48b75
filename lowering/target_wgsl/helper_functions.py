"""The helper functions of a module: `func.func`s that kernels call and that become WGSL functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.dialects import func
from xdsl.dialects.builtin import FunctionType, ModuleOp, VectorType
from xdsl.ir import Block, Region, SSAValue

from webdnn.lowering.target_wgsl.values import Emitter, Value


class HelperFunctions:
    """Makes each helper function once per module and type.

    A function of a name and type is the same in every module, so modules that are lowered apart can
    be put together by keeping one of each.
    """

    def __init__(self, module: ModuleOp) -> None:
        self._module = module
        self._known = {f.sym_name.data: f for f in module.ops if isinstance(f, func.FuncOp)}

    def call(
        self, name: str, emit: Callable[..., Value], operands: Sequence[SSAValue]
    ) -> func.CallOp:
        """A call of the function `name`, whose body `emit` writes where it does not exist yet."""
        type = operands[0].type
        if isinstance(type, VectorType):
            name = f"{name}_vec{type.get_shape()[0]}"
        helper = self._known.get(name)
        if helper is None:
            helper = self._known[name] = _define(name, emit, operands)
            first = self._module.body.block.first_op
            assert first is not None
            self._module.body.block.insert_op_before(helper, first)
        return func.CallOp(name, operands, helper.function_type.outputs.data)


def _define(name: str, emit: Callable[..., Value], operands: Sequence[SSAValue]) -> func.FuncOp:
    types = [v.type for v in operands]
    block = Block(arg_types=types)
    emitter = Emitter(block)
    for argument, hint in zip(block.args, ("x", "y"), strict=False):
        argument.name_hint = hint
    result = emit(*[emitter.value(a) for a in block.args])
    block.add_op(func.ReturnOp(result.ssa))
    return func.FuncOp(
        name, FunctionType.from_lists(types, [result.type]), Region(block), visibility="private"
    )
