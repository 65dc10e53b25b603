"""`isobench clean`: what it removes, what it leaves alone, and what it says."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from isobench import tuning
from isobench.cli import main
from isobench.isolators import removal, residue
from isobench.isolators.residue import Residue
from isobench.isolators.tokens import new_token
from isobench.lock import host_lock
from isobench.state import lock_path

# The whole search is tried in tests of its own; here it finds only what the test has made.


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ISOBENCH_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the settings of the host are, for these tests."""
    monkeypatch.setattr(tuning, "HOST", tmp_path / "host")
    monkeypatch.setattr(residue, "find", lambda: ())
    return tmp_path / "host"


@pytest.fixture
def tuned(root: Path) -> Path:
    """The setting of a tuned run that was killed."""
    setting = root / "sys/kernel/rcu_expedited"
    setting.parent.mkdir(parents=True)
    setting.write_text("0\n")
    killed(root)
    assert setting.read_text() == "1"
    return setting


def killed(root: Path) -> None:
    """A run that sets what is to be set in a process of its own, and is killed there."""
    if (child := os.fork()) == 0:
        with tuning.settings(root, tune=True):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


@pytest.fixture
def left(state: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Residue]:
    """The directory of a run that was killed."""
    token = new_token()
    directory = state / "run" / token
    directory.mkdir(parents=True)
    found = Residue("file", str(directory), token)
    monkeypatch.setattr(residue, "find", lambda: (found,) if directory.exists() else ())
    yield found
    shutil.rmtree(directory, ignore_errors=True)


def test_dry_run_says_what_would_be_removed_and_removes_nothing(
    left: Residue, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["clean", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert said == f"would remove file {left.what}\n1 thing would be removed; to do it: isobench clean\n"
    assert Path(left.what).exists()


def test_clean_removes_and_says_so_and_the_next_finds_nothing(
    left: Residue, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["clean"]) == 0
    assert capsys.readouterr().out == f"removed file {left.what}\n"
    assert not Path(left.what).exists()
    assert main(["clean"]) == 0
    assert capsys.readouterr().out == "nothing is left of any run\n"


def test_what_cannot_be_removed_is_said_with_its_reason_and_ends_with_3(
    left: Residue, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(removal, "remove", lambda found: [removal.Removal(r, "busy") for r in found])
    assert main(["clean"]) == 3
    said = capsys.readouterr()
    assert said.out == f"not removed file {left.what}: busy\n"
    assert said.err.startswith("error: 1 thing of 1 could not be removed\nremedy: ")


def test_json_has_every_thing_and_its_error(left: Residue, capsys: pytest.CaptureFixture[str]) -> None:
    entry = {"kind": "file", "what": left.what, "run": left.token, "pid": None}
    assert main(["clean", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"dry_run": True, "found": [entry], "settings": []}
    assert main(["clean", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "dry_run": False,
        "found": [{**entry, "error": None}],
        "settings": [],
    }


@pytest.mark.parametrize("arguments", [["clean"], ["clean", "--dry-run"]])
def test_clean_refuses_while_a_run_is_going_on(
    arguments: list[str], left: Residue, capsys: pytest.CaptureFixture[str]
) -> None:
    with host_lock(lock_path()):
        assert main(arguments) == 3
    assert f"another run is using this host: process {os.getpid()}" in capsys.readouterr().err
    assert Path(left.what).exists()


def test_dry_run_says_which_setting_would_be_put_back_and_changes_nothing(
    tuned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["clean", "--dry-run"]) == 0
    assert capsys.readouterr().out == (
        "would put back RCU grace periods: /sys/kernel/rcu_expedited from 1 to 0\n"
        "1 setting would be put back; to do it: isobench clean\n"
    )
    assert tuned.read_text() == "1"


def test_clean_puts_settings_back_and_says_so_and_the_next_finds_nothing(
    tuned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["clean"]) == 0
    assert capsys.readouterr().out == ("put back RCU grace periods: /sys/kernel/rcu_expedited from 1 to 0\n")
    assert tuned.read_text() == "0\n"
    assert main(["clean"]) == 0
    assert capsys.readouterr().out == "nothing is left of any run\n"


def test_setting_that_somebody_changed_since_is_left_and_told(
    tuned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned.write_text("2\n")
    assert main(["clean"]) == 0
    assert (
        "is left at 2: a run set it from 0 to 1, and somebody else has changed it" in capsys.readouterr().out
    )
    assert tuned.read_text() == "2\n"


def test_setting_that_cannot_be_put_back_ends_with_3_and_stays_remembered(
    tuned: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(tuning, "_write", lambda _path, _text: "Read-only file system")
        assert main(["clean"]) == 3
    said = capsys.readouterr()
    assert said.out == (
        "not put back RCU grace periods: /sys/kernel/rcu_expedited from 1 to 0: Read-only file system\n"
    )
    assert said.err.startswith("error: 1 setting of 1 could not be put back\nremedy: ")
    assert main(["clean"]) == 0
    assert tuned.read_text() == "0\n"


def test_json_tells_every_setting(tuned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change = {
        "knob": "RCU grace periods",
        "file": "/sys/kernel/rcu_expedited",
        "before": "0\n",
        "during": "1",
        "end": "to put back",
        "found": "1",
        "error": None,
    }
    assert main(["clean", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"dry_run": False, "found": [], "settings": [change]}
    assert tuned.read_text() == "0\n"
