"""A module of level `target` to WGSL sources, and what `model.json` needs to know of each kernel."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects import func
from xdsl.dialects.builtin import Float16Type, IntegerAttr, MemRefType, ModuleOp
from xdsl.ir import Attribute

from webdnn.codegen.wgsl.functions import print_entry_point, print_function
from webdnn.codegen.wgsl.operations import element_type
from webdnn.codegen.wgsl.printer import ModuleScope
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.locations import location_names
from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.wgsl import PART_BYTES, bindings_of


@dataclass(frozen=True)
class KernelInfo:
    """What a host must know to run a kernel.

    Args:
        name: the kernel's symbol.
        entry_point: the name of its entry point in the WGSL source.
        bindings: `read` or `read_write` for `@group(0) @binding(i)`, in the order of the operands, of each its parts.
        workgroups: how many workgroups to dispatch, in x, y and z; expressions of the kernel's sizes.
        workgroup_size: the invocations of a workgroup, in x, y and z.
        features: WebGPU features that the device must have.
        part_bytes: how much of an operand of known size a binding holds, where an operand is bound in parts.
        sizes: the names of the kernel's sizes. They are one uniform of an `i32` for each, in this order, at the binding
            behind those of the operands.
    """

    name: str
    entry_point: str
    bindings: tuple[str, ...]
    workgroups: tuple[int, int, int]
    workgroup_size: tuple[int, int, int]
    features: tuple[str, ...] = ()
    part_bytes: int | None = None
    sizes: tuple[str, ...] = ()

    def parts(self, size: int) -> list[tuple[int, int]]:
        """The offset and the bytes of each binding of an operand of `size` bytes."""
        if is_symbolic(size):
            return [(0, size)]
        step = self.part_bytes or max(size, 1)
        return [(start, min(step, size - start)) for start in range(0, max(size, 1), step)]


@dataclass(frozen=True)
class Shader:
    """One WGSL source and the kernels in it."""

    source: str
    kernels: tuple[KernelInfo, ...]


def kernel_info(kernel: FuncOp, entry_point: str | None = None) -> KernelInfo:
    """What the host must know of a kernel of level `target`."""
    name = kernel.sym_name.data
    if kernel.grid is None or kernel.workgroup is None:
        raise WebDNNError(f"the kernel {name} has no grid or no workgroup size")
    grid = kernel.grid_sizes
    size = tuple(g.value.data for g in kernel.workgroup.data)
    if len(grid) != 3 or len(size) != 3:
        raise WebDNNError(
            f"the grid and the workgroup size of the kernel {name} have three dimensions"
        )
    bindings = tuple(b.value for b in bindings_of(kernel))
    features = ("shader-f16",) if _uses_f16(kernel) else ()
    part = kernel.attributes.get(PART_BYTES)
    part_bytes = part.value.data if isinstance(part, IntegerAttr) else None
    sizes = tuple(symbol.name for symbol in kernel.symbols)
    return KernelInfo(name, entry_point or name, bindings, grid, size, features, part_bytes, sizes)


def _uses_f16(op: FuncOp | func.FuncOp) -> bool:
    """Whether values or memory of a function are halves."""

    def is_half(type: Attribute) -> bool:
        if isinstance(type, MemRefType):
            return is_half(type.element_type)
        return isinstance(element_type(type), Float16Type)

    values = [*op.body.block.args, *(r for inner in op.body.walk() for r in inner.results)]
    return any(is_half(v.type) for v in values)


_MOST_LABELS = 12
_COMMENT_WIDTH = 96
_UNSHOWN = "\ufffd"


def _printable(label: str) -> str:
    """A name as it may stand in a comment. Compilers refuse sources with a null character, or end a comment at any of
    several kinds of line breaks; other characters that cannot be seen make a source look like what it is not."""
    line = " ".join(label[: _COMMENT_WIDTH + 1].split())
    if len(label) > _COMMENT_WIDTH:
        line = line[: _COMMENT_WIDTH - 3] + "..."
    return "".join(c if c.isprintable() else _UNSHOWN for c in line)


def label_comment(labels: Sequence[str]) -> str:
    """A comment that names the nodes of the model that a kernel computes; a long list is cut short, and a long name."""
    names = [name for label in dict.fromkeys(labels) if (name := _printable(label))]
    if not names:
        return ""
    more = len(names) - _MOST_LABELS
    text = ", ".join(names[:_MOST_LABELS]) + (f" and {more} more" if more > 0 else "")
    lines = textwrap.wrap(text, _COMMENT_WIDTH, break_long_words=False, break_on_hyphens=False)
    return "".join(f"// {line}\n" for line in lines)


def _source(kernels: Sequence[FuncOp], helpers: dict[str, func.FuncOp]) -> Shader:
    scope = ModuleScope()
    used = _reachable(kernels, helpers)
    for helper in used:
        scope.functions[helper.sym_name.data] = scope.names.unique(helper.sym_name.data)
    for kernel in kernels:
        scope.functions[kernel.sym_name.data] = scope.names.unique(kernel.sym_name.data)
    parts: list[list[str]] = [print_function(helper, scope) for helper in used]
    infos: list[KernelInfo] = []
    for kernel in kernels:
        labels = tuple(location_names(kernel.location))
        parts.append(print_entry_point(kernel, scope, label_comment(labels)))
        infos.append(kernel_info(kernel, scope.functions[kernel.sym_name.data]))
    if scope.declarations:
        parts.insert(0, scope.declarations)
    if any(_uses_f16(f) for f in (*used, *kernels)):
        parts.insert(0, ["enable f16;"])
    return Shader("\n\n".join("\n".join(part) for part in parts) + "\n", tuple(infos))


def _reachable(kernels: Sequence[FuncOp], helpers: dict[str, func.FuncOp]) -> list[func.FuncOp]:
    """The helper functions that the kernels call, callees first."""
    found: dict[str, func.FuncOp] = {}

    def visit(op: FuncOp | func.FuncOp) -> None:
        for inner in op.walk():
            if isinstance(inner, func.CallOp):
                name = inner.callee.string_value()
                if name in helpers and name not in found:
                    visit(helpers[name])
                    found[name] = helpers[name]

    for kernel in kernels:
        visit(kernel)
    return list(found.values())


def print_shaders(module: ModuleOp, *, kernels_per_shader: int = 0) -> list[Shader]:
    """The WGSL sources of a module of level `target`.

    Args:
        module: `kernel.func`s of level `target`, and `func.func`s that they call.
        kernels_per_shader: how many kernels share a source; 0 puts all into one.
    """
    kernels = [op for op in module.ops if isinstance(op, FuncOp)]
    helpers = {op.sym_name.data: op for op in module.ops if isinstance(op, func.FuncOp)}
    step = kernels_per_shader or max(len(kernels), 1)
    return [_source(kernels[i : i + step], helpers) for i in range(0, len(kernels), step)]


def print_wgsl(module: ModuleOp) -> str:
    """One WGSL source with an entry point for each kernel of a module of level `target`."""
    return "\n".join(shader.source for shader in print_shaders(module))
