"""Helper functions and entry points of a WGSL module."""

from __future__ import annotations

from collections import Counter

from xdsl.dialects import func

from webdnn.codegen.wgsl.names import Namer
from webdnn.codegen.wgsl.printer import FunctionPrinter, ModuleScope
from webdnn.codegen.wgsl.types import wgsl_type
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.wgsl import Access, bindings_of


def print_function(op: func.FuncOp, scope: ModuleScope) -> list[str]:
    """A helper function: `fn name(a: f32) -> f32 { ... }`."""
    printer = FunctionPrinter(scope)
    name = scope.functions[op.sym_name.data]
    parameters: list[str] = []
    for argument in op.args:
        parameter = printer.names.unique(argument.name_hint or "x")
        printer.bind(argument, parameter)
        parameters.append(f"{parameter}: {wgsl_type(argument.type)}")
    results = op.function_type.outputs.data
    arrow = f" -> {wgsl_type(results[0])}" if results else ""
    body = printer.body(op.body.block)
    return [f"fn {name}({', '.join(parameters)}){arrow} {{", *body, "}"]


def print_entry_point(kernel: FuncOp, scope: ModuleScope, comment: str = "") -> list[str]:
    """A kernel: a comment, its bindings, its sizes, its workgroup memory and its entry point."""
    name = kernel.sym_name.data
    if kernel.workgroup is None:
        raise WebDNNError(f"the kernel {name} has no workgroup size")
    printer = FunctionPrinter(scope)
    before = len(scope.declarations)
    counts: Counter[Access] = Counter()
    for i, (argument, access) in enumerate(zip(kernel.memories, bindings_of(kernel), strict=True)):
        default = ("in" if access is Access.READ else "out") + str(counts[access])
        counts[access] += 1
        variable = scope.names.unique(argument.name_hint or default)
        printer.bind(argument, variable)
        if access is Access.READ_WRITE:
            printer.mark_storage(argument)
        scope.declarations.append(
            f"@group(0) @binding({i}) var<storage, {access.value}> {variable}: {wgsl_type(argument.type)};"
        )
    _declare_sizes(kernel, printer, scope)
    body = printer.body(kernel.body.block)
    declared = scope.declarations[before:]
    del scope.declarations[before:]
    parameters = ", ".join(
        f"@builtin({b}) {variable}: vec3u" for b, variable in printer.builtins.items()
    )
    size = ", ".join(str(s.value.data) for s in kernel.workgroup.data)
    return [
        *comment.splitlines(),
        *declared,
        "",
        f"@compute @workgroup_size({size})",
        f"fn {scope.functions[name]}({parameters}) {{",
        *body,
        "}",
    ]


def _declare_sizes(kernel: FuncOp, printer: FunctionPrinter, scope: ModuleScope) -> None:
    """The uniform of a kernel's sizes, at the binding behind its memory: an `i32` for each, 4 bytes apart."""
    symbols = kernel.symbols
    if not symbols:
        return
    structure, variable = scope.names.unique("Sizes"), scope.names.unique("sizes")
    names = Namer()
    members: list[str] = []
    for operand, symbol in zip(kernel.size_operands, symbols, strict=True):
        member = names.unique(symbol.name)
        members.append(f"{member}: i32")
        printer.bind(operand, f"{variable}.{member}")
    binding = len(kernel.memories)
    scope.declarations += [
        f"struct {structure} {{ {', '.join(members)} }}",
        f"@group(0) @binding({binding}) var<uniform> {variable}: {structure};",
    ]
