"""Where two modules differ: in operations, types, attributes, properties, uses of values, or locations."""

from __future__ import annotations

from collections.abc import Iterator

from xdsl.ir import Block, Operation, Region, SSAValue


def first_difference(expected: Operation, actual: Operation) -> str | None:
    """The first place where `actual` is not `expected`, in words, or None where they are the same IR.

    Names of values and blocks are no part of the IR.
    """
    return next(_operations(expected, actual, {}), None)


Known = dict[SSAValue | Block, SSAValue | Block]


def _operations(expected: Operation, actual: Operation, known: Known) -> Iterator[str]:
    if type(expected) is not type(actual):
        yield f"{expected.name} is {actual.name}"
        return
    for what, a, b in (
        ("attributes", expected.attributes, actual.attributes),
        ("properties", expected.properties, actual.properties),
        ("location", expected.location, actual.location),
        ("result types", expected.result_types, actual.result_types),
        ("operands", [known.get(o) for o in expected.operands], list(actual.operands)),
        ("successors", [known.get(s) for s in expected.successors], list(actual.successors)),
        ("number of regions", len(expected.regions), len(actual.regions)),
    ):
        if a != b:
            yield f"{what} of {expected.name}: {a} is {b}"
    known.update(zip(expected.results, actual.results, strict=False))
    for a, b in zip(expected.regions, actual.regions, strict=False):
        yield from _regions(expected.name, a, b, known)


def _regions(where: str, expected: Region, actual: Region, known: Known) -> Iterator[str]:
    pairs = list(zip(expected.blocks, actual.blocks, strict=False))
    if len(pairs) != max(len(expected.blocks), len(actual.blocks)):
        yield f"{where}: {len(expected.blocks)} blocks are {len(actual.blocks)}"
    known.update(pairs)
    for a, b in pairs:
        known.update(zip(a.args, b.args, strict=False))
        arguments = [[(arg.type, arg.location) for arg in block.args] for block in (a, b)]
        if arguments[0] != arguments[1]:
            yield f"arguments in {where}: {arguments[0]} are {arguments[1]}"
        if len(a.ops) != len(b.ops):
            yield f"{where}: {len(a.ops)} operations are {len(b.ops)}"
        for one, other in zip(a.ops, b.ops, strict=False):
            yield from _operations(one, other, known)
