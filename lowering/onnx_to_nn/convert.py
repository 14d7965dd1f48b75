"""`convert-onnx-to-nn`: every ONNX node becomes `nn` ops with static shapes, in one walk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import FunctionType, ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import VerifyException

from webdnn.dialects.errors import InternalError, WebDNNError, internal_errors
from webdnn.dialects.onnx import NoneOp, OnnxOp, WeightOp, YieldOp
from webdnn.dialects.weight_store import WeightStore, weights_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.errors import Invalid, Unsupported
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
        self.failures: list[tuple[str, str, Unsupported]] = []

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
            raise _failure_error(self.failures)
        last = old.last_op
        assert last is not None
        results = output_tensors(self.function, [self.values[v] for v in last.operands])
        self.block.add_op(ReturnOp(*results))
        self.function.detach_region(self.function.body)
        self.function.add_region(Region(self.block))
        self.function.properties["function_type"] = FunctionType.from_lists(
            [a.type for a in self.block.args], [r.type for r in results]
        )
        erase_unused(self.block)

    def lower(self, op: Operation) -> None:
        """Lower one op and its regions' ops; a failure is noted, and what reads its results is skipped."""
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
            if find_lowering(op) is None:
                self.failures.append((name, op.op_type, _no_lowering(op)))
            return
        operands: list[Value] = [None if is_absent(v) else self.values[v] for v in op.operands]
        try:
            with internal_errors(f"lower node '{name}' ({op.op_type})", lambda _: [name]):
                results = self.lowered(Node(op, operands, self.builder, self.lower_region))
        except InternalError:
            raise
        except WebDNNError as error:
            self.failures.append((name, op.op_type, Unsupported(error.what, error.hint)))
            return
        if isinstance(results, Unsupported):
            self.failures.append((name, op.op_type, results))
            return
        if results is None:
            return
        for old, new in zip(op.results, results, strict=False):
            self.values[old] = new
            if isinstance(new, SSAValue) and new.name_hint is None:
                new.name_hint = old.name_hint

    def lowered(self, node: Node) -> list[Value] | Unsupported | None:
        """The results of a node, or why there are none; None where it was a node inside of it, which has been noted."""
        self.builder.nodes += 1
        try:
            self.builder.check_nodes(0)
            check_node(node)
            return self.lower_node(node)
        except Unsupported as failure:
            return failure
        except _FailureInside:
            return None
        except VerifyException as error:
            return Unsupported(
                f"it does not fit its operands: {error}",
                "if the model is right, report it: then this is a bug of WebDNN",
            )

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
            raise _FailureInside
        return [self.values[v] for v in last.operands]

    def lower_node(self, node: Node) -> list[Value]:
        lowering = find_lowering(node.op)
        is_known = is_foldable(node, self.builder)
        if is_known and (lowering is None or not is_run_in_numpy(node)):
            return fold(node, self.builder)
        if lowering is None:
            raise _no_lowering(node.op)
        try:
            results = lowering.function(node, self.builder)
        except Unsupported as error:
            if not is_known or isinstance(error, Invalid):
                raise
            return fold(node, self.builder)
        values: list[Value] = [results] if isinstance(results, SSAValue) else list(results)
        return fold_lowered(values, self.builder) if is_known else values


class _FailureInside(Exception):
    """A node in a region failed, which has been noted."""


def _no_lowering(op: OnnxOp) -> Unsupported:
    domain = f" of domain '{op.domain}'" if op.domain else ""
    return Unsupported(f"there is no lowering for this operator{domain}")


def _failure_error(failures: list[tuple[str, str, Unsupported]]) -> WebDNNError:
    count = len(failures)
    groups: dict[tuple[str, str], list[str]] = {}
    for name, op_type, failure in failures:
        groups.setdefault((op_type, failure.reason), []).append(name)
    hints = list(dict.fromkeys(f.hint for _, _, f in failures if f.hint))
    if not all(isinstance(f, Invalid) for _, _, f in failures):
        hints.append(("or " if hints else "") + "add a lowering: docs/adding-an-operator.md")
    return WebDNNError(
        f"{count} node{'s' if count > 1 else ''} of the model cannot be compiled",
        where=[
            f"{op_type} ({reason}): " + ", ".join(f"'{n}'" for n in names)
            for (op_type, reason), names in groups.items()
        ],
        hint="; ".join(hints),
    )


def erase_unused(block: Block) -> None:
    """Erase the ops whose results nobody reads, in one walk from the end."""
    op = block.last_op
    while op is not None:
        previous = op.prev_op
        if op.results and all(r.first_use is None for r in op.results):
            op.detach()
            op.erase()
        op = previous
