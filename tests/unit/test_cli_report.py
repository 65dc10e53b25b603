"""`isobench report` over several folders: which page it makes, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.perf.fleet import write_fleet

from isobench.cli import main
from isobench.journal import RUN_FILE, SAMPLES_FILE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import SyntheticRun

SMALL = 42
"""Samples of a run: two a cell."""


@pytest.mark.parametrize(
    ("hosts", "runs", "heading"),
    [
        (1, 2, "What changed between two runs"),
        (3, 1, "3 hosts side by side"),
        (2, 2, "2 hosts side by side"),
        (1, 3, "host-00000 over 3 runs"),
    ],
)
def test_page_is_chosen_by_what_the_runs_are_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], hosts: int, runs: int, heading: str
) -> None:
    write_fleet(tmp_path, hosts, SMALL, runs=runs)
    assert main(["report", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'report.html'}\n"
    assert f"<h1>{heading}</h1>" in (tmp_path / "report.html").read_text()


def test_page_beside_a_run_is_named_after_what_it_is_and_leaves_the_runs_own_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [str(folder) for folder in write_fleet(tmp_path, 1, SMALL, runs=2)]
    assert main(["report", *folders]) == 0
    assert capsys.readouterr().out == f"{folders[0]}/compare.html\n"


def test_two_runs_of_one_host_are_a_trend_where_that_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_fleet(tmp_path, 1, SMALL, runs=2)
    assert main(["report", str(tmp_path), "--as", "trend"]) == 0
    assert "2 runs are too few" in (tmp_path / "report.html").read_text()
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("hosts", "runs", "page", "says", "remedy"),
    [
        (
            1,
            3,
            "compare",
            "a comparison is of two runs, and these folders hold 3",
            "report --as compare BASE",
        ),
        (3, 1, "trend", "a trend is of one host, and these runs are of 3: host-00000", "report --as hosts"),
    ],
)
def test_runs_that_do_not_make_the_page_asked_for_are_refused_with_the_way_to_do_it(  # noqa: PLR0917
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    hosts: int,
    runs: int,
    page: str,
    says: str,
    remedy: str,
) -> None:
    write_fleet(tmp_path, hosts, SMALL, runs=runs)
    assert main(["report", str(tmp_path), "--as", page]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert remedy in err
    assert not (tmp_path / "report.html").exists()


def test_same_run_twice_is_no_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder,) = map(str, write_fleet(tmp_path, 1, SMALL))
    assert main(["report", folder, folder]) == 2
    assert "hold the same run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "says"),
    [('{"a": 1}', "not the record of a run of isobench"), ('{"v": 99}', "newer isobench"), ("{", "run.json")],
)
def test_damaged_foreign_or_newer_run_stops_a_comparison_and_is_a_row_among_hosts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    sound, other = write_fleet(tmp_path, 2, SMALL)
    (other / RUN_FILE).write_text(text)
    assert main(["report", str(sound), str(other), "--as", "compare"]) == 2
    assert says in capsys.readouterr().err
    assert main(["report", str(sound), str(other), "--as", "hosts"]) == 0
    assert "gave no run that can be read" in (sound / "hosts.html").read_text()


def test_runs_without_a_value_have_pages_that_say_so(
    made_run: SyntheticRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        record = replace(made_run.record, run_id=name)
        replace(made_run, record=record, samples=()).write(tmp_path / name)
        assert not (tmp_path / name / SAMPLES_FILE).read_bytes()
    said = {
        "compare": "No value of the base counts here. No value of the candidate counts here.",
        "hosts": "measured nothing",
        "trend": "No cell gave a figure in any of these runs.",
    }
    for page, text in said.items():
        assert main(["report", str(tmp_path), "--as", page]) == 0
        assert text in (tmp_path / "report.html").read_text()
    assert not capsys.readouterr().err
