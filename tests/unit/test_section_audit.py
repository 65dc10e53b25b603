"""The report's part on the instrument itself, over made-up samples."""

from typing import Any

from isobench.journal import cell_states
from isobench.model import Sample, Scalar, Status
from isobench.reports.section import Section, Table
from isobench.reports.sections.audit import section
from isobench.reports.summary import CellSummary


def sample(part: str, value: float | None, block: int = 0, **detail: Scalar) -> Sample:
    name = f"audit/host/{part}"
    return Sample(
        cell=name,
        isolator="host",
        benchmark="audit",
        workload=part,
        metric=part,
        unit="second",
        value=value,
        block=block,
        order=0,
        status=Status.FAILED if value is None else Status.OK,
        detail=detail,
    )


def timer(value: float, block: int, step: float, gap: float) -> Sample:
    return sample(
        "timer", value, block, smallest_step_s=step, largest_step_s=gap, clock_source="tsc", resolution_s=1e-9
    )


STARTER = sample("starter", 50e-6, plain_s=190e-6, starter_s=240e-6)
SAMPLER = sample("sampler", 0.02, off_s=200e-6, on_s=204e-6)


def shown(*samples: Sample) -> Section | None:
    states = cell_states(samples)
    cells = tuple(
        CellSummary(name, "host", "audit", states[name], tuple(s for s in samples if s.cell == name))
        for name in states
    )
    summary: Any = type("OfCells", (), {"cells": cells, "isolators": ()})
    return section(summary)


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
