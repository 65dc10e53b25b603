"""Stored baselines: what becomes one, for whom it counts, and what is said of a run held against it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy import stats
from tests.ab_runs import Made, ab_run, starts, with_record

from isobench.cli import main
from isobench.errors import BaselineError, OutputError, PolicyError
from isobench.journal import StoredRun, ToolRecord
from isobench.journal_writer import Journal
from isobench.model import Side
from isobench.reports.baseline import find, promote, read, stored
from isobench.reports.baseline_compare import BaselineReport, against, shift
from isobench.reports.baseline_text import render
from isobench.reports.gate_policy import DEFAULT_POLICY, Policy, parse_policy
from isobench.reports.gate_values import Verdict

RUNC = {"runc": ToolRecord("/usr/bin/runc", "1.1.5", "ab" * 32)}


def passing(**record: object) -> StoredRun:
    """A run whose candidate is no worse; its baseline is made of starts of 50 ms."""
    return with_record(ab_run(starts(1.0)), tools=RUNC, **record)


def ordinary(change: float = 1.0, *, noise: float = 0.02, seed: int = 9, blocks: int = 10) -> StoredRun:
    """A run that compares nothing, of the same isolator on the same host, later."""
    made = starts(change, noise=noise, seed=seed, blocks=blocks)
    return with_record(
        ab_run(Made({Side.A: made.values[Side.B]})), ab=None, run_id="20260401T101500Z-def456", tools=RUNC
    )


def held(run: StoredRun, tmp_path: Path, base: StoredRun | None = None) -> BaselineReport:
    promote(base or passing(), DEFAULT_POLICY, tmp_path)
    return against(run, find(tmp_path, "main", run.record), DEFAULT_POLICY)


def verdicts(report: BaselineReport) -> dict[str, Verdict]:
    return {f"{entry.cell} {entry.metric.name}": entry.verdict for entry in report.entries}


def test_promoted_run_is_read_back_with_the_values_of_its_baseline_side(tmp_path: Path) -> None:
    path = promote(passing(), DEFAULT_POLICY, tmp_path / "new" / "store", "v1.2")
    ((at, found),) = stored(tmp_path / "new" / "store").baselines.items()

    assert at == path
    assert path.name == f"{found.digest}-v1.2.json"
    assert read(path) == found
    (figure,) = found.figures
    assert (figure.cell, figure.metric, figure.unit) == ("startup/old/ready", "ready", "second")
    assert list(figure.values.values()) == starts(1.0).values[Side.A]


def test_promoting_again_replaces_the_one_of_that_name_and_host(tmp_path: Path) -> None:
    promote(passing(), DEFAULT_POLICY, tmp_path)
    promote(passing(run_id="20270101T000000Z-aaaaaa"), DEFAULT_POLICY, tmp_path)
    promote(passing(), DEFAULT_POLICY, tmp_path, "other")

    assert [(one.name, one.record.run_id[:4]) for one in stored(tmp_path).baselines.values()] == [
        ("main", "2027"),
        ("other", "2026"),
    ]


@pytest.mark.parametrize(
    "run",
    [
        ab_run(starts(1.2), confirm=("startup/ready",)),
        ab_run(starts(1.2), confirm=None),
        ab_run(starts(), host={"load": {"1min": 9.0}}),
        with_record(ab_run(starts()), status="running"),
        replace(ab_run(starts()), samples=()),
    ],
    ids=["regression", "no second stage", "unfit", "killed", "nothing measured"],
)
def test_run_that_did_not_pass_becomes_no_baseline(run: StoredRun, tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match="did not pass its gate"):
        promote(run, DEFAULT_POLICY, tmp_path)
    assert not list(tmp_path.iterdir())


def test_run_of_which_nothing_could_be_told_becomes_no_baseline(tmp_path: Path) -> None:
    noisy = starts(noise=0.12, seed=3)
    with pytest.raises(BaselineError, match="of none of its figures it could be told"):
        promote(ab_run(noisy), DEFAULT_POLICY, tmp_path)
    assert not list(tmp_path.iterdir())

    beside = ab_run(noisy, starts(workload="calm"))
    assert promote(beside, DEFAULT_POLICY, tmp_path).exists()


@pytest.mark.parametrize("name", ["", "../main", "a b", ".hidden", "x" * 60, "a/b"])
def test_name_unfit_for_a_file_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match="cannot be the name of a baseline"):
        promote(passing(), DEFAULT_POLICY, tmp_path, name)


def test_store_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="the baseline cannot be written"):
        promote(passing(), DEFAULT_POLICY, tmp_path / "file")


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ({"hostname": "lab-2"}, "hostname was lab-1 and is lab-2"),
        ({"kernel": "6.12"}, "kernel was 6.1 and is 6.12"),
        ({"cpu": {"model": "Another CPU", "usable": 2}}, "cpu.model was Some CPU and is Another CPU"),
    ],
)
def test_baseline_of_another_host_is_refused_with_what_differs(
    host: Mapping[str, Any], words: str, tmp_path: Path
) -> None:
    promote(passing(), DEFAULT_POLICY, tmp_path)
    run = ordinary()
    run = with_record(run, host={**run.record.host, **host})

    with pytest.raises(BaselineError, match="of another host or of other conditions") as caught:
        find(tmp_path, "main", run.record)

    assert words in str(caught.value)
    assert caught.value.exit_code == 2


def test_load_of_the_moment_makes_no_other_host(tmp_path: Path) -> None:
    promote(passing(), DEFAULT_POLICY, tmp_path)
    run = ordinary()

    busier = with_record(run, host={**run.record.host, "load": {"1min": 1.9}})
    assert find(tmp_path, "main", busier.record).name == "main"


def test_isobench_of_another_version_is_another_condition(tmp_path: Path) -> None:
    promote(passing(), DEFAULT_POLICY, tmp_path)

    with pytest.raises(BaselineError, match=r"isobench was 0\.1\.0 and is 9"):
        find(tmp_path, "main", with_record(ordinary(), isobench_version="9").record)


def test_name_that_is_not_kept_is_told_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match='no baseline "main"; there is none at all'):
        find(tmp_path, "main", passing().record)
    promote(passing(), DEFAULT_POLICY, tmp_path)
    with pytest.raises(BaselineError, match=r'no baseline "mian" \(did you mean "main"\?\); there are: main'):
        find(tmp_path, "mian", passing().record)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read as a baseline"),
        ("[]", "not a baseline of isobench"),
        ('{"v": 99}', "written by a newer isobench"),
        ('{"v": 1, "name": "x"}', "not a baseline of isobench: promoted"),
    ],
)
def test_file_that_is_none_of_ours_is_told(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "0-main.json").write_text(text)

    with pytest.raises(BaselineError, match=words):
        read(tmp_path / "0-main.json")


def test_baseline_of_another_host_under_the_file_name_of_this_one_is_refused(tmp_path: Path) -> None:
    run = ordinary()
    elsewhere = passing(host={**run.record.host, "hostname": "lab-2", "kernel": "6.12"})
    path = promote(passing(), DEFAULT_POLICY, tmp_path)
    promote(elsewhere, DEFAULT_POLICY, tmp_path / "other").rename(path)

    with pytest.raises(BaselineError, match="than its file name says") as caught:
        find(tmp_path, "main", run.record)

    assert "hostname was lab-2 and is lab-1; kernel was 6.12 and is 6.1" in str(caught.value)
    assert "promote DIR --name main" in str(caught.value.remedy)


@pytest.mark.parametrize("part", ["conditions", "record"])
def test_baseline_edited_to_be_of_another_host_is_refused(part: str, tmp_path: Path) -> None:
    path = promote(passing(), DEFAULT_POLICY, tmp_path)
    data = json.loads(path.read_text())
    if part == "record":
        data["record"]["host"]["hostname"] = "lab-2"
    else:
        data["conditions"]["hostname"] = "lab-2"
    path.write_text(json.dumps(data))

    with pytest.raises(BaselineError, match=r"says: hostname was lab-2 and is lab-1$"):
        find(tmp_path, "main", ordinary().record)


def test_baseline_of_this_host_under_another_file_name_is_told_with_its_own(tmp_path: Path) -> None:
    path = promote(passing(), DEFAULT_POLICY, tmp_path)
    renamed = path.rename(tmp_path / "old.json")

    with pytest.raises(BaselineError, match="under a file name that is not its own") as caught:
        find(tmp_path, "main", ordinary().record)

    assert caught.value.remedy == f"mv {renamed} {path}"


FOREIGN = '{"todo": "measure again"}'


def test_foreign_file_in_the_store_keeps_no_baseline_from_being_found(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text(FOREIGN)
    (tmp_path / "folder.json").mkdir()
    promote(passing(), DEFAULT_POLICY, tmp_path)

    assert find(tmp_path, "main", ordinary().record).name == "main"
    with pytest.raises(BaselineError, match='no baseline "other"; there are: main'):
        find(tmp_path, "other", ordinary().record)
    with pytest.raises(BaselineError, match="of another host or of other conditions"):
        find(tmp_path, "main", with_record(ordinary(), isobench_version="9").record)


@pytest.mark.parametrize("host", [{}, {"hostname": "lab-2"}], ids=["of this host", "of another"])
def test_wanted_baseline_that_cannot_be_read_is_told_with_how_to_make_it_anew(
    host: Mapping[str, Any], tmp_path: Path
) -> None:
    path = promote(passing(), DEFAULT_POLICY, tmp_path)
    path.write_text(FOREIGN)
    run = ordinary()

    with pytest.raises(BaselineError, match=rf"{path}: not a baseline of isobench") as caught:
        find(tmp_path, "main", with_record(run, host={**run.record.host, **host}).record)

    assert "isobench baseline promote DIR --name main" in str(caught.value.remedy)


def test_wanted_baseline_that_is_a_folder_is_told(tmp_path: Path) -> None:
    path = promote(passing(), DEFAULT_POLICY, tmp_path)
    path.unlink()
    path.mkdir()

    with pytest.raises(BaselineError, match=rf"{path}: cannot be read as a baseline: Is a directory"):
        find(tmp_path, "main", ordinary().record)


@pytest.mark.parametrize("name", ["../main", "x" * 300])
def test_name_that_no_baseline_can_have_is_not_looked_for(name: str, tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match="cannot be the name of a baseline"):
        find(tmp_path, name, passing().record)


def test_list_names_what_is_no_baseline_beside_those_that_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.json").write_text(FOREIGN)

    assert main(["baseline", "list", "--store", str(tmp_path)]) == 0
    alone = capsys.readouterr()
    promote(passing(), DEFAULT_POLICY, tmp_path)
    assert main(["baseline", "list", "--store", str(tmp_path)]) == 0
    beside = capsys.readouterr()
    assert main(["baseline", "list", "--store", str(tmp_path), "--json"]) == 0
    as_json = capsys.readouterr()

    told = f"{tmp_path}/notes.json: not a baseline of isobench: name: Field required\n"
    assert (alone.out, alone.err) == ("", told)
    assert "lab-1" in beside.out
    assert [row["name"] for row in json.loads(as_json.out)] == ["main"]
    assert beside.err == as_json.err == told


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (1.0, Verdict.EQUIVALENT),
        (1.06, Verdict.EQUIVALENT),  # beyond the gate's threshold, within twice of it
        (1.2, Verdict.REGRESSION),
        (0.8, Verdict.IMPROVEMENT),
    ],
)
def test_later_run_is_held_against_twice_the_threshold(
    change: float, verdict: Verdict, tmp_path: Path
) -> None:
    report = held(ordinary(change), tmp_path)
    (entry,) = report.entries

    assert entry.verdict is verdict
    assert entry.threshold is not None
    assert entry.threshold.delta == 0.1
    assert entry.change is not None
    assert entry.change.value == pytest.approx(change - 1, abs=0.02)
    assert len(report.warnings) == (verdict is Verdict.REGRESSION)


def test_of_a_run_of_two_sides_its_baseline_is_held_against_it(tmp_path: Path) -> None:
    run = with_record(ab_run(starts(1.5, seed=4), confirm=("startup/ready",)), tools=RUNC)

    assert verdicts(held(run, tmp_path)) == {"startup/old/ready ready": Verdict.EQUIVALENT}


def test_noise_is_not_called_a_change(tmp_path: Path) -> None:
    assert set(verdicts(held(ordinary(1.1, noise=0.5), tmp_path)).values()) == {Verdict.INCONCLUSIVE}


def test_what_the_run_lacks_and_what_has_too_few_blocks_is_told(tmp_path: Path) -> None:
    lacking = replace(ordinary(), samples=())

    missing = held(lacking, tmp_path)
    few = held(ordinary(blocks=4), tmp_path)

    assert verdicts(missing) == {"startup/old/ready ready": Verdict.MISSING}
    assert len(missing.warnings) == 1
    assert verdicts(few) == {"startup/old/ready ready": Verdict.ERROR}
    assert "4 now" in few.entries[0].reason
    assert len(few.warnings) == 1


@pytest.mark.parametrize(("status", "word"), [("running", "killed"), ("interrupted", "interrupted")])
def test_run_that_did_not_finish_is_told_beside_its_figures(
    status: str, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    promote(passing(), DEFAULT_POLICY, tmp_path / "store")
    later = written(with_record(ordinary(blocks=8), status=status), tmp_path / "later")

    assert main(["gate", later, "--baseline", "main", "--store", str(tmp_path / "store")]) == 0
    text = capsys.readouterr().out
    assert main(["gate", later, "--baseline", "main", "--store", str(tmp_path / "store"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)

    assert f"The run was {word}" in text
    assert "1 warning: nothing fails by it" in text
    assert "nothing got worse" not in text
    assert ([entry["verdict"] for entry in told["entries"]], told["warnings"]) == (["equivalent"], 1)
    assert word in told["faults"][0]


def test_baseline_of_which_nothing_is_judged_any_more_is_told(tmp_path: Path) -> None:
    promote(passing(), DEFAULT_POLICY, tmp_path)
    base = find(tmp_path, "main", ordinary().record)
    figures = tuple(replace(figure, metric="warmth") for figure in base.figures)

    report = against(ordinary(), replace(base, figures=figures), DEFAULT_POLICY)

    assert report.entries == ()
    assert report.faults == ("Nothing was compared: the baseline has no metric that this isobench judges.",)
    console = Console(width=200, record=True, quiet=True)
    render(report, console)
    assert "nothing got worse" not in console.export_text()


def test_thing_that_is_left_behind_in_every_block_is_a_warning(tmp_path: Path) -> None:
    def left(count: float, blocks: int) -> Made:
        return Made(dict.fromkeys(Side, [count] * blocks), "teardown", "hold", "residue", "count")

    leaking = Made({Side.A: left(1, 10).values[Side.A]}, "teardown", "hold", "residue", "count")
    base = with_record(ab_run(left(0, 40)), tools=RUNC)
    run = with_record(ab_run(leaking), ab=None, tools=RUNC)

    assert verdicts(held(run, tmp_path, base)) == {"teardown/old/hold residue": Verdict.REGRESSION}


def test_another_thing_measured_under_the_same_name_is_not_compared(tmp_path: Path) -> None:
    base = with_record(passing(), benchmarks=("startup",), matrix={"startup": {"timeout": 1}})
    run = with_record(ordinary(), matrix={"startup": {"timeout": 2}})

    (entry,) = held(run, tmp_path, base).entries

    assert entry.verdict is Verdict.ERROR
    assert "startup.timeout was 1 and is 2" in entry.reason


def test_another_build_is_named_and_no_reason_to_refuse(tmp_path: Path) -> None:
    newer = with_record(ordinary(), tools={"runc": ToolRecord("/usr/bin/runc", "1.2.0", "cd" * 32)})

    assert held(newer, tmp_path).subjects == ("runc was 1.1.5 (abababababab) and is 1.2.0 (cdcdcdcdcdcd)",)


def test_shift_is_found_by_all_differences_and_its_interval_holds_it_as_often_as_it_says() -> None:
    assert shift([1.0, 2.0], [4.0, 8.0]).value == 4.5  # of 3, 2, 7, 6
    random = np.random.default_rng(3)
    held_it = 0
    for _ in range(1000):
        interval = shift(random.normal(0, 1, 20), random.normal(1, 1, 10)).interval
        assert interval is not None
        held_it += 1 in interval
    assert 0.93 <= held_it / 1000 <= 0.97


def test_interval_of_a_shift_is_the_test_turned_round() -> None:
    random = np.random.default_rng(4)
    before, after = random.normal(0, 1, 20), random.normal(0.5, 1, 15)
    interval = shift(before, after).interval
    assert interval is not None

    for value, rejected in (
        (interval.low - 1e-6, True),
        (interval.low + 0.1, False),
        (interval.high + 1e-6, True),
    ):
        p = stats.mannwhitneyu(after - value, before, method="asymptotic", use_continuity=False).pvalue
        assert (p < 0.06) == rejected


def test_threshold_about_nothing_is_told_whatever_is_held(tmp_path: Path) -> None:
    def of(isolator: str) -> Policy:
        table = {"benchmark": "startup", "metric": "ready", "relative": 0.2, "reason": "slow"}
        return parse_policy({"threshold": [{**table, "isolator": isolator}]})

    promote(passing(), DEFAULT_POLICY, tmp_path)
    for run, there, nowhere in ((ordinary(), "old", "new"), (passing(), "new", "nev")):
        base = find(tmp_path, "main", run.record)
        assert against(run, base, of(there), "mine.toml").entries
        with pytest.raises(PolicyError, match=rf'mine\.toml: .* isolator: found "{nowhere}"'):
            against(run, base, of(nowhere), "mine.toml")


def written(run: StoredRun, folder: Path) -> str:
    with Journal.create(folder, run.record) as journal:
        for sample in run.samples:
            journal.append(sample)
    return str(folder)


def test_commands_keep_a_run_list_it_and_hold_another_against_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, later = written(passing(), tmp_path / "base"), written(ordinary(1.3), tmp_path / "later")
    store = str(tmp_path / "store")

    assert main(["baseline", "promote", base, "--name", "v1", "--store", store]) == 0
    assert capsys.readouterr().out.strip().endswith("-v1.json")
    assert main(["baseline", "list", "--store", store, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["name"], row["hostname"], row["figures"]) == ("v1", "lab-1", 1)
    assert main(["baseline", "list", "--store", store]) == 0
    assert "lab-1" in capsys.readouterr().out

    assert main(["gate", later, "--baseline", "v1", "--store", store]) == 0
    text = capsys.readouterr().out
    assert "startup/old/ready ready" in text
    assert "worse" in text
    assert "1 warning" in text
    assert main(["gate", later, "--baseline", "v1", "--store", store, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["warnings"] == 1
    assert told["entries"][0]["verdict"] == "regression"


def test_commands_tell_what_is_wrong_and_end_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = written(ab_run(starts(1.2), confirm=("startup/ready",)), tmp_path / "bad")
    store = str(tmp_path / "store")

    assert main(["baseline", "promote", bad, "--store", store]) == 2
    assert "did not pass its gate" in capsys.readouterr().err
    assert main(["gate", bad, "--baseline", "main", "--store", store]) == 2
    assert 'no baseline "main"' in capsys.readouterr().err
    assert main(["baseline", "list", "--store", store]) == 0
    assert "nothing is kept there" in capsys.readouterr().err


def test_hostile_names_do_not_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = passing()
    lines = [replace(line, cell=f"startup/\x1b[31m{line.isolator}/ready") for line in run.samples]
    base = written(replace(run, samples=tuple(lines)), tmp_path / "base")
    store = str(tmp_path / "store")

    assert main(["baseline", "promote", base, "--store", store]) == 0
    assert main(["gate", base, "--baseline", "main", "--store", store]) == 0
    assert "\x1b" not in capsys.readouterr().out
