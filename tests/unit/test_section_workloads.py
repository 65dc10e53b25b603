"""The part of a report about the user's own workloads, beside starts of the agent's own."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import SyntheticRun
from tests.section_samples import lost, sample

from isobench.model import Sample, Status
from isobench.reports.load import summarize
from isobench.reports.rows import gaps
from isobench.reports.section import Section
from isobench.reports.sections import workloads
from isobench.reports.summary import Summary


def start(isolator: str, workload: str, value: float | None, block: int) -> Sample:
    cell = f"startup/{isolator}/{workload}"
    if value is None:
        return lost(cell, Status.FAILED, "the workload exited 1", block=block)
    return sample(cell, "ready", value, block)


def summary(run: SyntheticRun, folder: Path, *samples: Sample, ready: Mapping[str, Any]) -> Summary:
    """A run of all isolators with a workload ``web`` besides."""
    matrix = {**run.record.matrix, "workload": [{"name": "web", "rootfs": "/w.tar", "ready": ready}]}
    whole = replace(run, record=replace(run.record, matrix=matrix), samples=(*samples, *run.samples))
    return summarize(whole.write(folder / "run"))


def shown(run: SyntheticRun, folder: Path, *samples: Sample, ready: Mapping[str, Any]) -> Section:
    found = workloads.section(summary(run, folder, *samples, ready=ready))
    assert found is not None
    return found


BARE = [start("bare", "web", value, block) for block, value in enumerate((0.010, 0.011, 0.012))]
RUNC = [start("runc", "web", value, block) for block, value in enumerate((0.040, 0.044, 0.050))]


def test_run_of_the_agents_own_alone_has_no_such_part(run_folder: Path) -> None:
    assert workloads.section(summarize(run_folder)) is None


def test_each_workload_has_a_table_against_its_own_bare_row(made_run: SyntheticRun, tmp_path: Path) -> None:
    (table,) = shown(made_run, tmp_path, *RUNC, *BARE, ready={"port": 80}).tables
    assert table.title == "web: until TCP port 80 of its loopback device accepts"
    assert [[row.name, *(figure.text for figure in row.figures)] for row in table.rows] == [
        ["bare", "11.0 ms", "–", "10.0 ms to 12.0 ms", "1.00×", "3"],
        ["runc", "44.0 ms", "–", "40.0 ms to 50.0 ms", "4.00×", "3"],
    ]


@pytest.mark.parametrize(
    ("ready", "words"),
    [
        ({"output": True}, "its first output"),
        ({"line": "^up$"}, "the first line that matches ^up$"),
        ({"exit": True}, "it has ended with exit code 0"),
    ],
)
def test_table_says_what_counts_as_ready(
    made_run: SyntheticRun, tmp_path: Path, ready: Mapping[str, Any], words: str
) -> None:
    (table,) = shown(made_run, tmp_path, *BARE, ready=ready).tables
    assert table.title == f"web: until {words}"


def test_figures_of_the_agents_own_stay_what_they_are_beside_another_workload(
    made_run: SyntheticRun, tmp_path: Path
) -> None:
    alone = summarize(made_run.write(tmp_path / "alone"))
    beside = summary(made_run, tmp_path, *BARE, *RUNC, ready={"port": 80})
    assert [(one.name, one.startup) for one in beside.isolators if not one.startup] == [
        (one.name, one.startup) for one in alone.isolators if not one.startup
    ]
    for before, after in zip(alone.isolators, beside.isolators, strict=True):
        if before.startup and after.startup:
            assert (after.name, after.startup.seconds) == (before.name, before.startup.seconds)


def test_two_workloads_never_share_a_table(made_run: SyntheticRun, tmp_path: Path) -> None:
    other = [start("bare", "job", value, block) for block, value in enumerate((1.0, 2.0))]
    titles = [table.title for table in shown(made_run, tmp_path, *BARE, *other, ready={"port": 80}).tables]
    assert [title.partition(":")[0] for title in titles] == ["job", "web"]


def test_cell_that_failed_is_named_by_its_workload(made_run: SyntheticRun, tmp_path: Path) -> None:
    failed = [start("runc", "web", None, block) for block in range(2)]
    found = gaps(summary(made_run, tmp_path, *BARE, *failed, ready={"port": 80}))
    assert [gap.where for gap in found if gap.reason == "the workload exited 1"] == ["startup (web)"]


def test_picture_is_drawn_of_the_starts_of_that_workload(made_run: SyntheticRun, tmp_path: Path) -> None:
    (plot,) = shown(made_run, tmp_path, *BARE, *RUNC, ready={"port": 80}).plots
    figure = plot.draw(700)
    (axes,) = figure.axes
    names = {label.get_text() for label in axes.get_yticklabels()}
    assert any("bare" in name for name in names)
    assert any("runc" in name for name in names)
    assert len(names) == 2
