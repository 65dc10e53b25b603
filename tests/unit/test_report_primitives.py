"""The report's part on kernel primitives, over made-up samples."""

import pytest
from tests.section_samples import cells_of, sequence, summary
from tests.section_samples import sample as line

from isobench.model import Sample, Scalar
from isobench.reports.section import NO_FIGURE, Section
from isobench.reports.sections.primitives import section, steps

WIDTHS = (860, 360)


def sample(
    workload: str, metric: str, value: float | None, /, form: str | None = None, **detail: Scalar
) -> Sample:
    tail = f"/form={form}" if form else ""
    return line(f"primitives/host/{workload}{tail}", metric, value, **detail)


def shown(*samples: Sample) -> Section:
    found = section(summary(*samples))
    assert found is not None
    return found


def texts(found: Section, table: int = 0) -> dict[str, list[str]]:
    return {row.name: [figure.text for figure in row.figures] for row in found.tables[table].rows}


def test_run_without_primitives_has_no_such_part() -> None:
    assert section(summary()) is None


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
    found = shown(*sequence())
    assert list(texts(found).items()) == [
        ("process", ["100 µs", "100 µs"]),
        ("mount namespace", ["30.0 µs", "130 µs"]),
        ("exec", ["200 µs", "330 µs"]),
        ("undone, all of it", ["900 µs", NO_FIGURE.text]),
    ]
    assert found.tables[0].note == ""


def test_step_that_was_left_out_is_named_below_the_table() -> None:
    found = shown(sample("sequence", "cgroup_create", None), *sequence(left_out="cgroup_create"))
    assert "cgroup create" not in texts(found)
    assert found.tables[0].note == "Left out, for this host refuses it: cgroup create."


def test_each_stair_begins_where_the_one_before_ended() -> None:
    (cell,) = cells_of(*sequence())
    found = steps(cell)
    assert [step.begin_s for step in found] == [0.0, found[0].end.value, found[1].end.value]


@pytest.mark.parametrize("width_px", WIDTHS)
def test_stairs_are_drawn_with_a_bar_for_each_step(width_px: int) -> None:
    (plot,) = shown(*sequence()).plots
    drawing = plot.draw(width_px)
    (axes,) = drawing.axes
    assert len(axes.patches) == 3
    assert [label.get_text() for label in axes.get_yticklabels()] == ["process", "mount namespace", "exec"]
