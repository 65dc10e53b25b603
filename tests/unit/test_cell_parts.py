"""What a report says of each cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from isobench.model import Sample, Scalar, Status
from isobench.reports.cell_parts import CellPart, cell_groups
from isobench.reports.diagnose import diagnose
from isobench.reports.load import summarize
from isobench.reports.summary import Summary

if TYPE_CHECKING:
    from tests.conftest import SyntheticRun


@pytest.fixture(scope="module")
def summary(made_run: SyntheticRun, tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return summarize(made_run.write(tmp_path_factory.mktemp("whole") / "run"))


@pytest.fixture(scope="module")
def parts(summary: Summary) -> dict[str, CellPart]:
    return by_id(summary)


def by_id(summary: Summary) -> dict[str, CellPart]:
    groups = cell_groups(summary, diagnose(summary))
    return {part.cell.id: part for group in groups for part in group.parts}


@pytest.fixture
def changed(made_run: SyntheticRun, tmp_path: Path) -> Callable[..., dict[str, CellPart]]:
    """The parts of a run with other samples."""

    def make(each: Callable[[Sample], Sample], *more: Sample) -> dict[str, CellPart]:
        run = replace(made_run, samples=(*map(each, made_run.samples), *more))
        return by_id(summarize(run.write(tmp_path / "run")))

    return make


def titles(part: CellPart) -> list[str]:
    return [plate.title for plate in part.plates]


def test_every_cell_has_a_part_and_parts_of_one_isolator_stand_together(summary: Summary) -> None:
    groups = cell_groups(summary, ())

    assert [group.name for group in groups] == [found.name for found in summary.isolators]
    assert sorted(part.cell.id for group in groups for part in group.parts) == sorted(
        cell.id for cell in summary.cells
    )


def test_start_has_spread_share_time_and_phases_and_its_percentiles(parts: dict[str, CellPart]) -> None:
    part = parts["startup/runc/ready"]

    assert titles(part) == ["Values", "Share at or below", "In time", "Phases"]
    assert part.headline.startswith("20 values, median ")
    assert part.figures
    assert [column.title for column in part.figures.columns] == [
        "values",
        "least",
        "median",
        "p90",
        "greatest",
    ]
    assert part.figures.rows[0].figures[2].small  # its interval
    assert ("attempts", "22: 20 values, 2 warm-ups") in part.facts
    assert len(part.raw.rows) == 22


def test_memory_has_its_line_and_ledger_and_figures_by_number_of_instances(
    parts: dict[str, CellPart],
) -> None:
    part = parts["memory/lxc/hold"]

    assert titles(part) == ["Readings", "Ledger"]
    assert "for each further instance" in part.headline
    assert "3 helpers and daemons 16.8 MiB" in part.plates[1].caption
    assert part.figures
    assert [row.name for row in part.figures.rows] == [
        *(f"footprint of {count}" for count in (1, 2, 4, 8)),
        "peak",
    ]


def test_limit_that_tells_its_stalls_has_a_timeline(
    changed: Callable[..., dict[str, CellPart]], parts: dict[str, CellPart]
) -> None:
    cell = "throttling/runc/spin/cpus=0.5/period_us=100000"
    assert "Run and stall" not in titles(parts[cell])

    def telling(line: Sample) -> Sample:
        told: dict[str, Scalar] = {
            "timeline_us": "0:50000-100000 0:150000-200000 0:250000-300000",
            "threads": 1,
        }
        return replace(line, detail={**line.detail, **told}) if line.cell == cell else line

    plate = changed(telling)[cell].plates[-1]
    assert plate.title == "Run and stall"
    assert "it runs 50 % of the first 3 periods" in plate.caption
    assert ("period", "100 ms") in parts[cell].facts


def test_cell_without_a_value_says_how_it_ended_and_why(parts: dict[str, CellPart]) -> None:
    part = parts["startup/crun/ready"]

    assert (part.headline, part.figures, part.plates) == ("no value: unavailable", None, ())
    (note,) = part.notes
    assert (note.title, note.text) == ("unavailable", "crun is not installed")
    assert note.remedy == "apt-get install crun"
    assert note.rows == (1,)


def test_attempt_that_timed_out_is_listed_beside_those_that_did_not(parts: dict[str, CellPart]) -> None:
    part = parts["startup/qemu-tcg/ready"]

    assert part.headline.endswith("s, 1 attempts timeout")
    assert [(note.title, note.text, note.rows) for note in part.notes if note.title == "timeout"] == [
        ("timeout", "not ready within 60 s", (6,))
    ]


def test_attempts_that_ended_alike_are_one_note_that_counts_them(
    changed: Callable[..., dict[str, CellPart]],
) -> None:
    def failing(line: Sample) -> Sample:
        if line.cell != "startup/runc/ready":
            return line
        return replace(line, value=None, status=Status.FAILED, reason="exit status 1")

    (note,) = changed(failing)["startup/runc/ready"].notes
    assert note.count == 22
    assert len(note.rows) == 12


def test_outlier_of_a_start_is_the_one_of_the_diagnostics_and_its_row_is_there(
    changed: Callable[..., dict[str, CellPart]],
) -> None:
    seen: list[Sample] = []

    def slow(line: Sample) -> Sample:
        if line.cell != "startup/chroot/ready" or line.detail.get("warmup") or seen:
            return line
        seen.append(line)
        return replace(line, value=0.5, phases={})

    part = changed(slow)["startup/chroot/ready"]

    note = next(note for note in part.notes if note.title == "outliers")
    assert "1 of 20 starts" in note.text
    (row,) = note.rows
    assert part.raw.numbers[row - 1] == row


def test_outlier_of_another_metric_is_found_by_the_same_rule(
    made_run: SyntheticRun, changed: Callable[..., dict[str, CellPart]]
) -> None:
    line = made_run.samples[0]
    trips = [
        replace(
            line,
            cell="round-trip/bare/echo",
            benchmark="round-trip",
            workload="echo",
            metric="round_trip",
            value=0.5 if number == 17 else 0.001 + number / 1e6,
            detail={},
            phases={},
        )
        for number in range(50)
    ]

    part = changed(lambda line: line, *trips)["round-trip/bare/echo"]

    (note,) = part.notes
    assert note.title == "outliers"
    assert note.text == "1 of 50 values of round trip lie far from the rest: 500 ms."
    assert note.rows == (18,)


def test_plates_are_well_formed_say_what_they_show_and_escape_foreign_text(
    changed: Callable[..., dict[str, CellPart]],
) -> None:
    evil = '<script>"&\x1b'

    def foreign(line: Sample) -> Sample:
        if line.cell == "startup/runc/ready":
            return replace(line, phases={**line.phases, "created": 0.001}, unit=evil)
        return replace(line, metric=evil) if line.cell == "startup/lxc/ready" else line

    found = changed(foreign)

    plates = [plate for part in found.values() for plate in part.plates]
    assert len(plates) > 50
    for plate in plates:
        tree = ET.fromstring(plate.svg)  # noqa: S314 - made by us a moment ago
        assert tree.get("aria-label")
        assert "<script" not in plate.svg
        assert "\x1b" not in plate.svg
    assert "&lt;script&gt;&#34;&amp;\ufffd" in found["startup/runc/ready"].plates[0].svg


def test_cell_of_one_value_has_figures_and_no_picture(changed: Callable[..., dict[str, CellPart]]) -> None:
    def lone(line: Sample) -> Sample:
        one = line.cell == "throttling/runc/spin/cpus=0.5/period_us=100000" and line.block == 1
        return replace(line, detail={**line.detail, "bound": False}) if one else line

    part = changed(lone)["throttling/runc/spin/cpus=0.5/period_us=100000"]

    assert part.headline.startswith("one value, -")
    assert part.plates == ()
    assert ("attempts", "2: 1 values, 1 decided by other load") in part.facts
