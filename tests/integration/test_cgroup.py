"""The cgroup layer on the kernel's own hierarchies, whichever this host has."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from isobench.errors import CgroupError, CgroupGoneError
from isobench.isolators.cgroup import CgroupTree, detect
from isobench.isolators.tokens import new_token
from isobench.model import CpuLimit

pytestmark = pytest.mark.integration

QUARTER = CpuLimit(0.25, 50_000)


@pytest.fixture
def tree() -> CgroupTree:
    found = detect()
    readiness = found.writable()
    assert readiness.usable, f"{readiness.reason}; {readiness.remedy}"
    return found


@pytest.fixture
def group(tree: CgroupTree) -> Iterator[str]:
    """A limited group in a parent of its own."""
    token = new_token()
    with tree.open(token):
        name = f"{token}/0"
        for directory in tree.directories(name):
            Path(directory).mkdir()
        for write in tree.cpu_limit_writes(name, QUARTER):
            Path(write.path).write_text(write.value)
        yield name
    assert not tree.named(token)


@contextmanager
def spinning(tree: CgroupTree, name: str) -> Iterator[int]:
    """A process in the group that uses all the CPU it gets; entered when its first line is out."""
    entering = "; ".join(f'echo $$ > "{directory}/cgroup.procs"' for directory in tree.directories(name))
    argv = ["sh", "-c", f"{entering}; echo in; while :; do :; done"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "in\n"
            yield process.pid
        finally:
            process.kill()


def test_limit_is_read_back_from_the_process_and_from_the_name(tree: CgroupTree, group: str) -> None:
    with spinning(tree, group) as pid:
        assert tree.of(pid).cpu_limit() == tree.at(group).cpu_limit() == QUARTER
        assert tree.of(pid).members() == tree.at(group).members() == (pid,)


def test_usage_grows_and_the_limit_makes_it_wait(tree: CgroupTree, group: str) -> None:
    with spinning(tree, group) as pid:
        view = tree.of(pid)
        before = view.cpu_usage_ns()
        while view.cpu_stat().nr_throttled < 3:
            pass
        stat = view.cpu_stat()
        assert view.cpu_usage_ns() > before
        assert stat.nr_periods >= stat.nr_throttled
        assert stat.throttled_ns > 0


def test_usage_of_a_group_outlives_its_process(tree: CgroupTree, group: str) -> None:
    with spinning(tree, group) as pid:
        view = tree.of(pid)
        while view.cpu_usage_ns() == 0:
            pass
    assert view.cpu_usage_ns() > 0
    assert view.members() == ()
    with pytest.raises(CgroupGoneError, match=f"process {pid} has ended"):
        tree.of(pid)


def test_new_group_is_unlimited(tree: CgroupTree, group: str) -> None:
    token = group.split("/", maxsplit=1)[0]
    assert tree.at(token).cpu_limit() is None


def test_limit_can_be_changed_while_a_process_runs(tree: CgroupTree, group: str) -> None:
    with spinning(tree, group):
        for limit in (CpuLimit(1.5), CpuLimit(0.1), CpuLimit(0.05, 20_000)):
            for write in tree.cpu_limit_writes(group, limit):
                Path(write.path).write_text(write.value)
            assert tree.at(group).cpu_limit() == limit


def test_memory_is_counted_for_a_living_process(tree: CgroupTree, group: str) -> None:
    with spinning(tree, group) as pid:
        memory = tree.of(pid).memory_current_bytes()
    assert memory is None or memory > 0


def test_group_in_use_at_the_end_is_an_error_that_kills_nothing(tree: CgroupTree) -> None:
    token = new_token()
    name = f"{token}/0"
    opened = tree.open(token)
    opened.__enter__()
    for directory in tree.directories(name):
        Path(directory).mkdir()
    with spinning(tree, name) as pid:
        with pytest.raises(CgroupError, match=f"{token}/0: still in use by processes: {pid}"):
            opened.__exit__(None, None, None)
        assert tree.of(pid).members() == (pid,)
    tree.remove(token)
    assert not tree.named(token)


def test_view_of_a_removed_group_is_a_clear_error(tree: CgroupTree) -> None:
    token = new_token()
    with tree.open(token):
        view = tree.at(token)
        assert view.cpu_usage_ns() == 0
    with pytest.raises(CgroupGoneError, match=f"{token} does not exist any more"):
        view.cpu_usage_ns()
