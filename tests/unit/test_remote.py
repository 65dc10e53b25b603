"""The run of a batch on a lab host: begun, broken off, gone on with, waited for."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from isobench import remote
from isobench.errors import HostUnfitError, OutputError, ResultsError
from isobench.journal import load

MATRIX = """
[run]
blocks = 3
benchmarks = ["fake"]
audit = false
[[isolator]]
kind = "fake"
attempt_s = {attempt_s}
[fake]
attempts = 2
"""
ON_A_FAKE_HOST = """
import sys
from pathlib import Path
from isobench import fakelab, lab
state = Path(sys.argv[1])
lab.this_host = lambda **_: fakelab.fake_lab(state)
if (state / "dies").exists():
    import os, signal
    from isobench.journal_writer import Journal
    done = Journal.pair_done
    Journal.pair_done = lambda *pair: (done(*pair), os.kill(os.getpid(), signal.SIGKILL))
from isobench.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder of a run, with its matrix."""
    folder = tmp_path / "place"
    folder.mkdir()
    (folder / "matrix.toml").write_text(MATRIX.format(attempt_s=0.0))
    return folder


@pytest.fixture
def isobench(tmp_path: Path) -> tuple[str, ...]:
    """The real command on a host that is none."""
    program = tmp_path / "on_a_fake_host.py"
    program.write_text(ON_A_FAKE_HOST)
    (tmp_path / "state").mkdir()
    return (sys.executable, str(program), str(tmp_path / "state"))


def saying(tmp_path: Path, text: str) -> tuple[str, ...]:
    """A command that is not isobench."""
    program = tmp_path / "other.py"
    program.write_text(text)
    return (sys.executable, str(program))


@contextmanager
def held(place: Path) -> Iterator[None]:
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_place_without_a_run_is_absent(place: Path) -> None:
    assert remote.look(place) == remote.Look("absent", remote.Attempt())
    assert [path.name for path in place.iterdir()] == ["matrix.toml"], "whoever looks may not be who runs"


def test_folder_that_is_not_there_has_no_run_and_none_can_begin_in_it(tmp_path: Path) -> None:
    assert remote.look(tmp_path / "none").state == "absent"
    with pytest.raises(OutputError, match="none: no folder for a run"):
        remote.go(tmp_path / "none")


def test_first_attempt_runs_the_matrix_and_tells_the_checksums(
    place: Path, isobench: tuple[str, ...]
) -> None:
    found = remote.go(place, isobench=isobench)
    assert (found.state, found.attempt.number, found.attempt.exit_code) == ("finished", 1, 0)
    assert found.run_id == load(place / "run").record.run_id
    assert set(found.files) == {"run.json", "samples.jsonl", "pairs.jsonl"}
    assert found.files["samples.jsonl"] == remote.file_sum(place / "run" / "samples.jsonl")
    assert remote.parse_look(json.dumps(as_printed(found))) == found


def as_printed(found: remote.Look) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(found)


def test_finished_run_is_not_begun_again(place: Path, isobench: tuple[str, ...]) -> None:
    first = remote.go(place, isobench=isobench)
    assert remote.go(place, isobench=("/does/not/exist",)) == first


def test_options_reach_the_run_and_others_the_resume(place: Path, tmp_path: Path) -> None:
    echo = saying(tmp_path, "import sys; print('error:', *sys.argv[1:], file=sys.stderr); sys.exit(2)")
    assert remote.go(place, ["--tune"], ["--allow-drop-caches"], isobench=echo).attempt.reason == (
        "run matrix.toml --out run --tune --no-report --json"
    )


def test_run_that_is_killed_is_unfinished_and_the_next_attempt_measures_the_rest(
    place: Path, isobench: tuple[str, ...]
) -> None:
    dies = place.parent / "state" / "dies"
    dies.touch()
    broken = remote.go(place, isobench=isobench)
    assert (broken.state, broken.attempt.exit_code) == ("unfinished", -9)
    assert broken.attempt.reason == "it was ended by signal 9 (SIGKILL)"
    before = load(place / "run")
    assert len(before.done) == 1

    dies.unlink()
    whole = remote.go(place, isobench=isobench)
    assert (whole.state, whole.attempt.number, whole.attempt.exit_code) == ("finished", 2, 0)
    after = load(place / "run")
    assert after.record.run_id == before.record.run_id
    lines = Counter(sample.block for sample in after.samples)
    assert {lines[block] for _, block in before.done} == {2}, "what was done is not measured again"
    assert len(after.done) == 3


def test_run_is_to_be_resumed_at_once_only_where_the_host_itself_went_down(
    place: Path, isobench: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.parent / "state" / "dies").touch()
    assert remote.go(place, isobench=isobench).rebooted is False
    (tmp_path / "boot_id").write_text("another\n")
    monkeypatch.setattr(remote, "_BOOT_ID", tmp_path / "boot_id")
    assert (remote.look(place).state, remote.look(place).rebooted) == ("unfinished", True)
    (place.parent / "state" / "dies").unlink()
    assert remote.go(place, isobench=isobench).rebooted is False


def test_error_of_a_run_is_told_with_its_remedy(place: Path, isobench: tuple[str, ...]) -> None:
    (place / "matrix.toml").write_text("[run]\nblokcs = 1\n")
    found = remote.go(place, isobench=isobench)
    assert (found.state, found.attempt.exit_code) == ("absent", 2)
    assert "blokcs" in str(found.attempt.reason)
    assert "blokcs" in (place / "log").read_text()


def test_folder_that_a_kill_left_without_a_record_is_put_aside(
    place: Path, isobench: tuple[str, ...]
) -> None:
    (place / "run").mkdir()
    (place / "run" / "samples.jsonl").write_text("")
    assert remote.go(place, isobench=isobench).state == "finished"
    (aside,) = place.glob("run-without-record-*")
    assert (aside / "samples.jsonl").exists()


def test_run_of_a_process_that_holds_the_lock_is_running(place: Path) -> None:
    with held(place):
        assert remote.look(place).state == "running"
    assert remote.look(place).state == "absent"


def test_second_caller_waits_for_the_first_and_measures_nothing_twice(
    place: Path, isobench: tuple[str, ...]
) -> None:
    (place / "matrix.toml").write_text(MATRIX.format(attempt_s=0.1))
    found: list[remote.Look] = []
    callers = [
        threading.Thread(target=lambda: found.append(remote.go(place, isobench=isobench))) for _ in range(2)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert [one.attempt.number for one in found] == [1, 1]
    assert len(load(place / "run").samples) == 6


def test_wait_ends_with_the_attempt_that_it_waits_for(place: Path, isobench: tuple[str, ...]) -> None:
    (place / "matrix.toml").write_text(MATRIX.format(attempt_s=0.1))
    other = threading.Thread(target=remote.go, args=(place,), kwargs={"isobench": isobench})
    other.start()
    found = remote.wait(place, 0)
    other.join()
    assert (found.state, found.attempt.number) == ("finished", 1)


def test_wait_for_an_attempt_that_never_begins_gives_up(place: Path) -> None:
    with pytest.raises(HostUnfitError, match="no attempt at the run began within 0 s"):
        remote.wait(place, 0, grace_s=0)


def test_run_whose_caller_was_killed_still_counts_as_running(place: Path, tmp_path: Path) -> None:
    """The lock is the run's own too: it goes on whatever becomes of whoever began it."""
    begun = tmp_path / "begun"
    run = saying(tmp_path, f"open({str(begun)!r}, 'w'); import time; time.sleep(60)")
    goes = f"import pathlib, isobench.remote as r; r.go(pathlib.Path({str(place)!r}), isobench={run})"
    caller = subprocess.Popen((sys.executable, "-c", goes))
    try:
        while not begun.exists():
            time.sleep(0.02)
        (child,) = Path(f"/proc/{caller.pid}/task/{caller.pid}/children").read_text().split()
        caller.kill()
        caller.wait()
        assert remote.look(place).state == "running"
        os.kill(int(child), signal.SIGKILL)
        assert remote.wait(place, 0).state == "absent"
    finally:
        caller.kill()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("", (None, None)),
        ("error: a\n", ("a", None)),
        ("error: a\nremedy: b\n", ("a", "b")),
        ("error: a\nremedy: b\nerror: c\n", ("c", None)),
        ("remedy: b\n", (None, None)),
    ],
)
def test_last_error_is_told_with_its_own_remedy(said: str, told: tuple[str | None, str | None]) -> None:
    assert remote.last_error(said) == told


@pytest.mark.parametrize("text", ["", "[]", '{"state": "asleep"}', '{"state": "running"}'])
def test_answer_that_is_none_of_a_lab_host_is_refused(text: str) -> None:
    with pytest.raises(ResultsError, match="not what a lab host tells"):
        remote.parse_look(text)
