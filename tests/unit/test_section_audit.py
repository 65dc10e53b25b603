"""The report's part on the instrument itself, over made-up samples."""

from tests.section_samples import SAMPLER, STARTER, summary, timer
from tests.section_samples import audited as sample

from isobench.model import Sample
from isobench.reports.section import Section, Table
from isobench.reports.sections.audit import section


def shown(*samples: Sample) -> Section | None:
    return section(summary(*samples))


def table(*samples: Sample) -> Table:
    found = shown(*samples)
    assert found is not None
    (only,) = found.tables
    return only


def test_rows_have_one_order_whatever_the_seed_made_of_the_cells() -> None:
    clock = timer(22e-9, 0, 20e-9, 31e-9)
    names = [row.name for row in table(clock, STARTER, SAMPLER).rows]
    assert names == ["reading the clock", "starter, later than a plain loop", "start while memory is read"]
    assert [row.name for row in table(SAMPLER, STARTER, clock).rows] == names


def test_clock_read_in_several_blocks_is_one_row_with_the_median_and_the_extremes() -> None:
    (row,) = table(
        timer(20e-9, 0, 10e-9, 31e-9), timer(24e-9, 1, 20e-9, 9e-6), timer(22e-9, 2, 20e-9, 40e-9)
    ).rows
    assert [figure.text for figure in row.figures] == [
        "22.0 ns",
        "–",
        "tsc; smallest step 10.0 ns, longest gap between two readings 9.00 µs",
    ]


def test_part_that_failed_has_no_row() -> None:
    assert [row.name for row in table(sample("timer", None), STARTER).rows] == [
        "starter, later than a plain loop"
    ]
    assert shown(sample("timer", None)) is None


def test_part_this_isobench_does_not_know_is_left_to_the_raw_samples() -> None:
    assert [row.name for row in table(sample("temperature", 1.0), STARTER).rows] == [
        "starter, later than a plain loop"
    ]


def test_comparison_has_its_interval_in_a_column_every_terminal_shows() -> None:
    rounds = (
        sample("sampler", value, off_s=200e-6, on_s=200e-6) for value in (-0.4, -0.1, 0.02, 0.1, 0.2, 0.9)
    )
    found = table(*rounds)
    (row,) = found.rows
    shown_narrow = {c.title: f.text for c, f in zip(found.columns, row.figures, strict=True) if not c.room}
    assert shown_narrow == {"median": "+6.00 %", "95 % interval": "-25.00 to +55.00 %"}
