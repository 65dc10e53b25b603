"""Adding runs to a lake: each once, whatever order, however often; nothing lost to a kill or a full disk."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import duckdb
import fsspec  # type: ignore[import-untyped]
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import lake_runs
from tests.lake_runs import BARE, RUNC, record, samples
from tests.perf.fleet import write_fleet

from isobench import journal, journal_writer
from isobench.errors import OutputError, ResultsError
from isobench.reports.lake import Lake, RunFile, open_lake, open_or_begin
from isobench.reports.lake_add import Added, Outcome, add, find_runs
from isobench.reports.lake_compact import compact
from isobench.reports.lake_read import reading

FIVE: Mapping[str, Sequence[float | None]] = {RUNC: [0.02, 0.021, 0.022, 0.02, None], BARE: [0.0002] * 5}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return open_or_begin(str(tmp_path / "lake"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return lake_runs.write(tmp_path / "results" / "run-1", record(), samples(FIVE))


def outcomes(lake: Lake, *folders: Path) -> list[Outcome]:
    return [one.outcome for one in add(lake, folders)]


def only(lake: Lake, folder: Path) -> Added:
    (found,) = add(lake, [folder])
    return found


def content(lake: Lake) -> Counter[tuple[object, ...]]:
    """All attempts in the lake."""
    with reading(lake) as reader:
        names = "host, run_id, row, cell, metric, value, block, status, run_status"
        return Counter(reader.ask(f"SELECT {names} FROM samples"))  # noqa: S608 - names of ours


def test_run_added_is_read_back_as_the_journal_has_it(lake: Lake, folder: Path) -> None:
    added = only(lake, folder)
    assert added.outcome is Outcome.ADDED
    assert added.run
    stored = journal.load(folder)
    assert content(lake) == Counter(
        (added.run.host, "run-1", row, x.cell, x.metric, x.value, x.block, x.status.value, "finished")
        for row, x in enumerate(stored.samples, start=1)
    )


def test_same_run_twice_counts_once_from_whatever_folder(lake: Lake, folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.symlink_to(folder)
    assert outcomes(lake, folder, folder, copy) == [Outcome.ADDED, Outcome.KNOWN, Outcome.KNOWN]
    assert outcomes(lake, copy) == [Outcome.KNOWN]
    assert sum(content(lake).values()) == 10


def test_folders_with_runs_below_are_searched_and_each_run_is_found_once(tmp_path: Path) -> None:
    made = write_fleet(tmp_path / "batch", 3, 21, runs=2)
    assert find_runs([tmp_path / "batch", made[0]]) == tuple(sorted(made))
    with pytest.raises(ResultsError, match="no such folder"):
        find_runs([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ResultsError, match="not a result folder"):
        find_runs([tmp_path / "empty"])


def test_run_fetched_before_its_end_grows_when_it_is_fetched_again(lake: Lake, tmp_path: Path) -> None:
    attempts = samples(FIVE)
    half = lake_runs.write(tmp_path / "half", record(status="running", finished=None), attempts[:4])
    whole = lake_runs.write(tmp_path / "whole", record(), attempts)
    assert outcomes(lake, half, whole, half) == [Outcome.ADDED, Outcome.GROWN, Outcome.KNOWN]
    assert len(lake.runs()) == 1
    assert sum(content(lake).values()) == len(attempts)


def test_run_that_only_came_to_its_end_grows_too(lake: Lake, tmp_path: Path) -> None:
    attempts = samples(FIVE)
    running = lake_runs.write(tmp_path / "a", record(status="running", finished=None), attempts)
    finished = lake_runs.write(tmp_path / "b", record(), attempts)
    assert outcomes(lake, running, finished, running) == [Outcome.ADDED, Outcome.GROWN, Outcome.KNOWN]
    assert {row[-1] for row in content(lake)} == {"finished"}


@pytest.mark.parametrize(
    "other",
    [
        record(hostname="lab-2"),
        record(started="2026-03-02T10:15:00Z"),
        record(host={"cpu": {"model": "Another"}}),
    ],
    ids=["another host", "another day", "another machine of the name"],
)
def test_two_runs_that_claim_one_id_are_both_named_and_the_first_stays(
    other: journal.RunRecord, lake: Lake, folder: Path, tmp_path: Path
) -> None:
    only(lake, folder)
    before = content(lake)
    found = only(lake, lake_runs.write(tmp_path / "other", other, samples(FIVE)))
    assert found.outcome is Outcome.REFUSED
    assert found.reason
    assert str(tmp_path / "other") in found.reason
    assert lake.runs()[0].name in found.reason
    assert "two runs claim the id run-1" in found.reason
    assert content(lake) == before


@pytest.mark.parametrize("compacted", [False, True])
def test_run_of_other_figures_under_a_known_id_is_refused(
    compacted: bool,  # noqa: FBT001
    lake: Lake,
    folder: Path,
    tmp_path: Path,
) -> None:
    only(lake, folder)
    if compacted:
        list(compact(lake))
    other = lake_runs.write(tmp_path / "other", record(), samples({**FIVE, RUNC: [0.03] * 6}))
    found = only(lake, other)
    assert found.outcome is Outcome.REFUSED
    assert "two runs claim the id" in str(found.reason)


def test_run_refused_does_not_stop_the_others(lake: Lake, folder: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / journal.RUN_FILE).write_text("{}")
    newer = tmp_path / "newer"
    newer.mkdir()
    (newer / journal.RUN_FILE).write_text('{"v": 99}')
    gone = tmp_path / "gone"
    found = list(add(lake, [foreign, newer, gone, folder]))
    assert [one.outcome for one in found] == [Outcome.REFUSED] * 3 + [Outcome.ADDED]
    assert "written by a newer isobench" in str(found[1].reason)
    assert found[1].remedy


def test_truncated_fetch_is_refused_or_taken_as_far_as_it_is_whole(lake: Lake, folder: Path) -> None:
    path = folder / journal.SAMPLES_FILE
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    torn = only(lake, folder)
    assert torn.outcome is Outcome.ADDED
    assert "the last line is torn" in torn.warnings[0]
    path.write_bytes(whole)
    assert outcomes(lake, folder) == [Outcome.GROWN]
    path.unlink()
    assert "cannot be read" in str(only(lake, folder).reason)


def test_run_without_an_attempt_is_left_out_and_told(lake: Lake, tmp_path: Path) -> None:
    assert only(lake, lake_runs.write(tmp_path / "run", record(), ())).outcome is Outcome.EMPTY
    assert lake.runs() == ()


def test_clock_that_is_off_is_told_and_the_run_is_added(lake: Lake, tmp_path: Path) -> None:
    ahead = f"{datetime.now(UTC) + timedelta(days=400):%Y-%m-%dT%H:%M:%SZ}"
    found = only(lake, lake_runs.write(tmp_path / "run", record(started=ahead), samples(FIVE)))
    assert found.outcome is Outcome.ADDED
    assert [line.rpartition(": ")[2] for line in found.warnings] == ["a clock is off", "a clock is off"]
    assert "yet to come" in found.warnings[0]
    assert "ended" in found.warnings[1]


def test_torn_file_of_the_lake_is_mended_by_adding_its_run_again(lake: Lake, folder: Path) -> None:
    only(lake, folder)
    before = content(lake)
    path = Path(lake.place.name, lake.runs()[0].name)
    path.write_bytes(path.read_bytes()[:1000])
    assert outcomes(lake, folder) == [Outcome.ADDED]
    assert content(lake) == before


@pytest.mark.parametrize(
    "hostname", ["../../../etc", "a/../b", "x" * 400, "host=evil", "a'b\"c", "\x1b[2J", ""]
)
def test_hostile_host_name_stays_below_the_lake_and_is_kept_in_its_column(
    hostname: str, lake: Lake, tmp_path: Path
) -> None:
    only(lake, lake_runs.write(tmp_path / "run", record(hostname=hostname), samples(FIVE)))
    files = [path.relative_to(tmp_path / "lake") for path in tmp_path.rglob("*.parquet")]
    assert [path.parts[0] for path in files] == ["runs"]
    with reading(lake) as reader:
        assert reader.ask("SELECT DISTINCT hostname, date::VARCHAR FROM samples") == [
            (hostname, "2026-03-01")
        ]


def test_hostile_run_id_is_refused_and_nothing_is_written(lake: Lake, tmp_path: Path) -> None:
    found = only(lake, lake_runs.write(tmp_path / "run", record("../../evil"), samples(FIVE)))
    assert found.outcome is Outcome.REFUSED
    assert list(tmp_path.rglob("*.parquet")) == []


def test_other_engines_read_the_files_as_they_are(lake: Lake, folder: Path) -> None:
    only(lake, folder)
    root = Path(lake.place.name)
    (host,) = {run.host for run in lake.runs()}
    (row,) = duckdb.execute(
        "SELECT DISTINCT host, date::VARCHAR, run_status, finished::VARCHAR "  # noqa: S608 - a folder of ours
        f"FROM read_parquet('{root}/runs/*/*/*.parquet', hive_partitioning = true)"
    ).fetchall()
    assert row == (host, "2026-03-01", "finished", "2026-03-01 10:17:00")
    table = pq.read_table(root / "runs")
    assert table.num_rows == 10
    assert set(table["host"].to_pylist()) == {host}


# What a lake holds must not depend on the way it came about.

RUNS = st.lists(
    st.tuples(st.sampled_from(["lab-1", "lab-2"]), st.integers(0, 2), st.integers(1, 4), st.booleans()),
    min_size=1,
    max_size=5,
    unique_by=lambda run: run[:2],
)


@given(RUNS, st.randoms(use_true_random=False), st.booleans())
@settings(max_examples=12, deadline=None)
def test_lake_is_the_same_whatever_the_order_the_repeats_and_the_compactions(
    tmp_path_factory: pytest.TempPathFactory,
    runs: list[tuple[str, int, int, bool]],
    random: Random,
    compacting: bool,  # noqa: FBT001
) -> None:
    root = tmp_path_factory.mktemp("lakes")
    whole, parts = [], []
    for hostname, day, size, early in runs:
        of = record(f"{hostname}-{day}", hostname=hostname, started=f"2026-03-0{1 + day % 2}T10:1{day}:00Z")
        attempts = samples({RUNC: [0.02 + n * random.random() for n in range(size)], BARE: [0.0002]})
        whole.append(lake_runs.write(root / f"{hostname}-{day}", of, attempts))
        parts.append(whole[-1])
        if early:
            running = replace(of, status="running", finished=None)
            parts.append(lake_runs.write(root / f"{hostname}-{day}-early", running, attempts[:1]))
    plain, mixed = open_or_begin(str(root / "plain")), open_or_begin(str(root / "mixed"))
    list(add(plain, whole))

    again = [*parts, *random.choices(parts, k=3)]
    random.shuffle(again)
    for folder in again:
        assert only(mixed, folder).outcome is not Outcome.REFUSED
        if compacting and random.random() < 0.4:
            list(compact(mixed))

    assert content(mixed) == content(plain)


# Faults.


def test_full_disk_loses_nothing_that_was_added_and_the_rest_is_added_later(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = write_fleet(tmp_path / "results", 4, 21)
    real, left = journal_writer.write_whole, [2]

    def write_whole(path: Path, data: bytes) -> None:
        if not left[0]:
            path.with_name(f".{path.name}.new").write_bytes(data[:100])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        left[0] -= 1
        real(path, data)

    monkeypatch.setattr("isobench.reports.lake_place.write_whole", write_whole)
    done: list[Added] = []
    with pytest.raises(OutputError, match="No space left on device") as caught:
        done.extend(add(lake, folders))
    assert "not added twice" in str(caught.value.remedy)
    assert len(lake.runs()) == 2
    with reading(lake) as reader:
        assert reader.ask("SELECT count(DISTINCT run_id) FROM samples") == [(2,)]

    left[0] = 4
    assert Counter(outcomes(lake, *folders)) == {Outcome.KNOWN: 2, Outcome.ADDED: 2}


KILLED = """
import sys
from pathlib import Path
from isobench.reports.lake import open_or_begin
from isobench.reports.lake_add import add, find_runs
for one in add(open_or_begin(sys.argv[1]), find_runs([Path(sys.argv[2])])):
    print(one.outcome, flush=True)
