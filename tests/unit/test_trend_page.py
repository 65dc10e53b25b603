"""One host over many runs: hints of changes, what they stand beside, and the page."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import SyntheticRun, synthetic_run
from tests.perf.fleet import write_fleet

from isobench.errors import UsageError
from isobench.journal import SAMPLES_FILE, ToolRecord
from isobench.model import Sample
from isobench.reports.changes import ALPHA, MIN_RUNS, changes
from isobench.reports.origins import look
from isobench.reports.trend import Trend, trend
from isobench.reports.trend_html import page

EVIL = "\"'><img src=x onerror=alert(1)><script>alert(2)</script>\x1b[31m\u202e"


def noise(seed: int, n: int) -> list[float]:
    return [float(value) for value in np.random.default_rng(seed).normal(10.0, 1.0, n)]


def test_step_in_the_level_is_hinted_at_where_it_is() -> None:
    (change,) = changes([*noise(1, 12), *(value + 6 for value in noise(2, 12))])
    assert change.at == 12
    assert change.before == pytest.approx(10, abs=1)
    assert change.after == pytest.approx(16, abs=1)
    assert change.chance <= ALPHA


def test_level_that_goes_up_and_down_again_is_hinted_at_twice() -> None:
    values = [*noise(1, 14), *(value + 8 for value in noise(2, 14)), *noise(3, 14)]
    assert [change.at for change in changes(values)] == [14, 28]


def test_values_that_never_change_seldom_have_a_hint() -> None:
    hinted = sum(bool(changes(noise(seed, 24))) for seed in range(200))
    # One in a hundred is meant: more than nine of 200 would happen once in 1000 times.
    assert hinted <= 9


@pytest.mark.parametrize("values", [[], [1.0], [1.0] * 40, [1.0] * 5 + [9.0]])
def test_too_few_values_and_one_odd_one_are_no_change(values: list[float]) -> None:
    assert changes(values) == ()


def test_value_that_is_no_number_is_an_error() -> None:
    with pytest.raises(ValueError, match="NaN"):
        changes([1.0, float("nan")])


@given(st.lists(st.integers(-1000, 1000), max_size=40), st.integers(1, 9), st.integers(-50, 50))
def test_hints_depend_neither_on_the_unit_nor_on_its_zero(values: list[int], factor: int, shift: int) -> None:
    found = changes([float(value) for value in values])
    moved = changes([float(value * factor + shift) for value in values])
    assert [(one.at, one.chance) for one in found] == [(one.at, one.chance) for one in moved]
    for one in found:
        assert MIN_RUNS <= one.at <= len(values) - MIN_RUNS


def days(folder: Path, count: int, change: Callable[[int, SyntheticRun], SyntheticRun]) -> Trend:
    """A run each day, changed by its number."""
    for day in range(count):
        started = datetime(2026, 3, 1, 10, tzinfo=UTC) + timedelta(days=day)
        run = change(day, synthetic_run(seed=day))
        record = replace(run.record, run_id=f"run-{day:02d}", started=f"{started:%Y-%m-%dT%H:%M:%SZ}")
        replace(run, record=record).write(folder / f"{count - day:02d}")
    return trend(look([folder]))


def newer_runc(day: int, run: SyntheticRun) -> SyntheticRun:
    """From the eighth day on another runc, which takes twice as long to start."""

    def slower(sample: Sample) -> Sample:
        twice = sample.isolator == "runc" and sample.metric == "ready" and sample.value is not None
        return replace(sample, value=2 * (sample.value or 0)) if twice else sample

    if day < 8:
        return run
    tools = {**run.record.tools, "runc": ToolRecord("/opt/runc", "runc version 1.2.0", "99" * 32)}
    samples = tuple(map(slower, run.samples))
    return replace(run, record=replace(run.record, tools=tools), samples=samples)


@pytest.fixture(scope="module")
def of_sixteen(tmp_path_factory: pytest.TempPathFactory) -> Trend:
    return days(tmp_path_factory.mktemp("days"), 16, newer_runc)


def test_runs_stand_in_the_order_of_time_whatever_their_folders_are_called(of_sixteen: Trend) -> None:
    assert [moment.run_id for moment in of_sixteen.moments] == [f"run-{day:02d}" for day in range(16)]


def test_change_of_a_tool_is_hinted_at_and_the_tool_is_named_as_suspect(of_sixteen: Trend) -> None:
    first = of_sixteen.tracks[0]
    assert (first.isolator, first.measure.metric) == ("runc", "ready")
    (hint,) = first.hints
    assert hint.at == 8
    assert hint.after / hint.before == pytest.approx(2, rel=0.3)
    assert [one.key for one in of_sixteen.moments[8].news] == ["runc"]
    assert not any(moment.news for place, moment in enumerate(of_sixteen.moments) if place != 8)
    text = page(of_sixteen)
    assert "runc: runc version 1.1.5 (abababababab) → runc version 1.2.0 (999999999999)" in text
    assert "What the runs were made on or with changed once" in text


def test_every_run_has_its_figure_with_an_interval(of_sixteen: Trend) -> None:
    for figure in of_sixteen.tracks[0].known:
        assert figure.interval is not None
        assert figure.interval.low <= figure.value <= figure.interval.high


def test_cell_that_a_run_lacks_is_a_gap_in_its_line(tmp_path: Path) -> None:
    def without(day: int, run: SyntheticRun) -> SyntheticRun:
        return run.only(lambda sample: sample.isolator != "lxc") if day == 2 else run

    found = days(tmp_path, 5, without)
    (track,) = (t for t in found.tracks if t.isolator == "lxc" and t.measure.metric == "ready")
    assert [figure is None for figure in track.figures] == [False, False, True, False, False]
    path = re.search(r'aria-label="4 runs[^"]*"><path[^>]*/><path class="level" d="([^"]*)"', page(found))
    assert path is not None
    assert path[1].count("M") == 2


def test_run_that_cannot_be_read_is_told_and_the_others_stay(tmp_path: Path) -> None:
    folders = write_fleet(tmp_path, 1, 60, runs=4)
    (folders[1] / SAMPLES_FILE).write_text("{}\n")
    found = trend(look([tmp_path]))
    assert len(found.moments) == 3
    assert "1 run could not be read" in page(found)
    assert f"{folders[1].name}/samples.jsonl:1: " in page(found)


def test_same_run_twice_counts_once_and_both_folders_are_named(tmp_path: Path) -> None:
    folders = write_fleet(tmp_path, 1, 60, runs=3)
    found = trend(look([tmp_path, folders[0]]))
    assert len(found.moments) == 3
    assert found.twice == ((folders[0], folders[0]),)


def test_runs_of_several_hosts_make_no_trend(tmp_path: Path) -> None:
    write_fleet(tmp_path, 2, 60)
    with pytest.raises(UsageError, match="one host, and these runs are of 2: host-00000, host-00001"):
        trend(look([tmp_path]))


def test_few_runs_are_told_to_be_too_few_for_a_hint(tmp_path: Path) -> None:
    write_fleet(tmp_path, 1, 60, runs=3)
    assert "3 runs are too few to tell a change of level from chance" in page(trend(look([tmp_path])))


def test_runs_without_a_figure_have_a_page_that_says_so(tmp_path: Path) -> None:
    found = days(tmp_path, 3, lambda _day, run: replace(run, samples=()))
    assert not found.tracks
    assert "No cell gave a figure" in page(found)


def test_foreign_text_is_escaped_everywhere(tmp_path: Path) -> None:
    def bad(day: int, run: SyntheticRun) -> SyntheticRun:
        host = {**run.record.host, "hostname": EVIL, "kernel": f"{EVIL}{day}"}
        samples = tuple(
            replace(s, isolator=s.isolator + EVIL, workload=s.workload + EVIL, reason=s.reason and EVIL)
            for s in run.samples
        )
        return replace(run, record=replace(run.record, host=host), samples=samples)

    text = page(days(tmp_path, 3, bad))
    for wrong in ("<img", "<script>alert", "\x1b", "\u202e"):
        assert wrong not in text
    assert "&lt;img src=x" in text
