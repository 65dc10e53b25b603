"""Figures of a lake: the same as pandas makes of the result folders, and which hosts stand out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import lake_runs
from tests.conftest import SyntheticRun
from tests.lake_runs import BARE, RUNC, record, samples
from tests.perf.fleet import write_fleet

from isobench.errors import UsageError
from isobench.reports.frame import samples_frame
from isobench.reports.history import Found, Question, RunFigure, find
from isobench.reports.history_fleet import MIN_FOR_OUTLIERS, MIN_FOR_TAILS, OUTLYING, outliers, percentiles
from isobench.reports.history_hosts import contents, hosts, runs_of
from isobench.reports.lake import Lake, host_id, open_or_begin
from isobench.reports.lake_add import add
from isobench.reports.lake_compact import compact
from isobench.reports.lake_read import reading
from isobench.reports.load import summarize


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return open_or_begin(str(tmp_path / "lake"))


def asked(lake: Lake, cell: str = RUNC, **how: object) -> Found:
    with reading(lake) as reader:
        return find(reader, Question(cell, **how))  # type: ignore[arg-type]


def put(lake: Lake, tmp_path: Path, *runs: lake_runs.Made) -> None:
    for number, (of, attempts) in enumerate(runs):
        folder = tmp_path / f"{of.run_id}-{number}"
        assert [one.reason for one in add(lake, [lake_runs.write(folder, of, attempts)])] == [None]


# The same as pandas.


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize("to_bare", [False, True])
def test_trend_is_what_pandas_makes_of_the_folders(
    compacted: bool,  # noqa: FBT001
    to_bare: bool,  # noqa: FBT001
    lake: Lake,
    tmp_path: Path,
) -> None:
    folders = write_fleet(tmp_path / "results", 4, 63, runs=3)
    list(add(lake, folders))
    if compacted:
        list(compact(lake))
    wanted = []
    for folder in folders:
        frame = samples_frame(folder)
        kept = frame[frame.counts & (frame.metric == "ready")]
        value = kept[kept.cell == RUNC].value.median()
        below = kept[kept.cell == BARE].value.median() if to_bare else 1.0
        wanted.append((folder.name, int((kept.cell == RUNC).sum()), value / below))

    found = asked(lake, to_bare=to_bare)

    assert [(run.run_id, run.n) for run in found.runs] == [row[:2] for row in wanted]
    assert [run.value for run in found.runs] == pytest.approx([row[2] for row in wanted])
    changes = pd.Series([row[2] for row in wanted]).groupby(np.arange(12) // 3).pct_change()
    assert [run.change is None for run in found.runs] == changes.isna().tolist()
    told = [run.change for run in found.runs if run.change is not None]
    assert told == pytest.approx(changes.dropna().tolist())


VALUES = st.lists(st.one_of(st.none(), st.floats(1e-6, 10.0)), min_size=1, max_size=7)


@given(st.lists(st.tuples(st.sampled_from("abc"), VALUES, VALUES), min_size=1, max_size=4))
@settings(max_examples=12, deadline=None)
def test_figures_of_any_runs_are_medians_of_what_counts(
    tmp_path_factory: pytest.TempPathFactory,
    runs: list[tuple[str, list[float | None], list[float | None]]],
) -> None:
    root = tmp_path_factory.mktemp("lakes")
    lake = open_or_begin(str(root / "lake"))
    wanted: dict[str, tuple[int, int, float]] = {}
    for number, (name, above, below) in enumerate(runs):
        of = record(f"r{number}", hostname=name, started=f"2026-03-0{1 + number}T00:00:00Z")
        put(lake, root, (of, samples({RUNC: above, BARE: below})))
        kept = [x for x in above if x is not None]
        floor = [x for x in below if x is not None]
        if kept and floor:
            wanted[of.run_id] = (len(kept), len(above) - len(kept), median(kept) / median(floor))
    found = asked(lake, to_bare=True)
    told = {run.run_id: (run.n, run.lost) for run in found.runs}
    assert told == {name: counts[:2] for name, counts in wanted.items()}
    assert {run.run_id: run.value for run in found.runs} == pytest.approx(
        {name: value for name, (_, _, value) in wanted.items()}
    )
    assert len(told) + found.without_figure + found.without_bare == len(runs)


def test_memory_is_the_slope_that_the_report_of_the_run_tells(
    made_run: SyntheticRun, lake: Lake, tmp_path: Path
) -> None:
    folder = made_run.write(tmp_path / "run")
    list(add(lake, [folder]))
    wanted = {one.isolator: one.total.value for one in summarize(folder).memories}
    for isolator, value in wanted.items():
        found = asked(lake, f"memory/{isolator}/hold")
        assert (found.metric, found.unit, found.other_metrics) == ("footprint", "byte", ("peak",))
        assert [run.value for run in found.runs] == pytest.approx([value])
    ratio = asked(lake, "memory/lxc/hold", to_bare=True).runs[0].value
    assert ratio == pytest.approx(wanted["lxc"] / wanted["bare"])


def test_memory_at_one_number_of_instances_has_no_figure(
    made_run: SyntheticRun, lake: Lake, tmp_path: Path
) -> None:
    flat = made_run.only(lambda x: x.metric == "footprint" and x.detail["instances"] == 2)
    list(add(lake, [flat.write(tmp_path / "run")]))
    found = asked(lake, "memory/lxc/hold")
    assert (found.runs, found.without_figure) == ((), 1)


def test_ratio_of_a_limit_has_figures_below_zero_and_no_change(
    made_run: SyntheticRun, lake: Lake, tmp_path: Path
) -> None:
    again = replace(made_run, record=replace(made_run.record, run_id="again", started="2026-03-02T00:00:00Z"))
    list(add(lake, [made_run.write(tmp_path / "a"), again.write(tmp_path / "b")]))
    cell = "throttling/runc/spin/cpus=0.5/period_us=100000"
    found = asked(lake, cell)
    assert all(run.value < 0 and run.change is None for run in found.runs)
    assert not found.relative
    with pytest.raises(UsageError, match="is a ratio already"):
        asked(lake, cell, to_bare=True)


# What is asked for, and what is left out.


def test_unfinished_run_is_left_out_and_told_unless_it_is_asked_for(lake: Lake, tmp_path: Path) -> None:
    attempts = samples({RUNC: [0.02]})
    put(
        lake,
        tmp_path,
        (record("a", started="2026-03-01T00:00:00Z"), attempts),
        (record("b", started="2026-03-02T00:00:00Z", status="running", finished=None), attempts),
        (record("c", started="2026-03-03T00:00:00Z", status="interrupted", finished=None), attempts),
    )
    found = asked(lake)
    assert ([run.run_id for run in found.runs], found.unfinished) == (["a"], 2)
    every = asked(lake, unfinished=True)
    assert [run.status for run in every.runs] == ["finished", "running", "interrupted"]
    assert every.unfinished == 0


def test_run_without_a_bare_row_is_left_out_of_ratios_and_told(lake: Lake, tmp_path: Path) -> None:
    put(
        lake,
        tmp_path,
        (record("a"), samples({RUNC: [0.02], BARE: [0.001]})),
        (record("b", started="2026-03-02T00:00:00Z"), samples({RUNC: [0.02]})),
        (record("c", started="2026-03-03T00:00:00Z"), samples({RUNC: [0.02], BARE: [None]})),
    )
    assert len(asked(lake).runs) == 3
    found = asked(lake, to_bare=True)
    assert ([run.run_id for run in found.runs], found.without_bare) == (["a"], 2)


def test_bare_row_is_that_of_the_same_benchmark_workload_and_parameters(lake: Lake, tmp_path: Path) -> None:
    cells = {
        "startup/runc/nginx/caches=cold": [0.4],
        "startup/floor/nginx/caches=cold": [0.2],
        "startup/floor/nginx/caches=warm": [0.1],
        "startup/floor/ready": [0.05],
        "teardown/floor/nginx/caches=cold": [0.01],
    }
    of = record(isolators=("runc", "floor"))
    kinds = tuple(replace(one, kind="bare" if one.name == "floor" else "runc") for one in of.isolators)
    put(lake, tmp_path, (replace(of, isolators=kinds), samples(cells)))
    found = asked(lake, "startup/runc/nginx/caches=cold", to_bare=True)
    assert [run.value for run in found.runs] == [2.0]
    assert [run.value for run in asked(lake, "startup/floor/ready", to_bare=True).runs] == [1.0]


def test_warmups_and_failures_enter_no_figure_and_failures_are_told(lake: Lake, tmp_path: Path) -> None:
    attempts = list(samples({RUNC: [9.0, 0.02, 0.04, None]}))
    attempts[0] = replace(attempts[0], detail={"warmup": True})
    put(lake, tmp_path, (record(), attempts))
    (run,) = asked(lake).runs
    assert (run.n, run.lost) == (2, 1)
    assert run.value == pytest.approx(0.03)


def test_host_is_asked_for_by_id_or_name_and_days_from_one_on(lake: Lake, tmp_path: Path) -> None:
    attempts = samples({RUNC: [0.02]})
    for name in ("lab-1", "lab-2"):
        put(
            lake,
            tmp_path,
            *(
                (record(f"{name}-{day}", hostname=name, started=f"2026-03-0{day}T00:00:00Z"), attempts)
                for day in (1, 2)
            ),
        )
    own = host_id(record(hostname="lab-2").host)
    for host in (own, "lab-2"):
        assert [run.run_id for run in asked(lake, host=host).runs] == ["lab-2-1", "lab-2-2"]
    found = asked(lake, since=date(2026, 3, 2))
    assert [run.run_id for run in found.runs] == ["lab-1-2", "lab-2-2"]
    with pytest.raises(UsageError, match="not measured on lab-1 since 2026-04-01"):
        asked(lake, host="lab-1", since=date(2026, 4, 1))
    with pytest.raises(UsageError, match=r'no host "lab-3" in the lake'):
        asked(lake, host="lab-3")


def test_cell_or_metric_that_is_not_there_is_refused_with_one_that_is_near(
    made_run: SyntheticRun, lake: Lake, tmp_path: Path
) -> None:
    list(add(lake, [made_run.write(tmp_path / "run")]))
    with pytest.raises(UsageError, match=r'did you mean "startup/runc/ready"\?'):
        asked(lake, "startup/runk/ready")
    with pytest.raises(UsageError, match=r'no metric "redy" \(did you mean "ready"\?\); allowed: ready'):
        asked(lake, metric="redy")
    with pytest.raises(UsageError, match="unsupported: it has no CPU limit of its own"):
        asked(lake, "throttling/bare/spin")
    for odd in ("", "/", "a", "startup/runc", "startup/runc/ready'; DROP VIEW samples; --"):
        with pytest.raises(UsageError, match="no cell"):
            asked(lake, odd)


def test_change_of_clock_puts_runs_in_the_order_they_say_they_began(lake: Lake, tmp_path: Path) -> None:
    put(
        lake,
        tmp_path,
        (record("b", started="2026-03-01T00:00:00Z"), samples({RUNC: [0.02]})),
        (record("c", started="1970-01-01T00:00:10Z"), samples({RUNC: [0.04]})),
    )
    assert [run.run_id for run in asked(lake).runs] == ["c", "b"]


# Hosts.


def figures(values: Sequence[float], builds: Sequence[str] = ("EPYC",), unit: str = "second") -> Found:
    run = lake_figure()
    return Found(
        Question(RUNC),
        "ready",
        unit,
        tuple(
            replace(run, host=f"h{place:04}", value=value, cpu=builds[place % len(builds)])
            for place, value in enumerate(values)
        ),
    )


def lake_figure() -> RunFigure:
    from datetime import datetime

    began = datetime(2026, 3, 1)  # noqa: DTZ001 - as DuckDB gives it
    return RunFigure("h", "h", "r", began, "finished", "f", "0.1", "EPYC", "6.1", 10, 0, 1.0)


@given(st.lists(st.floats(1e-5, 1e3), min_size=1, max_size=60))
def test_percentiles_are_those_of_numpy(values: list[float]) -> None:
    (row,) = percentiles(figures(values))
    assert (row.what, row.hosts, row.least, row.greatest) == (
        "all hosts",
        len(values),
        min(values),
        max(values),
    )
    assert row.p50 == pytest.approx(np.quantile(values, 0.5))
    tails = np.quantile(values, [0.05, 0.95]).tolist() if len(values) >= MIN_FOR_TAILS else [None, None]
    assert [row.p5, row.p95] == pytest.approx(tails)


def test_percentiles_take_the_last_run_of_each_host_and_each_build_apart() -> None:
    found = figures([3.0, 1.0, 2.0, 4.0], ("EPYC", "Xeon", "EPYC"))
    earlier = replace(found.runs[0], value=99.0)
    rows = percentiles(replace(found, runs=(earlier, *found.runs)))
    assert [(row.what, row.hosts, row.p50) for row in rows] == [
        ("all hosts", 4, 2.5),
        ("EPYC, 6.1", 3, 3.0),
        ("Xeon, 6.1", 1, 1.0),
    ]
    assert percentiles(figures([])) == ()


@given(
    st.lists(st.floats(0.9, 1.1), min_size=2 * MIN_FOR_OUTLIERS, max_size=40),
    st.floats(1e-4, 1e4),
    st.sampled_from(["second", "byte"]),
)
def test_outliers_do_not_depend_on_the_unit_and_a_host_far_off_is_one(
    values: list[float], factor: float, unit: str
) -> None:
    plain = outliers(figures(values, unit=unit))
    scaled = outliers(figures([value * factor for value in values], unit=unit))
    settled = [one.run.host for one in plain if abs(abs(one.score) - OUTLYING) > 1e-6]
    assert set(settled) <= {one.run.host for one in scaled}
    odd = outliers(figures([*values, 50.0], unit=unit))
    assert odd[0].run.value == 50.0
    assert odd[0].score > OUTLYING


def test_score_is_that_of_the_rule() -> None:
    values = [1.0, 1.1, 1.2, 1.3, 1.4, 9.0]
    logs = np.log(values)
    scale = np.median(np.abs(logs - np.median(logs))) / 0.6745 * (1 + 5 / 5)
    (odd,) = outliers(figures(values))
    assert odd.score == pytest.approx((math.log(9) - np.median(logs)) / scale)
    assert odd.apart == pytest.approx(9 / math.exp(np.median(logs)))
    assert odd.among == "all hosts"


def test_host_that_is_odd_among_its_own_build_only_is_found_there() -> None:
    values = [1.0, 10.0] * 10
    values = [value * (1 + place / 1000) for place, value in enumerate(values)]
    values[4] = 3.0  # between the builds, and like none of its own
    (odd,) = outliers(figures(values, ("slow", "fast")))
    assert (odd.run.host, odd.among) == ("h0004", "slow, 6.1")


@pytest.mark.parametrize("values", [[1.0] * 10, [1.0, 2.0, 3.0, 100.0], []])
def test_hosts_alike_or_too_few_have_no_outliers(values: list[float]) -> None:
    assert outliers(figures(values)) == ()


def test_ratios_are_compared_by_their_difference() -> None:
    found = figures([-0.01, 0.0, 0.01, 0.0, 0.005, 0.5], unit="ratio")
    (odd,) = outliers(found)
    assert odd.run.value == 0.5
    assert odd.apart == pytest.approx(0.5 - median([-0.01, 0.0, 0.01, 0.0, 0.005, 0.5]))


def test_fleet_with_slow_hosts_has_them_among_its_outliers(lake: Lake, tmp_path: Path) -> None:
    folders = write_fleet(tmp_path / "results", 60, 42)
    list(add(lake, folders))
    found = asked(lake)
    values = {folder.parent.name: samples_frame(folder) for folder in folders}
    medians = {
        name: frame[(frame.cell == RUNC) & frame.counts].value.median() for name, frame in values.items()
    }
    assert {run.hostname: run.value for run in found.last} == pytest.approx(medians)
    slow = {one.run.hostname for one in outliers(found) if one.score > 0}
    slowest = max(medians, key=lambda name: medians[name])
    assert slowest in slow
    assert slowest not in {one.run.hostname for one in outliers(asked(lake, to_bare=True))}


# What is in a lake.


@pytest.mark.parametrize("compacted", [False, True])
def test_contents_count_runs_hosts_and_bytes_day_by_day(
    compacted: bool,  # noqa: FBT001
    lake: Lake,
    tmp_path: Path,
) -> None:
    list(add(lake, write_fleet(tmp_path / "results", 3, 21, runs=2)))
    if compacted:
        list(compact(lake))
        put(lake, tmp_path, (record("late", started="2026-01-02T05:00:00Z"), samples({RUNC: [0.02]})))
    with reading(lake) as reader:
        found = contents(reader)
        later = contents(reader, date(2026, 1, 2))
    extra = int(compacted)
    assert (found.runs, found.hosts) == (6 + extra, 3 + extra)
    assert [(day.runs, day.hosts, day.own_files) for day in found.days] == [
        (3, 3, 0 if compacted else 3),
        (3 + extra, 3 + extra, extra if compacted else 3),
    ]
    files = [path.stat().st_size for path in (tmp_path / "lake").rglob("*.parquet")]
    assert found.nbytes == sum(files)
    assert [str(day.date) for day in later.days] == ["2026-01-02"]


def test_hosts_are_told_as_their_last_run_describes_them(lake: Lake, tmp_path: Path) -> None:
    attempts = samples({RUNC: [0.02, None]})
    put(
        lake,
        tmp_path,
        (record("b", started="2026-03-02T00:00:00Z", host={"kernel": "6.9"}), attempts),
        (record("a", started="2026-03-01T00:00:00Z"), attempts),
    )
    with reading(lake) as reader:
        (host,) = hosts(reader)
        runs = runs_of(reader, "lab-1")
        assert hosts(reader, date(2027, 1, 1)) == ()
    assert (host.hostname, host.runs, host.kernel, host.cpu) == ("lab-1", 2, "6.9", "Some CPU @ 2.50GHz")
    assert (str(host.first.date()), str(host.last.date())) == ("2026-03-01", "2026-03-02")
    assert host.overlapping is None
    assert [(run.run_id, run.status, run.attempts, run.lost, run.cells) for run in runs] == [
        ("a", "finished", 2, 1, 1),
        ("b", "finished", 2, 1, 1),
    ]


@pytest.mark.parametrize(
    ("boots", "minute", "overlapping"),
    [(("x", "y"), 16, ("a", "b")), (("x", "x"), 16, None), (("x", "y"), 18, None), ((None, "y"), 16, None)],
)
def test_two_machines_of_one_name_are_told_by_runs_at_once_in_two_boots(
    boots: tuple[str | None, str],
    minute: int,
    overlapping: tuple[str, str] | None,
    lake: Lake,
    tmp_path: Path,
) -> None:
    attempts = samples({RUNC: [0.02]})
    second = {"started": f"2026-03-01T10:{minute}:00Z", "finished": "2026-03-01T10:19:00Z"}
    put(
        lake,
        tmp_path,
        (record("a", host={"boot": boots[0]}), attempts),
        (record("b", host={"boot": boots[1]}, **second), attempts),  # type: ignore[arg-type]
    )
    with reading(lake) as reader:
        (host,) = hosts(reader)
    assert host.overlapping == overlapping
