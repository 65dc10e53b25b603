"""Finding and removing leftovers that need no root: processes and files. tests/integration has the rest."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import pytest

from isobench.benchmarks.processes import read_descendants
from isobench.errors import HostUnfitError
from isobench.isolators import cgroup, directory, processes, removal, residue, rootfs
from isobench.isolators.directory import mounts_below, remove_directory
from isobench.isolators.residue import Residue
from isobench.isolators.site import open_site
from isobench.isolators.tokens import is_token, new_token
from isobench.procfs import parse_mountinfo


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory of the test's own, and sleep(1) as the agent."""
    agent = tmp_path / "agent"
    shutil.copy(str(shutil.which("sleep")), agent)
    monkeypatch.setenv("ISOBENCH_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("ISOBENCH_AGENT", str(agent))
    return tmp_path / "state"


@contextmanager
def running(*argv: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> Iterator[int]:
    with subprocess.Popen(argv, cwd=cwd, env=env) as process:
        try:
            _wait_until(
                lambda: Path(f"/proc/{process.pid}/cmdline").read_bytes().startswith(os.fsencode(argv[0]))
            )
            yield process.pid
        finally:
            process.kill()


def found_pids(token: str | None) -> set[int]:
    return {found.pid for found in residue.find(token) if found.kind == "process"}


def test_process_that_executes_the_shared_agent_is_found_without_any_name(state: Path) -> None:
    root = rootfs.build(rootfs.agent_binary(), state / "cache")
    with running(root / "isoagent", "60") as pid:
        (found,) = (found for found in residue.find(None) if found.pid == pid)
    assert (found.kind, found.token) == ("process", None)
    assert str(found) == f"process {pid}: {root}/isoagent 60"


def test_process_of_another_run_that_is_going_on_is_left_alone(state: Path, tmp_path: Path) -> None:
    root = rootfs.build(rootfs.agent_binary(), state / "cache")
    pid_file = tmp_path / "pid"
    # The shell stands for the other run's harness: it is alive and looks after its agent.
    env = {**os.environ, "AGENT": str(root / "isoagent"), "PID_FILE": str(pid_file)}
    with running("sh", "-c", '"$AGENT" 60 & echo $! > "$PID_FILE"; wait', env=env):
        _wait_until(lambda: pid_file.exists() and pid_file.read_text() != "")
        agent = int(pid_file.read_text())
        try:
            _wait_until(lambda: b"isoagent" in Path(f"/proc/{agent}/cmdline").read_bytes())
            assert agent not in found_pids(None)
            assert agent not in found_pids(new_token())
        finally:
            os.kill(agent, 9)


@pytest.mark.usefixtures("state")
def test_orphan_with_the_token_in_its_command_line_is_found_and_others_tokens_are_not() -> None:
    token, other = new_token(), new_token()
    with running("tail", "-f", "/dev/null", f"/dev/null/{token}-0") as pid:
        assert pid in found_pids(token)
        assert pid in found_pids(None)
        assert pid not in found_pids(other)


def test_process_of_a_user_who_looks_at_a_run_is_left_alone(state: Path, tmp_path: Path) -> None:
    token = new_token()
    place = state / "run" / token
    place.mkdir(parents=True)
    pid_file = tmp_path / "pid"
    # The shell between us and tail(1) carries no name of a run: it is tail's own keeper.
    shell = ["sh", "-c", 'tail -f "$WATCHED" & echo $! > "$PID_FILE"; wait']
    (place / "log").touch()
    env = {**os.environ, "WATCHED": str(place / "log"), "PID_FILE": str(pid_file)}
    with running(*shell, env=env):
        _wait_until(lambda: pid_file.exists() and pid_file.read_text() != "")
        tail = int(pid_file.read_text())
        try:
            _wait_until(lambda: token.encode() in Path(f"/proc/{tail}/cmdline").read_bytes())
            assert tail not in found_pids(None)
        finally:
            os.kill(tail, 9)


@pytest.mark.usefixtures("state")
def test_calling_process_and_its_ancestors_are_never_found() -> None:
    token = new_token()
    script = (
        "import os; from isobench.isolators import residue;"
        f"print({{os.getpid(), os.getppid()}} & {{r.pid for r in residue.find('{token}')}})"
    )
    done = subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" || exit; : {token}', sys.executable, script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout == "set()\n"


NAMED = """
import ctypes, sys
ctypes.CDLL(None).prctl(15, b"\\xff\\xfe)", 0, 0, 0)  # PR_SET_NAME of <linux/prctl.h>
print("named", flush=True)
sys.stdin.read()
"""


def test_process_with_a_name_that_is_no_utf8_hides_neither_itself_nor_others() -> None:
    child = [sys.executable, "-c", NAMED, new_token()]
    with subprocess.Popen(child, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as named:
        assert named.stdout is not None
        assert named.stdout.readline() == b"named\n"
        assert b"\xff\xfe)" in Path(f"/proc/{named.pid}/stat").read_bytes()

        assert named.pid in found_pids(child[-1])
        assert processes.start_ticks(named.pid)
        assert named.pid in {process.pid for process in read_descendants(os.getpid())}
        cgroup.detect().of(named.pid)
        named.communicate()


@pytest.mark.usefixtures("state")
def test_process_that_proc_hides_is_left_out_and_others_are_found(hide: Callable[[Path], None]) -> None:
    token = new_token()
    with (
        running("tail", "-f", "/dev/null", f"/dev/null/{token}-0") as hidden,
        running("tail", "-f", "/dev/null", f"/dev/null/{token}-1") as pid,
    ):
        hide(Path(f"/proc/{hidden}"))
        assert found_pids(token) & {hidden, pid} == {pid}


def test_removal_of_a_process_ends_it(state: Path) -> None:
    root = rootfs.build(rootfs.agent_binary(), state / "cache")
    with subprocess.Popen([root / "isoagent", "60"]) as process:
        _wait_until(lambda: process.pid in found_pids(None))
        (result,) = removal.remove(found for found in residue.find(None) if found.pid == process.pid)
        assert result.error is None
        assert process.wait(10) == -9


def test_process_whose_number_was_given_to_another_is_not_killed() -> None:
    with running("sleep", "60") as pid:
        ticks = processes.start_ticks(pid)
        assert ticks is not None
        (result,) = removal.remove([Residue("process", "sleep 60", None, pid, ticks - 1)])
        assert result.error is None
        assert processes.start_ticks(pid) == ticks


def test_process_that_has_ended_meanwhile_counts_as_removed() -> None:
    (result,) = removal.remove([Residue("process", "x", None, 2**22 + 1, 1)])
    assert result.error is None


def test_directory_of_an_ended_run_is_found_and_removed_with_its_content(state: Path) -> None:
    token = new_token()
    (state / "run" / token / "bundle").mkdir(parents=True)
    (state / "run" / token / "bundle" / "config.json").write_text("{}")
    leftovers = residue.find(token)
    assert leftovers == (Residue("file", str(state / "run" / token), token),)
    assert [result.error for result in removal.remove(leftovers)] == [None]
    assert not (state / "run" / token).exists()
    assert (state / "run").is_dir()


def test_names_that_only_resemble_a_token_are_not_ours(state: Path) -> None:
    (state / "run" / "isobench-notes").mkdir(parents=True)
    (state / "run" / "my-isobench-0123abcd").mkdir()
    assert [found for found in residue.find(None) if str(state) in found.what] == []


def test_link_in_a_run_directory_is_not_followed_when_it_is_removed(state: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "kept").write_text("x")
    token = new_token()
    (state / "run").mkdir(parents=True)
    (state / "run" / token).symlink_to(precious)
    assert [result.error for result in removal.remove(residue.find(token))] == [None]
    assert not (state / "run" / token).is_symlink()
    assert (precious / "kept").exists()


def test_file_of_another_user_under_such_a_name_is_not_ours(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = new_token()
    (state / "run" / token).mkdir(parents=True)
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    assert residue.find(token) == ()


def test_failure_of_one_removal_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    bad = Residue("loop device", str(tmp_path / "not-a-device"), None)
    first, second = removal.remove([bad, Residue("file", str(tmp_path / "there"), None)])
    assert first.error is not None
    assert "losetup --detach " in first.error
    assert second.error is None
    assert not (tmp_path / "there").exists()


def test_what_is_made_while_the_first_things_are_removed_is_removed_too(tmp_path: Path) -> None:
    first, late = tmp_path / "first", tmp_path / "late"
    first.touch()
    looks = 0

    def find() -> list[Residue]:
        nonlocal looks
        looks += 1
        if looks == 2:
            late.touch()  # as the monitor of a container does that has just been killed
        return [Residue("file", str(path), None) for path in (first, late) if path.exists()]

    done = removal.clear(find)
    assert [(one.residue.what, one.error) for one in done] == [(str(first), None), (str(late), None)]
    assert not late.exists()


def test_what_could_not_be_removed_and_went_by_itself_is_gone_and_what_stays_is_told_once() -> None:
    stays, goes = (Residue("loop device", f"/nonexistent/{name}", None) for name in ("stays", "goes"))
    looks = iter([(stays, goes), (stays,)])
    by_itself, told = removal.clear(lambda: next(looks))[::-1]
    assert (by_itself.residue, by_itself.error) == (goes, None)
    assert told.residue == stays
    assert "losetup --detach " in str(told.error)


def test_what_always_makes_another_is_given_up_and_told() -> None:
    made = iter(range(1000))
    done = removal.clear(lambda: [Residue("loop device", f"/nonexistent/{next(made)}", None)])
    assert len(done) == 3
    assert done[-1].error


def test_mount_that_went_with_another_is_removed_already(tmp_path: Path) -> None:
    (result,) = removal.remove([Residue("mount", str(tmp_path / "not-a-mount"), None)])
    assert result.error is None


def test_every_kind_of_residue_has_its_remover() -> None:
    assert set(removal._REMOVERS) == set(get_args(residue.Kind))


def test_directory_with_a_mount_inside_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kept").mkdir()
    table = tmp_path / "mountinfo"
    table.write_text(f"9 1 0:9 / {tmp_path}/kept/inner rw - ext4 /dev/sda1 rw\n")
    monkeypatch.setattr(directory, "MOUNTINFO", table)
    with pytest.raises(HostUnfitError, match="is not removed") as caught:
        remove_directory(tmp_path / "kept")
    assert caught.value.remedy == f"umount {tmp_path}/kept/inner"
    assert (tmp_path / "kept").is_dir()


def test_directory_with_a_closed_empty_one_in_it_is_removed_by_its_owner() -> None:
    """As overlayfs leaves work/work, of mode 0; root can look into it, so root becomes somebody else."""
    nobody = 65534
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        top.chmod(0o777)  # the directories of pytest are closed to others
        child = os.fork()
        if child == 0:
            code = 1
            try:
                if os.geteuid() == 0:
                    os.setresuid(nobody, nobody, nobody)
                (top / "run" / "work" / "work").mkdir(parents=True)
                (top / "run" / "work" / "work").chmod(0)
                remove_directory(top / "run")
                code = int((top / "run").exists())
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0


def test_mounts_below_a_directory_come_last_made_first_and_neighbours_are_not_among_them() -> None:
    line = "9 1 0:9 / {} rw - tmpfs tmpfs rw\n"
    mounts = parse_mountinfo("".join(map(line.format, ("/a/b", "/a/bc", "/a/b/c", "/a"))))
    assert [mount.point for mount in mounts_below(Path("/a/b"), mounts)] == ["/a/b/c", "/a/b"]


def test_site_has_all_its_places_and_leaves_only_the_cache(state: Path) -> None:
    with open_site() as site:
        assert is_token(site.token)
        assert site.work == state / "run" / site.token
        assert site.work.is_dir()
        assert site.agent == site.rootfs / "isoagent"
        assert residue.strays(site) == ()
    assert residue.find(site.token) == ()
    assert not list((state / "run").iterdir())
    assert site.rootfs.is_dir()


@pytest.mark.usefixtures("state")
def test_site_removes_what_instances_left_when_the_run_ends_in_an_error() -> None:
    place = []

    def interrupted() -> None:
        with open_site() as site:
            place.append(site.work)
            (site.work / "bundle").mkdir()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not place[0].exists()


@pytest.mark.usefixtures("state")
def test_strays_are_what_a_cell_left_in_the_runs_directory() -> None:
    with open_site() as site:
        (site.work / "bundle").mkdir()
        assert residue.strays(site) == (Residue("file", str(site.work / "bundle"), site.token),)


@pytest.mark.usefixtures("state")
def test_site_of_a_token_in_use_is_refused_and_that_run_keeps_its_place() -> None:
    with open_site() as site:
        with pytest.raises(FileExistsError), open_site(site.token):
            pytest.fail("opened a run's place a second time")
        assert site.work.is_dir()


def _wait_until(condition: Callable[[], bool]) -> None:
    for _attempt in range(500):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it did not come about within 5 s")
