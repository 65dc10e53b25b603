"""isobench gate --self-test on a scripted host: what it says of a gate that sees, and of a blind one."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.ab_runs import Made, ab_run, starts

from isobench.cli import ab_run as ab_run_module
from isobench.cli import main, selftest
from isobench.cli.verdicts import Judged
from isobench.fakelab import fake_lab
from isobench.matrix import parse_matrix
from isobench.model import Side
from isobench.plan import Matrix
from isobench.reports.gate import judge

START_S = (0.0030, 0.0031, 0.0029, 0.00305, 0.00295)

Outcome = tuple[int, str, str]
SelfTest = Callable[..., Outcome]


def scripted(delay_s: float, first: dict[str, object] | None = None) -> Matrix:
    """The matrix of the self-test with scripted starts; ``first`` is the delayed side's first one."""
    delayed: list[dict[str, object]] = [{"value": value + delay_s} for value in START_S]
    delayed[0] = first or delayed[0]
    sides = {selftest.KIND: [{"value": value} for value in START_S], "delayed": delayed}
    return parse_matrix(
        {
            "run": {"benchmarks": ["fake"], "audit": False, "seed": 7},
            "isolator": [{"kind": "fake", "name": name, "script": script} for name, script in sides.items()],
        },
        "test",
    )


@pytest.fixture
def self_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> SelfTest:
    """The command on a host with a load, and its exit code, output and errors."""
    monkeypatch.setenv("ISOBENCH_STATE", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)

    def call(matrix: Matrix, *words: str, load: float = 0.1) -> Outcome:
        host = {"load": {"1min": load}, "cpu": {"model": "none", "usable": 2}}
        monkeypatch.setattr(ab_run_module, "this_host", lambda **_: fake_lab(tmp_path, **host))
        monkeypatch.setattr(selftest, "_matrix", lambda: matrix)
        code = main(["gate", "--self-test", *words])
        found = capsys.readouterr()
        return code, found.out, found.err

    return call


def test_gate_that_sees_the_delay_and_nothing_else_passes(self_test: SelfTest) -> None:
    code, out, err = self_test(scripted(0.002))
    assert (code, "error" in err) == (0, False)
    same, delayed = out.splitlines()
    assert same.startswith("ok   bare against itself: equivalent; 0 ns seen between A and B, ")
    assert delayed.startswith(
        "ok   bare against itself delayed by 2 ms: regression; 2.00 ms seen between A and B, "
    )


def test_gate_that_misses_the_delay_is_not_to_be_trusted(self_test: SelfTest) -> None:
    code, out, err = self_test(scripted(0.0))
    assert code == 3
    assert "\nFAIL bare against itself delayed by 2 ms: equivalent; " in out
    assert (
        "the gate cannot be trusted here: bare against itself delayed by 2 ms came out as equivalent" in err
    )
    assert "remedy: isobench doctor" in err


def test_restless_host_fails_both_and_names_the_sign(self_test: SelfTest) -> None:
    code, out, err = self_test(scripted(0.002), load=99)
    assert code == 3
    assert out.count("FAIL") == 2
    assert out.count(": unfit; load as it began 49.50 a CPU") == 2
    assert "bare against itself came out as unfit; bare against itself delayed" in err


def test_delayed_start_that_fails_is_no_regression_and_no_pass(self_test: SelfTest) -> None:
    broken = scripted(0.002, {"status": "failed", "reason": "it fell over"})
    code, out, _ = self_test(broken)
    assert code == 3
    assert "ok   bare against itself: equivalent" in out
    assert "FAIL bare against itself delayed by 2 ms: error; " in out
    assert "it fell over" in out


@pytest.mark.parametrize(
    ("control", "noise", "said"),
    [
        (1.0, 0.12, "ok   bare against itself: inconclusive"),
        (1.2, 0.02, "FAIL bare against itself: inconclusive"),
    ],
    ids=["noise", "differs from itself"],
)
def test_inconclusive_is_borne_with_unless_the_baseline_differs_from_itself(
    self_test: SelfTest, monkeypatch: pytest.MonkeyPatch, control: float, noise: float, said: str
) -> None:
    other = starts(control, noise=noise, seed=2).values[Side.B]
    same = Made({**starts(noise=noise, seed=3).values, Side.CONTROL: other})
    runs = iter((ab_run(same), ab_run(starts(1.5), confirm=("startup/ready",))))

    def measured(wanted: ab_run_module.Wanted, *, keep: bool) -> Judged:
        assert not keep
        return Judged(wanted.out or Path(), judge(next(runs), wanted.policy))

    monkeypatch.setattr(ab_run_module, "measured", measured)
    code, out, _ = self_test(scripted(0.002))

    assert said in out
    assert code == (3 if said.startswith("FAIL") else 0)


def test_json_has_both_results_whatever_they_are(self_test: SelfTest) -> None:
    code, out, _ = self_test(scripted(0.0), "--json")
    same, delayed = json.loads(out)["results"]
    assert code == 3
    assert (same["passed"], same["verdict"], delayed["passed"], delayed["wanted"]) == (
        True,
        "equivalent",
        False,
        "regression",
    )
    assert set(same) == {"what", "wanted", "verdict", "passed", "reason"}


def test_nothing_is_left_behind_and_no_plan_learns_from_it(self_test: SelfTest, tmp_path: Path) -> None:
    self_test(scripted(0.002))
    assert not (tmp_path / "state" / "history").exists()
    assert {path.name for path in tmp_path.iterdir()} <= {"lock", "state", "work", "cache"}


def test_folder_beside_it_is_refused(self_test: SelfTest) -> None:
    code, out, err = self_test(scripted(0.002), "somewhere")
    assert (code, out) == (2, "")
    assert "--self-test measures by itself and cannot go with somewhere" in err
