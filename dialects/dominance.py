"""Whether each operand is defined before it is used: what xDSL's own verifier leaves out."""

from __future__ import annotations

from collections.abc import Iterator

from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.utils.exceptions import VerifyException


def verify_dominance(root: Operation) -> None:
    """Check that the definition of every operand inside `root` dominates its use: it comes before in the same block, in
    a block that dominates it, or in one that encloses it. `root`'s own operands are not looked at.

    Linear in the number of operands.

    Raises:
        VerifyException: a value is used where it is not defined; names the value, its user and its definition.
    """
    _Scopes(set()).check_regions(root)


class _Scopes:
    """The values that may be used at a point of a walk."""

    def __init__(self, visible: set[SSAValue]) -> None:
        self.visible = visible

    def check_regions(self, op: Operation) -> None:
        for region in op.regions:
            if not region.blocks:
                continue
            children = _dominator_tree(region)
            self._check_tree(region.blocks[0], children)

    def _check_tree(self, entry: Block, children: dict[Block, list[Block]]) -> None:
        """Blocks in the order of their tree; what a block defines is visible in those below it."""
        open_blocks: list[tuple[Iterator[Block], list[SSAValue]]] = [(iter([entry]), [])]
        while open_blocks:
            below, defined = open_blocks[-1]
            block = next(below, None)
            if block is None:
                self.visible.difference_update(defined)
                open_blocks.pop()
            else:
                open_blocks.append((iter(children.get(block, ())), self._check_block(block)))

    def _check_block(self, block: Block) -> list[SSAValue]:
        """The values that the block defines; they are visible from here on."""
        defined: list[SSAValue] = [*block.args]
        self.visible.update(block.args)
        for op in block.ops:
            for operand in op.operands:
                if operand not in self.visible:
                    raise VerifyException(_message(op, operand))
            if op.regions:
                self.check_regions(op)
            defined.extend(op.results)
            self.visible.update(op.results)
        return defined


def _message(user: Operation, value: SSAValue) -> str:
    name = f"%{value.name_hint}" if value.name_hint else "a value"
    owner = value.owner
    if isinstance(owner, Block):
        made = "an argument of a block that does not enclose it"
    elif owner.parent is user.parent and owner.parent is not None:
        made = f"the result of a {owner.name} that comes later in its block"
    elif owner.parent is None:
        made = f"the result of a {owner.name} that is in no block"
    else:
        made = f"the result of a {owner.name} in a block that does not dominate its own"
    return f"{user.name} uses {name}, {made}"


def _dominator_tree(region: Region) -> dict[Block, list[Block]]:
    """For each block those that it immediately dominates. Blocks that cannot be reached are not in it: any value may be
    used there.

    The iteration of Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm" (2001).
    """
    if len(region.blocks) == 1:
        return {}
    entry = region.blocks[0]
    order = _reverse_postorder(entry)
    number = {block: i for i, block in enumerate(order)}
    before: list[list[int]] = [[] for _ in order]
    for block in order:
        for successor in _successors(block):
            before[number[successor]].append(number[block])
    dominator: list[int | None] = [None] * len(order)
    dominator[0] = 0

    def common(a: int, b: int) -> int:
        while a != b:
            above_a, above_b = dominator[a], dominator[b]
            assert above_a is not None and above_b is not None
            a, b = (above_a, b) if a > b else (a, above_b)
        return a

    changed = True
    while changed:
        changed = False
        for i in range(1, len(order)):
            known = [p for p in before[i] if dominator[p] is not None]
            found = known[0]
            for other in known[1:]:
                found = common(found, other)
            if dominator[i] != found:
                dominator[i], changed = found, True
    children: dict[Block, list[Block]] = {}
    for i in range(1, len(order)):
        above = dominator[i]
        assert above is not None
        children.setdefault(order[above], []).append(order[i])
    return children


def _successors(block: Block) -> tuple[Block, ...]:
    return () if block.last_op is None else tuple(block.last_op.successors)


def _reverse_postorder(entry: Block) -> list[Block]:
    seen = {entry}
    finished: list[Block] = []
    path = [(entry, iter(_successors(entry)))]
    while path:
        block, ahead = path[-1]
        following = next((b for b in ahead if b not in seen), None)
        if following is None:
            finished.append(block)
            path.pop()
        else:
            seen.add(following)
            path.append((following, iter(_successors(following))))
    return finished[::-1]
