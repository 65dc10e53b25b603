"""One run at a time: the lock names its holder and ends with it."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from isobench import state
from isobench.errors import LockedError, OutputError
from isobench.lock import host_lock
from isobench.state import lock_path

HOLD = """
import sys
from pathlib import Path
from isobench.lock import host_lock
from isobench.state import lock_path
sys.argv[0] = "isobench"
with host_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), "my matrix.toml"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_second_run_is_refused_and_told_who_holds_the_host(tmp_path: Path) -> None:
    with holder(tmp_path / "lock") as first:
        with pytest.raises(LockedError) as error, host_lock(tmp_path / "lock"):
            pass
        first.communicate("")

    assert f"process {first.pid} (isobench " in str(error.value)
    assert "'my matrix.toml'), since 20" in str(error.value)
    assert error.value.remedy == f"wait for it, or stop it: kill -INT {first.pid}"
    assert error.value.exit_code == 3


def test_lock_of_a_killed_run_is_free(tmp_path: Path) -> None:
    with holder(tmp_path / "lock") as first:
        first.kill()

    with host_lock(tmp_path / "lock"):
        assert str(os.getpid()) in (tmp_path / "lock").read_text()


def test_lock_is_free_again_when_the_body_fails(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="boom"), host_lock(tmp_path / "state" / "lock"):
        raise ValueError("boom")

    with host_lock(tmp_path / "state" / "lock"):
        pass


@pytest.mark.parametrize("text", ["", "garbage", "[]", '{"pid": 1}'])
def test_holder_that_has_not_written_its_name_yet_is_refused_all_the_same(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lock"
    path.write_text(text)
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        with pytest.raises(LockedError, match="only just begun"), host_lock(path):
            pass


def test_place_that_cannot_be_written_is_named_with_remedy() -> None:
    with (
        pytest.raises(OutputError, match="/proc/isobench/lock") as error,
        host_lock(Path("/proc/isobench/lock")),
    ):
        pass

    assert error.value.remedy == (
        "let every user make files there, as root: mkdir -p /proc/isobench && chmod 1777 /proc/isobench"
    )


def test_lock_file_that_may_not_be_written_is_named_with_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    path.touch()

    def refuse(*_: object) -> int:  # permissions would not bind root
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OutputError, match="Permission denied") as error, host_lock(path):
        pass

    assert error.value.remedy == f"make it writable, as root: chmod 666 {path}"


def test_full_file_system_is_no_matter_of_permissions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(OutputError, match="No space left") as error, host_lock(tmp_path / "lock"):
        pass

    assert error.value.remedy == f"free some space: df {tmp_path}"


@pytest.mark.parametrize(
    ("modes", "chosen"),
    [
        ((0o1777, 0o1777), "0"),
        ((0o755, 0o1777), "1"),  # Fedora, Arch
        ((0o777, 0o1777), "1"),  # anybody could remove the lock of another
        ((None, 0o1777), "1"),
        ((0o755, 0o755), "1"),
    ],
)
def test_lock_is_in_the_first_directory_shared_by_all_users(
    modes: tuple[int | None, int], chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, mode in enumerate(modes):
        if mode is not None:
            (tmp_path / str(number)).mkdir()
            (tmp_path / str(number)).chmod(mode)
    monkeypatch.setattr(state, "LOCK_DIRECTORIES", (tmp_path / "0", tmp_path / "1"))

    assert lock_path() == tmp_path / chosen / "isobench.lock"


def test_lock_of_another_user_is_opened_and_writable_for_the_next(tmp_path: Path) -> None:
    with host_lock(tmp_path / "lock"):
        pass

    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o666


def test_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "target")

    with pytest.raises(OutputError) as error, host_lock(tmp_path / "lock"):
        pass

    assert str(error.value.remedy).endswith(f"mv -T {tmp_path}/lock {tmp_path}/lock.old")
    assert (tmp_path / "target").read_text() == "precious"


def test_every_user_and_state_directory_has_the_same_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    before = lock_path()
    monkeypatch.setenv("ISOBENCH_STATE", "/elsewhere")

    assert lock_path() == before