"""


def test_kill_in_the_middle_leaves_whole_runs_only(tmp_path: Path) -> None:
    write_fleet(tmp_path / "results", 30, 21)
    name = str(tmp_path / "lake")
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, name, tmp_path / "results"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        told = [process.stdout.readline() for _ in range(5)]
        time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert told == ["added\n"] * 5

    lake = open_lake(name)
    there = len(lake.runs())
    assert 5 <= there < 30
    with reading(lake) as reader:
        assert reader.ask("SELECT count(DISTINCT run_id), count(*) FROM samples") == [(there, 21 * there)]
    list(add(lake, find_runs([tmp_path / "results"])))
    with reading(lake) as reader:
        assert reader.ask("SELECT count(DISTINCT run_id), count(*) FROM samples") == [(30, 21 * 30)]
    assert not list((tmp_path / "lake").rglob("*.new"))


def test_second_writer_waits_for_the_first(lake: Lake, tmp_path: Path) -> None:
    folders = write_fleet(tmp_path / "results", 3, 21)
    first = add(lake, folders)
    next(first)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, lake.place.name, tmp_path / "results"],
        stdout=subprocess.PIPE,
        text=True,
    ) as second:
        time.sleep(0.5)
        assert second.poll() is None
        assert len(list(first)) == 2
        assert second.communicate()[0] == "known\n" * 3
    assert second.returncode == 0


# A lake that fsspec opens.


def test_lake_at_a_url_is_as_one_in_a_folder(lake: Lake, tmp_path: Path) -> None:
    fsspec.filesystem("memory").store.clear()
    folders = write_fleet(tmp_path / "results", 3, 21, runs=2)
    there = open_or_begin("memory://bucket/lake")
    for one in (lake, there):
        assert outcomes(one, *folders) == [Outcome.ADDED] * 6
    assert content(there) == content(lake)
    assert [day.runs for day in compact(there)] == [3, 3]
    assert outcomes(there, *folders) == [Outcome.KNOWN] * 6
    assert content(there) == content(lake)
    assert there.runs() == ()
    again = open_lake("memory://bucket/lake")
    assert [day.date for day in again.days()] == ["2026-01-01", "2026-01-02"]


def test_lake_at_a_url_of_a_file_system_is_a_folder(tmp_path: Path, folder: Path) -> None:
    assert outcomes(open_or_begin(f"file://{tmp_path}/lake"), folder) == [Outcome.ADDED]
    run = RunFile("*", "2026-03-01", "run-1")
    assert len(list((tmp_path / "lake").glob(run.name))) == 1
