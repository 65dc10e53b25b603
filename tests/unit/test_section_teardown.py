"""The parts of a report about ends and about starts beside others, from samples written down here."""

from collections.abc import Iterator

import pytest
from tests.section_samples import sample, summary

from isobench.reports.raw import raw_table
from isobench.reports.section import Table
from isobench.reports.sections import density, teardown


def rows(table: Table) -> Iterator[tuple[str, ...]]:
    for row in table.rows:
        yield (row.name, *(figure.text for figure in row.figures))


EXIT, KILL = "teardown/lxc/hold/how=exit", "teardown/lxc/hold/how=kill"


def test_each_way_to_end_has_a_table_of_medians_with_a_dash_for_what_was_not_told_apart() -> None:
    found = teardown.section(
        summary(
            *(sample(EXIT, "exit", value) for value in (0.001, 0.002, 0.009)),
            sample(EXIT, "drained", 0.05),
            sample(KILL, "exit", 0.003),
            sample(KILL, "cleaned", 0.004),
        )
    )
    assert found is not None
    assert [table.title for table in found.tables] == ["Told to end, medians", "Killed, medians"]
    assert [list(rows(table)) for table in found.tables] == [
        [("lxc", "2.00 ms", "–", "50.0 ms", "–")],
        [("lxc", "3.00 ms", "4.00 ms", "–", "–")],
    ]
    assert found.notes == ()


def test_what_was_left_is_that_of_the_worst_block_by_kind_and_by_name() -> None:
    found = teardown.section(
        summary(
            sample(EXIT, "exit", 0.001),
            sample(EXIT, "residue", 0.0, 0, instances=5, after_the_first=0, names="", unnamed=""),
            sample(
                *(EXIT, "residue", 13.0, 1, "count"),
                instances=5,
                after_the_first=11,
                cgroup_count=10,
                file_count=1,
                lingering_groups=2,
                names="cgroup /a; file /b",
                unnamed_count=1,
                unnamed="link x",
            ),
        )
    )
    assert found is not None
    (row,) = found.tables[0].rows
    assert row.figures[-1].text == "10 × cgroup, 1 × file, 2 × dying cgroup"
    assert row.figures[-1].small == "of 5 instances"
    (note,) = found.notes
    left, others = "cgroup /a; file /b.", "link x."
    assert note.startswith(f"lxc, told to end: left behind after the first instance already: {left} ")
    assert note.endswith(f"without the run's name, so perhaps somebody else's: {others}")


def test_residue_that_grows_with_the_instances_is_not_said_to_come_once() -> None:
    grown = sample(EXIT, "residue", 5.0, instances=5, after_the_first=1, file_count=5, names="file /b")
    found = teardown.section(summary(sample(EXIT, "exit", 0.001), grown))
    assert found is not None
    assert found.notes == ("lxc, told to end: left behind: file /b.",)


def test_nothing_left_is_said_as_a_finding() -> None:
    clean = sample(EXIT, "residue", 0.0, instances=5, after_the_first=0, names="", unnamed="")
    found = teardown.section(summary(sample(EXIT, "exit", 0.001), clean))
    assert found is not None
    assert found.tables[0].rows[0].figures[-1].text == "nothing"
    assert found.notes == ()


def test_run_without_ends_or_with_failed_ones_only_has_no_such_part() -> None:
    assert teardown.section(summary()) is None
    assert teardown.section(summary(sample(EXIT, "exit", None))) is None


def test_raw_samples_of_a_cell_with_several_metrics_say_which_is_which() -> None:
    (cell,) = summary(sample(EXIT, "exit", 0.001), sample(EXIT, "drained", 0.05)).cells
    found = raw_table(cell)
    assert found.columns[:5] == ("order", "block", "status", "metric", "value")
    assert [row[3] for row in found.rows] == ["exit (second)", "drained (second)"]


def level(isolator: str, running: int) -> str:
    return f"density/{isolator}/hold/running={running}"


def test_starts_are_medians_by_level_without_the_warm_ups_and_memory_is_divided() -> None:
    found = density.section(
        summary(
            sample(level("bare", 0), "ready", 0.9, warmup=True),
            sample(level("bare", 0), "ready", 0.001),
            sample(level("bare", 10), "footprint", 40960.0),
            sample(level("bare", 10), "ready", 0.003),
            sample(level("qemu", 0), "ready", 2.0),
            sample(level("qemu", 4), "ready", None),
        )
    )
    assert found is not None
    starts, memory = found.tables
    assert [column.title for column in starts.columns] == ["beside 0", "beside 10"]
    assert list(rows(starts)) == [("bare", "1.00 ms", "3.00 ms"), ("qemu", "2.00 s", "–")]
    assert list(rows(memory)) == [("bare", "4.00 KiB"), ("qemu", "–")]


@pytest.mark.parametrize("width", [360, 900])
def test_figure_has_a_line_for_each_isolator_with_none_left_of_one(width: int) -> None:
    points = [(name, running) for name in ("bare", "lxc") for running in (0, 1, 100)]
    found = density.section(summary(*(sample(level(*point), "ready", 0.01) for point in points)))
    assert found is not None
    (axes,) = found.plots[0].draw(width).axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "1", "100"]
    assert {text.get_text() for text in axes.texts} == {"bare", "lxc"}
    assert list(axes.get_xticks()) == [pytest.approx(0.3), 1, 100]


def test_run_without_starts_beside_others_has_no_such_part() -> None:
    assert density.section(summary(sample(level("bare", 3), "ready", None))) is None
