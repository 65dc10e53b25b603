"""isobench ab and gate with scripted isolators: plans, verdicts, files, exit codes, and a kill."""

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import isobench as package
from isobench import lab as lab_module
from isobench.cli import ab_run, main
from isobench.cli.ab import ratio
from isobench.errors import UsageError
from isobench.fakelab import fake_lab
from isobench.journal import load
from isobench.reports.gate_history import append_entries, read_entries

STEADY = [0.050, 0.0505, 0.0495, 0.0502, 0.0498, 0.0501, 0.0499, 0.0503, 0.0497, 0.05]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with a quiet host and a state directory of its own."""
    quiet = {"load": {"1min": 0.1}, "cpu": {"model": "none", "usable": 2}}
    monkeypatch.setattr(ab_run, "this_host", lambda **_: fake_lab(tmp_path / "lab", **quiet))
    monkeypatch.setattr(lab_module, "this_host", lambda **_: fake_lab(tmp_path / "lab", **quiet))
    monkeypatch.setenv("ISOBENCH_STATE", str(tmp_path / "state"))
    (tmp_path / "lab").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def isobench(place: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """A command line, with its exit code, output and errors."""
    assert place == Path.cwd()

    def call(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        found = capsys.readouterr()
        return code, found.out, found.err

    return call


def script(factor: float = 1.0, *, bad: bool = False) -> str:
    values = [f"{{ value = {value * factor} }}" for value in STEADY]
    if bad:
        values[0] = '{ status = "failed", reason = "it broke" }'
    return f"[{', '.join(values)}]"


def matrix(place: Path, factor: float = 1.0, *, bad: bool = False) -> str:
    """A matrix whose isolator `new` takes ``factor`` times as long as `old`."""
    file = place / "matrix.toml"
    file.write_text(
        '[run]\nbenchmarks = ["fake"]\nseed = 7\n'
        f'[[isolator]]\nkind = "fake"\nname = "old"\nscript = {script()}\n'
        f'[[isolator]]\nkind = "fake"\nname = "new"\nscript = {script(factor, bad=bad)}\n'
    )
    return str(file)


def compare(place: Path, factor: float = 1.0, *more: str, **how: Any) -> list[str]:  # noqa: ANN401
    return [
        *("ab", matrix(place, factor, **how), "--a", "old", "--b", "new", "--starts", "5"),
        *("--out", "run", *more),
    ]


def test_slower_candidate_is_a_regression_seen_twice_and_ends_with_1(
    place: Path, isobench: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = isobench(*compare(place, 1.3))

    assert code == 1
    assert "regression" in out
    assert "seen again on 20 fresh blocks: fake/ready" in err
    assert err.count("\n60/60 fake/") == 2
    assert "error: new is worse than old: fake/ready ready" in err
    run = load(place / "run")
    assert run.record.ab is not None
    assert run.record.ab.confirm == ("fake/ready",)
    assert {sample.block for sample in run.samples} == set(range(40))
    assert (place / "run" / "report.html").exists()


def test_equal_sides_are_equivalent_and_end_with_0(
    place: Path, isobench: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = isobench(*compare(place, 1.0, "--json"))

    assert (code, "error" in err) == (0, False)
    verdict = json.loads(out)
    assert [one["verdict"] for one in verdict["judgements"]] == ["equivalent"]
    assert verdict["folder"] == "run"
    assert {sample.block for sample in load(place / "run").samples} == set(range(20))


def test_faster_candidate_is_an_improvement_and_ends_with_0(
    place: Path, isobench: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, _ = isobench(*compare(place, 0.7, "--json"))
    assert code == 0
    assert [one["verdict"] for one in json.loads(out)["judgements"]] == ["improvement"]


def test_candidate_whose_starts_fail_ends_with_4(
    place: Path, isobench: Callable[..., tuple[int, str, str]]
) -> None:
    code, _, err = isobench(*compare(place, 1.0, bad=True))
    assert code == 4
    assert "error: the comparison is not whole" in err
    assert "it broke" in err


def test_verdict_is_written_where_it_is_wanted(
    place: Path, isobench: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(place / "summary.md"))
    code, out, _ = isobench(*compare(place, 1.3, "--junit", "j.xml", "--markdown", "m.md", "--github"))

    assert code == 1
    assert ET.parse("j.xml").getroot().findall(".//failure")  # noqa: S314
    assert "regression" in Path("m.md").read_text()
    assert "regression" in Path("summary.md").read_text()
    assert any(line.startswith("::error") for line in out.splitlines())


def test_gate_judges_a_run_again_with_other_thresholds(
    place: Path, isobench: Callable[..., tuple[int, str, str]]
) -> None:
    isobench(*compare(place, 1.3))
    Path("gate.toml").write_text(
        '[[threshold]]\nbenchmark = "fake"\nmetric = "ready"\nrelative = 0.5\nreason = "known to be slow"\n'
    )
    code, out, _ = isobench("gate", "run", "--policy", "gate.toml", "--json")
    assert (code, [one["verdict"] for one in json.loads(out)["judgements"]]) == (0, ["equivalent"])
    assert isobench("gate", "run")[0] == 1


def test_threshold_about_nothing_is_told_before_anything_is_measured(
    place: Path, isobench: Callable[..., tuple[int, str, str]]
) -> None:
    Path("mine.toml").write_text(
        '[[threshold]]\nbenchmark = "fake"\nmetric = "ready"\nisolator = "nev"\n'
        'relative = 0.5\nreason = "known to be slow"\n'
    )
    for starts in ((), ("--starts", "5"), ("--plan",)):
        words = ("ab", matrix(place), "--a", "old", "--b", "new", "--policy", "mine.toml", *starts)
        code, _, err = isobench(*words, "--out", "run")
        assert code == 2
        assert 'mine.toml: [[threshold]] 1 isolator: found "nev" (did you mean "new"?)' in err
    assert not Path("run").exists()
    assert not Path("run-pilot").exists()

    isobench(*compare(place))
    code, _, err = isobench("gate", "run", "--policy", "mine.toml")
    assert code == 2
    assert "mine.toml: [[threshold]] 1 isolator" in err


def test_plan_is_made_from_earlier_runs_and_told_before_anything_is_measured(
    place: Path, isobench: Callable[..., tuple[int, str, str]]
) -> None:
    words = ("ab", matrix(place, 1.0), "--a", "old", "--b", "new", "--detect", "10%")
    code, out, err = isobench(*words, "--plan")
    assert (code, out) == (0, "")
    assert "nothing is known yet of how far old differs from itself" in err
    assert not (place / "results").exists()

    code, _, err = isobench(*words, "--out", "first")
    assert code == 0
    assert load(place / "first-pilot").record.ab is not None
    assert err.index("comparison of it with itself comes first") < err.index("old (A) against new (B)")

    code, out, _ = isobench(*words, "--plan", "--json")
    plan = json.loads(out)
    assert plan["starts"] >= 3
    assert plan["comparisons"][0]["comparison"] == "fake/ready"
    assert plan["comparisons"][0]["runs"] == 2


def test_noise_of_five_earlier_runs_is_the_threshold_of_the_next(
    place: Path, isobench: Callable[..., tuple[int, str, str]]
) -> None:
    isobench(*compare(place, 1.0))
    (kept,) = read_entries(ab_run.history_file())
    append_entries(ab_run.history_file(), [replace(kept, run_id=f"r{n}", theta=0.08) for n in range(5)])

    code, out, _ = isobench(*compare(place, 1.06)[:-1], "next", "--json")

    (found,) = json.loads(out)["judgements"]
    assert (code, found["verdict"], found["threshold"]["source"]) == (0, "equivalent", "noise")
    ab = load(place / "next").record.ab
    assert ab is not None
    assert ab.noise == {"fake/ready": found["threshold"]["delta"]}
    assert ab.noise["fake/ready"] == pytest.approx(0.0833, abs=1e-4)


def test_what_sides_measured_one_after_the_other_differed_by_is_no_history_of_sides_in_turns(
    place: Path, isobench: Callable[..., tuple[int, str, str]]
) -> None:
    isobench(*compare(place, 1.0))
    (kept,) = read_entries(ab_run.history_file())
    assert kept.in_turns
    ab_run.history_file().unlink()
    append_entries(ab_run.history_file(), [replace(kept, in_turns=False)])

    _, out, _ = isobench("ab", matrix(place), "--a", "old", "--b", "new", "--plan", "--json")

    assert [one["comparison"] for one in json.loads(out)["unknown"]] == ["fake/ready"]


def test_run_on_an_unfit_host_is_not_remembered(
    place: Path, isobench: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = {"load": {"1min": 99.0}, "cpu": {"model": "none", "usable": 2}}
    monkeypatch.setattr(ab_run, "this_host", lambda **_: fake_lab(place / "lab", **busy))

    assert isobench(*compare(place, 1.0))[0] == 3

    assert read_entries(ab_run.history_file()) == ()


def test_pilot_on_an_unfit_host_serves_its_own_plan_alone(
    place: Path, isobench: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = {"load": {"1min": 99.0}, "cpu": {"model": "none", "usable": 2}}
    monkeypatch.setattr(ab_run, "this_host", lambda **_: fake_lab(place / "lab", **busy))

    code, _, err = isobench("ab", matrix(place), "--a", "old", "--b", "new", "--out", "run")

    assert code == 3
    assert "the host was unfit meanwhile (load as it began): what was found serves this plan alone" in err
    assert "\nfake/ready ready " in err[err.index("serves this plan alone") :]
    assert read_entries(ab_run.history_file()) == ()


def interrupted_pilot(
    place: Path, isobench: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> tuple[str, ...]:
    """The command whose pilot was broken off."""
    from isobench import measuring

    real, turns = measuring.Measuring.measure, 0

    def interrupted(self: Any, group: Any, jobs: Any) -> Any:  # noqa: ANN401
        nonlocal turns
        turns += 1
        if turns == 5:
            signal.raise_signal(signal.SIGINT)
        return real(self, group, jobs)

    words = ("ab", matrix(place), "--a", "old", "--b", "new", "--out", "run")
    monkeypatch.setattr(measuring.Measuring, "measure", interrupted)
    code, out, err = isobench(*words)
    assert (code, out) == (130, "")
    assert err.endswith("to begin anew: the same command again\n")
    assert not (place / "run").exists()
    return words


def test_command_whose_pilot_was_broken_off_can_be_given_again(
    place: Path, isobench: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = interrupted_pilot(place, isobench, monkeypatch)

    assert isobench(*words)[0] == 0

    assert load(place / "run-pilot").record.status == "interrupted"
    assert load(place / "run-pilot-2").record.status == "finished"
    assert [one.pilot for one in read_entries(ab_run.history_file())] == [True, False]


def test_pilot_is_resumed_without_a_verdict_and_remembered_as_one(
    place: Path, isobench: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = interrupted_pilot(place, isobench, monkeypatch)

    code, out, err = isobench("resume", "run-pilot")
    assert (code, out) == (0, "")
    assert "measured to plan a comparison of old by, which comes next" in err
    assert [one.pilot for one in read_entries(ab_run.history_file())] == [True]

    code, out, err = isobench("gate", "run-pilot")
    assert (code, out) == (2, "")
    assert "run-pilot was measured to plan a comparison by: it has old alone" in err
    assert "comparison of it with itself" not in isobench(*words)[2]


def test_alpha_that_so_few_blocks_cannot_reach_is_told_before_anything_is_measured(
    place: Path, isobench: Callable[..., tuple[int, str, str]]
) -> None:
    Path("mine.toml").write_text("[gate]\nalpha = 0.0001\n")

    code, out, err = isobench(*compare(place, 1.0, "--blocks", "12", "--policy", "mine.toml"))

    assert (code, out) == (2, "")
    assert "mine.toml: 12 blocks cannot show anything at alpha = 0.0001: p is 0.00024 at least" in err
    assert "remedy: --blocks 14" in err
    assert not (place / "run").exists()
    assert isobench(*compare(place, 1.0, "--blocks", "14", "--policy", "mine.toml"))[0] == 0


def test_place_that_is_taken_is_told_before_the_pilot(
    place: Path, isobench: Callable[..., tuple[int, str, str]]
) -> None:
    (place / "run").mkdir()
    (place / "run" / "x").touch()

    code, _, err = isobench("ab", matrix(place), "--a", "old", "--b", "new", "--out", "run")

    assert code == 2
    assert "run: the folder for the results is not empty (x is in it)" in err
    assert not (place / "run-pilot").exists()


@pytest.mark.parametrize(
    ("words", "told", "remedy"),
    [
        (
            ("--markdown", "no/v.md"),
            "no/v.md: the verdict cannot be written: there is no folder no",
            "mkdir -p no",
        ),
        (("--junit", "."), ".: the verdict cannot be written: it is a folder", ""),
        (("--json", "--github"), "--json and --github both print on standard output", "--github afterwards"),
    ],
)
def test_verdict_that_could_not_be_told_is_refused_before_anything_is_measured(
    place: Path,
    isobench: Callable[..., tuple[int, str, str]],
    words: tuple[str, ...],
    told: str,
    remedy: str,
) -> None:
    code, out, err = isobench(*compare(place, 1.0, *words))

    assert (code, out) == (2, "")
    assert told in err
    assert remedy in err
    assert not (place / "run").exists()


def test_verdict_is_printed_though_its_file_cannot_be_written_any_more(
    place: Path, isobench: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from isobench import journal_writer

    isobench(*compare(place, 1.3))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal_writer, "write_whole", full)
    code, out, err = isobench("gate", "run", "--junit", "j.xml")
    assert code == 2
    assert "isobench gate: regression" in out
    assert "j.xml: the verdict cannot be written: No space left on device" in err


def test_run_that_was_broken_off_is_told_with_the_command_that_goes_on_with_it(
    place: Path, isobench: Callable[..., tuple[int, str, str]]
) -> None:
    isobench(*compare(place, 1.3))
    record = json.loads((place / "run" / "run.json").read_text())
    (place / "run" / "run.json").write_text(json.dumps({**record, "status": "running"}))

    code, _, err = isobench("gate", "run")

    assert code == 4
    assert err.endswith("remedy: isobench resume run\n")


def test_pilot_is_announced_with_what_it_measures_and_how_long(
    place: Path, isobench: Callable[..., tuple[int, str, str]]
) -> None:
    words = ("ab", matrix(place), "--a", "old", "--b", "new", "--plan")
    _, _, err = isobench(*words)
    assert "in fake/ready: a comparison of it with itself comes first, 12 blocks of fake, about 0 s" in err
    _, out, _ = isobench(*words, "--json")
    told = json.loads(out)
    assert told["pilot_s"] == pytest.approx(3 * 12 * 8 * 0.001)
    assert told["unknown"] == [{"comparison": "fake/ready", "stage_s": pytest.approx(3 * 20 * 3 * 0.001)}]


def test_starts_given_without_history_are_planned_with_their_time_and_what_is_not_known(
    place: Path, isobench: Callable[..., tuple[int, str, str]]
) -> None:
    _, _, err = isobench(*compare(place))
    plan = err[: err.index("60/60 fake/")]
    assert "old (A) against new (B): 20 blocks of 5 starts a side" in plan
    assert "nothing is known yet of how far old differs from itself on this host in fake/ready: what" in plan
    assert "about 0 s, and at most 0 s more for what has to be seen twice; what is not known as its" in plan
    assert not Path("run-pilot").exists()


def test_comparison_that_is_new_among_known_ones_is_named_and_has_a_pilot_of_its_own(
    place: Path, isobench: Callable[..., tuple[int, str, str]]
) -> None:
    isobench(*compare(place))
    file = Path("matrix.toml")
    file.write_text(file.read_text() + '[fake]\nworkloads = ["ready", "hold"]\n')
    words = ("ab", "matrix.toml", "--a", "old", "--b", "new")

    _, _, err = isobench(*words, "--plan")
    assert "differs from itself on this host in fake/hold: a comparison of it with itself" in err
    assert "\nfake/ready ready " in err
    assert "\nfake/hold " in err
    assert "comes with the verdict only" not in err
    code, _, err = isobench(*words, "--out", "both")
    assert code == 0
    assert ("fake/old/hold", 11) in load(place / "both-pilot").done
    assert "\nfake/hold ready " in err[err.index("72/72") :]


def test_interrupted_comparison_is_finished_and_judged_by_resume(
    place: Path, isobench: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from isobench import measuring

    real, turns = measuring.Measuring.measure, 0

    def interrupted(self: Any, group: Any, jobs: Any) -> Any:  # noqa: ANN401
        nonlocal turns
        turns += 1
        if turns == 27:  # of the second stage
            signal.raise_signal(signal.SIGINT)
        return real(self, group, jobs)

    monkeypatch.setattr(measuring.Measuring, "measure", interrupted)
    code, out, err = isobench(*compare(place, 1.3))
    assert (code, out) == (130, "")
    assert "isobench resume run" in err
    assert isobench("gate", "run")[0] == 4

    code, out, err = isobench("resume", "run")

    assert code == 1
    assert "\n42/42 fake/" in err
    assert "regression" in out
    assert {sample.block for sample in load(place / "run").samples} == set(range(40))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("starts", [("--starts", "1"), ()], ids=["comparison", "pilot"])
def test_comparison_that_is_signalled_ends_with_no_verdict_and_the_code_of_the_signal(
    place: Path, number: signal.Signals, starts: tuple[str, ...]
) -> None:
    file = Path(matrix(place))
    file.write_text(file.read_text().replace('name = "old"', 'name = "old"\nattempt_s = 0.05'))
    (place / "run_it.py").write_text(
        f"import sys\nfrom pathlib import Path\nfrom isobench import fakelab, lab\n"
        f"lab.this_host = lambda **_: fakelab.fake_lab(Path({str(place / 'lab')!r}))\n"
        "from isobench.cli import main\nsys.exit(main(sys.argv[1:]))\n"
    )
    words = ("ab", str(file), "--a", "old", "--b", "new", "--out", "run", "--junit", "j.xml", *starts)
    source = str(Path(package.__file__).parent.parent)
    samples = place / ("run" if starts else "run-pilot") / "samples.jsonl"
    with subprocess.Popen(
        [sys.executable, "run_it.py", *words],
        env={**os.environ, "PYTHONPATH": source},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not (samples.exists() and samples.stat().st_size):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        out, err = process.communicate()

    assert (process.returncode, out) == (128 + number, "")
    go_on = "to measure the rest and to judge it: isobench resume run" if starts else "the same command again"
    assert err.endswith(f"{go_on}\n")
    assert load(samples.parent).record.status == "interrupted"
    assert not Path("j.xml").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("ab", "--a", "bare", "--b", "runk"), 'no isolator or workload "runk"'),
        (("ab", "--a", "bare", "--b", "runc", "--blocks", "5"), "5 blocks are too few"),
        (("ab", "--a", "bare", "--b", "runc", "--detect", "ten"), "--detect: found ten"),
        (("gate",), "the folder of a run is missing"),
        (("gate", "nowhere"), "nowhere: there is no such folder"),
        (("gate", "nowhere", "--self-test"), "cannot go with nowhere"),
        (("gate", "--self-test", "--junit", "j.xml", "--policy", "p.toml"), "leave out --junit, --policy"),
        (("gate", "nowhere", "--store", "kept"), "--store kept is of no use here"),
        (
            ("ab", "--a", "bare", "--b", "runc", "--policy", "none.toml"),
            "none.toml: the thresholds cannot be read",
        ),
    ],
)
def test_wrong_call_is_told_and_ends_with_2(
    isobench: Callable[..., tuple[int, str, str]], words: tuple[str, ...], message: str
) -> None:
    code, _, err = isobench(*words)
    assert code == 2
    assert message in err


def test_ordinary_run_has_no_verdict(place: Path, isobench: Callable[..., tuple[int, str, str]]) -> None:
    isobench("run", matrix(place), "--out", "plain", "--no-report")
    code, _, err = isobench("gate", "plain")
    assert code == 2
    assert "compares nothing: it has no sides" in err


def test_options_of_a_verdict_are_refused_where_a_baseline_gives_none(
    isobench: Callable[..., tuple[int, str, str]], place: Path
) -> None:
    isobench(*compare(place))
    isobench("baseline", "promote", "run")
    assert isobench("gate", "run", "--baseline", "main")[0] == 0

    for words in (
        ("--junit", "j.xml"),
        ("--markdown", "m.md"),
        ("--github",),
        ("--strict",),
        ("--allow-missing",),
    ):
        code, out, err = isobench("gate", "run", "--baseline", "main", *words)
        assert (code, out) == (2, "")
        assert f"--baseline gives no verdict and cannot go with {words[0]}" in err
    assert not Path("j.xml").exists()
    assert not Path("m.md").exists()


@pytest.mark.parametrize(("text", "value"), [("10%", 0.1), ("0.1", 0.1), (" 2.5 %", 0.025)])
def test_change_to_detect_is_a_percentage_or_a_ratio(text: str, value: float) -> None:
    assert ratio(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["0", "-5%", "nan", "inf", "2000%", "%", "", "10", "1"])
def test_change_to_detect_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--detect"):
        ratio(text)
