"""`isobench run --tune` on this host: a knob of the kernel is set for the run, and as it was after it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from isobench import tuning
from isobench.cli import main
from isobench.isolators import removal, residue
from isobench.journal import read_record
from isobench.knobs import SAFE

_FIND = residue.find
RCU = Path("/sys/kernel/rcu_expedited")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="sets knobs of the kernel: needs root"),
]

MATRIX = """
[run]
blocks = 400
seed = 7
benchmarks = ["startup"]
[[isolator]]
kind = "bare"
[startup]
starts = 2000
warmups = 0
"""
SHORT = MATRIX.replace("400", "2").replace("2000", "20")


@pytest.fixture(autouse=True)
def knobs() -> Iterator[dict[Path, str]]:
    """Every file that --tune may write, as it is now; as it has to be after each test."""
    before = RCU.read_text()
    RCU.write_text("0")
    found = texts()
    yield found
    after = texts()
    RCU.write_text(before)
    assert after == found
    assert not (tuning.HOST / tuning.STATE).exists()


def texts() -> dict[Path, str]:
    return {path: path.read_text() for setting in SAFE for path in sorted(Path("/").glob(setting.files))}


@dataclass
class Started:
    """A run in a process of its own."""

    out: Path
    process: subprocess.Popen[str] = field(repr=False)

    def wait_until_measuring(self) -> None:
        lines = self.out / "samples.jsonl"
        deadline = time.monotonic() + 60
        while not (lines.exists() and lines.stat().st_size):
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def end(self, number: int) -> str:
        """Send it a signal; returns what it wrote to standard error."""
        self.process.send_signal(number)
        return self.process.communicate(timeout=60)[1]


@pytest.fixture
def start(state: Path, tmp_path: Path) -> Iterator[Callable[[str], Started]]:
    """Starts `isobench run --tune` on this host."""
    running: list[Started] = []

    def start(matrix: str) -> Started:
        (tmp_path / "m.toml").write_text(matrix)
        words = [sys.executable, "-m", "isobench", "run", str(tmp_path / "m.toml"), "--tune", "--no-report"]
        out = tmp_path / f"run{len(running)}"
        process = subprocess.Popen([*words, "--out", str(out)], stderr=subprocess.PIPE, text=True)
        running.append(Started(out, process))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()
    tuning.put_back(tuning.HOST)
    for directory in (state / "run").glob("*"):
        removal.remove(_FIND(directory.name))  # what that run made, and nothing else


def test_tuned_run_sets_the_kernel_while_it_measures_and_puts_it_back(
    start: Callable[[str], Started], knobs: dict[Path, str]
) -> None:
    run = start(MATRIX)
    run.wait_until_measuring()
    assert RCU.read_text() == "1\n"

    said = run.end(signal.SIGINT)

    assert texts() == knobs
    assert "tuned for this run, put back at its end: " in said
    assert run.process.returncode == 130
    record = read_record(run.out)
    assert record.status == "interrupted"
    (rcu,) = (one for one in record.tuned or () if one.file == str(RCU))
    assert (rcu.before, rcu.during, rcu.end, rcu.refused) == ("0", "1", "1", None)
    assert isinstance(record.host["knobs"], dict)
    assert record.host["knobs"]["RCU grace periods"] == "expedited"


def test_tuned_run_that_comes_to_its_end_leaves_the_kernel_as_it_was(
    start: Callable[[str], Started], knobs: dict[Path, str]
) -> None:
    run = start(SHORT)
    assert run.process.communicate(timeout=120)[1]
    assert run.process.returncode in {0, 4}
    assert texts() == knobs
    assert read_record(run.out).status == "finished"


@pytest.fixture
def no_residue(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other runs have left on this host is theirs to clean."""
    monkeypatch.setattr(residue, "find", lambda *token: _FIND(*token) if token else ())


@pytest.mark.usefixtures("no_residue")
@pytest.mark.parametrize("after", ["run", "resume", "clean"])
def test_tuned_run_that_is_killed_is_undone_by_the_next_command(
    after: str,
    start: Callable[[str], Started],
    knobs: dict[Path, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = start(MATRIX)
    run.wait_until_measuring()
    run.end(signal.SIGKILL)
    assert RCU.read_text() == "1\n"

    if after == "clean":
        assert main(["clean", "--dry-run"]) == 0
        assert (
            "would put back RCU grace periods: /sys/kernel/rcu_expedited from 1 to 0"
            in capsys.readouterr().out
        )
        assert RCU.read_text() == "1\n"
        assert main(["clean"]) == 0
        assert "put back RCU grace periods: /sys/kernel/rcu_expedited from 1 to 0" in capsys.readouterr().out
    else:
        (tmp_path / "short.toml").write_text(SHORT)
        words = [str(tmp_path / "short.toml"), "--out", str(tmp_path / "second")]
        if after == "resume":
            shorten(run.out)
            words = [str(run.out)]
        assert main([after, *words, "--no-report"]) in {0, 4}
        assert (
            "a run that was killed had tuned this host; put back: RCU grace periods"
            in capsys.readouterr().err
        )
    assert texts() == knobs


def shorten(out: Path) -> None:
    """Have a run of many blocks ask for two, so that to resume it takes no time."""
    text = (out / "run.json").read_text()
    assert '"blocks": 400' in text
    (out / "run.json").write_text(
        text.replace('"blocks": 400', '"blocks": 2').replace('"starts": 2000', '"starts": 20')
    )


def test_knob_that_somebody_else_changes_during_the_run_is_theirs(start: Callable[[str], Started]) -> None:
    run = start(MATRIX)
    run.wait_until_measuring()
    RCU.write_text("2")
    said = run.end(signal.SIGTERM)
    assert RCU.read_text() == "2\n"
    assert "/sys/kernel/rcu_expedited is left at 2: a run set it from 0 to 1" in said
    (rcu,) = (one for one in read_record(run.out).tuned or () if one.file == str(RCU))
    assert (rcu.during, rcu.end) == ("1", "2")
    RCU.write_text("0")


@pytest.mark.usefixtures("state")
def test_read_only_sys_as_in_a_container_is_told_and_what_can_be_set_is(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(SHORT)
    command = (
        f"mount -o remount,bind,ro /sys && exec {sys.executable} -m isobench run {tmp_path}/m.toml --tune"
    )
    words = ["unshare", "--mount", "sh", "-c", f"{command} --no-report --out {tmp_path}/run"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert done.returncode in {0, 4}, done.stderr
    record = read_record(tmp_path / "run")
    refused = {one.file: one.refused for one in record.tuned or ()}
    assert refused[str(RCU)] == "Read-only file system"
    assert refused["/proc/sys/kernel/timer_migration"] is None
    assert "tune: RCU grace periods stays 0: /sys/kernel/rcu_expedited: Read-only file system" in done.stderr
