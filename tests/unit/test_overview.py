"""Isolator by metric: what stands in which column, to what it is held, and where there is no figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from isobench.model import Sample, Status
from isobench.reports.load import summarize
from isobench.reports.overview import MARK_PX, Entry, Overview, overview
from isobench.reports.stats import median
from isobench.reports.summary import Summary

if TYPE_CHECKING:
    from tests.conftest import SyntheticRun

Of = Callable[..., Overview]


@pytest.fixture
def of(made_run: SyntheticRun, tmp_path: Path) -> Of:
    def made(change: Callable[[Sample], Sample | None] = lambda line: line) -> Overview:
        samples = tuple(kept for line in made_run.samples if (kept := change(line)))
        found = overview(summarize(replace(made_run, samples=samples).write(tmp_path / "run")))
        assert found
        return found

    return made


@pytest.fixture(scope="module")
def summary(made_run: SyntheticRun, tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return summarize(made_run.write(tmp_path_factory.mktemp("overview") / "run"))


@pytest.fixture(scope="module")
def table(summary: Summary) -> Overview:
    found = overview(summary)
    assert found
    return found


def entry(table: Overview, isolator: str, title: str, head: str = "") -> Entry:
    line = next(line for line in table.lines if line.isolator.name == isolator)
    wanted = [
        place
        for place, column in enumerate(table.columns)
        if column.title == title and head in table.heads[place]
    ]
    return line.entries[wanted[0]]


def test_columns_stand_in_the_order_of_the_page_and_say_what_tells_them_apart(table: Overview) -> None:
    assert [
        (column.benchmark, column.title, head)
        for column, head in zip(table.columns, table.heads, strict=True)
    ] == [
        ("startup", "ready", ""),
        ("startup", "to exit", ""),
        ("memory", "each instance", ""),
        ("memory", "peak", ""),
        *(("throttling", "limit error", f"{cpus} CPUs") for cpus in ("0.1", "0.25", "0.5", "1", "1.5")),
    ]


def test_rows_are_the_isolators_with_a_figure_bare_first(table: Overview) -> None:
    names = [line.isolator.name for line in table.lines]
    assert names[0] == table.reference == "bare"
    assert "crun" not in names
    assert len(names) == 7


def test_figures_are_those_of_the_other_parts_of_the_report(summary: Summary, table: Overview) -> None:
    runc = next(found for found in summary.isolators if found.name == "runc")
    assert runc.startup
    assert runc.startup.exit
    assert runc.memory
    assert entry(table, "runc", "ready").exact == runc.startup.ready.median
    assert entry(table, "runc", "to exit").exact == runc.startup.exit.median
    assert entry(table, "runc", "each instance").exact == runc.memory.total
    assert entry(table, "runc", "limit error", "0.5").exact == runc.quotas[2].error.median
    assert entry(table, "runc", "ready").cell is runc.startup.cell


def test_metric_no_other_part_knows_has_the_median_of_its_attempts_that_count(of: Of) -> None:
    def change(line: Sample) -> Sample | None:
        if line.benchmark != "memory" or line.metric != "peak":
            return None
        return replace(line, benchmark="own", metric="widgets", unit="widget", value=2.0 + line.block)

    found = of(change)

    assert [column.title for column in found.columns] == ["widgets"]
    assert entry(found, "lxc", "widgets").text == "2.5 widget"
    assert entry(found, "lxc", "widgets").exact == median([2.0, 3.0], [0, 1])


def test_ratio_is_to_bare_and_errors_have_none(table: Overview) -> None:
    bare, runc = entry(table, "bare", "ready").exact, entry(table, "runc", "ready")
    assert bare
    assert runc.exact
    assert runc.ratio == f"{runc.exact.value / bare.value:.3g}×"
    assert entry(table, "bare", "ready").ratio == "1.00×"
    assert entry(table, "runc", "limit error").ratio == ""


def test_without_bare_there_is_no_ratio_and_no_row_of_reference(of: Of) -> None:
    found = of(lambda line: line if line.isolator != "bare" else None)

    assert found.reference is None
    assert {one.ratio for line in found.lines for one in line.entries} == {""}


def test_mark_shows_the_place_between_least_and_greatest_where_they_are_far_apart(table: Overview) -> None:
    marks = {line.isolator.name: line.entries[0].mark for line in table.lines}
    places = [mark.at for mark in marks.values() if mark]
    assert (min(places), max(places)) == (0, MARK_PX)
    assert len(places) == 7
    for mark in marks.values():
        assert mark
        assert 0 <= mark.low <= mark.at <= mark.high <= MARK_PX


def test_figures_near_one_another_have_no_mark(of: Of) -> None:
    found = of(lambda line: line if line.isolator in {"bare", "chroot"} else None)

    assert {one.mark for line in found.lines for one in line.entries} == {None}


def test_cell_without_a_value_says_how_it_ended_and_one_with_some_how_many_did_not(of: Of) -> None:
    def change(line: Sample) -> Sample:
        if line.isolator == "lxc" and line.params.get("cpus") == 0.5:
            return replace(line, value=None, status=Status.FAILED, reason="no")
        return line

    found = of(change)

    assert entry(found, "lxc", "limit error", "0.5").text == "failed"
    assert entry(found, "lxc", "limit error", "0.5").exact is None
    assert entry(found, "qemu-tcg", "ready").partly == "1 timeout"
    assert entry(found, "bare", "limit error").text == "–"


def test_memory_of_one_number_of_instances_has_no_slope_and_so_no_column(of: Of) -> None:
    found = of(lambda line: line if line.metric != "footprint" or line.detail["instances"] == 1 else None)

    assert "each instance" not in [column.title for column in found.columns]
    assert "peak" in [column.title for column in found.columns]


def test_host_is_no_isolator(of: Of) -> None:
    found = of(lambda line: replace(line, isolator="host") if line.isolator == "lxc" else line)

    assert "host" not in [line.isolator.name for line in found.lines]


def test_parameters_that_are_the_same_everywhere_are_not_said_and_those_that_differ_are(of: Of) -> None:
    def change(line: Sample) -> Sample | None:
        if line.benchmark != "throttling" or line.params.get("cpus") not in {0.5, 1.0}:
            return None
        params = {**line.params, "period_us": 10_000 if line.params["cpus"] == 1.0 else 100_000, "how": "x"}
        return replace(line, params=params, cell=f"{line.cell}/{params['period_us']}")

    assert of(change).heads == ("0.5 CPUs, period 100 ms", "1 CPUs, period 10.0 ms")


def test_workloads_are_named_where_a_benchmark_has_several(of: Of) -> None:
    def change(line: Sample) -> Sample | None:
        if line.benchmark != "startup":
            return None
        other = line.block == 1
        return replace(
            line, workload="nginx" if other else "ready", cell=f"{line.cell}-{line.block}", phases={}
        )

    assert of(change).heads == ("ready", "nginx")


def test_run_without_a_figure_has_no_overview(made_run: SyntheticRun, tmp_path: Path) -> None:
    run = made_run.only(lambda line: line.status is not Status.OK)

    assert overview(summarize(run.write(tmp_path / "run"))) is None
