"""`convert-onnx-to-nn`: every ONNX node becomes `nn` ops with static shapes, in one walk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import FunctionType, ModuleOp, TensorType, UnitAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import VerifyException

from webdnn.dialects.dtypes import is_computable
from webdnn.dialects.errors import InternalError, WebDNNError, internal_errors
from webdnn.dialects.onnx import SEED, NoneOp, OnnxOp, WeightOp, YieldOp
from webdnn.dialects.weight_store import WeightStore, weights_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.errors import FailureInside, Invalid, Unsupported
from webdnn.lowering.onnx_to_nn.failures import Failures, no_lowering
from webdnn.lowering.onnx_to_nn.folding import fold, fold_lowered, is_foldable, is_run_in_numpy
from webdnn.lowering.onnx_to_nn.interface import check_inputs, output_tensors
from webdnn.lowering.onnx_to_nn.node import Node, Value, is_absent, node_name
from webdnn.lowering.onnx_to_nn.registry import find_lowering
from webdnn.lowering.onnx_to_nn.signature import check_node


def convert_onnx_to_nn(module: ModuleOp, weights: WeightStore) -> None:
    """Lower the `onnx` ops of a module's functions to `nn` ops, in place; new constants are added to `weights`.

    Raises:
        WebDNNError: an input has unknown sizes; or nodes cannot be lowered, and then the error lists all of them.
    """
    for op in module.body.block.ops:
        if isinstance(op, FuncOp):
            _Conversion(op, weights).run()


@dataclass(frozen=True)
class ConvertOnnxToNN(ModulePass):
    """From the `onnx` dialect to the `nn` dialect. The weights are those attached to the module."""

    name = "convert-onnx-to-nn"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        convert_onnx_to_nn(op, weights_of(op))


class _Conversion:
    def __init__(self, function: FuncOp, weights: WeightStore) -> None:
        self.function = function
        self.block = Block(arg_types=function.function_type.inputs.data)
        self.builder = NNBuilder(self.block, weights)
        self.values: dict[SSAValue, Value] = {}
        self.failures = Failures(self.is_known)
        self.guessed: set[SSAValue] = set()

    def run(self) -> None:
        check_inputs(self.function)
        old = self.function.body.block
        for argument, new in zip(old.args, self.block.args, strict=True):
            new.name_hint, new.location = argument.name_hint, argument.location
            self.values[argument] = new
        for op in old.ops:
            if not isinstance(op, ReturnOp):
                self.lower(op)
        if self.failures:
            raise self.failures.error()
        last = old.last_op
        assert last is not None
        results = output_tensors(self.function, [self.values[v] for v in last.operands])
        self.block.add_op(ReturnOp(*results))
        erase_unused(self.block)
        seed = self.builder.seed
        if seed is not None and seed.first_use is not None:
            self.function.attributes[SEED] = UnitAttr()
        elif seed is not None:
            self.block.erase_arg(self.block.args[-1])
        self.function.detach_region(self.function.body)
        self.function.add_region(Region(self.block))
        self.function.properties["function_type"] = FunctionType.from_lists(
            [a.type for a in self.block.args], [r.type for r in results]
        )

    def lower(self, op: Operation) -> None:
        """Lower one op and its regions' ops; a failure is noted."""
        self.builder.location = op.location
        if isinstance(op, NoneOp):
            return
        if isinstance(op, WeightOp):
            weight = self.builder.weight(op.key.data, op.res.type)
            weight.name_hint = weight.name_hint or op.res.name_hint
            self.values[op.res] = weight
            return
        assert isinstance(op, OnnxOp)
        name = node_name(op)
        self.builder.name = name
        if not all(is_absent(v) or v in self.values for v in op.operands):
            self.failures.skip(op)
            return
        operands: list[Value] = [None if is_absent(v) else self.values[v] for v in op.operands]
        is_guess = any(v in self.guessed for v in op.operands) or bool(self.guessed and op.regions)
        try:
            results = self.lowered(Node(op, operands, self.builder, self.lower_region))
        except FailureInside:
            self.guess_results(op)
            return
        except InternalError:
            raise
        except Exception as error:
            with internal_errors(f"lower node '{name}' ({op.op_type})", lambda _: [name]):
                self.fail(op, error, is_guess)
            return
        for old, new in zip(op.results, results, strict=False):
            self.values[old] = new
            if isinstance(new, SSAValue) and new.name_hint is None:
                new.name_hint = old.name_hint
        if is_guess:
            self.guessed.update(op.results)

    def fail(self, op: OnnxOp, error: Exception, is_guess: bool) -> None:
        """Note that `op` cannot be lowered, and go on behind it.

        Where types are a guess, it may be the guess that does not fit; what is not supported at all is certain.
        """
        if is_guess and (not isinstance(error, Unsupported) or isinstance(error, Invalid)):
            self.failures.skip(op)
        else:
            self.failures.note(op, _unsupported(error))
        self.guess_results(op)

    def guess_results(self, op: OnnxOp) -> None:
        """Values of the types that shape inference found for the results of an op that failed.

        So what reads them is looked at too, and one error names all that cannot be lowered. There are none where the
        results would have been constants, on whose values much depends.
        """
        if all(is_absent(v) or self.is_known(v) for v in op.operands):
            return
        for result in op.results:
            type = result.type
            if not isinstance(type, TensorType) or not is_computable(type.element_type):
                continue
            if all(n >= 0 for n in type.get_shape()):
                self.values[result] = self.block.insert_arg(type, len(self.block.args))
                self.guessed.add(result)

    def is_known(self, value: SSAValue) -> bool:
        """Whether a value of the `onnx` level is computed from constants alone."""
        lowered = self.values.get(value)
        return isinstance(lowered, SSAValue) and self.builder.is_constant(lowered)

    def lowered(self, node: Node) -> list[Value]:
        """The results of a node."""
        self.builder.nodes += 1
        self.builder.check_nodes(0)
        check_node(node)
        return self.lower_node(node)

    def lower_region(self, region: Region, arguments: Sequence[Value]) -> list[Value]:
        """Lower a region's ops here; its values are set anew each time, as a loop body runs many times."""
        location, name, failures = self.builder.location, self.builder.name, len(self.failures)
        for argument, value in zip(region.block.args, arguments, strict=True):
            self.values[argument] = value
        last = region.block.last_op
        assert isinstance(last, YieldOp)
        for op in region.block.ops:
            if op is not last:
                self.lower(op)
        self.builder.location, self.builder.name = location, name
        if len(self.failures) > failures or not all(v in self.values for v in last.operands):
            raise FailureInside
        return [self.values[v] for v in last.operands]

    def lower_node(self, node: Node) -> list[Value]:
        lowering = find_lowering(node.op)
        is_known = is_foldable(node, self.builder)
        if is_known and (lowering is None or not is_run_in_numpy(node)):
            return fold(node, self.builder)
        if lowering is None:
            raise no_lowering(node.op)
        try:
            results = lowering.function(node, self.builder)
        except Unsupported as error:
            if not is_known or isinstance(error, Invalid):
                raise
            return fold(node, self.builder)
        values: list[Value] = [results] if isinstance(results, SSAValue) else list(results)
        return fold_lowered(values, self.builder) if is_known else values


def _unsupported(error: Exception) -> Unsupported:
    """What a lowering raised, as the reason why its node cannot be lowered."""
    match error:
        case Unsupported():
            return error
        case WebDNNError():
            return Unsupported(error.what, error.hint)
        case VerifyException():
            hint = "if the model is right, this is a bug of WebDNN"
            return Invalid(f"it does not fit its operands: {error}", hint)
        case _:
            raise error


def erase_unused(block: Block) -> None:
    """Erase the ops whose results nobody reads, in one walk from the end."""
    op = block.last_op
    while op is not None:
        previous = op.prev_op
        if op.results and all(r.first_use is None for r in op.results):
            op.detach()
            op.erase()
        op = previous
