"""Kernel primitives really made on this host, and nothing of them left on it."""

import errno
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from isobench.benchmarks.contract import Context
from isobench.benchmarks.primitives import (
    DRAINED,
    NAMESPACES,
    PRIMITIVES,
    SEQUENCES,
    Line,
    Primitives,
    PrimitivesParams,
    parse,
    place,
)
from isobench.isolators.bare import Bare
from isobench.isolators.contract import Options, Site
from isobench.isolators.processes import start_ticks
from isobench.model import Cell, Reading, Status
from isobench.process import run

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes namespaces: needs root"),
]

PARAMS = PrimitivesParams(iterations=2, warmups=1, drains=1)
BARE = Bare("bare", Options())
NOBODY = 65534
TIMEOUT_S = 20.0


@pytest.fixture(autouse=True)
def same_host() -> Iterator[None]:
    """No network link and no child of ours is more than there was; mounts are the folder's own fixture's."""
    before = links(), children()
    yield
    assert (links(), children()) == before


def links() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def children() -> set[str]:
    return {str(pid) for pid in below(os.getpid())}


def parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def cell(workload: str, **params: str) -> Cell:
    return Cell("host", "primitives", workload, params)


def measured(what: Cell, site: Site) -> list[Reading]:
    return list(Primitives().measure(what, BARE, Context(site, PARAMS, block=0, timeout_s=TIMEOUT_S)))


def agent_lines(site: Site, *words: str, uid: int = 0) -> tuple[Line, ...]:
    argv: list[str | Path] = [site.agent, "primitives", *words]
    if uid:
        argv = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *argv]
    return parse(run(argv, timeout_s=TIMEOUT_S).stdout)


@pytest.mark.parametrize("name", PRIMITIVES)
def test_every_primitive_is_measured_alone_and_undone(name: str, site: Site) -> None:
    assert Primitives().lack(cell(name), site) is None
    found = measured(cell(name), site)
    assert [(one.status, one.reason) for one in found] == [(Status.OK, None)] * len(found)
    metrics = ["alone"] if name == "clock" else ["alone", "undone"]
    assert [one.metric for one in found] == [metric for metric in metrics for _ in range(3)]
    assert all(one.value is not None and 0 < one.value < 5 for one in found)


@pytest.mark.parametrize("name", NAMESPACES)
def test_namespace_is_drained_not_before_its_process_has_ended(name: str, site: Site) -> None:
    (found,) = measured(cell(name, form=DRAINED), site)
    assert (found.status, found.metric, found.reason) == (Status.OK, DRAINED, None)
    assert found.value is not None
    assert 0 < found.value < 5


@pytest.mark.parametrize("name", SEQUENCES)
def test_steps_of_a_sequence_come_one_after_the_other_and_end_in_a_program_that_runs(
    name: str, site: Site
) -> None:
    found = measured(cell(name), site)
    assert [(one.status, one.reason) for one in found] == [(Status.OK, None)] * len(found)
    steps = [one for one in found if one.metric != "undone"]
    first = steps[: len(steps) // 3]
    assert (first[0].metric, first[-1].metric) == ("process", "exec")
    assert all((a.value or 0) < (b.value or 0) for a, b in pairwise(first))
    assert ("user_map" in {one.metric for one in first}) is (name == "sequence_user")


def test_cgroups_of_every_hierarchy_are_told_apart_and_add_up(site: Site) -> None:
    for one in measured(cell("cgroup_create"), site):
        parts = [float(part) for name, part in one.detail.items() if name != "warmup" and part is not None]
        assert parts
        assert 0 < sum(parts) <= (one.value or 0)


HELD = ("mnt", "uts", "ipc", "pid", "net", "cgroup")
"""Namespaces under /proc/PID/ns that a sequence makes."""


@pytest.mark.parametrize("name", SEQUENCES)
def test_program_at_the_end_of_a_sequence_is_isolated_in_every_way(name: str, site: Site) -> None:
    with place(site) as words:
        argv = [str(site.agent), "primitives", name, "--iterations", "1000", *words]
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, process_group=0) as agent:
            try:
                program = caught(agent.pid)
                status = (program / "status").read_text()
                groups = (program / "cgroup").read_text()
                same = [kind for kind in HELD if inode(program, kind) == inode(Path("/proc/self"), kind)]
                own_user = inode(program, "user") != inode(Path("/proc/self"), "user")
                mounts = (program / "mountinfo").read_text()
            finally:
                agent.kill()
    assert same == []
    assert own_user is (name == "sequence_user")
    assert "\nSeccomp:\t2\n" in status
    assert "\nNSpid:" in status
    assert status.partition("\nNSpid:")[2].splitlines()[0].split()[-1] == "1"
    assert f"{site.token}-primitives" in groups
    kinds = [line.partition(" - ")[2].split()[0] for line in mounts.splitlines()]
    assert {"overlay", "proc", "tmpfs"} <= set(kinds)
    assert len(kinds) < 8, "the old root is detached"


