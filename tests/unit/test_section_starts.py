"""The parts of a report about concurrent and about cold starts, from samples written down here."""

from tests.section_samples import cells_of, closed, opened, sample, summary

from isobench.reports.load import _startup_cell
from isobench.reports.section import Table
from isobench.reports.sections import cold, concurrency


def rows(table: Table) -> list[tuple[str, ...]]:
    return [(row.name, *(figure.text for figure in row.figures)) for row in table.rows]


def test_closed_loop_is_a_column_for_each_k_and_a_dash_where_there_is_no_figure() -> None:
    found = concurrency.section(
        summary(
            *closed("bare", 1, 3000.0, 0.0001, 0.0003, 0.0002),
            *closed("bare", 16, 9000.0, 0.001),
            *closed("runc", 16, None, 0.5),
        )
    )
    assert found
    rates, starts = found.tables
    assert [column.title for column in rates.columns] == ["1 at once", "16 at once"]
    assert rows(rates) == [("bare", "3,000/s", "9,000/s"), ("runc", "–", "–")]
    assert rows(starts) == [("bare", "200 µs", "1.00 ms"), ("runc", "–", "500 ms")]
    assert all("losed loop" in plot.label for plot in found.plots)


def test_failed_starts_are_in_no_time() -> None:
    started = closed("bare", 1, 5.0, 0.1)
    samples = (*started, sample(started[0].cell, "ready", None))
    found = concurrency.section(summary(*samples))
    assert found
    assert rows(found.tables[1]) == [("bare", "100 ms")]


def test_open_loop_tells_what_became_of_the_starts_that_were_due_over_all_blocks() -> None:
    window = {"offered": 9, "completed": 5, "late": 3, "missed": 2, "failed": 1, "in_flight_max": 4}
    found = concurrency.section(
        summary(*opened("runc", 50.0, 0.03, **window), *opened("runc", 50.0, 0.03, **window))
    )
    assert found
    starts, misses = found.tables
    assert rows(starts) == [("runc", "30.0 ms")]
    assert rows(misses) == [("runc, 50/s", "18", "10", "6", "4", "2", "4")]
    assert ["pen loop" in plot.label for plot in found.plots] == [True]


def test_every_picture_can_be_drawn_wide_and_narrow() -> None:
    samples = [*closed("bare", 1, 900.0, *([0.001] * 120)), *closed("bare", 4, 990.0, 0.002)]
    found = concurrency.section(summary(*samples, *opened("bare", 20.0, 0.001), *closed("x", 1, None)))
    assert found
    assert len(found.plots) == 3
    for plot in found.plots:
        for width in (360, 900):
            assert plot.draw(width).axes


def test_run_without_such_starts_has_no_section() -> None:
    warm = summary(sample("startup/bare/ready", "ready", 0.001))
    assert concurrency.section(warm) is None
    assert cold.section(warm) is None


def test_cold_starts_stand_beside_the_warm_ones_of_the_same_workload() -> None:
    found = cold.section(
        summary(
            sample("startup/runc/ready", "ready", 0.02),
            sample("startup/runc/nginx", "ready", 0.1),
            sample("startup/runc/ready/caches=cold", "ready", 0.2),
            sample("startup/runc/nginx/caches=cold", "ready", 0.4),
            sample("startup/bare/ready/caches=cold", "ready", 0.5),
        )
    )
    assert found
    assert rows(found.tables[0]) == [
        ("runc", "20.0 ms", "200 ms", "10.0×"),
        ("runc, nginx", "100 ms", "400 ms", "4.00×"),
        ("bare", "–", "500 ms", "–"),
    ]


def test_overview_shows_the_warm_starts_of_the_agent_whatever_came_first() -> None:
    samples = [
        sample("startup-concurrency/bare/ready/loop=closed", "ready", 0.3),
        sample("startup/bare/ready/caches=cold", "ready", 0.2),
        sample("startup/bare/nginx", "ready", 0.1),
        sample("startup/bare/ready", "ready", 0.02),
    ]
    chosen = _startup_cell(cells_of(*samples), "bare")
    assert chosen
    assert chosen.id == "startup/bare/ready"
    assert _startup_cell(cells_of(*samples[:2]), "bare") is None
