"""`isobench run`, `resume` and `report`, with scripted isolators on a host that is none."""

import json
import os
import re
import signal
from pathlib import Path

import pytest

from isobench import lab as lab_module
from isobench.benchmarks import fake
from isobench.benchmarks.fake import FakeParams
from isobench.cli import main
from isobench.fakelab import fake_lab
from isobench.isolators.fake import Attempt
from isobench.journal import load
from isobench.lock import host_lock
from isobench.model import Reading

GOOD = """
[run]
blocks = 2
benchmarks = ["fake"]
[[isolator]]
kind = "fake"
name = "a"
script = [{ value = 0.010 }, { value = 0.012 }]
[[isolator]]
kind = "fake"
name = "b"
"""
FAILING = GOOD + 'script = [{ status = "failed", reason = "exit status 1" }]\n'
UNUSABLE = """
[run]
benchmarks = ["fake"]
[[isolator]]
kind = "fake"
readiness = "unavailable"
reason = "there is no fake"
remedy = "apt-get install fake"
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The host that is none, and an empty folder to be in."""
    monkeypatch.setattr(lab_module, "this_host", lambda **_: fake_lab(tmp_path / "state"))
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def matrix(text: str = GOOD) -> str:
    Path("matrix.toml").write_text(text)
    return "matrix.toml"


def run(*arguments: str) -> int:
    return main(["run", matrix(), "--no-report", "--out", "out", *arguments])


def test_run_prints_its_table_and_where_the_results_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    said = capsys.readouterr()
    assert "ready p50" in said.out
    assert said.out.endswith("\nresults: out\n")
    assert "4/4 fake/" in said.err


def test_run_without_a_folder_makes_one_below_results(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", matrix(), "--no-report"]) == 0
    (folder,) = Path("results").iterdir()
    assert capsys.readouterr().out.endswith(f"results: {folder}\n")
    assert load(folder).record.run_id == folder.name


def test_output_in_a_pipe_has_no_colours_and_no_trailing_blanks(capsys: pytest.CaptureFixture[str]) -> None:
    run()
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert [line for line in said.err.splitlines() if line != line.rstrip()] == []


def test_run_as_json_is_one_document_and_the_table_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json", "--seed", "11") == 0
    outcome = json.loads(capsys.readouterr().out)
    assert (outcome["folder"], outcome["status"], outcome["seed"]) == ("out", "finished", 11)
    assert outcome["report"] is None
    assert outcome["cells"]["fake/a/ready"] == {
        "status": "ok",
        "ok": 6,
        "not_ok": 0,
        "reason": None,
        "remedy": None,
    }


def test_same_seed_measures_in_the_same_order() -> None:
    orders = []
    for out in ("one", "two"):
        assert main(["run", matrix(), "--no-report", "--seed", "3", "--out", out]) == 0
        orders.append([sample.cell for sample in load(Path(out)).samples])
    assert orders[0] == orders[1]


def test_isolator_option_leaves_the_others_out() -> None:
    assert run("--isolator", "b") == 0
    assert {sample.isolator for sample in load(Path("out")).samples} == {"b"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--isolator", "c"), 'no isolator "c" in this matrix; allowed: a, b'),
        (("--benchmark", "fak"), 'no benchmark "fak" in this matrix (did you mean "fake"?); allowed: fake'),
    ],
)
def test_name_that_is_not_in_the_matrix_is_refused_with_those_that_are(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    assert capsys.readouterr().err == f"error: {said}\n"
    assert not Path("out").exists()


def test_quick_with_a_matrix_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--quick") == 2
    assert "cannot go with matrix.toml" in capsys.readouterr().err


def test_seed_below_zero_is_refused() -> None:
    assert run("--seed", "-1") == 2


def test_matrix_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "nothing.toml"]) == 2
    assert capsys.readouterr().err.startswith("error: nothing.toml: the matrix cannot be read")


def test_folder_with_something_in_it_is_refused_with_the_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    Path("out/thesis.txt").touch()
    assert run() == 2
    assert "remedy: choose a new folder with --out" in capsys.readouterr().err


