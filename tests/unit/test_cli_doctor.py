"""`isobench doctor`: what it finds out, and how it says it."""

import json
import os
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from isobench import tuning
from isobench.cli import health, main
from isobench.errors import AgentMissingError, OutputError
from isobench.fakelab import fake_lab
from isobench.isolators import readiness
from isobench.isolators.contract import Isolator, Site
from isobench.knobs import Knob
from isobench.lock import host_lock
from isobench.model import Readiness
from isobench.state import lock_path

MATRIX = """
[run]
benchmarks = ["fake"]
[[isolator]]
kind = "fake"
name = "fine"
[[isolator]]
kind = "fake"
name = "vm"
shown_as = "vm-tcg"
reason = "software emulation"
[[isolator]]
kind = "fake"
name = "absent"
readiness = "unavailable"
reason = "the program fake is not installed"
remedy = "apt-get install fake"
[[isolator]]
kind = "fake"
name = "also-absent"
readiness = "unavailable"
reason = "the program fake is not installed"
remedy = "apt-get install fake"
[[isolator]]
kind = "fake"
name = "limitless"
cpu_limit = false
"""
HOST = {
    "os": "Debian 12",
    "kernel": "6.1",
    "machine": "x86_64",
    "memory_bytes": 4 << 30,
    "cpu": {"usable": 2, "count": 4, "model": "A CPU"},
}
KNOBS = (
    Knob("swap", "1 in use", "none", "memory is pushed out", "swapoff -a", fits=False, left="it needs room"),
    Knob("timers", "on", "off", "they interrupt", "sysctl timers=0", fits=False),
    Knob("KSM", "off", "off", "pages are merged", "echo 0", fits=True),
    Knob("turbo", None, "off", "the clock follows heat", "echo 1", fits=True),
)


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that is none; only its lock is real."""
    monkeypatch.setenv("ISOBENCH_STATE", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    Path("m.toml").write_text(MATRIX)
    monkeypatch.setattr(health, "fingerprint", lambda: HOST)
    monkeypatch.setattr(health, "survey", lambda: KNOBS)
    monkeypatch.setattr(tuning, "HOST", tmp_path / "host")
    monkeypatch.setattr(health, "open_site", fake_lab(tmp_path).open_site)
    monkeypatch.setattr(readiness, "check", lambda isolator, site: isolator.probe(site))
    monkeypatch.setattr(health, "_agent", lambda: health.Part("agent", "/somewhere/isoagent (90 KiB)"))
    monkeypatch.setattr(health, "_cgroups", lambda: health.Part("cgroups", "v2"))


def page(capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["doctor", "m.toml"]) == 0
    return capsys.readouterr().out


def findings(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    assert main(["doctor", "m.toml", "--json"]) == 0
    return {found["name"]: found for found in json.loads(capsys.readouterr().out)["isolators"]}


def raising(error: Exception) -> Callable[[Isolator[Any], Site], Readiness]:
    def check(_isolator: Isolator[Any], _site: Site) -> Readiness:
        raise error

    return check


def test_grid_has_a_word_for_every_isolator_and_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line.split() for line in page(capsys).splitlines()]
    grid = lines[lines.index(["isolator", "fake"]) :][:6]
    assert grid[1:] == [
        ["fine", "usable"],
        ["vm-tcg", "usable"],
        ["absent", "unavailable"],
        ["also-absent", "unavailable"],
        ["limitless", "unsupported"],
    ]


def test_negative_verdict_on_kvm_is_forgotten_before_isolators_are_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = tmp_path / "cache" / "kvm" / "0.json"
    verdict.parent.mkdir(parents=True)
    verdict.write_text('{"works": false, "reason": "no guest was ready in time"}')
    there = []

    def check(isolator: Isolator[Any], site: Site) -> Readiness:
        there.append(verdict.exists())
        return isolator.probe(site)

    monkeypatch.setattr(readiness, "check", check)
    assert main(["doctor", "m.toml"]) == 0
    assert there
    assert not any(there)


def test_reason_is_said_once_for_all_it_holds_for_with_its_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    said = page(capsys)
    assert "  absent, also-absent: the program fake is not installed\n" in said
    assert said.count("\n    mend: apt-get install fake\n") == 1
    assert "  fake with limitless: the script says that it cannot limit CPU\n" in said


def test_usable_isolator_with_a_reservation_says_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert "usable, but\n  vm-tcg: software emulation\n" in page(capsys)


def test_only_knobs_that_disturb_are_shown_with_their_command(capsys: pytest.CaptureFixture[str]) -> None:
    said = page(capsys)
    assert (
        "\ndisturbs measurements; isobench run --tune sets it for a run and puts it back\n"
        "  timers: on, better off; they interrupt\n    mend: sysctl timers=0\n"
        "\ndisturbs measurements; left to you\n"
        "  swap: 1 in use, better none; memory is pushed out (not by --tune: it needs room)\n"
        "    mend: swapoff -a\n"
    ) in said
    assert "KSM" not in said
    assert "turbo" not in said


def test_settings_that_a_killed_run_has_left_are_told_with_the_command_that_puts_them_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setting = tmp_path / "host/sys/kernel/rcu_expedited"
    setting.parent.mkdir(parents=True)
    setting.write_text("0\n")
    if (child := os.fork()) == 0:
        with tuning.settings(tuning.HOST, tune=True):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)

    assert (
        "\nleft tuned by a run that was killed\n"
        "  RCU grace periods: /sys/kernel/rcu_expedited from 1 to 0\n"
        "    mend: isobench clean\n"
    ) in page(capsys)
    assert main(["doctor", "m.toml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["left_tuned"][0]["before"] == "0\n"
    assert setting.read_text() == "1"


def test_last_line_counts_what_can_be_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert page(capsys).splitlines()[-1] == "2 of 5 isolators can be measured here."


def test_json_tells_the_same_with_every_knob(capsys: pytest.CaptureFixture[str]) -> None:
    found = findings(capsys)
    assert found["vm"]["shown_as"] == "vm-tcg"
    assert found["absent"]["status"] == "unavailable"
    assert found["absent"]["remedy"] == "apt-get install fake"
    assert found["limitless"]["status"] == "ok"
    assert found["limitless"]["benchmarks"]["fake"]["status"] == "unsupported"
    assert main(["doctor", "m.toml", "--json"]) == 0
    knobs = json.loads(capsys.readouterr().out)["knobs"]
    assert [(knob["name"], knob["disturbs"]) for knob in knobs] == [
        ("swap", True),
        ("timers", True),
        ("KSM", False),
        ("turbo", False),
    ]


def test_probe_that_breaks_is_a_finding_and_takes_no_other_down(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(readiness, "check", raising(ZeroDivisionError("by zero")))
    found = findings(capsys)
    assert {entry["reason"] for entry in found.values()} == {"ZeroDivisionError: by zero"}
    assert found["fine"]["remedy"].startswith("ISOBENCH_DEBUG=1 isobench doctor")


@pytest.mark.parametrize(
    "error",
    [
        AgentMissingError("the agent is missing", remedy="make agent"),
        OutputError("/state: no room", remedy="make room"),
    ],
)
def test_host_without_a_place_to_try_in_makes_every_isolator_unavailable(
    error: AgentMissingError | OutputError,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def open_site() -> AbstractContextManager[Site]:
        raise error

    monkeypatch.setattr(health, "open_site", open_site)
    found = findings(capsys)
    assert {(entry["status"], entry["reason"], entry["remedy"]) for entry in found.values()} == {
        ("unavailable", str(error), error.remedy)
    }


def test_isolator_option_tries_that_one_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "m.toml", "--isolator", "fine", "--json"]) == 0
    assert [entry["name"] for entry in json.loads(capsys.readouterr().out)["isolators"]] == ["fine"]


def test_isolator_that_is_not_in_the_matrix_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "m.toml", "--isolator", "fin"]) == 2
    assert 'did you mean "fine"?' in capsys.readouterr().err


def test_doctor_refuses_while_a_run_is_going_on(capsys: pytest.CaptureFixture[str]) -> None:
    with host_lock(lock_path()):
        assert main(["doctor", "m.toml"]) == 3
    assert "another run is using this host" in capsys.readouterr().err
