"""In which order the cells of a matrix are measured: blocks, each shuffled by the recorded seed.

A block is one pass over the cells, so that a drift of the host (heat, a neighbour, a filling cache) hits all
of them alike, and the shuffle keeps any cell from always following the same one. Randomised complete blocks:
Box, Hunter and Hunter, Statistics for Experimenters, 2nd edition, chapter 4.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from isobench.errors import InternalError
from isobench.model import Cell

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Turn:
    """One cell in one block: a *pair*, the unit that is done or not done."""

    cell: Cell
    block: int
    order: int
    """Position over the whole run."""


def schedule(
    cells: Sequence[Cell],
    seed: int,
    *,
    together: Callable[[Cell], str] = lambda cell: cell.id,
    after: Sequence[Sequence[Turn]] = (),
) -> tuple[tuple[Turn, ...], ...]:
    """The blocks of a run; a cell stands in ``cell.blocks`` of them: the first, the others evenly spread.

    Cells with the same ``together`` follow one another, in an order drawn anew in each block: the sides of a
    comparison meet the same host. ``after``: blocks that come before these, whose numbers go on from there.

    The first, so that a run broken off early has something of every cell; spread, so that a slow drift of the
    host hits cells with few blocks and cells with all of them alike.

    A pure function of the cells (in any order) and the seed, so that a resumed run goes on with the very
    order it began with.
    """
    by_id = {cell.id: cell for cell in cells}
    if len(by_id) < len(cells):
        raise InternalError("two cells of the matrix have the same name")
    inventory = [by_id[name] for name in sorted(by_id)]
    generator = random.Random(seed)  # noqa: S311 - an order, not a secret
    blocks: list[tuple[Turn, ...]] = []
    order = sum(map(len, after))
    count = max((cell.blocks for cell in inventory), default=0)
    for block in range(count):
        groups: dict[str, list[Cell]] = {}
        for cell in inventory:
            if _has_turn(cell, block, count):
                groups.setdefault(together(cell), []).append(cell)
        members = [
            cell
            for group in shuffled(list(groups.values()), generator)
            for cell in shuffled(group, generator)
        ]
        number = len(after) + block
        blocks.append(tuple(Turn(cell, number, order + at) for at, cell in enumerate(members)))
        order += len(members)
    return tuple(blocks)


def _has_turn(cell: Cell, block: int, count: int) -> bool:
    """Whether the block is a multiple of ``count / cell.blocks``, rounded up."""
    return block * cell.blocks % count < cell.blocks


def shuffled(things: Sequence[T], generator: random.Random) -> list[T]:
    """A uniformly random order (Fisher and Yates; Knuth, TAOCP 2, algorithm 3.4.2 P).

    Written out because only ``Random.random()`` is promised to give the same numbers in every version of
    Python, ``Random.shuffle`` is not. Floats leave a bias of about n / 2**53, far below anything that counts.
    """
    order = list(things)
    for last in range(len(order) - 1, 0, -1):
        pick = int(generator.random() * (last + 1))
        order[last], order[pick] = order[pick], order[last]
    return order
