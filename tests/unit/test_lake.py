"""What a lake is called, where its files are, and which it refuses to open."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import lake_runs

from isobench.errors import OutputError, ResultsError, UsageError
from isobench.reports import lake
from isobench.reports.lake import MARKER, host_id, hosts_named, open_lake, open_or_begin, run_file
from isobench.reports.lake_place import Folder, Remote, place
from isobench.reports.parquet_schema import SCHEMA


def test_version_of_the_lake_goes_up_with_that_of_its_columns() -> None:
    assert (lake.VERSION, SCHEMA) == (1, 1), "one has changed: the other has to, and this line"


def test_run_lies_under_its_host_and_its_day_in_utc() -> None:
    run = run_file(lake_runs.record("run-7", started="2026-03-01T23:30:00-02:00"), "here")
    assert run.name == f"runs/host={run.host}/date=2026-03-02/run-7.parquet"
    assert run.host.startswith("lab-1-")


def test_host_stays_the_same_through_an_upgrade_and_differs_with_name_and_machine() -> None:
    known = lake_runs.record().host
    upgraded = {
        **known,
        "kernel": "7.0",
        "os": "Debian 14",
        "memory_bytes": 1,
        "cpu": {**known["cpu"], "usable": 1},
    }
    assert host_id(upgraded) == host_id(known)
    others = [
        {**known, "hostname": "lab-2"},
        {**known, "cpu": {"model": "Another"}},
        {**known, "machine": "arm64"},
    ]
    assert len({host_id(one) for one in (known, *others)}) == 4


@given(st.text(max_size=300))
def test_any_host_name_is_one_harmless_part_of_a_path(hostname: str) -> None:
    found = host_id({"hostname": hostname})
    assert PurePosixPath("a", found).parent == PurePosixPath("a")
    assert found.isascii()
    assert found.isprintable()
    assert not set(found) & set("/\\=%*?[]'\" ")
    assert not found.startswith((".", "-"))
    assert len(found) <= 49


@pytest.mark.parametrize(
    "hostname", [None, 7, {"a": 1}, ["x"], "", "..", "../../etc", "a/b", "\x00", "é" * 300]
)
def test_host_name_that_is_none_or_hostile_gives_an_id_of_its_own(hostname: object) -> None:
    found = {host_id({"hostname": name, "cpu": "not a table"}) for name in (hostname, "lab-1")}
    assert len(found) == 2


@pytest.mark.parametrize(
    "run_id", ["", "..", "../up", "a/b", ".hidden", "a b", "a'b", "a\n", "é", "x" * 129, "*"]
)
def test_run_id_that_is_no_file_name_is_refused(run_id: str) -> None:
    with pytest.raises(ResultsError, match="cannot be the name of a file"):
        run_file(lake_runs.record(run_id), "here")


@pytest.mark.parametrize("started", ["", "yesterday", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+23:00"])
def test_run_that_began_at_no_time_is_refused(started: str) -> None:
    with pytest.raises(ResultsError, match="here: when it began is no time"):
        run_file(lake_runs.record(started=started), "here")


@pytest.mark.parametrize("year", ["0001", "1970", "2399"])
def test_run_of_a_clock_that_is_far_off_has_its_day_all_the_same(year: str) -> None:
    assert run_file(lake_runs.record(started=f"{year}-01-01T00:00:00Z"), "here").date == f"{year}-01-01"


def test_host_is_meant_by_its_id_or_by_its_name() -> None:
    known = frozenset({"lab-1-0123abcd", "lab-1-4567ef01", "lab-10-89abcdef"})
    assert hosts_named("lab-1-0123abcd", known) == ("lab-1-0123abcd",)
    assert hosts_named("LAB-1", known) == ("lab-1-0123abcd", "lab-1-4567ef01")
    assert hosts_named("lab", known) == ()


def test_lake_begins_in_a_new_folder_and_opens_again(tmp_path: Path) -> None:
    name = str(tmp_path / "deep" / "lake")
    assert open_or_begin(name).runs() == ()
    assert json.loads((tmp_path / "deep" / "lake" / MARKER).read_text())["v"] == lake.VERSION
    assert open_lake(name).days() == ()


def test_lake_among_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(OutputError, match=r"not a result lake.*thesis\.tex is in it"):
        open_or_begin(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_folder_without_a_lake_is_told_with_what_begins_one(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no result lake is there") as caught:
        open_lake(str(tmp_path / "nowhere"))
    assert "isobench history add" in str(caught.value.remedy)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"v": 2}', r"of a newer isobench \(v 2; this one reads up to v 1\)"),
        ('{"v": "soon"}', "of a newer isobench"),
        ("{}", "no version in it"),
        ("[]", "no version in it"),
        ("", "no version in it"),
    ],
)
def test_lake_of_a_newer_or_unknown_version_is_refused_for_reading_and_writing(
    text: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / MARKER).write_text(text)
    for opened in (open_lake, open_or_begin):
        with pytest.raises(ResultsError, match=message):
            opened(str(tmp_path))


def test_place_is_a_folder_or_what_fsspec_reaches(tmp_path: Path) -> None:
    assert isinstance(place(str(tmp_path)), Folder)
    assert place(f"file://{tmp_path}").roots()[0] == f"{tmp_path}/"
    assert isinstance(place("memory://somewhere/lake"), Remote)


@pytest.mark.parametrize(("url", "message"), [("nix://a", "not known"), ("s3://bucket/lake", "s3fs")])
def test_url_that_nothing_here_opens_is_refused_with_what_is_missing(url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        place(url)


def test_file_appears_whole_with_its_size_and_goes_with_its_empty_folders(tmp_path: Path) -> None:
    where = Folder(str(tmp_path / "lake"))
    where.write("runs/host=a/date=b/c.parquet", b"1234")
    (tmp_path / "lake/runs/host=a/date=b/.c.parquet.new").touch()
    assert where.files("runs") == {"runs/host=a/date=b/c.parquet": 4}
    assert where.files("days") == {}
    (tmp_path / "lake/runs/host=a/date=b/.c.parquet.new").unlink()
    where.remove("runs/host=a/date=b/c.parquet")
    where.remove("runs/host=a/date=b/c.parquet")
    assert list((tmp_path / "lake").iterdir()) == []


def test_names_in_a_lake_that_are_none_of_ours_are_left_alone(tmp_path: Path) -> None:
    made = open_or_begin(str(tmp_path))
    for name in ("runs/notes.txt", "runs/host=a/x.parquet", "days/date=soon/hosts.parquet"):
        made.place.write(name, b"?")
    assert (made.runs(), made.days()) == ((), ())
