"""The order of a run: complete blocks, reproducible, different from seed to seed."""

import random
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.errors import InternalError
from isobench.model import Cell
from isobench.schedule import schedule, shuffled

counts = st.lists(st.integers(min_value=1, max_value=12), max_size=15)
seeds = st.integers(min_value=0, max_value=2**64)


def cells(blocks: list[int]) -> list[Cell]:
    return [Cell(f"i{n}", "startup", "ready", {"n": n}, blocks=count) for n, count in enumerate(blocks)]


@given(counts, seeds)
def test_each_cell_stands_once_in_as_many_blocks_as_it_has_and_in_the_first(
    blocks: list[int], seed: int
) -> None:
    plan = schedule(cells(blocks), seed)

    seen = Counter((turn.cell.id, turn.block) for turns in plan for turn in turns)
    assert set(seen.values()) <= {1}
    assert Counter(name for name, _ in seen) == {cell.id: cell.blocks for cell in cells(blocks)}
    assert {name for name, block in seen if block == 0} == {cell.id for cell in cells(blocks)}
    assert all(turn.block == number for number, turns in enumerate(plan) for turn in turns)
    assert len(plan) == max(blocks, default=0)


@given(st.integers(1, 40), st.integers(1, 40), seeds)
def test_blocks_of_a_cell_are_evenly_spread_over_the_run(one: int, other: int, seed: int) -> None:
    few, count = sorted((one, other))
    plan = schedule(cells([few, count]), seed)

    found = [turn.block for turns in plan for turn in turns if turn.cell.params["n"] == 0]
    gaps = {later - earlier for earlier, later in pairwise([*found, count])}
    assert gaps <= {count // few, -(-count // few)}


@given(counts, seeds)
def test_order_counts_over_the_whole_run(blocks: list[int], seed: int) -> None:
    plan = schedule(cells(blocks), seed)

    assert [turn.order for turns in plan for turn in turns] == list(range(sum(blocks)))


@given(counts, seeds, st.randoms())
def test_order_depends_on_seed_and_not_on_the_order_of_the_matrix(
    blocks: list[int], seed: int, generator: random.Random
) -> None:
    mixed = cells(blocks)
    generator.shuffle(mixed)

    assert schedule(mixed, seed) == schedule(cells(blocks), seed)


def test_other_seeds_give_other_orders() -> None:
    orders = [
        [turn.cell.id for turns in schedule(cells([3] * 8), seed) for turn in turns] for seed in range(20)
    ]

    assert len({tuple(order) for order in orders}) == 20


def test_blocks_of_one_run_have_different_orders() -> None:
    plan = schedule(cells([6] * 8), 7)

    assert len({tuple(turn.cell.id for turn in turns) for turns in plan}) == 6


def test_order_of_a_seed_is_the_same_in_every_version_of_python() -> None:
    plan = schedule([Cell(name, "startup", "ready", blocks=2) for name in ("a", "b", "c", "d", "e")], 7)

    assert ["".join(turn.cell.isolator for turn in turns) for turns in plan] == ["cdeab", "edabc"]


def test_every_order_of_three_is_about_equally_frequent() -> None:
    generator = random.Random(1)  # noqa: S311 - the very kind the schedule uses
    three = cells([1, 1, 1])

    seen = Counter(tuple(cell.isolator for cell in shuffled(three, generator)) for _ in range(6000))

    assert len(seen) == 6
    assert all(850 < count < 1150 for count in seen.values())  # 5 sigma of a binomial(6000, 1/6)


def test_two_cells_of_one_name_are_a_defect() -> None:
    with pytest.raises(InternalError, match="same name"):
        schedule([Cell("a", "startup", "ready"), Cell("a", "startup", "ready")], 1)
