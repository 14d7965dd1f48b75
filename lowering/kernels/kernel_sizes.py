"""Symbols of a kernel's own: which sizes it depends on, whatever they are called in the host program."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from xdsl.dialects.builtin import FunctionType, TensorType
from xdsl.ir import Attribute, Region
from xdsl.rewriter import Rewriter

from webdnn.dialects.kernel import FuncOp, SizeOp
from webdnn.dialects.sizes.expression import Atom, Symbol, atom_size, bounds, symbols_of
from webdnn.dialects.sizes.substitution import atoms_of, likely, replace_atoms
from webdnn.dialects.sizes.types import SizesAttr, element_of, shape_of, tensor_type


def give_own_symbols(func: FuncOp) -> list[int]:
    """Let a kernel on level `kernels` call the symbols that it depends on `n0`, `n1` ..., and list them in `sizes`.

    A quotient or a maximum is a symbol of the kernel where its symbols stand nowhere else: layers whose sizes are
    halves, quarters and eighths of one symbol then share a kernel.

    Returns:
        What each of them is in the host program: the `sizes` of a launch.
    """
    sizes = list(_sizes_in(func))
    if not sizes:
        return []
    chosen = _chosen(sizes)
    own = {atom: _own_symbol(number, atom).size for number, atom in enumerate(chosen)}
    _rename(func, lambda size: replace_atoms(size, own))
    func.sizes = SizesAttr(tuple(own.values()))
    return [atom_size(atom) for atom in chosen]


def _own_symbol(number: int, atom: Atom) -> Symbol:
    if isinstance(atom, Symbol):
        return Symbol(f"n{number}", atom.low, atom.high, atom.unit, atom.likely)
    size = atom_size(atom)
    low, high = bounds(size)
    return Symbol(f"n{number}", max(low, 0), high, 1, likely(size))


def _chosen(sizes: list[int]) -> list[Atom]:
    """The atoms that become symbols of the kernel, in the order in which they come."""
    found = list(dict.fromkeys(atom for size in sizes for atom in atoms_of(size)))
    chosen: dict[Atom, None] = {}
    for atom in found:
        if isinstance(atom, Symbol):
            chosen[atom] = None
            continue
        inner = {*symbols_of(atom_size(atom))}
        others = {s for other in found if other != atom for s in symbols_of(atom_size(other))}
        if inner & others or bounds(atom_size(atom))[0] < 0:
            chosen |= dict.fromkeys(symbols_of(atom_size(atom)))
        else:
            chosen[atom] = None
    return list(chosen)


def _sizes_in(func: FuncOp) -> Iterator[int]:
    """The symbolic sizes in the types of a kernel and of its body."""
    for type in (*func.function_type.inputs, *func.function_type.outputs):
        yield from _sizes_of_type(type)
    for op in func.body.walk():
        if isinstance(op, SizeOp):
            yield op.value
        for result in op.results:
            yield from _sizes_of_type(result.type)


def _sizes_of_type(type: Attribute) -> Iterator[int]:
    if isinstance(type, TensorType) and isinstance(type.encoding, SizesAttr):
        yield from type.encoding.data


def _rename(func: FuncOp, renamed: Callable[[int], int]) -> None:
    def new_type(type: Attribute) -> Attribute:
        if isinstance(type, TensorType) and isinstance(type.encoding, SizesAttr):
            return tensor_type(element_of(type), [renamed(size) for size in shape_of(type)])
        return type

    def rename_block_arguments(region: Region) -> None:
        for block in region.blocks:
            for argument in list(block.args):
                if (type := new_type(argument.type)) != argument.type:
                    Rewriter.replace_value_with_new_type(argument, type)

    func.function_type = FunctionType.from_lists(
        [new_type(t) for t in func.function_type.inputs],
        [new_type(t) for t in func.function_type.outputs],
    )
    rename_block_arguments(func.body)
    for op in list(func.body.walk()):
        if isinstance(op, SizeOp):
            op.size = SizesAttr((renamed(op.value),))
        for region in op.regions:
            rename_block_arguments(region)
        for result in list(op.results):
            if (type := new_type(result.type)) != result.type:
                Rewriter.replace_value_with_new_type(result, type)
