"""The command as a user starts it: a process of its own, real isolators, a real terminal, real signals."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import isobench
from isobench.cli import main
from isobench.isolators import residue
from isobench.journal import load

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="starts isolators: needs root"),
]

WAIT_S = 60.0
MATRIX = """
[run]
audit = false
blocks = {blocks}
benchmarks = ["startup"]
[[isolator]]
kind = "bare"
[[isolator]]
kind = "namespaces"
[[isolator]]
kind = "runc"
[startup]
starts = {starts}
"""
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of our own; the lock is that of the host, so no other run may go on meanwhile."""
    monkeypatch.setenv("ISOBENCH_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("PYTHONPATH", str(Path(isobench.__file__).parent.parent))
    monkeypatch.delenv("ISOBENCH_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "state"


def matrix(blocks: int) -> str:
    Path("m.toml").write_text(MATRIX.format(blocks=blocks, starts=max(10, 2 * blocks)))
    return "m.toml"


def started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "isobench", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(*arguments: str) -> tuple[int, str, str]:
    with started(*arguments) as process:
        out, err = process.communicate(timeout=WAIT_S)
    return process.returncode, out, err


@contextmanager
def running(blocks: int = 2000) -> Iterator[subprocess.Popen[str]]:
    """A run that has measured something and would go on for long."""
    with started("run", matrix(blocks), "--out", "out", "--no-report") as process:
        try:
            samples = Path("out/samples.jsonl")
            wait_until(lambda: samples.exists() and samples.stat().st_size > 0)
            yield process
        finally:
            process.terminate()  # in order: killed, it would leave its groups on this host
            process.communicate(timeout=WAIT_S)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def token_of(state: Path) -> str:
    (directory,) = (state / "run").iterdir()
    return directory.name


def on_terminal(*arguments: str, environ: Mapping[str, str]) -> str:
    """What a terminal of 80 columns would have got."""
    controller, terminal = pty.openpty()
    size = {"COLUMNS": "80", "LINES": "24", "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, "-m", "isobench", *arguments],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, **size, **environ},
    )
    os.close(terminal)
    seen = b""
    with suppress(OSError):  # EIO: the process has closed its end
        while select.select([controller], [], [], WAIT_S)[0]:
            seen += os.read(controller, 4096)
    os.close(controller)
    assert process.wait(WAIT_S) == 0
    return seen.decode()


def test_doctor_finds_the_isolators_of_this_host_usable() -> None:
    code, out, _ = finished("doctor", matrix(1), "--json")
    found = json.loads(out)
    assert code == 0
    assert {entry["name"]: entry["status"] for entry in found["isolators"]} == {
        "bare": "ok",
        "namespaces": "ok",
        "runc": "ok",
    }
    assert {part["name"] for part in found["parts"]} == {"agent", "cgroups", "state", "KVM"}


def test_run_measures_and_leaves_nothing_behind(state: Path) -> None:
    code, out, err = finished("run", matrix(2), "--out", "out", "--json")
    outcome = json.loads(out)
    assert (code, outcome["status"]) == (0, "finished"), err
    assert {cell["status"] for cell in outcome["cells"].values()} == {"ok"}
    assert Path(outcome["report"]).read_text().lower().startswith("<!doctype html>")
    assert list((state / "run").iterdir()) == []
    assert "\x1b" not in out + err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_keeps_every_sample_cleans_up_and_resume_finishes(number: signal.Signals, state: Path) -> None:
    with started("run", matrix(12), "--out", "out", "--no-report") as process:
        samples = Path("out/samples.jsonl")
        wait_until(lambda: samples.exists() and samples.stat().st_size > 0)
        token = token_of(state)
        process.send_signal(number)
        out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 128 + number, err
    assert out == ""
    assert err.endswith("to measure the rest: isobench resume out\n")
    assert residue.find(token) == ()
    before = load(Path("out")).samples

    code, _, err = finished("resume", "out", "--no-report")
    assert code == 0, err
    after = load(Path("out"))
    assert after.samples[: len(before)] == before
    assert len(after.done) == 3 * 12


def test_killed_run_is_cleaned_up_by_clean(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with running() as process:
        token = token_of(state)
        process.kill()
        process.wait(WAIT_S)
    everything = residue.find
    assert everything(token)
    # Runs of others on this host are none of this test's business.
    monkeypatch.setattr(residue, "find", lambda: everything(token))
    assert main(["clean", "--dry-run"]) == 0
    assert f"would remove file {state}/run/{token}" in capsys.readouterr().out
    assert main(["clean"]) == 0
    assert f"removed file {state}/run/{token}" in capsys.readouterr().out
    assert everything(token) == ()


def test_second_run_is_refused_and_names_the_first() -> None:
    with running() as first:
        code, _, err = finished("run", "m.toml", "--out", "second")
        assert code == 3
        assert f"another run is using this host: process {first.pid} " in err
        assert not Path("second").exists()
        code, _, err = finished("clean", "--dry-run")
        assert (code, f"process {first.pid} " in err) == (3, True)


def test_terminal_gets_a_bar_and_the_bar_is_gone_at_the_end() -> None:
    seen = on_terminal("run", matrix(2), "--out", "out", "--no-report", environ={})
    assert "1/6" in seen
    assert " left " in seen
    assert COLOUR.search(seen)
    assert seen.endswith("results: out\r\n")
    assert "\x1b[?25h" in seen, "the cursor is shown again"


def test_no_color_is_respected_on_a_terminal() -> None:
    seen = on_terminal("run", matrix(2), "--out", "out", "--no-report", environ={"NO_COLOR": "1"})
    codes = {code for found in COLOUR.findall(seen) for code in found[2:-1].split(";")}
    assert codes <= {"0", "1", "2", ""}, "bold and dim are no colours"
