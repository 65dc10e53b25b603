"""Which raw samples a page shows: all where there is room, else what is looked for first."""

from __future__ import annotations

from isobench.journal import CellState
from isobench.model import Sample, Status
from isobench.reports.raw import LEAST_ROWS, chosen, raw_table, rows_each
from isobench.reports.summary import CellSummary


def sample(value: float | None, status: Status = Status.OK, **detail: str) -> Sample:
    reason = None if status is Status.OK else "it broke"
    return Sample(
        *("c", "x", "startup", "ready", "ready", "second", value, 0, 0, status, reason), detail=detail
    )


def cell(*samples: Sample) -> CellSummary:
    return CellSummary("c", "x", "startup", CellState(Status.OK, len(samples), 0), samples)


def many(count: int) -> list[Sample]:
    """In an order that is none."""
    return [sample(float(1 + number * 7919 % 10_007)) for number in range(count)]


def test_cell_with_room_shows_every_sample() -> None:
    assert chosen(cell(*many(50)), 50) == list(range(50))


def test_full_cell_shows_failures_ends_extremes_what_is_linked_and_others() -> None:
    samples = many(5000)
    samples[777] = sample(None, Status.FAILED)
    samples[778] = sample(None, Status.TIMEOUT)
    least = min(range(5000), key=lambda at: samples[at].value or 1e9)
    greatest = max(range(5000), key=lambda at: samples[at].value or 0)

    kept = chosen(cell(*samples), 100, wanted=(1234,))

    assert {0, 4999, 777, 778, 1234, least, greatest} <= set(kept)
    assert kept == sorted(set(kept))
    assert 90 <= len(kept) <= 100


def test_cell_of_nothing_but_failures_shows_some_of_them() -> None:
    kept = chosen(cell(*[sample(None, Status.FAILED)] * 5000), 100)

    assert 90 <= len(kept) <= 100
    assert (kept[0], kept[-1]) == (0, 4999)


def test_rows_keep_their_numbers_and_say_how_many_there_are() -> None:
    found = raw_table(cell(*many(500)), [0, 3, 499])

    assert found.numbers == (1, 4, 500)
    assert found.of == 500
    assert [row[3] for row in found.rows][:1] == ["1.000000000"]


def test_entry_of_ten_thousand_characters_is_cut_to_its_ends() -> None:
    (row,) = raw_table(cell(sample(1.0, said="a" * 9_999 + "z"))).rows

    assert len(row[-1]) < 700
    assert row[-1].endswith("az (10,000 characters)")


def test_room_is_shared_such_that_small_cells_are_whole_and_none_is_empty() -> None:
    large, small = cell(*many(5000)), cell(*many(10))

    assert rows_each([small, small], 1_000) == 10
    each = rows_each([large, large, small], 4 * 1_000)
    assert 10 < each < 500
    assert 2 * min(5000, each) + 10 <= 1_000
    assert rows_each([large] * 1_000, 4) == LEAST_ROWS
    assert rows_each([], 4) == LEAST_ROWS
