"""A day's runs in one file: the same attempts, whatever happens on the way."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from tests import lake_runs
from tests.lake_runs import BARE, RUNC, record, samples
from tests.perf.fleet import write_fleet

from isobench.errors import OutputError, ResultsError
from isobench.reports import lake_compact
from isobench.reports.lake import Lake, open_or_begin
from isobench.reports.lake_add import Outcome, add
from isobench.reports.lake_compact import compact
from isobench.reports.lake_place import Folder
from isobench.reports.lake_read import reading


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, ...]:
    return write_fleet(tmp_path / "results", 3, 42, runs=2)


@pytest.fixture
def lake(tmp_path: Path, folders: tuple[Path, ...]) -> Lake:
    made = open_or_begin(str(tmp_path / "lake"))
    assert [one.outcome for one in add(made, folders)] == [Outcome.ADDED] * 6
    return made


def content(lake: Lake) -> Counter[str]:
    """All attempts in the lake with all that is told of them."""
    with reading(lake) as reader:
        columns = sorted(name for name, *_ in reader.ask("DESCRIBE samples"))
        names = ", ".join(f'"{name}"' for name in columns)
        return Counter(map(str, reader.ask(f"SELECT {names} FROM samples")))  # noqa: S608 - names of ours


def test_compaction_keeps_every_attempt_with_all_its_columns_in_one_file_a_day(lake: Lake) -> None:
    before = content(lake)
    done = list(compact(lake))
    assert [(day.date, day.runs) for day in done] == [("2026-01-01", 3), ("2026-01-02", 3)]
    assert lake.runs() == ()
    assert [(day.date, day.nbytes) for day in lake.days()] == [(day.date, day.nbytes) for day in done]
    assert all(day.nbytes < day.nbytes_before for day in done)
    assert content(lake) == before
    assert sorted(path.name for path in Path(lake.place.name).iterdir() if path.is_dir()) == ["days"]
    assert list(compact(lake)) == []


def test_runs_added_after_a_compaction_join_their_day(lake: Lake, tmp_path: Path) -> None:
    list(compact(lake))
    late = lake_runs.write(
        tmp_path / "late", record("late", started="2026-01-02T09:00:00Z"), samples({RUNC: [1.0]})
    )
    assert [one.outcome for one in add(lake, [late])] == [Outcome.ADDED]
    before = content(lake)
    assert [(day.date, day.runs) for day in compact(lake)] == [("2026-01-02", 1)]
    assert content(lake) == before
    assert [one.outcome for one in add(lake, [late])] == [Outcome.KNOWN]


def test_compacted_run_that_has_grown_counts_in_its_longer_form_once(lake: Lake, tmp_path: Path) -> None:
    attempts = samples({RUNC: [0.02] * 4, BARE: [0.0002]})
    running = record("r", status="running", finished=None)
    list(add(lake, [lake_runs.write(tmp_path / "early", running, attempts[:2])]))
    list(compact(lake))
    whole = lake_runs.write(tmp_path / "whole", record("r"), attempts)

    def step() -> tuple[object, Outcome]:
        with reading(lake) as reader:
            rows = reader.ask("SELECT count(*), any_value(run_status) FROM samples WHERE run_id = 'r'")
        (added,) = add(lake, [whole])
        return rows[0], added.outcome

    assert step() == ((2, "running"), Outcome.GROWN)
    assert step() == ((5, "finished"), Outcome.KNOWN)
    list(compact(lake))
    assert lake.runs() == ()
    assert step() == ((5, "finished"), Outcome.KNOWN)


def test_compaction_killed_before_it_removed_the_runs_counts_none_twice(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(lake)

    def killed(_self: Folder, _name: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            list(compact(lake))
    assert (len(lake.runs()), len(lake.days())) == (6, 1)
    assert content(lake) == before
    list(compact(lake))
    assert lake.runs() == ()
    assert content(lake) == before


def test_compaction_on_a_full_disk_leaves_the_day_as_it_was(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(lake)
    real = lake_compact._copy
    monkeypatch.setattr(
        lake_compact,
        "_copy",
        lambda *how: (
            real(*how)
            .replace("FROM (", "FROM (SELECT error('disk full') AS x, * FROM (")
            .replace(")) TO", "))) TO")
        ),
    )
    with pytest.raises(OutputError, match=r"the file of 2026-01-01 cannot be made: .*disk full"):
        list(compact(lake))
    assert (len(lake.runs()), lake.days()) == (6, ())
    assert content(lake) == before
    assert not [path for path in Path(lake.place.name).iterdir() if path.name.startswith(".compacting")]


def test_torn_file_is_named_and_the_days_before_stay_compacted(lake: Lake) -> None:
    torn = next(run for run in lake.runs() if run.date == "2026-01-02")
    path = Path(lake.place.name, torn.name)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ResultsError, match=torn.run_id) as caught:
        list(compact(lake))
    assert "not a whole Parquet file" in str(caught.value)
    assert str(caught.value.remedy).startswith("remove it, then add its runs again: rm ")
    assert [day.date for day in lake.days()] == ["2026-01-01"]
    assert len(lake.runs()) == 3


def test_file_of_a_day_lies_host_by_host_and_other_engines_read_it(lake: Lake) -> None:
    list(compact(lake))
    path = Path(lake.place.name, lake.days()[0].name)
    hosts = [str(host) for host in pq.read_table(path)["host"].to_pylist()]
    assert hosts == sorted(hosts)
    assert duckdb.execute(f"SELECT count(DISTINCT host) FROM '{path}'").fetchall() == [(3,)]  # noqa: S608


def test_every_file_tells_the_version_of_the_lake_in_its_metadata(lake: Lake) -> None:
    def told(name: str) -> bytes | None:
        return (pq.read_metadata(Path(lake.place.name, name)).metadata or {}).get(b"isobench.lake")

    assert [told(run.name) for run in lake.runs()] == [b"1"] * 6
    list(compact(lake))
    assert [told(day.name) for day in lake.days()] == [b"1"] * 2