def test_failed_cell_ends_with_4_and_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", matrix(FAILING), "--no-report", "--out", "out"]) == 4
    said = capsys.readouterr()
    assert "error: 1 of 2 cells failed or timed out: fake/b/ready\n" in said.err
    assert said.err.endswith("remedy: isobench report out --tables\n")
    assert "exit status 1" in said.out


def test_host_that_can_measure_nothing_ends_with_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", matrix(UNUSABLE), "--no-report", "--out", "out"]) == 3
    said = capsys.readouterr()
    assert "apt-get install fake" in said.out
    assert "remedy: isobench doctor" in said.err


def test_second_run_at_the_same_time_ends_with_3_and_names_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with host_lock(tmp_path / "state" / "lock"):
        assert run() == 3
    assert "another run is using this host: process " in capsys.readouterr().err


def test_interrupt_keeps_what_was_measured_and_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    played = []

    def interrupted(attempt: Attempt, params: FakeParams, timed_s: float) -> Reading:
        played.append(attempt)
        if len(played) == 5:
            signal.raise_signal(signal.SIGINT)
        return original(attempt, params, timed_s)

    original = fake._played
    monkeypatch.setattr(fake, "_played", interrupted)
    assert run() == 130
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.endswith(
        "interrupted; everything measured is kept in out\nto measure the rest: isobench resume out\n"
    )
    before = load(Path("out")).samples
    assert len(before) == 4

    monkeypatch.setattr(fake, "_played", original)
    assert main(["resume", "out", "--no-report"]) == 0
    assert load(Path("out")).samples[:4] == before
    assert "1/3 fake/" in capsys.readouterr().err


def test_resume_of_a_finished_run_says_that_nothing_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    run()
    assert main(["resume", "out", "--no-report"]) == 0
    assert "out: this run is complete, nothing is left to measure" in capsys.readouterr().err


def test_resume_of_no_run_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resume", "nowhere"]) == 2
    assert capsys.readouterr().err.startswith("error: nowhere: there is no such folder")


def test_summary_of_a_run_is_a_table_and_writes_no_file(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(run_folder), "--tables"]) == 0
    assert "qemu-tcg" in capsys.readouterr().out
    assert not (run_folder / "report.html").exists()


def test_last_example_of_the_matrix_page_is_run_with_a_report() -> None:
    page = (Path(__file__).parents[2] / "docs" / "matrix.md").read_text()
    example = re.findall(r"^```toml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)[-1]
    assert 'kind = "fake"' in example

    assert main(["run", matrix(example), "--out", "out"]) == 4  # its third attempt is a timeout
    assert "steady" in Path("out/report.html").read_text()


def test_report_of_no_run_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "."]) == 2
    assert "it has no run.json" in capsys.readouterr().err


def test_tune_says_what_is_set_and_json_has_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    setting = tmp_path / "state/host/sys/kernel/rcu_expedited"
    setting.parent.mkdir(parents=True)
    setting.write_text("0\n")

    assert run("--tune", "--json") == 0

    said = capsys.readouterr()
    assert "tuned for this run, put back at its end: RCU grace periods 0 to 1\n" in said.err
    assert json.loads(said.out)["tuned"] == [
        {
            "knob": "RCU grace periods",
            "file": "/sys/kernel/rcu_expedited",
            "before": "0",
            "during": "1",
            "refused": None,
            "end": "1",
        }
    ]
    assert setting.read_text() == "0\n"


def test_tune_on_a_host_where_all_is_as_wanted_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--tune", "--json") == 0
    said = capsys.readouterr()
    assert "every setting that --tune looks after is as wanted already" in said.err
    assert json.loads(said.out)["tuned"] == []


def test_tune_without_root_ends_with_3_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    setting = tmp_path / "state/host/sys/kernel/rcu_expedited"
    setting.parent.mkdir(parents=True)
    setting.write_text("0\n")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != setting and access(path, mode))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert run("--tune") == 3

    said = capsys.readouterr().err
    assert "--tune: none of the settings can be changed (/sys/kernel/rcu_expedited): it takes root\n" in said
    assert said.endswith("remedy: sudo isobench run --tune\n")
    assert not Path("out").exists()
