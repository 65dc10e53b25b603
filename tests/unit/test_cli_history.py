"""`isobench history`: what it prints, in which form, and how it ends."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests import lake_runs
from tests.lake_runs import BARE, RUNC, record, samples
from tests.perf.fleet import write_fleet

from isobench.cli import main
from isobench.reports import lake as lake_module
from isobench.reports.lake import open_lake


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, and no lake of this host's own."""
    monkeypatch.delenv("ISOBENCH_LAKE", raising=False)
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def fleet(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A lake of 30 hosts with two runs each."""
    write_fleet(elsewhere / "results", 30, 42, runs=2)
    assert history("add", "results") == 0
    capsys.readouterr()


def history(*words: str) -> int:
    return main(["history", *words])


def told(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert history(*words) == 0
    return capsys.readouterr().out.splitlines()


def parsed(capsys: pytest.CaptureFixture[str], *words: str) -> Any:  # noqa: ANN401 - JSON
    assert history(*words, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_add_says_what_came_of_how_many_runs(capsys: pytest.CaptureFixture[str]) -> None:
    write_fleet(Path("results"), 3, 21)
    assert told(capsys, "add", "results") == ["lake: 3 runs: 3 added"]
    write_fleet(Path("more"), 1, 21, seed=2)
    lake_runs.write(Path("empty"), record("e"), ())
    assert history("add", "results", "more", "empty") == 2
    said = capsys.readouterr()
    assert said.out == "lake: 5 runs: 3 there already, 1 without an attempt, 1 refused\n"
    assert "error: more/host-00000/20260101T020000Z-000000: two runs claim the id" in said.err
    assert "remedy: if both are runs of their own" in said.err
    assert said.err.endswith("error: lake: 1 of 5 result folders were not added\n")


def test_add_tells_each_run_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    lake_runs.write(Path("results/a"), record("a"), samples({RUNC: [0.02]}))
    found = parsed(capsys, "add", "results", "--lake", "other")
    host = open_lake("other").runs()[0].host
    assert found == {
        "lake": "other",
        "runs": [
            {
                "folder": "results/a",
                "outcome": "added",
                "host": host,
                "date": "2026-03-01",
                "run_id": "a",
                "reason": None,
                "remedy": None,
                "warnings": [],
            }
        ],
    }


@pytest.mark.usefixtures("fleet")
def test_lake_is_named_by_option_by_environment_or_is_the_usual_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("lake").rename("other")
    assert history("list") == 2
    assert "lake: no result lake is there" in capsys.readouterr().err
    assert parsed(capsys, "list", "--lake", "other")["runs"] == 60
    monkeypatch.setenv("ISOBENCH_LAKE", "other")
    assert parsed(capsys, "list")["runs"] == 60


@pytest.mark.usefixtures("fleet")
def test_trend_of_one_host_is_a_line_a_run_with_n_median_and_change(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = told(capsys, "trend", RUNC, "--host", "host-00003")
    assert re.fullmatch(r"startup/runc/ready: ready on host-00003-[0-9a-f]{8}", lines[0])
    assert lines[1].split() == ["began", "(UTC)", "run", "n", "median", "change"]
    assert re.fullmatch(r"2026-01-01 02:00 +20260101T020003Z-000003 +2 +[\d.]+ ms +–", lines[2])
    assert re.fullmatch(r"2026-01-02 02:00 +20260102T020003Z-000003 +2 +[\d.]+ ms +[+-][\d.]+ %", lines[3])
    assert len(lines) == 4


@pytest.mark.usefixtures("fleet")
def test_trend_of_all_hosts_names_each(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys, "trend", RUNC, "--to-bare", "--since", "2026-01-02")
    assert lines[0] == "startup/runc/ready: ready to that of the bare row"
    assert len(lines) == 32
    assert all("×" in line for line in lines[1:])


@pytest.mark.usefixtures("fleet")
def test_trend_as_json_has_values_in_the_unit_and_times_in_utc(capsys: pytest.CaptureFixture[str]) -> None:
    found = parsed(capsys, "trend", RUNC, "--host", "host-00003")
    assert (found["cell"], found["metric"], found["unit"], found["to_bare"]) == (
        RUNC,
        "ready",
        "second",
        False,
    )
    assert [run["started"] for run in found["runs"]] == ["2026-01-01T02:00:03Z", "2026-01-02T02:00:03Z"]
    first, second = (run["value"] for run in found["runs"])
    assert found["runs"][1]["change"] == pytest.approx(second / first - 1)


def test_trend_says_what_changed_and_which_runs_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    attempts = samples({RUNC: [0.02, None]})
    changes: list[tuple[str, dict[str, Any]]] = [
        ("a", {}),
        ("b", {"host": {"kernel": "6.9"}}),
        ("c", {"host": {"kernel": "6.9", "knobs": {}}}),
        ("d", {"status": "running", "finished": None}),
    ]
    for day, (name, how) in enumerate(changes, start=1):
        of = record(name, started=f"2026-03-0{day}T00:00:00Z", **how)
        lake_runs.write(Path("results", name), of, attempts)
    assert history("add", "results") == 0
    capsys.readouterr()
    lines = told(capsys, "trend", RUNC)
    ends = [line.rpartition("  ")[2] for line in lines[2:5]]
    assert ends == ["1 lost", "1 lost, kernel 6.9", "1 lost, settings changed"]
    assert lines[5:] == ["Left out: 1 unfinished run (--unfinished shows them)."]
    lines = told(capsys, "trend", RUNC, "--unfinished")
    assert lines[5].endswith("running, 1 lost, kernel 6.1.0-18-cloud-amd64")


@pytest.mark.usefixtures("fleet")
def test_fleet_is_a_line_for_all_hosts_and_one_for_each_build(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys, "fleet", RUNC)
    assert lines[0] == "startup/runc/ready: ready, last run of each host"
    assert lines[1].split() == ["hosts", "least", "p5", "p50", "p95", "greatest"]
    assert re.match(r"all hosts +30 +[\d.]+ ms", lines[2])
    assert len(lines) == 7
    assert all(" – " in line for line in lines[3:])  # no percentile of a few hosts
    found = parsed(capsys, "fleet", RUNC, "--to-bare")
    assert found["rows"][0]["hosts"] == 30
    assert 100 < found["rows"][0]["p50"] < 150


def test_outliers_are_a_line_each_and_how_many_of_how_many(capsys: pytest.CaptureFixture[str]) -> None:
    for place in range(12):
        value = 0.02 * (1 + place / 100) * (5 if place == 7 else 1)
        of = record(f"r{place}", hostname=f"lab-{place}")
        lake_runs.write(Path("results", f"r{place}"), of, samples({RUNC: [value], BARE: [value / 100]}))
    assert history("add", "results") == 0
    capsys.readouterr()
    lines = told(capsys, "outliers", RUNC)
    assert re.match(r"lab-7-\w+ +2026-03-01 10:15 +1 +107 ms +[\d.]+× +\+[\d.]+ +all hosts", lines[2])
    assert lines[3:] == ["1 of 12 hosts beyond 3.5 robust standard deviations."]
    assert [one["run"]["hostname"] for one in parsed(capsys, "outliers", RUNC)["outliers"]] == ["lab-7"]
    lines = told(capsys, "outliers", RUNC, "--to-bare")
    assert lines[-1] == "0 of 12 hosts beyond 3.5 robust standard deviations."


def test_outliers_of_few_hosts_are_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    lake_runs.write(Path("a"), record("a"), samples({RUNC: [0.02]}))
    assert history("add", "a") == 0
    lines = told(capsys, "outliers", RUNC)
    assert lines[-1] == "Fewer than 5 hosts do not tell which of them is the odd one."


@pytest.mark.usefixtures("fleet")
def test_hosts_and_list_tell_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys, "hosts")
    assert len(lines) == 31
    assert re.match(r"host-00000-\w+ +2 +2026-01-01 +2026-01-02 +\S", lines[1])
    lines = told(capsys, "list")
    assert re.fullmatch(r"2026-01-01 +30 +30 +30 +[\d.]+ KiB", lines[1])
    assert re.fullmatch(r"lake: 60 runs of 30 hosts, [\d.]+ KiB", lines[3])
    lines = told(capsys, "list", "--host", "host-00001")
    assert re.fullmatch(r"20260101T020001Z-000001 +2026-01-01 02:00 +finished +21 +42 +0 +0\.1\.0", lines[1])
    assert [run["run_id"][:8] for run in parsed(capsys, "list", "--host", "host-00001")] == [
        "20260101",
        "20260102",
    ]
    assert [host["runs"] for host in parsed(capsys, "hosts")] == [2] * 30


def test_machines_that_share_a_name_are_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        lake_runs.write(Path("results", name), record(name, host={"boot": name}), samples({RUNC: [0.02]}))
    assert history("add", "results") == 0
    capsys.readouterr()
    assert history("hosts") == 0
    assert "its runs a and b went on at once in two boots" in capsys.readouterr().err


@pytest.mark.usefixtures("fleet")
def test_compact_says_what_became_of_each_day(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys, "compact")
    assert re.fullmatch(r"2026-01-01: 30 runs, [\d.]+ KiB became [\d.]+ KiB", lines[0])
    assert len(lines) == 2
    assert told(capsys, "compact") == ["nothing to do: no run has a file of its own"]
    assert parsed(capsys, "compact") == []
    assert parsed(capsys, "list")["runs"] == 60


@pytest.mark.usefixtures("fleet")
def test_question_of_ones_own_is_answered_as_a_table_or_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    what = "cell, count(*) AS n, NULL AS nothing, min(started) AS t"
    question = f"SELECT {what} FROM samples GROUP BY cell ORDER BY 1 LIMIT 1"  # noqa: S608 - names of ours
    lines = told(capsys, "sql", question)
    assert lines[0].split() == ["cell", "n", "nothing", "t"]
    assert lines[1].split() == ["round-trip/bare/echo", "120", "–", "2026-01-01T02:00:00Z"]
    assert parsed(capsys, "sql", question) == [
        {"cell": "round-trip/bare/echo", "n": 120, "nothing": None, "t": "2026-01-01T02:00:00Z"}
    ]
    odd = "SELECT 'nan'::DOUBLE AS a, MAP {'k': 1.5} AS b, [DATE '2026-01-01'] AS c, 1.5::DECIMAL(4, 2) AS d"
    assert parsed(capsys, "sql", odd) == [{"a": "nan", "b": {"k": 1.5}, "c": ["2026-01-01"], "d": 1.5}]
    assert history("sql", "SELECT 1 AS a, 2 AS a", "--json") == 2
    assert "two columns are called a" in capsys.readouterr().err
    assert history("sql", "DELETE FROM samples") == 2
    assert "one SELECT is asked for" in capsys.readouterr().err


def test_foreign_text_steers_no_terminal_and_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b[31m[bold]x\n\u202e"
    of = record(hostname=evil, host={"kernel": evil, "cpu": {"model": evil}})
    lake_runs.write(Path("results/a"), of, samples({f"startup/{evil}/ready": [0.02], RUNC: [None, 0.02]}))
    assert history("add", "results") == 0
    for words in (
        ("hosts",),
        ("list",),
        ("trend", RUNC),
        ("trend", f"startup/{evil}/ready"),
        ("fleet", RUNC),
        ("sql", "SELECT hostname, cell, host_facts FROM samples"),
    ):
        assert history(*words) == 0
    said = capsys.readouterr()
    assert "[bold]x" in said.out
    assert not set("\x1b\u202e") & set(said.out + said.err)


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("trend", "startup/runk/ready"), r'no cell "startup/runk/ready".*did you mean "startup/runc/ready"'),
        (("trend", RUNC, "--metric", "redy"), r'no metric "redy" \(did you mean "ready"\?\)'),
        (("trend", RUNC, "--host", "lab"), r'no host "lab" in the lake'),
        (("add", "nowhere"), "nowhere: there is no such folder"),
        (("add", "results", "--lake", "results"), "results: not a result lake"),
        (("list", "--lake", "nix://x"), "nix"),
    ],
)
def test_wrong_call_ends_with_2_and_says_what_is_wrong(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert history(*words) == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.usefixtures("fleet")
def test_lake_of_a_newer_isobench_is_refused_by_every_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_module, "VERSION", 0)
    for words in (("list",), ("add", "results"), ("trend", RUNC), ("sql", "SELECT 1"), ("compact",)):
        assert history(*words) == 2
        said = capsys.readouterr().err
        assert "the lake is of a newer isobench (v 1; this one reads up to v 0)" in said
        assert "remedy: pip install --upgrade isobench" in said


@pytest.mark.usefixtures("fleet")
def test_cells_are_completed_from_the_lake_on_the_line(elsewhere: Path) -> None:
    def offered(line: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-m", "isobench"],
            env={
                "_ISOBENCH_COMPLETE": "complete_bash",
                "COMP_WORDS": line,
                "COMP_CWORD": str(len(line.split()) - 1),
            }
            | {"PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
            cwd=elsewhere,
        )
        assert not done.stderr
        return done.stdout.split()

    assert offered("isobench history trend startup/r") == ["startup/runc/ready"]
    assert offered("isobench history trend --lake nowhere startup/r") == []


@pytest.mark.usefixtures("fleet")
def test_questions_import_no_pyarrow_and_help_imports_neither() -> None:
    def loaded(*words: str) -> set[str]:
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "isobench", *words],
            capture_output=True,
            text=True,
            check=True,
        )
        return {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}

    assert not loaded("history", "--help") & {"duckdb", "pyarrow", "fsspec", "rich", "numpy"}
    question = loaded("history", "fleet", RUNC)
    assert "duckdb" in question
    assert not question & {"pyarrow", "fsspec", "pandas", "scipy", "matplotlib"}