def caught(agent: int) -> Path:
    """The program at the end of a sequence: it waits for its input, which a stopped worker never ends."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        for worker in below(agent):
            os.kill(worker, signal.SIGSTOP)
            time.sleep(0.1)
            for process in below(worker):
                if Path(f"/proc/{process}/cmdline").read_bytes() == b"/isoagent\0hold\0":
                    return Path(f"/proc/{process}")
            os.kill(worker, signal.SIGCONT)
        time.sleep(0.007)
    raise AssertionError("the program at the end of the sequence was never seen")


def below(pid: int) -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if parent(path) == pid]


def inode(process: Path, kind: str) -> str:
    return str((process / "ns" / kind).readlink())


@contextmanager
def overlay_as_work(site: Site) -> Iterator[Site]:
    """A site whose work directory is on an overlay, which no overlay takes for its upper layer."""
    with tempfile.TemporaryDirectory() as scratch:
        folders = {name: Path(scratch, name) for name in ("lower", "upper", "work", "merged")}
        for folder in folders.values():
            folder.mkdir()
        layers = "lowerdir={lower},upperdir={upper},workdir={work}".format(**folders)
        run(["mount", "-t", "overlay", "overlay", "-o", layers, folders["merged"]], timeout_s=TIMEOUT_S)
        try:
            yield replace(site, work=folders["merged"])
        finally:
            run(["umount", folders["merged"]], timeout_s=TIMEOUT_S)


def test_work_directory_that_carries_no_overlay_is_lacking_with_call_errno_and_remedy(site: Site) -> None:
    with overlay_as_work(site) as there:
        lack = Primitives().lack(cell("overlay_mount"), there)
        stopped = Primitives().lack(cell("sequence"), there)
        others = [Primitives().lack(cell(name), there) for name in ("tmpfs_mount", "pivot_root", "veth_pair")]
    assert lack is not None
    assert lack.status is Status.UNAVAILABLE
    assert str(lack.reason).startswith("mount overlay on ")
    assert f"(errno {errno.EINVAL})" in str(lack.reason)
    assert "ISOBENCH_STATE" in str(lack.remedy)
    assert stopped is not None
    assert "the sequence stopped at overlay_mount: mount overlay" in str(stopped.reason)
    assert others == [None, None, None]


def test_user_without_rights_gets_what_needs_none_and_the_reason_for_the_rest(site: Site) -> None:
    free = {"clock", "process", "exec", "user_namespace", "user_map", "seccomp_profile", "seccomp_minimal"}
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        words = ("--iterations", "1", "--token", site.token, "--root", str(site.rootfs), "--work", scratch)
        groups = ("--cgroup", "none", "/sys/fs/cgroup/isobench-none")
        for name in PRIMITIVES:
            for line in agent_lines(site, name, *words, *groups, uid=NOBODY):
                assert (line.refused is None) is (name in free), (name, line)
                if line.refused:
                    assert line.refused.errno in {errno.EPERM, errno.EACCES, errno.EROFS}, (name, line)
        for name in NAMESPACES:
            (drained,) = agent_lines(site, name, "--drained", *words, uid=NOBODY)
            assert (drained.refused, len(drained.ns)) == (None, 1), name


def test_user_without_rights_has_the_rootless_sequence_without_its_cgroups(site: Site) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("upper", "work", "merged", "source", "target"):
            Path(scratch, name).mkdir()
            os.chown(Path(scratch, name), NOBODY, NOBODY)
        os.chown(scratch, NOBODY, NOBODY)
        words = ("--iterations", "2", "--token", site.token, "--root", str(site.rootfs), "--work", scratch)
        groups = ("--cgroup", "cpu", "/sys/fs/cgroup/cpu/isobench-none")
        lines = agent_lines(site, "sequence_user", *words, *groups, uid=NOBODY)
        stopped = agent_lines(site, "sequence", *words, *groups, uid=NOBODY)
    refused = {line.primitive for line in lines if line.refused}
    assert refused == {"cgroup_create", "cgroup_enter"}
    assert {len(line.ns) for line in lines} == {2}
    assert {line.refused.call for line in stopped if line.refused} == {
        "the sequence stopped at mount_namespace: unshare(CLONE_NEWNS)"
    }


def test_user_namespaces_that_are_used_up_are_refused_and_nothing_else_is(site: Site) -> None:
    with place(site) as words:
        script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
        # The limit is one of a user namespace of our own: the host's is not touched.
        inside = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh", str(site.agent)]
        argv = [*inside, "primitives", "user_namespace", "--iterations", "1", *words]
        (alone, _) = parse(run(argv, timeout_s=TIMEOUT_S).stdout)
        argv[argv.index("user_namespace")] = "uts_namespace"
        (other, _) = parse(run(argv, timeout_s=TIMEOUT_S).stdout)
    assert alone.refused is not None
    assert (alone.refused.call, alone.refused.errno) == ("unshare(CLONE_NEWUSER)", errno.ENOSPC)
    assert (other.refused, len(other.ns)) == (None, 1)


@pytest.mark.parametrize(
    "words",
    [
        *((name,) for name in ("cgroup_enter", "veth_pair", "network_namespace", *SEQUENCES)),
        *((name, "--drained") for name in ("pid_namespace", "network_namespace", "user_namespace")),
    ],
    ids=" ".join,
)
def test_agent_killed_in_the_middle_leaves_nothing(words: tuple[str, ...], site: Site) -> None:
    with place(site) as where:
        process = subprocess.Popen(
            [site.agent, "primitives", *words, "--iterations", "1000", *where],
            stdout=subprocess.PIPE,
            process_group=0,
        )
        # 0.3 s: some iterations are over, one is under way.
        time.sleep(0.3)
        assert process.poll() is None
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    deadline = time.monotonic() + TIMEOUT_S
    while (left := of_group(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert left == []


def of_group(group: int) -> list[str]:
    """Processes of that process group: all the agent starts stay in its own."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            found.append(f"{path.name} {start_ticks(int(path.name))}")
    return found


def test_run_of_the_benchmark_leaves_no_cgroup_in_any_hierarchy(site: Site) -> None:
    for name in ("cgroup_create", "cgroup_enter", "sequence"):
        measured(cell(name), site)
        assert site.cgroups.named(f"{site.token}-primitives") == ()
