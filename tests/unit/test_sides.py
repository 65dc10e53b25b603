"""Two sides and a control: which matrix is measured, in which order, and what a name may be."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench.errors import UsageError
from isobench.journal import ABRecord
from isobench.matrix import parse_matrix
from isobench.model import Cell
from isobench.plan import Matrix
from isobench.sides import MIN_BLOCKS, Sides, schedule_of, taking_turns, two_sides

FAKES = ({"kind": "fake", "name": "old"}, {"kind": "fake", "name": "new"}, {"kind": "fake", "name": "bare"})


def matrix(*isolators: dict[str, Any], **tables: object) -> Matrix:
    run = {"blocks": 3, "benchmarks": ["fake"], "audit": False}
    return parse_matrix({"run": run, "isolator": list(isolators or FAKES), **tables}, "test")


def own(name: str, folder: Path) -> dict[str, Any]:
    return {"name": name, "rootfs": str(folder), "argv": ["/server"]}


RECORD = ABRecord(by="isolator", a="a", b="b", control="c", blocks=4)


def cells(blocks: int = 4) -> list[Cell]:
    sides = [Cell(name, "startup", load, blocks=blocks) for name in "abc" for load in ("ready", "nginx")]
    return [*sides, Cell("host", "audit", "clock", blocks=2)]


def test_sides_of_two_isolators_are_both_and_a_copy_of_the_first() -> None:
    made, found = two_sides(matrix(), Sides("old", "new", 20, starts=7))

    assert [entry.name for entry in made.isolators] == ["old", "new", "old.control"]
    assert made.isolators[2].options == made.isolators[0].options
    assert (found.by, found.a, found.b, found.control) == ("isolator", "old", "new", "old.control")
    assert made.blocks == found.blocks == 20
    (benchmark,) = made.benchmarks
    assert benchmark.params.model_dump()["attempts"] == 7


def test_something_compared_with_itself_has_three_copies() -> None:
    made, found = two_sides(matrix(), Sides("old", "old", 20))

    assert [entry.name for entry in made.isolators] == ["old", "old.again", "old.control"]
    assert found.b == "old.again"


def test_what_the_instrument_costs_is_measured_as_often_as_in_any_run() -> None:
    asked = {
        "run": {"benchmarks": ["startup"], "blocks": 5},
        "isolator": [{"kind": "bare"}, {"kind": "chroot"}],
    }
    made, _ = two_sides(parse_matrix(asked, "test"), Sides("bare", "chroot", 20))

    blocks = {cell.benchmark: cell.blocks for _, _, cells in made.cells() for cell in cells}
    assert blocks == {"audit": 1, "round-trip": 1, "startup": 20}
    again = parse_matrix(made.to_dict(), "run.json")
    assert {cell.benchmark: cell.blocks for _, _, cells in again.cells() for cell in cells} == blocks


@pytest.mark.parametrize("taken", ["old.control", "old.again"])
def test_name_that_a_gets_once_more_must_be_free(taken: str) -> None:
    isolators = ({"kind": "fake", "name": "old"}, {"kind": "fake", "name": taken})
    with pytest.raises(UsageError, match=f'"{taken}" in this matrix has the name that "old" gets'):
        two_sides(matrix(*isolators), Sides("old", taken, 20))


def test_sides_may_be_workloads_of_the_users(tmp_path: Path) -> None:
    tables = {"workload": [own("web", tmp_path), own("web-new", tmp_path)]}
    asked = {"run": {"benchmarks": ["startup"]}, "isolator": [{"kind": "bare"}, {"kind": "chroot"}]}
    given_matrix = parse_matrix({**asked, **tables, "startup": {"workloads": ["web", "web-new"]}}, "test")

    made, found = two_sides(given_matrix, Sides("web", "web-new", 12))

    assert found.by == "workload"
    assert [entry.name for entry in made.workloads] == ["web", "web-new", "web.control"]
    starts = next(entry.params for entry in made.benchmarks if entry.name == "startup")
    assert starts.model_dump()["workloads"] == ("web", "web-new", "web.control")
    sides = {
        found.comparison(cell)
        for _, _, some in made.cells()
        for cell in some
        if found.side(cell.isolator, cell.workload)
    }
    assert sides == {"startup/bare", "startup/chroot"}


def test_a_matrix_of_sides_survives_the_way_through_run_json() -> None:
    made, _ = two_sides(matrix(), Sides("old", "new", 20, starts=7))
    assert parse_matrix(made.to_dict(), "run.json") == made


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        (Sides("old", "nwe", 20), r'no isolator or workload "nwe" in this matrix \(did you mean "new"\?\)'),
        (Sides("none", "new", 20), 'no isolator or workload "none" .* allowed: old, new, bare'),
        (Sides("old", "new", MIN_BLOCKS - 1), "11 blocks are too few"),
    ],
)
def test_sides_that_cannot_be_are_named(sides: Sides, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        two_sides(matrix(), sides)


def test_an_isolator_and_a_workload_are_no_two_sides(tmp_path: Path) -> None:
    tables = {"workload": [own("web", tmp_path)]}
    with pytest.raises(UsageError, match='"old" and "web" cannot be compared'):
        two_sides(matrix(**tables), Sides("old", "web", 20))


@given(st.integers(min_value=0, max_value=2**32))
def test_sides_of_a_comparison_follow_one_another_in_every_block(seed: int) -> None:
    plan = schedule_of(RECORD, cells(), seed)

    assert len(plan) == 4
    for turns in plan:
        names = [RECORD.comparison(turn.cell) for turn in turns if turn.cell.isolator != "host"]
        assert sorted(Counter(names).values()) == [3, 3]
        assert len([1 for one, other in pairwise(names) if one != other]) == 1


def test_every_order_of_the_three_sides_comes_about_as_often() -> None:
    seen: Counter[str] = Counter()
    for seed in range(600):
        (turns, *_) = schedule_of(RECORD, cells()[::2], seed)
        seen["".join(turn.cell.isolator for turn in turns if turn.cell.isolator != "host")] += 1
    assert len(seen) == 6
    assert min(seen.values()) > 60  # 100 expected; 60 is four standard deviations below


def test_second_stage_measures_what_is_to_be_confirmed_on_as_many_fresh_blocks() -> None:
    first = schedule_of(RECORD, cells(), 7)
    both = schedule_of(replace(RECORD, confirm=("startup/nginx",)), cells(), 7)

    assert both[: len(first)] == first
    later = [turn for turns in both[len(first) :] for turn in turns]
    assert [turn.block for turn in later] == [block for block in range(4, 8) for _ in range(3)]
    assert {turn.cell.id for turn in later} == {f"startup/{name}/nginx" for name in "abc"}
    assert [turn.order for turn in later] == list(range(len([t for b in first for t in b]), 26 + 12))


def test_sides_of_benchmarks_that_can_take_turns_do_and_all_else_is_measured_by_itself() -> None:
    memory = [Cell(name, "memory", "hold", blocks=4) for name in "abc"]
    in_turns = replace(RECORD, in_turns=("startup",))
    for block in schedule_of(in_turns, [*cells(), *memory], 7):
        groups = list(taking_turns(in_turns, block))

        assert [turn for group in groups for turn in group] == list(block)
        together = {frozenset(turn.cell.id for turn in group) for group in groups if len(group) > 1}
        assert together == {
            frozenset(f"startup/{name}/{load}" for name in "abc") for load in ("ready", "nginx")
        }


@pytest.mark.parametrize("record", [None, RECORD])
def test_run_that_compares_nothing_or_began_with_an_older_isobench_takes_no_turns(
    record: ABRecord | None,
) -> None:
    for block in schedule_of(record, cells(), 7):
        assert list(taking_turns(record, block)) == [(turn,) for turn in block]


def test_benchmarks_whose_sides_take_turns_are_recorded() -> None:
    asked = {"run": {"benchmarks": ["startup", "teardown", "memory"]}, "isolator": [{"kind": "bare"}]}
    _, found = two_sides(parse_matrix(asked, "test"), Sides("bare", "bare", 20))
    assert found.in_turns == ("startup",)


def test_run_that_compares_nothing_keeps_its_order() -> None:
    assert schedule_of(None, cells(), 7) != schedule_of(RECORD, cells(), 7)
    assert sum(map(len, schedule_of(None, cells(), 7))) == 26
