"""The report's part on kernel primitives, over made-up samples."""

from collections.abc import Iterator
from typing import Any

import pytest

from isobench.journal import cell_states
from isobench.model import Sample, Scalar, Status
from isobench.reports.section import NO_FIGURE, Section
from isobench.reports.sections.primitives import section, steps
from isobench.reports.summary import CellSummary

WIDTHS = (860, 360)


def sample(
    workload: str, metric: str, value: float | None, block: int = 0, form: str | None = None, **detail: Scalar
) -> Sample:
    tail = f"/form={form}" if form else ""
    return Sample(
        cell=f"primitives/host/{workload}{tail}",
        isolator="host",
        benchmark="primitives",
        workload=workload,
        metric=metric,
        unit="second",
        value=value,
        block=block,
        order=0,
        status=Status.UNAVAILABLE if value is None else Status.OK,
        params={"form": form} if form else {},
        detail=detail,
    )


def a_sequence(**detail: str) -> Iterator[Sample]:
    for block in (0, 1):
        yield sample("sequence", "process", 100e-6, block, step_s=100e-6)
        yield sample("sequence", "mount_namespace", 130e-6, block, step_s=30e-6, **detail)
        yield sample("sequence", "exec", 330e-6, block, step_s=200e-6, **detail)
        yield sample("sequence", "undone", 900e-6, block)


def cells(*samples: Sample) -> tuple[CellSummary, ...]:
    states = cell_states(samples)
    return tuple(
        CellSummary(name, "host", "primitives", states[name], tuple(s for s in samples if s.cell == name))
        for name in states
    )


def shown(*samples: Sample) -> Section:
    summary: Any = type("OfCells", (), {"cells": cells(*samples)})
    found = section(summary)
    assert found is not None
    return found


def texts(found: Section, table: int = 0) -> dict[str, list[str]]:
    return {row.name: [figure.text for figure in row.figures] for row in found.tables[table].rows}


def test_run_without_primitives_has_no_such_part() -> None:
    summary: Any = type("OfCells", (), {"cells": ()})
    assert section(summary) is None


def test_primitive_is_a_row_with_its_three_medians_and_base_lines_come_first() -> None:
    found = shown(
        sample("uts_namespace", "alone", 9e-3, warmup=True),
        *(sample("uts_namespace", "alone", value) for value in (2e-6, 3e-6, 4e-6)),
        sample("uts_namespace", "undone", 40e-6),
        sample("uts_namespace", "drained", 90e-6, form="drained"),
        sample("exec", "alone", 60e-6),
        sample("bind_mount", "alone", 6e-6),
        sample("process", "alone", 50e-6),
    )
    assert list(texts(found).items()) == [
        ("process", ["50.0 µs", NO_FIGURE.text, NO_FIGURE.text]),
        ("exec", ["60.0 µs", NO_FIGURE.text, NO_FIGURE.text]),
        ("bind mount", ["6.00 µs", NO_FIGURE.text, NO_FIGURE.text]),
        ("UTS namespace", ["3.00 µs", "40.0 µs", "90.0 µs"]),
    ]


def test_figure_leads_to_the_samples_of_its_own_cell() -> None:
    found = shown(
        sample("uts_namespace", "alone", 2e-6), sample("uts_namespace", "drained", 9e-6, form="drained")
    )
    ids = [figure.cell.id if figure.cell else None for figure in found.tables[0].rows[0].figures]
    assert ids == ["primitives/host/uts_namespace", None, "primitives/host/uts_namespace/form=drained"]


def test_primitive_that_was_refused_has_no_row() -> None:
    found = shown(sample("process", "alone", 50e-6), sample("veth_pair", "alone", None))
    assert list(texts(found)) == ["process"]


def test_sequence_is_a_table_of_its_steps_in_their_order() -> None:
    found = shown(*a_sequence())
    assert list(texts(found).items()) == [
        ("process", ["100 µs", "100 µs"]),
        ("mount namespace", ["30.0 µs", "130 µs"]),
        ("exec", ["200 µs", "330 µs"]),
        ("undone, all of it", ["900 µs", NO_FIGURE.text]),
    ]
    assert found.tables[0].note == ""


def test_step_that_was_left_out_is_named_below_the_table() -> None:
    found = shown(sample("sequence", "cgroup_create", None), *a_sequence(left_out="cgroup_create"))
    assert "cgroup create" not in texts(found)
    assert found.tables[0].note == "Left out, for this host refuses it: cgroup create."


def test_each_stair_begins_where_the_one_before_ended() -> None:
    (cell,) = cells(*a_sequence())
    found = steps(cell)
    assert [step.begin_s for step in found] == [0.0, found[0].end.value, found[1].end.value]


@pytest.mark.parametrize("width_px", WIDTHS)
def test_stairs_are_drawn_with_a_bar_for_each_step(width_px: int) -> None:
    (plot,) = shown(*a_sequence()).plots
    drawing = plot.draw(width_px)
    (axes,) = drawing.axes
    assert len(axes.patches) == 3
    assert [label.get_text() for label in axes.get_yticklabels()] == ["process", "mount namespace", "exec"]
